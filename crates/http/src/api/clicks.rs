//! `/deliveries/{id}/clicks`: which links were clicked, and how often.

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use serde_json::{Value, json};

use super::deliveries::delivery_id;
use crate::{
    clicks::{Clicked, by_link},
    problem::Answer,
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/deliveries/{id}/clicks", get(clicks))
}

fn clicked_json(clicked: &Clicked) -> Value {
    let link = clicked.link.as_ref();
    json!({
        "snapshot": clicked.snapshot,
        "link": clicked.number,
        "url": link.map(|link| &link.url),
        "label": link.map(|link| &link.label),
        "category": link.map(|link| &link.category),
        "clicks": clicked.clicks,
        "messages": clicked.messages,
    })
}

/// The most clicked first; links without a click are left out.
async fn clicks(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let delivery = delivery_id(&text)?;
    state.deliveries.get(delivery).await?;
    let links = by_link(&state, delivery).await?;
    Ok(Json(json!({"links": links.iter().map(clicked_json).collect::<Vec<_>>()})))
}
