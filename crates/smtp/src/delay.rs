//! The wait that a receiver names in the text of a 4yz reply: "try again in 300 seconds", "greylisted for 5 minutes".

/// The least delay that is obeyed: a shorter one costs a connection and wins nothing.
pub const DELAY_MIN_S: u32 = 60;

/// The longest delay that is obeyed, a day: a longer one would hide the recipient from its own delivery.
pub const DELAY_MAX_S: u32 = 24 * 3_600;

/// Words one of which has to stand in the text: a number of minutes alone may be a rate ("100 per 5 minutes").
const CONTEXT: &[&str] =
    &["try", "retry", "again", "later", "wait", "greylist", "graylist", "defer", "back", "delay"];

/// Words after which a length of time is the wait asked for.
const BEFORE: &[&str] = &[
    "in",
    "after",
    "for",
    "least",
    "wait",
    "another",
    "again",
    "retry",
    "about",
    "approximately",
    "delay",
    "greylisted",
    "graylisted",
    "greylisting",
    "graylisting",
    "remaining",
    "next",
    "until",
    "(",
];

/// Seconds to wait, from [`DELAY_MIN_S`] to [`DELAY_MAX_S`], when the text names a wait.
pub fn named_delay(text: &str) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    if !CONTEXT.iter().any(|word| lower.contains(word)) {
        return None;
    }
    let words = words(&lower);
    let at =
        (1..words.len()).find(|at| BEFORE.contains(&words[at - 1]) && length(&words[*at..]).is_some())?;
    let seconds = length(&words[at..])?;
    Some(u32::try_from(seconds).unwrap_or(DELAY_MAX_S).clamp(DELAY_MIN_S, DELAY_MAX_S))
}

/// Letters and numbers apart, so that "300s" is two words; clock times stay whole, and an opening bracket is a word.
fn words(text: &str) -> Vec<&str> {
    let kind = |c: char| match c {
        '0'..='9' | ':' => 1,
        c if c.is_alphabetic() => 2,
        '(' => 3,
        _ => 0,
    };
    let mut words = Vec::new();
    let mut from = 0;
    let mut last = 0;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        let now = kind(c);
        if now != last || now == 3 {
            if last != 0 {
                words.push(&text[from..at]);
            }
            from = at;
            last = now;
        }
    }
    words
}

/// Seconds, when the words begin with a length of time: "300 seconds", "5 min", "00:05:00", "1 hour 30 minutes".
fn length(words: &[&str]) -> Option<u64> {
    let first = words.first()?;
    if first.trim_end_matches(':').contains(':') {
        return clock(first.trim_end_matches(':'));
    }
    let mut total: Option<u64> = None;
    let mut rest = words.iter();
    while let (Some(number), Some(unit)) = (rest.next(), rest.next()) {
        let (Some(number), Some(unit)) = (small(number), unit_seconds(unit)) else { break };
        total = Some(total.unwrap_or(0) + number * unit);
    }
    total
}

/// `mm:ss` or `hh:mm:ss`.
fn clock(text: &str) -> Option<u64> {
    let fields: Option<Vec<u64>> = text.split(':').map(small).collect();
    match fields?.as_slice() {
        [minutes, seconds] => Some(minutes * 60 + seconds),
        [hours, minutes, seconds] => Some(hours * 3_600 + minutes * 60 + seconds),
        _ => None,
    }
}

/// Up to seven digits, so that no sum overflows.
fn small(digits: &str) -> Option<u64> {
    let sound = matches!(digits.len(), 1..=7) && digits.bytes().all(|octet| octet.is_ascii_digit());
    sound.then(|| digits.parse().ok()).flatten()
}

fn unit_seconds(word: &str) -> Option<u64> {
    match word {
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some(3_600),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_that_receivers_name() {
        for (text, seconds) in [
            ("4.7.1 Greylisted, please try again in 300 seconds", 300),
            ("greylisted for 5 minutes", 300),
            ("Greylisting in action, please come back in 00:04:58", 298),
            ("retry after 5 minutes", 300),
            ("Please retry in 180s.", 180),
            ("try again after 1 hour", 3_600),
            ("try again in 1 hour 30 minutes", 5_400),
            ("please wait 90 seconds and retry", 90),
            ("try again later (10 min)", 600),
            ("try again in at least 15 min.", 900),
            ("Rate limit 100 per 5 minutes exceeded, retry in 7 minutes", 420),
            ("Try again in 5 seconds", DELAY_MIN_S),
            ("Try again in 59 seconds", DELAY_MIN_S),
            ("Try again in 61 seconds", 61),
            ("try again in 48 hours", DELAY_MAX_S),
            ("try again in 9999999 hours", DELAY_MAX_S),
        ] {
            assert_eq!(named_delay(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_names_no_wait() {
        for text in [
            "",
            "try again later",
            "Rate limit of 100 per 5 minutes exceeded, try again later",
            "mailbox full for 300 seconds",
            "try again in 300",
            "in 99999999999999999999 seconds try again",
            "see RFC 5321 and retry",
            "too many connections in the last 60 seconds, try again later",
        ] {
            assert_eq!(named_delay(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_stays_within_bounds(text in "(try again|in|after|[0-9:]{1,9}|seconds?|m| |\\PC){0,20}") {
            if let Some(seconds) = named_delay(&text) {
                prop_assert!((DELAY_MIN_S..=DELAY_MAX_S).contains(&seconds));
            }
        }
    }
}
