//! The Content tab: sender, subject and sources, with each error at its line and column.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use delivery::{Definition, Delivery, Edit};
use serde::Deserialize;

use super::{
    super::{
        fault::Fault,
        filters,
        form::Form,
        page::{Desk, Page, Place, done, show, show_as},
        texts,
    },
    frame::Frame,
    preview::{self, Preview},
};
use crate::state::AppState;

/// A problem as the page shows it.
pub struct Shown {
    part: String,
    part_name: String,
    line: u32,
    column: u32,
    place: String,
    message: String,
    hint: String,
}

impl Shown {
    /// A problem of the room `content`.
    pub fn of(problem: &content::Problem) -> Shown {
        let place = match problem.line {
            0 => String::new(),
            line => texts::text_ss("content-place", &line.to_string(), &problem.column.to_string()),
        };
        Shown {
            part: problem.part.clone(),
            part_name: texts::pick("part", &problem.part),
            line: problem.line,
            column: problem.column,
            place,
            message: problem.message.clone(),
            hint: problem.hint.clone(),
        }
    }
}

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
    html: String,
    html_hits: String,
    text: String,
    text_hits: String,
    problems: Vec<Shown>,
    warnings: Vec<Shown>,
    preview: Preview,
    people: Vec<String>,
}

/// Whom to preview as.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default, rename = "as")]
    recipient: String,
    #[serde(default)]
    part: String,
}

/// `GET /deliveries/{id}/content`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    show(&build(&desk, &state, &found, &asked).await?)
}

async fn build(desk: &Desk, state: &AppState, found: &Delivery, asked: &Asked) -> Result<ContentPage, Fault> {
    let (preview, problems, warnings) = preview::made(state, found, &asked.recipient, &asked.part).await?;
    let hits = |part: &str| {
        let lines = problems.iter().filter(|problem| problem.part == part && problem.line > 0);
        lines.map(|problem| problem.line.to_string()).collect::<Vec<_>>().join(",")
    };
    let first = |parts: &[&str]| {
        let found = problems.iter().find(|problem| parts.contains(&problem.part.as_str()));
        found.map(|problem| problem.message.clone()).unwrap_or_default()
    };
    let definition = &found.definition;
    let defaults = state.default_sender();
    Ok(ContentPage {
        page: desk.page(Place::Deliveries),
        frame: Frame::of(state, found, "content").await?,
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
        html: found.html.clone().unwrap_or_default(),
        html_hits: hits("html"),
        text: found.text.clone().unwrap_or_default(),
        text_hits: hits("text"),
        problems: problems.iter().map(Shown::of).collect(),
        warnings: warnings.iter().map(Shown::of).collect(),
        preview,
        people: preview::people(state, found).await?,
    })
}

/// Puts what the form sent into a definition and the sources.
fn apply(definition: &mut Definition, form: &Form) -> (Option<String>, Option<String>) {
    definition.sender.name = form.get("from_name").to_owned();
    definition.sender.address = form.get("from_address").to_owned();
    definition.sender.reply_to = form.get("reply_to").to_owned();
    definition.subject = form.get("subject").to_owned();
    definition.preheader = form.get("preheader").to_owned();
    let source = |name| Some(form.raw(name)).filter(|text| !text.trim().is_empty()).map(str::to_owned);
    (source("html"), source("text"))
}

/// `POST /deliveries/{id}/content`. A content with errors is saved too: it is the author's work. What is refused is
/// shown again as it was typed.
pub async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let mut found = state.deliveries.get(id).await?;
    let mut definition = found.definition.clone();
    let (html, text) = apply(&mut definition, &form);
    let edit = Edit {
        definition: Some(definition.clone()),
        html: Some(html.clone()),
        text: Some(text.clone()),
        based_on: form.get("revision").parse().ok(),
    };
    let fault = match state.deliveries.edit(id, edit).await {
        Ok(_) if form.get("then") == "preview" => {
            return Ok(done(&format!("/deliveries/{id}/content"), "saved#preview"));
        }
        Ok(_) => return Ok(done(&format!("/deliveries/{id}/content"), "saved")),
        Err(error) => Fault::from(error),
    };
    if !fault.is_callers() {
        return Err(fault);
    }
    (found.definition, found.html, found.text) = (definition, html, text);
    let asked = Asked { recipient: String::new(), part: String::new() };
    let mut page = build(&desk, &state, &found, &asked).await?;
    page.frame = page.frame.refused(fault.text());
    show_as(fault.0.status, &page)
}
