//! Rule `contact_date`: the contact date lies ahead, and is an hour that its time zone has once.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfTargeting,
    order: 40,
    level: Level::Error,
    summary: "the contact date lies ahead, and is an hour that its time zone has exactly once.",
    why: "A date in the past would send at once, which nobody meant. When clocks change, one hour is skipped and \
          another comes twice; the journal says which moment was chosen.",
    hint: "Choose another contact date, or leave it empty to send as soon as possible.",
    check,
    breaks: |facts| {
        if let Some(schedule) = &mut facts.schedule {
            schedule.past = true;
        }
    },
};

const NAME: &str = "contact_date";

fn check(facts: &Facts) -> Vec<Finding> {
    let Some(schedule) = &facts.schedule else { return Vec::new() };
    let finding = |level, text: &str| Finding::new(NAME, level, text).in_part("schedule");
    let past = schedule.past.then(|| finding(Level::Error, "the contact date is in the past"));
    let notes = schedule.notes.iter().map(|note| finding(Level::Warning, note));
    past.into_iter().chain(notes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScheduleFact;

    fn with(past: bool, notes: &[&str]) -> Vec<Level> {
        let notes = notes.iter().map(|note| (*note).to_owned()).collect();
        let schedule = ScheduleFact { past, notes, ..ScheduleFact::default() };
        let found = check(&Facts { schedule: Some(schedule), ..Facts::default() });
        found.iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn passes() {
        assert_eq!(with(false, &[]), []);
        assert_eq!(check(&Facts::default()), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with(true, &[]), [Level::Error]);
        assert_eq!(with(false, &["02:30 does not exist on 28 March; 03:00 is used"]), [Level::Warning]);
    }
}
