//! The Target tab: lists and segments to include and to exclude, exclusions, limit, estimate.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use delivery::{
    Delivery, Edit,
    definition::{Target, TargetItem},
};

use super::{
    super::{
        fault::Fault,
        filters,
        form::Form,
        page::{Desk, Page, Place, show},
        texts,
    },
    frame::{Frame, answer},
    sheet::based_on,
};
use crate::{problem::Problem, state::AppState};

struct Row {
    field: String,
    name: String,
    kind: &'static str,
    size: Option<i64>,
    way: &'static str,
    gone: bool,
}

#[derive(Template)]
#[template(path = "delivery_target.html")]
struct TargetPage {
    page: Page,
    frame: Frame,
    nothing: bool,
    rows: Vec<Row>,
    exclude_duplicates: bool,
    exclude_denylisted: bool,
    exclude_quarantined: bool,
    limit: u64,
    estimate: Option<i64>,
}

/// `GET /deliveries/{id}/target`.
pub async fn view(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let frame = Frame::of(&state, &found, "target").await?;
    show(&build(&desk, &state, &found, frame).await?)
}

async fn build(desk: &Desk, state: &AppState, found: &Delivery, frame: Frame) -> Result<TargetPage, Fault> {
    let target = &found.definition.target;
    let rows = rows(state, target).await?;
    let estimate = if target.include.is_empty() || rows.iter().any(|row| row.gone) {
        None
    } else {
        Some(state.deliveries.estimate_target(target).await?)
    };
    Ok(TargetPage {
        page: desk.page(if found.is_template { Place::Templates } else { Place::Deliveries }),
        frame,
        nothing: rows.is_empty(),
        rows,
        exclude_duplicates: target.exclude_duplicates,
        exclude_denylisted: target.exclude_denylisted,
        exclude_quarantined: target.exclude_quarantined,
        limit: target.limit,
        estimate,
    })
}

/// The kind and the name of an element; elements that the form cannot make are shown too, and stay when they are left.
fn named(item: &TargetItem) -> (&'static str, String) {
    if let Some(name) = &item.list {
        ("list", name.clone())
    } else if let Some(name) = &item.segment {
        ("segment", name.clone())
    } else if let Some(address) = &item.recipient {
        ("recipient", address.clone())
    } else {
        ("filter", item.filter.as_ref().map(ToString::to_string).unwrap_or_default())
    }
}

async fn rows(state: &AppState, target: &Target) -> Result<Vec<Row>, Fault> {
    let way_of = |kind: &str, name: &str| {
        let has = |items: &[TargetItem]| items.iter().map(named).any(|(k, n)| k == kind && n == name);
        match (has(&target.include), has(&target.exclude)) {
            (_, true) => "exclude",
            (true, false) => "include",
            (false, false) => "leave",
        }
    };
    let mut rows = Vec::new();
    let mut push = |kind: &'static str, name: String, size: Option<i64>, gone: bool| {
        let (way, field) = (way_of(kind, &name), format!("item:{kind}:{name}"));
        rows.push(Row { field, name, kind, size, way, gone });
    };
    for list in state.audience.lists().await? {
        push("list", list.name, Some(list.members), false);
    }
    for segment in state.audience.segments().await? {
        push("segment", segment.name, None, false);
    }
    let known: Vec<(&str, String)> = rows.iter().map(|row| (row.kind, row.name.clone())).collect();
    for item in target.include.iter().chain(&target.exclude) {
        let (kind, name) = named(item);
        if !known.contains(&(kind, name.clone())) {
            let (way, field) = (way_of(kind, &name), format!("item:{kind}:{name}"));
            let gone = matches!(kind, "list" | "segment");
            rows.push(Row { field, name, kind, size: None, way, gone });
        }
    }
    Ok(rows)
}

fn item(kind: &str, name: &str) -> Option<TargetItem> {
    Some(match kind {
        "list" => TargetItem::list(name),
        "segment" => TargetItem::segment(name),
        "recipient" => TargetItem { recipient: Some(name.to_owned()), ..TargetItem::default() },
        "filter" => TargetItem { filter: serde_json::from_str(name).ok(), ..TargetItem::default() },
        _ => return None,
    })
}

/// Puts what the form sent into a target.
fn apply(target: &mut Target, form: &Form) -> Result<(), String> {
    target.include.clear();
    target.exclude.clear();
    for (field, way) in form.pairs() {
        let Some((kind, name)) = field.strip_prefix("item:").and_then(|rest| rest.split_once(':')) else {
            continue;
        };
        let Some(chosen) = item(kind, name) else { continue };
        match way.as_str() {
            "include" => target.include.push(chosen),
            "exclude" => target.exclude.push(chosen),
            _ => {}
        }
    }
    target.exclude_duplicates = form.has("exclude_duplicates");
    target.exclude_denylisted = form.has("exclude_denylisted");
    target.exclude_quarantined = form.has("exclude_quarantined");
    target.limit = form.number("limit", &texts::text("target-limit"))?;
    Ok(())
}

/// `POST /deliveries/{id}/target`.
pub async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let mut found = state.deliveries.get(id).await?;
    let outcome = match apply(&mut found.definition.target, &form) {
        Err(problem) => Err(Fault(Problem::invalid("limit", problem))),
        Ok(()) => {
            let edit = Edit {
                definition: Some(found.definition.clone()),
                based_on: based_on(&form),
                by: desk.viewer.name.clone(),
                ..Edit::default()
            };
            state.deliveries.edit(id, edit).await.map_err(Fault::from)
        }
    };
    let page = |frame| build(&desk, &state, &found, frame);
    answer(outcome, &state, &found, ("target", "saved"), page).await
}
