//! Receivers that remember how they were treated: what an address may send grows when it behaves, shrinks when it does
//! not listen, and ends in a block. No clock and no socket: the same memory is asked by receivers and by simulations.
//!
//! The shape of it (a bucket of messages, refusals that are forgiven slowly, a standing that falls in steps and rises
//! by the hour, a block at the bottom) is what large providers describe in words; the numbers of [`crate::Behaviour`]'s
//! personalities are ours. Nobody publishes theirs.

use std::time::Duration;

/// What a provider tolerates from one address, and how it takes being ignored.
#[derive(Debug, Clone, PartialEq)]
pub struct Habits {
    /// Messages a second that are welcome with a standing of 1, in quiet hours.
    pub per_second: f64,
    /// So many more may come at once.
    pub burst: f64,
    /// Times in which less is welcome; where several fall together their shares multiply.
    pub busy: Vec<Busy>,
    /// The standing of an address that is seen for the first time.
    pub first: f64,
    /// Refused tries that are borne. One more, and the standing falls.
    pub patience: u32,
    /// Half of the refused tries are forgotten after this time.
    pub forgives: Duration,
    /// What is left of the standing when it falls, 0 to 1.
    pub keeps: f64,
    /// What the standing gains in an hour without a refused try.
    pub regains_per_hour: f64,
    /// The highest standing.
    pub best: f64,
    /// A standing that falls below this is a block.
    pub blocks_below: f64,
    /// How long a block lasts.
    pub blocks_for: Duration,
}

/// Times in which a provider has enough to do: the evening of a whole country, a host that is down for minutes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Busy {
    /// They come back after this time.
    pub every: Duration,
    /// They last so long, at the end of each period.
    pub lasts: Duration,
    /// What is welcome then, as a share of the usual.
    pub share: f64,
}

/// How a message is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Taken.
    Welcome,
    /// Too much: come back later.
    Later,
    /// This address is blocked.
    Blocked,
}

/// What a provider thinks of one address.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    standing: f64,
    /// Messages that may still come now.
    room: f64,
    /// Refused tries that are not forgotten.
    ignored: f64,
    seen_us: i64,
    refused_us: Option<i64>,
    blocked_until_us: i64,
}

fn seconds(us: i64) -> f64 {
    us as f64 / 1_000_000.0
}

fn us(duration: Duration) -> i64 {
    duration.as_micros() as i64
}

impl Busy {
    fn share_at(&self, now_us: i64) -> f64 {
        let every = us(self.every).max(1);
        if now_us.rem_euclid(every) >= every - us(self.lasts) { self.share } else { 1.0 }
    }
}

impl Standing {
    /// An address that is seen for the first time.
    #[must_use]
    pub fn new(habits: &Habits, now_us: i64) -> Standing {
        Standing {
            standing: habits.first.min(habits.best),
            room: habits.burst,
            ignored: 0.0,
            seen_us: now_us,
            refused_us: None,
            blocked_until_us: i64::MIN,
        }
    }

    /// Messages a second that are welcome now.
    #[must_use]
    pub fn rate(&self, habits: &Habits, now_us: i64) -> f64 {
        if now_us < self.blocked_until_us {
            return 0.0;
        }
        habits.per_second
            * self.standing
            * habits.busy.iter().map(|busy| busy.share_at(now_us)).product::<f64>()
    }

    /// 1 is good; what it can be at most and when it is a block is the provider's habit.
    #[must_use]
    pub fn standing(&self) -> f64 {
        self.standing
    }

    /// When the block ends, if there is one now.
    #[must_use]
    pub fn blocked_until(&self, now_us: i64) -> Option<i64> {
        (now_us < self.blocked_until_us).then_some(self.blocked_until_us)
    }

    /// One message comes. Time must not go back.
    pub fn ask(&mut self, habits: &Habits, now_us: i64) -> Treatment {
        self.pass_time(habits, now_us);
        if now_us < self.blocked_until_us {
            return Treatment::Blocked;
        }
        if self.room >= 1.0 {
            self.room -= 1.0;
            return Treatment::Welcome;
        }
        self.ignored += 1.0;
        self.refused_us = Some(now_us);
        if self.ignored <= f64::from(habits.patience) {
            return Treatment::Later;
        }
        self.ignored = 0.0;
        self.standing *= habits.keeps;
        if self.standing >= habits.blocks_below {
            return Treatment::Later;
        }
        // Who comes back after a block begins just above the next one.
        self.standing = habits.blocks_below;
        self.blocked_until_us = now_us + us(habits.blocks_for);
        Treatment::Blocked
    }

    fn pass_time(&mut self, habits: &Habits, now_us: i64) {
        let rate = self.rate(habits, now_us);
        let passed = seconds((now_us - self.seen_us).max(0));
        self.seen_us = self.seen_us.max(now_us);
        self.room = (self.room + rate * passed).min(habits.burst.max(1.0));
        self.ignored *= 0.5_f64.powf(passed / habits.forgives.as_secs_f64().max(1.0));
        let quiet = self.refused_us.is_none_or(|at| now_us - at > us(habits.forgives));
        if quiet && now_us >= self.blocked_until_us {
            self.standing = (self.standing + habits.regains_per_hour * passed / 3_600.0).min(habits.best);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn habits() -> Habits {
        Habits {
            per_second: 10.0,
            burst: 10.0,
            busy: Vec::new(),
            first: 1.0,
            patience: 20,
            forgives: Duration::from_secs(600),
            keeps: 0.5,
            regains_per_hour: 0.25,
            best: 1.0,
            blocks_below: 0.2,
            blocks_for: Duration::from_secs(3_600),
        }
    }

    /// Sends `rate` messages a second from `from_s` to `to_s`; how many were taken, deferred and blocked.
    fn send(standing: &mut Standing, habits: &Habits, rate: f64, from_s: i64, to_s: i64) -> (u32, u32, u32) {
        let mut counts = (0, 0, 0);
        let messages = ((to_s - from_s) as f64 * rate) as i64;
        for n in 0..messages {
            let at = from_s * SECOND + (n as f64 / rate * 1e6) as i64;
            match standing.ask(habits, at) {
                Treatment::Welcome => counts.0 += 1,
                Treatment::Later => counts.1 += 1,
                Treatment::Blocked => counts.2 += 1,
            }
        }
        counts
    }

    #[test]
    fn who_keeps_to_the_rate_is_welcome() {
        let habits = habits();
        let mut standing = Standing::new(&habits, 0);
        assert_eq!(send(&mut standing, &habits, 9.9, 0, 1_000), (9_900, 0, 0));
    }

    #[test]
    fn who_does_not_listen_is_blocked_and_who_waits_is_taken_again() {
        let habits = habits();
        let mut standing = Standing::new(&habits, 0);
        let (taken, later, blocked) = send(&mut standing, &habits, 50.0, 0, 60);
        assert!(taken > 0 && later > 0 && blocked > 1_000, "{taken} {later} {blocked}");
        let end = standing.blocked_until(60 * SECOND).expect("blocked");
        let begin = end / SECOND + 1;
        assert!((3_600..=3_660).contains(&begin), "{begin}");
        // One message every ten seconds: it is let in again, and its standing grows.
        let (taken, later, blocked) = send(&mut standing, &habits, 0.1, begin, begin + 36_000);
        assert_eq!((taken, later, blocked), (3_600, 0, 0));
        assert!((standing.standing() - 1.0).abs() < 0.01, "{}", standing.standing());
    }

    #[test]
    fn a_refused_try_now_and_then_is_forgiven() {
        let habits = habits();
        let mut standing = Standing::new(&habits, 0);
        // 10.02 a second: one refused in a minute.
        let (_, later, blocked) = send(&mut standing, &habits, 10.02, 0, 3_600);
        assert!(later > 10 && blocked == 0);
        assert!((standing.standing() - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn less_is_welcome_in_busy_hours() {
        let busy = Busy { every: Duration::from_secs(100), lasts: Duration::from_secs(40), share: 0.25 };
        let habits = Habits { busy: vec![busy], ..habits() };
        let standing = Standing::new(&habits, 0);
        assert!((standing.rate(&habits, 59 * SECOND) - 10.0).abs() < 1e-9);
        assert!((standing.rate(&habits, 61 * SECOND) - 2.5).abs() < 1e-9);
        assert!((standing.rate(&habits, 101 * SECOND) - 10.0).abs() < 1e-9);
    }
}
