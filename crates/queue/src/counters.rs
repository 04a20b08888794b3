//! What this node has settled since its start, and how long results waited for their commit: for monitoring. Never goes
//! down, so that whoever reads it at any time can tell rates.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::types::{FinalState, Settlement, Verdict};

/// Upper ends of the histogram's buckets, in milliseconds; one more bucket has everything above.
pub const LATENCY_BOUNDS_MS: [u64; 11] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000];

/// A look at the counters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    /// Messages that receivers took.
    pub sent: u64,
    /// Messages that were refused for good.
    pub failed: u64,
    /// Messages that we decided not to send, one by one (a stop cancels without counting here).
    pub cancelled: u64,
    /// Tries that end with another try to come.
    pub deferred: u64,
    /// From the answer of the receiver until its outcome was on disk.
    pub latency: Latency,
}

/// How long results waited for their commit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Latency {
    /// Results by bucket of [`LATENCY_BOUNDS_MS`] (each alone, not summed up), and those above the last bound.
    pub buckets: [u64; LATENCY_BOUNDS_MS.len() + 1],
    /// Results in all.
    pub count: u64,
    /// Their waits together, in microseconds.
    pub sum_us: u64,
}

impl Latency {
    /// The upper end, in milliseconds, of the bucket that holds the wait which `per_mille` of all results did not exceed;
    /// `None`: nothing was settled, or it lies above the last bound.
    #[must_use]
    pub fn at_most_ms(&self, per_mille: u64) -> Option<u64> {
        let wanted = (self.count * per_mille).div_ceil(1_000);
        let mut seen = 0;
        let reached = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        LATENCY_BOUNDS_MS.get(reached).copied().filter(|_| self.count > 0)
    }

    /// What came since an earlier look.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut buckets = self.buckets;
        buckets.iter_mut().zip(earlier.buckets).for_each(|(now, then)| *now = now.saturating_sub(then));
        Self {
            buckets,
            count: self.count.saturating_sub(earlier.count),
            sum_us: self.sum_us.saturating_sub(earlier.sum_us),
        }
    }
}

/// The counters themselves.
#[derive(Debug, Default)]
pub(crate) struct Live {
    sent: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    deferred: AtomicU64,
    buckets: [AtomicU64; LATENCY_BOUNDS_MS.len() + 1],
    sum_us: AtomicU64,
}

impl Live {
    /// A batch is on disk.
    pub(crate) fn settled(&self, batch: &[Settlement]) {
        let mut counts = [0; 4];
        for settlement in batch {
            let at = match settlement.verdict {
                Verdict::Final { state: FinalState::Sent, .. } => 0,
                Verdict::Final { state: FinalState::Failed, .. } => 1,
                Verdict::Final { state: FinalState::Cancelled, .. } => 2,
                // Without a try it was only parked.
                Verdict::Deferred { .. } if settlement.first_try.is_none() => continue,
                Verdict::Deferred { .. } => 3,
            };
            counts[at] += 1;
        }
        let counters = [&self.sent, &self.failed, &self.cancelled, &self.deferred];
        counters.iter().zip(counts).for_each(|(counter, count)| {
            counter.fetch_add(count, Ordering::Relaxed);
        });
    }

    /// A result waited so long for its commit.
    pub(crate) fn waited(&self, wait: Duration) {
        let ms = wait.as_secs_f64() * 1_000.0;
        #[allow(clippy::cast_precision_loss)] // bounds of a few thousand
        let bucket = LATENCY_BOUNDS_MS.iter().position(|bound| ms <= *bound as f64);
        self.buckets[bucket.unwrap_or(LATENCY_BOUNDS_MS.len())].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn look(&self) -> Counters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let buckets: [u64; LATENCY_BOUNDS_MS.len() + 1] = std::array::from_fn(|n| get(&self.buckets[n]));
        Counters {
            sent: get(&self.sent),
            failed: get(&self.failed),
            cancelled: get(&self.cancelled),
            deferred: get(&self.deferred),
            latency: Latency { buckets, count: buckets.iter().sum(), sum_us: get(&self.sum_us) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_fall_into_their_buckets() {
        let live = Live::default();
        for ms in [1, 1, 1, 3, 40] {
            live.waited(Duration::from_millis(ms));
        }
        let first = live.look().latency;
        assert_eq!((first.count, first.sum_us), (5, 46_000));
        assert_eq!(
            (first.at_most_ms(500), first.at_most_ms(800), first.at_most_ms(990)),
            (Some(1), Some(5), Some(50))
        );
        live.waited(Duration::from_secs(9));
        let later = live.look().latency;
        assert_eq!(later.at_most_ms(1_000), None, "above the last bound");
        assert_eq!(later.since(&first).count, 1);
        assert_eq!(Latency::default().at_most_ms(990), None);
    }
}
