//! Rule `validity_period`: messages stay valid long enough to send them all.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::EndOfAnalysis,
    order: 20,
    level: Level::Error,
    summary: "messages stay valid long enough to send them all.",
    why: "What is still waiting when the validity period ends is cancelled. The prediction counts the connections and the speed that each provider allows.",
    hint: "Lengthen the validity period, or send to fewer people at a time.",
    check,
    breaks: |facts| {
        if let Some(prediction) = &mut facts.prediction {
            prediction.valid_until_us = prediction.start_us
        }
    },
};

const NAME: &str = "validity_period";

fn check(facts: &Facts) -> Vec<Finding> {
    let Some(prediction) = &facts.prediction else { return Vec::new() };
    let finding = |text: String, level| vec![Finding::new(NAME, level, text).in_part("validity")];
    if prediction.valid_until_us <= prediction.start_us {
        return finding("the validity period is over before sending begins".into(), Level::Error);
    }
    if prediction.end_us <= prediction.valid_until_us {
        return Vec::new();
    }
    let slowest = prediction.slowest.as_ref().map(|name| format!(" (slowest: {name})")).unwrap_or_default();
    let needed = hours(prediction.end_us - prediction.start_us);
    let valid = hours(prediction.valid_until_us - prediction.start_us);
    let text = format!(
        "sending needs about {needed} h, the validity period is {valid} h: the rest is cancelled{slowest}"
    );
    finding(text, Level::Warning)
}

fn hours(us: i64) -> i64 {
    const HOUR_US: i64 = 3_600_000_000;
    us.div_euclid(HOUR_US) + i64::from(us.rem_euclid(HOUR_US) > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PredictionFact;

    fn with(valid_until_us: i64, end_us: i64) -> Vec<Finding> {
        let prediction = PredictionFact { start_us: 0, valid_until_us, end_us, slowest: None };
        check(&Facts { prediction: Some(prediction), ..Facts::default() })
    }

    #[test]
    fn passes() {
        assert_eq!(with(10, 5), []);
        assert_eq!(check(&Facts::default()), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with(0, 5)[0].level, Level::Error);
        assert_eq!(with(3_600_000_000, 7_200_000_000)[0].level, Level::Warning);
    }
}
