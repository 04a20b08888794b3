//! Hours of the day as people write them in settings and in `delivery.toml`. It stands here for the same reason as
//! [`crate::Span`]: two rooms read them that may not import each other.

use std::str::FromStr;

/// Minutes of a day.
const DAY_MINUTES: u16 = 24 * 60;

/// Hours of the day, such as `21:00-08:00`; they may pass midnight. The first minute belongs to them, the last does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayHours {
    from: u16,
    to: u16,
}

/// Why a text is no hours of the day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("hours of the day are two different times, such as 21:00-08:00")]
pub struct DayHoursError;

impl DayHours {
    /// When they begin, in minutes after midnight.
    pub const fn from_minute(self) -> u16 {
        self.from
    }

    /// When they end, in minutes after midnight.
    pub const fn to_minute(self) -> u16 {
        self.to
    }

    /// Does this minute of the day belong to them?
    pub const fn holds(self, minute: u16) -> bool {
        if self.from < self.to {
            self.from <= minute && minute < self.to
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

impl FromStr for DayHours {
    type Err = DayHoursError;

    fn from_str(text: &str) -> Result<DayHours, DayHoursError> {
        let (from, to) = text.split_once('-').ok_or(DayHoursError)?;
        let hours = DayHours { from: minute_of_day(from)?, to: minute_of_day(to)? };
        if hours.from == hours.to { Err(DayHoursError) } else { Ok(hours) }
    }
}

fn minute_of_day(text: &str) -> Result<u16, DayHoursError> {
    let (hour, minute) = text.trim().split_once(':').ok_or(DayHoursError)?;
    let digits = |text: &str, len: std::ops::RangeInclusive<usize>| {
        len.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    if !digits(hour, 1..=2) || !digits(minute, 2..=2) {
        return Err(DayHoursError);
    }
    let (hour, minute): (u16, u16) =
        (hour.parse().map_err(|_| DayHoursError)?, minute.parse().map_err(|_| DayHoursError)?);
    if minute >= 60 || hour * 60 + minute >= DAY_MINUTES {
        Err(DayHoursError)
    } else {
        Ok(hour * 60 + minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_people_write_them() {
        let night: DayHours = "21:00-8:00".parse().unwrap();
        assert_eq!((night.from_minute(), night.to_minute()), (21 * 60, 8 * 60));
        assert!(night.holds(21 * 60) && night.holds(0) && night.holds(8 * 60 - 1));
        assert!(!night.holds(8 * 60) && !night.holds(12 * 60));
        let noon: DayHours = " 12:00 - 13:30 ".parse().unwrap();
        assert!(noon.holds(12 * 60) && !noon.holds(13 * 60 + 30) && !noon.holds(0));
        for text in
            ["", "21:00", "1-5", "24:00-01:00", "12:60-13:00", "08:00-08:00", "+8:00-09:00", "8:0-9:00"]
        {
            assert!(text.parse::<DayHours>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,16}") {
            let _ = text.parse::<DayHours>();
        }
    }
}
