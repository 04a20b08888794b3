//! All phrases of all rules, found in one pass over a text: a thousand searches for each refused message would cost
//! more than the message.

use std::collections::HashMap;

/// Octets by which phrases are found; none is shorter.
pub(super) const PREFIX_LEN: usize = 3;

/// The set of phrases, each known by its number.
#[derive(Debug, Default)]
pub(super) struct Phrases {
    list: Vec<Phrase>,
    numbers: HashMap<String, usize>,
    /// By the first octets.
    index: HashMap<[u8; PREFIX_LEN], Vec<usize>>,
}

#[derive(Debug)]
struct Phrase {
    /// Where it begins with a letter or digit, it begins where a word begins.
    at_word: bool,
    first: String,
    /// In this order, anything between.
    more: Vec<String>,
}

/// Which phrases stand in a text.
#[derive(Debug)]
pub(super) struct Found(Vec<u64>);

impl Found {
    pub(super) fn has(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    fn add(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }
}

impl Phrases {
    /// The number of a phrase, which is added unless it is known. Its part before the first `*` has at least
    /// [`PREFIX_LEN`] octets; `*` is any text.
    pub(super) fn number(&mut self, phrase: &str) -> usize {
        if let Some(number) = self.numbers.get(phrase) {
            return *number;
        }
        let number = self.list.len();
        let mut pieces = phrase.split('*').map(str::to_owned);
        let first = pieces.next().unwrap_or_default();
        if let Some(prefix) = first.as_bytes().first_chunk::<PREFIX_LEN>() {
            self.index.entry(*prefix).or_default().push(number);
        }
        let at_word = first.starts_with(|c: char| c.is_ascii_alphanumeric());
        self.list.push(Phrase { at_word, first, more: pieces.collect() });
        self.numbers.insert(phrase.to_owned(), number);
        number
    }

    /// Looks for all of them in a folded text.
    pub(super) fn find(&self, text: &str) -> Found {
        let mut found = Found(vec![0; self.list.len().div_ceil(64)]);
        let mut before = ' ';
        for (at, c) in text.char_indices() {
            let rest = &text[at..];
            let candidates =
                rest.as_bytes().first_chunk::<PREFIX_LEN>().and_then(|prefix| self.index.get(prefix));
            for number in candidates.into_iter().flatten() {
                if !found.has(*number) && self.list[*number].begins(rest, before) {
                    found.add(*number);
                }
            }
            before = c;
        }
        found
    }
}

impl Phrase {
    fn begins(&self, text: &str, before: char) -> bool {
        if self.at_word && before.is_alphanumeric() {
            return false;
        }
        let Some(mut rest) = text.strip_prefix(self.first.as_str()) else { return false };
        for piece in &self.more {
            match rest.find(piece.as_str()) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        true
    }
}

/// Lower case, single blanks, straight apostrophes, and each word that holds an address as a lone `@`: an address is
/// the recipient's own, and `nospam@…` says nothing about spam.
pub(super) fn folded(text: &str) -> String {
    let lower = text.to_lowercase().replace('\u{2019}', "'");
    let words = lower.split_whitespace().map(|word| if word.contains('@') { "@" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn has(text: &str, phrase: &str) -> bool {
        let mut phrases = Phrases::default();
        let number = phrases.number(phrase);
        phrases.find(text).has(number)
    }

    #[test]
    fn phrases_begin_at_words_and_may_have_gaps() {
        assert!(has("this user doesn't have a yahoo.com account (@)", "doesn't have a * account"));
        assert!(has("550 spamhaus", "spam"));
        assert!(!has("antispam", "spam"));
        assert!(has("antispam and spam", "spam"), "a later place counts");
        assert!(!has("account for you, who doesn't have a", "doesn't have a * account"));
        assert!(has("msg[ts04]", "[ts0"), "a sign may stand anywhere");
        assert!(has("该邮件被拒绝了", "被拒绝"), "scripts without blanks have no word boundaries");
        assert!(!has("sp", "spam"));
    }

    #[test]
    fn folding_hides_addresses_and_case() {
        assert_eq!(
            folded("<NoSpam@example.com>...  User\u{a0}Doesn\u{2019}t  exist"),
            "@ user doesn't exist"
        );
    }

    #[test]
    fn a_phrase_of_two_rules_has_one_number() {
        let mut phrases = Phrases::default();
        let first = phrases.number("user unknown");
        assert_ne!(phrases.number("no such user"), first);
        assert_eq!(phrases.number("user unknown"), first);
    }

    proptest! {
        /// The index finds what a plain search finds.
        #[test]
        fn nothing_is_missed(text in "[abc é]{0,30}", phrase in "[abcé]{3,5}") {
            let plain = text.match_indices(&phrase).any(|(at, _)| {
                !phrase.starts_with(|c: char| c.is_ascii_alphanumeric())
                    || !text[..at].ends_with(|c: char| c.is_alphanumeric())
            });
            prop_assert_eq!(has(&text, &phrase), plain);
        }
    }
}
