//! Speed of the last seconds, per delivery and site. Counted when a batch is on disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::limits::SPEED_WINDOW_S;

const SLOTS: usize = 16;

/// Ring of one-second counters; slot = second modulo [`SLOTS`], valid only when its second matches.
#[derive(Debug, Default, Clone)]
struct Ring {
    seconds: [i64; SLOTS],
    counts: [u32; SLOTS],
}

impl Ring {
    fn add(&mut self, second: i64, count: u32) {
        let slot = usize::try_from(second.rem_euclid(SLOTS as i64)).unwrap_or(0);
        if self.seconds[slot] != second {
            self.seconds[slot] = second;
            self.counts[slot] = 0;
        }
        self.counts[slot] += count;
    }

    fn per_second(&self, second: i64) -> f64 {
        // The running second is left out: it is not over yet.
        let total: u32 = (0..SLOTS)
            .filter(|&slot| (second - SPEED_WINDOW_S..second).contains(&self.seconds[slot]))
            .map(|slot| self.counts[slot])
            .sum();
        #[allow(clippy::cast_precision_loss)] // a window of ten
        let window = SPEED_WINDOW_S as f64;
        f64::from(total) / window
    }
}

/// All rings.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<HashMap<(i64, Arc<str>), Ring>>);

impl Meter {
    pub(crate) fn add(&self, sent: &[(i64, Arc<str>)], now: i64) {
        let mut rings = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for key in sent {
            // Looked up by reference first: the key is cloned once per delivery and site, not per message.
            match rings.get_mut(key) {
                Some(ring) => ring.add(now / 1_000_000, 1),
                None => {
                    let mut ring = Ring::default();
                    ring.add(now / 1_000_000, 1);
                    rings.insert(key.clone(), ring);
                }
            }
        }
    }

    pub(crate) fn per_second(&self, delivery: i64, site: &str, now: i64) -> f64 {
        let rings = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        rings.get(&(delivery, Arc::from(site))).map_or(0.0, |ring| ring.per_second(now / 1_000_000))
    }

    pub(crate) fn forget(&self, delivery: i64) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).retain(|key, _| key.0 != delivery);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_the_mean_of_the_last_ten_whole_seconds() {
        let meter = Meter::default();
        let google: Arc<str> = "google".into();
        for second in 100..110 {
            meter.add(&vec![(1, Arc::clone(&google)); 30], second * 1_000_000);
        }
        assert!((meter.per_second(1, "google", 110_000_000) - 30.0).abs() < 1e-9);
        assert!((meter.per_second(1, "google", 115_000_000) - 15.0).abs() < 1e-9);
        assert!(meter.per_second(1, "google", 300_000_000) < 1e-9);
        assert!(meter.per_second(2, "google", 110_000_000) < 1e-9);
    }
}
