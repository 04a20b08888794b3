//! What an editor asks beside the texts: the links of a content, and who else has the draft open.

use access::Caller;
use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use delivery::{Editor, Presence};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{Body, Params},
    deliveries::delivery_id,
    page::page,
    shape::time,
};
use crate::{problem::Answer, state::AppState};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/deliveries/{id}/links", get(links))
        .route("/deliveries/{id}/presence", post(present).delete(gone))
}

async fn links(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let links = state.deliveries.links(delivery_id(&text)?).await?;
    Ok(Json(page("links", links.iter().map(|link| json!(link)).collect(), None)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Here {
    /// One browser tab, in letters that the page made up.
    tab: String,
    /// What is edited there.
    #[serde(default)]
    part: String,
}

fn presence_json(presence: &Presence) -> Value {
    json!({
        "name": presence.name,
        "part": presence.part,
        "since": time(presence.since),
        "seen_at": time(presence.seen_at),
    })
}

async fn present(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    Body(here): Body<Here>,
) -> Answer<Json<Value>> {
    let editor = Editor { name: caller.name, tab: here.tab, part: here.part };
    let others = state.deliveries.present(delivery_id(&text)?, editor).await?;
    Ok(Json(page("presence", others.iter().map(presence_json).collect(), None)))
}

#[derive(Deserialize)]
struct Tab {
    #[serde(default)]
    tab: String,
}

async fn gone(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Params(closed): Params<Tab>,
) -> Answer<Response> {
    state.deliveries.gone(delivery_id(&text)?, &closed.tab).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
