//! One limit over time, by the generic cell rate algorithm: one number says when the next message is due, so asking and
//! taking are one atomic step. Messages are spread over the stretch; there is no slot that fills and empties.
//!
//! The limit is kept to the letter: in no stretch of the rate's length, wherever it begins, are there more than `count`.
//! A small burst of [`BURST_US`] is allowed, because timers are late now and then; it is taken off the steady rate, so
//! 100 a second run at 96.

use std::sync::atomic::{AtomicI64, Ordering};

use routes::Rate;

use super::SECOND_US;

/// What may be made up for at once after a late timer.
const BURST_US: i64 = 50_000;

/// A limit. Shared by all connections that it binds; no lock.
#[derive(Debug)]
pub struct Bucket {
    /// Microseconds between two messages; 0: no limit.
    interval_us: AtomicI64,
    /// How early a message may come.
    tolerance_us: AtomicI64,
    /// When the next one would be due if none came early (the theoretical arrival time).
    due_us: AtomicI64,
}

impl Bucket {
    /// No limit until [`Bucket::set_per_second`].
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            interval_us: AtomicI64::new(0),
            tolerance_us: AtomicI64::new(0),
            due_us: AtomicI64::new(i64::MIN),
        }
    }

    /// A rule's limit.
    #[must_use]
    pub fn of(rate: Rate) -> Self {
        let bucket = Self::unlimited();
        let (count, stretch_us) = (i64::from(rate.count.max(1)), i64::from(rate.per.seconds()) * SECOND_US);
        let burst = (count * BURST_US / stretch_us).max(1);
        // `burst` at once and one each interval after that are `count` in any stretch: rounded up, never above.
        let spread = count - burst + 1;
        let interval = (stretch_us + spread - 1) / spread;
        bucket.interval_us.store(interval.max(1), Ordering::Relaxed);
        bucket.tolerance_us.store((burst - 1) * interval, Ordering::Relaxed);
        bucket
    }

    /// Changes the limit from now on; infinity takes it away. What was taken stays taken.
    pub fn set_per_second(&self, rate: f64) {
        let interval =
            if rate.is_finite() { (SECOND_US as f64 / rate.max(1e-6)).round().max(1.0) as i64 } else { 0 };
        self.interval_us.store(interval, Ordering::Relaxed);
        let tolerance = if interval == 0 { 0 } else { (BURST_US - interval).max(0) };
        self.tolerance_us.store(tolerance, Ordering::Relaxed);
    }

    /// Takes one, or says from when on one can be had (UTC microseconds).
    ///
    /// # Errors
    /// The time to ask again.
    pub fn take(&self, now_us: i64) -> Result<(), i64> {
        let interval = self.interval_us.load(Ordering::Relaxed);
        if interval == 0 {
            return Ok(());
        }
        let tolerance = self.tolerance_us.load(Ordering::Relaxed);
        let mut due = self.due_us.load(Ordering::Relaxed);
        loop {
            // A slower limit that came since, or a clock that jumped back, must not leave a debt of hours.
            let sane = due.min(now_us.saturating_add(interval).saturating_add(tolerance));
            if sane.saturating_sub(tolerance) > now_us {
                if sane < due {
                    // Kept, or the one who comes at that time would be sent away again. Losing a race costs nothing.
                    let _ = self.due_us.compare_exchange(due, sane, Ordering::AcqRel, Ordering::Relaxed);
                }
                return Err(sane - tolerance);
            }
            let next = sane.max(now_us) + interval;
            match self.due_us.compare_exchange_weak(due, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(seen) => due = seen,
            }
        }
    }

    /// When the next one can be had; not after `now_us` when at once.
    #[must_use]
    pub fn ready_at(&self, now_us: i64) -> i64 {
        let interval = self.interval_us.load(Ordering::Relaxed);
        if interval == 0 {
            return now_us;
        }
        let tolerance = self.tolerance_us.load(Ordering::Relaxed);
        let due = self.due_us.load(Ordering::Relaxed);
        due.min(now_us.saturating_add(interval).saturating_add(tolerance)).saturating_sub(tolerance)
    }

    /// Gives back what was taken a moment ago and not used.
    pub fn give_back(&self) {
        let interval = self.interval_us.load(Ordering::Relaxed);
        if interval != 0 {
            self.due_us.fetch_sub(interval, Ordering::AcqRel);
        }
    }

    /// What is allowed, a second; infinity without a limit.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        match self.interval_us.load(Ordering::Relaxed) {
            0 => f64::INFINITY,
            interval => SECOND_US as f64 / interval as f64,
        }
    }
}

/// Takes one of each, or none.
///
/// # Errors
/// The earliest time at which all of them may have one.
pub fn take_all<'a>(buckets: impl Iterator<Item = &'a Bucket> + Clone, now_us: i64) -> Result<(), i64> {
    for (taken, bucket) in buckets.clone().enumerate() {
        if let Err(at) = bucket.take(now_us) {
            buckets.clone().take(taken).for_each(Bucket::give_back);
            return Err(buckets.map(|bucket| bucket.ready_at(now_us)).max().unwrap_or(at).max(at));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as fast as it is let for `seconds`, looking each `step_us`, and returns the times.
    fn drain(bucket: &Bucket, seconds: i64, step_us: i64) -> Vec<i64> {
        let mut times = Vec::new();
        let mut now = 0;
        while now < seconds * SECOND_US {
            while bucket.take(now).is_ok() {
                times.push(now);
            }
            now += step_us;
        }
        times
    }

    fn most_in(times: &[i64], stretch_us: i64) -> usize {
        let mut first = 0;
        let mut most = 0;
        for (at, time) in times.iter().enumerate() {
            while times[first] <= time - stretch_us {
                first += 1;
            }
            most = most.max(at - first + 1);
        }
        most
    }

    #[test]
    fn no_stretch_ever_holds_more_than_the_rate_and_little_is_lost() {
        for (text, seconds, step_us) in [
            ("2/s", 60, 10_000),
            ("10/s", 30, 7_000),
            ("100/s", 20, 5_000),
            ("100/min", 600, 10_000),
            ("1/min", 7_200, 100_000),
            ("5000/h", 3_600 * 3, 100_000),
            ("20000/d", 86_400 * 2, 200_000),
        ] {
            let rate: Rate = text.parse().unwrap();
            let times = drain(&Bucket::of(rate), seconds, step_us);
            let stretch = i64::from(rate.per.seconds()) * SECOND_US;
            assert!(most_in(&times, stretch) <= rate.count as usize, "{text}: {}", most_in(&times, stretch));
            let wanted = rate.per_second() * seconds as f64;
            assert!(times.len() as f64 >= 0.9 * wanted - 1.0, "{text}: {} of {wanted}", times.len());
            // Smooth: a tenth of the stretch holds about a tenth.
            let tenth = most_in(&times, stretch / 10);
            assert!(tenth <= (rate.count as usize).div_ceil(10) + 5, "{text}: {tenth} in a tenth");
        }
    }

    #[test]
    fn an_idle_hour_saves_nothing_up() {
        let bucket = Bucket::of("10/s".parse().unwrap());
        assert!(bucket.take(0).is_ok());
        let mut at_once = 0;
        while bucket.take(3_600 * SECOND_US).is_ok() {
            at_once += 1;
        }
        assert_eq!(at_once, 1);
    }

    #[test]
    fn all_or_none() {
        let (fast, slow) = (Bucket::of("10/s".parse().unwrap()), Bucket::of("1/min".parse().unwrap()));
        let both = [&fast, &slow];
        assert_eq!(take_all(both.into_iter(), 0), Ok(()));
        assert_eq!(take_all(both.into_iter(), SECOND_US), Err(60 * SECOND_US));
        assert!(fast.take(SECOND_US).is_ok(), "what the slow one refused cost the fast one nothing");
        assert_eq!(take_all(both.into_iter(), 60 * SECOND_US), Ok(()));
    }

    #[test]
    fn a_changed_rate_holds_at_once_and_a_clock_that_jumps_back_costs_one_interval() {
        let bucket = Bucket::unlimited();
        assert!((0..100).all(|_| bucket.take(0).is_ok()));
        bucket.set_per_second(1.0 / 60.0);
        assert!(bucket.take(5).is_ok());
        assert_eq!(bucket.take(6), Err(60 * SECOND_US + 5));
        bucket.set_per_second(1.0);
        assert_eq!(bucket.take(10), Err(SECOND_US + 10));
        assert!(bucket.take(2 * SECOND_US).is_ok());
        assert!(bucket.take(-3_600 * SECOND_US).is_err_and(|at| at <= -3_599 * SECOND_US));
        bucket.set_per_second(f64::INFINITY);
        assert!(bucket.take(0).is_ok() && bucket.per_second().is_infinite());
    }

    #[test]
    fn many_threads_take_no_more_than_there_is() {
        let bucket = Bucket::of("50/s".parse().unwrap());
        let taken = std::sync::atomic::AtomicUsize::new(0);
        // One clock for all: whoever looks turns it.
        let clock = AtomicI64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    loop {
                        let now = clock.fetch_add(125, Ordering::AcqRel);
                        if now >= SECOND_US {
                            return;
                        }
                        if bucket.take(now).is_ok() {
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert!((40..=60).contains(&taken.into_inner()));
    }
}
