//! Rule `alt_text`: images have an alternative text.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfPersonalisation,
    order: 47,
    level: Level::Info,
    summary: "images have an alternative text.",
    why: "Who loads no images sees the text instead, and who has the message read aloud hears it. An image that only \
          decorates has an empty one: alt=\"\".",
    hint: "Add alt=\"…\" to the image.",
    check,
    breaks: |facts| facts.images[0].has_alt = false,
};

const NAME: &str = "alt_text";

fn check(facts: &Facts) -> Vec<Finding> {
    let missing: Vec<_> = facts.images.iter().filter(|image| !image.has_alt).collect();
    let Some(first) = missing.first() else { return Vec::new() };
    let text = match missing.len() {
        1 => "an image has no alternative text".to_owned(),
        n => format!("{n} images have no alternative text; the first is here"),
    };
    vec![Finding::new(NAME, Level::Info, text).in_part("html").at(first.line, first.column)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageFact;

    fn with(alts: &[bool]) -> Vec<Finding> {
        let image = |has_alt: &bool| ImageFact { has_alt: *has_alt, ..ImageFact::default() };
        check(&Facts { images: alts.iter().map(image).collect(), ..Facts::default() })
    }

    #[test]
    fn passes() {
        assert_eq!(with(&[true, true]), []);
    }

    #[test]
    fn fails() {
        assert_eq!(
            with(&[true, false, false])[0].text,
            "2 images have no alternative text; the first is here"
        );
    }
}
