//! What makes a delivery move: confirm, pause, resume, stop; and how it stands: status, verify.

use access::Caller;
use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    routing::{get, post},
};
use delivery::{ConfirmPlan, ProviderPlan, ProviderStatus, Status};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::Body,
    deliveries::{delivery_id, delivery_json},
    shape::{id, time, time_opt},
};
use crate::{
    problem::Answer,
    state::{AppState, acting},
};

/// Routes that only look.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/deliveries/{id}/status", get(status))
        .route("/deliveries/{id}/confirm", get(plan))
        .route("/deliveries/{id}/verify", post(verify))
}

/// Routes that send, or stop sending: each may carry an `Idempotency-Key`.
pub(super) fn sending_routes() -> Router<AppState> {
    Router::new()
        .route("/deliveries/{id}/confirm", post(confirm))
        .route("/deliveries/{id}/pause", post(pause))
        .route("/deliveries/{id}/resume", post(resume))
        .route("/deliveries/{id}/stop", post(stop))
}

/// A provider's share of a plan as JSON.
pub(super) fn plan_json(plan: &ProviderPlan) -> Value {
    json!({"provider": plan.provider, "messages": plan.messages, "predicted_end": time_opt(plan.predicted_end)})
}

fn provider_json(provider: &ProviderStatus) -> Value {
    json!({
        "provider": provider.provider,
        "pending": provider.pending,
        "deferred": provider.deferred,
        "sent": provider.sent,
        "failed": provider.failed,
        "per_second": provider.per_second,
        "predicted_end": time_opt(provider.predicted_end),
        "held": provider.held,
        "bounced": provider.bounced,
        "complaints": provider.complaints,
    })
}

/// The contract's status document.
pub fn status_json(status: &Status) -> Value {
    json!({
        "id": id(status.id),
        "state": status.state,
        "target": status.target,
        "excluded": status.excluded,
        "messages": {
            "pending": status.pending,
            "sent": status.sent,
            "failed": status.failed,
            "cancelled": status.cancelled,
        },
        "deferred": status.deferred,
        "unknown": status.unknown,
        "seeds": status.seeds,
        "providers": status.providers.iter().map(provider_json).collect::<Vec<_>>(),
        "per_second": status.per_second,
        "predicted_end": time_opt(status.predicted_end),
        "bounced": status.bounced,
        "complaints": status.complaints,
        "late": status.late,
    })
}

async fn status(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let delivery = delivery_id(&text)?;
    let mut document = status_json(&state.deliveries.status(delivery).await?);
    let blocked = state.blocked(delivery).await;
    document["blocked"] = if blocked.is_empty() { Value::Null } else { Value::from(blocked) };
    let test = state.deliveries.ab(delivery).await?;
    document["ab"] = test.as_ref().map_or(Value::Null, super::ab::status_json);
    Ok(Json(document))
}

fn confirm_json(plan: &ConfirmPlan) -> Value {
    json!({
        "snapshot": plan.snapshot,
        "messages": plan.messages,
        "providers": plan.providers.iter().map(plan_json).collect::<Vec<_>>(),
        "excluded": plan.excluded,
        "warnings": plan.warnings,
        "starts_at": time(plan.starts_at),
        "valid_until": time(plan.valid_until),
        "pool": plan.pool,
        "open": plan.closed.is_none(),
        "closed": plan.closed,
        "reason": plan.closed.map(delivery::Closed::text),
    })
}

async fn plan(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    Ok(Json(confirm_json(&state.deliveries.confirm_plan(delivery_id(&text)?).await?)))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirm {
    snapshot: Option<String>,
}

async fn confirm(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    Body(body): Body<Confirm>,
) -> Answer<Json<Value>> {
    let by = acting(&caller);
    let delivery = state.deliveries.confirm(delivery_id(&text)?, body.snapshot.as_deref(), &by).await?;
    Ok(Json(json!({
        "id": id(delivery.id),
        "state": delivery.state,
        "snapshot": delivery.snapshot,
        "to_deliver": delivery.to_deliver,
    })))
}

async fn pause(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Answer<Json<Value>> {
    Ok(Json(delivery_json(&state.pause(delivery_id(&text)?, &acting(&caller)).await?)))
}

async fn resume(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Answer<Json<Value>> {
    Ok(Json(delivery_json(&state.deliveries.resume(delivery_id(&text)?, &acting(&caller)).await?)))
}

/// The engine stops; its exact report is kept in the journal and answered.
async fn stop(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Answer<Json<Value>> {
    let delivery = delivery_id(&text)?;
    let report = state.stop(delivery, &acting(&caller)).await?;
    Ok(Json(json!({
        "state": report.state,
        "sent": report.sent,
        "in_flight": report.in_flight,
        "cancelled": report.cancelled,
    })))
}

async fn verify(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let delivery = delivery_id(&text)?;
    state.deliveries.get(delivery).await?;
    let found = state.queue.verify(delivery, state.clock.now_us()).await?;
    Ok(Json(json!({
        "id": id(delivery),
        "ok": found.agrees,
        "messages": {
            "pending": found.pending, "sent": found.sent, "failed": found.failed, "cancelled": found.cancelled,
        },
        "differences": found.differences,
    })))
}
