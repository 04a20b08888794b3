//! The time, as a thing that is passed in: schedules of days are tested in milliseconds.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::Pending;

/// Tells the time and waits for it.
pub trait Clock: Send + Sync {
    /// Microseconds since 1970 UTC.
    fn now_us(&self) -> i64;

    /// Waits until [`Clock::now_us`] is at least `at_us`; at once when it is.
    fn sleep_until(&self, at_us: i64) -> Pending<'_, ()>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

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
}

/// A clock that stands still until it is moved. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct FakeClock {
    now_us: Arc<watch::Sender<i64>>,
}

impl FakeClock {
    /// A clock that shows `now_us`.
    pub fn new(now_us: i64) -> FakeClock {
        FakeClock { now_us: Arc::new(watch::Sender::new(now_us)) }
    }

    /// Moves it forward and wakes whoever waited for a time that is now past.
    pub fn advance(&self, by: Duration) {
        let by_us = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.now_us.send_modify(|now_us| *now_us = now_us.saturating_add(by_us));
    }
}

impl Clock for FakeClock {
    fn now_us(&self) -> i64 {
        *self.now_us.borrow()
    }

    fn sleep_until(&self, at_us: i64) -> Pending<'_, ()> {
        let mut now_us = self.now_us.subscribe();
        Box::pin(async move {
            // The sender lives as long as `self`, so an error cannot come; it would end the wait.
            let _ = now_us.wait_for(|now_us| *now_us >= at_us).await;
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
    async fn the_system_clock_waits() {
        let clock = SystemClock;
        let start = clock.now_us();
        assert!(start > 1_700_000_000_000_000);
        clock.sleep_until(start - 1).await;
        clock.sleep_until(start + 2_000).await;
        assert!(clock.now_us() >= start + 2_000);
    }
}
