//! Rule `feedback_id`: the header Feedback-ID is one that Gmail counts complaints by.

use super::{Phase, Rule, is_template};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfPersonalisation,
    order: 21,
    level: Level::Warning,
    summary: "the header Feedback-ID has at most four fields and ends in a sender's name of 5 to 15 characters.",
    why: "Gmail's Postmaster Tools count complaints by its fields, read from the right, and ignore a header that is \
          not of this form or that has one value twice.",
    hint: "Take a Feedback-ID of your own out of the additional headers: each message has a right one.",
    check,
    breaks: |facts| facts.feedback_id = "news:news:shop".into(),
};

const NAME: &str = "feedback_id";

/// Fields that are read, and the length of the last one, which names the sender.
const FIELDS_MAX: usize = 4;
const SENDER_CHARS: std::ops::RangeInclusive<usize> = 5..=15;

fn check(facts: &Facts) -> Vec<Finding> {
    let value = facts.feedback_id.trim();
    if value.is_empty() || is_template(value) {
        return Vec::new();
    }
    let fields: Vec<&str> = value.split(':').map(str::trim).collect();
    let sender = fields.last().copied().unwrap_or_default();
    let named = || fields.iter().filter(|field| !field.is_empty());
    let fault = if fields.len() > FIELDS_MAX {
        "has more than four fields"
    } else if !SENDER_CHARS.contains(&sender.chars().count()) {
        "does not end in a name of 5 to 15 characters"
    } else if named().any(|field| named().filter(|other| *other == field).count() > 1) {
        "has one value twice"
    } else {
        return Vec::new();
    };
    vec![Finding::new(NAME, Level::Warning, format!("Feedback-ID ({value}) {fault}, so Gmail ignores it"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &str) -> Vec<Finding> {
        check(&Facts { feedback_id: value.into(), ..Facts::default() })
    }

    #[test]
    fn passes() {
        for value in ["17:mailwright", "a:b:c:shop-example", "::17:mailwright", "", "{{ code }}:x"] {
            assert_eq!(with(value), [], "{value}");
        }
    }

    #[test]
    fn fails() {
        for value in ["a:b:c:d:mailwright", "17:shop", "17:a-name-that-is-too-long", "a:a:mailwright"] {
            assert_eq!(with(value).len(), 1, "{value}");
        }
    }
}
