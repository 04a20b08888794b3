//! Rule `foreign_tags`: no merge tag of another system stands in the content.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfPersonalisation,
    order: 50,
    level: Level::Warning,
    summary: "no merge tag of another system stands in the content.",
    hint: "Replace it by a field of ours, such as {{ first_name }}.",
    check,
};

const NAME: &str = "foreign_tags";

fn check(facts: &Facts) -> Vec<Finding> {
    let Some((first, count)) = &facts.foreign_tags else { return Vec::new() };
    let text = match count {
        1 => format!("{first} is a merge tag of another system and is sent as it stands"),
        n => format!("{n} merge tags of another system, such as {first}, are sent as they stand"),
    };
    vec![Finding::new(NAME, Level::Warning, text)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes() {
        assert_eq!(check(&Facts::default()), []);
    }

    #[test]
    fn fails() {
        let facts = Facts { foreign_tags: Some(("*|FNAME|*".into(), 3)), ..Facts::default() };
        assert_eq!(check(&facts).len(), 1);
    }
}
