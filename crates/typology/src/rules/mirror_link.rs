//! Rule `mirror_link`: no part links a mirror page, which this version does not serve yet.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfPersonalisation,
    order: 45,
    level: Level::Error,
    summary: "no part links a mirror page, which this version does not serve yet.",
    hint: "Take {{ mirror_url }} out of the part.",
    check,
};

const NAME: &str = "mirror_link";

fn check(facts: &Facts) -> Vec<Finding> {
    let linked = facts.parts.iter().filter(|part| part.mirror);
    linked
        .map(|part| {
            let text = format!("the {} part links the mirror page, which is not yet supported", part.part);
            Finding::new(NAME, Level::Error, text).in_part(&part.part)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PartFact;

    fn with(mirror: bool) -> Vec<Finding> {
        check(&Facts {
            parts: vec![PartFact { part: "html".into(), mirror, ..PartFact::default() }],
            ..Facts::default()
        })
    }

    #[test]
    fn passes() {
        assert_eq!(with(false), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with(true)[0].level, Level::Error);
    }
}
