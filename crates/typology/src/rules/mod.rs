//! The rules, in their phases.

use serde::{Deserialize, Serialize};

use crate::{Facts, Finding, Level};

mod archive;
mod attachments;
mod error_address;
mod message_size;
mod mirror_link;
mod mobile;
mod proof_outdated;
mod proof_size;
mod sender;
mod sender_domain;
mod subject;
mod target_empty;
mod unsubscription_link;
mod url_labels;
mod urls;
mod validity_period;

/// When a rule runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before the target is computed: saves the work when something is plainly wrong.
    StartOfTargeting,
    /// When the target is known.
    AfterTargeting,
    /// Before messages are personalised.
    StartOfPersonalisation,
    /// When every message was evaluated.
    EndOfAnalysis,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Phase; 4] =
        [Phase::StartOfTargeting, Phase::AfterTargeting, Phase::StartOfPersonalisation, Phase::EndOfAnalysis];

    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::StartOfTargeting => "start_of_targeting",
            Phase::AfterTargeting => "after_targeting",
            Phase::StartOfPersonalisation => "start_of_personalisation",
            Phase::EndOfAnalysis => "end_of_analysis",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.as_str() == name)
    }
}

/// One control rule.
pub struct Rule {
    /// Name, shown with its findings.
    pub name: &'static str,
    /// When it runs.
    pub phase: Phase,
    /// Lower runs first.
    pub order: u32,
    /// The most serious level that it gives.
    pub level: Level,
    /// One line for the manual.
    pub summary: &'static str,
    /// What to do about a finding.
    pub hint: &'static str,
    /// The rule itself.
    pub check: fn(&Facts) -> Vec<Finding>,
}

/// All rules of the typology `default`, in the order in which they run.
pub fn all() -> Vec<&'static Rule> {
    let mut rules = vec![
        &archive::RULE,
        &sender::RULE,
        &error_address::RULE,
        &sender_domain::RULE,
        &target_empty::RULE,
        &proof_size::RULE,
        &subject::RULE,
        &urls::RULE,
        &url_labels::RULE,
        &unsubscription_link::RULE,
        &mirror_link::RULE,
        &attachments::RULE,
        &mobile::RULE,
        &proof_outdated::RULE,
        &message_size::RULE,
        &validity_period::RULE,
    ];
    rules.sort_by_key(|rule| (rule.phase, rule.order, rule.name));
    rules
}

/// Does `address` match one of the masks? `*` stands for any run of characters; no mask allows all.
pub(crate) fn matches_mask(masks: &[String], address: &str) -> bool {
    masks.is_empty()
        || masks.iter().any(|mask| address::matches_mask(&mask.to_lowercase(), &address.to_lowercase()))
}

/// Is the text (partly) a template, so that its value is known only per recipient?
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_rule_is_documented() {
        let rules = all();
        let mut names: Vec<_> = rules.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), rules.len());
        assert!(rules.iter().all(|rule| !rule.summary.is_empty() && !rule.hint.is_empty()));
    }

    #[test]
    fn masks() {
        let masks = vec!["*@shop.example".to_owned(), "news-*@*.example".to_owned()];
        assert!(matches_mask(&masks, "News@SHOP.example"));
        assert!(matches_mask(&masks, "news-1@a.b.example"));
        assert!(!matches_mask(&masks, "news@other.example"));
        assert!(!matches_mask(&masks, "news@shop.example.evil"));
        assert!(matches_mask(&[], "anybody@anywhere"));
    }
}
