//! Forms count only when our own pages sent them.
//!
//! The session cookie is `SameSite=Lax`, so another site's POST comes without it; this check stands in front for browsers
//! that say where a request comes from (`Sec-Fetch-Site`, else `Origin`). A request that says neither comes from no
//! browser page; it still needs the cookie.

use axum::{
    extract::Request,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{fault::Fault, texts};
use crate::{guard::request_host, problem::Problem};

/// The middleware.
pub async fn check(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if reads || is_ours(request.uri(), request.headers()) {
        return next.run(request).await;
    }
    Fault(Problem::new(StatusCode::FORBIDDEN, "cross_site", texts::text("fault-cross-site"))).into_response()
}

fn is_ours(uri: &Uri, headers: &HeaderMap) -> bool {
    let says = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = says("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = says(header::ORIGIN.as_str()) else { return true };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_some()
        && host.map(str::to_ascii_lowercase) == request_host(uri, headers).map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(fields: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, value.parse().unwrap());
        }
        is_ours(&Uri::from_static("/sign-out"), &headers)
    }

    #[test]
    fn other_sites_are_refused() {
        assert!(ours(&[("host", "a.example"), ("sec-fetch-site", "same-origin")]));
        assert!(ours(&[("host", "a.example"), ("sec-fetch-site", "none")]));
        assert!(!ours(&[("host", "a.example"), ("sec-fetch-site", "same-site")]));
        assert!(!ours(&[("host", "a.example"), ("sec-fetch-site", "cross-site")]));
        assert!(ours(&[("host", "a.example:8025"), ("origin", "http://A.example:8025")]));
        assert!(!ours(&[("host", "a.example"), ("origin", "http://b.example")]));
        assert!(!ours(&[("host", "a.example"), ("origin", "null")]));
        assert!(ours(&[("host", "a.example")]));
    }
}
