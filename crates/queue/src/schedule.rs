//! When the next try is due.
//!
//! Tries by default at 0, 1, 2, 3, 4, 5, 29, 53, 77 and 101 hours: `first_day` retries each `period`, then one each
//! `later`, all strictly before the end of validity. A delay that the receiver names takes the place of the next wait
//! and is not counted.

use crate::limits::{NAMED_DELAY_MAX_US, NAMED_DELAY_MIN_US};

/// One hour in microseconds.
pub const HOUR_US: i64 = 3_600 * 1_000_000;

/// The retry parameters of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPlan {
    /// Retries that follow each [`RetryPlan::period_us`].
    pub first_day: i64,
    /// The wait between those.
    pub period_us: i64,
    /// The wait between later ones.
    pub later_us: i64,
}

impl Default for RetryPlan {
    fn default() -> Self {
        Self { first_day: 5, period_us: HOUR_US, later_us: 24 * HOUR_US }
    }
}

impl RetryPlan {
    /// When the next try follows one that ended at `now`, the try being number `attempts` (1 = first).
    /// `None`: not before the end of validity, so the message waits for it and is cancelled then.
    #[must_use]
    pub fn next(&self, attempts: i64, now: i64, valid_until: i64) -> Option<i64> {
        let wait = if attempts <= self.first_day { self.period_us } else { self.later_us };
        let due = now.saturating_add(wait.max(1));
        (due < valid_until).then_some(due)
    }

    /// The next try after a reply that names a delay of `seconds`. `None` as for [`RetryPlan::next`].
    #[must_use]
    pub fn named(seconds: u32, now: i64, valid_until: i64) -> Option<i64> {
        let wait = (i64::from(seconds) * 1_000_000).clamp(NAMED_DELAY_MIN_US, NAMED_DELAY_MAX_US);
        let due = now.saturating_add(wait);
        (due < valid_until).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours_of(plan: RetryPlan, validity_h: i64) -> Vec<i64> {
        let mut now = 0;
        let mut tries = vec![0];
        while let Some(due) = plan.next(i64::try_from(tries.len()).unwrap(), now, validity_h * HOUR_US) {
            tries.push(due / HOUR_US);
            now = due;
        }
        tries
    }

    #[test]
    fn the_default_schedule_is_the_documented_one() {
        assert_eq!(hours_of(RetryPlan::default(), 120), [0, 1, 2, 3, 4, 5, 29, 53, 77, 101]);
    }

    #[test]
    fn every_number_can_be_set() {
        let plan = RetryPlan { first_day: 2, period_us: 2 * HOUR_US, later_us: 10 * HOUR_US };
        assert_eq!(hours_of(plan, 25), [0, 2, 4, 14, 24]);
        assert_eq!(hours_of(RetryPlan { first_day: 0, ..plan }, 25), [0, 10, 20]);
        assert_eq!(hours_of(plan, 1), [0]);
    }

    #[test]
    fn a_try_at_the_very_end_of_validity_is_not_made() {
        assert_eq!(RetryPlan::default().next(1, 0, HOUR_US), None);
        assert_eq!(RetryPlan::default().next(1, 0, HOUR_US + 1), Some(HOUR_US));
    }

    #[test]
    fn a_named_delay_is_at_least_a_minute_and_at_most_a_day() {
        let far = i64::MAX;
        assert_eq!(RetryPlan::named(5, 0, far), Some(60_000_000));
        assert_eq!(RetryPlan::named(300, 0, far), Some(300_000_000));
        assert_eq!(RetryPlan::named(u32::MAX, 0, far), Some(24 * HOUR_US));
        assert_eq!(RetryPlan::named(300, 0, 300_000_000), None);
    }
}
