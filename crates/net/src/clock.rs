//! The time, as a thing that is passed in: schedules of days are tested in milliseconds.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::Pending;

/// Tells the time and waits for it.
pub trait Clock: Send + Sync {
    /// Microseconds since 1970 UTC.
    fn now_us(&self) -> i64;

    /// Waits until [`Clock::now_us`] is at least `at_us`; at once when it is.
    fn sleep_until(&self, at_us: i64) -> Pending<'_, ()>;

    /// Microseconds since some moment, which only ever grow, and by as much as time has passed: for how long something
    /// takes. The time of day may jump meanwhile, when a wrong clock is put right or a machine wakes up.
    fn mono_us(&self) -> i64 {
        self.now_us()
    }

    /// Waits until [`Clock::mono_us`] is at least `at_us`; at once when it is.
    fn sleep_until_mono(&self, at_us: i64) -> Pending<'_, ()> {
        self.sleep_until(at_us)
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// What the machine's monotonic readings count from.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Clock for SystemClock {
    fn now_us(&self) -> i64 {
        // A clock before 1970 gives 0; above 292,000 years it stands still.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    fn sleep_until(&self, at_us: i64) -> Pending<'_, ()> {
        Box::pin(async move {
            // Again when the clock was set back meanwhile.
            while let Ok(left @ 1..) = u64::try_from(at_us.saturating_sub(self.now_us())) {
                tokio::time::sleep(Duration::from_micros(left)).await;
            }
        })
    }

    fn mono_us(&self) -> i64 {
        i64::try_from(BEGIN.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    fn sleep_until_mono(&self, at_us: i64) -> Pending<'_, ()> {
        let left = u64::try_from(at_us.saturating_sub(self.mono_us())).unwrap_or(0);
        Box::pin(tokio::time::sleep(Duration::from_micros(left)))
    }
}

/// A clock that stands still until it is moved. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct FakeClock {
    shown: Arc<watch::Sender<Shown>>,
}

/// What a fake clock shows.
#[derive(Debug, Clone, Copy)]
struct Shown {
    now_us: i64,
    /// The difference is what it jumped by.
    mono_us: i64,
}

impl FakeClock {
    /// A clock that shows `now_us`.
    pub fn new(now_us: i64) -> FakeClock {
        FakeClock { shown: Arc::new(watch::Sender::new(Shown { now_us, mono_us: now_us })) }
    }

    /// Moves it forward and wakes whoever waited for a time that is now past.
    pub fn advance(&self, by: Duration) {
        let by_us = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.shown.send_modify(|shown| {
            shown.now_us = shown.now_us.saturating_add(by_us);
            shown.mono_us = shown.mono_us.saturating_add(by_us);
        });
    }

    /// The time of day jumps, back too, while no time passes.
    pub fn jump(&self, by_us: i64) {
        self.shown.send_modify(|shown| shown.now_us = shown.now_us.saturating_add(by_us));
    }
}

impl Clock for FakeClock {
    fn now_us(&self) -> i64 {
        self.shown.borrow().now_us
    }

    fn sleep_until(&self, at_us: i64) -> Pending<'_, ()> {
        let mut shown = self.shown.subscribe();
        Box::pin(async move {
            // The sender lives as long as `self`, so an error cannot come; it would end the wait.
            let _ = shown.wait_for(|shown| shown.now_us >= at_us).await;
        })
    }

    fn mono_us(&self) -> i64 {
        self.shown.borrow().mono_us
    }

    fn sleep_until_mono(&self, at_us: i64) -> Pending<'_, ()> {
        let mut shown = self.shown.subscribe();
        Box::pin(async move {
            // As above.
            let _ = shown.wait_for(|shown| shown.mono_us >= at_us).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fake_clock_wakes_its_sleepers_when_it_is_moved() {
        let clock = FakeClock::new(1_000);
        clock.sleep_until(1_000).await;
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(3_001_000).await }
        });
        clock.advance(Duration::from_secs(2));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        sleeper.await.expect("wakes");
        assert_eq!(clock.now_us(), 3_001_000);
    }

    #[tokio::test]
    async fn a_jump_of_the_time_of_day_is_no_time_that_passes() {
        let clock = FakeClock::new(1_000);
        let wait = clock.sleep_until_mono(clock.mono_us() + 1_000_000);
        let mut waiting = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until_mono(clock.mono_us() + 1_000_000).await }
        });
        clock.jump(7_200_000_000);
        assert_eq!((clock.now_us(), clock.mono_us()), (7_200_001_000, 1_000));
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut waiting).await.is_err());
        clock.jump(-7_200_000_000);
        clock.advance(Duration::from_secs(1));
        wait.await;
        waiting.await.expect("waits as long as it should");
        assert_eq!(clock.now_us(), clock.mono_us());
    }

    #[tokio::test]
    async fn the_system_clock_counts_what_passes() {
        let (clock, begin) = (SystemClock, SystemClock.mono_us());
        clock.sleep_until_mono(begin + 2_000).await;
        assert!(clock.mono_us() >= begin + 2_000);
    }

    #[tokio::test]
    async fn the_system_clock_waits() {
        let clock = SystemClock;
        let start = clock.now_us();
        assert!(start > 1_700_000_000_000_000);
        clock.sleep_until(start - 1).await;
        clock.sleep_until(start + 2_000).await;
        assert!(clock.now_us() >= start + 2_000);
    }
}
