//! Rule `reverse_dns`: each address that mail leaves from has a name, and the name has the address.

use super::{Phase, Rule};
use crate::{Checked, Facts, Finding, Level, Receiver};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::AfterTargeting,
    order: 36,
    level: Level::Warning,
    summary: "each address that mail leaves from has a PTR name that leads back to it.",
    why: "Gmail, Yahoo and Microsoft refuse or slow mail from addresses without a name (Gmail: 4.7.23). The name is \
          set by whoever gave you the address, mostly the hosting provider, and not in your own zone.",
    hint: "Have your provider set the reverse name of the address to the name of this server, and give that name the \
           address.",
    check,
    breaks: |facts| {
        facts.lookups.sources = Some(vec![crate::SourceFact {
            address: "203.0.113.5".into(),
            reverse: crate::CheckFact::new(Checked::Missing, ""),
        }]);
    },
};

const NAME: &str = "reverse_dns";

fn check(facts: &Facts) -> Vec<Finding> {
    let Some(sources) = &facts.lookups.sources else { return Vec::new() };
    if sources.is_empty() {
        let text = "the addresses that mail leaves from are not known, so their reverse names are not either";
        return vec![Finding::unknown(NAME, text)];
    }
    let judged = sources.iter().filter_map(|source| {
        let (address, said) = (&source.address, &source.reverse.found);
        let text = match source.reverse.state {
            Checked::Pass => return None,
            Checked::Missing => format!("{address}, which mail leaves from, has no reverse name"),
            Checked::Fail => {
                format!("{address}, which mail leaves from, is named {said}, which does not lead back to it")
            }
            Checked::Unknown => {
                return Some(Finding::unknown(
                    NAME,
                    format!("the reverse name of {address} is not known: {said}"),
                ));
            }
        };
        Some(Finding::new(NAME, Level::Warning, text).refused_by(Receiver::ALL))
    });
    judged.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CheckFact, Nature, SourceFact};

    fn with(states: &[Checked]) -> Vec<Finding> {
        let source = |state: &Checked| SourceFact {
            address: "203.0.113.5".into(),
            reverse: CheckFact::new(*state, "x.example"),
        };
        let mut facts = crate::example();
        facts.lookups.sources = Some(states.iter().map(source).collect());
        check(&facts)
    }

    #[test]
    fn passes() {
        assert_eq!(with(&[Checked::Pass]), []);
        assert_eq!(check(&Facts::default()), [], "through a relay nothing is known, and nothing is wrong");
    }

    #[test]
    fn fails() {
        let found = with(&[Checked::Missing, Checked::Pass, Checked::Fail, Checked::Unknown]);
        let natures: Vec<_> = found.iter().map(|finding| finding.nature).collect();
        let refused = Nature::RefusedBy(Receiver::ALL);
        assert_eq!(natures, [refused, refused, Nature::Unknown]);
        assert_eq!(with(&[])[0].nature, Nature::Unknown);
    }
}
