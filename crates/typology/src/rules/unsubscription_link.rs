//! Rule `unsubscription_link`: each part has the unsubscription link.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfPersonalisation,
    order: 40,
    level: Level::Warning,
    summary: "each part has the unsubscription link.",
    why: "Who finds no way out reports the message as spam, which harms all later ones. The header has a way out as well, but not every mail agent shows it.",
    hint: "Add {{ unsubscribe_url }} to the part, for example at its end.",
    check,
    breaks: |facts| facts.parts[0].unsubscribe = false,
};

const NAME: &str = "unsubscription_link";

fn check(facts: &Facts) -> Vec<Finding> {
    let missing = facts.parts.iter().filter(|part| !part.unsubscribe);
    missing
        .map(|part| {
            let text =
                format!("the {} part has no unsubscription link: add {{{{ unsubscribe_url }}}}", part.part);
            Finding::new(NAME, Level::Warning, text).in_part(&part.part)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PartFact;

    fn with(unsubscribe: bool) -> Vec<Finding> {
        let part = PartFact { part: "html".into(), unsubscribe, ..PartFact::default() };
        check(&Facts { parts: vec![part], ..Facts::default() })
    }

    #[test]
    fn passes() {
        assert_eq!(with(true), []);
    }

    #[test]
    fn fails() {
        let findings = with(false);
        assert_eq!(findings[0].level, Level::Warning);
        assert!(findings[0].text.contains("{{ unsubscribe_url }}"));
    }
}
