//! The public door: what recipients and their mail programs reach. It reads no cookie and sets none, has no script, and
//! answers under any Host, because it may stand behind any number of names.

mod follow;
mod mirror;
mod page;
pub mod pictures;
mod pixel;
mod review;
mod unsubscribe;
mod visitor;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{guard, limits::PUBLIC_BODY_BYTES_MAX, state::AppState};

/// What the door keeps in memory.
pub struct Door {
    pub(crate) pages: crate::mirror::Pages,
    pub(crate) pictures: pictures::Cache,
    pub(crate) code_key: content::CodeKey,
}

impl Door {
    /// Nothing yet; `code_key` checks the addresses of QR and bar codes.
    pub fn new(code_key: content::CodeKey) -> Door {
        Door { pages: crate::mirror::Pages::default(), pictures: pictures::Cache::default(), code_key }
    }
}

/// The routes of the public door.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/u/{token}", get(unsubscribe::show).post(unsubscribe::act))
        .route("/p/{token}", get(review::show).post(review::act))
        .route("/l/{token}/{number}", get(follow::follow))
        .route("/o/{file}", get(pixel::show))
        .route("/m/{token}", get(mirror::show))
        .route("/a/{file}", get(pictures::show))
        .route("/c/{file}", get(pictures::code))
        .layer(DefaultBodyLimit::max(PUBLIC_BODY_BYTES_MAX))
        .layer(axum::middleware::from_fn(guard::time_limit))
}

/// What a public-only listener answers elsewhere.
pub async fn nothing_here() -> Response {
    page::plain(StatusCode::NOT_FOUND, "Nothing here", "There is no page at this address.").into_response()
}
