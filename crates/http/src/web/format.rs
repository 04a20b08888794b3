//! Numbers, times, spans and sizes, as people read them.

use jiff::{Timestamp, tz::TimeZone};

/// A number with its thousands grouped: `1,234,567`.
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        out.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A time in microseconds UTC as `26 Nov 2026, 10:12 UTC`. The pages' script turns it into the reader's zone.
pub fn moment(at_us: i64) -> String {
    timestamp(at_us).map_or_else(String::new, |at| at.strftime("%-d %b %Y, %H:%M UTC").to_string())
}

/// The clock time alone: `10:12:07`.
pub fn clock(at_us: i64) -> String {
    timestamp(at_us).map_or_else(String::new, |at| at.strftime("%H:%M:%S").to_string())
}

/// For the `datetime` attribute: `2026-11-26T10:12:07Z`.
pub fn machine(at_us: i64) -> String {
    timestamp(at_us).map_or_else(String::new, |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn timestamp(at_us: i64) -> Option<jiff::Zoned> {
    Timestamp::from_microsecond(at_us).ok().map(|at| at.to_zoned(TimeZone::UTC))
}

/// A span in microseconds in its two largest units: `2 h 5 min`, `45 s`, `3 d 4 h`.
pub fn span(us: i64) -> String {
    let seconds = us.max(0) / 1_000_000;
    let (days, hours, minutes, rest) =
        (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes, rest) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, 0) => format!("{m} min"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, 0, _) => format!("{h} h"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, 0, _, _) => format!("{d} d"),
        (d, h, _, _) => format!("{d} d {h} h"),
    }
}

/// A size in bytes: `512 B`, `30.2 KB`, `1.4 MB` (powers of 1000).
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} KB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A speed: `1,250`, `12.5`, `0.4`.
pub fn speed(per_second: f64) -> String {
    if per_second >= 100.0 { grouped(per_second.round() as i64) } else { format!("{per_second:.1}") }
}

/// A share of a whole in percent: `97.3`; a part is never shown as none, nor as all.
pub fn percent(part: i64, whole: i64) -> String {
    if whole <= 0 || part <= 0 {
        return "0".to_owned();
    }
    if part >= whole {
        return "100".to_owned();
    }
    let share = part as f64 * 100.0 / whole as f64;
    format!("{:.1}", share.clamp(0.1, 99.9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(-1_234_567), "-1,234,567");
        assert_eq!(grouped(i64::MIN), "-9,223,372,036,854,775,808");
        assert_eq!(speed(0.44), "0.4");
        assert_eq!(speed(1_250.4), "1,250");
    }

    #[test]
    fn shares_do_not_lie() {
        assert_eq!(percent(1, 1_000_000), "0.1");
        assert_eq!(percent(999_999, 1_000_000), "99.9");
        assert_eq!(percent(5, 5), "100");
        assert_eq!(percent(0, 0), "0");
    }

    #[test]
    fn times() {
        let at = 1_795_687_927_000_000;
        assert_eq!(machine(at), "2026-11-26T10:12:07Z");
        assert_eq!(moment(at), "26 Nov 2026, 10:12 UTC");
        assert_eq!(clock(at), "10:12:07");
        assert_eq!(moment(i64::MAX), "");
        assert_eq!(span(45_000_000), "45 s");
        assert_eq!(span(7_500_000_000), "2 h 5 min");
        assert_eq!(span(-1), "0 s");
        assert_eq!(size(30_200), "30.2 KB");
    }
}
