//! What the scripts of the Content tab ask while its author writes: save and check what is typed, and who else is here.
//!
//! Answers are JSON with sentences and fragments that are ready to be shown, from the same templates and the same
//! catalogue as the page itself.

use askama::Template;
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use delivery::{Editor, Presence};
use serde::Serialize;
use serde_json::Value;

use super::{
    super::{fault::Fault, filters, findings, form::Form, page::Desk, texts},
    frame,
    preview::{self, Made, Preview},
    sheet::{Sheet, based_on},
};
use crate::{problem::Problem, state::AppState};

/// The answer to a check, with or without saving.
#[derive(Serialize, Default)]
pub struct Checked {
    /// The revision that is saved now.
    pub revision: i64,
    /// Somebody else saved meanwhile: who and when, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
    /// It was not saved: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Errors and warnings with their places.
    pub findings: Value,
    /// The list of them, as a fragment.
    pub list: String,
    /// Sender, recipient and subject, as a fragment; absent while there are errors: the last good one stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Why there is no preview now; may be empty.
    pub note: String,
    /// The HTML part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// The text part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[derive(Template)]
#[template(path = "preview_head.html")]
struct Head<'a> {
    preview: &'a Preview,
}

impl Checked {
    /// What a check found.
    pub fn of(made: Made, revision: i64) -> Result<Checked, Fault> {
        let shown = made.preview.problem.is_empty();
        let head = Head { preview: &made.preview }.render().map_err(|error| Fault::internal(&error))?;
        Ok(Checked {
            revision,
            findings: findings::marks(&made.problems, &made.warnings),
            list: findings::list(&made.problems, &made.warnings)?,
            head: shown.then_some(head),
            note: made.preview.problem,
            html: shown.then_some(made.preview.html),
            text: shown.then_some(made.preview.text),
            ..Checked::default()
        })
    }
}

/// `POST /deliveries/{id}/content/live`: checks what the form holds; with `save`, saves it first.
pub async fn check(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Problem> {
    let found = state.deliveries.get(id).await?;
    let mut sheet = Sheet::of(&found);
    sheet.apply(&form);
    let (mut revision, mut conflict, mut refused) = (found.revision, None, None);
    if form.has("save") {
        match state.deliveries.edit(id, sheet.edit(based_on(&form), &desk.viewer.name)).await {
            Ok(saved) => revision = saved.revision,
            Err(delivery::Error::Conflict { current, by, .. }) => {
                revision = current;
                conflict = Some(newer(&by));
            }
            Err(error) => {
                let problem = Problem::from(error);
                if problem.status.is_server_error() {
                    return Err(problem);
                }
                refused = Some(frame::refusal(&problem));
            }
        }
    }
    let made = preview::made(&state, id, &sheet, form.get("as"), "").await.map_err(|fault| fault.0)?;
    let checked = Checked::of(made, revision).map_err(|fault| fault.0)?;
    Ok(Json(Checked { conflict, refused, ..checked }).into_response())
}

/// Somebody saved a newer version.
fn newer(by: &str) -> String {
    if by.is_empty() { texts::text("conflict-somebody") } else { texts::text_s("conflict-by", by) }
}

/// Who else is here.
#[derive(Serialize)]
struct Met {
    /// The revision that is saved now.
    revision: i64,
    /// The others, as a sentence; may be empty.
    others: String,
    /// Somebody saved a newer version, as a sentence; may be empty.
    newer: String,
}

/// `POST /deliveries/{id}/content/presence`: the page says that it is open, or with `gone`, that it is being left.
pub async fn presence(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Problem> {
    let tab = form.get("tab").to_owned();
    if form.has("gone") {
        state.deliveries.gone(id, &tab).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let editor = Editor { name: desk.viewer.name.clone(), tab, part: "content".to_owned() };
    let others = state.deliveries.present(id, editor).await?;
    let found = state.deliveries.get(id).await?;
    let is_newer = based_on(&form).is_some_and(|revision| found.revision > revision);
    let met = Met {
        revision: found.revision,
        others: sentence(&others, &desk.viewer.name),
        newer: if is_newer { newer(&found.edited_by) } else { String::new() },
    };
    Ok(Json(met).into_response())
}

fn sentence(others: &[Presence], own: &str) -> String {
    let mut names: Vec<&str> =
        others.iter().map(|other| other.name.as_str()).filter(|name| *name != own).collect();
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() {
        return texts::text_s("presence-others", &names.join(", "));
    }
    if others.is_empty() { String::new() } else { texts::text("presence-own") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(name: &str) -> Presence {
        Presence { name: name.to_owned(), part: "content".to_owned(), since: 0, seen_at: 0 }
    }

    #[test]
    fn others_are_named_once_and_one_self_is_another_window() {
        assert_eq!(sentence(&[], "ann"), "");
        let text = sentence(&[other("ben"), other("ann"), other("ben")], "ann");
        assert_eq!(text.matches("ben").count(), 1);
        assert!(!text.contains("ann"), "{text}");
        assert_eq!(sentence(&[other("ann")], "ann"), texts::text("presence-own"));
    }
}
