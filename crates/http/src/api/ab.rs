//! `/deliveries/{id}/ab`: how an A/B test stands, and the word that chooses its winner.

use access::Caller;
use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    routing::{get, post},
};
use delivery::{AbStatus, VariantStatus};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{body::Body, deliveries::delivery_id, shape::time_opt};
use crate::{
    problem::{Answer, Problem},
    state::{AppState, acting},
};

/// Routes that only look.
pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/deliveries/{id}/ab", get(status))
}

/// Routes that let messages go: each may carry an `Idempotency-Key`.
pub(super) fn sending_routes() -> Router<AppState> {
    Router::new().route("/deliveries/{id}/ab/winner", post(choose))
}

fn variant_json(variant: &VariantStatus) -> Value {
    json!({
        "variant": variant.variant,
        "snapshot": variant.snapshot,
        "subject": variant.subject,
        "messages": variant.messages,
        "sent": variant.sent,
        "opened": variant.opened,
        "clicked": variant.clicked,
        "rate": variant.rate,
    })
}

pub(super) fn status_json(test: &AbStatus) -> Value {
    json!({
        "state": test.state,
        "winner_by": test.winner_by,
        "due_at": time_opt(test.due_at),
        "variants": test.variants.iter().map(variant_json).collect::<Vec<_>>(),
        "rest": test.rest,
        "winner": test.winner,
        "chosen_by": test.chosen_by,
        "chosen_at": time_opt(test.chosen_at),
        "why": test.why,
    })
}

async fn status(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let test = state.deliveries.ab(delivery_id(&text)?).await?;
    Ok(Json(status_json(&test.ok_or_else(|| Problem::not_found("A/B test"))?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Winner {
    /// `A` to `D`.
    variant: String,
}

async fn choose(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    Body(body): Body<Winner>,
) -> Answer<Json<Value>> {
    let by = acting(&caller);
    let test = state.deliveries.choose_winner(delivery_id(&text)?, &body.variant, &by).await?;
    Ok(Json(status_json(&test)))
}
