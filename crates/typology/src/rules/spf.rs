//! Rule `spf`: the return path's domain allows the addresses that mail leaves from (RFC 7208).

use super::{Phase, Rule, authentication};
use crate::{Checked, Facts, Finding, Level, Receiver};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::AfterTargeting,
    order: 31,
    level: Level::Warning,
    summary: "SPF of the return path's domain allows the addresses that mail leaves from.",
    why: "Gmail, Yahoo and Microsoft take mail of bulk senders only when SPF passes. It is looked up for the domain of \
          the return path, where bounces go, and not for the From address.",
    hint: "Publish the SPF record that Domains shows for the bounce domain.",
    check,
    breaks: |facts| {
        if let Some(found) = &mut facts.lookups.authentication {
            found.spf = crate::CheckFact::new(Checked::Fail, "v=spf1 ip4:198.51.100.7 -all");
        }
    },
};

const NAME: &str = "spf";

fn check(facts: &Facts) -> Vec<Finding> {
    authentication(facts, |found| {
        let (domain, said) = (&found.spf_domain, &found.spf.found);
        match found.spf.state {
            Checked::Pass => None,
            Checked::Fail => Some(
                Finding::new(
                    NAME,
                    Level::Warning,
                    format!("SPF of {domain} does not allow the addresses that mail leaves from: {said}"),
                )
                .refused_by(Receiver::ALL),
            ),
            Checked::Missing => Some(
                Finding::new(NAME, Level::Warning, format!("{domain}, the return path, has no SPF record"))
                    .refused_by(Receiver::ALL),
            ),
            Checked::Unknown => Some(Finding::unknown(
                NAME,
                format!("whether SPF of {domain} allows this server is not known: {said}"),
            )),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CheckFact, Nature};

    fn with(state: Checked) -> Vec<Finding> {
        let mut facts = crate::example();
        if let Some(found) = &mut facts.lookups.authentication {
            found.spf = CheckFact::new(state, "no answer");
        }
        check(&facts)
    }

    #[test]
    fn passes() {
        assert_eq!(with(Checked::Pass), []);
        assert_eq!(check(&Facts::default()), [], "a proof asks nobody");
    }

    #[test]
    fn fails() {
        for state in [Checked::Fail, Checked::Missing] {
            assert_eq!(with(state)[0].nature, Nature::RefusedBy(Receiver::ALL));
        }
        assert_eq!(with(Checked::Unknown)[0].nature, Nature::Unknown);
    }
}
