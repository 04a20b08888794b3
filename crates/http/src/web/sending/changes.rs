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
        filters, format,
        page::{Desk, Page, Place, show},
        texts,
    },
    fields::{FIELDS, typed},
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
            differences: differences(change.kind, change.before.as_deref(), change.after.as_deref()),
        }
    }
}

fn object(text: Option<&str>) -> Map<String, Value> {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The fields in which two things differ. What names the thing is no difference.
fn differences(kind: Kind, before: Option<&str>, after: Option<&str>) -> Vec<Difference> {
    let (before, after) = (object(before), object(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let value = |of: &Map<String, Value>, name: &str| {
        of.get(name).map(|value| worded(kind, name, value)).unwrap_or_default()
    };
    names
        .into_iter()
        .filter(|name| !matches!(name.as_str(), "name" | "at_us"))
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| Difference {
            field: label(kind, name),
            before: value(&before, name),
            after: value(&after, name),
        })
        .filter(|difference| difference.before != difference.after)
        .collect()
}

/// A field as its form calls it.
fn label(kind: Kind, field: &str) -> String {
    match kind {
        Kind::Override => texts::pick("limit-field", field),
        Kind::Source => texts::pick("source-field", field),
        Kind::WarmUp => texts::pick("warm-up-field", field),
        Kind::Verdict => texts::pick("verdict-field", field),
    }
}

/// A value as its form shows it.
fn worded(kind: Kind, field: &str, value: &Value) -> String {
    match (field, value) {
        ("start_day", Value::Number(day)) => date(day.as_i64().unwrap_or_default()),
        ("until_us", Value::Number(at)) => format::moment(at.as_i64().unwrap_or_default()),
        ("action", Value::Object(slow)) => {
            format!("{} {} %", texts::pick("verdict-action", "slow"), slow["slow"])
        }
        ("action", Value::String(word)) => texts::pick("verdict-action", word),
        ("overflow", Value::String(word)) => texts::pick("overflow", word),
        (_, Value::Array(items)) if items.is_empty() => texts::text("change-none"),
        (_, Value::Bool(_)) => texts::pick("yes-no", &typed(value)),
        (_, Value::String(word)) if kind == Kind::Override => {
            let choice =
                FIELDS.iter().find(|one| one.name == field && one.choices().contains(&word.as_str()));
            choice.map_or_else(|| word.clone(), |field| field.word(word))
        }
        _ => typed(value),
    }
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
        let told = differences(Kind::Override, Some(before), Some(after));
        let told: Vec<_> =
            told.iter().map(|one| (one.field.as_str(), one.before.as_str(), one.after.as_str())).collect();
        assert_eq!(told, [("Connections", "3", "4"), ("Messages at most", "", "1/s")]);
        assert_eq!(differences(Kind::Override, None, Some(after)).len(), 3);
        assert!(differences(Kind::Override, Some("damaged"), None).is_empty());
    }

    #[test]
    fn values_are_told_in_the_words_of_the_forms() {
        let told = |kind, name, text: &str| worded(kind, name, &serde_json::from_str(text).unwrap());
        assert_eq!(told(Kind::Override, "tls", "\"required\""), texts::pick("tls-policy", "required"));
        assert_eq!(told(Kind::Override, "adaptive", "true"), texts::pick("yes-no", "yes"));
        assert_eq!(told(Kind::Override, "label", "\"required\""), "required", "a name is no choice");
        assert_eq!(told(Kind::Verdict, "action", "{\"slow\": 25}"), "Slow down 25 %");
        assert_eq!(
            told(Kind::Verdict, "until_us", "1795687920000000"),
            format::moment(1_795_687_920_000_000)
        );
        assert_eq!(told(Kind::WarmUp, "days", "[50, 100]"), "50 100");
    }
}
