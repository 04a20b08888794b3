//! The time in which messages count.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use crate::folder::Refusal;
use crate::parameters::{SECOND_US, duration_us};
use crate::typologies::PressureRule;

const DAY_US: i64 = 86_400 * SECOND_US;
/// Longest period: two years. What was sent before that is purged anywhere.
pub(crate) const PERIOD_DAYS_MAX: i64 = 731;

/// From a moment to before a moment (µs).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub from_us: i64,
    pub until_us: i64,
}

/// A unit that the window is widened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    None,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Unit {
    fn parse(name: &str) -> Option<Unit> {
        Some(match name {
            "" => Unit::None,
            "day" => Unit::Day,
            "week" => Unit::Week,
            "month" => Unit::Month,
            "quarter" => Unit::Quarter,
            "year" => Unit::Year,
            _ => return None,
        })
    }

    /// First day of the unit that holds `day`.
    fn first(self, day: Date) -> Date {
        match self {
            Unit::None | Unit::Day => day,
            Unit::Week => day.saturating_sub(i64::from(day.weekday().to_monday_zero_offset()).days()),
            Unit::Month => day.first_of_month(),
            Unit::Quarter => {
                let month = day.first_of_month();
                month.saturating_sub(i64::from((month.month() - 1) % 3).months())
            }
            Unit::Year => day.first_of_year(),
        }
    }

    /// First day after the unit that holds `day`.
    fn after(self, day: Date) -> Date {
        let first = self.first(day);
        match self {
            Unit::None | Unit::Day => first.saturating_add(1.days()),
            Unit::Week => first.saturating_add(7.days()),
            Unit::Month => first.saturating_add(1.months()),
            Unit::Quarter => first.saturating_add(3.months()),
            Unit::Year => first.saturating_add(1.years()),
        }
    }
}

impl Window {
    /// Refuses a period, grouping or zone that is none.
    pub fn check(rule: &PressureRule) -> Result<(), Refusal> {
        Window::of(rule, 0).map(drop)
    }

    /// The window of a rule for a contact date.
    pub fn of(rule: &PressureRule, contact_us: i64) -> Result<Window, Refusal> {
        let period =
            duration_us(&rule.period).filter(|us| *us <= PERIOD_DAYS_MAX * DAY_US).ok_or_else(|| {
                let text = format!(
                    "is no duration up to {PERIOD_DAYS_MAX}d: write a number and s, m, h or d, like 15d"
                );
                Refusal::new("definition.period", text)
            })?;
        let unit = Unit::parse(&rule.grouping).ok_or_else(|| {
            Refusal::new("definition.grouping", "is none of day, week, month, quarter, year, or empty")
        })?;
        if period == 0 && unit == Unit::None {
            return Err(Refusal::new(
                "definition.period",
                "is 0 without a grouping, so that nothing would count",
            ));
        }
        let zone = TimeZone::get(&rule.time_zone).map_err(|_| {
            let text = format!("{:?} is no time zone; write one like Europe/Berlin", rule.time_zone);
            Refusal::new("definition.time_zone", text)
        })?;
        let out_of_time = |_| Refusal::new("definition.period", "reaches beyond the calendar");
        let contact = Timestamp::from_microsecond(contact_us).map_err(out_of_time)?.to_zoned(zone.clone());
        let end = contact.date().saturating_add(1.days()).to_zoned(zone.clone()).map_err(out_of_time)?;
        let back =
            if period == 0 { contact.start_of_day().map_err(out_of_time)? } else { moved(&end, -period) };
        let forward = if rule.planned { moved(&end, period) } else { end };
        let from = unit_bound(&back, unit, Unit::first, &zone).map_err(out_of_time)?;
        let last =
            Timestamp::from_microsecond(forward.timestamp().as_microsecond() - 1).map_err(out_of_time)?;
        let until = match unit {
            Unit::None => forward,
            unit => {
                unit_bound(&last.to_zoned(zone.clone()), unit, Unit::after, &zone).map_err(out_of_time)?
            }
        };
        Ok(Window {
            from_us: from.timestamp().as_microsecond(),
            until_us: until.timestamp().as_microsecond(),
        })
    }
}

fn unit_bound(
    at: &Zoned,
    unit: Unit,
    bound: fn(Unit, Date) -> Date,
    zone: &TimeZone,
) -> Result<Zoned, jiff::Error> {
    match unit {
        Unit::None => Ok(at.clone()),
        unit => bound(unit, at.date()).to_zoned(zone.clone()),
    }
}

/// Whole days are days of the calendar, also where one has 23 hours.
fn moved(at: &Zoned, by_us: i64) -> Zoned {
    match by_us % DAY_US {
        0 => at.saturating_add((by_us / DAY_US).days()),
        _ => at.saturating_add(by_us.microseconds()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(period: &str, grouping: &str, planned: bool, zone: &str, contact: &str) -> (String, String) {
        let rule = PressureRule {
            period: period.into(),
            grouping: grouping.into(),
            planned,
            time_zone: zone.into(),
            ..PressureRule::default()
        };
        let contact: Timestamp = contact.parse().unwrap();
        let window = Window::of(&rule, contact.as_microsecond()).unwrap();
        let shown = |us: i64| {
            Timestamp::from_microsecond(us)
                .unwrap()
                .to_zoned(TimeZone::get(zone).unwrap())
                .datetime()
                .to_string()
        };
        (shown(window.from_us), shown(window.until_us))
    }

    /// The example of SPEC 6.6: 15 days, contact date 11 December.
    #[test]
    fn the_window_ends_with_the_day_of_the_contact_date() {
        let of = |grouping, planned| window("15d", grouping, planned, "UTC", "2026-12-11T10:30:00Z");
        assert_eq!(of("", false), ("2026-11-27T00:00:00".into(), "2026-12-12T00:00:00".into()));
        assert_eq!(of("", true), ("2026-11-27T00:00:00".into(), "2026-12-27T00:00:00".into()));
        assert_eq!(of("month", true), ("2026-11-01T00:00:00".into(), "2027-01-01T00:00:00".into()));
        assert_eq!(of("quarter", false), ("2026-10-01T00:00:00".into(), "2027-01-01T00:00:00".into()));
        assert_eq!(of("year", false), ("2026-01-01T00:00:00".into(), "2027-01-01T00:00:00".into()));
        assert_eq!(of("week", false), ("2026-11-23T00:00:00".into(), "2026-12-14T00:00:00".into()));
    }

    #[test]
    fn no_period_with_a_grouping_is_the_current_unit() {
        let of = |grouping| window("0d", grouping, false, "UTC", "2026-12-11T10:30:00Z");
        assert_eq!(of("week"), ("2026-12-07T00:00:00".into(), "2026-12-14T00:00:00".into()));
        assert_eq!(of("day"), ("2026-12-11T00:00:00".into(), "2026-12-12T00:00:00".into()));
    }

    #[test]
    fn days_are_days_of_the_zone_also_across_a_change_of_the_clocks() {
        let of = |contact| window("2d", "", false, "Europe/Berlin", contact);
        // 23:30 UTC is the next day in Berlin; on 29 March 2026 the clocks go forward.
        assert_eq!(of("2026-03-28T23:30:00Z"), ("2026-03-28T00:00:00".into(), "2026-03-30T00:00:00".into()));
        assert_eq!(of("2026-03-28T21:30:00Z"), ("2026-03-27T00:00:00".into(), "2026-03-29T00:00:00".into()));
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_key() {
        let refused = |change: fn(&mut PressureRule)| {
            let mut rule = PressureRule::default();
            change(&mut rule);
            Window::check(&rule).unwrap_err().field
        };
        assert_eq!(refused(|rule| rule.period = "soon".into()), "definition.period");
        assert_eq!(refused(|rule| rule.period = "0d".into()), "definition.period");
        assert_eq!(refused(|rule| rule.period = "9y".into()), "definition.period");
        assert_eq!(refused(|rule| rule.grouping = "decade".into()), "definition.grouping");
        assert_eq!(refused(|rule| rule.time_zone = "Mars/Olympus".into()), "definition.time_zone");
    }
}
