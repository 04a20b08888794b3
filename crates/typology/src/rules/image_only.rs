//! Rule `image_only`: the HTML has words beside its images.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfPersonalisation,
    order: 46,
    level: Level::Warning,
    summary: "an HTML part with images has at least 100 characters of text.",
    why: "Many mail agents load images on demand only, so a message of one large image is an empty page to its \
          readers; to filters it is the oldest way to hide words from them.",
    hint: "Write the message as text, with the images beside it.",
    check,
    breaks: |facts| facts.parts[0].characters = Some(12),
};

const NAME: &str = "image_only";

/// Two short sentences; what legal footers have is beyond it, so this finds messages that are one image and a link.
const CHARACTERS_MIN: usize = 100;

fn check(facts: &Facts) -> Vec<Finding> {
    if facts.images.is_empty() {
        return Vec::new();
    }
    let bare = facts.parts.iter().filter(|part| part.part == "html");
    bare.filter_map(|part| {
        let characters = part.characters.filter(|characters| *characters < CHARACTERS_MIN)?;
        let text = match facts.images.len() {
            1 => format!("the HTML is an image and {characters} characters of text"),
            n => format!("the HTML is {n} images and {characters} characters of text"),
        };
        Some(Finding::new(NAME, Level::Warning, text).in_part("html"))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ImageFact, PartFact};

    fn with(characters: Option<usize>, images: usize) -> Vec<Finding> {
        let part = PartFact { part: "html".into(), characters, ..PartFact::default() };
        check(&Facts { parts: vec![part], images: vec![ImageFact::default(); images], ..Facts::default() })
    }

    #[test]
    fn passes() {
        assert_eq!(with(Some(100), 1), []);
        assert_eq!(with(Some(5), 0), []);
        assert_eq!(with(None, 3), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with(Some(99), 1)[0].level, Level::Warning);
    }
}
