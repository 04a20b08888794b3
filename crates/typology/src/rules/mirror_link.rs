//! Rule `mirror_link`: a part that links the mirror page has one to link.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfPersonalisation,
    order: 45,
    level: Level::Error,
    summary: "a part that links the mirror page has one to link.",
    why: "A link to a page that is not there looks broken to whoever follows it.",
    hint: "Take {{ mirror_url }} out of the part, or choose another mirror page mode; a delivery without HTML has none.",
    check,
    breaks: |facts| facts.mirror_page = Some(false),
};

const NAME: &str = "mirror_link";

fn check(facts: &Facts) -> Vec<Finding> {
    if facts.mirror_page != Some(false) {
        return Vec::new();
    }
    let linked = facts.parts.iter().filter(|part| part.mirror);
    linked
        .map(|part| {
            let text =
                format!("the {} part links the mirror page, which this delivery does not open", part.part);
            Finding::new(NAME, Level::Error, text).in_part(&part.part)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PartFact;

    fn with(mirror: bool, mirror_page: Option<bool>) -> Vec<Finding> {
        check(&Facts {
            parts: vec![PartFact { part: "html".into(), mirror, ..PartFact::default() }],
            mirror_page,
            ..Facts::default()
        })
    }

    #[test]
    fn passes() {
        assert_eq!(with(false, Some(false)), []);
        assert_eq!(with(true, Some(true)), []);
        assert_eq!(with(true, None), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with(true, Some(false))[0].level, Level::Error);
    }
}
