//! Rule `wave_schedule`: the last wave, and the last recipient's hour, come before the validity period ends.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::EndOfAnalysis,
    order: 21,
    level: Level::Error,
    summary: "the last wave starts, and every message is due, before the validity period ends.",
    why: "What is not due before the end of the validity period would be cancelled without one try. Recipients' own \
          time zones and quiet hours move a message to a later hour than the contact date.",
    hint: "Lengthen the validity period, or bring the waves closer together.",
    check,
    breaks: |facts| {
        if let (Some(schedule), Some(prediction)) = (&mut facts.schedule, &facts.prediction) {
            schedule.last_wave_us = Some(prediction.valid_until_us);
        }
    },
};

const NAME: &str = "wave_schedule";

fn check(facts: &Facts) -> Vec<Finding> {
    let (Some(schedule), Some(prediction)) = (&facts.schedule, &facts.prediction) else { return Vec::new() };
    let end_us = prediction.valid_until_us;
    let is_late = |at: Option<i64>| at.is_some_and(|at| at >= end_us);
    let finding = |level, text: &str| vec![Finding::new(NAME, level, text).in_part("schedule")];
    if is_late(schedule.last_wave_us) {
        return finding(Level::Error, "the last wave starts when the validity period is over");
    }
    if is_late(Some(schedule.last_due_us)) {
        let text = "some messages are due when the validity period is over: in their recipients' time zones, or after \
                    their quiet hours";
        return finding(Level::Error, text);
    }
    if schedule.last_wave_end_us.is_some_and(|at| at > end_us) {
        let text =
            "the last wave will probably not be out when the validity period ends: the rest is cancelled";
        return finding(Level::Warning, text);
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PredictionFact, ScheduleFact};

    fn with(last_due_us: i64, wave: Option<i64>, end: Option<i64>) -> Vec<Finding> {
        let schedule = ScheduleFact {
            last_due_us,
            waves: 3,
            last_wave_us: wave,
            last_wave_end_us: end,
            ..ScheduleFact::default()
        };
        let prediction = PredictionFact { valid_until_us: 100, ..PredictionFact::default() };
        check(&Facts { schedule: Some(schedule), prediction: Some(prediction), ..Facts::default() })
    }

    #[test]
    fn passes() {
        assert_eq!(with(99, Some(99), Some(100)), []);
        assert_eq!(check(&Facts::default()), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with(0, Some(100), None)[0].level, Level::Error);
        assert_eq!(with(100, None, None)[0].level, Level::Error);
        assert_eq!(with(0, Some(50), Some(101))[0].level, Level::Warning);
    }
}
