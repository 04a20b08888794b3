//! `/domains/{domain}/keys` and `/domains/{domain}/rotation`: signing keys, and how they replace each other.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use routes::{DomainKey, KeyStage, Turn};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::Body,
    page::page,
    shape::{id, time, time_opt},
};
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

/// How long DNS may take until a look is given up.
const LOOK_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(20);

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/domains/{domain}/keys", get(keys))
        .route("/domains/{domain}/rotation", post(start).delete(cancel))
        .route("/domains/{domain}/rotation/check", post(look))
        .route("/domains/{domain}/also", put(also))
}

fn key_json(key: &DomainKey) -> Value {
    json!({
        "id": id(key.id),
        "selector": key.selector,
        "algorithm": key.algorithm,
        "stage": key.stage,
        "created_at": time(key.created_at),
        "activated_at": time_opt(key.activated_at),
        "replaced_at": time_opt(key.replaced_at),
    })
}

async fn known(state: &AppState, domain: &str) -> Answer<Vec<DomainKey>> {
    if state.routes.domain(domain).await?.is_none() {
        return Err(Problem::not_found("sending domain"));
    }
    Ok(state.routes.keys(domain).await?)
}

async fn keys(State(state): State<AppState>, Path(domain): Path<String>) -> Answer<Json<Value>> {
    let keys = known(&state, &domain).await?;
    Ok(Json(page("keys", keys.iter().map(key_json).collect(), None)))
}

/// Makes new keys, which sign once their records are seen in DNS; answers these records.
async fn start(State(state): State<AppState>, Path(domain): Path<String>) -> Answer<Json<Value>> {
    known(&state, &domain).await?;
    state.routes.start_rotation(&domain, state.clock.now_us()).await?;
    let records = state.routes.records(&domain, &state.domain_facts()).await?;
    let pending = records.records.iter().filter(|record| record.stage == KeyStage::Pending);
    let pending =
        pending.map(|record| json!({"name": record.name, "type": record.kind, "value": record.value}));
    Ok(Json(json!({"domain": records.domain, "records": pending.collect::<Vec<_>>()})))
}

async fn cancel(State(state): State<AppState>, Path(domain): Path<String>) -> Answer<Response> {
    known(&state, &domain).await?;
    if state.routes.cancel_rotation(&domain).await? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(Problem::not_found("rotation"))
    }
}

/// Looks for the new keys in DNS now; the program also does it by itself every few minutes.
async fn look(State(state): State<AppState>, Path(domain): Path<String>) -> Answer<Json<Value>> {
    known(&state, &domain).await?;
    let look = state.routes.turn_keys(&domain, state.dns.as_ref(), state.clock.now_us());
    let turn = match tokio::time::timeout(LOOK_TIME_MAX, look).await {
        Ok(turn) => turn?,
        Err(_) => Turn::Unknown,
    };
    let keys = state.routes.keys(&domain).await?;
    Ok(Json(json!({"turn": turn, "keys": keys.iter().map(key_json).collect::<Vec<_>>()})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Also {
    /// Another sending domain; null: only its own keys.
    domain: Option<String>,
}

async fn also(
    State(state): State<AppState>,
    Path(domain): Path<String>,
    Body(also): Body<Also>,
) -> Answer<Response> {
    known(&state, &domain).await?;
    state.routes.sign_also(&domain, also.domain.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
