//! `*` in an expression multiplies numbers and nothing else.
//!
//! In minijinja `[1] * 9000000000` is a list that costs nothing until it is looked through, and `5 in` that list looks
//! through it in one step, which fuel does not see. So both sides of a `*` are numbers, or facts that are numbers.

use crate::reference::fact_of;

/// A word of an expression; texts and anything else are `Other`.
#[derive(Debug, PartialEq)]
enum Word<'a> {
    Number,
    Name(&'a str),
    Star,
    Pipe,
    Other,
}

/// Whether each `*` has a number, or the name of a fact that is one, on both sides.
pub(crate) fn multiplies_numbers_only(source: &str) -> bool {
    let words = words(source);
    let is_number = |at: Option<usize>| match at.and_then(|at| words.get(at)) {
        Some(Word::Number) => true,
        Some(Word::Name(name)) => fact_of(name).is_some_and(|fact| fact.kind == "number"),
        _ => false,
    };
    let is_pipe = |at: Option<usize>| at.and_then(|at| words.get(at)) == Some(&Word::Pipe);
    let stars = words.iter().enumerate().filter(|(_, word)| **word == Word::Star).map(|(at, _)| at);
    stars.into_iter().all(|at| {
        let before = at.checked_sub(1);
        // A filter after the right side makes something else of it; one before the left side's name is its own name.
        is_number(before) && is_number(Some(at + 1)) && !is_pipe(at.checked_sub(2)) && !is_pipe(Some(at + 2))
    })
}

fn words(source: &str) -> Vec<Word<'_>> {
    let octets = source.as_bytes();
    let mut words = Vec::new();
    let mut at = 0;
    while at < octets.len() {
        let start = at;
        let run = |from: usize, fits: fn(u8) -> bool| {
            octets[from..].iter().position(|octet| !fits(*octet)).map_or(octets.len(), |length| from + length)
        };
        match octets[at] {
            quote @ (b'"' | b'\'') => {
                at = end_of_text(octets, at + 1, quote);
                words.push(Word::Other);
            }
            b'0'..=b'9' => {
                at = run(at, |octet| octet.is_ascii_digit() || matches!(octet, b'_' | b'.'));
                words.push(Word::Number);
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => {
                at = run(at, |octet| {
                    octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'.') || octet >= 0x80
                });
                words.push(Word::Name(&source[start..at]));
            }
            octet => {
                at += 1;
                match octet {
                    // A power is no product, and of numbers only: minijinja refuses anything else.
                    b'*' if octets.get(at) == Some(&b'*') => {
                        at += 1;
                        words.push(Word::Other);
                    }
                    b'*' => words.push(Word::Star),
                    b'|' => words.push(Word::Pipe),
                    octet if octet.is_ascii_whitespace() => {}
                    _ => words.push(Word::Other),
                }
            }
        }
    }
    words
}

fn end_of_text(octets: &[u8], mut at: usize, quote: u8) -> usize {
    while at < octets.len() && octets[at] != quote {
        at += if octets[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(octets.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_facts_that_are_numbers() {
        for source in [
            "messages * 2 < 5",
            "2*messages>1_000 * 3",
            "size.html * 1.5 < size.largest",
            "subject == 'a * b' or subject == 'it\\'s * [1]'",
            "2 ** 5 > messages",
        ] {
            assert!(multiplies_numbers_only(source), "{source}");
        }
        for source in [
            "[1] * 9",
            "9 * [1]",
            "'x' * 9",
            "9 * 'x'",
            "subject * 9",
            "links * messages",
            "(links) * 9",
            "links[0] * 9",
            "9 * messages|string|list",
            "links|messages * 9",
            "9 *",
            "* 9",
            "'a\\\\' * 9",
            "9 * -links",
            "2 * 3 * links",
        ] {
            assert!(!multiplies_numbers_only(source), "{source}");
        }
    }
}
