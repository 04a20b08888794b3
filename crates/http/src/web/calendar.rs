//! The calendar: what goes out on which day, drawn on the server in the reader's time zone.

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use delivery::{CalendarEntry, HourLoad};
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use serde::Deserialize;

use super::{
    chart, deliveries,
    fault::Fault,
    filters, format,
    page::{Desk, Page, Place, show},
    reader, texts,
};
use crate::state::AppState;

/// Entries of a day in the view of a month; the rest is in its week.
const SHOWN_MAX: usize = 4;
/// Hours of a day.
const HOURS: usize = 24;

/// Something that goes out.
struct Entry {
    delivery: i64,
    label: String,
    tone: &'static str,
    time: String,
    /// `wave 2 of 4`, `analysis`, or empty.
    what: String,
    messages: i64,
    tentative: bool,
}

impl Entry {
    fn of(entry: &CalendarEntry) -> Entry {
        let what = match entry.wave {
            None => texts::text("calendar-analysis"),
            Some(wave) if entry.waves > 1 => {
                texts::text_ss("calendar-wave", &(wave + 1).to_string(), &entry.waves.to_string())
            }
            Some(_) => String::new(),
        };
        Entry {
            delivery: entry.delivery,
            label: entry.label.clone(),
            tone: deliveries::tone(entry.state),
            time: format::clock(entry.starts_at).chars().take(5).collect(),
            what,
            messages: entry.messages,
            tentative: entry.tentative,
        }
    }
}

struct Day {
    date: String,
    number: i8,
    weekday: String,
    today: bool,
    /// Of another month than the one that is shown.
    outside: bool,
    entries: Vec<Entry>,
    /// Entries that are not listed.
    more: i64,
    messages: i64,
    load: String,
}

#[derive(Template)]
#[template(path = "calendar.html")]
struct CalendarPage {
    page: Page,
    view: &'static str,
    heading: String,
    before: String,
    after: String,
    today: String,
    weekdays: Vec<String>,
    weeks: Vec<Vec<Day>>,
    is_empty: bool,
    cut: bool,
    zone: String,
    own_zone: bool,
    hours: String,
    peak: i64,
}

/// `?view=month|week` and a date in it.
#[derive(Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    view: String,
    #[serde(default)]
    date: String,
}

/// The days that a view shows: from a Monday on, whole weeks.
struct Stretch {
    first: Date,
    days: i64,
    before: Date,
    after: Date,
}

impl Stretch {
    fn month(date: Date) -> Stretch {
        let first_of = date.first_of_month();
        let first = monday(first_of);
        let last = date.last_of_month();
        let days = i64::from(first.until(last).map_or(27, |span| span.get_days())) + 1;
        let days = (days + 6) / 7 * 7;
        let step = |months: i64| first_of.saturating_add(months.months());
        Stretch { first, days, before: step(-1), after: step(1) }
    }

    fn week(date: Date) -> Stretch {
        let first = monday(date);
        Stretch {
            first,
            days: 7,
            before: first.saturating_sub(7.days()),
            after: first.saturating_add(7.days()),
        }
    }
}

fn monday(date: Date) -> Date {
    date.saturating_sub(i64::from(date.weekday().to_monday_zero_offset()).days())
}

/// The beginning of a day (µs).
fn start_of(date: Date, zone: &TimeZone) -> i64 {
    date.to_zoned(zone.clone()).map_or(0, |at| at.timestamp().as_microsecond())
}

fn date_of(at_us: i64, zone: &TimeZone) -> Date {
    let at = Timestamp::from_microsecond(at_us).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(zone.clone()).date()
}

/// `GET /calendar`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let zone = reader::zone();
    let today = date_of(state.clock.now_us(), &zone);
    let date = asked.date.parse::<Date>().unwrap_or(today);
    let is_week = asked.view == "week";
    let stretch = if is_week { Stretch::week(date) } else { Stretch::month(date) };
    let end = stretch.first.saturating_add(stretch.days.days());
    let (from_us, to_us) = (start_of(stretch.first, &zone), start_of(end, &zone));
    let found = state.deliveries.calendar(from_us, to_us).await?;
    let loads = daily(&found.load, stretch.first, stretch.days, &zone);
    let busiest = loads.iter().map(|(a, b)| a + b).max().unwrap_or(0);
    let month = (!is_week).then(|| date.month());
    let days: Vec<Day> = (0..stretch.days)
        .map(|at| {
            let date = stretch.first.saturating_add(at.days());
            let own = found.entries.iter().filter(|entry| date_of(entry.starts_at, &zone) == date);
            let mut entries: Vec<Entry> = own.map(Entry::of).collect();
            let more = if is_week { 0 } else { entries.len().saturating_sub(SHOWN_MAX) };
            entries.truncate(entries.len() - more);
            let (confirmed, tentative) = loads[at as usize];
            let shares = [("accent", confirmed), ("idle", tentative)];
            Day {
                date: date.to_string(),
                number: date.day(),
                weekday: weekday(date),
                today: date == today,
                outside: month.is_some_and(|month| month != date.month()),
                entries,
                more: more as i64,
                messages: confirmed + tentative,
                load: if confirmed + tentative > 0 {
                    chart::meter(&shares, busiest, "thin")
                } else {
                    String::new()
                },
            }
        })
        .collect();
    let bars = if is_week { hourly(&found.load, from_us, stretch.days) } else { Vec::new() };
    let view = if is_week { "week" } else { "month" };
    let link = |date: Date| format!("/calendar?view={view}&date={date}");
    let mut weeks = Vec::new();
    let mut days = days.into_iter().peekable();
    while days.peek().is_some() {
        weeks.push(days.by_ref().take(7).collect::<Vec<_>>());
    }
    show(&CalendarPage {
        page: desk.page(Place::Calendar),
        view,
        heading: heading(if is_week { stretch.first } else { date.first_of_month() }, is_week),
        before: link(stretch.before),
        after: link(stretch.after),
        today: format!("/calendar?view={view}"),
        weekdays: (0..7_i64).map(|at| weekday(stretch.first.saturating_add(at.days()))).collect(),
        weeks,
        is_empty: found.entries.is_empty(),
        cut: found.more,
        zone: if reader::zone_name().is_empty() { "UTC".to_owned() } else { reader::zone_name() },
        own_zone: !reader::zone_name().is_empty(),
        peak: bars.iter().map(|(a, b)| a + b).max().unwrap_or(0),
        hours: chart::columns(&bars),
    })
}

fn weekday(date: Date) -> String {
    texts::pick("weekday", &date.strftime("%a").to_string().to_lowercase())
}

fn heading(date: Date, is_week: bool) -> String {
    let month = texts::pick("month", &date.month().to_string());
    match is_week {
        false => texts::text_ss("calendar-month-of", &month, &date.year().to_string()),
        true => {
            let day = texts::text_ss("calendar-day-of", &date.day().to_string(), &month);
            texts::text_s("calendar-week-of", &day)
        }
    }
}

/// Messages of each day: confirmed, and of others.
fn daily(load: &[HourLoad], first: Date, days: i64, zone: &TimeZone) -> Vec<(i64, i64)> {
    let mut sums = vec![(0, 0); days as usize];
    for hour in load {
        let at = first.until(date_of(hour.hour, zone)).map_or(-1, |span| i64::from(span.get_days()));
        let Ok(at) = usize::try_from(at) else { continue };
        if let Some(sum) = sums.get_mut(at) {
            *sum = (sum.0 + hour.confirmed, sum.1 + hour.tentative);
        }
    }
    sums
}

/// Messages of each hour of the stretch.
fn hourly(load: &[HourLoad], from_us: i64, days: i64) -> Vec<(i64, i64)> {
    const HOUR_US: i64 = 3_600_000_000;
    let mut bars = vec![(0, 0); days as usize * HOURS];
    for hour in load {
        let Ok(at) = usize::try_from((hour.hour - from_us).div_euclid(HOUR_US)) else { continue };
        if let Some(bar) = bars.get_mut(at) {
            *bar = (bar.0 + hour.confirmed, bar.1 + hour.tentative);
        }
    }
    bars
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_month_is_whole_weeks_around_it() {
        let november = Stretch::month(date(2026, 11, 26));
        assert_eq!((november.first, november.days), (date(2026, 10, 26), 42));
        assert_eq!((november.before, november.after), (date(2026, 10, 1), date(2026, 12, 1)));
        let february = Stretch::month(date(2027, 2, 3));
        assert_eq!((february.first, february.days), (date(2027, 2, 1), 28), "four weeks exactly");
        assert_eq!(Stretch::week(date(2026, 11, 29)).first, date(2026, 11, 23));
    }

    #[test]
    fn loads_fall_on_the_readers_days() {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let first = date(2026, 11, 23);
        // 20:00 UTC on the 23rd is the 24th in Tokyo.
        let at = start_of(date(2026, 11, 23), &TimeZone::UTC) + 20 * 3_600_000_000;
        let load = [HourLoad { hour: at, confirmed: 5, tentative: 2 }];
        assert_eq!(daily(&load, first, 7, &zone)[1], (5, 2));
        let bars = hourly(&load, start_of(first, &zone), 7);
        assert_eq!(bars[29], (5, 2), "5 o'clock in the morning of the second day");
        assert!(daily(&load, date(2026, 12, 1), 7, &zone).iter().all(|sum| *sum == (0, 0)));
    }

    #[test]
    fn every_month_and_weekday_has_its_name() {
        for month in 1..=12 {
            assert!(texts::exists(&format!("month-{month}")));
        }
        for day in 23..30 {
            let name = date(2026, 11, day).strftime("%a").to_string().to_lowercase();
            assert!(texts::exists(&format!("weekday-{name}")));
        }
    }
}
