//! Sending, as its operator sees it: what goes where at this moment and why not faster, from which addresses, under which
//! limits; and what can be done about it.
//!
//! Everybody who is signed in may look. What changes something, and the forms for it, are the administrators'.

mod changes;
mod fields;
mod limits;
mod operate;
mod paths;
mod refused;
mod site;
mod sources;
mod tls;
mod trace;
mod verdicts;
mod warm_ups;

use axum::{
    Router,
    routing::{get, post},
};

use crate::state::AppState;

/// The pages under `/sending`.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/paths", get(paths::view))
        .route("/paths/stream", get(paths::stream))
        .route("/paths/{site}", get(site::view))
        .route("/paths/{site}/stream", get(site::stream))
        .route("/paths/{site}/trace", get(trace::view))
        .route("/paths/{site}/trace/stream", get(trace::stream))
        .route("/paths/{site}/suspend", post(operate::suspend))
        .route("/paths/{site}/resume", post(operate::resume))
        .route("/paths/{site}/drain", post(operate::drain))
        .route("/paths/{site}/forget", post(operate::forget))
        .route("/paths/{site}/retry-now", post(operate::retry_now))
        .route("/paths/{site}/drop", post(operate::drop_waiting))
        .route("/paths/{site}/pool", post(operate::move_pool))
        .route("/verdicts", get(verdicts::index).post(verdicts::put))
        .route("/verdicts/lift", post(verdicts::lift))
        .route("/limits", get(limits::index))
        .route("/limits/{name}", get(limits::view).post(limits::save))
        .route("/limits/{name}/reset", post(limits::reset))
        .route("/changes", get(changes::view))
        .route("/tls", get(tls::view))
        .merge(origins())
}

/// Where mail leaves from.
fn origins() -> Router<AppState> {
    Router::new()
        .route("/sources", get(sources::index))
        .route("/sources/new", get(sources::new).post(sources::create))
        .route("/sources/{name}", get(sources::view).post(sources::save))
        .route("/sources/{name}/delete", post(sources::delete))
        .route("/warm-ups", get(warm_ups::index))
        .route("/warm-ups/new", get(warm_ups::new).post(warm_ups::create))
        .route("/warm-ups/{source}/{provider}", get(warm_ups::view).post(warm_ups::save))
        .route("/warm-ups/{source}/{provider}/delete", post(warm_ups::delete))
}
