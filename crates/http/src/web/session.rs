//! Signing in and out, and who is signed in.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use access::{Browser, Caller, Right, SESSION_COOKIE, SignIn, SignedIn, Ticket};
use askama::Template;
use axum::{
    extract::{ConnectInfo, FromRequestParts, Query, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Bare, is_fragment, show, show_as},
    reader::Reader,
    texts,
};
use crate::{
    acts::{Looked, Need, missing},
    api::auth::cookie,
    guard::request_host,
    problem::Problem,
    state::{AppState, acting},
};

/// Who is signed in. Taken by a handler alone it also lets those through who still must change their password; pages take
/// [`super::page::Desk`], which does not.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// The user's name.
    pub name: String,
    /// The account.
    pub caller: Caller,
    /// The session's cookie, for signing out.
    pub cookie: String,
}

impl Viewer {
    /// The same person, as deliveries know them.
    pub fn by(&self) -> delivery::By {
        acting(&self.caller)
    }
}

impl FromRequestParts<AppState> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Viewer, Response> {
        let Some(value) = cookie(&parts.headers).map(str::to_owned) else { return Err(to_sign_in(parts)) };
        // The guard has looked already.
        if let Some(Known(caller)) = parts.extensions.get::<Known>().cloned() {
            return Ok(Viewer { name: caller.name.clone(), caller, cookie: value });
        }
        match state.access.session(&value, state.clock.now_us()).await {
            Ok(Some(caller)) => Ok(Viewer { name: caller.name.clone(), caller, cookie: value }),
            Ok(None) => Err(to_sign_in(parts)),
            Err(error) => Err(Fault::from(error).into_response()),
        }
    }
}

/// Whose session the cookie is.
#[derive(Clone)]
struct Known(Caller);

/// The layer around all pages: who asks, whether they may, in which language and zone they read, and the line about what
/// they did.
pub async fn guard(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let known = match cookie(&parts.headers) {
        Some(value) => state.access.session(value, state.clock.now_us()).await,
        None => Ok(None),
    };
    let known = match known {
        Ok(known) => known,
        Err(error) => return Fault::from(error).into_response(),
    };
    let reader = Reader::of(known.as_ref(), &parts.headers);
    let looked = match admit(&state, &mut parts, known.as_ref()).await {
        Ok(looked) => looked,
        Err(refusal) => return reader.reads_now(|| refusal.into_response()),
    };
    if let Some(caller) = known.clone() {
        parts.extensions.insert(Known(caller));
    }
    let work = reader.clone().reads(next.run(Request::from_parts(parts, body)));
    reader.keeps_reading(looked.run(&state, known.as_ref(), work).await)
}

/// Why a request goes no further.
enum Refusal {
    /// Sign in, or change the one-time password.
    Elsewhere(Response),
    Right(Right),
    Fault(Fault),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Refusal::Elsewhere(response) => response,
            Refusal::Right(right) => may_not(right).into_response(),
            Refusal::Fault(fault) => fault.into_response(),
        }
    }
}

async fn admit(state: &AppState, parts: &mut Parts, known: Option<&Caller>) -> Result<Looked, Refusal> {
    let looked = Looked::up(parts, state).await.map_err(|problem| Refusal::Fault(Fault(problem)))?;
    match (looked.need, known) {
        // A page that is only looked at asks for its viewer itself.
        (Need::Nobody, _) | (Need::Anyone, Some(_)) => {}
        (Need::Anyone, None) if parts.method.is_safe() => {}
        (_, None) => return Err(Refusal::Elsewhere(to_sign_in(parts))),
        (Need::Right(_), Some(caller)) if caller.must_change_password => {
            return Err(Refusal::Elsewhere(Redirect::to("/setup").into_response()));
        }
        (Need::Right(right), Some(caller)) if !caller.may(right) => return Err(Refusal::Right(right)),
        (Need::Right(_), Some(_)) => {}
    }
    Ok(looked)
}

/// The refusal for want of a right, in the reader's language.
pub fn may_not(right: Right) -> Fault {
    let detail = texts::text_s("fault-right", &texts::pick("right", right.name()));
    Fault(Problem { detail, ..missing(right) })
}

/// The request's address as the browser sent it: nested routers see only its end.
#[derive(Clone)]
struct WholeUri(Uri);

/// The middleware that keeps it.
pub async fn keep_uri(mut request: Request, next: Next) -> Response {
    let whole = WholeUri(request.uri().clone());
    request.extensions_mut().insert(whole);
    next.run(request).await
}

/// To the sign-in page, and back here after it. htmx follows `HX-Redirect` with the whole page.
fn to_sign_in(parts: &Parts) -> Response {
    let uri = parts.extensions.get::<WholeUri>().map_or(&parts.uri, |whole| &whole.0);
    let wanted = uri.path_and_query().map_or("/", |path| path.as_str());
    let next = if parts.method == Method::GET && !is_fragment(&parts.headers) { wanted } else { "/" };
    let query: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    let target = if next == "/" { "/sign-in".to_owned() } else { format!("/sign-in?next={query}") };
    if is_fragment(&parts.headers) {
        return (StatusCode::NO_CONTENT, [("hx-redirect", "/sign-in")]).into_response();
    }
    Redirect::to(&target).into_response()
}

/// A path of ours: never another host.
fn own_path(next: &str) -> &str {
    let local =
        next.starts_with('/') && !next[1..].starts_with(['/', '\\']) && !next.contains(char::is_control);
    if local { next } else { "/" }
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    frame: Bare,
    next: &'a str,
    name: &'a str,
    problem: String,
}

fn page<'a>(next: &'a str, name: &'a str, problem: String) -> SignInPage<'a> {
    SignInPage { frame: Bare::new(), next, name, problem }
}

/// `?next=` of the sign-in page.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    next: String,
}

/// `GET /sign-in`.
pub async fn sign_in_page(Query(asked): Query<Asked>) -> Result<Response, Fault> {
    show_as(StatusCode::OK, &page(own_path(&asked.next), "", String::new()))
}

/// The browser that asks.
pub fn browser(peer: Option<&ConnectInfo<SocketAddr>>, headers: &HeaderMap) -> Browser {
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0.ip().to_canonical());
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("");
    Browser { peer, agent: agent.to_owned() }
}

/// The address of the browser's end, where the server knows it.
pub type Peer = Option<axum::Extension<ConnectInfo<SocketAddr>>>;

/// `POST /sign-in`. Whoever holds a one-time password goes to Setup, which asks for a new one first.
pub async fn sign_in(
    State(state): State<AppState>,
    peer: Peer,
    uri: Uri,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Fault> {
    let browser = browser(peer.as_deref(), &headers);
    let (name, next) = (form.get("name"), own_path(form.raw("next")));
    let entry = state.access.sign_in(name, form.raw("password"), &browser, state.clock.now_us()).await;
    match entry {
        Ok(entry) => entered(&state, entry, next, request_host(&uri, &headers)),
        Err(error) => match refused(&error) {
            Some((status, problem)) => show_as(status, &page(next, name, problem)),
            None => Err(error.into()),
        },
    }
}

/// Why somebody is not let in, where the form can be tried again.
fn refused(error: &access::Error) -> Option<(StatusCode, String)> {
    match error {
        access::Error::WrongPassword => Some((StatusCode::UNAUTHORIZED, texts::text("sign-in-wrong"))),
        access::Error::Code => Some((StatusCode::UNAUTHORIZED, texts::text("code-wrong"))),
        access::Error::Locked { wait_s } => {
            Some((StatusCode::TOO_MANY_REQUESTS, texts::text_n("sign-in-slow", *wait_s)))
        }
        _ => None,
    }
}

/// After a right password: in, or to the code of the second factor.
pub fn entered(state: &AppState, entry: SignIn, next: &str, host: Option<&str>) -> Result<Response, Fault> {
    match entry {
        SignIn::Done(signed_in) => let_in(state, &signed_in, next, host),
        SignIn::Code(ticket) => show(&code_page(&ticket.0, next, String::new())),
    }
}

fn let_in(state: &AppState, signed_in: &SignedIn, next: &str, host: Option<&str>) -> Result<Response, Fault> {
    let target = if signed_in.caller.must_change_password { "/setup" } else { next };
    with_cookie(Redirect::to(target).into_response(), &signed_in.cookie, is_https(state, host), None)
}

#[derive(Template)]
#[template(path = "sign_in_code.html")]
struct CodePage<'a> {
    frame: Bare,
    ticket: &'a str,
    next: &'a str,
    problem: String,
}

fn code_page<'a>(ticket: &'a str, next: &'a str, problem: String) -> CodePage<'a> {
    CodePage { frame: Bare::new(), ticket, next, problem }
}

/// `POST /sign-in/code`: the second factor.
pub async fn code(
    State(state): State<AppState>,
    peer: Peer,
    uri: Uri,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Fault> {
    let browser = browser(peer.as_deref(), &headers);
    let (ticket, next) = (Ticket(form.get("ticket").to_owned()), own_path(form.raw("next")));
    match state.access.second_factor(&ticket, form.get("code"), &browser, state.clock.now_us()).await {
        Ok(signed_in) => let_in(&state, &signed_in, next, request_host(&uri, &headers)),
        Err(access::Error::Link) => {
            show_as(StatusCode::UNAUTHORIZED, &page(next, "", texts::text("code-late")))
        }
        Err(error) => match refused(&error) {
            Some((status, problem)) => show_as(status, &code_page(&ticket.0, next, problem)),
            None => Err(error.into()),
        },
    }
}

/// `POST /sign-out`.
pub async fn sign_out(viewer: Viewer, State(state): State<AppState>) -> Result<Response, Fault> {
    state.access.sign_out(&viewer.cookie).await?;
    with_cookie(Redirect::to("/sign-in").into_response(), "", false, Some(0))
}

/// Whether the browser came by the public name and that is an https one: then the cookie is for https only.
fn is_https(state: &AppState, host: Option<&str>) -> bool {
    let public = state.public_url();
    let Some(name) = public.strip_prefix("https://") else { return false };
    host.is_some_and(|host| name.split('/').next().is_some_and(|own| own.eq_ignore_ascii_case(host)))
}

fn with_cookie(
    mut response: Response,
    value: &str,
    secure: bool,
    age_s: Option<u32>,
) -> Result<Response, Fault> {
    let mut cookie = format!("{SESSION_COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax");
    if secure {
        cookie.push_str("; Secure");
    }
    if let Some(age_s) = age_s {
        cookie.push_str(&format!("; Max-Age={age_s}"));
    }
    let value = HeaderValue::from_str(&cookie).map_err(|error| Fault::internal(&error))?;
    response.headers_mut().append(header::SET_COOKIE, value);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_never_leaves_this_server() {
        assert_eq!(own_path("/deliveries/1?x=1"), "/deliveries/1?x=1");
        for other in ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\nb"] {
            assert_eq!(own_path(other), "/", "{other:?}");
        }
    }

    #[test]
    fn the_cookie_is_out_of_reach_of_scripts_and_other_sites() {
        let response = with_cookie(StatusCode::OK.into_response(), "v", true, None).unwrap();
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
        for word in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/"] {
            assert!(cookie.contains(word), "{cookie}");
        }
    }
}
