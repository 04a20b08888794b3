//! How values look in JSON: ids are strings (they do not fit a JavaScript number), times are RFC 3339 in UTC.

use serde_json::Value;

use crate::problem::Problem;

/// An id.
pub fn id(id: i64) -> Value {
    Value::String(id.to_string())
}

/// A time in microseconds UTC as `2026-12-01T08:00:00Z`, with a fraction where there is one.
pub fn time(at_us: i64) -> Value {
    jiff::Timestamp::from_microsecond(at_us).map_or(Value::Null, |time| Value::String(time.to_string()))
}

/// A time that may be absent.
pub fn time_opt(at_us: Option<i64>) -> Value {
    at_us.map_or(Value::Null, time)
}

/// Reads a moment like `2026-12-01T08:00:00Z`, or a date (its midnight in UTC), as microseconds.
pub fn instant(text: &str) -> Option<i64> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Some(moment.as_microsecond());
    }
    let day: jiff::civil::Date = text.parse().ok()?;
    Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

/// Reads an id of a path or a query.
pub fn read_id(text: &str, what: &str) -> Result<i64, Problem> {
    // An id that cannot exist is answered like one that does not.
    text.parse::<i64>().ok().filter(|id| *id > 0).ok_or_else(|| Problem::not_found(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        assert_eq!(time(1_764_576_000_000_000), "2025-12-01T08:00:00Z");
        assert_eq!(time(1_764_576_000_250_000), "2025-12-01T08:00:00.25Z");
        assert_eq!(time_opt(None), Value::Null);
    }

    #[test]
    fn ids_that_cannot_be_are_not_found() {
        assert_eq!(read_id("17", "list").unwrap(), 17);
        for text in ["", "0", "-1", "x", "99999999999999999999"] {
            assert_eq!(read_id(text, "list").unwrap_err().status, 404, "{text}");
        }
    }
}
