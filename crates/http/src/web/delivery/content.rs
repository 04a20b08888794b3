//! The Content tab: sender, subject and sources, with each error at its line and column.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use delivery::Delivery;
use serde::Deserialize;

use super::{
    super::{
        fault::Fault,
        filters, findings,
        findings::Shown,
        form::Form,
        page::{Desk, Page, Place, show},
        picks::Picks,
        texts,
    },
    frame::{Frame, answer},
    preview::{self, Preview},
    sheet::{Sheet, based_on},
};
use crate::state::AppState;

#[derive(Template)]
#[template(path = "delivery_content.html")]
struct ContentPage {
    page: Page,
    frame: Frame,
    from_name: String,
    from_address: String,
    reply_to: String,
    default_from_name: String,
    default_from_address: String,
    default_reply_to: String,
    sender_problem: String,
    subject: String,
    subject_problem: String,
    preheader: String,
    is_mjml: bool,
    html: String,
    mjml: String,
    text: String,
    amp: String,
    problems: Vec<Shown>,
    warnings: Vec<findings::Alike<Shown>>,
    /// The same as JSON, for the editor.
    marks: String,
    preview: Preview,
    people: Vec<String>,
    picks: Picks,
    known: String,
    /// What the scripts say, as JSON.
    say: String,
}

/// Whom to preview as.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default, rename = "as")]
    recipient: String,
}

/// `GET /deliveries/{id}/content`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let frame = Frame::of(&state, &found, "content").await?;
    show(&build(&desk, &state, &found, frame, &Sheet::of(&found), &asked.recipient).await?)
}

async fn build(
    desk: &Desk,
    state: &AppState,
    found: &Delivery,
    frame: Frame,
    sheet: &Sheet,
    recipient: &str,
) -> Result<ContentPage, Fault> {
    let made = preview::made(state, found.id, sheet, recipient, "").await?;
    let first = |parts: &[&str]| {
        let found = made.problems.iter().find(|problem| parts.contains(&problem.part.as_str()));
        found.map(|problem| problem.message.clone()).unwrap_or_default()
    };
    let (definition, sources) = (&sheet.definition, &sheet.sources);
    let defaults = state.default_sender();
    let picks = Picks::load(state, true).await?;
    let source = |text: &Option<String>| text.clone().unwrap_or_default();
    Ok(ContentPage {
        page: desk.page(if found.is_template { Place::Templates } else { Place::Deliveries }),
        frame,
        from_name: definition.sender.name.clone(),
        from_address: definition.sender.address.clone(),
        reply_to: definition.sender.reply_to.clone(),
        default_from_name: defaults.name,
        default_from_address: defaults.address,
        default_reply_to: defaults.reply_to,
        sender_problem: first(&["from_address", "from_name"]),
        subject: definition.subject.clone(),
        subject_problem: first(&["subject"]),
        preheader: definition.preheader.clone(),
        is_mjml: sources.mjml.is_some(),
        html: source(&sources.html),
        mjml: source(&sources.mjml),
        text: source(&sources.text),
        amp: source(&sources.amp),
        problems: Shown::all(&made.problems),
        warnings: findings::warnings(&made.warnings),
        marks: findings::marks(&made.problems, &made.warnings).to_string(),
        preview: made.preview,
        people: preview::people(state, found).await?,
        known: picks.known(),
        picks,
        say: texts::bundle("editor-say"),
    })
}

/// `POST /deliveries/{id}/content`. A content with errors is saved too: it is the author's work. What is refused is
/// shown again as it was typed.
pub async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let mut sheet = Sheet::of(&found);
    sheet.apply(&form);
    let edit = sheet.edit(based_on(&form), &desk.viewer.name);
    let outcome = state.deliveries.edit(id, edit).await;
    let page = |frame| build(&desk, &state, &found, frame, &sheet, "");
    answer(outcome, &state, &found, ("content", "saved"), page).await
}
