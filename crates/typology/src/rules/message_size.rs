//! Rule `message_size`: messages are small enough to be shown whole, and to be accepted.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::EndOfAnalysis,
    order: 10,
    level: Level::Error,
    summary: "messages are small enough to be shown whole, and to be accepted.",
    why: "Gmail shows the first 102 KB of a message's HTML and hides the rest behind a link: what stands at the end, mostly the unsubscription link, is not seen. Most receivers refuse messages above 25 MB, which are 18 MB before they are encoded.",
    hint: "Move images out of the content, or shorten it.",
    check,
    breaks: |facts| facts.size = Some(crate::SizeFact { largest: 30_000_000, html: 200_000 }),
};

const NAME: &str = "message_size";

/// Gmail clips the HTML of a message above this size and hides what follows, the unsubscription link too.
const HTML_CLIPPED: usize = 102 * 1024;
/// Most receivers refuse a message above this size (25 MB less the growth of base64).
const MESSAGE_MAX: usize = 18 * 1024 * 1024;

fn check(facts: &Facts) -> Vec<Finding> {
    let Some(size) = facts.size else { return Vec::new() };
    let mut findings = Vec::new();
    if size.largest > MESSAGE_MAX {
        let text =
            format!("a message has {} bytes, more than receivers accept ({MESSAGE_MAX})", size.largest);
        findings.push(Finding::new(NAME, Level::Error, text));
    }
    if size.html > HTML_CLIPPED {
        let text = format!(
            "the HTML has {} KB: Gmail shows the first 102 KB and hides the rest, the unsubscription link too",
            size.html / 1024
        );
        findings.push(Finding::new(NAME, Level::Warning, text).in_part("html"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SizeFact;

    fn with(largest: usize, html: usize) -> Vec<Finding> {
        check(&Facts { size: Some(SizeFact { largest, html }), ..Facts::default() })
    }

    #[test]
    fn passes() {
        assert_eq!(with(30_000, 25_000), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with(200_000, 150_000)[0].level, Level::Warning);
        assert_eq!(with(30_000_000, 20_000)[0].level, Level::Error);
    }
}
