//! What the compose threads of this process have before them. While that is more than they can do in some milliseconds,
//! nothing that the workers of the sockets do at once is of use to anybody: they gather events for a moment. Each time
//! that such a worker wakes it takes a compose thread's core away, and there was one such time for each message; with this
//! and with larger orders it is a third.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How long events are gathered.
const GATHER: Duration = Duration::from_micros(500);
/// They are gathered while the compose threads have work for so much longer.
const DEEP: u64 = 4;
/// Weight of what was, against that of the latest order, in the time that a message takes.
const WEIGHT: u64 = 7;

/// Messages ordered and not composed, over all engines of the process, because the cores are the process's too.
static PENDING: AtomicUsize = AtomicUsize::new(0);
/// Nanoseconds that a message takes, of late.
static EACH_NS: AtomicU64 = AtomicU64::new(0);

/// Messages of one order that are not composed yet. Dropped in whatever way, they are none any more.
#[derive(Debug)]
pub(crate) struct Pending(usize);

impl Pending {
    pub(crate) fn new(messages: usize) -> Self {
        PENDING.fetch_add(messages, Ordering::Relaxed);
        Self(messages)
    }

    /// The whole order is composed, in this time.
    pub(crate) fn done(self, took: Duration) {
        let messages = u64::try_from(self.0).unwrap_or(u64::MAX).max(1);
        let each = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX) / messages;
        // Two threads at once may lose one of their figures: it is an average.
        let before = EACH_NS.load(Ordering::Relaxed);
        EACH_NS.store(before.saturating_mul(WEIGHT).saturating_add(each) / (WEIGHT + 1), Ordering::Relaxed);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        PENDING.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// For a runtime that serves the engine's sockets, before each of its workers sleeps: lets events gather for half a
/// millisecond where composing and signing are what everybody waits for, and returns at once otherwise. `threads`: the
/// compose threads.
pub fn gather(threads: usize) {
    let pending = u64::try_from(PENDING.load(Ordering::Relaxed)).unwrap_or(u64::MAX);
    let each = EACH_NS.load(Ordering::Relaxed);
    let threads = u64::try_from(threads.max(1)).unwrap_or(u64::MAX);
    if u128::from(pending.saturating_mul(each) / threads) >= GATHER.as_nanos() * u128::from(DEEP) {
        std::thread::sleep(GATHER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_count_until_they_are_composed_or_dropped() {
        let before = PENDING.load(Ordering::Relaxed);
        let (one, other) = (Pending::new(16), Pending::new(4));
        assert_eq!(PENDING.load(Ordering::Relaxed), before + 20);
        one.done(Duration::from_millis(16));
        drop(other);
        assert_eq!(PENDING.load(Ordering::Relaxed), before);
        assert!(EACH_NS.load(Ordering::Relaxed) > 0);
    }
}
