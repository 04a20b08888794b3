//! Rule `dmarc`: the From domain has a DMARC policy (RFC 7489).

use super::{Phase, Rule, authentication};
use crate::{Checked, Facts, Finding, Level, Receiver};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::AfterTargeting,
    order: 33,
    level: Level::Warning,
    summary: "the From domain, or its organisation's, has a DMARC policy.",
    why: "Gmail, Yahoo and Microsoft ask bulk senders for a policy; `p=none` is enough. Microsoft answers \
          550 5.7.515 where there is none.",
    hint: "Publish the DMARC record that Domains shows.",
    check,
    breaks: |facts| {
        if let Some(found) = &mut facts.lookups.authentication {
            found.dmarc = crate::CheckFact::new(Checked::Missing, "");
        }
    },
};

const NAME: &str = "dmarc";

fn check(facts: &Facts) -> Vec<Finding> {
    authentication(facts, |found| {
        let (domain, said) = (&found.domain, &found.dmarc.found);
        let refused = |text: String| Some(Finding::new(NAME, Level::Warning, text).refused_by(Receiver::ALL));
        match found.dmarc.state {
            Checked::Pass => None,
            Checked::Fail => refused(format!("the DMARC record of {domain} does not count: {said}")),
            Checked::Missing => refused(format!("{domain} has no DMARC policy")),
            Checked::Unknown => Some(Finding::unknown(
                NAME,
                format!("whether {domain} has a DMARC policy is not known: {said}"),
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
            found.dmarc = CheckFact::new(state, "two records");
        }
        check(&facts)
    }

    #[test]
    fn passes() {
        assert_eq!(with(Checked::Pass), []);
        assert_eq!(check(&Facts::default()), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with(Checked::Missing)[0].nature, Nature::RefusedBy(Receiver::ALL));
        assert!(with(Checked::Fail)[0].text.ends_with("two records"));
        assert_eq!(with(Checked::Unknown)[0].nature, Nature::Unknown);
    }
}
