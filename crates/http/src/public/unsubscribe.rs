//! `/u/TOKEN`: the unsubscribe page, and the one-click POST of RFC 8058.
//!
//! GET never acts, because mail programs and filters fetch links by themselves; it shows a page with a button. POST acts,
//! without a cookie or a redirect (RFC 8058 section 3.1), and acting twice is the same as acting once. A token of a proof
//! or a preview shows the same pages and changes nobody.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use feedback::{Look, Outcome};
use message::Purpose;
use tracking::EventKind;

use super::{page, visitor::Visitor};
use crate::state::AppState;

fn bad_token() -> Response {
    page::plain(
        StatusCode::NOT_FOUND,
        "This link is not valid",
        "It may have been cut off on its way. Please open the unsubscribe link in the message again.",
    )
}

fn try_again(error: &feedback::Error) -> Response {
    tracing::error!(%error, "an unsubscribe request was not carried out");
    page::try_again("The server could not note this just now. Please try again in a minute.")
}

fn done() -> Response {
    page::plain(
        StatusCode::OK,
        "You are unsubscribed",
        "You will get no more of these messages. One that is on its way right now may still arrive.",
    )
}

/// GET: asks.
pub async fn show(State(state): State<AppState>, Path(token): Path<String>) -> Response {
    match state.unsubscriptions.look(&token).await {
        Ok(Look::Unknown) => bad_token(),
        // The address is not shown: whoever was forwarded the message has the link too.
        Ok(Look::Address(_) | Look::Inert) => page::with_button(
            "Unsubscribe",
            "Press the button and you will get no more of these messages.",
            "Unsubscribe",
        ),
        Err(error) => try_again(&error),
    }
}

/// POST: acts. The body says `List-Unsubscribe=One-Click`, or comes from the page's form; both mean the same, and the token
/// alone is the permission.
pub async fn act(State(state): State<AppState>, Path(token): Path<String>, visitor: Visitor) -> Response {
    let Some(token) = state.tokens.verify_link(Purpose::Unsubscribe, &token) else { return bad_token() };
    match state.unsubscriptions.unsubscribe_by(token, state.clock.now_us()).await {
        Ok(Outcome::Unknown) => bad_token(),
        Ok(outcome) => {
            if outcome == Outcome::Done {
                visitor.did(&state, token, EventKind::Unsubscribe, None).await;
            }
            done()
        }
        Err(error) => try_again(&error),
    }
}
