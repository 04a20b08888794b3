//! The suppression list: how much is on it for everybody, what is on it for administrators.

use askama::Template;
use audience::{Suppressed, SuppressionCounts, SuppressionReport};
use axum::{
    extract::{Multipart, Query, State},
    response::Response,
};
use futures_util::stream;
use serde::Deserialize;

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Desk, Page, Place, done, show, show_as},
    texts,
};
use crate::{imports::spool, state::AppState};

/// Rows of a page.
const PAGE_ROWS: usize = 50;
/// Lines that a report names.
const FAULTS_SHOWN: usize = 10;

#[derive(Template)]
#[template(path = "suppression.html")]
struct SuppressionPage {
    page: Page,
    counts: SuppressionCounts,
    rows: Vec<Suppressed>,
    q: String,
    filtered: bool,
    paged: bool,
    next: String,
    typed: String,
    report: Option<SuppressionReport>,
    problem: String,
}

#[derive(Template)]
#[template(path = "suppression_rows.html")]
struct SuppressionRows {
    rows: Vec<Suppressed>,
    filtered: bool,
    paged: bool,
    next: String,
}

/// What the address line says.
#[derive(Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    after: String,
}

async fn page_of(desk: &Desk, state: &AppState, asked: Asked) -> Result<SuppressionPage, Fault> {
    let page = desk.page(Place::Suppression);
    let (mut rows, mut next) = (Vec::new(), String::new());
    if page.may("administer") {
        rows = state.audience.suppressed_page(None, &asked.q, &asked.after, PAGE_ROWS + 1).await?;
    }
    if rows.len() > PAGE_ROWS {
        rows.truncate(PAGE_ROWS);
        let last = rows.last().map_or("", |row| row.value.as_str());
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("q", &asked.q)
            .append_pair("after", last)
            .finish();
        next = format!("/suppression?{query}");
    }
    Ok(SuppressionPage {
        page,
        counts: state.audience.suppression_counts().await?,
        rows,
        filtered: !asked.q.trim().is_empty(),
        paged: !asked.after.is_empty(),
        q: asked.q,
        next,
        typed: String::new(),
        report: None,
        problem: String::new(),
    })
}

/// `GET /suppression`.
pub async fn index(
    desk: Desk,
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let page = page_of(&desk, &state, asked).await?;
    if desk.fragment && page.page.may("administer") {
        let SuppressionPage { rows, filtered, paged, next, .. } = page;
        return show(&SuppressionRows { rows, filtered, paged, next });
    }
    show(&page)
}

/// `POST /suppression`: what was typed, one value a line.
pub async fn add(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let report = state.suppress(form.lines("values")).await?;
    let typed = if report.rejected > 0 { form.raw("values").to_owned() } else { String::new() };
    reported(&desk, &state, report, typed).await
}

/// `POST /suppression/upload`: a file of any size.
pub async fn upload(
    desk: Desk,
    State(state): State<AppState>,
    mut parts: Multipart,
) -> Result<Response, Fault> {
    let broken = |error: axum::extract::multipart::MultipartError| Fault::bad_request(error.body_text());
    while let Some(field) = parts.next_field().await.map_err(broken)? {
        if field.name() != Some("file") {
            continue;
        }
        let pieces = stream::unfold(field, |mut field| async {
            let piece = field.chunk().await.transpose()?;
            Some((piece, field))
        });
        let spooled = spool(&state.work_dir, pieces).await?;
        if spooled.bytes() == 0 {
            break;
        }
        let report = state.import_suppressed(spooled.source()).await?;
        return reported(&desk, &state, report, String::new()).await;
    }
    let mut page = page_of(&desk, &state, Asked::default()).await?;
    page.problem = texts::text("import-no-file");
    show_as(axum::http::StatusCode::UNPROCESSABLE_ENTITY, &page)
}

async fn reported(
    desk: &Desk,
    state: &AppState,
    mut report: SuppressionReport,
    typed: String,
) -> Result<Response, Fault> {
    report.faults.truncate(FAULTS_SHOWN);
    let mut page = page_of(desk, state, Asked::default()).await?;
    (page.report, page.typed) = (Some(report), typed);
    show(&page)
}

/// `POST /suppression/remove`.
pub async fn remove(_desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    state.audience.unsuppress(vec![form.get("value").to_owned()]).await?;
    Ok(done("/suppression", "unsuppressed"))
}
