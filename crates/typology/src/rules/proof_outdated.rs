//! Rule `proof_outdated`: the last proof shows the content as it is now.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfPersonalisation,
    order: 60,
    level: Level::Warning,
    summary: "the last proof shows the content as it is now.",
    why: "Who read the proof agreed to another content.",
    hint: "Send a new proof and look at it.",
    check,
    breaks: |facts| facts.proof_outdated = Some(true),
};

const NAME: &str = "proof_outdated";

fn check(facts: &Facts) -> Vec<Finding> {
    if facts.proof_outdated != Some(true) {
        return Vec::new();
    }
    vec![Finding::new(NAME, Level::Warning, "the content changed since the last proof was sent")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes() {
        assert_eq!(check(&Facts { proof_outdated: Some(false), ..Facts::default() }), []);
        assert_eq!(check(&Facts::default()), []);
    }

    #[test]
    fn fails() {
        assert_eq!(check(&Facts { proof_outdated: Some(true), ..Facts::default() }).len(), 1);
    }
}
