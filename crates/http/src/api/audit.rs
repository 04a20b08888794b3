//! `/audit`: who did what, when.

use access::{AuditFilter, AuditLine};
use axum::{
    Json, Router,
    extract::{Query, State},
    response::Response,
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    page::{PageParams, page},
    shape::{id, time},
};
use crate::{
    audit,
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/audit", get(list))
}

/// As long as its lines take.
pub(super) fn export_routes() -> Router<AppState> {
    Router::new().route("/audit.csv", get(export))
}

/// Which lines.
#[derive(Default, Deserialize)]
struct Asked {
    #[serde(default)]
    actor: String,
    /// An action, or the start of one up to its dot: `delivery.`.
    #[serde(default)]
    action: String,
    #[serde(default)]
    subject: String,
    from: Option<String>,
    until: Option<String>,
}

impl Asked {
    fn filter(self) -> Answer<AuditFilter> {
        Ok(AuditFilter {
            actor: self.actor,
            action: self.action,
            subject: self.subject,
            from: read_time("from", self.from)?,
            until: read_time("until", self.until)?,
        })
    }
}

fn read_time(field: &str, text: Option<String>) -> Answer<Option<i64>> {
    let read = |text: String| match text.parse::<jiff::Timestamp>() {
        Ok(time) => Ok(time.as_microsecond()),
        Err(_) => Err(Problem::invalid(field, "A time looks like 2026-12-01T08:00:00Z.")),
    };
    text.filter(|text| !text.is_empty()).map(read).transpose()
}

fn line_json(line: &AuditLine) -> Value {
    json!({
        "id": id(line.id),
        "at": time(line.at),
        "actor": line.actor,
        "action": line.action,
        "subject": line.subject,
        "detail": line.detail,
    })
}

async fn list(
    State(state): State<AppState>,
    Query(params): Query<PageParams>,
    Query(asked): Query<Asked>,
) -> Answer<Json<Value>> {
    let rows = params.rows()?;
    let wanted = i64::try_from(rows).unwrap_or(i64::MAX);
    let before = params.after_id("audit")?;
    let lines = state.access.audit_lines(&asked.filter()?, before, wanted).await?;
    let next = lines.last().filter(|_| lines.len() == rows).map(|line| line.id.to_string());
    Ok(Json(page("audit", lines.iter().map(line_json).collect(), next)))
}

async fn export(State(state): State<AppState>, Query(asked): Query<Asked>) -> Answer<Response> {
    Ok(audit::export(&state, asked.filter()?))
}
