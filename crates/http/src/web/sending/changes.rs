//! Who changed what: rules, sources, warm-ups and verdicts, line by line.

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use routes::{Kind, RuleChange};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    super::{
        fault::Fault,
        filters,
        page::{Desk, Page, Place, show},
    },
    fields::typed,
    warm_ups::date,
};
use crate::state::AppState;

/// Lines of one page.
const LINES: usize = 50;
/// How far the history of one thing looks back, in lines of all of them.
const LOOK_BACK: usize = 500;
/// Lines of the history of one thing.
const OWN_LINES: usize = 10;

/// A field that changed.
pub struct Difference {
    pub(super) field: String,
    pub(super) before: String,
    pub(super) after: String,
}

/// A line as pages show it.
pub struct ChangeRow {
    pub(super) id: i64,
    pub(super) at: i64,
    pub(super) who: String,
    pub(super) kind: &'static str,
    pub(super) name: String,
    /// `new`, `gone` or `changed`.
    pub(super) what: &'static str,
    pub(super) differences: Vec<Difference>,
}

impl ChangeRow {
    fn of(change: RuleChange) -> ChangeRow {
        let what = match (&change.before, &change.after) {
            (None, _) => "new",
            (_, None) => "gone",
            _ => "changed",
        };
        ChangeRow {
            id: change.id,
            at: change.at_us,
            who: change.who,
            kind: change.kind.as_str(),
            name: change.name,
            what,
            differences: differences(change.before.as_deref(), change.after.as_deref()),
        }
    }
}

fn object(text: Option<&str>) -> Map<String, Value> {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The fields in which two things differ. What names the thing is no difference.
fn differences(before: Option<&str>, after: Option<&str>) -> Vec<Difference> {
    let (before, after) = (object(before), object(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let value = |of: &Map<String, Value>, name: &str| match (name, of.get(name)) {
        ("start_day", Some(Value::Number(day))) => date(day.as_i64().unwrap_or_default()),
        (_, found) => found.map(typed).unwrap_or_default(),
    };
    names
        .into_iter()
        .filter(|name| !matches!(name.as_str(), "name" | "at_us"))
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| Difference {
            field: name.replace('_', " "),
            before: value(&before, name),
            after: value(&after, name),
        })
        .filter(|difference| difference.before != difference.after)
        .collect()
}

/// The newest changes of one thing.
pub async fn of_name(state: &AppState, kind: Kind, name: &str) -> Result<Vec<ChangeRow>, Fault> {
    let all = state.routes.rule_changes(LOOK_BACK, None).await?;
    let own = all.into_iter().filter(|change| change.kind == kind && change.name == name);
    Ok(own.take(OWN_LINES).map(ChangeRow::of).collect())
}

#[derive(Template)]
#[template(path = "sending_changes.html")]
struct ChangesPage {
    page: Page,
    rows: Vec<ChangeRow>,
    older: Option<i64>,
    first: bool,
}

/// `?before` is the id of the last line above.
#[derive(Deserialize)]
pub struct Asked {
    before: Option<i64>,
}

/// `GET /sending/changes`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let mut found = state.routes.rule_changes(LINES + 1, asked.before).await?;
    let more = found.len() > LINES;
    found.truncate(LINES);
    let rows: Vec<ChangeRow> = found.into_iter().map(ChangeRow::of).collect();
    let older = rows.last().filter(|_| more).map(|row| row.id);
    show(&ChangesPage { page: desk.page(Place::Limits), rows, older, first: asked.before.is_none() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        let before = r#"{"connections":3,"tls":"none","name":"a"}"#;
        let after = r#"{"connections":4,"tls":"none","message_rates":["1/s"],"name":"b"}"#;
        let told = differences(Some(before), Some(after));
        let told: Vec<_> =
            told.iter().map(|one| (one.field.as_str(), one.before.as_str(), one.after.as_str())).collect();
        assert_eq!(told, [("connections", "3", "4"), ("message rates", "", "1/s")]);
        assert_eq!(differences(None, Some(after)).len(), 3);
        assert!(differences(Some("damaged"), None).is_empty());
    }
}
