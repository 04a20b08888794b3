//! Who must say yes before a delivery starts, and what they said; what happened to it, whose it is, giving it up.

use access::Caller;
use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    routing::{get, post},
};
use delivery::{Approval, Approvals, Decision};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::Body,
    deliveries::{delivery_id, delivery_json},
    page::page,
    shape::{id, time, time_opt},
};
use crate::{
    problem::Answer,
    state::{AppState, acting},
};

/// Routes that send nothing.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/deliveries/{id}/approvals", get(view))
        .route("/deliveries/{id}/history", get(history))
        .route("/deliveries/{id}/owner", post(give))
        .route("/deliveries/{id}/cancel", post(cancel))
        .route("/deliveries/{id}/reject", post(reject))
}

/// The last approval may start a delivery, and a reminder is a mail: each may carry an `Idempotency-Key`.
pub(super) fn sending_routes() -> Router<AppState> {
    Router::new()
        .route("/deliveries/{id}/approve", post(approve))
        .route("/deliveries/{id}/approvals/remind", post(remind))
}

fn said_json(said: &Approval) -> Value {
    json!({
        "account": said.account,
        "decision": said.decision,
        "comment": said.comment,
        "snapshot": said.snapshot,
        "at": time(said.at),
        "withdrawn_at": time_opt(said.withdrawn_at),
        "withdrawn_why": (!said.withdrawn_why.is_empty()).then_some(&said.withdrawn_why),
    })
}

fn approvals_json(delivery: i64, approvals: &Approvals) -> Value {
    json!({
        "id": id(delivery),
        "mode": approvals.mode,
        "snapshot": approvals.snapshot,
        "asked_at": time_opt(approvals.asked_at),
        "due_at": time_opt(approvals.due_at),
        "complete": approvals.complete,
        "topics": approvals.topics,
        "decisions": approvals.decisions.iter().map(said_json).collect::<Vec<_>>(),
        "withdrawn": approvals.withdrawn.iter().map(said_json).collect::<Vec<_>>(),
    })
}

async fn view(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let delivery = delivery_id(&text)?;
    Ok(Json(approvals_json(delivery, &state.deliveries.approvals(delivery).await?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    /// The snapshot that was looked at.
    snapshot: String,
    #[serde(default)]
    comment: String,
}

async fn decided(
    state: &AppState,
    caller: &Caller,
    text: &str,
    said: Said,
    decision: Decision,
) -> Answer<Json<Value>> {
    let (delivery, by) = (delivery_id(text)?, acting(caller));
    let approvals = state.deliveries.decide(delivery, decision, &said.snapshot, &said.comment, &by).await?;
    let mut document = approvals_json(delivery, &approvals);
    document["state"] = json!(state.deliveries.get(delivery).await?.state);
    Ok(Json(document))
}

async fn approve(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    Body(said): Body<Said>,
) -> Answer<Json<Value>> {
    decided(&state, &caller, &text, said, Decision::Approved).await
}

async fn reject(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    Body(said): Body<Said>,
) -> Answer<Json<Value>> {
    decided(&state, &caller, &text, said, Decision::Rejected).await
}

async fn remind(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Answer<Json<Value>> {
    state.deliveries.remind_approvers(delivery_id(&text)?, &acting(&caller)).await?;
    view(State(state), Path(text)).await
}

/// Every change of state: who, when, why.
async fn history(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let changes = state.deliveries.changes(delivery_id(&text)?).await?;
    let items = changes
        .iter()
        .map(|change| {
            let mut document = json!(change);
            document["at"] = time(change.at);
            document
        })
        .collect();
    Ok(Json(page("history", items, None)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Give {
    owner: String,
}

async fn give(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    Body(body): Body<Give>,
) -> Answer<Json<Value>> {
    let given = state.deliveries.give_to(delivery_id(&text)?, &body.owner, &acting(&caller)).await?;
    Ok(Json(delivery_json(&given)))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    #[serde(default)]
    why: String,
}

async fn cancel(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    Body(body): Body<Cancel>,
) -> Answer<Json<Value>> {
    let cancelled = state.deliveries.cancel(delivery_id(&text)?, &body.why, &acting(&caller)).await?;
    Ok(Json(delivery_json(&cancelled)))
}
