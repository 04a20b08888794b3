//! Rule `subject`: there is a subject, without characters that break mail agents.

use super::{Phase, Rule, is_template};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfPersonalisation,
    order: 10,
    level: Level::Error,
    summary: "there is a subject, without characters that break mail agents.",
    why: "Control characters and marks that turn the direction of text are shown as garbage, or used to deceive. A subject that is long is cut; one in capitals looks like spam to people and filters.",
    hint: "Write a subject of about 50 characters, without control characters.",
    check,
    breaks: |facts| facts.subject.clear(),
};

const NAME: &str = "subject";

/// Beyond this many characters nearly every mail agent cuts a subject.
const SUBJECT_CHARS_ADVISED: usize = 78;

fn check(facts: &Facts) -> Vec<Finding> {
    let subject = facts.subject.trim();
    if subject.is_empty() {
        return vec![Finding::new(NAME, Level::Error, "the subject is empty").in_part("subject")];
    }
    let mut findings = Vec::new();
    let mut warn = |text: String| findings.push(Finding::new(NAME, Level::Warning, text).in_part("subject"));
    if let Some(odd) = subject.chars().find(|c| is_odd(*c)) {
        warn(format!(
            "the subject contains {}, which some mail agents show as garbage",
            odd.escape_unicode()
        ));
    }
    let written = subject.chars().count();
    if !is_template(subject) && written > SUBJECT_CHARS_ADVISED {
        warn(format!("the subject has {written} characters; most mail agents cut it after about 50"));
    }
    if !is_template(subject) && written > 8 && is_shouted(subject) {
        warn("the subject is all in capitals, which filters count against it".to_owned());
    }
    findings
}

fn is_shouted(subject: &str) -> bool {
    subject == subject.to_uppercase() && subject != subject.to_lowercase()
}

/// Control characters, private use, the replacement character and invisible direction marks.
fn is_odd(c: char) -> bool {
    let invisible = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || invisible || matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(subject: &str) -> Vec<Finding> {
        check(&Facts { subject: subject.into(), ..Facts::default() })
    }

    #[test]
    fn passes() {
        assert_eq!(with("{{ first_name }}, news from us"), []);
        assert_eq!(with("秋のお知らせ"), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with("  ")[0].level, Level::Error);
        assert_eq!(with("News\u{202e}evil")[0].level, Level::Warning);
        assert_eq!(with(&"long ".repeat(20)).len(), 1);
        assert_eq!(with("BUY NOW, TODAY").len(), 1);
    }
}
