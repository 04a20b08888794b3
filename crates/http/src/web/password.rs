//! `/password/{token}`: choosing a password by an invitation or a reset link; `/password/forgotten`: asking for such a link.

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
use crate::{guard::request_host, links, problem::Problem, state::AppState};

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

#[derive(Template)]
#[template(path = "forgotten.html")]
struct ForgottenPage {
    frame: Bare,
    /// It was asked: what the answer says is the same whether there is such a user.
    asked: bool,
}

/// `GET /password/forgotten`.
pub async fn forgotten() -> Result<Response, Fault> {
    show(&ForgottenPage { frame: Bare::new(), asked: false })
}

/// `POST /password/forgotten`: mails a link to the account of that name or address. Making and mailing it goes on behind the answer,
/// so that its time says nothing either.
pub async fn ask(State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let name = form.get("name").to_owned();
    tokio::spawn(async move {
        match state.access.forgotten(&name, state.clock.now_us()).await {
            Ok(Some(link)) => {
                links::mail(&state, &link).await;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "a link for a forgotten password could not be made"),
        }
    });
    show(&ForgottenPage { frame: Bare::new(), asked: true })
}
