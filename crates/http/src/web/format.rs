//! Numbers, times, spans and sizes, as people read them.

use jiff::{Timestamp, civil, tz::TimeZone};

use super::{
    reader::{self, Language},
    texts,
};

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

/// A time in microseconds UTC as `26 Nov 2026, 10:12 UTC`, in the reader's zone and language. Where no zone was chosen
/// it is UTC, and the pages' script turns it into the browser's.
pub fn moment(at_us: i64) -> String {
    let zone = reader::zone();
    let Some(at) = timestamp(at_us, zone.clone()) else { return String::new() };
    let written = match reader::language() {
        Language::English => "%-d %b %Y, %H:%M",
        Language::Japanese => "%Y年%-m月%-d日 %H:%M",
    };
    // A chosen zone is the reader's own and goes without saying.
    let named = if reader::chosen_zone().is_some() { "" } else { " UTC" };
    format!("{}{named}", at.strftime(written))
}

/// A day of UTC: `26 Nov 2026`.
pub fn day(at_us: i64) -> String {
    let Some(at) = timestamp(at_us, TimeZone::UTC) else { return String::new() };
    let written = match reader::language() {
        Language::English => "%-d %b %Y",
        Language::Japanese => "%Y年%-m月%-d日",
    };
    at.strftime(written).to_string()
}

/// The clock time alone: `10:12:07`, in the reader's zone.
pub fn clock(at_us: i64) -> String {
    timestamp(at_us, reader::zone()).map_or_else(String::new, |at| at.strftime("%H:%M:%S").to_string())
}

/// A time for `<input type="datetime-local">`, in the reader's zone: `2026-11-26T10:12`.
pub fn local_input(at_us: i64) -> String {
    timestamp(at_us, reader::zone()).map_or_else(String::new, |at| at.strftime("%Y-%m-%dT%H:%M").to_string())
}

/// What such a field, or a date field, holds, read in the reader's zone; none when it is no time. An hour that a clock
/// change skips counts as the one after it, one that comes twice as the first.
pub fn from_local_input(text: &str) -> Option<i64> {
    let text = text.trim();
    let local =
        text.parse::<civil::DateTime>().or_else(|_| text.parse::<civil::Date>().map(Into::into)).ok()?;
    local.to_zoned(reader::zone()).ok().map(|at| at.timestamp().as_microsecond())
}

/// For the `datetime` attribute: `2026-11-26T10:12:07Z`.
pub fn machine(at_us: i64) -> String {
    timestamp(at_us, TimeZone::UTC)
        .map_or_else(String::new, |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn timestamp(at_us: i64, zone: TimeZone) -> Option<jiff::Zoned> {
    Timestamp::from_microsecond(at_us).ok().map(|at| at.to_zoned(zone))
}

/// A span in microseconds in its two largest units: `2 h 5 min`, `45 s`, `3 d 4 h`.
pub fn span(us: i64) -> String {
    let seconds = us.max(0) / 1_000_000;
    let (days, hours, minutes, rest) =
        (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let [d, h, m, s] = [days, hours, minutes, rest].map(|number| number.to_string());
    match (days, hours, minutes, rest) {
        (0, 0, 0, _) => texts::text_s("span-s", &s),
        (0, 0, _, 0) => texts::text_s("span-min", &m),
        (0, 0, ..) => texts::text_ss("span-min-s", &m, &s),
        (0, _, 0, _) => texts::text_s("span-h", &h),
        (0, ..) => texts::text_ss("span-h-min", &h, &m),
        (_, 0, ..) => texts::text_s("span-d", &d),
        _ => texts::text_ss("span-d-h", &d, &h),
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
    // The sum of no speeds is minus nought.
    let speed = per_second + 0.0;
    if speed >= 100.0 { grouped(speed.round() as i64) } else { format!("{speed:.1}") }
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
        assert_eq!(day(at), "26 Nov 2026");
        assert_eq!(clock(at), "10:12:07");
        assert_eq!(moment(i64::MAX), "");
        assert_eq!(span(45_000_000), "45 s");
        assert_eq!(span(7_500_000_000), "2 h 5 min");
        assert_eq!(span(-1), "0 s");
        assert_eq!(size(30_200), "30.2 KB");
    }

    #[tokio::test]
    async fn times_are_the_readers_own_both_ways() {
        let at = 1_795_687_920_000_000;
        let of = |language: &str, zone: &str| {
            let (language, time_zone) = (language.to_owned(), zone.to_owned());
            let caller = access::Caller { language, time_zone, ..access::Caller::local() };
            reader::Reader::of(Some(&caller), &axum::http::HeaderMap::new())
        };
        let tokyo = of("ja", "Asia/Tokyo").reads(async { (moment(at), local_input(at)) }).await;
        assert_eq!(tokyo, ("2026年11月26日 19:12".to_owned(), "2026-11-26T19:12".to_owned()));
        let back = of("", "Asia/Tokyo").reads(async { from_local_input("2026-11-26T19:12") }).await;
        assert_eq!(back, Some(at));
        let berlin =
            |text: &'static str| of("", "Europe/Berlin").reads(async move { from_local_input(text) });
        let hour = 3_600_000_000;
        // The nights on which clocks change: 2:30 is skipped, then comes twice.
        let (skipped, after) = (berlin("2026-03-29T02:30").await, berlin("2026-03-29T03:30").await);
        assert_eq!(skipped, after);
        let (twice, later) =
            (berlin("2026-10-25T02:30").await.unwrap(), berlin("2026-10-25T03:30").await.unwrap());
        assert_eq!(later - twice, 2 * hour, "the first of the two");
        assert_eq!(berlin("2026-11-26").await, Some(1_795_647_600_000_000), "a date is its midnight there");
        for wrong in ["", "tomorrow", "2026-02-30", "2026-01-01T25:00"] {
            assert_eq!(berlin(wrong).await, None, "{wrong}");
        }
    }
}
