//! The list of deliveries, a new one, and what can be done to a whole one.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
};
use delivery::{Definition, Delivery, Edit, ListFilter, New, Summary, definition::TargetItem};
use serde::Deserialize;

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Desk, Page, Place, done, show, show_as},
    templates,
};
use crate::state::AppState;

/// Rows of a page.
const PAGE_ROWS: usize = 50;

/// A delivery as a line of a list.
pub struct Row {
    /// Number.
    pub id: i64,
    /// Label.
    pub label: String,
    /// Code.
    pub code: String,
    /// Name of the state.
    pub state: &'static str,
    /// Colour of the state.
    pub tone: &'static str,
    /// Whether something moves.
    pub live: bool,
    /// What the date is: `created`, `edited`, `started` or `finished`.
    pub date_word: &'static str,
    /// The date.
    pub date: i64,
    /// Messages of the last analysis.
    pub messages: i64,
}

impl Row {
    /// The line of a summary.
    pub fn of(summary: Summary) -> Row {
        let (date_word, date) = match (summary.finished_at, summary.confirmed_at) {
            (Some(at), _) => ("finished", at),
            (None, Some(at)) => ("started", at),
            (None, None) if summary.updated_at > summary.created_at => ("edited", summary.updated_at),
            (None, None) => ("created", summary.created_at),
        };
        Row {
            id: summary.id,
            label: summary.label,
            code: summary.code,
            state: summary.state.as_str(),
            tone: tone(summary.state),
            live: is_live(summary.state),
            date_word,
            date,
            messages: summary.to_deliver,
        }
    }
}

/// The colour of a state.
pub fn tone(state: delivery::State) -> &'static str {
    use delivery::State::*;
    match state {
        Ready => "info",
        Pending | InProgress | Retrying | Analysing => "info",
        Finished => "ok",
        Pausing | Paused | Stopping | Stopped | TargetingPending => "warn",
        Failed => "bad",
        Draft | Cancelled | Deleted => "idle",
    }
}

/// Whether something moves in this state.
pub fn is_live(state: delivery::State) -> bool {
    use delivery::State::*;
    matches!(state, Analysing | Pending | InProgress | Retrying | Pausing | Stopping)
}

/// States that the filter offers: those a delivery of this version can be in.
const FILTER_STATES: [&str; 12] = [
    "draft",
    "targeting_pending",
    "analysing",
    "ready",
    "pending",
    "in_progress",
    "retrying",
    "paused",
    "finished",
    "stopped",
    "failed",
    "cancelled",
];

#[derive(Template)]
#[template(path = "deliveries.html")]
struct DeliveriesPage {
    page: Page,
    q: String,
    state: String,
    states: &'static [&'static str],
    archived: bool,
    rows: Vec<Row>,
    filtered: bool,
    newer: bool,
    older: String,
}

#[derive(Template)]
#[template(path = "deliveries_rows.html")]
struct DeliveriesRows {
    rows: Vec<Row>,
    filtered: bool,
    newer: bool,
    older: String,
}

/// What the address line says.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    archived: String,
    before: Option<i64>,
}

/// `GET /deliveries`.
pub async fn index(
    desk: Desk,
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let archived = !asked.archived.is_empty();
    let filter = ListFilter {
        search: asked.q.trim().to_owned(),
        states: delivery::State::parse(&asked.state).into_iter().collect(),
        archived,
        before: asked.before,
        limit: PAGE_ROWS + 1,
        ..ListFilter::default()
    };
    let mut found = state.deliveries.list(filter).await?;
    let mut older = String::new();
    if found.len() > PAGE_ROWS {
        found.truncate(PAGE_ROWS);
        let last = found.last().map_or(0, |row| row.id);
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("q", &asked.q)
            .append_pair("state", &asked.state)
            .append_pair("archived", &asked.archived)
            .append_pair("before", &last.to_string())
            .finish();
        older = format!("/deliveries?{query}");
    }
    let rows = found.into_iter().map(Row::of).collect();
    let filtered = !asked.q.trim().is_empty() || !asked.state.is_empty() || archived;
    let newer = asked.before.is_some();
    if desk.fragment {
        return show(&DeliveriesRows { rows, filtered, newer, older });
    }
    let page = desk.page(Place::Deliveries);
    show(&DeliveriesPage {
        page,
        q: asked.q,
        state: asked.state,
        states: &FILTER_STATES,
        archived,
        rows,
        filtered,
        newer,
        older,
    })
}

#[derive(Template)]
#[template(path = "delivery_new.html")]
struct NewPage {
    page: Page,
    label: String,
    subject: String,
    list: String,
    lists: Vec<(String, i64)>,
    /// Number of the chosen template; 0: none.
    template: i64,
    templates: Vec<Summary>,
    problem: String,
}

/// `?list=` of a link that comes from an import, `?template=` of one that comes from a template.
#[derive(Deserialize)]
pub struct Beginning {
    #[serde(default)]
    list: String,
    #[serde(default)]
    template: i64,
}

/// `GET /deliveries/new`.
pub async fn new(
    desk: Desk,
    State(state): State<AppState>,
    Query(beginning): Query<Beginning>,
) -> Result<Response, Fault> {
    let lists = lists(&state).await?;
    let page = desk.page(Place::Deliveries);
    let nothing = String::new;
    show(&NewPage {
        page,
        label: nothing(),
        subject: nothing(),
        list: beginning.list,
        lists,
        template: beginning.template,
        templates: templates::all(&state).await?,
        problem: nothing(),
    })
}

async fn lists(state: &AppState) -> Result<Vec<(String, i64)>, Fault> {
    Ok(state.audience.lists().await?.into_iter().map(|list| (list.name, list.members)).collect())
}

/// `POST /deliveries/new`.
pub async fn create(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let fault = match begin(&desk, &state, &form).await {
        Ok(created) => return Ok(done(&format!("/deliveries/{}/content", created.id), "created")),
        Err(error) => Fault::from(error),
    };
    if !fault.is_callers() {
        return Err(fault);
    }
    let page = desk.page(Place::Deliveries);
    show_as(
        fault.0.status,
        &NewPage {
            page,
            label: form.get("label").to_owned(),
            subject: form.get("subject").to_owned(),
            list: form.get("list").to_owned(),
            lists: lists(&state).await?,
            template: form.get("template").parse().unwrap_or(0),
            templates: templates::all(&state).await?,
            problem: fault.text(),
        },
    )
}

/// A new draft, from nothing or from a template; what the form says counts more than what the template says.
async fn begin(desk: &Desk, state: &AppState, form: &Form) -> Result<Delivery, delivery::Error> {
    let by = &desk.viewer.name;
    let created = match form.get("template").parse::<i64>() {
        Ok(template) if template > 0 => {
            let name = state.deliveries.get(template).await?.definition.label;
            state.deliveries.create_from_template(&name, form.get("label"), by).await?
        }
        _ => {
            let new =
                New { definition: Definition::new(form.get("label")), by: by.clone(), ..New::default() };
            state.deliveries.create_new(new).await?
        }
    };
    let mut definition = created.definition.clone();
    if form.has("subject") {
        definition.subject = form.get("subject").to_owned();
    }
    if form.has("list") {
        definition.target.include = vec![TargetItem::list(form.get("list"))];
    }
    if definition == created.definition {
        return Ok(created);
    }
    let edit = Edit { definition: Some(definition), by: by.clone(), ..Edit::default() };
    state.deliveries.edit(created.id, edit).await
}

/// `GET /deliveries/{id}`: the tab where the delivery stands.
pub async fn open(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    Ok(Redirect::to(&format!("/deliveries/{id}/{}", landing(&found))).into_response())
}

fn landing(found: &Delivery) -> &'static str {
    use delivery::State::*;
    match found.state {
        Analysing | Ready | Failed => "analysis",
        state if state.is_active() => "watch",
        Finished | Stopped => "watch",
        _ => "content",
    }
}

/// `POST /deliveries/{id}/duplicate`.
pub async fn duplicate(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    let copy = state.deliveries.duplicate(id, &desk.viewer.by()).await?;
    Ok(done(&format!("/deliveries/{}/content", copy.id), "duplicated"))
}

/// `POST /deliveries/{id}/template`: keeps it as a template.
pub async fn keep_as_template(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let kept = state.deliveries.save_as_template(id, form.get("name"), &desk.viewer.name).await?;
    Ok(done(&format!("/deliveries/{}/content", kept.id), "template"))
}

/// `POST /deliveries/{id}/archive`.
pub async fn archive(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    state.deliveries.archive(id, true, &desk.viewer.by()).await?;
    Ok(done("/deliveries", "archived"))
}

/// `POST /deliveries/{id}/unarchive`.
pub async fn unarchive(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    state.deliveries.archive(id, false, &desk.viewer.by()).await?;
    Ok(done("/deliveries", "unarchived"))
}

/// `POST /deliveries/{id}/delete`.
pub async fn delete(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    state.deliveries.delete(id, &desk.viewer.by()).await?;
    Ok(done("/deliveries", "deleted"))
}

#[cfg(test)]
mod tests {
    use super::super::texts;
    use super::*;

    #[test]
    fn every_state_has_a_name_and_a_colour() {
        for state in delivery::State::ALL {
            assert!(texts::exists(&format!("state-{}", state.as_str().replace('_', "-"))), "{state:?}");
            assert!(!tone(state).is_empty());
        }
        for name in FILTER_STATES {
            assert!(delivery::State::parse(name).is_some(), "{name}");
        }
    }
}
