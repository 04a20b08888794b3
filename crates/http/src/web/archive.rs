//! The archive of sent messages: where copies go, what is owed, what went wrong, and what an operator can do.

use archive::{State as Standing, Way};
use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use queue::copies::Held;
use serde::Deserialize;

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Desk, Page, Place, done, show},
    texts,
};
use crate::state::AppState;

/// Held copies of a page.
const PAGE_ROWS: usize = 50;

#[derive(Template)]
#[template(path = "settings_archive.html")]
struct ArchivePage {
    page: Page,
    standing: Standing,
    to: String,
    configured: bool,
    octets: u64,
    rows: Vec<Held>,
    paged: bool,
    next: Option<i64>,
}

/// What the address line says.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    after: i64,
}

fn words_of(way: &Way) -> String {
    match way {
        Way::Nowhere { problem } if problem.is_empty() => texts::text("archive-nowhere"),
        Way::Nowhere { problem } => problem.clone(),
        Way::Address(address) => texts::text_s("archive-to-address", address),
        Way::Folder { path, compress: archive::Compress::None } => {
            texts::text_s("archive-to-folder", &path.to_string_lossy())
        }
        Way::Folder { path, compress: archive::Compress::Zip } => {
            texts::text_s("archive-to-zips", &path.to_string_lossy())
        }
    }
}

/// `GET /settings/archive`.
pub async fn index(
    desk: Desk,
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let standing = state.archive.state().await?;
    let mut rows = state.archive.held(asked.after.max(0), PAGE_ROWS + 1).await?;
    let more = rows.len() > PAGE_ROWS;
    rows.truncate(PAGE_ROWS);
    let next = rows.last().filter(|_| more).map(|last| last.id);
    show(&ArchivePage {
        page: desk.page(Place::Settings),
        to: words_of(&standing.way),
        configured: !matches!(standing.way, Way::Nowhere { .. }),
        octets: u64::try_from(standing.octets).unwrap_or(0),
        standing,
        rows,
        paged: asked.after > 0,
        next,
    })
}

/// `POST /settings/archive/try-again`.
pub async fn try_again(_desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    state.archive.try_again().await?;
    Ok(done("/settings/archive", "tried-again"))
}

/// `POST /settings/archive/give-up`: one held copy.
pub async fn give_up(_desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let message = form.get("message").parse().map_err(|_| Fault::not_found("message"))?;
    state.archive.give_up(vec![message]).await?;
    Ok(done("/settings/archive", "given-up"))
}
