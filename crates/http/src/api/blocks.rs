//! `/blocks`: pieces of content that templates include by name.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use content::StoredBlock;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{Body, Params},
    page::PageParams,
    shape::time,
};
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/blocks", get(all)).route("/blocks/{name}", get(view).put(save).delete(remove))
}

fn block_json(block: &StoredBlock) -> Value {
    json!({
        "name": block.name,
        "label": block.label,
        "html": block.html,
        "text": block.text,
        "visible": block.visible,
        "updated_at": time(block.updated_at),
    })
}

async fn all(State(state): State<AppState>, Params(params): Params<PageParams>) -> Answer<Json<Value>> {
    let wanted = params.by_name("blocks")?;
    let blocks = state.content.blocks().await?;
    Ok(Json(wanted.page(&blocks, |block| [&block.name, &block.label], block_json)))
}

async fn view(State(state): State<AppState>, Path(name): Path<String>) -> Answer<Json<Value>> {
    let block = state.content.block(&name).await?;
    block.map(|block| Json(block_json(&block))).ok_or_else(|| Problem::not_found("block"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    label: String,
    #[serde(default)]
    html: String,
    /// Empty: made from the HTML form.
    #[serde(default)]
    text: String,
    /// In the editor's menu.
    #[serde(default = "yes")]
    visible: bool,
}

fn yes() -> bool {
    true
}

async fn save(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Body(new): Body<Written>,
) -> Answer<Json<Value>> {
    let block = StoredBlock {
        name,
        label: new.label,
        html: new.html,
        text: new.text,
        visible: new.visible,
        updated_at: 0,
    };
    Ok(Json(block_json(&state.content.save_block(block, state.clock.now_us()).await?)))
}

async fn remove(State(state): State<AppState>, Path(name): Path<String>) -> Answer<Response> {
    match state.content.delete_block(&name).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Problem::not_found("block")),
    }
}
