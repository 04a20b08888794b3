//! `/o/TOKEN.gif`: the open pixel. It asks nothing of the database, so it is there while the database is not.

use axum::{
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use message::Purpose;
use tracking::EventKind;

use super::visitor::Visitor;
use crate::state::AppState;

/// One transparent pixel: the shortest GIF89a that all mail programs draw.
const PIXEL: [u8; 43] =
    *b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\
                           \x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// GET and HEAD. A bad token gets the pixel too, with another status: nothing is to be seen either way.
pub async fn show(State(state): State<AppState>, Path(file): Path<String>, visitor: Visitor) -> Response {
    let token = file.strip_suffix(".gif").and_then(|token| state.tokens.verify_link(Purpose::Open, token));
    let Some(token) = token else { return pixel(StatusCode::NOT_FOUND) };
    visitor.did(&state, token, EventKind::Open, None).await;
    pixel(StatusCode::OK)
}

fn pixel(status: StatusCode) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/gif")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Pages of webmail programs that isolate themselves load it only with this.
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("cross-origin"),
        ),
    ];
    (status, headers, PIXEL).into_response()
}
