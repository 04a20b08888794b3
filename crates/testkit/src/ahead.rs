//! The receivers' clock: the machine's, or ahead of it where a story tells days in seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How far the receivers' clock is ahead. Cheap to clone; all clones are one clock. Greylists, rates and reputations go
/// by it; delays and the log by the machine's.
#[derive(Debug, Clone, Default)]
pub struct Ahead(Arc<AtomicU64>);

impl Ahead {
    /// Sets it so far ahead of the machine's clock, in microseconds. A smaller value than before changes nothing: clocks
    /// go forward.
    pub fn set(&self, ahead_us: u64) {
        self.0.fetch_max(ahead_us, Ordering::Relaxed);
    }

    /// What it shows.
    pub(crate) fn now(&self) -> Instant {
        Instant::now() + Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}
