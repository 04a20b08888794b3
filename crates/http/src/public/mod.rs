//! The public door: what recipients and their mail programs reach. It reads no cookie and sets none, has no script, and
//! answers under any Host, because it may stand behind any number of names.

mod page;
mod unsubscribe;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{guard, limits::PUBLIC_BODY_BYTES_MAX, state::AppState};

/// The routes of the public door.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/u/{token}", get(unsubscribe::show).post(unsubscribe::act))
        .layer(DefaultBodyLimit::max(PUBLIC_BODY_BYTES_MAX))
        .layer(axum::middleware::from_fn(guard::time_limit))
}

/// What a public-only listener answers elsewhere.
pub async fn nothing_here() -> Response {
    page::plain(StatusCode::NOT_FOUND, "Nothing here", "There is no page at this address.").into_response()
}
