//! Segments: the filter as a form or as JSON, with its count.

use std::time::{Duration, Instant};

use askama::Template;
use audience::{FIELDS, Filter, Op};
use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use serde_json::Value as Json;

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Desk, Page, Place, done, show, show_as},
    segment_form::{self, Line},
    texts,
};
use crate::{problem::Problem, state::AppState};

/// Recipients that a count shows as samples.
const SAMPLE: usize = 3;
/// The list of segments shows sizes as long as counting them took less than this.
const COUNT_TIME_MAX: Duration = Duration::from_millis(600);

struct Row {
    id: i64,
    name: String,
    summary: String,
    size: Option<i64>,
    updated_at: i64,
}

#[derive(Template)]
#[template(path = "segments.html")]
struct SegmentsPage {
    page: Page,
    rows: Vec<Row>,
    problem: String,
}

/// `GET /segments`.
pub async fn index(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    let (started, now_us) = (Instant::now(), state.clock.now_us());
    let mut rows = Vec::new();
    for segment in state.audience.segments().await? {
        let size = if started.elapsed() < COUNT_TIME_MAX {
            size_of(&state, &segment.filter, now_us).await?
        } else {
            None
        };
        let summary = summary(&segment.filter.to_json());
        rows.push(Row { id: segment.id, name: segment.name, summary, size, updated_at: segment.updated_at });
    }
    show(&SegmentsPage { page: desk.page(Place::Segments), rows, problem: String::new() })
}

/// How many a segment takes; none when it names what is not there any more, which its own page says.
async fn size_of(state: &AppState, filter: &Filter, now_us: i64) -> Result<Option<i64>, Fault> {
    match state.audience.count_segment(filter, now_us).await.map_err(Fault::from) {
        Ok(size) => Ok(Some(size)),
        Err(fault) if fault.is_callers() => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// A filter in words: `Country is one of DE, AT · Points is at least 1000`.
pub fn summary(filter: &Json) -> String {
    let lines = segment_form::lines_of(filter);
    let words = lines.iter().filter(|line| line.kind == "cond").map(|line| {
        let field = match line.field.as_str() {
            segment_form::IN_LIST => texts::text("segment-in-list"),
            segment_form::IN_SEGMENT => texts::text("segment-in-segment"),
            field => texts::pick("field", field),
        };
        format!("{field} {} {}", texts::pick("op", &line.op), line.value).trim().to_owned()
    });
    words.collect::<Vec<_>>().join(" · ")
}

/// An option of a choice.
pub struct Choice {
    /// What a form sends.
    pub value: String,
    /// What people read.
    pub label: String,
}

/// What a condition can ask of: fields that everybody has, and attributes.
pub async fn choices(state: &AppState) -> Result<(Vec<Choice>, Vec<Choice>), Fault> {
    let field = |value: &str| Choice { value: value.to_owned(), label: texts::pick("field", value) };
    let names = state.audience.attribute_names().await?.into_iter();
    let attributes = names.map(|name| Choice { value: name.clone(), label: name });
    Ok((known_fields().into_iter().map(field).collect(), attributes.collect()))
}

/// What `filter_tree.html` shows.
pub struct Tree {
    /// The lines of the filter.
    pub rows: Vec<Line>,
    /// Fields that everybody has.
    pub fields: Vec<Choice>,
    /// Attributes in use.
    pub attributes: Vec<Choice>,
    /// Lists and segments that can be named; empty: none can.
    pub names: Vec<String>,
    /// Whether lists and segments can be named.
    pub named: bool,
    /// The comparisons.
    pub ops: Vec<&'static str>,
}

/// The form of a filter.
pub async fn tree(state: &AppState, mut rows: Vec<Line>, named: bool) -> Result<Tree, Fault> {
    let (fields, attributes) = choices(state).await?;
    for line in &mut rows {
        let name = line.field.as_str();
        let is_known = line.kind == "group"
            || named && matches!(name, segment_form::IN_LIST | segment_form::IN_SEGMENT)
            || fields.iter().chain(&attributes).any(|choice| choice.value == name);
        line.unknown = if is_known { String::new() } else { line.field.clone() };
    }
    let mut names = Vec::new();
    if named {
        names.extend(state.audience.lists().await?.into_iter().map(|list| list.name));
        names.extend(state.audience.segments().await?.into_iter().map(|segment| segment.name));
    }
    let ops = Op::ALL.into_iter().map(|(_, name)| name).collect();
    Ok(Tree { rows, fields, attributes, names, named, ops })
}

#[derive(Template)]
#[template(path = "segment.html")]
struct SegmentPage {
    page: Page,
    heading: String,
    action: String,
    name: String,
    view: &'static str,
    tree: Tree,
    json: String,
    count: Option<i64>,
    sample: Vec<String>,
    count_problem: String,
    problem: String,
}

#[derive(Template)]
#[template(path = "segment_count.html")]
struct CountPart {
    count: Option<i64>,
    sample: Vec<String>,
    count_problem: String,
}

/// What the form shows.
struct Sheet {
    id: i64,
    name: String,
    view: &'static str,
    lines: Vec<Line>,
    json: String,
}

impl Sheet {
    fn of(id: i64, name: String, filter: &Json) -> Sheet {
        let lines = segment_form::lines_of(filter);
        Sheet { id, name, view: "form", lines, json: pretty(filter) }
    }

    fn sent(id: i64, form: &Form) -> Sheet {
        let view = if form.get("view") == "json" { "json" } else { "form" };
        let lines = if view == "form" { segment_form::sent(form) } else { Vec::new() };
        Sheet { id, name: form.get("name").to_owned(), view, lines, json: form.raw("json").to_owned() }
    }

    /// The filter as JSON, checked by the room's own reader.
    fn filter(&self) -> Result<Filter, String> {
        let parsed = match self.view {
            "json" => Filter::parse_text(&self.json),
            _ => Filter::parse(&segment_form::filter_of(&self.lines)),
        };
        parsed.map_err(|error| error.to_string())
    }

    async fn page(self, desk: &Desk, state: &AppState, problem: String) -> Result<SegmentPage, Fault> {
        let (heading, action) = match self.id {
            0 => (texts::text("segment-new"), "/segments/new".to_owned()),
            id => (self.name.clone(), format!("/segments/{id}")),
        };
        Ok(SegmentPage {
            page: desk.page(Place::Segments),
            heading,
            action,
            name: self.name,
            view: self.view,
            tree: tree(state, self.lines, true).await?,
            json: self.json,
            count: None,
            sample: Vec::new(),
            count_problem: String::new(),
            problem,
        })
    }
}

fn known_fields() -> Vec<&'static str> {
    let mut names = vec!["email", "domain"];
    names.extend(FIELDS);
    names.extend(["denylisted", "created_at", "updated_at"]);
    names
}

fn pretty(filter: &Json) -> String {
    serde_json::to_string_pretty(filter).unwrap_or_default()
}

/// `GET /segments/new`.
pub async fn new(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    let lines = segment_form::fresh();
    let json = pretty(&segment_form::filter_of(&lines));
    let sheet = Sheet { id: 0, name: String::new(), view: "form", lines, json };
    show(&sheet.page(&desk, &state, String::new()).await?)
}

/// `GET /segments/{id}`.
pub async fn view(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let segment = state.audience.segment(id).await?.ok_or(Fault::not_found("segment"))?;
    let sheet = Sheet::of(id, segment.name, &segment.filter.to_json());
    show(&sheet.page(&desk, &state, String::new()).await?)
}

/// `POST /segments/new`.
pub async fn create(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    act(&desk, &state, 0, &form).await
}

/// `POST /segments/{id}`.
pub async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    act(&desk, &state, id, &form).await
}

async fn act(desk: &Desk, state: &AppState, id: i64, form: &Form) -> Result<Response, Fault> {
    let mut sheet = Sheet::sent(id, form);
    match form.get("do") {
        "json" => {
            sheet.json = pretty(&segment_form::filter_of(&sheet.lines));
            sheet.view = "json";
        }
        "form" => match sheet.filter() {
            Ok(filter) => sheet = Sheet::of(id, sheet.name, &filter.to_json()),
            Err(problem) => return show(&sheet.page(desk, state, problem).await?),
        },
        "count" => {
            let counted = counted(state, &sheet).await?;
            let mut page = sheet.page(desk, state, String::new()).await?;
            (page.count, page.sample, page.count_problem) =
                (counted.count, counted.sample, counted.count_problem);
            return show(&page);
        }
        "save" | "" => return keep(desk, state, sheet).await,
        action => sheet.lines = segment_form::change(sheet.lines, action),
    }
    show(&sheet.page(desk, state, String::new()).await?)
}

async fn keep(desk: &Desk, state: &AppState, sheet: Sheet) -> Result<Response, Fault> {
    let now_us = state.clock.now_us();
    let refused = match sheet.filter() {
        Err(problem) => Fault(Problem::invalid("filter", problem)),
        Ok(filter) => {
            let kept = match sheet.id {
                0 => state.audience.create_segment(&sheet.name, &filter, now_us).await,
                id => state.audience.update_segment(id, &sheet.name, &filter, now_us).await.map(|()| id),
            };
            match kept {
                Ok(id) => return Ok(done(&format!("/segments/{id}"), "saved")),
                Err(error) => Fault::from(error),
            }
        }
    };
    if !refused.is_callers() {
        return Err(refused);
    }
    let problem = refused.text();
    show_as(refused.0.status, &sheet.page(desk, state, problem).await?)
}

async fn counted(state: &AppState, sheet: &Sheet) -> Result<CountPart, Fault> {
    let now_us = state.clock.now_us();
    match sheet.filter() {
        Err(count_problem) => Ok(CountPart { count: None, sample: Vec::new(), count_problem }),
        Ok(filter) => {
            let count = match state.audience.count_segment(&filter, now_us).await.map_err(Fault::from) {
                Ok(count) => count,
                Err(fault) if fault.is_callers() => {
                    let count_problem = fault.text();
                    return Ok(CountPart { count: None, sample: Vec::new(), count_problem });
                }
                Err(fault) => return Err(fault),
            };
            let sample = state.audience.preview_segment(&filter, now_us, SAMPLE).await?;
            let sample = sample.into_iter().map(|recipient| recipient.email).collect();
            Ok(CountPart { count: Some(count), sample, count_problem: String::new() })
        }
    }
}

/// `POST /segments/count`: the count alone, for the form's button.
pub async fn count(_desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    show(&counted(&state, &Sheet::sent(0, &form)).await?)
}

/// `POST /segments/{id}/delete`.
pub async fn delete(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    state.audience.delete_segment(id).await?;
    Ok(done("/segments", "deleted").into_response())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_comparison_has_its_word() {
        for (_, name) in Op::ALL {
            assert!(texts::exists(&format!("op-{}", name.replace('_', "-"))), "{name}");
        }
        for name in known_fields() {
            assert!(texts::exists(&format!("field-{}", name.replace('_', "-"))), "{name}");
        }
    }

    #[test]
    fn a_filter_is_said_in_words() {
        let words = summary(&json!({"and": [{"field": "country", "op": "in", "value": ["DE", "AT"]}]}));
        assert_eq!(words, "Country is one of DE, AT");
    }
}
