//! What stands before every handler: the Host check of admin routes, security headers, the time limit and the
//! catch for panics.

use std::net::{IpAddr, SocketAddr};

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{limits::HANDLER_TIME_MAX, problem::Problem};

/// The names under which the admin side answers. Anything else is refused, so that a page elsewhere that points its
/// own name at 127.0.0.1 (DNS rebinding) reaches nothing.
#[derive(Clone, Debug)]
pub struct Hosts {
    listen: Option<IpAddr>,
    public: Option<String>,
}

impl Hosts {
    /// `listen` is the address the server is bound to; `public_url` is the URL from the settings, if any.
    pub fn new(listen: SocketAddr, public_url: Option<&str>) -> Self {
        let listen = Some(listen.ip()).filter(|ip| !ip.is_unspecified());
        let public = public_url
            .and_then(|text| url::Url::parse(text).ok())
            .and_then(|parsed| parsed.host_str().map(str::to_ascii_lowercase));
        Self { listen, public }
    }

    /// Whether this `Host` value (with or without port) is one of ours.
    pub fn allows(&self, host: &str) -> bool {
        let Some(name) = host_name(host) else { return false };
        if name == "localhost" || name.ends_with(".localhost") {
            return true;
        }
        if let Ok(ip) = name.parse::<IpAddr>() {
            return ip.is_loopback() || self.listen == Some(ip) || self.public.as_deref() == Some(&name);
        }
        self.public.as_deref() == Some(name.as_str())
    }
}

/// The name in a Host value: lower case, without port, brackets and a final dot.
fn host_name(host: &str) -> Option<String> {
    let name = if let Some(rest) = host.strip_prefix('[') {
        rest.split_once(']')?.0
    } else {
        host.rsplit_once(':').map_or(host, |(name, _)| name)
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    (!name.is_empty()).then_some(name)
}

/// The host a request names: the request line's (absolute form) or the `Host` header's.
pub fn request_host<'a>(uri: &'a Uri, headers: &'a axum::http::HeaderMap) -> Option<&'a str> {
    uri.authority()
        .map(axum::http::uri::Authority::as_str)
        .or_else(|| headers.get(header::HOST).and_then(|value| value.to_str().ok()))
}

/// Answers 421 (Misdirected Request) when the Host is not ours.
pub fn refuse_host() -> Response {
    Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "wrong_host",
        "This server does not answer under that host name. Use the listen address, a loopback name, or set public_url.",
    )
    .into_response()
}

/// Adds the headers every answer carries. A handler that set one of them itself keeps its own.
pub async fn security_headers(request: Request, next: Next) -> Response {
    const HEADERS: [(HeaderName, &str); 6] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; \
             frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Answers 503 when a handler takes longer than [`HANDLER_TIME_MAX`]. The time until the answer's head counts, so
/// streamed answers may run on.
pub async fn time_limit(request: Request, next: Next) -> Response {
    match tokio::time::timeout(HANDLER_TIME_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            Problem::unavailable("This took too long; the work may go on. Look again later.").into_response()
        }
    }
}

/// Puts the catch for panics and the security headers around a router; outermost last.
pub fn wrap<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router
        .layer(CatchPanicLayer::custom(|_cause: Box<dyn std::any::Any + Send>| {
            Problem::internal(&"a handler panicked").into_response()
        }))
        .layer(axum::middleware::from_fn(security_headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(listen: &str, public: Option<&str>) -> Hosts {
        Hosts::new(listen.parse().unwrap(), public)
    }

    #[test]
    fn loopback_names_are_ours() {
        let hosts = hosts("127.0.0.1:8025", None);
        for host in ["localhost", "LOCALHOST:8025", "127.0.0.1:1", "127.9.9.9", "[::1]:8025", "a.localhost"] {
            assert!(hosts.allows(host), "{host}");
        }
        for host in
            ["", "evil.example", "localhost.evil.example", "10.0.0.1", "[::2]", "127.0.0.1.evil.example"]
        {
            assert!(!hosts.allows(host), "{host}");
        }
    }

    #[test]
    fn the_listen_address_and_the_public_name_are_ours() {
        let hosts = hosts("192.0.2.7:80", Some("https://Mail.Shop.example/x"));
        assert!(hosts.allows("192.0.2.7"));
        assert!(hosts.allows("mail.shop.example:443"));
        assert!(hosts.allows("mail.shop.example."));
        assert!(!hosts.allows("192.0.2.8"));
        assert!(!hosts.allows("shop.example"));
        assert!(!hosts_unspecified().allows("0.0.0.0"));
    }

    fn hosts_unspecified() -> Hosts {
        hosts("0.0.0.0:80", None)
    }
}
