//! Rule `sender_domain`: the sender domain is one that this instance signs for with DKIM.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level, Receiver};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::AfterTargeting,
    order: 30,
    level: Level::Warning,
    summary: "the sender domain is one that this instance signs for with DKIM.",
    why: "Receivers take large amounts of mail only when it is signed with DKIM. This program signs for the domains that it has keys of.",
    hint: "Add the domain under Domains and publish its records, or send from a domain that is there.",
    check,
    breaks: |facts| facts.sender.domain_known = Some(false),
};

const NAME: &str = "sender_domain";

fn check(facts: &Facts) -> Vec<Finding> {
    if facts.sender.domain_known != Some(false) {
        return Vec::new();
    }
    let text = "the sender domain has no DKIM keys here, so messages go out unsigned: add it under Domains";
    vec![Finding::new(NAME, Level::Warning, text).in_part("sender").refused_by(Receiver::ALL)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(known: Option<bool>) -> Vec<Finding> {
        let mut facts = Facts::default();
        facts.sender.domain_known = known;
        check(&facts)
    }

    #[test]
    fn passes() {
        assert_eq!(with(Some(true)), []);
        assert_eq!(with(None), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with(Some(false))[0].level, Level::Warning);
    }
}
