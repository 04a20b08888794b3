//! The rules, in their phases.

use serde::{Deserialize, Serialize};

use crate::{AuthenticationFact, Facts, Finding, Level};

mod alignment;
mod alt_text;
mod archive;
mod attachments;
mod broken_links;
mod contact_date;
mod dkim;
mod dmarc;
mod error_address;
mod feedback_id;
mod headers;
mod helo;
mod image_only;
mod insecure_links;
mod link_shorteners;
mod message_size;
mod mirror_link;
mod mobile;
mod one_click;
mod pool;
mod proof_outdated;
mod proof_size;
mod reverse_dns;
mod sender;
mod sender_domain;
mod sender_mail;
pub(crate) mod spam_words;
mod spf;
mod subject;
mod target_empty;
mod tls;
mod unsubscription_link;
mod url_labels;
mod urls;
mod validity_period;
mod wave_schedule;

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

    /// The name for people.
    pub fn title(self) -> &'static str {
        match self {
            Phase::StartOfTargeting => "Start of targeting",
            Phase::AfterTargeting => "After targeting",
            Phase::StartOfPersonalisation => "Start of personalisation",
            Phase::EndOfAnalysis => "End of analysis",
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
    /// Why it matters, for the manual.
    pub why: &'static str,
    /// What to do about a finding.
    pub hint: &'static str,
    /// The rule itself.
    pub check: fn(&Facts) -> Vec<Finding>,
    /// Its failing example: makes of [`crate::example`], which passes every rule, facts that this one objects to.
    pub breaks: fn(&mut Facts),
}

/// All shipped rules, in the order in which they run.
pub fn all() -> Vec<&'static Rule> {
    let mut rules = vec![
        &alignment::RULE,
        &alt_text::RULE,
        &archive::RULE,
        &attachments::RULE,
        &broken_links::RULE,
        &contact_date::RULE,
        &dkim::RULE,
        &dmarc::RULE,
        &error_address::RULE,
        &feedback_id::RULE,
        &headers::RULE,
        &helo::RULE,
        &image_only::RULE,
        &insecure_links::RULE,
        &link_shorteners::RULE,
        &message_size::RULE,
        &mirror_link::RULE,
        &mobile::RULE,
        &one_click::RULE,
        &pool::RULE,
        &proof_outdated::RULE,
        &proof_size::RULE,
        &reverse_dns::RULE,
        &sender::RULE,
        &sender_domain::RULE,
        &sender_mail::RULE,
        &spam_words::RULE,
        &spf::RULE,
        &subject::RULE,
        &target_empty::RULE,
        &tls::RULE,
        &unsubscription_link::RULE,
        &url_labels::RULE,
        &urls::RULE,
        &validity_period::RULE,
        &wave_schedule::RULE,
    ];
    rules.sort_by_key(|rule| (rule.phase, rule.order, rule.name));
    rules
}

/// Does `address` match one of the masks? `*` stands for any run of characters; no mask allows all.
pub(crate) fn matches_mask(masks: &[String], address: &str) -> bool {
    masks.is_empty()
        || masks.iter().any(|mask| address::matches_mask(&mask.to_lowercase(), &address.to_lowercase()))
}

/// What a rule says of how receivers judge the sender; nothing where nobody was asked.
fn authentication(facts: &Facts, judge: impl FnOnce(&AuthenticationFact) -> Option<Finding>) -> Vec<Finding> {
    let found = facts.lookups.authentication.as_ref().and_then(judge);
    found.map(|finding| finding.in_part("sender")).into_iter().collect()
}

/// A URL, cut for a line of the journal.
fn shortened(url: &str) -> String {
    match url.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", &url[..at]),
        None => url.to_owned(),
    }
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
        for rule in rules {
            assert!(rule.summary.ends_with('.') && rule.why.ends_with('.'), "{}", rule.name);
            assert!(rule.hint.ends_with('.'), "{}", rule.name);
        }
    }

    #[test]
    fn the_example_passes_every_rule_and_each_rule_has_one_that_fails() {
        for rule in all() {
            assert_eq!((rule.check)(&crate::example()), [], "{}", rule.name);
            let mut facts = crate::example();
            (rule.breaks)(&mut facts);
            let found = (rule.check)(&facts);
            let worst = found.iter().map(|finding| finding.level).max();
            assert_eq!(worst, Some(rule.level), "{}", rule.name);
            assert!(found.iter().all(|finding| finding.rule == rule.name), "{}", rule.name);
        }
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
