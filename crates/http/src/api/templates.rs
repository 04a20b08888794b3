//! `/templates`: deliveries to start from. One template is seen, edited and deleted under `/deliveries/{id}`.

use access::Caller;
use axum::{
    Extension, Json, Router,
    extract::State,
    response::Response,
    routing::{get, post},
};
use delivery::ListFilter;
use serde::Deserialize;
use serde_json::Value;

use super::{
    body::{Body, Params},
    created,
    deliveries::{delivery_id, delivery_json, summary_json},
    page::{PageParams, page},
};
use crate::{problem::Answer, state::AppState};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/templates", get(all))
}

/// Routes that make something: each may carry an `Idempotency-Key`.
pub(super) fn making_routes() -> Router<AppState> {
    Router::new().route("/templates", post(save))
}

async fn all(State(state): State<AppState>, Params(params): Params<PageParams>) -> Answer<Json<Value>> {
    let rows = params.rows()?;
    let filter = ListFilter {
        search: params.search()?.to_owned(),
        before: params.after_id("templates")?,
        limit: rows,
        ..ListFilter::default()
    };
    let found = state.deliveries.templates(filter).await?;
    let next = found.last().filter(|_| found.len() >= rows).map(|last| last.id.to_string());
    Ok(Json(page("templates", found.iter().map(summary_json).collect(), next)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Save {
    /// The delivery to keep.
    delivery: String,
    /// The template's name, which no other has.
    name: String,
}

async fn save(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(save): Body<Save>,
) -> Answer<Response> {
    let id = delivery_id(&save.delivery)?;
    let template = state.deliveries.save_as_template(id, &save.name, &caller.name).await?;
    Ok(created(&delivery_json(&template)))
}
