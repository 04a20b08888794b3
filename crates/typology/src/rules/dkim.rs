//! Rule `dkim`: the key that signs here is the one that is published (RFC 6376).

use super::{Phase, Rule, authentication};
use crate::{Checked, Facts, Finding, Level, Receiver};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::AfterTargeting,
    order: 32,
    level: Level::Warning,
    summary: "the DKIM key that signs here is published.",
    why: "A signature that cannot be checked counts as none: Gmail, Yahoo and Microsoft then refuse mail of bulk \
          senders. Often a DNS form cut the key at 255 characters.",
    hint: "Publish the DKIM records that Domains shows, and check them there.",
    check,
    breaks: |facts| {
        if let Some(found) = &mut facts.lookups.authentication {
            found.dkim = crate::CheckFact::new(Checked::Missing, "mw1._domainkey.shop.example");
        }
    },
};

const NAME: &str = "dkim";

/// A domain without keys is the business of the rule `sender_domain`.
fn check(facts: &Facts) -> Vec<Finding> {
    authentication(facts, |found| {
        let said = &found.dkim.found;
        let refused = |text: String| Some(Finding::new(NAME, Level::Warning, text).refused_by(Receiver::ALL));
        match found.dkim.state {
            _ if found.dkim_domain.is_empty() => None,
            Checked::Pass => None,
            Checked::Fail => {
                refused(format!("another DKIM key is published than the one that signs here: {said}"))
            }
            Checked::Missing => refused(format!("the DKIM key is not published at {said}")),
            Checked::Unknown => Some(Finding::unknown(
                NAME,
                format!("whether the DKIM key of {} is published is not known: {said}", found.dkim_domain),
            )),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CheckFact, Nature};

    fn with(domain: &str, state: Checked) -> Vec<Finding> {
        let mut facts = crate::example();
        if let Some(found) = &mut facts.lookups.authentication {
            found.dkim = CheckFact::new(state, "mw1._domainkey.shop.example");
            found.dkim_domain = domain.into();
        }
        check(&facts)
    }

    #[test]
    fn passes() {
        assert_eq!(with("shop.example", Checked::Pass), []);
        assert_eq!(with("", Checked::Unknown), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with("shop.example", Checked::Fail)[0].nature, Nature::RefusedBy(Receiver::ALL));
        assert_eq!(with("shop.example", Checked::Missing)[0].nature, Nature::RefusedBy(Receiver::ALL));
        assert_eq!(with("shop.example", Checked::Unknown)[0].nature, Nature::Unknown);
    }
}
