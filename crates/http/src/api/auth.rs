//! Who asks: a bearer token, the local token of this machine's command line, or the browser's session cookie.

use std::net::SocketAddr;

use access::{Caller, SESSION_COOKIE};
use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{acts::Looked, guard, problem::Problem, state::AppState};

/// Headers that say that somebody else stands between the caller and us.
const FORWARDING: [&str; 4] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/// The layer around the API: lets signed-in callers through who may do what they ask, with their [`Caller`] as an
/// extension, and writes down what was done.
pub(super) async fn require(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let admitted = admit(&state, &mut parts).await;
    match admitted {
        Ok((caller, looked)) => {
            parts.extensions.insert(caller.clone());
            let work = next.run(Request::from_parts(parts, body));
            looked.run(&state, Some(&caller), work).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn admit(state: &AppState, parts: &mut Parts) -> Result<(Caller, Looked), Problem> {
    let caller = caller(state, parts).await?;
    let looked = Looked::up(parts, state).await?;
    looked.check(&caller)?;
    Ok((caller, looked))
}

async fn caller(state: &AppState, request: &Parts) -> Result<Caller, Problem> {
    let headers = &request.headers;
    let now_us = state.clock.now_us();
    if let Some(token) = bearer(headers)? {
        if state.access.is_local_token(token) {
            return if is_local(request) { Ok(Caller::local()) } else { Err(refused()) };
        }
        return state.access.verify_token(token, now_us).await?.ok_or_else(refused);
    }
    let Some(cookie) = cookie(headers) else { return Err(refused()) };
    if !same_origin(request) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "A request with the session cookie that changes something must come from this server's own pages.",
        ));
    }
    let caller = state.access.session(cookie, now_us).await?.ok_or_else(refused)?;
    if caller.must_change_password {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "password_change",
            "Change the one-time password first, on the sign-in page.",
        ));
    }
    Ok(caller)
}

/// Whether somebody may read the figures of `/metrics`: who is signed in, and who asks on this machine itself. The
/// latter by a name of ours, so that a page elsewhere that points its own name at this machine reads nothing.
pub async fn may_watch(state: &AppState, request: &Parts) -> Result<(), Problem> {
    let named = guard::request_host(&request.uri, &request.headers);
    let ours = named.is_some_and(|host| state.hosts().allows(host));
    let asks = request.headers.contains_key(header::AUTHORIZATION) || cookie(&request.headers).is_some();
    if ours && !asks && is_local(request) {
        return Ok(());
    }
    caller(state, request).await.map(drop)
}

fn refused() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "Sign in, or send a valid token as Authorization: Bearer.",
    )
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().map_err(|_| refused())?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(refused()),
    }
}

/// The value of the session cookie.
pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == SESSION_COOKIE).then_some(value)
        })
}

/// A loopback peer that speaks for itself. A proxy on this machine would be a loopback peer for everybody.
fn is_local(request: &Parts) -> bool {
    let peer = request.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
    peer.is_some_and(|ip| ip.is_loopback())
        && FORWARDING.iter().all(|name| !request.headers.contains_key(*name))
}

/// Whether a request that changes something comes from one of our own pages. Browsers send `Sec-Fetch-Site`, older ones
/// `Origin`; a caller that sends neither is no browser page that could be tricked into it.
fn same_origin(request: &Parts) -> bool {
    let headers = &request.headers;
    if request.method.is_safe() {
        return true;
    }
    if let Some(site) = headers.get("sec-fetch-site") {
        return matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok()) else { return true };
    let host = guard::request_host(&request.uri, headers);
    origin.split_once("://").map(|(_, host)| host) == host
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(peer: &str, headers: &[(&str, &str)]) -> Parts {
        let mut builder = Request::post("/api/v1/lists").header("host", "localhost:8025");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let mut request = builder.body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        request.into_parts().0
    }

    #[test]
    fn the_local_token_is_for_direct_loopback_peers() {
        assert!(is_local(&request("127.0.0.1:5000", &[])));
        assert!(is_local(&request("[::1]:5000", &[])));
        assert!(is_local(&request("[::ffff:127.0.0.1]:5000", &[])));
        assert!(!is_local(&request("192.0.2.1:5000", &[])));
        assert!(!is_local(&request("127.0.0.1:5000", &[("x-forwarded-for", "192.0.2.1")])));
    }

    #[test]
    fn a_cookie_request_from_elsewhere_changes_nothing() {
        let from = |headers: &[(&str, &str)]| same_origin(&request("127.0.0.1:5000", headers));
        assert!(from(&[("sec-fetch-site", "same-origin")]));
        assert!(!from(&[("sec-fetch-site", "cross-site")]));
        assert!(!from(&[("sec-fetch-site", "same-site")]));
        assert!(from(&[("origin", "http://localhost:8025")]));
        assert!(!from(&[("origin", "http://evil.example")]));
        assert!(!from(&[("origin", "null")]));
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append("cookie", "a=b; mailwright_session=xyz; c=d".parse().unwrap());
        assert_eq!(cookie(&headers), Some("xyz"));
        headers.clear();
        headers.append("cookie", "xmailwright_session=xyz".parse().unwrap());
        assert_eq!(cookie(&headers), None);
    }
}
