//! Rule `archive`: a delivery that leaves copies has an archive for them.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfTargeting,
    order: 30,
    level: Level::Error,
    summary: "a delivery that archives a copy of each message has an archive to send it to.",
    why: "A delivery with BCC on promises that every message can be shown later. Without an archive that promise would be broken without a word, so it is not sent.",
    hint: "Set archive.address or archive.folder in Settings, or turn the delivery's BCC off.",
    check,
    breaks: |facts| facts.archive_problem = Some("set archive.address or archive.folder".into()),
};

const NAME: &str = "archive";

fn check(facts: &Facts) -> Vec<Finding> {
    let text = |problem: &String| format!("BCC is on, but copies can go nowhere: {problem}");
    let problem = facts.archive_problem.as_ref();
    problem
        .map(|problem| Finding::new(NAME, Level::Error, text(problem)).in_part("parameters"))
        .into_iter()
        .collect()
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
        let facts = Facts { archive_problem: Some("set archive.address".into()), ..Facts::default() };
        let found = check(&facts);
        assert_eq!((found.len(), found[0].level), (1, Level::Error));
        assert!(found[0].text.ends_with("set archive.address"), "{}", found[0].text);
    }
}
