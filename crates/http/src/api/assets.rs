//! `/assets` and `/deliveries/{id}/assets`: images and attachments, of all contents or of one delivery.

use access::Caller;
use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Multipart, Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, patch, post, put},
};
use content::{NamedAsset, Owner};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{Body, Params},
    deliveries::delivery_id,
    page::{PageParams, page},
};
use crate::{
    limits::ASSET_BYTES_MAX,
    problem::{Answer, Problem},
    state::AppState,
};

/// Files of one upload.
const UPLOAD_FILES_MAX: usize = 50;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/assets", get(library))
        .route("/assets/{*name}", axum::routing::delete(remove_from_library))
        .route("/deliveries/{id}/assets", get(all))
        .route("/deliveries/{id}/assets/{*name}", patch(choose).get(bytes).delete(remove))
}

/// Routes that take a file.
pub(super) fn upload_routes() -> Router<AppState> {
    Router::new()
        .route("/assets/{*name}", put(upload_to_library))
        .route("/deliveries/{id}/assets", post(upload_form))
        .route("/deliveries/{id}/assets/{*name}", put(upload))
        .layer(DefaultBodyLimit::max(ASSET_BYTES_MAX))
}

/// A file as JSON. `url` is where recipients find an image.
pub(super) fn asset_json(state: &AppState, asset: &NamedAsset) -> Value {
    let url = asset.is_image().then(|| format!("{}/a/{}", state.public_url(), asset.file_name()));
    json!({
        "name": asset.name,
        "hash": asset.hash,
        "content_type": asset.content_type,
        "size": asset.size,
        "width": asset.width,
        "height": asset.height,
        "inline": asset.inline,
        "url": url,
    })
}

async fn library(State(state): State<AppState>, Params(params): Params<PageParams>) -> Answer<Json<Value>> {
    let wanted = params.by_name("assets")?;
    let files = state.content.assets(Owner::Library).await?;
    Ok(Json(wanted.page(&files, |file| [&file.name], |file| asset_json(&state, file))))
}

async fn upload_to_library(
    State(state): State<AppState>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answer<Json<Value>> {
    let now_us = state.clock.now_us();
    let kept = state.content.upload(Owner::Library, &name, bytes.to_vec(), now_us).await?;
    Ok(Json(asset_json(&state, &kept)))
}

async fn remove_from_library(State(state): State<AppState>, Path(name): Path<String>) -> Answer<Response> {
    match state.content.remove_asset(Owner::Library, &name).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Problem::not_found("file")),
    }
}

async fn all(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let id = delivery_id(&text)?;
    state.deliveries.get(id).await?;
    let files = state.deliveries.assets(id).await?;
    Ok(Json(page("assets", files.iter().map(|file| asset_json(&state, file)).collect(), None)))
}

async fn upload(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path((text, name)): Path<(String, String)>,
    bytes: Bytes,
) -> Answer<Json<Value>> {
    let kept = state.deliveries.put_asset(delivery_id(&text)?, &name, bytes.to_vec(), &caller.name).await?;
    Ok(Json(asset_json(&state, &kept)))
}

/// A form as browsers send it: each part `file` with its file name.
async fn upload_form(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    mut form: Multipart,
) -> Answer<Response> {
    let id = delivery_id(&text)?;
    let mut kept = Vec::new();
    while let Some(field) =
        form.next_field().await.map_err(|error| Problem::bad_request(error.body_text()))?
    {
        if kept.len() >= UPLOAD_FILES_MAX {
            return Err(Problem::too_large(format!("At most {UPLOAD_FILES_MAX} files at once.")));
        }
        let name = field.file_name().unwrap_or("").to_owned();
        let bytes = field.bytes().await.map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::too_large(format!("An upload may have at most {} MiB.", ASSET_BYTES_MAX >> 20))
            }
            _ => Problem::bad_request(error.body_text()),
        })?;
        let file = state.deliveries.put_asset(id, &name, bytes.to_vec(), &caller.name).await?;
        kept.push(asset_json(&state, &file));
    }
    if kept.is_empty() {
        return Err(Problem::invalid("file", "The form has no file."));
    }
    Ok((StatusCode::CREATED, Json(page("assets", kept, None))).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    /// The image travels with the message.
    inline: bool,
}

async fn choose(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path((text, name)): Path<(String, String)>,
    Body(choice): Body<Choice>,
) -> Answer<Json<Value>> {
    let id = delivery_id(&text)?;
    state.deliveries.set_inline(id, &name, choice.inline, &caller.name).await?;
    Ok(Json(asset_json(&state, &find(&state, id, &name).await?)))
}

async fn find(state: &AppState, delivery: i64, name: &str) -> Answer<NamedAsset> {
    let name = name.strip_prefix("assets/").unwrap_or(name);
    let files = state.deliveries.assets(delivery).await?;
    files.into_iter().find(|file| file.name == name).ok_or_else(|| Problem::not_found("file"))
}

/// The bytes, to be saved: whatever the file is, the browser does not show it on our origin.
async fn bytes(
    State(state): State<AppState>,
    Path((text, name)): Path<(String, String)>,
) -> Answer<Response> {
    let id = delivery_id(&text)?;
    state.deliveries.get(id).await?;
    let file = find(&state, id, &name).await?;
    let found = state.content.asset(&file.hash).await?.ok_or_else(|| Problem::not_found("file"))?;
    let headers = [
        (header::CONTENT_TYPE, found.content_type.clone()),
        (header::CONTENT_DISPOSITION, "attachment".to_owned()),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, found.bytes.to_vec()).into_response())
}

async fn remove(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path((text, name)): Path<(String, String)>,
) -> Answer<Response> {
    state.deliveries.remove_asset(delivery_id(&text)?, &name, &caller.name).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
