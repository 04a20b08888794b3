//! `/l/TOKEN/N`: leads on to the address of a tracked link.
//!
//! A bad token leads nowhere, and the host comes from the frozen link table only. HEAD answers the same and counts
//! nothing. The answer is never kept by a cache, so that each click is seen.

use axum::{
    extract::{Path, RawQuery, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use message::{Purpose, Token};
use tracking::{Destination, Resource};

use super::{page, visitor::Visitor};
use crate::state::AppState;

/// Octets of a query that are looked at: nine values of the largest size, encoded.
const QUERY_LEN_MAX: usize = 16 << 10;

/// GET and HEAD.
pub async fn follow(
    State(state): State<AppState>,
    Path((token, number)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    visitor: Visitor,
) -> Response {
    let Some(token) = state.tokens.verify_link(Purpose::Click, &token) else { return bad_link() };
    let Some(number) = canonical(&number) else { return bad_link() };
    let query = query.filter(|query| query.len() <= QUERY_LEN_MAX).unwrap_or_default();
    match state.tracking.link(token.message, number, &query, state.clock.now_us()).await {
        Ok(Resource::There(Destination { location, kind })) => {
            let location = match location {
                Some(location) => location,
                None => state.tokens.mirror_url(&state.public_url(), token),
            };
            visitor.did(&state, token, kind, Some(number)).await;
            redirect(&location)
        }
        Ok(Resource::Expired) => page::expired(),
        Ok(Resource::Unknown) => unknown(token),
        Err(error) => {
            tracing::warn!(%error, "a link could not be looked up");
            page::try_again("This link cannot be opened just now. Please try again in a minute.")
        }
    }
}

/// One spelling per link, so that what is signed nowhere else cannot vary either.
fn canonical(number: &str) -> Option<u16> {
    let parsed: u16 = number.parse().ok()?;
    (parsed.to_string() == number).then_some(parsed)
}

fn redirect(location: &str) -> Response {
    // `fill` gives graphic ASCII only, and a public URL is checked where it is set.
    let Ok(location) = HeaderValue::from_str(location) else { return bad_link() };
    let mut response = StatusCode::FOUND.into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex, nofollow"));
    response
}

/// A preview's links are numbered in a table that is not kept.
fn unknown(token: Token) -> Response {
    if token.inert {
        return page::plain(
            StatusCode::OK,
            "This is a preview",
            "The link will lead to its address in the message that is sent. To try it now, send a proof.",
        );
    }
    bad_link()
}

fn bad_link() -> Response {
    page::plain(
        StatusCode::NOT_FOUND,
        "This link is not valid",
        "It may have been cut off on its way. Please open the link in the message again.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(canonical("0"), Some(0));
        assert_eq!(canonical("65535"), Some(u16::MAX));
        for other in ["", "00", "+1", "-1", "1 ", "65536", "x", "1%20"] {
            assert_eq!(canonical(other), None, "{other}");
        }
    }

    #[test]
    fn a_redirect_is_never_kept() {
        let answer = redirect("https://shop.example/");
        assert_eq!(answer.status(), StatusCode::FOUND);
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(redirect("https://shop.example/\r\nx: y").status(), StatusCode::NOT_FOUND);
    }
}
