//! A limit over time, written `100/min`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The stretch that a [`Rate`] counts over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Per {
    /// `s`
    Second,
    /// `min`
    Minute,
    /// `h`
    Hour,
    /// `d`
    Day,
}

/// So many in such a stretch. Spread evenly: 5,000 an hour is one each 720 ms, never a burst in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many; at least 1.
    pub count: u32,
    /// In which stretch.
    pub per: Per,
}

impl Per {
    /// Length of the stretch.
    #[must_use]
    pub fn seconds(self) -> u32 {
        match self {
            Per::Second => 1,
            Per::Minute => 60,
            Per::Hour => 3_600,
            Per::Day => 86_400,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Per::Second => "s",
            Per::Minute => "min",
            Per::Hour => "h",
            Per::Day => "d",
        }
    }
}

impl Rate {
    /// As a number a second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        f64::from(self.count) / f64::from(self.per.seconds())
    }

    /// The rate times `factor`, at least 1.
    #[must_use]
    pub(crate) fn scaled(self, factor: f64) -> Rate {
        // Saturates, and a NaN cannot come of the named factors.
        let count = (f64::from(self.count) * factor).round().max(1.0) as u32;
        Rate { count, per: self.per }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per.word())
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let refused = || format!("`{text}` is no rate: write a number and s, min, h or d, as in 100/min");
        let (count, per) = text.split_once('/').ok_or_else(refused)?;
        let count = count.trim().replace(['_', ','], "").parse().map_err(|_| refused())?;
        let per = match per.trim() {
            "s" | "second" => Per::Second,
            "m" | "min" | "minute" => Per::Minute,
            "h" | "hour" => Per::Hour,
            "d" | "day" => Per::Day,
            _ => return Err(refused()),
        };
        if count == 0 {
            return Err(format!("`{text}` would never let anything through"));
        }
        Ok(Rate { count, per })
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_they_are_written() {
        for (text, shown, per_second) in [
            ("10/s", "10/s", 10.0),
            ("100/min", "100/min", 100.0 / 60.0),
            ("3,600/h", "3600/h", 1.0),
            ("86_400 / day", "86400/d", 1.0),
        ] {
            let rate: Rate = text.parse().expect("reads");
            assert_eq!((rate.to_string().as_str(), rate.per_second()), (shown, per_second));
        }
        for bad in ["", "10", "/s", "0/s", "-1/s", "1.5/s", "10/week", "5000000000/d"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn scaling_keeps_at_least_one() {
        let rate: Rate = "1/min".parse().expect("reads");
        assert_eq!(rate.scaled(0.25).to_string(), "1/min");
        assert_eq!(rate.scaled(8.0).to_string(), "8/min");
    }
}
