//! REST under `/api/v1`. One file per resource; a handler reads the request, calls one function of a room, and renders.

mod ab;
pub mod analysis;
mod approval;
mod archive;
mod assets;
mod audit;
pub mod auth;
mod backup;
mod blocks;
pub mod body;
mod calendar;
mod clicks;
pub mod deliveries;
mod domains;
mod editing;
mod error;
mod events;
mod format_rules;
pub mod health;
pub(crate) mod idempotency;
pub mod imports;
pub mod life;
mod lists;
pub mod log;
mod me;
mod notices;
pub mod openapi;
mod operate;
pub mod page;
mod paths;
mod push;
mod quarantine;
mod recipients;
mod rotation;
mod rounds;
mod seeds;
mod segments;
mod services;
mod settings;
pub mod shape;
mod shaping;
mod sources;
mod suppression;
mod templates;
mod test_mail;
mod tls;
mod typologies;
mod users;
mod warm_ups;

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use crate::{acts::Told, guard, limits::BODY_BYTES_MAX, problem::Problem, state::AppState};

/// The whole API, for callers that are signed in.
pub fn router(state: &AppState) -> Router<AppState> {
    let clock = std::sync::Arc::clone(&state.clock);
    let answers = idempotency::Answers::new(move || clock.now_us());
    let api = resources(answers)
        .fallback(|| async { Problem::not_found("resource") })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "This resource does not know that method.")
        })
        .layer(from_fn_with_state(state.clone(), auth::require));
    Router::new().nest("/api/v1", api)
}

/// All resources, without what stands before them.
pub(crate) fn resources(answers: idempotency::Answers) -> Router<AppState> {
    let sending = life::sending_routes()
        .merge(ab::sending_routes())
        .merge(analysis::sending_routes())
        .merge(approval::sending_routes())
        .merge(test_mail::sending_routes())
        .merge(deliveries::making_routes())
        .merge(templates::making_routes())
        .layer(from_fn_with_state(answers, idempotency::once));
    let ordinary = Router::new()
        .merge(sending)
        .merge(ab::routes())
        .merge(analysis::routes())
        .merge(approval::routes())
        .merge(archive::routes())
        .merge(assets::routes())
        .merge(audit::routes())
        .merge(blocks::routes())
        .merge(calendar::routes())
        .merge(clicks::routes())
        .merge(deliveries::routes())
        .merge(domains::routes())
        .merge(editing::routes())
        .merge(events::routes())
        .merge(format_rules::routes())
        .merge(imports::routes())
        .merge(life::routes())
        .merge(lists::routes())
        .merge(notices::routes())
        .merge(openapi::routes())
        .merge(log::routes())
        .merge(me::routes())
        .merge(operate::routes())
        .merge(paths::routes())
        .merge(quarantine::routes())
        .merge(recipients::routes())
        .merge(seeds::routes())
        .merge(rotation::routes())
        .merge(rounds::routes())
        .merge(segments::routes())
        .merge(services::routes())
        .merge(settings::routes())
        .merge(shaping::routes())
        .merge(sources::routes())
        .merge(suppression::routes())
        .merge(templates::routes())
        .merge(tls::routes())
        .merge(typologies::routes())
        .merge(users::routes())
        .merge(warm_ups::routes())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .merge(push::routes())
        .merge(assets::upload_routes())
        .layer(from_fn(guard::time_limit));
    // These may take as long as their bytes do.
    let long = imports::upload_routes()
        .merge(suppression::upload_routes())
        .merge(backup::routes())
        .merge(audit::export_routes())
        .merge(operate::long_routes());
    ordinary.merge(long)
}

/// 201 with the new thing, which also tells the audit log what it is called.
fn created(document: &Value) -> Response {
    let word = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    let named = ["name", "label", "domain"].into_iter().find(|name| document[name].is_string());
    let (id, name) = (word("id"), named.map(word).unwrap_or_default());
    // A recipient's name is none of the log's business; what has an address is one.
    let name = if document["email"].is_string() { String::new() } else { name };
    let told = if id.is_empty() { Told::about(name) } else { Told { subject: id, detail: name } };
    told.on((StatusCode::CREATED, Json(document.clone())).into_response())
}
