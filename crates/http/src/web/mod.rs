//! The pages: rendered on the server, usable without scripts, made pleasant by htmx.
//!
//! **How a page is made.** A handler takes the signed-in [`page::Desk`], asks one room or a few, fills a template's
//! struct, and shows it. Words come from `texts/en.ftl` by key ([`texts`]); figures are written by [`format`]; charts
//! are SVG by [`chart`]. A form that is refused is shown again as it was typed, with the reason.
//!
//! **Invariants.** No inline script or style anywhere, so the policy `default-src 'self'` holds. HTML of authors and of
//! arrived mail is never part of a page: it stands in a frame without rights. Forms count only from our own pages
//! ([`same_site`]). What cannot be undone asks first. Nothing here changes anything on GET.

mod account;
mod archive;
mod assets;
mod audit;
mod blocks;
mod calendar;
mod chart;
mod deliveries;
mod delivery;
mod domains;
mod fault;
mod filters;
mod findings;
mod form;
mod format;
mod formats;
mod help;
mod home;
mod icons;
mod imports;
mod lists;
mod mailbox;
mod notices;
mod page;
mod password;
mod person;
mod picks;
mod quarantine;
mod reader;
mod recipients;
mod rule_form;
mod said;
mod same_site;
mod second_factor;
mod seeds;
mod segment_form;
mod segments;
mod sending;
mod services;
mod session;
mod settings;
mod setup;
mod stream;
mod suppression;
mod templates;
mod texts;
mod tokens;
mod typologies;
mod uploads;
mod users;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{get, post},
};

use crate::state::AppState;

/// All pages. The caller puts the Host check and the security headers around it.
pub fn router(state: &AppState) -> Router<AppState> {
    let guard = from_fn_with_state(state.clone(), session::guard);
    let guarded = pages().layer(guard).layer(from_fn(same_site::check)).layer(from_fn(session::keep_uri));
    guarded.route("/assets/{name}", get(assets::serve))
}

/// The pages without what stands before them.
pub(crate) fn pages() -> Router<AppState> {
    let pages = Router::new()
        .route("/", get(home::view))
        .route("/sign-in", get(session::sign_in_page).post(session::sign_in))
        .route("/sign-in/code", post(session::code))
        .route("/password/{token}", get(password::view).post(password::choose))
        .route("/password/forgotten", get(password::forgotten).post(password::ask))
        .route("/sign-out", post(session::sign_out))
        .route("/setup", get(setup::begin))
        .route("/setup/{step}", get(setup::view).post(setup::act))
        .nest("/deliveries", delivery::routes())
        .route("/calendar", get(calendar::view))
        .route("/notices", get(notices::view))
        .route("/notices/read", post(notices::read))
        .merge(typologies::routes())
        .nest("/sending", sending::routes())
        .merge(content())
        .merge(audience())
        .merge(system())
        .merge(own_account())
        .fallback(fault::nowhere)
        .layer(DefaultBodyLimit::max(form::FORM_BYTES_MAX));
    let uploads = Router::new()
        .route("/imports/upload", post(imports::upload))
        .route("/suppression/upload", post(suppression::upload))
        .layer(DefaultBodyLimit::disable());
    pages.merge(uploads)
}

fn content() -> Router<AppState> {
    Router::new()
        .route("/templates", get(templates::index).post(templates::create))
        .route("/templates/{id}/delete", post(templates::delete))
        .route("/blocks", get(blocks::index))
        .route("/blocks/new", get(blocks::new).post(blocks::create))
        .route("/blocks/live", post(blocks::live))
        .route("/blocks/preview", get(blocks::preview))
        .route("/blocks/block/{name}", get(blocks::view).post(blocks::save))
        .route("/blocks/block/{name}/delete", post(blocks::delete))
}

fn audience() -> Router<AppState> {
    Router::new()
        .route("/recipients", get(recipients::index))
        .route("/recipients/new", get(recipients::new).post(recipients::create))
        .route("/recipients/{id}", get(recipients::view).post(recipients::save))
        .route("/recipients/{id}/denylist", post(recipients::denylist))
        .route("/recipients/{id}/delete", post(recipients::delete))
        .route("/lists", get(lists::index).post(lists::create))
        .route("/lists/{id}/rename", post(lists::rename))
        .route("/lists/{id}/delete", post(lists::delete))
        .route("/segments", get(segments::index))
        .route("/segments/new", get(segments::new).post(segments::create))
        .route("/segments/count", post(segments::count))
        .route("/segments/{id}", get(segments::view).post(segments::save))
        .route("/segments/{id}/delete", post(segments::delete))
        .merge(seeds_and_services())
        .route("/imports", get(imports::index))
        .route("/imports/new", get(imports::new))
        .route("/imports/map", get(imports::map))
        .route("/imports/start", post(imports::start))
        .route("/imports/{id}", get(imports::view))
        .route("/imports/{id}/stream", get(imports::stream))
        .route("/imports/{id}/cancel", post(imports::cancel))
        .route("/imports/{id}/again", post(imports::again))
        .route("/imports/{id}/rejects.csv", get(imports::rejects))
        .route("/quarantine", get(quarantine::index))
        .route("/quarantine/release", post(quarantine::release))
}

fn seeds_and_services() -> Router<AppState> {
    Router::new()
        .route("/services", get(services::index).post(services::create))
        .route("/services/{id}/rename", post(services::rename))
        .route("/services/{id}/delete", post(services::delete))
        .route("/seeds", get(seeds::index))
        .route("/seeds/new", get(seeds::new).post(seeds::create))
        .route("/seeds/groups", post(seeds::create_group))
        .route("/seeds/groups/{id}", get(seeds::view_group).post(seeds::save_group))
        .route("/seeds/groups/{id}/delete", post(seeds::delete_group))
        .route("/seeds/{id}", get(seeds::view).post(seeds::save))
        .route("/seeds/{id}/delete", post(seeds::delete))
        .route("/suppression", get(suppression::index).post(suppression::add))
        .route("/suppression/remove", post(suppression::remove))
}

fn own_account() -> Router<AppState> {
    Router::new()
        .route("/account", get(account::view))
        .route("/account/profile", post(account::profile))
        .route("/account/password", post(account::password))
        .route("/account/second-factor", get(second_factor::view).post(second_factor::act))
        .route("/account/sessions/end", post(account::end_others))
        .route("/account/sessions/{id}/end", post(account::end))
}

fn system() -> Router<AppState> {
    Router::new()
        .route("/domains", get(domains::index).post(domains::add))
        .route("/domains/{domain}", get(domains::view))
        .route("/domains/{domain}/delete", post(domains::delete))
        .route("/domains/{domain}/also", post(domains::sign_also))
        .route("/domains/{domain}/rotation", post(domains::rotate))
        .route("/domains/{domain}/rotation/cancel", post(domains::cancel_rotation))
        .route("/domains/{domain}/rotation/check", post(domains::turn))
        .route("/settings", get(settings::view).post(settings::save))
        .route("/settings/users", get(users::index).post(users::add))
        .route("/settings/users/reset", post(users::reset))
        .route("/settings/users/link", post(users::link))
        .route("/settings/users/edit", post(users::edit))
        .route("/settings/users/second-factor", post(users::second_factor))
        .route("/settings/users/delete", post(users::delete))
        .route("/settings/formats", get(formats::index))
        .route("/settings/formats/new", get(formats::new).post(formats::create))
        .route("/settings/formats/{id}", get(formats::view).post(formats::save))
        .route("/settings/formats/{id}/delete", post(formats::delete))
        .route("/settings/archive", get(archive::index))
        .route("/settings/archive/try-again", post(archive::try_again))
        .route("/settings/archive/give-up", post(archive::give_up))
        .route("/settings/tokens", get(tokens::index).post(tokens::add))
        .route("/settings/tokens/{id}/revoke", post(tokens::revoke))
        .route("/audit", get(audit::view))
        .route("/audit.csv", get(audit::export))
        .route("/help", get(help::first))
        .route("/help/{chapter}", get(help::chapter))
        .route("/mailbox", get(mailbox::index))
        .route("/mailbox/{number}/html", get(mailbox::html))
}
