//! `/suppression`: addresses and domains that are never written to. Everybody sees how many, administrators see which.

use audience::{Suppressed, SuppressionKind, SuppressionReport};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{Body, Params},
    page::{PageParams, page},
    shape::time,
};
use crate::{
    imports::spool,
    limits::PAGE_ROWS_MAX,
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/suppression", get(counts).post(add))
        .route("/suppression/entries", get(entries))
        .route("/suppression/entries/{value}", delete(remove))
}

/// The upload, which has its own limits of size and time.
pub(super) fn upload_routes() -> Router<AppState> {
    Router::new().route("/suppression/import", post(import)).layer(DefaultBodyLimit::disable())
}

fn report_json(report: &SuppressionReport) -> Value {
    let faults = report.faults.iter().map(|(line, why)| json!({"line": line, "reason": why}));
    json!({
        "added": report.added,
        "known": report.known,
        "rejected": report.rejected,
        "faults": faults.collect::<Vec<_>>(),
    })
}

async fn counts(State(state): State<AppState>) -> Answer<Json<Value>> {
    let counts = state.audience.suppression_counts().await?;
    Ok(Json(json!({"addresses": counts.addresses, "domains": counts.domains})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    values: Vec<String>,
}

async fn add(State(state): State<AppState>, Body(new): Body<New>) -> Answer<Json<Value>> {
    if new.values.len() > PAGE_ROWS_MAX as usize {
        let text = format!("At most {PAGE_ROWS_MAX} in one request; upload a file to /suppression/import.");
        return Err(Problem::invalid("values", text));
    }
    Ok(Json(report_json(&state.suppress(new.values).await?)))
}

/// One address or domain a line.
async fn import(State(state): State<AppState>, request: Request) -> Answer<Json<Value>> {
    let spooled = spool(&state.work_dir, request.into_body().into_data_stream()).await?;
    let report = state.import_suppressed(spooled.source()).await?;
    Ok(Json(report_json(&report)))
}

#[derive(Deserialize)]
struct Which {
    kind: Option<String>,
}

fn entry_json(entry: &Suppressed) -> Value {
    json!({"value": entry.value, "kind": entry.kind.name(), "added_at": time(entry.added_at)})
}

/// The search is how an entry begins.
async fn entries(
    State(state): State<AppState>,
    Params(params): Params<PageParams>,
    Params(which): Params<Which>,
) -> Answer<Json<Value>> {
    let kind = match which.kind.as_deref() {
        None | Some("") => None,
        Some("address") => Some(SuppressionKind::Address),
        Some("domain") => Some(SuppressionKind::Domain),
        Some(_) => return Err(Problem::invalid("kind", "kind is address or domain.")),
    };
    let (rows, after) = (params.rows()?, params.after("suppression")?.unwrap_or_default());
    let mut found = state.audience.suppressed_page(kind, params.search()?, &after, rows + 1).await?;
    let more = found.len() > rows;
    found.truncate(rows);
    let next = found.last().filter(|_| more).map(|last| last.value.clone());
    Ok(Json(page("suppression", found.iter().map(entry_json).collect(), next)))
}

async fn remove(State(state): State<AppState>, Path(value): Path<String>) -> Answer<Response> {
    match state.audience.unsuppress(vec![value]).await? {
        0 => Err(Problem::not_found("entry of the suppression list")),
        _ => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}
