//! `/format-rules`: how messages for some domains are built.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, put},
};
use content::FormatRule;
use serde_json::{Value, json};

use super::{body::Body, created, page::page, shape::read_id};
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/format-rules", get(all).post(create))
        .route("/format-rules/{id}", put(update).delete(remove))
}

/// The rule's own fields; the id is a string, as everywhere.
fn rule_json(rule: &FormatRule) -> Value {
    let mut document = json!(rule);
    document["id"] = json!(rule.id.to_string());
    document
}

async fn all(State(state): State<AppState>) -> Answer<Json<Value>> {
    let rules = state.content.format_rules().await?;
    Ok(Json(page("format-rules", rules.iter().map(rule_json).collect(), None)))
}

async fn create(State(state): State<AppState>, Body(rule): Body<FormatRule>) -> Answer<Response> {
    let rule = state.content.save_format_rule(FormatRule { id: 0, ..rule }).await?;
    Ok(created(&rule_json(&rule)))
}

async fn update(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Body(rule): Body<FormatRule>,
) -> Answer<Json<Value>> {
    let id = read_id(&text, "format rule")?;
    let rule = state.content.save_format_rule(FormatRule { id, ..rule }).await?;
    Ok(Json(rule_json(&rule)))
}

async fn remove(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Response> {
    match state.content.delete_format_rule(read_id(&text, "format rule")?).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Problem::not_found("format rule")),
    }
}
