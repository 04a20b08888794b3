//! Rule `helo`: the name that is said in EHLO is a full name that leads here (RFC 5321 section 4.1.1.1).

use super::{Phase, Rule};
use crate::{Checked, Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::AfterTargeting,
    order: 37,
    level: Level::Warning,
    summary: "the name said in EHLO is a full host name that leads to an address that mail leaves from.",
    why: "A server that greets as localhost, or as a name that is another's, looks like a stolen machine; many \
          receivers refuse it before they look at anything else.",
    hint: "Set mta.ehlo to the full name of this server, and give that name its public address.",
    check,
    breaks: |facts| {
        facts.lookups.helo = Some(crate::HeloFact {
            name: "localhost".into(),
            check: crate::CheckFact::new(Checked::Fail, "it is no full name"),
        });
    },
};

const NAME: &str = "helo";

fn check(facts: &Facts) -> Vec<Finding> {
    let Some(helo) = &facts.lookups.helo else { return Vec::new() };
    let (name, said) = (&helo.name, &helo.check.found);
    match helo.check.state {
        Checked::Pass => Vec::new(),
        Checked::Fail | Checked::Missing => {
            let text = format!("this server greets as {name:?}: {said}");
            vec![Finding::new(NAME, Level::Warning, text)]
        }
        Checked::Unknown => {
            let text = format!("whether the name {name:?}, said in EHLO, leads here is not known: {said}");
            vec![Finding::unknown(NAME, text)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CheckFact, HeloFact, Nature};

    fn with(state: Checked) -> Vec<Finding> {
        let mut facts = crate::example();
        facts.lookups.helo =
            Some(HeloFact { name: "out.example".into(), check: CheckFact::new(state, "it leads elsewhere") });
        check(&facts)
    }

    #[test]
    fn passes() {
        assert_eq!(with(Checked::Pass), []);
        assert_eq!(check(&Facts::default()), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with(Checked::Fail)[0].text, "this server greets as \"out.example\": it leads elsewhere");
        assert_eq!(with(Checked::Unknown)[0].nature, Nature::Unknown);
    }
}
