//! Rule `attachments`: at most one file is attached.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfPersonalisation,
    order: 40,
    level: Level::Warning,
    summary: "at most one file is attached.",
    why: "Each attachment is carried by every message: a file of 1 MB for 100,000 people is 130 GB to send. Filters trust messages with attachments less.",
    hint: "Put the files on a web site and link them; attachments make a message slow, and suspect to filters.",
    check,
    breaks: |facts| facts.attachments = 3,
};

const NAME: &str = "attachments";

/// Attachments above which a delivery is warned.
const RECOMMENDED_MAX: usize = 1;

fn check(facts: &Facts) -> Vec<Finding> {
    if facts.attachments <= RECOMMENDED_MAX {
        return Vec::new();
    }
    let text =
        format!("{} files are attached; more than {RECOMMENDED_MAX} is not advised", facts.attachments);
    vec![Finding::new(NAME, Level::Warning, text).in_part("attachments")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(attachments: usize) -> Vec<Finding> {
        check(&Facts { attachments, ..Facts::default() })
    }

    #[test]
    fn passes() {
        assert_eq!(with(0), []);
        assert_eq!(with(1), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with(2)[0].level, Level::Warning);
    }
}
