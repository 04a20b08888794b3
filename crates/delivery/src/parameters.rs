//! Sending parameters as numbers: durations, priority, retries, validity.

use jiff::tz::TimeZone;
use queue::{Priority, RetryPlan};

use crate::definition::Parameters;
use crate::folder::Refusal;

/// One second in µs.
pub const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

/// Longest validity: a month. Mail that is older is no longer wanted, and queues would never empty.
pub const VALIDITY_DAYS_MAX: i64 = 31;
/// Longest time that one message's personalisation may be given: 2 minutes, after which nobody looks any more.
pub const PERSONALISATION_S_MAX: i64 = 120;
/// Longest life of mirror pages and images: five years, as long as any law asks for.
pub const RESOURCE_DAYS_MAX: i64 = 5 * 365;
/// Most retries in the first day: one each quarter of an hour.
pub const RETRIES_MAX: u32 = 96;
/// Shortest wait between tries, in seconds; receivers that greylist name up to 5 minutes.
pub const RETRY_PERIOD_S_MIN: i64 = 60;
/// Largest part; a part is claimed at once and held in memory.
pub const PART_SIZE_MAX: u64 = 4_096;

/// Reads a name of `parameters.priority`.
pub fn priority(name: &str) -> Option<Priority> {
    Some(match name {
        "very_low" => Priority::VeryLow,
        "low" => Priority::Low,
        "normal" => Priority::Normal,
        "high" => Priority::High,
        "very_high" => Priority::VeryHigh,
        _ => return None,
    })
}

/// Reads a duration: a number and `s`, `m`, `h`, `d` (the default) or `y`. In µs.
pub fn duration_us(text: &str) -> Option<i64> {
    text.parse::<store::Span>().ok().map(store::Span::us)
}

/// What a run needs of the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// Rank among deliveries.
    pub priority: Priority,
    /// When tries follow each other.
    pub retry: RetryPlan,
    /// Messages expire then (µs), when sending starts at the time given.
    pub valid_until_us: i64,
}

impl Sending {
    /// Reads the parameters for a start at `start_us`; a date is one of UTC.
    pub fn of(parameters: &Parameters, start_us: i64) -> Result<Sending, Refusal> {
        Sending::in_zone(parameters, start_us, &TimeZone::UTC)
    }

    /// The same with dates by the clocks of `zone`.
    pub fn in_zone(parameters: &Parameters, start_us: i64, zone: &TimeZone) -> Result<Sending, Refusal> {
        let priority = priority(&parameters.priority).ok_or_else(|| {
            Refusal::new("parameters.priority", "is none of very_low, low, normal, high, very_high")
        })?;
        Ok(Sending {
            priority,
            retry: retry(parameters)?,
            valid_until_us: valid_until(parameters, start_us, zone)?,
        })
    }
}

/// Times that bound personalisation and what lives after the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest evaluation of one recipient, and of a preview (µs).
    pub personalisation_us: i64,
    /// How long mirror pages, images and redirects live after Confirm (µs).
    pub resources_us: i64,
}

impl Limits {
    /// Reads the parameters.
    pub fn of(parameters: &Parameters) -> Result<Limits, Refusal> {
        let personalisation_us =
            needed_duration("parameters.personalization_time", &parameters.personalization_time)?;
        if personalisation_us <= 0 || personalisation_us > PERSONALISATION_S_MAX * SECOND_US {
            return Err(Refusal::new(
                "parameters.personalization_time",
                format!("is not between 1s and {PERSONALISATION_S_MAX}s"),
            ));
        }
        let resources_us = needed_duration("parameters.resource_validity", &parameters.resource_validity)?;
        if !(DAY_US..=RESOURCE_DAYS_MAX * DAY_US).contains(&resources_us) {
            return Err(Refusal::new(
                "parameters.resource_validity",
                format!("is not between 1d and {RESOURCE_DAYS_MAX}d"),
            ));
        }
        Ok(Limits { personalisation_us, resources_us })
    }
}

fn retry(parameters: &Parameters) -> Result<RetryPlan, Refusal> {
    if parameters.retries > RETRIES_MAX {
        return Err(Refusal::new("parameters.retries", format!("is more than {RETRIES_MAX} in a day")));
    }
    let period_us = needed_duration("parameters.retry_period", &parameters.retry_period)?;
    if period_us < RETRY_PERIOD_S_MIN * SECOND_US {
        return Err(Refusal::new(
            "parameters.retry_period",
            format!("is shorter than {RETRY_PERIOD_S_MIN}s"),
        ));
    }
    Ok(RetryPlan { first_day: i64::from(parameters.retries), period_us, ..RetryPlan::default() })
}

fn valid_until(parameters: &Parameters, start_us: i64, zone: &TimeZone) -> Result<i64, Refusal> {
    if !parameters.valid_until.trim().is_empty() {
        return instant_in(&parameters.valid_until, zone).ok_or_else(|| {
            Refusal::new(
                "parameters.valid_until",
                "is no date and time like 2026-12-06T08:00 (by the clocks of schedule.time_zone)",
            )
        });
    }
    let validity = needed_duration("parameters.validity", &parameters.validity)?;
    if validity <= 0 || validity > VALIDITY_DAYS_MAX * DAY_US {
        return Err(Refusal::new(
            "parameters.validity",
            format!("is not between 1s and {VALIDITY_DAYS_MAX}d"),
        ));
    }
    Ok(start_us.saturating_add(validity))
}

fn needed_duration(field: &str, text: &str) -> Result<i64, Refusal> {
    duration_us(text)
        .ok_or_else(|| Refusal::new(field, "is no duration: write a number and s, m, h or d, like 5d"))
}

/// Reads `YYYY-MM-DDTHH:MM[:SS]`, with or without an offset; without one it is UTC. In µs.
pub fn instant_us(text: &str) -> Option<i64> {
    instant_in(text, &TimeZone::UTC)
}

/// The same, where a time without an offset is one of `zone`.
pub fn instant_in(text: &str, zone: &TimeZone) -> Option<i64> {
    let text = text.trim();
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(instant.as_microsecond());
    }
    crate::schedule::moment(text.parse().ok()?, zone)
}

/// Messages per part: as given, or clamp(messages / 1024, 8, 256).
pub fn part_size(given: u64, messages: i64) -> i64 {
    match given {
        0 => (messages / 1_024).clamp(8, 256),
        n => n.min(PART_SIZE_MAX) as i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration_us("90s"), Some(90 * SECOND_US));
        assert_eq!(duration_us("5"), Some(5 * DAY_US));
        assert_eq!(duration_us("1h"), Some(3_600 * SECOND_US));
        assert_eq!(duration_us("1y"), Some(365 * DAY_US));
        for wrong in ["", "h", "5 weeks", "-1d", "99999999999999999999s"] {
            assert_eq!(duration_us(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn defaults() {
        let sending = Sending::of(&Parameters::default(), 0).unwrap();
        assert_eq!(sending.retry, RetryPlan::default());
        assert_eq!(sending.valid_until_us, 5 * DAY_US);
        assert_eq!(sending.priority, Priority::Normal);
    }

    #[test]
    fn a_date_in_utc_or_with_an_offset() {
        assert_eq!(instant_us("1970-01-02T00:00"), Some(DAY_US));
        assert_eq!(instant_us("1970-01-02T09:00:00+09:00"), Some(DAY_US));
        assert_eq!(instant_us("tomorrow"), None);
    }

    #[test]
    fn refusals_name_the_field() {
        let wrong = |change: fn(&mut Parameters)| {
            let mut parameters = Parameters::default();
            change(&mut parameters);
            Sending::of(&parameters, 0).unwrap_err().field
        };
        assert_eq!(wrong(|p| p.retry_period = "1s".into()), "parameters.retry_period");
        assert_eq!(wrong(|p| p.validity = "90d".into()), "parameters.validity");
        assert_eq!(wrong(|p| p.valid_until = "soon".into()), "parameters.valid_until");
        assert_eq!(wrong(|p| p.retries = 1_000), "parameters.retries");
    }

    #[test]
    fn limits_are_durations_in_their_range() {
        let day = Limits { personalisation_us: 5 * SECOND_US, resources_us: 60 * DAY_US };
        assert_eq!(Limits::of(&Parameters::default()), Ok(day));
        let wrong = |change: fn(&mut Parameters)| {
            let mut parameters = Parameters::default();
            change(&mut parameters);
            Limits::of(&parameters).unwrap_err().field
        };
        assert_eq!(wrong(|p| p.personalization_time = "0s".into()), "parameters.personalization_time");
        assert_eq!(wrong(|p| p.personalization_time = "5".into()), "parameters.personalization_time");
        assert_eq!(wrong(|p| p.resource_validity = "1h".into()), "parameters.resource_validity");
        assert_eq!(wrong(|p| p.resource_validity = "9y".into()), "parameters.resource_validity");
    }

    #[test]
    fn parts() {
        assert_eq!(part_size(0, 100), 8);
        assert_eq!(part_size(0, 100_000), 97);
        assert_eq!(part_size(0, 10_000_000), 256);
        assert_eq!(part_size(50, 10), 50);
    }
}
