//! `/tls/policies` and `/tls/reports`: what receivers say about TLS, and what we told them of it.

use axum::{Json, Router, extract::State, routing::get};
use routes::{KeptPolicy, SentReport};
use serde_json::{Value, json};

use super::{
    body::Params,
    page::{PageParams, page},
    shape::time,
};
use crate::{limits::PAGE_ROWS_MAX, problem::Answer, state::AppState};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/tls/policies", get(policies)).route("/tls/reports", get(reports))
}

fn had(at_us: i64) -> Value {
    if at_us > 0 { time(at_us) } else { Value::Null }
}

fn policy_json(kept: &KeptPolicy) -> Value {
    json!({
        "domain": kept.domain,
        "id": kept.id,
        "mode": kept.mode,
        "text": kept.text,
        "fetched_at": had(kept.fetched_at),
        "expires_at": had(kept.expires_at),
        "tried_at": had(kept.tried_at),
        "error": kept.error,
    })
}

async fn policies(State(state): State<AppState>, Params(params): Params<PageParams>) -> Answer<Json<Value>> {
    let (rows, after) = (params.rows()?, params.after("tls_policies")?.unwrap_or_default());
    let mut kept = state.routes.sts_policies(&after, rows + 1).await?;
    let more = kept.len() > rows;
    kept.truncate(rows);
    let next = kept.last().filter(|_| more).map(|last| last.domain.clone());
    Ok(Json(page("tls_policies", kept.iter().map(policy_json).collect(), next)))
}

fn report_json(report: &SentReport) -> Value {
    json!({
        "day": time(report.day.saturating_mul(86_400_000_000)),
        "domain": report.domain,
        "to": report.address.lines().collect::<Vec<_>>(),
        "state": report.state,
        "successful": report.successful,
        "failed": report.failed,
        "tries": report.tries,
        "tried_at": had(report.tried_at),
        "error": report.error,
    })
}

/// The newest ones.
async fn reports(State(state): State<AppState>) -> Answer<Json<Value>> {
    let found = state.routes.tls_reports(PAGE_ROWS_MAX as usize).await?;
    Ok(Json(page("tls_reports", found.iter().map(report_json).collect(), None)))
}
