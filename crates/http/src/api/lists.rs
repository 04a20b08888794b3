//! `/lists`: named sets of recipients.

use audience::{List, Recipient};
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
    recipients,
    shape::{id, read_id, time},
};
use crate::{
    limits::PAGE_ROWS_MAX,
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/lists", get(all).post(create))
        .route("/lists/{id}", get(view).patch(rename).delete(remove))
        .route("/lists/{id}/add", post(add))
        .route("/lists/{id}/remove", post(take))
}

/// A list as JSON.
pub(super) fn list_json(list: &List) -> Value {
    json!({"id": id(list.id), "name": list.name, "members": list.members, "created_at": time(list.created_at)})
}

/// A new name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    pub name: String,
}

/// Ids or addresses.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Members {
    recipients: Vec<String>,
}

async fn all(State(state): State<AppState>, Params(params): Params<PageParams>) -> Answer<Json<Value>> {
    let wanted = params.by_name("lists")?;
    let lists = state.audience.lists().await?;
    Ok(Json(wanted.page(&lists, |list| [&list.name], list_json)))
}

async fn create(State(state): State<AppState>, Body(new): Body<Named>) -> Answer<Response> {
    let list = state.audience.create_list(&new.name, state.clock.now_us()).await?;
    Ok(created(&list_json(&find(&state, &list.to_string()).await?)))
}

async fn find(state: &AppState, text: &str) -> Answer<List> {
    state.audience.list(read_id(text, "list")?).await?.ok_or_else(|| Problem::not_found("list"))
}

async fn view(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    Ok(Json(list_json(&find(&state, &text).await?)))
}

async fn rename(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Body(new): Body<Named>,
) -> Answer<Json<Value>> {
    let list = find(&state, &text).await?;
    state.audience.rename_list(list.id, &new.name).await?;
    view(State(state), Path(text)).await
}

async fn remove(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Response> {
    let list = find(&state, &text).await?;
    state.audience.delete_list(list.id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The recipients that a body names, at most as many as a page has.
pub(super) async fn members(state: &AppState, members: &Members) -> Answer<Vec<Recipient>> {
    if members.recipients.len() > PAGE_ROWS_MAX as usize {
        return Err(Problem::invalid("recipients", format!("At most {PAGE_ROWS_MAX} in one request.")));
    }
    let mut found = Vec::with_capacity(members.recipients.len());
    for (index, text) in members.recipients.iter().enumerate() {
        let recipient = recipients::find(state, text).await;
        found.push(recipient.map_err(|problem| problem.at(format!("recipients[{index}]")))?);
    }
    Ok(found)
}

fn ids(recipients: &[Recipient]) -> Vec<i64> {
    recipients.iter().map(|recipient| recipient.id).collect()
}

async fn add(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Body(body): Body<Members>,
) -> Answer<Json<Value>> {
    let list = find(&state, &text).await?;
    let added = state.audience.add_to_list(list.id, ids(&members(&state, &body).await?)).await?;
    Ok(Json(json!({"added": added})))
}

async fn take(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Body(body): Body<Members>,
) -> Answer<Json<Value>> {
    let list = find(&state, &text).await?;
    let removed = state.audience.remove_from_list(list.id, ids(&members(&state, &body).await?)).await?;
    Ok(Json(json!({"removed": removed})))
}
