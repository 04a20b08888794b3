//! `/p/TOKEN`: where a reader of a proof accepts or rejects it.
//!
//! GET never decides, because mail programs and filters fetch links by themselves; it shows a page with two buttons, and
//! the button posts. The token is the permission: whoever was forwarded the proof may answer for its reader.

use axum::{
    Form,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use delivery::rounds::{COMMENT_LEN_MAX, Review, Word};
use message::Purpose;
use serde::Deserialize;

use super::page;
use crate::state::AppState;

fn bad_link() -> Response {
    page::plain(
        StatusCode::NOT_FOUND,
        "This link is not valid",
        "It may have been cut off on its way, or the proof was deleted. Please open the link in the proof again.",
    )
}

fn try_again(error: &delivery::Error) -> Response {
    tracing::error!(%error, "a word on a proof was not kept");
    page::try_again("The server could not note this just now. Please try again in a minute.")
}

fn shown(review: &Review) -> Response {
    let heading = format!("Proof #{}", review.number);
    if !review.is_open {
        let text = "The delivery is over: this proof needs no answer any more.";
        return page::plain(StatusCode::OK, &heading, text);
    }
    let said = match review.word {
        None => String::new(),
        Some(Word::Accepted) => "You accepted it. You can still change your mind.".to_owned(),
        Some(Word::Rejected) => "You rejected it. You can still change your mind.".to_owned(),
    };
    page::with_answer(&heading, &[&review.label, &said], &review.comment)
}

/// GET: asks.
pub async fn show(State(state): State<AppState>, Path(token): Path<String>) -> Response {
    let Some(token) = state.tokens.verify_link(Purpose::Review, &token) else { return bad_link() };
    match state.deliveries.review(token.message).await {
        Ok(Some(review)) => shown(&review),
        Ok(None) => bad_link(),
        Err(error) => try_again(&error),
    }
}

/// What the page's form sends.
#[derive(Deserialize)]
pub struct Said {
    #[serde(default)]
    word: String,
    #[serde(default)]
    comment: String,
}

/// POST: keeps the word.
pub async fn act(
    State(state): State<AppState>,
    Path(token): Path<String>,
    Form(said): Form<Said>,
) -> Response {
    let Some(token) = state.tokens.verify_link(Purpose::Review, &token) else { return bad_link() };
    let Some(word) = Word::parse(&said.word) else {
        return page::plain(StatusCode::BAD_REQUEST, "Nothing was decided", "Press one of the two buttons.");
    };
    let comment = &said.comment[..said.comment.floor_char_boundary(COMMENT_LEN_MAX)];
    match state.deliveries.review(token.message).await {
        Ok(Some(review)) if !review.is_open => return shown(&review),
        Ok(Some(_)) => {}
        Ok(None) => return bad_link(),
        Err(error) => return try_again(&error),
    }
    match state.deliveries.say_of_proof(token.message, word, comment).await {
        Ok(Some(_)) => page::plain(
            StatusCode::OK,
            "Thank you",
            match word {
                Word::Accepted => "You accepted this proof. Whoever sent it is told.",
                Word::Rejected => "You rejected this proof. Whoever sent it is told.",
            },
        ),
        Ok(None) => bad_link(),
        Err(error) => try_again(&error),
    }
}
