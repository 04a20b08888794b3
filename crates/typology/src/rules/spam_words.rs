//! Rule `spam_words`: words that filters of old counted against a message. Information only: filters of today look at
//! what readers do, and a shop may well write "free shipping".

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfPersonalisation,
    order: 48,
    level: Level::Info,
    summary: "subject and parts have few phrases that are typical of spam.",
    why: "A phrase alone decides nothing today; several of them, in a message of a sender without reputation, may. \
          They are listed so that you can read your text with other eyes.",
    hint: "Say it in your own words, if it is not meant as it sounds.",
    check,
    breaks: |facts| facts.subject = "Risk-free: make money fast".into(),
};

const NAME: &str = "spam_words";

/// Phrases, in lower case, as whole words. English, because the mail that the lists came from was.
const PHRASES: [&str; 36] = [
    "100% free",
    "act now",
    "additional income",
    "apply now",
    "as seen on",
    "be your own boss",
    "bulk email",
    "cash bonus",
    "click below",
    "credit card required",
    "dear friend",
    "double your",
    "earn extra cash",
    "eliminate debt",
    "extra income",
    "fast cash",
    "financial freedom",
    "free access",
    "free money",
    "get paid",
    "guaranteed winner",
    "increase sales",
    "lose weight",
    "lowest price",
    "make money",
    "million dollars",
    "miracle",
    "no catch",
    "no obligation",
    "not spam",
    "once in a lifetime",
    "risk-free",
    "this is not spam",
    "work from home",
    "you are a winner",
    "you have been selected",
];

/// The phrases that a text has, each once, in the list's order.
pub fn suspicious(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    PHRASES.iter().filter(|phrase| has_words(&text, phrase)).map(|phrase| (*phrase).to_owned()).collect()
}

/// Does the phrase stand there, and not within longer words?
fn has_words(text: &str, phrase: &str) -> bool {
    text.match_indices(phrase).any(|(at, _)| {
        let is_letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        !is_letter(text[..at].chars().next_back()) && !is_letter(text[at + phrase.len()..].chars().next())
    })
}

fn check(facts: &Facts) -> Vec<Finding> {
    let of_subject = suspicious(&facts.subject);
    let mut findings = Vec::new();
    let mut say = |part: &str, phrases: &[String]| {
        if !phrases.is_empty() {
            let text = format!("phrases that are typical of spam: {}", phrases.join(", "));
            findings.push(Finding::new(NAME, Level::Info, text).in_part(part));
        }
    };
    say("subject", &of_subject);
    for part in facts.parts.iter().filter(|part| !part.generated) {
        say(&part.part, &part.suspicious);
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(subject: &str) -> Vec<Finding> {
        check(&Facts { subject: subject.into(), ..Facts::default() })
    }

    #[test]
    fn passes() {
        assert_eq!(with("Free shipping this week"), []);
        assert_eq!(with("Miracles and react nowhere"), []);
    }

    #[test]
    fn fails() {
        let found = with("Act now, RISK-FREE!");
        assert_eq!(found[0].text, "phrases that are typical of spam: act now, risk-free");
        assert_eq!(found[0].level, Level::Info);
    }
}
