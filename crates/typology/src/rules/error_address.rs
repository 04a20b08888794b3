//! Rule `error_address`: an error address, when one is set, is a valid address of an allowed form.

use super::{Phase, Rule, is_template, matches_mask};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfTargeting,
    order: 20,
    level: Level::Error,
    summary: "an error address, when one is set, is a valid address of an allowed form.",
    why: "An error address takes the place of the signed return path. Bounces that come to it are not read by this program, and one that is not valid makes receivers refuse the message at its first command.",
    hint: "Leave the error address empty: each message then has a signed return path of its own.",
    check,
    breaks: |facts| facts.sender.error_address = "bounces at shop.example".into(),
};

const NAME: &str = "error_address";

fn check(facts: &Facts) -> Vec<Finding> {
    let address = facts.sender.error_address.trim();
    if address.is_empty() || is_template(address) {
        return Vec::new();
    }
    let text = match address::Mailbox::parse(address) {
        Err(problem) => format!("the error address is not valid: {problem}"),
        Ok(_) if !matches_mask(&facts.sender.error_masks, address) => {
            "the error address matches none of the allowed masks in Settings (content.error_masks)".to_owned()
        }
        Ok(_) => return Vec::new(),
    };
    vec![Finding::new(NAME, Level::Error, text).in_part("sender")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(address: &str, masks: &[&str]) -> Vec<Finding> {
        let mut facts = Facts::default();
        facts.sender.error_address = address.into();
        facts.sender.error_masks = masks.iter().map(|mask| (*mask).to_owned()).collect();
        check(&facts)
    }

    #[test]
    fn passes() {
        assert_eq!(with("", &["*@b.example"]), []);
        assert_eq!(with("bounce@b.example", &["*@b.example"]), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with("bounce", &[])[0].level, Level::Error);
        assert_eq!(with("bounce@c.example", &["*@b.example"])[0].level, Level::Error);
    }
}
