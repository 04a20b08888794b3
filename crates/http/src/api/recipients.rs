//! `/recipients`: search, view, create, edit, delete.

use audience::{NewRecipient, Recipient, RecipientEdit, Search};
use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{Body, Params},
    created,
    page::{PageParams, page},
    shape::{id, read_id, time},
};
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/recipients", get(list).post(create))
        .route("/recipients/{id}", get(view).patch(edit).delete(remove))
        .route("/recipients/{id}/lists", get(lists))
        .route("/recipients/{id}/services", get(services))
}

/// A recipient as JSON.
pub(super) fn recipient_json(recipient: &Recipient) -> Value {
    json!({
        "id": id(recipient.id),
        "email": recipient.email,
        "first_name": recipient.first_name,
        "last_name": recipient.last_name,
        "language": recipient.language,
        "time_zone": recipient.time_zone,
        "country": recipient.country,
        "city": recipient.city,
        "email_format": recipient.email_format,
        "attributes": recipient.attributes,
        "denylisted": recipient.denylisted,
        "created_at": time(recipient.created_at),
        "updated_at": time(recipient.updated_at),
    })
}

#[derive(Deserialize)]
struct Which {
    list: Option<String>,
    service: Option<String>,
    denylisted: Option<bool>,
}

async fn list(
    State(state): State<AppState>,
    Params(params): Params<PageParams>,
    Params(which): Params<Which>,
) -> Answer<axum::Json<Value>> {
    let list = match &which.list {
        Some(text) => Some(read_id(text, "list")?),
        None => None,
    };
    let service = which.service.as_deref().map(|text| read_id(text, "service")).transpose()?;
    let found = state
        .audience
        .search(Search {
            text: params.search()?.to_owned(),
            list,
            service,
            denylisted: which.denylisted,
            after: params.after_id("recipients")?,
            limit: params.rows()?,
        })
        .await?;
    let items = found.recipients.iter().map(recipient_json).collect();
    Ok(axum::Json(page("recipients", items, found.next.map(|key| key.to_string()))))
}

async fn create(State(state): State<AppState>, Body(new): Body<NewRecipient>) -> Answer<Response> {
    let recipient = state.audience.create_recipient(new, state.clock.now_us()).await?;
    Ok(created(&recipient_json(&recipient)))
}

/// Reads `{id}`, which may also be an address.
pub(super) async fn find(state: &AppState, text: &str) -> Answer<Recipient> {
    let found = if text.contains('@') {
        state.audience.recipient_by_address(text).await?
    } else {
        state.audience.recipient(read_id(text, "recipient")?).await?
    };
    found.ok_or_else(|| Problem::not_found("recipient"))
}

async fn view(State(state): State<AppState>, Path(text): Path<String>) -> Answer<axum::Json<Value>> {
    Ok(axum::Json(recipient_json(&find(&state, &text).await?)))
}

async fn edit(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Body(edit): Body<RecipientEdit>,
) -> Answer<axum::Json<Value>> {
    let recipient = find(&state, &text).await?;
    let recipient = state.edit_recipient(&recipient, edit).await?;
    Ok(axum::Json(recipient_json(&recipient)))
}

async fn remove(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Response> {
    let recipient = find(&state, &text).await?;
    state.delete_recipient(&recipient).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn lists(State(state): State<AppState>, Path(text): Path<String>) -> Answer<axum::Json<Value>> {
    let recipient = find(&state, &text).await?;
    let lists = state.audience.lists_of(recipient.id).await?;
    Ok(axum::Json(page("lists", lists.iter().map(super::lists::list_json).collect(), None)))
}

async fn services(State(state): State<AppState>, Path(text): Path<String>) -> Answer<axum::Json<Value>> {
    let recipient = find(&state, &text).await?;
    let all = state.audience.subscriptions_of(recipient.id).await?;
    let item = |one: &audience::Subscription| json!({"id": id(one.service), "name": one.name, "since": time(one.since)});
    Ok(axum::Json(page("services", all.iter().map(item).collect(), None)))
}
