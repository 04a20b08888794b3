//! Rule `sender_domain`: the sender domain is one that this instance signs for with DKIM.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfTargeting,
    order: 30,
    level: Level::Warning,
    summary: "the sender domain is one that this instance signs for with DKIM.",
    hint: "Add the domain under Domains and publish its records, or send from a domain that is there.",
    check,
};

const NAME: &str = "sender_domain";

fn check(facts: &Facts) -> Vec<Finding> {
    if facts.sender.domain_known != Some(false) {
        return Vec::new();
    }
    let text = "the sender domain has no DKIM keys here, so messages go out unsigned: add it under Domains";
    vec![Finding::new(NAME, Level::Warning, text).in_part("sender")]
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
