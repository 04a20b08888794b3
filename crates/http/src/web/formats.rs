//! Format rules, under Settings: how messages for some receivers are built.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use content::FormatRule;
use message::Charset;

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Desk, Page, Place, done, show, show_as},
    texts,
};
use crate::{acts::Told, state::AppState};

/// Where the pages are.
const HOME: &str = "/settings/formats";
/// A new rule stands behind the others, with room between.
const POSITION_STEP: i64 = 10;

/// An entry of a select.
pub struct Choice {
    /// Its value.
    pub name: String,
    /// In words.
    pub label: String,
    /// Whether it is the present one.
    pub chosen: bool,
}

/// The encodings that a message can have.
pub fn encodings(present: &str) -> Vec<Choice> {
    let present = Charset::parse(present);
    let choice = |charset: Charset| Choice {
        name: charset.name().to_ascii_lowercase(),
        label: format!("{} ({})", charset.title(), charset.name()),
        chosen: present == Some(charset),
    };
    Charset::all().map(choice).collect()
}

struct Row {
    id: i64,
    position: i64,
    mask: String,
    structure: String,
    encodings: String,
    rest: String,
}

impl Row {
    fn of(rule: FormatRule) -> Row {
        let named = |key: &str, name: &str| (!name.is_empty()).then(|| texts::text_s(key, name));
        let coded = |key: &str, charset: &str, transfer: &str| {
            let words: Vec<&str> =
                [charset, transfer].into_iter().filter(|word| !matches!(*word, "" | "auto")).collect();
            (!words.is_empty()).then(|| texts::text_s(key, &words.join(", ")))
        };
        let encodings = [
            named("format-rule-of-subject", &rule.subject_charset),
            coded("format-rule-of-html", &rule.html_charset, &rule.html_transfer),
            coded("format-rule-of-text", &rule.text_charset, &rule.text_transfer),
        ];
        let flag = |on: bool, key: &str| on.then(|| texts::text(key));
        let rest = [
            (!rule.carrier.is_empty()).then(|| texts::pick("format", &rule.carrier)),
            flag(rule.related, "format-rule-related"),
            flag(rule.inline_images, "format-rule-inline"),
            flag(rule.amp, "format-rule-amp"),
        ];
        let words = |found: Vec<Option<String>>| found.into_iter().flatten().collect::<Vec<_>>().join(" · ");
        Row {
            id: rule.id,
            position: rule.position,
            structure: match rule.structure.as_str() {
                "" => texts::text("structure-any"),
                name => texts::pick("structure", name),
            },
            encodings: words(encodings.into()),
            rest: words(rest.into()),
            mask: rule.mask,
        }
    }
}

#[derive(Template)]
#[template(path = "settings_formats.html")]
struct FormatsPage {
    page: Page,
    rows: Vec<Row>,
}

/// `GET /settings/formats`.
pub async fn index(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    let rows = state.content.format_rules().await?.into_iter().map(Row::of).collect();
    show(&FormatsPage { page: desk.page(Place::Settings), rows })
}

/// A select of the form.
struct Select {
    field: &'static str,
    choices: Vec<Choice>,
}

#[derive(Template)]
#[template(path = "settings_format.html")]
struct FormatPage {
    page: Page,
    heading: String,
    action: String,
    rule: FormatRule,
    charsets: Vec<Select>,
    transfers: Vec<Select>,
    problem: String,
}

impl FormatPage {
    fn of(desk: &Desk, rule: FormatRule, problem: String) -> FormatPage {
        let charset = |field, present: &str| {
            let any = Choice {
                name: String::new(),
                label: texts::text("format-rule-charset-any"),
                chosen: present.is_empty(),
            };
            Select { field, choices: std::iter::once(any).chain(encodings(present)).collect() }
        };
        let transfer = |field, present: &str| {
            let choice = |name: &str| Choice {
                name: name.to_owned(),
                label: if name == "auto" {
                    texts::text("format-rule-transfer-auto")
                } else {
                    name.to_owned()
                },
                chosen: present == name,
            };
            Select { field, choices: content::TRANSFERS.into_iter().map(choice).collect() }
        };
        let is_new = rule.id == 0;
        FormatPage {
            page: desk.page(Place::Settings),
            heading: if is_new { texts::text("format-rule-new") } else { rule.mask.clone() },
            action: if is_new { format!("{HOME}/new") } else { format!("{HOME}/{}", rule.id) },
            charsets: vec![
                charset("subject_charset", &rule.subject_charset),
                charset("html_charset", &rule.html_charset),
                charset("text_charset", &rule.text_charset),
            ],
            transfers: vec![
                transfer("html_transfer", &rule.html_transfer),
                transfer("text_transfer", &rule.text_transfer),
            ],
            rule,
            problem,
        }
    }
}

/// `GET /settings/formats/new`.
pub async fn new(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    let last = state.content.format_rules().await?.iter().map(|rule| rule.position).max().unwrap_or(0);
    let rule = FormatRule {
        position: last + POSITION_STEP,
        html_transfer: "auto".to_owned(),
        text_transfer: "auto".to_owned(),
        ..FormatRule::default()
    };
    show(&FormatPage::of(&desk, rule, String::new()))
}

async fn find(state: &AppState, id: i64) -> Result<FormatRule, Fault> {
    let rules = state.content.format_rules().await?;
    rules.into_iter().find(|rule| rule.id == id).ok_or_else(|| Fault::not_found("format rule"))
}

/// `GET /settings/formats/{id}`.
pub async fn view(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    show(&FormatPage::of(&desk, find(&state, id).await?, String::new()))
}

fn sent(id: i64, form: &Form) -> FormatRule {
    let word = |name: &str| form.get(name).to_owned();
    FormatRule {
        id,
        position: form.get("position").parse().unwrap_or(0),
        mask: word("mask"),
        carrier: word("carrier"),
        structure: word("structure"),
        related: form.has("related"),
        inline_images: form.has("inline_images"),
        amp: form.has("amp"),
        subject_charset: word("subject_charset"),
        html_charset: word("html_charset"),
        html_transfer: word("html_transfer"),
        text_charset: word("text_charset"),
        text_transfer: word("text_transfer"),
    }
}

async fn keep(desk: &Desk, state: &AppState, rule: FormatRule) -> Result<Response, Fault> {
    let fault = match state.content.save_format_rule(rule.clone()).await {
        Ok(kept) => return Ok(Told::about(kept.id.to_string()).on(done(HOME, "saved"))),
        Err(error) => Fault::from(error),
    };
    if !fault.is_callers() {
        return Err(fault);
    }
    show_as(fault.0.status, &FormatPage::of(desk, rule, fault.text()))
}

/// `POST /settings/formats/new`.
pub async fn create(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    keep(&desk, &state, sent(0, &form)).await
}

/// `POST /settings/formats/{id}`.
pub async fn save(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    find(&state, id).await?;
    keep(&desk, &state, sent(id, &form)).await
}

/// `POST /settings/formats/{id}/delete`.
pub async fn delete(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    if !state.content.delete_format_rule(id).await? {
        return Err(Fault::not_found("format rule"));
    }
    Ok(done(HOME, "deleted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_told_in_words() {
        let row = Row::of(FormatRule {
            mask: "docomo.ne.jp".into(),
            carrier: "docomo".into(),
            structure: "alternative".into(),
            related: true,
            subject_charset: "shift_jis".into(),
            html_charset: "shift_jis".into(),
            html_transfer: "8bit".into(),
            text_transfer: "auto".into(),
            ..FormatRule::default()
        });
        assert!(
            row.encodings.contains("shift_jis, 8bit") && row.encodings.matches('·').count() == 1,
            "{}",
            row.encodings
        );
        assert!(
            row.rest.contains("docomo") && row.structure != "alternative",
            "{} {}",
            row.rest,
            row.structure
        );
    }

    #[test]
    fn the_present_encoding_is_chosen_however_it_is_written() {
        for name in ["utf-8", "UTF-8", "Shift_JIS", "shift_jis"] {
            assert_eq!(encodings(name).iter().filter(|choice| choice.chosen).count(), 1, "{name}");
        }
        assert!(encodings("").iter().all(|choice| !choice.chosen));
    }
}
