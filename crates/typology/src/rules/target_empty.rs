//! Rule `target_empty`: somebody is left to send to.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::AfterTargeting,
    order: 10,
    level: Level::Error,
    summary: "somebody is left to send to.",
    why: "A delivery that reaches nobody is a mistake in the target, and starting it would end it for good.",
    hint: "Add a list or segment to the target, or look at the exclusions.",
    check,
    breaks: |facts| facts.messages = Some(0),
};

const NAME: &str = "target_empty";

fn check(facts: &Facts) -> Vec<Finding> {
    if facts.messages != Some(0) {
        return Vec::new();
    }
    let text = "no message would be sent: the target is empty, or everybody in it is excluded";
    vec![Finding::new(NAME, Level::Error, text).in_part("target")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes() {
        assert_eq!(check(&Facts { messages: Some(1), ..Facts::default() }), []);
        assert_eq!(check(&Facts::default()), []);
    }

    #[test]
    fn fails() {
        assert_eq!(check(&Facts { messages: Some(0), ..Facts::default() })[0].level, Level::Error);
    }
}
