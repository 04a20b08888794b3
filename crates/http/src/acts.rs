//! What may be done by whom, and what is written down about it: one table of every route that changes something.
//!
//! The layers around the API and the pages look each request up here. A route that changes something and has no row is
//! answered as if it did not exist, so forgetting one closes a door and opens none; a test compares the table with the
//! routers' source. After the deed a line goes to the audit log, unless the room below writes it in the deed's own
//! transaction ([`Line::InRoom`]).

mod api;
mod pages;

use access::{Caller, Deed, Right};
use axum::{
    extract::{FromRequestParts, MatchedPath, RawPathParams},
    http::{Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};

use crate::{problem::Problem, state::AppState};

/// What a caller must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nobody in particular: the route is how people come in.
    Nobody,
    /// Signed in; what is changed is one's own, or nothing.
    Anyone,
    /// Somebody with this right.
    Right(Right),
}

/// What is written down after the deed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// A line with this action.
    Written(&'static str),
    /// As `Written`, but once in ten minutes for the same person and thing: what is saved while somebody types.
    Merged(&'static str),
    /// The room writes it in the transaction of the deed.
    InRoom,
    /// Nothing is changed that anybody would ask about.
    Nothing,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Act {
    /// The method, in capitals.
    pub method: &'static str,
    /// The whole path as the router knows it.
    pub path: &'static str,
    /// Who may.
    pub need: Need,
    /// What is written down.
    pub line: Line,
}

const fn act(method: &'static str, path: &'static str, need: Need, line: Line) -> Act {
    Act { method, path, need, line }
}

const IMPORT: Need = Need::Right(Right::Import);
const PREPARE: Need = Need::Right(Right::Prepare);
const APPROVE: Need = Need::Right(Right::Approve);
const START: Need = Need::Right(Right::Start);
const ADMINISTER: Need = Need::Right(Right::Administer);

/// Every row.
pub fn all() -> impl Iterator<Item = &'static Act> {
    api::ACTS.iter().chain(pages::ACTS)
}

/// The row of a route.
pub fn find(method: &Method, path: &str) -> Option<&'static Act> {
    // A few hundred comparisons of short texts; a map would have to be kept somewhere.
    all().find(|act| act.path == path && act.method == method.as_str())
}

/// Whether a method can change something.
fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Said about a deed by its handler, as an extension of the answer: takes the place of the path's parameters as the
/// line's subject.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// To what: a name or an id.
    pub subject: String,
    /// More, in words; no address of a recipient.
    pub detail: String,
}

impl Told {
    /// The deed was done to this.
    pub fn about(subject: impl Into<String>) -> Told {
        Told { subject: subject.into(), detail: String::new() }
    }

    /// Adds this to an answer.
    pub fn on(self, mut response: Response) -> Response {
        response.extensions_mut().insert(self);
        response
    }
}

/// Set by a handler whose request changed nothing this time.
#[derive(Clone, Copy, Debug)]
pub struct Unchanged;

/// A request that has been looked up.
pub struct Looked {
    /// Who must be asking.
    pub need: Need,
    line: Line,
    subject: String,
}

impl Looked {
    /// Looks a request up.
    ///
    /// # Errors
    /// 405 for a method that changes something and has no row.
    pub async fn up(parts: &mut Parts, state: &AppState) -> Result<Looked, Problem> {
        let open = |need| Looked { need, line: Line::Nothing, subject: String::new() };
        // No route at all: the router answers 404.
        let Some(path) = parts.extensions.get::<MatchedPath>().cloned() else {
            return Ok(open(Need::Anyone));
        };
        let method = if parts.method == Method::HEAD { Method::GET } else { parts.method.clone() };
        let Some(act) = find(&method, path.as_str()) else {
            if changes(&method) {
                tracing::debug!(path = path.as_str(), %method, "no row in the table of acts");
                return Err(unknown_method());
            }
            return Ok(open(Need::Anyone));
        };
        let subject = match RawPathParams::from_request_parts(parts, state).await {
            Ok(params) => params.iter().map(|(_, value)| unaddressed(value)).collect::<Vec<_>>().join(" "),
            Err(_) => String::new(),
        };
        Ok(Looked { need: act.need, line: act.line, subject })
    }

    /// Refuses a caller who may not.
    pub fn check(&self, caller: &Caller) -> Result<(), Problem> {
        match self.need {
            Need::Right(right) if !caller.may(right) => Err(missing(right)),
            _ => Ok(()),
        }
    }

    /// Runs the deed and writes its line. Both in a task of its own, so that a client that hangs up half way does not
    /// leave a deed without a line.
    pub async fn run(
        self,
        state: &AppState,
        caller: Option<&Caller>,
        work: impl Future<Output = Response> + Send + 'static,
    ) -> Response {
        if matches!(self.line, Line::Nothing | Line::InRoom) {
            return work.await;
        }
        let (state, actor) = (state.clone(), caller.map_or_else(String::new, |caller| caller.name.clone()));
        let work = tokio::spawn(async move {
            let response = work.await;
            if let Some((deed, merged)) = self.deed(actor, &response) {
                write(&state, deed, merged).await;
            }
            response
        });
        work.await.unwrap_or_else(|error| Problem::internal(&error).into_response())
    }

    /// What there is to write about an answer, and whether it merges with an earlier line; none: nothing was done.
    fn deed(self, actor: String, response: &Response) -> Option<(Deed, bool)> {
        let refused = response.status().is_client_error() || response.status().is_server_error();
        let repeated = response.headers().contains_key("idempotent-replay");
        if refused || repeated || response.extensions().get::<Unchanged>().is_some() {
            return None;
        }
        let (action, merged) = match self.line {
            Line::Written(action) => (action, false),
            Line::Merged(action) => (action, true),
            Line::InRoom | Line::Nothing => return None,
        };
        let told = response.extensions().get::<Told>().cloned().unwrap_or_default();
        let subject =
            if told.subject.is_empty() { made(response).unwrap_or(self.subject) } else { told.subject };
        Some((Deed { actor, action: action.to_owned(), subject, detail: told.detail }, merged))
    }
}

async fn write(state: &AppState, deed: Deed, merged: bool) {
    let now_us = state.clock.now_us();
    let written = match merged {
        true => state.access.note_once(deed.clone(), now_us).await,
        false => state.access.note(deed.clone(), now_us).await,
    };
    if let Err(error) = written {
        // The deed is done; what is known about it goes where it still can.
        let Deed { actor, action, subject, .. } = deed;
        tracing::error!(%error, actor, action, subject, "a line of the audit log could not be written");
    }
}

/// The id of what a page made, from where it sends the browser: `/deliveries/12/content` -> `12`.
fn made(response: &Response) -> Option<String> {
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    let path = location.split('?').next()?;
    path.split('/')
        .find(|part| !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_digit()))
        .map(str::to_owned)
}

/// A path's parameter, unless it is somebody's address: the audit log names no recipient.
fn unaddressed(value: &str) -> &str {
    if value.contains('@') { "(an address)" } else { value }
}

fn unknown_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "This resource does not know that method.")
}

/// The refusal for want of a right.
pub fn missing(right: Right) -> Problem {
    let what = match right {
        Right::Import => "import and change recipients",
        Right::Prepare => "prepare deliveries",
        Right::Approve => "approve deliveries",
        Right::Start => "start deliveries",
        Right::Administer => "administer",
    };
    let detail = format!("You have no right to {what}. An administrator can give it to you.");
    Problem::new(StatusCode::FORBIDDEN, "right", detail).with("right", right.name())
}

#[cfg(test)]
mod tests;
