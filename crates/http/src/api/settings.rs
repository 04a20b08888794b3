//! `/settings`: each value with where it comes from; secrets are shown without their secret part.

use access::{Caller, Entry};
use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    routing::{get, put},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{body::Body, page::page};
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/settings", get(list)).route("/settings/{key}", put(set).get(view))
}

fn entry_json(entry: &Entry) -> Value {
    json!({
        "key": entry.setting.key,
        "value": entry.value,
        "default": entry.setting.default,
        "origin": entry.origin.word(),
        "editable": entry.editable,
        "secret": entry.setting.secret,
        "help": entry.setting.help,
    })
}

async fn list(State(state): State<AppState>) -> Json<Value> {
    let entries = state.access.settings().entries();
    Json(page("settings", entries.iter().map(entry_json).collect(), None))
}

async fn view(State(state): State<AppState>, Path(key): Path<String>) -> Answer<Json<Value>> {
    let entries = state.access.settings().entries();
    let entry = entries.iter().find(|entry| entry.setting.key == key);
    entry.map(|entry| Json(entry_json(entry))).ok_or_else(|| Problem::not_found("setting"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    /// Empty: back to the default.
    value: String,
}

async fn set(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(key): Path<String>,
    Body(new): Body<New>,
) -> Answer<Json<Value>> {
    if access::settings::find(&key).is_none() {
        return Err(Problem::not_found("setting"));
    }
    state.access.set(&caller.name, &key, &new.value, state.clock.now_us()).await?;
    view(State(state), Path(key)).await
}
