//! Settings: each value, where it comes from, and the form for those that may be changed here.

use access::{Entry, Origin, Setting, settings::Place as Where};
use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Desk, Page, Place, done, show, show_as},
    texts,
};
use crate::state::AppState;

struct Row {
    key: &'static str,
    name: String,
    help: &'static str,
    form: String,
    value: String,
    default: &'static str,
    secret: bool,
    editable: bool,
    at_start: bool,
    source: &'static str,
    problem: String,
}

struct Group {
    name: &'static str,
    rows: Vec<Row>,
}

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    page: Page,
    groups: Vec<Group>,
    refused: bool,
}

/// Groups by the first part of the key, in the order of the page.
const GROUPS: [(&str, &[&str]); 8] = [
    ("public", &["listen", "public_listen", "public_url", "database"]),
    ("sender", &["content"]),
    ("sending", &["mta", "net"]),
    ("deliveries", &["delivery"]),
    ("analyses", &["analysis"]),
    ("bounces", &["feedback"]),
    ("archive", &["archive"]),
    ("tracking", &["tracking"]),
];

fn group_of(key: &str) -> &'static str {
    let head = key.split('.').next().unwrap_or(key);
    GROUPS.iter().find(|(_, heads)| heads.contains(&head)).map_or("other", |(name, _)| name)
}

/// `GET /settings`.
pub async fn view(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    show(&build(&desk, &state, None, &[]))
}

fn build(
    desk: &Desk,
    state: &AppState,
    form: Option<&Form>,
    problems: &[(&'static str, String)],
) -> SettingsPage {
    let entries = state.access.settings().entries();
    let mut groups: Vec<Group> = GROUPS.iter().map(|(name, _)| Group { name, rows: Vec::new() }).collect();
    groups.push(Group { name: "other", rows: Vec::new() });
    for entry in entries.into_iter().filter(|entry| entry.setting.place != Where::Later) {
        let name = group_of(entry.setting.key);
        if let Some(group) = groups.iter_mut().find(|group| group.name == name) {
            group.rows.push(row(entry, form, problems));
        }
    }
    groups.retain(|group| !group.rows.is_empty());
    SettingsPage { page: desk.page(Place::Settings), groups, refused: !problems.is_empty() }
}

fn row(entry: Entry, form: Option<&Form>, problems: &[(&'static str, String)]) -> Row {
    let Setting { key, kind, default, secret, place, help } = *entry.setting;
    let typed = form.filter(|_| entry.editable && !secret).map(|form| form.get(key).to_owned());
    let problem = problems.iter().find(|(name, _)| *name == key).map(|(_, text)| text.clone());
    Row {
        key,
        name: texts::pick("setting", &key.replace('.', "-")),
        help,
        form: kind.hint(),
        value: typed.unwrap_or(entry.value),
        default,
        secret,
        editable: entry.editable,
        at_start: place == Where::Start,
        source: source(entry.origin),
        problem: problem.unwrap_or_default(),
    }
}

fn source(origin: Origin) -> &'static str {
    match origin {
        Origin::Environment => "environment",
        Origin::File => "file",
        Origin::Database => "stored",
        Origin::Default => "default",
    }
}

/// `POST /settings`: saves what changed. Each value is checked by itself; those that pass are kept.
pub async fn save(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let mut problems = Vec::new();
    for entry in state.access.settings().entries().into_iter().filter(|entry| entry.editable) {
        let key = entry.setting.key;
        let sent = form.pairs().iter().any(|(name, _)| name == key);
        let value = form.get(key);
        let cleared = entry.setting.secret && form.has(&format!("clear:{key}"));
        // A secret is never shown, so an empty field means that it stays.
        let untouched =
            if entry.setting.secret { value.is_empty() && !cleared } else { value == entry.value };
        // A value at its default is not stored, so that a later version's default takes effect.
        let same_as_default = entry.origin == Origin::Default && value == entry.setting.default;
        if !sent || untouched || same_as_default {
            continue;
        }
        match state.access.set(&desk.viewer.name, key, value, state.clock.now_us()).await {
            Ok(()) => {}
            Err(access::Error::Setting(text)) => problems.push((key, text)),
            Err(error) => return Err(error.into()),
        }
    }
    if problems.is_empty() {
        return Ok(done("/settings", "saved"));
    }
    show_as(axum::http::StatusCode::UNPROCESSABLE_ENTITY, &build(&desk, &state, Some(&form), &problems))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_name_and_a_group() {
        for setting in access::settings::REGISTRY.iter().filter(|setting| setting.place != Where::Later) {
            let key = format!("setting-{}", setting.key.replace(['.', '_'], "-"));
            assert!(texts::exists(&key), "{key}");
            assert_ne!(group_of(setting.key), "other", "{}", setting.key);
        }
    }

    #[test]
    fn the_manual_names_every_setting() {
        const CHAPTER: &str = include_str!("../../../../docs/settings.md");
        for setting in access::settings::REGISTRY.iter().filter(|setting| setting.place != Where::Later) {
            let named = CHAPTER.contains(&format!("`{}`", setting.key));
            assert!(named, "{} is missing in docs/settings.md", setting.key);
        }
    }
}
