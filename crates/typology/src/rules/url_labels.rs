//! Rule `url_labels`: every link of the HTML part has words or an image text that say where it leads.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfPersonalisation,
    order: 35,
    level: Level::Info,
    summary: "every link of the HTML part has words or an image text that say where it leads.",
    why: "Who sees no images, or has the message read aloud, cannot tell where a link without words leads.",
    hint: "Give the link a text, or the image in it an alt text.",
    check,
    breaks: |facts| facts.links[0].has_text = false,
};

const NAME: &str = "url_labels";

fn check(facts: &Facts) -> Vec<Finding> {
    let nameless: Vec<_> = facts.links.iter().filter(|link| link.part == "html" && !link.has_text).collect();
    let Some(first) = nameless.first() else { return Vec::new() };
    let text = match nameless.len() {
        1 => {
            "a link has no words and no image text: who sees no images cannot tell where it leads".to_owned()
        }
        n => format!("{n} links have no words and no image text; the first is here"),
    };
    vec![Finding::new(NAME, Level::Info, text).in_part("html").at(first.line, first.column)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LinkFact;

    fn with(shown: &[bool]) -> Vec<Finding> {
        let link =
            |has_text: &bool| LinkFact { part: "html".into(), has_text: *has_text, ..LinkFact::default() };
        check(&Facts { links: shown.iter().map(link).collect(), ..Facts::default() })
    }

    #[test]
    fn passes() {
        assert_eq!(with(&[true, true]), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with(&[true, false, false]).len(), 1);
    }
}
