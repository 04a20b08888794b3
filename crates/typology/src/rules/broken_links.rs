//! Rule `broken_links`: something is behind each link.

use std::collections::BTreeMap;

use super::{Phase, Rule, shortened};
use crate::{Checked, Facts, Finding, Level, LinkFact, TargetFact};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::AfterTargeting,
    order: 45,
    level: Level::Warning,
    summary: "something is behind each link.",
    why: "Each http and https address of the content without template tags is asked for with a HEAD request, at most \
          100 of them within 30 seconds. A server that answers 404 or 410, that fails, or that does not exist makes \
          the link broken; one that forbids the question (401, 403, 405, 429) does not.",
    hint: "Correct the address, or have the page put up before you send.",
    check,
    breaks: |facts| {
        facts.lookups.targets = Some(vec![TargetFact {
            url: "https://shop.example/autumn".into(),
            check: crate::CheckFact::new(Checked::Missing, "the server answers 404"),
            status: 404,
        }]);
    },
};

const NAME: &str = "broken_links";

/// Broken links that a journal lists before it says how many more there are.
const LISTED_MAX: usize = 20;

fn check(facts: &Facts) -> Vec<Finding> {
    let Some(targets) = &facts.lookups.targets else { return Vec::new() };
    let mut places: BTreeMap<&str, &LinkFact> = BTreeMap::new();
    for link in &facts.links {
        places.entry(link.url.trim()).or_insert(link);
    }
    let of = |state: Checked| targets.iter().filter(move |target| target.check.state == state);
    let broken: Vec<&TargetFact> = of(Checked::Missing).chain(of(Checked::Fail)).collect();
    let mut findings: Vec<Finding> = broken
        .iter()
        .take(LISTED_MAX)
        .map(|target| {
            let text = format!("the link {:?} is broken: {}", shortened(&target.url), target.check.found);
            placed(Finding::new(NAME, Level::Warning, text), places.get(target.url.as_str()).copied())
        })
        .collect();
    if broken.len() > LISTED_MAX {
        let text = format!("{} more links are broken", broken.len() - LISTED_MAX);
        findings.push(Finding::new(NAME, Level::Warning, text));
    }
    let unknown: Vec<&TargetFact> = of(Checked::Unknown).collect();
    if let Some(first) = unknown.first() {
        let others = match unknown.len() {
            1 => String::new(),
            n => format!(", as {} more links", n - 1),
        };
        let text = format!(
            "whether something is behind {:?}{others}, is not known: {}",
            shortened(&first.url),
            first.check.found
        );
        findings.push(placed(Finding::unknown(NAME, text), places.get(first.url.as_str()).copied()));
    }
    findings
}

fn placed(finding: Finding, link: Option<&LinkFact>) -> Finding {
    match link {
        Some(link) => finding.in_part(&link.part).at(link.line, link.column),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CheckFact, Lookups, Nature};

    fn with(states: &[Checked]) -> Vec<Finding> {
        let target = |state: &Checked| TargetFact {
            url: "https://a.example/".into(),
            check: CheckFact::new(*state, "why"),
            status: 0,
        };
        let link = LinkFact {
            part: "html".into(),
            url: "https://a.example/".into(),
            line: 3,
            column: 5,
            has_text: true,
        };
        let lookups = Lookups { targets: Some(states.iter().map(target).collect()), ..Lookups::default() };
        check(&Facts { links: vec![link], lookups, ..Facts::default() })
    }

    #[test]
    fn passes() {
        assert_eq!(with(&[Checked::Pass]), []);
        assert_eq!(check(&Facts::default()), []);
    }

    #[test]
    fn fails() {
        let found = with(&[Checked::Missing]);
        assert_eq!(
            (found[0].part.as_deref(), found[0].line, found[0].column),
            (Some("html"), Some(3), Some(5))
        );
        assert_eq!(with(&[Checked::Missing; 30]).len(), LISTED_MAX + 1);
        let found = with(&[Checked::Unknown, Checked::Unknown]);
        assert_eq!((found.len(), found[0].nature), (1, Nature::Unknown));
    }
}
