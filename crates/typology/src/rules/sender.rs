//! Rule `sender`: the sender has an address of an allowed form, and the name breaks no mail agent.

use super::{Phase, Rule, is_template, matches_mask};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfTargeting,
    order: 10,
    level: Level::Error,
    summary: "the sender has an address of an allowed form, and the name breaks no mail agent.",
    why: "Mail without a valid sender is refused everywhere. Characters such as < and @ in the name are shown wrong, or read as another address.",
    hint: "Fill in the sender on the delivery, or its default in Settings; keep special characters out of the name.",
    check,
    breaks: |facts| facts.sender.address.clear(),
};

const NAME: &str = "sender";

fn check(facts: &Facts) -> Vec<Finding> {
    let sender = &facts.sender;
    let error = |text: String| Finding::new(NAME, Level::Error, text).in_part("sender");
    let mut findings = Vec::new();
    if sender.address.trim().is_empty() {
        findings.push(error(
            "the sender address is not specified: fill it in, or set a default in Settings".into(),
        ));
    } else if !is_template(&sender.address) {
        match address::Mailbox::parse(&sender.address) {
            Err(problem) => findings.push(error(format!("the sender address is not valid: {problem}"))),
            Ok(_) if !matches_mask(&sender.from_masks, &sender.address) => findings.push(error(
                "the sender address matches none of the allowed masks in Settings (content.from_masks)"
                    .into(),
            )),
            Ok(_) => {}
        }
    }
    if let Some(odd) =
        sender.name.chars().find(|c| matches!(c, '<' | '>' | '@' | '"' | '\\') || c.is_control())
    {
        findings.push(
            Finding::new(
                NAME,
                Level::Warning,
                format!("the sender name contains {odd:?}, which breaks some mail agents"),
            )
            .in_part("sender"),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SenderFact;

    fn facts(name: &str, address: &str) -> Facts {
        let sender = SenderFact { name: name.into(), address: address.into(), ..SenderFact::default() };
        Facts { sender, ..Facts::default() }
    }

    #[test]
    fn passes() {
        assert_eq!(check(&facts("Example Shop", "news@shop.example")), []);
        assert_eq!(check(&facts("Example Shop", "{{ city }}@shop.example")), []);
    }

    #[test]
    fn fails() {
        assert_eq!(check(&facts("Example Shop", ""))[0].level, Level::Error);
        assert_eq!(check(&facts("Example Shop", "no address"))[0].level, Level::Error);
        assert_eq!(check(&facts("Shop <b>", "news@shop.example"))[0].level, Level::Warning);
        let mut masked = facts("Shop", "news@other.example");
        masked.sender.from_masks = vec!["*@shop.example".into()];
        assert_eq!(check(&masked)[0].level, Level::Error);
    }
}
