//! `/segments`: filters with a name, and the count and preview of a filter without one.

use audience::{Filter, Segment};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{Body, Params},
    created,
    page::PageParams,
    recipients::recipient_json,
    shape::{id, read_id, time},
};
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

/// Recipients that a count shows as examples.
const EXAMPLES: usize = 10;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/segments", get(all).post(create))
        .route("/segments/count", post(count))
        .route("/segments/{id}", get(view).put(update).delete(remove))
}

fn segment_json(segment: &Segment) -> Value {
    json!({
        "id": id(segment.id),
        "name": segment.name,
        "filter": segment.filter.to_json(),
        "created_at": time(segment.created_at),
        "updated_at": time(segment.updated_at),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    filter: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Counted {
    filter: Value,
}

async fn all(State(state): State<AppState>, Params(params): Params<PageParams>) -> Answer<Json<Value>> {
    let wanted = params.by_name("segments")?;
    let segments = state.audience.segments().await?;
    Ok(Json(wanted.page(&segments, |segment| [&segment.name], segment_json)))
}

async fn create(State(state): State<AppState>, Body(new): Body<Written>) -> Answer<Response> {
    let filter = Filter::parse(&new.filter)?;
    let segment = state.audience.create_segment(&new.name, &filter, state.clock.now_us()).await?;
    Ok(created(&segment_json(&find(&state, &segment.to_string()).await?)))
}

async fn find(state: &AppState, text: &str) -> Answer<Segment> {
    state.audience.segment(read_id(text, "segment")?).await?.ok_or_else(|| Problem::not_found("segment"))
}

async fn view(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    Ok(Json(segment_json(&find(&state, &text).await?)))
}

async fn update(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Body(new): Body<Written>,
) -> Answer<Json<Value>> {
    let segment = find(&state, &text).await?;
    let filter = Filter::parse(&new.filter)?;
    state.audience.update_segment(segment.id, &new.name, &filter, state.clock.now_us()).await?;
    view(State(state), Path(text)).await
}

async fn remove(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Response> {
    let segment = find(&state, &text).await?;
    state.audience.delete_segment(segment.id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn count(State(state): State<AppState>, Body(body): Body<Counted>) -> Answer<Json<Value>> {
    let filter = Filter::parse(&body.filter)?;
    let now_us = state.clock.now_us();
    let count = state.audience.count_segment(&filter, now_us).await?;
    let examples = state.audience.preview_segment(&filter, now_us, EXAMPLES).await?;
    let examples: Vec<Value> = examples.iter().map(recipient_json).collect();
    Ok(Json(json!({"count": count, "examples": examples})))
}
