//! Lengths of time as people write them in settings and in `delivery.toml`; times in tables are microseconds as well.
//! It stands here because both rooms that read them may import this one, and not each other.

use std::fmt;
use std::str::FromStr;

/// Microseconds in a second.
const SECOND_US: i64 = 1_000_000;
/// Units, longest first. A year is 365 days.
const UNITS: [(char, i64); 5] = [
    ('y', 365 * 86_400 * SECOND_US),
    ('d', 86_400 * SECOND_US),
    ('h', 3_600 * SECOND_US),
    ('m', 60 * SECOND_US),
    ('s', SECOND_US),
];
/// Longest span: beyond it a date could not be computed.
const SPAN_YEARS_MAX: i64 = 100;

/// A length of time: a number and `s`, `m`, `h`, `d` (also when there is no unit) or `y`. Never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    us: i64,
}

/// Why a text is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a length of time is a number and s, m, h, d or y, such as 90s, 1h or 5d (a number alone: days), up to 100y"
)]
pub struct SpanError;

impl Span {
    /// From microseconds; negative ones count as none.
    pub const fn from_us(us: i64) -> Span {
        Span { us: if us < 0 { 0 } else { us } }
    }

    /// From seconds.
    pub const fn from_seconds(seconds: i64) -> Span {
        Span::from_us(seconds.saturating_mul(SECOND_US))
    }

    /// From hours.
    pub const fn from_hours(hours: i64) -> Span {
        Span::from_seconds(hours.saturating_mul(3_600))
    }

    /// From days.
    pub const fn from_days(days: i64) -> Span {
        Span::from_hours(days.saturating_mul(24))
    }

    /// In microseconds, the unit of all times.
    pub const fn us(self) -> i64 {
        self.us
    }

    /// In whole seconds.
    pub const fn seconds(self) -> i64 {
        self.us / SECOND_US
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Span, SpanError> {
        let text = text.trim();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: i64 = digits.trim_end().parse().map_err(|_| SpanError)?;
        let unit = match &text[digits.len()..] {
            "" => 'd',
            unit if unit.len() == 1 => unit.chars().next().ok_or(SpanError)?,
            _ => return Err(SpanError),
        };
        let (_, length) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(SpanError)?;
        let us = number.checked_mul(*length).ok_or(SpanError)?;
        if number < 0 || us > SPAN_YEARS_MAX * UNITS[0].1 {
            return Err(SpanError);
        }
        Ok(Span { us })
    }
}

impl fmt::Display for Span {
    /// In the largest unit that leaves no rest; years are shown as days.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS[1..].iter().find(|(_, length)| self.us % length == 0 && self.us >= *length);
        match unit {
            Some((name, length)) => write!(f, "{}{name}", self.us / length),
            None => write!(f, "{}s", self.us / SECOND_US),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_people_write_them() {
        for (text, seconds) in [
            ("5", 432_000),
            ("5d", 432_000),
            ("1h", 3_600),
            ("90s", 90),
            ("2m", 120),
            ("1y", 31_536_000),
            ("0s", 0),
            (" 3 h ", 10_800),
        ] {
            assert_eq!(text.parse::<Span>().unwrap().seconds(), seconds, "{text}");
        }
        for text in ["", "d", "-1d", "1.5h", "1w", "5dd", "101y", "99999999999999999999", "1µ", "h1"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert_eq!(Span::from_hours(1).to_string(), "1h");
        assert_eq!(Span::from_hours(36).to_string(), "36h");
        assert_eq!(Span::from_us(-5).to_string(), "0s");
    }

    proptest! {
        #[test]
        fn what_is_shown_parses_again(seconds in 0i64..3_000_000_000) {
            let span = Span::from_seconds(seconds);
            prop_assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,12}") {
            let _ = text.parse::<Span>();
        }
    }
}
