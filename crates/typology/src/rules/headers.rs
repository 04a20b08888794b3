//! Rule `headers`: headers that the author added fit, and are of those that bulk mail may have.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfPersonalisation,
    order: 20,
    level: Level::Warning,
    summary: "added headers are short enough, ask for no receipt and claim no urgency.",
    why: "A line of a message has at most 998 octets (RFC 5322 section 2.1.1), and several receivers refuse a header \
          section above 64 KB. A receipt asked for from every reader, or a newsletter marked as urgent, is what spam \
          does.",
    hint: "Shorten the value, or take the header out of the delivery's parameters.",
    check,
    breaks: |facts| {
        facts.headers.push(crate::HeaderFact {
            name: "Disposition-Notification-To".into(),
            value: "news@shop.example".into(),
        });
    },
};

const NAME: &str = "headers";

/// Octets of a line (RFC 5322 section 2.1.1): a value without blanks cannot be folded.
const WORD_LEN_MAX: usize = 998;
/// Octets of all added headers; the limits of receivers for the whole section begin at 64 KB.
const ALL_LEN_MAX: usize = 32 * 1024;
const RECEIPTS: [&str; 3] = ["disposition-notification-to", "return-receipt-to", "x-confirm-reading-to"];
const URGENCY: [&str; 4] = ["x-priority", "priority", "importance", "x-msmail-priority"];

fn check(facts: &Facts) -> Vec<Finding> {
    let warning = |text: String| Finding::new(NAME, Level::Warning, text).in_part("parameters");
    let mut findings: Vec<Finding> = Vec::new();
    for header in &facts.headers {
        let name = header.name.to_ascii_lowercase();
        let longest = header.value.split_ascii_whitespace().map(str::len).max().unwrap_or_default();
        if longest + header.name.len() + 2 > WORD_LEN_MAX {
            let text = format!("{} has a word of {longest} octets, which no line can hold", header.name);
            findings.push(warning(text));
        }
        if RECEIPTS.contains(&name.as_str()) {
            findings.push(warning(format!("{} asks every reader for a receipt", header.name)));
        }
        if URGENCY.contains(&name.as_str()) {
            let text =
                format!("{} marks the message as urgent, which filters count against bulk mail", header.name);
            findings.push(Finding { level: Level::Info, ..warning(text) });
        }
    }
    let all: usize = facts.headers.iter().map(|header| header.name.len() + header.value.len() + 4).sum();
    if all > ALL_LEN_MAX {
        findings.push(warning(format!("the added headers have {all} octets; some receivers refuse so many")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HeaderFact;

    fn with(headers: &[(&str, &str)]) -> Vec<Finding> {
        let header =
            |(name, value): &(&str, &str)| HeaderFact { name: (*name).into(), value: (*value).into() };
        check(&Facts { headers: headers.iter().map(header).collect(), ..Facts::default() })
    }

    #[test]
    fn passes() {
        assert_eq!(with(&[("X-Campaign", "october"), ("X-Long", &"word ".repeat(1_000))]), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with(&[("X-Long", &"x".repeat(999))])[0].level, Level::Warning);
        assert_eq!(with(&[("Return-Receipt-To", "a@b.example")])[0].level, Level::Warning);
        assert_eq!(with(&[("X-Priority", "1")])[0].level, Level::Info);
        assert_eq!(with(&[("X-A", &"word ".repeat(7_000))]).len(), 1);
    }
}
