//! Rule `proof_size`: a proof goes to at most 100 recipients.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::AfterTargeting,
    order: 20,
    level: Level::Error,
    summary: "a proof goes to at most 100 recipients.",
    why: "A proof is sent without Confirm, so it must not become a mailing.",
    hint: "Send the proof to fewer people.",
    check,
    breaks: |facts| facts.proof = Some(crate::ProofFact { recipients: 101 }),
};

const NAME: &str = "proof_size";

/// Most recipients of a proof; more is a mailing, which wants a delivery and a confirm.
const PROOF_RECIPIENTS_MAX: usize = 100;

fn check(facts: &Facts) -> Vec<Finding> {
    match &facts.proof {
        Some(proof) if proof.recipients > PROOF_RECIPIENTS_MAX => vec![Finding::new(
            NAME,
            Level::Error,
            format!(
                "a proof goes to at most {PROOF_RECIPIENTS_MAX} recipients, this one to {}",
                proof.recipients
            ),
        )],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProofFact;

    fn with(recipients: usize) -> Vec<Finding> {
        check(&Facts { proof: Some(ProofFact { recipients }), ..Facts::default() })
    }

    #[test]
    fn passes() {
        assert_eq!(with(100), []);
        assert_eq!(check(&Facts::default()), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with(101)[0].level, Level::Error);
    }
}
