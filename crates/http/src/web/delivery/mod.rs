//! One delivery: the frame with the key steps and tabs, and a file for each tab.

pub mod analysis;
pub mod confirm;
pub mod content;
mod frame;
pub mod log;
pub mod parameters;
pub mod preview;
pub mod proofs;
mod steps;
pub mod target;
pub mod watch;

use axum::{
    Router,
    routing::{get, post},
};

use super::deliveries;
use crate::state::AppState;

/// The routes below `/deliveries`.
pub fn routes() -> Router<AppState> {
    let one = Router::new()
        .route("/", get(deliveries::open))
        .route("/duplicate", post(deliveries::duplicate))
        .route("/archive", post(deliveries::archive))
        .route("/unarchive", post(deliveries::unarchive))
        .route("/delete", post(deliveries::delete))
        .route("/content", get(content::view).post(content::save))
        .route("/preview", get(preview::fragment))
        .route("/preview/html", get(preview::html))
        .route("/target", get(target::view).post(target::save))
        .route("/parameters", get(parameters::view).post(parameters::save))
        .route("/proofs", get(proofs::view).post(proofs::send))
        .route("/analysis", get(analysis::view).post(analysis::start))
        .route("/analysis/stop", post(analysis::stop))
        .route("/analysis/stream", get(analysis::stream))
        .route("/confirm", post(confirm::confirm))
        .route("/watch", get(watch::view))
        .route("/watch/stream", get(watch::stream))
        .route("/pause", post(confirm::pause))
        .route("/resume", post(confirm::resume))
        .route("/stop", post(confirm::stop))
        .route("/log", get(log::view))
        .route("/log.csv", get(log::export))
        .route("/messages/{message}", get(log::message));
    Router::new()
        .route("/", get(deliveries::index))
        .route("/new", get(deliveries::new).post(deliveries::create))
        .nest("/{id}", one)
}
