//! The rules in `rules.toml` and how one matches.

use std::sync::LazyLock;

use serde::Deserialize;

use super::{Blame, Reason};
use crate::reply::{Enhanced, Reply};
use crate::stage::Stage;

/// One rule; the file's head explains the fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) name: String,
    #[serde(default = "permanent")]
    class: Vec<u8>,
    #[serde(default)]
    codes: Vec<u16>,
    #[serde(default)]
    enhanced: Vec<String>,
    #[serde(default)]
    stages: Vec<Stage>,
    #[serde(default)]
    text: Vec<String>,
    #[serde(default)]
    not: Vec<String>,
    pub(super) reason: Reason,
    pub(super) blames: Blame,
    #[serde(default)]
    pub(super) quarantine: bool,
    /// Only for the tests.
    #[cfg_attr(not(test), expect(dead_code, reason = "the examples are the rules' tests"))]
    example: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "the examples are the rules' tests"))]
    #[serde(default = "at_rcpt")]
    example_stage: Stage,
}

fn permanent() -> Vec<u8> {
    vec![5]
}

fn at_rcpt() -> Stage {
    Stage::Rcpt
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    rule: Vec<Rule>,
}

/// Constant data, read once.
static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let file: RuleFile =
        toml::from_str(include_str!("../rules.toml")).expect("the tests read the embedded rules");
    file.rule
});

/// The first rule that matches.
pub(super) fn find(reply: &Reply, stage: Stage) -> Option<&'static Rule> {
    let text = normalised(&reply.text());
    RULES.iter().find(|rule| rule.matches(reply, stage, &text))
}

impl Rule {
    fn matches(&self, reply: &Reply, stage: Stage, text: &str) -> bool {
        let any = |phrases: &[String]| phrases.iter().any(|phrase| has_phrase(text, phrase));
        self.class.iter().any(|class| u16::from(*class) == reply.code / 100)
            && !(self.quarantine && stage == Stage::Mail)
            && (self.codes.is_empty() || self.codes.contains(&reply.code))
            && (self.stages.is_empty() || self.stages.contains(&stage))
            && (self.enhanced.is_empty() || reply.enhanced.is_some_and(|code| self.has_status(code)))
            && (self.text.is_empty() || any(&self.text))
            && !any(&self.not)
    }

    fn has_status(&self, code: Enhanced) -> bool {
        let (exact, group) = (code.to_string(), format!("{}.{}.*", code.class, code.subject));
        self.enhanced.iter().any(|pattern| *pattern == exact || *pattern == group)
    }
}

/// Lower case, single blanks, straight apostrophes, and each word that holds an address as a lone `@`: an address is
/// the recipient's own, and `nospam@…` says nothing about spam.
fn normalised(text: &str) -> String {
    let lower = text.to_lowercase().replace('\u{2019}', "'");
    let words = lower.split_whitespace().map(|word| if word.contains('@') { "@" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// Whether the phrase stands in the text, beginning where a word begins; `*` is any text.
fn has_phrase(text: &str, phrase: &str) -> bool {
    let mut pieces = phrase.split('*');
    let first = pieces.next().unwrap_or_default();
    text.match_indices(first)
        .filter(|(at, _)| !text[..*at].ends_with(|c: char| c.is_alphanumeric()))
        .any(|(at, _)| has_in_order(&text[at + first.len()..], pieces.clone()))
}

fn has_in_order<'a>(mut text: &str, pieces: impl Iterator<Item = &'a str>) -> bool {
    for piece in pieces {
        match text.find(piece) {
            Some(at) => text = &text[at + piece.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_reached_by_its_own_example() {
        for rule in RULES.iter() {
            let reply = Reply::from_text(&rule.example).expect(&rule.example);
            let found = find(&reply, rule.example_stage).map(|found| found.name.as_str());
            assert_eq!(found, Some(rule.name.as_str()), "{}", rule.example);
        }
    }

    #[test]
    fn rules_are_well_formed() {
        let mut names: Vec<&str> = RULES.iter().map(|rule| rule.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len(), "names are unique");
        for rule in RULES.iter() {
            for phrase in rule.text.iter().chain(&rule.not) {
                assert_eq!(*phrase, phrase.to_lowercase(), "in {}", rule.name);
                assert!(
                    phrase.trim_start_matches(['*', ' ']).len() > 2,
                    "in {}: {phrase:?} matches too much",
                    rule.name
                );
            }
            for pattern in &rule.enhanced {
                assert!(Enhanced::parse(&pattern.replace('*', "0")).is_some(), "in {}: {pattern}", rule.name);
            }
            let narrow = !rule.text.is_empty() || !rule.enhanced.is_empty() || !rule.codes.is_empty();
            assert!(narrow, "{} matches everything", rule.name);
            assert!(rule.class.iter().all(|class| matches!(class, 4 | 5)));
            let about_the_recipient = matches!(rule.reason, Reason::UserUnknown | Reason::AccountDisabled);
            assert!(
                !rule.quarantine || (rule.class == [5] && about_the_recipient),
                "{} quarantines",
                rule.name
            );
        }
    }

    #[test]
    fn phrases_begin_at_words_and_may_have_gaps() {
        assert!(has_phrase("this user doesn't have a yahoo.com account (@)", "doesn't have a * account"));
        assert!(has_phrase("550 spamhaus", "spam"));
        assert!(!has_phrase("antispam", "spam"));
        assert!(!has_phrase("account for you, who doesn't have a", "doesn't have a * account"));
        assert_eq!(
            normalised("<NoSpam@example.com>...  User\u{a0}Doesn\u{2019}t  exist"),
            "@ user doesn't exist"
        );
    }
}
