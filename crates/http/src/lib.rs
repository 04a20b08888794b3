//! # http: every face that speaks HTTP
//!
//! The doors, one house behind them:
//!
//! - [`api`]: REST under `/api/v1`, for the command line and for programs. Bearer tokens (or the session
//!   cookie), keyset paging, `Idempotency-Key` on whatever sends, `application/problem+json` errors that
//!   name the field.
//! - [`web`]: the pages people work in.
//! - [`metrics`]: figures for Prometheus, beside the API because that looks for them there.
//! - [`public`]: what recipients reach: tracked links, the open pixel, mirror pages, pictures, the unsubscribe page and
//!   its one-click POST. It reads no cookie, and may have a listener of its own (`public_listen`).
//!
//! **Owns** no table. A handler parses, calls one function of a room, and renders; the only place where
//! status codes exist is [`problem::Problem`], and rooms below never learn HTTP.
//!
//! **Invariants.** Admin routes answer only to a Host that is ours ([`guard`]), which stops DNS rebinding.
//! Nothing a recipient's mail program may fetch by itself (GET) changes anything. Bodies, times and numbers of
//! connections are bounded ([`limits`]). Addresses, tokens and bodies are never logged.
//!
//! **Neighbours.** Imports all rooms; the binary builds [`state::Services`] and serves [`admin_router`] and
//! [`public_router`].

pub mod acts;
pub mod api;
mod audit;
pub mod clicks;
pub mod guard;
pub mod imports;
pub mod limits;
mod links;
pub mod listener;
pub mod metrics;
pub mod mirror;
mod operating;
pub mod paths;
pub mod problem;
pub mod public;
pub mod source;
pub mod state;
pub mod web;

pub use axum::Router;

use axum::{
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};

use state::AppState;

/// What `listen` serves: API, pages, health, and the public door too unless that has a listener of its own.
pub fn admin_router(state: &AppState, with_public: bool) -> Router {
    let admin =
        api::router(state).merge(web::router(state)).layer(from_fn_with_state(state.clone(), own_host));
    let mut router = admin.merge(api::health::routes()).merge(metrics::routes());
    if with_public {
        router = router.merge(public::router());
    }
    guard::wrap(router).with_state(state.clone())
}

/// What `public_listen` serves: only what recipients reach.
pub fn public_router(state: &AppState) -> Router {
    let router = public::router().merge(api::health::routes()).fallback(public::nothing_here);
    guard::wrap(router).with_state(state.clone())
}

/// Refuses requests to the admin side under a host name that is not ours.
async fn own_host(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let host = guard::request_host(request.uri(), request.headers());
    if host.is_some_and(|host| state.hosts().allows(host)) {
        next.run(request).await
    } else {
        guard::refuse_host()
    }
}
