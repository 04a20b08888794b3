//! What changed between two states of a delivery: its content line by line, its parameters key by key.

use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use crate::definition::Definition;
use crate::types::Sources;

/// Lines that one part's change lists; a part that changed more says how many are left out.
pub const LINES_MAX: usize = 400;
/// Keys that a change of the definition lists.
pub const KEYS_MAX: usize = 200;
/// Longest value shown of a key, in characters.
const VALUE_CHARS_MAX: usize = 200;
/// Time for one part's comparison; beyond it the rest counts as replaced.
const DIFF_TIME: std::time::Duration = std::time::Duration::from_millis(500);

/// A part of the content that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartChange {
    /// `html`, `text`, `mjml` or `amp`.
    pub part: &'static str,
    /// Lines that came.
    pub added: usize,
    /// Lines that went.
    pub removed: usize,
    /// The changed lines in their order, at most [`LINES_MAX`].
    pub lines: Vec<LineChange>,
}

/// A line that came or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineChange {
    /// It came; else it went.
    pub added: bool,
    /// Its number, in the text that has it.
    pub line: usize,
    /// Itself.
    pub text: String,
}

/// A key of the definition that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyChange {
    /// As in `delivery.toml`: `parameters.retries`.
    pub key: String,
    /// Its value before, as JSON, shortened; empty: it was not there.
    pub before: String,
    /// Its value after.
    pub after: String,
}

/// What changed in the content.
pub fn of_sources(before: &Sources, after: &Sources) -> Vec<PartChange> {
    let parts = [
        ("html", &before.html, &after.html),
        ("text", &before.text, &after.text),
        ("mjml", &before.mjml, &after.mjml),
        ("amp", &before.amp, &after.amp),
    ];
    let changed = parts.into_iter().filter(|(_, before, after)| before != after);
    changed
        .map(|(part, before, after)| {
            of_text(part, before.as_deref().unwrap_or_default(), after.as_deref().unwrap_or_default())
        })
        .collect()
}

fn of_text(part: &'static str, before: &str, after: &str) -> PartChange {
    let mut change = PartChange { part, added: 0, removed: 0, lines: Vec::new() };
    let diff = TextDiff::configure().timeout(DIFF_TIME).diff_lines(before, after);
    for line in diff.iter_all_changes() {
        let (added, place) = match line.tag() {
            ChangeTag::Equal => continue,
            ChangeTag::Insert => (true, line.new_index()),
            ChangeTag::Delete => (false, line.old_index()),
        };
        change.added += usize::from(added);
        change.removed += usize::from(!added);
        if change.lines.len() < LINES_MAX {
            let text = line.value().trim_end_matches(['\n', '\r']).to_owned();
            change.lines.push(LineChange { added, line: place.unwrap_or_default() + 1, text });
        }
    }
    change
}

/// What changed in the parameters, by key.
pub fn of_definitions(before: &Definition, after: &Definition) -> Vec<KeyChange> {
    let mut changes = Vec::new();
    walk("", &value(before), &value(after), &mut changes);
    changes.truncate(KEYS_MAX);
    changes
}

fn value(definition: &Definition) -> serde_json::Value {
    serde_json::to_value(definition).unwrap_or_default()
}

fn walk(key: &str, before: &serde_json::Value, after: &serde_json::Value, changes: &mut Vec<KeyChange>) {
    use serde_json::Value::Object;
    match (before, after) {
        (Object(one), Object(other)) => {
            let mut names: Vec<_> = one.keys().chain(other.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                let nothing = serde_json::Value::Null;
                walk(&key, one.get(name).unwrap_or(&nothing), other.get(name).unwrap_or(&nothing), changes);
            }
        }
        (before, after) if before == after => {}
        (before, after) => {
            changes.push(KeyChange { key: key.to_owned(), before: shown(before), after: shown(after) })
        }
    }
}

fn shown(value: &serde_json::Value) -> String {
    let text = match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_came_and_went_are_told_with_their_places() {
        let before = Sources { html: Some("<p>a</p>\n<p>b</p>\n".into()), ..Sources::default() };
        let after = Sources { html: Some("<p>a</p>\n<p>c</p>\n<p>d</p>\n".into()), ..Sources::default() };
        let changes = of_sources(&before, &after);
        assert_eq!(changes.len(), 1);
        assert_eq!((changes[0].part, changes[0].added, changes[0].removed), ("html", 2, 1));
        assert!(changes[0].lines.contains(&LineChange { added: false, line: 2, text: "<p>b</p>".into() }));
        assert!(changes[0].lines.contains(&LineChange { added: true, line: 3, text: "<p>d</p>".into() }));
        assert_eq!(of_sources(&after, &after), []);
    }

    #[test]
    fn a_part_that_came_is_all_new_and_a_long_change_is_bounded() {
        let long: String = (0..LINES_MAX * 2).map(|n| format!("{n}\n")).collect();
        let after = Sources { text: Some(long), ..Sources::default() };
        let changes = of_sources(&Sources::default(), &after);
        assert_eq!((changes[0].added, changes[0].lines.len()), (LINES_MAX * 2, LINES_MAX));
    }

    #[test]
    fn keys_are_named_as_in_the_file() {
        let before = Definition::new("October");
        let mut after = before.clone();
        after.parameters.retries = 7;
        after.parameters.headers.insert("X-Season".into(), "autumn".into());
        let changes = of_definitions(&before, &after);
        let keys: Vec<_> = changes.iter().map(|change| change.key.as_str()).collect();
        assert_eq!(keys, ["parameters.headers.X-Season", "parameters.retries"]);
        assert_eq!((changes[1].before.as_str(), changes[1].after.as_str()), ("5", "7"));
    }
}
