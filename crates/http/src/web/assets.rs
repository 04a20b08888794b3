//! Style sheet, script, font and mark, embedded in the binary under names that carry a hash of the content.
//!
//! `frontend/dist` is built by `npm ci && npm run build` in `frontend/`; a binary built without it serves bare pages.

use std::{collections::HashMap, sync::LazyLock};

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../../frontend/dist"]
#[allow_missing = true]
struct Dist;

const MANIFEST: &str = "manifest.json";

/// Plain name -> hashed name. Immutable data of this build; a debug build reads the folder at each call.
static NAMES: LazyLock<HashMap<String, String>> = LazyLock::new(read_names);

fn read_names() -> HashMap<String, String> {
    Dist::get(MANIFEST).and_then(|file| serde_json::from_slice(&file.data).ok()).unwrap_or_default()
}

/// The URL of an asset by its plain name, such as `app.css`.
pub fn url(name: &str) -> String {
    let hashed =
        if cfg!(debug_assertions) { read_names().get(name).cloned() } else { NAMES.get(name).cloned() };
    format!("/assets/{}", hashed.as_deref().unwrap_or(name))
}

/// `GET /assets/{name}`. Hashed names never change their content, so they are kept for a year.
pub async fn serve(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(file) = Dist::get(&name).filter(|_| name != MANIFEST) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let etag = format!("\"{}\"", hex(&file.metadata.sha256_hash()[..16]));
    let kept = headers.get(header::IF_NONE_MATCH).is_some_and(|seen| seen.as_bytes() == etag.as_bytes());
    let mut response = if kept {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, HeaderValue::from_static(kind(&name)))], file.data.into_owned())
            .into_response()
    };
    let answer = response.headers_mut();
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    if let Ok(value) = HeaderValue::from_str(&etag) {
        answer.insert(header::ETAG, value);
    }
    response
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, end)| end) {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "woff2" => "font/woff2",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn assets_are_immutable_and_answer_not_modified() {
        let first = serve(Path("nothing.css".to_owned()), HeaderMap::new()).await;
        assert_eq!(first.status(), StatusCode::NOT_FOUND);
        assert_eq!(serve(Path(MANIFEST.to_owned()), HeaderMap::new()).await.status(), StatusCode::NOT_FOUND);
        // The rest needs a built frontend, which the repository's test command makes.
        let Some(name) = read_names().get("app.css").cloned() else { return };
        let answer = serve(Path(name.clone()), HeaderMap::new()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, answer.headers()[header::ETAG].clone());
        assert_eq!(serve(Path(name), headers).await.status(), StatusCode::NOT_MODIFIED);
    }
}
