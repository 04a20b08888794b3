//! `/services`: what people subscribe to, and who does.

use audience::Service;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    body::{Body, Params},
    created,
    lists::{Members, Named, members},
    page::PageParams,
    shape::{id, read_id, time},
};
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/services", get(all).post(create))
        .route("/services/{id}", get(view).patch(rename).delete(remove))
        .route("/services/{id}/subscribe", post(subscribe))
        .route("/services/{id}/unsubscribe", post(unsubscribe))
}

fn service_json(service: &Service) -> Value {
    json!({
        "id": id(service.id),
        "name": service.name,
        "subscribers": service.subscribers,
        "created_at": time(service.created_at),
    })
}

async fn all(State(state): State<AppState>, Params(params): Params<PageParams>) -> Answer<Json<Value>> {
    let wanted = params.by_name("services")?;
    let services = state.audience.services().await?;
    Ok(Json(wanted.page(&services, |service| [&service.name], service_json)))
}

async fn create(State(state): State<AppState>, Body(new): Body<Named>) -> Answer<Response> {
    let service = state.audience.create_service(&new.name, state.clock.now_us()).await?;
    Ok(created(&service_json(&find(&state, &service.to_string()).await?)))
}

async fn find(state: &AppState, text: &str) -> Answer<Service> {
    state.audience.service(read_id(text, "service")?).await?.ok_or_else(|| Problem::not_found("service"))
}

async fn view(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    Ok(Json(service_json(&find(&state, &text).await?)))
}

async fn rename(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Body(new): Body<Named>,
) -> Answer<Json<Value>> {
    let service = find(&state, &text).await?;
    state.audience.rename_service(service.id, &new.name).await?;
    view(State(state), Path(text)).await
}

async fn remove(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Response> {
    let service = find(&state, &text).await?;
    state.audience.delete_service(service.id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn subscribe(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Body(body): Body<Members>,
) -> Answer<Json<Value>> {
    let service = find(&state, &text).await?;
    let ids = members(&state, &body).await?.iter().map(|recipient| recipient.id).collect();
    let subscribed = state.audience.subscribe(service.id, ids, state.clock.now_us()).await?;
    Ok(Json(json!({"subscribed": subscribed})))
}

async fn unsubscribe(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Body(body): Body<Members>,
) -> Answer<Json<Value>> {
    let service = find(&state, &text).await?;
    let recipients = members(&state, &body).await?;
    let unsubscribed = state.unsubscribe(service.id, &recipients).await?;
    Ok(Json(json!({"unsubscribed": unsubscribed})))
}
