//! `/m/TOKEN`: the message as a web page, for who got it.
//!
//! Which messages have one is the delivery's choice (`Snapshot::mirror`): with *when linked* a good token is the link.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use message::{MirrorMode, Purpose, Token};
use tracking::{EventKind, Resource};

use super::{page, visitor::Visitor};
use crate::{
    mirror::{Failure, shown},
    state::AppState,
};

/// GET and HEAD.
pub async fn show(State(state): State<AppState>, Path(token): Path<String>, visitor: Visitor) -> Response {
    let Some(token) = state.tokens.verify_link(Purpose::Mirror, &token) else { return bad_link() };
    match state.tracking.table(token.message, state.clock.now_us()).await {
        Ok(Resource::There(table)) if matches!(table.mirror, MirrorMode::Never | MirrorMode::ByMessage) => {
            page::plain(StatusCode::NOT_FOUND, "No web page", "This message has no page on the web.")
        }
        Ok(Resource::There(_)) => answer(&state, token, visitor).await,
        Ok(Resource::Expired) => page::expired(),
        Ok(Resource::Unknown) if token.inert => page::plain(
            StatusCode::OK,
            "This is a preview",
            "The message's own page will be here. To see it now, send a proof.",
        ),
        Ok(Resource::Unknown) => bad_link(),
        Err(error) => away(&error),
    }
}

async fn answer(state: &AppState, token: Token, visitor: Visitor) -> Response {
    match shown(state, token).await {
        Ok(Some(shown)) => {
            visitor.did(state, token, EventKind::Mirror, None).await;
            shown.into_response()
        }
        Ok(None) => page::expired(),
        Err(Failure::Away(error)) => away(&error),
        Err(Failure::Broken(error)) => {
            tracing::error!(error, "a mirror page could not be composed");
            page::plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "This page cannot be shown",
                "Something is wrong on our side. The message in your mail program is whole.",
            )
        }
    }
}

fn away(error: &dyn std::fmt::Display) -> Response {
    tracing::warn!(%error, "a mirror page could not be looked up");
    page::try_again("The page cannot be shown just now. Please try again in a minute.")
}

fn bad_link() -> Response {
    page::plain(
        StatusCode::NOT_FOUND,
        "This link is not valid",
        "It may have been cut off on its way. Please open the link in the message again.",
    )
}
