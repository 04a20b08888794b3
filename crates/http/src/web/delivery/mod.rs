//! One delivery: the frame with the key steps and tabs, and a file for each tab.

pub mod analysis;
pub mod approval;
pub mod compare;
pub mod confirm;
pub mod content;
pub mod elements;
pub mod files;
mod frame;
pub mod links;
pub mod live;
pub mod log;
mod owner;
pub mod parameters;
pub mod preview;
pub mod proofs;
pub mod schedule;
pub mod sheet;
mod steps;
pub mod target;
pub mod validation;
pub mod variants;
pub mod watch;
mod winner;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};

pub use schedule::zones;

use super::deliveries;
use crate::state::AppState;

/// The routes below `/deliveries`.
pub fn routes() -> Router<AppState> {
    let one = Router::new()
        .route("/", get(deliveries::open))
        .route("/duplicate", post(deliveries::duplicate))
        .route("/template", post(deliveries::keep_as_template))
        .route("/archive", post(deliveries::archive))
        .route("/unarchive", post(deliveries::unarchive))
        .route("/delete", post(deliveries::delete))
        .route("/content", get(content::view).post(content::save))
        .route("/content/live", post(live::check))
        .route("/content/presence", post(live::presence))
        .route("/preview", get(preview::view))
        .route("/preview/html", get(preview::html))
        .route("/files", get(files::view).post(files::save))
        .route("/files/attachments", post(files::attachments))
        .route("/files/delete", post(files::delete))
        .route("/files/{hash}", get(files::picture))
        .route("/links", get(links::view).post(links::save))
        .route("/target", get(target::view).post(target::save))
        .route("/target/estimate", post(target::estimate))
        .route("/schedule", get(schedule::view).post(schedule::save))
        .route("/validation", get(validation::view).post(validation::save))
        .route("/owner", post(owner::give))
        .route("/variants", get(variants::view).post(variants::save))
        .route("/parameters", get(parameters::view).post(parameters::save))
        .route("/proofs", get(proofs::view).post(proofs::send))
        .route("/analysis", get(analysis::view).post(analysis::start))
        .route("/analysis/stop", post(analysis::stop))
        .route("/analysis/stream", get(analysis::stream))
        .route("/analysis/compare", get(compare::view))
        .route("/approve", post(approval::approve))
        .route("/reject", post(approval::reject))
        .route("/approvals/remind", post(approval::remind))
        .route("/confirm", get(confirm::view).post(confirm::confirm))
        .route("/watch", get(watch::view))
        .route("/watch/stream", get(watch::stream))
        .route("/winner", post(winner::choose))
        .route("/pause", post(confirm::pause))
        .route("/resume", post(confirm::resume))
        .route("/stop", post(confirm::stop))
        .route("/log", get(log::view))
        .route("/log.csv", get(log::export))
        .route("/messages/{message}", get(log::message))
        .route("/messages/{message}/mirror", get(log::mirror))
        .route("/messages/{message}/source", get(log::source));
    // A layer counts for the routes above it, so uploads have a larger limit than the forms of other pages.
    let uploads = Router::new()
        .route("/files/upload", post(files::upload))
        .route("/files/attach", post(files::attach))
        .route("/target/file", post(target::upload))
        .layer(DefaultBodyLimit::max(files::UPLOAD_BYTES_MAX));
    let one = one.merge(uploads);
    Router::new()
        .route("/", get(deliveries::index))
        .route("/new", get(deliveries::new).post(deliveries::create))
        .nest("/{id}", one)
}
