//! Two kept analyses of a delivery side by side: who came and who went, and what changed in content and parameters.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use delivery::history::Comparison;
use serde::Deserialize;

use super::{
    super::{
        fault::Fault,
        filters,
        page::{Desk, Page, Place, show},
        texts,
    },
    frame::Frame,
};
use crate::state::AppState;

/// A reason with its numbers before and after.
struct ReasonRow {
    reason: String,
    before: i64,
    after: i64,
}

#[derive(Template)]
#[template(path = "delivery_compare.html")]
struct ComparePage {
    page: Page,
    frame: Frame,
    compared: Comparison,
    reasons: Vec<ReasonRow>,
    same: bool,
}

/// Numbers of the two analyses.
#[derive(Deserialize)]
pub struct Asked {
    before: i64,
    after: i64,
}

/// `GET /deliveries/{id}/analysis/compare?before=&after=`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let mut frame = Frame::of(&state, &found, "analysis").await?;
    // The older one stands on the left, whichever way round they were chosen.
    let (before, after) = (asked.before.min(asked.after), asked.before.max(asked.after));
    let compared = state.deliveries.compare_analyses(id, before, after).await?;
    if before == after {
        frame.problem = texts::text("compare-twice");
    }
    let unmoved =
        [&compared.came, &compared.went].iter().all(|moved| moved.as_ref().is_none_or(|m| m.count == 0));
    show(&ComparePage {
        page: desk.page(Place::Deliveries),
        frame,
        reasons: reasons(&compared),
        same: unmoved && compared.content.is_empty() && compared.keys.is_empty(),
        compared,
    })
}

fn reasons(compared: &Comparison) -> Vec<ReasonRow> {
    let (before, after) = (&compared.before.excluded, &compared.after.excluded);
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let of =
        |counts: &std::collections::BTreeMap<String, i64>, name: &str| counts.get(name).copied().unwrap_or(0);
    let row =
        |name: &String| ReasonRow { reason: name.clone(), before: of(before, name), after: of(after, name) };
    names.into_iter().map(row).collect()
}
