//! Rests: a path, a site or a set of hosts that is not spoken to until a moment, with a reason. And the circuit breaker,
//! which finds from shares, not from single events, that a path does not work.

use std::time::Duration;

use serde::Serialize;

use super::SECOND_US;
use crate::config::{BREAKS_MAX, PATH_REST, PATH_REST_MAX, us};

/// A rest as people see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Suspension {
    /// It ends then (UTC microseconds); `None`: when somebody resumes.
    pub until_us: Option<i64>,
    /// Why: in the receiver's words where it said something.
    pub reason: String,
    /// Who: a person's name; empty: the engine.
    pub by: String,
}

/// A path that rests, and how its failures went on.
#[derive(Debug, Default, Clone)]
pub struct Rest {
    until_us: i64,
    step_us: i64,
    breaks: u32,
    reason: String,
    by: String,
}

impl Rest {
    /// The path failed as a whole. `named_s`: the receiver, or its rule, named the wait; else a minute, doubling to half
    /// an hour while nothing works in between. Answers whether this began a rest: connections opened before the failure
    /// report it one after another, and that is one failure.
    pub fn fail(&mut self, reason: &str, named_s: Option<u32>, now_us: i64) -> bool {
        self.breaks = 0;
        let named_us = named_s.map(|seconds| i64::from(seconds) * SECOND_US);
        if self.until_us > now_us {
            // A longer wait that is named later (one host says 421, the next one how long) is obeyed all the same.
            let later = named_us.map_or(0, |wait| now_us + wait);
            if later > self.until_us && self.by.is_empty() {
                (self.until_us, self.reason) = (later, reason.to_owned());
            }
            return false;
        }
        self.step_us = (self.step_us * 2).clamp(us(PATH_REST), us(PATH_REST_MAX));
        self.until_us = now_us + named_us.unwrap_or(self.step_us).max(us(PATH_REST));
        (self.reason, self.by) = (reason.to_owned(), String::new());
        true
    }

    /// Rests until then because somebody or something said so, unless it rests for longer anyway.
    pub fn put(&mut self, suspension: &Suspension) {
        let until = suspension.until_us.unwrap_or(i64::MAX);
        if until > self.until_us {
            self.until_us = until;
            (self.reason, self.by) = (suspension.reason.clone(), suspension.by.clone());
        }
        self.step_us = self.step_us.max(us(PATH_REST));
    }

    /// Ends the rest; the next failure begins with the shortest one.
    pub fn lift(&mut self) {
        *self = Self::default();
    }

    /// A connection broke under a message.
    pub fn broke(&mut self, reason: &str, now_us: i64) {
        self.breaks += 1;
        if self.breaks >= BREAKS_MAX {
            self.fail(reason, None, now_us);
        }
    }

    /// A receiver answered about a message: the path works. A rest that is under way goes on.
    pub fn worked(&mut self, now_us: i64) {
        if self.until_us <= now_us && (self.step_us != 0 || self.breaks != 0) {
            *self = Self::default();
        } else {
            self.breaks = 0;
        }
    }

    /// True after a failure until the next success: one connection tries.
    #[must_use]
    pub fn probing(&self) -> bool {
        self.step_us != 0
    }

    /// Until when (UTC microseconds; `i64::MAX`: until somebody resumes), while it rests.
    #[must_use]
    pub fn until(&self, now_us: i64) -> Option<i64> {
        (self.until_us > now_us).then_some(self.until_us)
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The rest as people see it.
    #[must_use]
    pub fn suspension(&self, now_us: i64) -> Option<Suspension> {
        self.until(now_us).map(|until| Suspension {
            until_us: (until != i64::MAX).then_some(until),
            reason: self.reason.clone(),
            by: self.by.clone(),
        })
    }
}

/// How long a wait is that a rule has for some words, where the receiver itself named none. The rule's time is the longest: the first
/// wait is short, and each that follows soon after the one before is three times as long, because a bad ten minutes and a bad
/// day begin with the same words.
#[derive(Debug, Default, Clone, Copy)]
pub struct Escalation {
    wait_s: u32,
    ended_us: i64,
}

/// The first wait.
pub const FIRST_WAIT_S: u32 = 600;
/// A wait is soon after another when it begins within so many times the length of that.
const SOON: i64 = 2;

impl Escalation {
    /// The wait that begins now, of at most `rule_s`.
    pub fn next(&mut self, rule_s: u32, now_us: i64) -> u32 {
        let memory = i64::from(self.wait_s.max(FIRST_WAIT_S)) * SOON * SECOND_US;
        let soon = self.wait_s > 0 && now_us < self.ended_us.saturating_add(memory);
        let wait = if soon { self.wait_s.saturating_mul(3) } else { FIRST_WAIT_S };
        self.wait_s = wait.min(rule_s).max(1);
        self.ended_us = now_us + i64::from(self.wait_s) * SECOND_US;
        self.wait_s
    }
}

/// When a path's failures are so large a share that trying on makes it worse.
#[derive(Debug, Clone, Copy)]
pub struct Breaker {
    /// It looks after so many answers.
    pub answers: u64,
    /// It opens when so many per cent of them were failures of the path; above 100: never.
    pub percent: u64,
    /// It stays open so long.
    pub open: Duration,
    seen: u64,
    failed: u64,
}

impl Breaker {
    /// A breaker with these bounds.
    #[must_use]
    pub fn new(answers: u32, percent: u32, open_s: u32) -> Self {
        Self {
            answers: u64::from(answers.max(1)),
            percent: u64::from(percent.max(1)),
            open: Duration::from_secs(u64::from(open_s)),
            seen: 0,
            failed: 0,
        }
    }

    /// Other bounds; what was counted stays.
    pub fn adjust(&mut self, other: &Self) {
        (self.answers, self.percent, self.open) = (other.answers, other.percent, other.open);
    }

    /// Counts answers, `failed` of them failures of the path. `Some(per cent)`: it opens, and counts anew.
    pub fn count(&mut self, seen: u64, failed: u64) -> Option<u64> {
        self.seen += seen;
        self.failed += failed;
        if self.seen < self.answers {
            return None;
        }
        let percent = self.failed * 100 / self.seen.max(1);
        (self.seen, self.failed) = (0, 0);
        (percent >= self.percent).then_some(percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60 * SECOND_US;

    #[test]
    fn rests_double_to_half_an_hour_and_a_success_forgets_them() {
        let mut rest = Rest::default();
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..7 {
            assert!(rest.fail("refused", None, now));
            waits.push((rest.until_us - now) / MINUTE);
            now = rest.until_us;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        rest.worked(now);
        rest.fail("refused", None, now);
        assert_eq!(rest.until(now), Some(now + MINUTE));
    }

    #[test]
    fn one_failure_reported_by_five_connections_is_one_failure() {
        let mut rest = Rest::default();
        let begun = (0..5).filter(|_| rest.fail("refused", None, 7)).count();
        assert_eq!((begun, rest.until(7)), (1, Some(7 + MINUTE)));
    }

    #[test]
    fn a_named_wait_replaces_the_step_and_a_longer_one_prolongs() {
        let mut rest = Rest::default();
        rest.fail("421 come back in 10 minutes", Some(600), 0);
        assert_eq!(rest.until(0), Some(10 * MINUTE));
        rest.fail("421 and now in an hour", Some(3_600), MINUTE);
        assert_eq!((rest.until(0), rest.reason()), (Some(61 * MINUTE), "421 and now in an hour"));
        rest.fail("421 soon", Some(60), 2 * MINUTE);
        assert_eq!(rest.until(0), Some(61 * MINUTE));
    }

    #[test]
    fn single_breaks_do_not_rest_a_path() {
        let mut rest = Rest::default();
        rest.broke("eof", 0);
        rest.broke("eof", 0);
        rest.worked(0);
        rest.broke("eof", 0);
        rest.broke("eof", 0);
        assert_eq!(rest.until(0), None);
        rest.broke("eof", 0);
        assert_eq!(rest.until(0), Some(MINUTE));
    }

    #[test]
    fn an_operators_rest_outlasts_answers_until_it_is_lifted() {
        let mut rest = Rest::default();
        let asked = Suspension { until_us: None, reason: "maintenance".into(), by: "ann".into() };
        rest.put(&asked);
        rest.worked(5);
        rest.fail("421 no", Some(10), 6);
        assert_eq!(rest.suspension(7), Some(asked));
        rest.lift();
        assert_eq!((rest.until(7), rest.probing()), (None, false));
    }

    #[test]
    fn waits_escalate_to_the_rules_and_a_quiet_time_forgets_them() {
        let mut escalation = Escalation::default();
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..5 {
            waits.push(escalation.next(7_200, now));
            now = escalation.ended_us + MINUTE;
        }
        assert_eq!(waits, [600, 1_800, 5_400, 7_200, 7_200]);
        assert_eq!(escalation.next(7_200, now + 5 * 3_600 * SECOND_US), 600);
        assert_eq!(Escalation::default().next(60, 0), 60);
    }

    #[test]
    fn the_breaker_looks_at_shares() {
        let mut breaker = Breaker::new(300, 90, 10_800);
        assert_eq!(breaker.count(299, 299), None, "too few to tell");
        assert_eq!(breaker.count(1, 0), Some(99));
        for _ in 0..100 {
            assert_eq!(breaker.count(300, 200), None, "two thirds are not nine tenths");
        }
        let mut never = Breaker::new(10, 101, 60);
        assert_eq!(never.count(1_000, 1_000), None);
    }
}
