//! Rule `sender_mail`: the From domain takes mail.

use super::{Phase, Rule, authentication};
use crate::{Checked, Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::AfterTargeting,
    order: 35,
    level: Level::Warning,
    summary: "the From domain takes mail.",
    why: "People answer newsletters. Many receivers refuse senders whose domain has neither MX nor address, and \
          Microsoft asks for a From or Reply-To address that takes replies.",
    hint: "Publish an MX record for the From domain, or send from a domain that has one.",
    check,
    breaks: |facts| {
        if let Some(found) = &mut facts.lookups.authentication {
            found.mail = crate::CheckFact::new(Checked::Missing, "the name does not exist");
        }
    },
};

const NAME: &str = "sender_mail";

fn check(facts: &Facts) -> Vec<Finding> {
    authentication(facts, |found| {
        let (domain, said) = (&found.domain, &found.mail.found);
        match found.mail.state {
            Checked::Pass => None,
            Checked::Fail | Checked::Missing => Some(Finding::new(
                NAME,
                Level::Warning,
                format!("the From domain {domain} takes no mail ({said}): replies are lost"),
            )),
            Checked::Unknown => Some(Finding::unknown(
                NAME,
                format!("whether the From domain {domain} takes mail is not known: {said}"),
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
            found.mail = CheckFact::new(state, "null MX");
        }
        check(&facts)
    }

    #[test]
    fn passes() {
        assert_eq!(with(Checked::Pass), []);
    }

    #[test]
    fn fails() {
        assert!(with(Checked::Fail)[0].text.contains("null MX"));
        assert_eq!(with(Checked::Unknown)[0].nature, Nature::Unknown);
    }
}
