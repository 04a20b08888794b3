//! Points and spans of time in filters.
//!
//! Days are calendar days in UTC: `{"ago": "30d"}` is the whole day thirty days before today, and
//! `within_last "30d"` begins with it. Hours, minutes and seconds are exact instants. So a date without a time, which most
//! attributes are, falls on the side people expect.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};

use crate::limits::FILTER_DAYS_MAX;

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

/// A point in time that a field is before or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// `2026-10-01`: the whole day in UTC. Before it is before its start, after it is after its end.
    Day(Date),
    /// `2026-10-01T08:00:00Z` (an offset is allowed, none is UTC): microseconds UTC, whole seconds.
    Instant(i64),
    /// `{"ago": "30d"}`, or `now-30d`: before now by this much.
    Ago(Duration),
    /// `{"ahead": "7d"}`, or `now+7d`: after now by this much.
    Ahead(Duration),
}

/// A span of time: a number and `s`, `m`, `h`, `d` (the default) or `y` (365 days).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duration {
    count: i64,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Year,
}

impl Duration {
    /// Reads `30d`, `12h`, `7`.
    pub fn parse(text: &str) -> Result<Duration, String> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let unit = match text[digits..].trim_start() {
            "s" => Unit::Second,
            "m" => Unit::Minute,
            "h" => Unit::Hour,
            "d" | "" => Unit::Day,
            "y" => Unit::Year,
            other => return Err(format!("{other:?} is not a unit of time; use s, m, h, d or y")),
        };
        let count: i64 = text[..digits]
            .parse()
            .map_err(|_| "a duration is a number and s, m, h, d or y, as in \"30d\"".to_owned())?;
        let duration = Duration { count, unit };
        match count.checked_mul(duration.unit_us()) {
            Some(us) if us <= FILTER_DAYS_MAX * DAY_US => Ok(duration),
            _ => Err(format!("longer than {FILTER_DAYS_MAX} days")),
        }
    }

    fn unit_us(self) -> i64 {
        match self.unit {
            Unit::Second => SECOND_US,
            Unit::Minute => 60 * SECOND_US,
            Unit::Hour => 3_600 * SECOND_US,
            Unit::Day => DAY_US,
            Unit::Year => 365 * DAY_US,
        }
    }

    fn us(self) -> i64 {
        self.count * self.unit_us()
    }

    /// Days and years count by the calendar.
    fn whole_days(self) -> bool {
        matches!(self.unit, Unit::Day | Unit::Year)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Second => "s",
            Unit::Minute => "m",
            Unit::Hour => "h",
            Unit::Day => "d",
            Unit::Year => "y",
        };
        write!(f, "{}{unit}", self.count)
    }
}

impl Moment {
    /// Reads the JSON forms named at the variants.
    pub(crate) fn parse(json: &Json) -> Result<Moment, String> {
        const FORMS: &str = "a time is \"2026-10-01\", \"2026-10-01T08:00:00Z\", \"now-30d\", {\"ago\": \"30d\"} or {\"ahead\": \"7d\"}";
        match json {
            Json::String(text) => match text.trim().strip_prefix("now").map(str::trim) {
                Some("") => Ok(Moment::Ago(Duration { count: 0, unit: Unit::Second })),
                Some(rest) => match rest.split_at_checked(1) {
                    Some(("-", span)) => Duration::parse(span).map(Moment::Ago),
                    Some(("+", span)) => Duration::parse(span).map(Moment::Ahead),
                    _ => Err(FORMS.to_owned()),
                },
                None => Moment::parse_text(text.trim()).ok_or_else(|| FORMS.to_owned()),
            },
            Json::Object(map) if map.len() == 1 => {
                let (key, value) = map.iter().next().ok_or(FORMS)?;
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let duration = Duration::parse(&text)?;
                match key.as_str() {
                    "ago" => Ok(Moment::Ago(duration)),
                    "ahead" => Ok(Moment::Ahead(duration)),
                    _ => Err(FORMS.to_owned()),
                }
            }
            _ => Err(FORMS.to_owned()),
        }
    }

    fn parse_text(text: &str) -> Option<Moment> {
        if text.len() == 10 {
            return text.parse::<Date>().ok().map(Moment::Day);
        }
        let timestamp = match text.parse::<Timestamp>() {
            Ok(timestamp) => timestamp,
            Err(_) => text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp(),
        };
        Some(Moment::Instant(timestamp.as_second() * SECOND_US))
    }

    pub(crate) fn to_json(self) -> Json {
        match self {
            Moment::Day(date) => json!(date.to_string()),
            Moment::Instant(us) => json!(format!("{}Z", text_of(us))),
            Moment::Ago(duration) => json!({"ago": duration.to_string()}),
            Moment::Ahead(duration) => json!({"ahead": duration.to_string()}),
        }
    }

    /// The moment as the half-open span of microseconds that it covers, seen from `now_us`.
    pub(crate) fn span(self, now_us: i64) -> Span {
        match self {
            Moment::Day(date) => {
                let start =
                    date.to_zoned(TimeZone::UTC).map_or(0, |zoned| zoned.timestamp().as_second() * SECOND_US);
                Span { start, end: start.saturating_add(DAY_US) }
            }
            Moment::Instant(us) => Span { start: us, end: us + SECOND_US },
            Moment::Ago(duration) => point(now_us - duration.us(), duration),
            Moment::Ahead(duration) => point(now_us + duration.us(), duration),
        }
    }
}

/// `start <= t < end`, microseconds UTC, both on whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: i64,
    pub end: i64,
}

/// The day or the second that `us` lies in.
fn point(us: i64, duration: Duration) -> Span {
    let unit = if duration.whole_days() { DAY_US } else { SECOND_US };
    let start = us.div_euclid(unit) * unit;
    Span { start, end: start + unit }
}

/// What `within_last` covers: from the moment `duration` ago to now, both included.
pub(crate) fn last(duration: Duration, now_us: i64) -> Span {
    let now = now_us.div_euclid(SECOND_US) * SECOND_US;
    Span { start: point(now_us - duration.us(), duration).start, end: now + SECOND_US }
}

/// What `within_next` covers: from now (from the start of today when `duration` counts days) to `duration` ahead, both included.
pub(crate) fn next(duration: Duration, now_us: i64) -> Span {
    Span { start: point(now_us, duration).start, end: point(now_us + duration.us(), duration).end }
}

/// `2026-10-01T08:00:00` in UTC: the form in which texts are compared. Years outside 0..9999 end at those.
pub(crate) fn text_of(us: i64) -> String {
    let second = us.div_euclid(SECOND_US).clamp(-62_167_219_200, 253_402_207_200);
    match Timestamp::from_second(second) {
        Ok(timestamp) => {
            timestamp.to_zoned(TimeZone::UTC).datetime().strftime("%Y-%m-%dT%H:%M:%S").to_string()
        }
        Err(_) => String::new(),
    }
}

/// A field's text as the form of [`text_of`], or `None` when it is no date; see the head of `filter`.
pub(crate) fn date_text(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if !fits(bytes, b"0000-00-00") {
        return None;
    }
    if bytes.len() >= 19 && matches!(bytes[10], b'T' | b' ') && fits(&bytes[11..], b"00:00:00") {
        return Some(format!("{}T{}", &text[..10], &text[11..19]));
    }
    Some(format!("{}T00:00:00", &text[..10]))
}

/// Whether the bytes begin with this pattern, in which `0` is any digit.
fn fits(bytes: &[u8], pattern: &[u8]) -> bool {
    bytes.len() >= pattern.len()
        && bytes.iter().zip(pattern).all(|(b, p)| if *p == b'0' { b.is_ascii_digit() } else { b == p })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_846_700 * SECOND_US; // 2026-10-01T09:25:00Z

    #[test]
    fn days_are_calendar_days() {
        assert_eq!(text_of(NOW), "2026-10-01T09:25:00");
        let span = last(Duration::parse("30d").unwrap(), NOW);
        assert_eq!(
            (text_of(span.start).as_str(), text_of(span.end).as_str()),
            ("2026-09-01T00:00:00", "2026-10-01T09:25:01")
        );
        let span = next(Duration::parse("1").unwrap(), NOW);
        assert_eq!(
            (text_of(span.start).as_str(), text_of(span.end).as_str()),
            ("2026-10-01T00:00:00", "2026-10-03T00:00:00")
        );
        let span = last(Duration::parse("2h").unwrap(), NOW);
        assert_eq!(text_of(span.start), "2026-10-01T07:25:00");
    }

    #[test]
    fn moments_read_back() {
        for json in [
            json!("2026-10-01"),
            json!("2026-10-01T08:00:00Z"),
            json!({"ago": "30d"}),
            json!({"ahead": "2h"}),
        ] {
            assert_eq!(Moment::parse(&json).unwrap().to_json(), json);
        }
        assert_eq!(
            Moment::parse(&json!("2026-10-01T09:00:00+09:00")).unwrap().to_json(),
            json!("2026-10-01T00:00:00Z")
        );
        assert_eq!(Moment::parse(&json!("now-30d")).unwrap().to_json(), json!({"ago": "30d"}));
        assert_eq!(Moment::parse(&json!("now + 2h")).unwrap().to_json(), json!({"ahead": "2h"}));
        assert_eq!(Moment::parse(&json!("now")).unwrap().to_json(), json!({"ago": "0s"}));
        for json in [
            json!("now*2d"),
            json!("nowé"),
            json!("2026-13-01"),
            json!("yesterday"),
            json!(3),
            json!({"ago": "x"}),
            json!({"ago": "1d", "b": 1}),
            json!({"since": "1d"}),
            json!({"ago": "36526d"}),
        ] {
            assert!(Moment::parse(&json).is_err(), "{json}");
        }
    }

    #[test]
    fn dates_in_texts() {
        assert_eq!(date_text("2026-10-01").unwrap(), "2026-10-01T00:00:00");
        assert_eq!(date_text("2026-10-01 23:59:58+09:00").unwrap(), "2026-10-01T23:59:58");
        assert_eq!(date_text("2026-10-01T23:59").unwrap(), "2026-10-01T00:00:00");
        assert_eq!(date_text("01.10.2026"), None);
        assert_eq!(date_text("2026-1-1"), None);
    }
}
