//! `/sources`: the addresses mail leaves from, and the pools they are in.

use access::Caller;
use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use routes::Source;
use serde_json::{Map, Value, json};

use super::{body::Body, created, page::page};
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/sources", get(list).post(add))
        .route("/sources/{name}", get(view).patch(change).delete(remove))
}

async fn find(state: &AppState, name: &str) -> Answer<Source> {
    let stored = state.routes.sources().await?;
    stored.into_iter().find(|source| source.name == name).ok_or_else(|| Problem::not_found("source"))
}

async fn list(State(state): State<AppState>) -> Answer<Json<Value>> {
    let sources = state.routes.sources().await?;
    Ok(Json(page("sources", sources.iter().map(|source| json!(source)).collect(), None)))
}

async fn add(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(new): Body<Source>,
) -> Answer<Response> {
    if find(&state, &new.name).await.is_ok() {
        return Err(Problem::conflict("There is a source of this name.").at("name"));
    }
    state.routes.put_source(new.clone(), &caller.name, state.clock.now_us()).await?;
    Ok(created(&json!(find(&state, &new.name).await?)))
}

async fn view(State(state): State<AppState>, Path(name): Path<String>) -> Answer<Json<Value>> {
    Ok(Json(json!(find(&state, &name).await?)))
}

/// A field sets it, null puts it back to what a new source has.
async fn change(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Body(patch): Body<Map<String, Value>>,
) -> Answer<Json<Value>> {
    let fields = routes::patched(json!(find(&state, &name).await?), patch);
    let source: Source = serde_json::from_value(fields.into())
        .map_err(|error| Problem::invalid("source", format!("This cannot be read: {error}.")))?;
    if source.name != name {
        return Err(Problem::invalid(
            "name",
            "A source keeps its name: what waits and what was learned is filed under it.",
        ));
    }
    state.routes.put_source(source, &caller.name, state.clock.now_us()).await?;
    view(State(state), Path(name)).await
}

async fn remove(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Answer<Response> {
    state.routes.remove_source(&name, &caller.name, state.clock.now_us()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
