//! `/password/{token}`: choosing a password by an invitation or a reset link.

use access::PasswordLink;
use askama::Template;
use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Bare, show, show_as},
    session::{self, Peer},
    texts,
};
use crate::{guard::request_host, problem::Problem, state::AppState};

#[derive(Template)]
#[template(path = "password_link.html")]
struct LinkPage<'a> {
    frame: Bare,
    token: &'a str,
    kind: &'static str,
    name: String,
    problem: String,
}

fn page(token: &str, link: PasswordLink, problem: String) -> LinkPage<'_> {
    LinkPage { frame: Bare::new(), token, kind: link.kind.name(), name: link.name, problem }
}

/// A link that does not work: 410, because asking again will not help.
fn gone(error: access::Error) -> Fault {
    match error {
        access::Error::Link => {
            Fault(Problem::new(StatusCode::GONE, "link", texts::text("password-link-gone")))
        }
        other => other.into(),
    }
}

/// `GET /password/{token}`. Looking uses nothing up: mail programs fetch links too.
pub async fn view(State(state): State<AppState>, Path(token): Path<String>) -> Result<Response, Fault> {
    let link = state.access.look_at_link(&token, state.clock.now_us()).await.map_err(gone)?;
    show(&page(&token, link, String::new()))
}

/// `POST /password/{token}`.
pub async fn choose(
    State(state): State<AppState>,
    Path(token): Path<String>,
    peer: Peer,
    uri: Uri,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Fault> {
    let (browser, now_us) = (session::browser(peer.as_deref(), &headers), state.clock.now_us());
    let link = state.access.look_at_link(&token, now_us).await.map_err(gone)?;
    let new = form.raw("new");
    if new != form.raw("again") {
        let problem = texts::text("password-differs");
        return show_as(StatusCode::UNPROCESSABLE_ENTITY, &page(&token, link, problem));
    }
    match state.access.use_link(&token, new, &browser, now_us).await {
        Ok(entry) => session::entered(&state, entry, "/", request_host(&uri, &headers)),
        Err(access::Error::WeakPassword(problem)) => {
            show_as(StatusCode::UNPROCESSABLE_ENTITY, &page(&token, link, problem))
        }
        Err(error) => Err(gone(error)),
    }
}
