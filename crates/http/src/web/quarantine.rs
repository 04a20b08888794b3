//! The quarantine: who is in it and why, and release.

use askama::Template;
use audience::Quarantined;
use axum::{
    extract::{Query, State},
    response::Response,
};
use serde::Deserialize;

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Desk, Page, Place, done, show},
};
use crate::state::AppState;

/// Rows of a page.
const PAGE_ROWS: usize = 50;

#[derive(Template)]
#[template(path = "quarantine.html")]
struct QuarantinePage {
    page: Page,
    rows: Vec<Quarantined>,
    q: String,
    filtered: bool,
    paged: bool,
    next: String,
}

#[derive(Template)]
#[template(path = "quarantine_rows.html")]
struct QuarantineRows {
    rows: Vec<Quarantined>,
    filtered: bool,
    paged: bool,
    next: String,
}

/// What the address line says.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    after: String,
}

/// `GET /quarantine`.
pub async fn index(
    desk: Desk,
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let mut rows = state.audience.quarantined_page(&asked.q, &asked.after, PAGE_ROWS + 1).await?;
    let mut next = String::new();
    if rows.len() > PAGE_ROWS {
        rows.truncate(PAGE_ROWS);
        let last = rows.last().map_or("", |row| row.email_key.as_str());
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("q", &asked.q)
            .append_pair("after", last)
            .finish();
        next = format!("/quarantine?{query}");
    }
    let (filtered, paged) = (!asked.q.trim().is_empty(), !asked.after.is_empty());
    if desk.fragment {
        return show(&QuarantineRows { rows, filtered, paged, next });
    }
    show(&QuarantinePage { page: desk.page(Place::Quarantine), rows, q: asked.q, filtered, paged, next })
}

/// `POST /quarantine/release`.
pub async fn release(_desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    state.audience.release(vec![form.get("email").to_owned()]).await?;
    Ok(done("/quarantine", "released"))
}
