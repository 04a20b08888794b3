//! Signing in and out, and who is signed in.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use access::{Caller, SESSION_COOKIE};
use askama::Template;
use axum::{
    extract::{ConnectInfo, FromRequestParts, Query, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{
    assets,
    fault::Fault,
    filters,
    form::Form,
    page::{is_fragment, show_as},
    texts,
};
use crate::{api::auth::cookie, guard::request_host, state::{AppState, acting}};

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
        match state.access.session(&value, state.clock.now_us()).await {
            Ok(Some(caller)) => Ok(Viewer { name: caller.name.clone(), caller, cookie: value }),
            Ok(None) => Err(to_sign_in(parts)),
            Err(error) => Err(Fault::from(error).into_response()),
        }
    }
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
    css: String,
    mark: String,
    next: &'a str,
    name: &'a str,
    problem: String,
}

fn page<'a>(next: &'a str, name: &'a str, problem: String) -> SignInPage<'a> {
    SignInPage { css: assets::url("app.css"), mark: assets::url("mark.svg"), next, name, problem }
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

/// `POST /sign-in`. Whoever holds a one-time password goes to Setup, which asks for a new one first.
pub async fn sign_in(
    State(state): State<AppState>,
    peer: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
    uri: Uri,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Fault> {
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0.0.ip().to_canonical());
    let (name, next) = (form.get("name"), own_path(form.raw("next")));
    let signed_in = state.access.sign_in(name, form.raw("password"), peer, state.clock.now_us()).await;
    let signed_in = match signed_in {
        Ok(signed_in) => signed_in,
        Err(access::Error::WrongPassword) => {
            let problem = texts::text("sign-in-wrong");
            return show_as(StatusCode::UNAUTHORIZED, &page(next, name, problem));
        }
        Err(access::Error::Locked { wait_s }) => {
            let problem = texts::text_n("sign-in-slow", wait_s);
            return show_as(StatusCode::TOO_MANY_REQUESTS, &page(next, name, problem));
        }
        Err(error) => return Err(error.into()),
    };
    let target = if signed_in.caller.must_change_password { "/setup" } else { next };
    let secure = is_https(&state, request_host(&uri, &headers));
    with_cookie(Redirect::to(target).into_response(), &signed_in.cookie, secure, None)
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
