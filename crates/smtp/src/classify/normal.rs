//! Replies that say the same, counted as one: what differs from message to message is blanked.

/// Octets of a normalised text; what is longer differs in details only.
pub const NORMALISED_LEN_MAX: usize = 240;

/// Octets of input that are looked at.
const READ_MAX: usize = 2_048;

const NUMBER: &str = "#";
const ID: &str = "#ID#";
const ADDRESS: &str = "#ADDRESS#";
const IP: &str = "#IP#";
const DATE: &str = "#DATE#";
const HOST: &str = "#HOST#";

/// The text with addresses, IP addresses, host names, dates, ids and numbers blanked, single blanks, and at most
/// [`NORMALISED_LEN_MAX`] octets: the key under which replies are counted. Kept are reply codes and enhanced codes
/// (also in the middle), the receivers' own short codes (`[TSS04]`, `S3150`, `OFR_416`), and links up to their query.
pub fn normalised(text: &str) -> String {
    let mut out = String::with_capacity(NORMALISED_LEN_MAX);
    let mut last = "";
    // A code that a text of many lines begins with is followed by a dash.
    let text = text.trim_start();
    let (code, text) = match text.split_at_checked(4) {
        Some((code, rest)) if code.ends_with('-') && code[..3].bytes().all(|b| b.is_ascii_digit()) => {
            (&code[..3], rest)
        }
        _ => ("", text),
    };
    out.push_str(code);
    for (at, word) in text[..floor(text, READ_MAX)].split_whitespace().enumerate() {
        let start = word.find(is_inside).unwrap_or(word.len());
        let end = word
            .rfind(is_inside)
            .map_or(start, |at| at + word[at..].chars().next().map_or(0, char::len_utf8));
        let (open, core, close) = (&word[..start], &word[start..end], &word[end..]);
        let blank = blank_of(core, at == 0);
        // A date is many words: its days, years and zones are numbers.
        if last == DATE && matches!(blank, Some(DATE | NUMBER)) {
            continue;
        }
        last = blank.unwrap_or_default();
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(open);
        match blank {
            Some(blank) => out.push_str(blank),
            None => push_kept(&mut out, core),
        }
        out.push_str(close);
        if out.len() >= NORMALISED_LEN_MAX {
            break;
        }
    }
    out.truncate(floor(&out, NORMALISED_LEN_MAX));
    out
}

/// The largest index up to `max` at which the text can be cut.
fn floor(text: &str, max: usize) -> usize {
    (0..=max.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Letters and digits, and signs that belong to what they begin or end.
fn is_inside(c: char) -> bool {
    c.is_alphanumeric()
}

/// The blank that stands for a word; None where the word is kept (with its parts looked at by [`push_kept`]).
fn blank_of(word: &str, first: bool) -> Option<&'static str> {
    if word.contains("://") {
        return None;
    }
    if word.contains('@') {
        return Some(ADDRESS);
    }
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 {
        return if is_host(word) { Some(HOST) } else { date_word(word) };
    }
    if word.parse::<std::net::IpAddr>().is_ok() {
        return Some(IP);
    }
    if digits == word.len() {
        let is_code = word.len() == 3 && first;
        return (!is_code).then_some(NUMBER);
    }
    if is_enhanced(word) || is_short_code(word) {
        return None;
    }
    if is_date(word) {
        return Some(DATE);
    }
    if is_host(word) {
        return Some(HOST);
    }
    let plain = word.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_.:+=/".contains(&octet));
    (plain && digits > 0).then_some(ID)
}

/// A word that stays: a link loses its query, and digits within become one `#`.
fn push_kept(out: &mut String, word: &str) {
    if is_enhanced(word)
        || is_short_code(word)
        || (word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit()))
    {
        return out.push_str(word);
    }
    let word = if word.contains("://") { word.split(['?', '#']).next().unwrap_or(word) } else { word };
    let mut in_digits = false;
    for c in word.chars() {
        if !c.is_ascii_digit() {
            out.push(c);
        } else if !in_digits {
            out.push('#');
        }
        in_digits = c.is_ascii_digit();
    }
}

fn is_enhanced(word: &str) -> bool {
    crate::reply::Enhanced::parse(word).is_some()
}

/// `S3150`, `TSS04`, `IB607`, `OFR_416`, `LPN006_107`: capitals, then at most five digits, in one or two groups.
fn is_short_code(word: &str) -> bool {
    let letters = word.bytes().take_while(u8::is_ascii_uppercase).count();
    let rest = &word[letters..];
    let groups = rest.trim_start_matches('_').split('_');
    (1..=5).contains(&letters)
        && !rest.is_empty()
        && rest.len() <= 8
        && groups.clone().count() <= 2
        && groups
            .into_iter()
            .all(|group| (1..=5).contains(&group.len()) && group.bytes().all(|b| b.is_ascii_digit()))
}

/// Digits with the signs of dates, times and zones between: `2024-04-29T23:34:45.000Z`, `10:15`, `+0200`.
fn is_date(word: &str) -> bool {
    let signs = word.bytes().filter(|octet| matches!(octet, b'-' | b':' | b'/')).count();
    let known = word.bytes().all(|octet| octet.is_ascii_digit() || b"-:/.TZ+".contains(&octet));
    known && (signs >= 2 || (signs == 1 && word.contains(':')))
}

/// Names of days and months as RFC 5322 has them, and its zones.
fn date_word(word: &str) -> Option<&'static str> {
    const WORDS: &[&str] = &[
        "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul",
        "Aug", "Sep", "Oct", "Nov", "Dec", "GMT", "UTC",
    ];
    WORDS.contains(&word).then_some(DATE)
}

/// Labels with dots, the last of letters: `mx1.example.com`. Ordinary words after a missing blank ("here.Please") look
/// the same; blanking them costs nothing.
fn is_host(word: &str) -> bool {
    let mut labels = word.rsplit('.');
    let last = labels.next().unwrap_or_default();
    let mut more = 0;
    let plain = labels.all(|label| {
        more += 1;
        !label.is_empty()
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
    });
    plain && more > 0 && last.len() >= 2 && last.bytes().all(|octet| octet.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_differs_is_blanked() {
        for (text, expected) in [
            (
                "550 5.1.1 <a.b@shop.example>: Recipient address rejected: User unknown",
                "550 5.1.1 <#ADDRESS#>: Recipient address rejected: User unknown",
            ),
            (
                "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred - 4.16.55.1; see https://p.example/error-codes?x=1",
                "421 4.7.0 [TSS04] Messages from #IP# temporarily deferred - #IP#; see https://p.example/error-codes",
            ),
            (
                "550 5.7.1 messages from [2001:db8::1] weren't sent (S3150). [AM6EUR05FT053.eop-eur05.prod.outlook.com]",
                "550 5.7.1 messages from [#IP#] weren't sent (S3150). [#HOST#]",
            ),
            (
                "250 2.0.0 Ok: queued as 4F1C2B3D0A at Mon, 02 Jan 2024 10:00:01 +0000",
                "250 2.0.0 Ok: queued as #ID# at #DATE#,",
            ),
            (
                "450 4.7.1 Greylisted, try again in 300 seconds",
                "450 4.7.1 Greylisted, try again in # seconds",
            ),
            ("554 x 2024-04-29T23:34:45.000Z AS(201806281)", "554 x #DATE# AS(#"),
            ("452 4.2.2 over quota a1si1234567pl.1 - gsmtp", "452 4.2.2 over quota #ID# - gsmtp"),
            ("550 Adresse invalide. OFR_416 [416]", "550 Adresse invalide. OFR_416 [#]"),
            ("  550   no\tblanks ", "550 no blanks"),
            ("", ""),
        ] {
            let found = normalised(text);
            assert!(found.starts_with(expected), "{text}\n  gives {found}");
        }
    }

    #[test]
    fn two_of_a_kind_are_one() {
        let a = "421-4.7.28 [192.0.2.9 15] unusual rate of mail. y7-20020a1f1707 - gsmtp";
        let b = "421-4.7.28 [192.0.2.77 12] unusual rate of mail. x2-10020b2f1999 - gsmtp";
        assert_eq!(normalised(a), normalised(b));
        assert_ne!(normalised(a), normalised("421-4.7.0 [192.0.2.9 15] unusual rate of mail. y7-20 - gsmtp"));
    }

    proptest! {
        #[test]
        fn any_text_is_bounded_and_stays_as_it_is(text in "\\PC{0,400}") {
            let once = normalised(&text);
            prop_assert!(once.len() <= NORMALISED_LEN_MAX);
        }
    }
}
