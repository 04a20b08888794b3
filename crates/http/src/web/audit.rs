//! The audit log: every change and every act of sending, with who and when.

use access::{AuditFilter, AuditLine};
use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use jiff::{ToSpan, civil::Date};
use serde::Deserialize;

use super::{
    fault::Fault,
    filters, format,
    page::{Desk, Page, Place, show},
    reader,
};
use crate::{audit, state::AppState};

/// Lines on a page.
const LINES_SHOWN: i64 = 100;

/// What the page is asked for. Dates are days in the reader's zone, both included.
#[derive(Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    actor: String,
    #[serde(default)]
    action: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    until: String,
    before: Option<i64>,
}

impl Asked {
    fn filter(&self) -> AuditFilter {
        let day_after = |text: &str| text.parse::<Date>().ok()?.checked_add(1.day()).ok();
        AuditFilter {
            actor: self.actor.trim().to_owned(),
            action: self.action.trim().to_owned(),
            subject: self.subject.trim().to_owned(),
            from: format::from_local_input(&self.from),
            until: day_after(self.until.trim()).and_then(|day| format::from_local_input(&day.to_string())),
        }
    }

    fn is_filtered(&self) -> bool {
        [&self.actor, &self.action, &self.subject, &self.from, &self.until]
            .iter()
            .any(|text| !text.is_empty())
    }

    /// The filter as the query of a link.
    fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let fields = [
            ("actor", &self.actor),
            ("action", &self.action),
            ("subject", &self.subject),
            ("from", &self.from),
            ("until", &self.until),
        ];
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        query.finish()
    }
}

struct Row {
    line: AuditLine,
    /// Where the subject can be looked at; empty: nowhere.
    href: String,
}

impl Row {
    fn of(line: AuditLine) -> Row {
        let is_id = !line.subject.is_empty() && line.subject.bytes().all(|octet| octet.is_ascii_digit());
        let href = match line.action.split_once('.') {
            Some(("delivery", _)) if is_id => format!("/deliveries/{}", line.subject),
            _ => String::new(),
        };
        Row { line, href }
    }
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    page: Page,
    asked: Asked,
    query: String,
    actors: Vec<String>,
    /// Rooms (ending in a dot) and actions.
    actions: Vec<String>,
    zone: String,
    rows: Vec<Row>,
    older: Option<i64>,
}

/// `GET /audit`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let lines = state.access.audit_lines(&asked.filter(), asked.before, LINES_SHOWN).await?;
    let full = i64::try_from(lines.len()).is_ok_and(|count| count == LINES_SHOWN);
    let older = lines.last().filter(|_| full).map(|line| line.id);
    let (actors, actions) = state.access.audit_words().await?;
    let zone = reader::zone_name();
    show(&AuditPage {
        page: desk.page(Place::Audit),
        query: asked.query(),
        asked,
        actors,
        actions: with_rooms(actions),
        zone: if zone.is_empty() { "UTC".to_owned() } else { zone },
        rows: lines.into_iter().map(Row::of).collect(),
        older,
    })
}

/// Each room stands before its actions.
fn with_rooms(actions: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(actions.len() * 2);
    let mut room = String::new();
    for action in actions {
        if let Some((own, _)) = action.split_once('.')
            && own != room
        {
            own.clone_into(&mut room);
            out.push(format!("{own}."));
        }
        out.push(action);
    }
    out
}

/// `GET /audit.csv`: all lines of the filter as a file.
pub async fn export(
    _desk: Desk,
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    Ok(audit::export(&state, asked.filter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_and_both_included() {
        let day = |text: &str| text.to_owned();
        let asked = Asked { from: day("2026-11-26"), until: day("2026-11-26"), ..Asked::default() };
        let filter = asked.filter();
        assert_eq!(filter.until.unwrap() - filter.from.unwrap(), 86_400_000_000);
        assert_eq!(asked.query(), "from=2026-11-26&until=2026-11-26");
        let nonsense = Asked { from: day("soon"), until: day("99"), ..Asked::default() };
        assert_eq!((nonsense.filter().from, nonsense.filter().until), (None, None));
    }

    #[test]
    fn rooms_stand_before_their_actions() {
        let actions = ["list.add", "list.create", "user.add"].map(str::to_owned).to_vec();
        assert_eq!(with_rooms(actions), ["list.", "list.add", "list.create", "user.", "user.add"]);
    }
}
