//! The machine's clock, set forward by what a file says: stories of days, told in seconds with the whole program.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Pending;
use crate::clock::{Clock, SystemClock};

/// How old what the file said may be.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A clock that shows the machine's time plus the microseconds that a file holds (a decimal number; no file: none). The
/// file may change while the program runs. For tests of the program as a process.
#[derive(Debug)]
pub struct ShiftedClock {
    file: PathBuf,
    shift_us: AtomicI64,
    looked: Mutex<Option<Instant>>,
}

impl ShiftedClock {
    /// A clock that follows `file`.
    pub fn following(file: PathBuf) -> ShiftedClock {
        ShiftedClock { file, shift_us: AtomicI64::new(0), looked: Mutex::new(None) }
    }

    fn shift_us(&self) -> i64 {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            *looked = Some(Instant::now());
            // A file that is being replaced is looked at again in a moment.
            if let Some(shift) =
                std::fs::read_to_string(&self.file).ok().and_then(|text| text.trim().parse().ok())
            {
                self.shift_us.store(shift, Ordering::Relaxed);
            }
        }
        self.shift_us.load(Ordering::Relaxed)
    }
}

impl Clock for ShiftedClock {
    fn now_us(&self) -> i64 {
        SystemClock.now_us().saturating_add(self.shift_us())
    }

    fn sleep_until(&self, at_us: i64) -> Pending<'_, ()> {
        Box::pin(async move {
            while let Ok(left @ 1..) = u64::try_from(at_us.saturating_sub(self.now_us())) {
                tokio::time::sleep(Duration::from_micros(left).min(LOOK_EVERY)).await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_wakes_when_the_file_sets_it_forward() {
        let folder = std::env::temp_dir().join(format!("shifted-clock-{}", std::process::id()));
        let clock = ShiftedClock::following(folder.clone());
        let start = clock.now_us();
        let hour = 3_600_000_000;
        let wait = clock.sleep_until(start + hour);
        std::fs::write(&folder, format!("{hour}\n")).unwrap();
        tokio::time::timeout(Duration::from_secs(5), wait).await.unwrap();
        assert!(clock.now_us() >= start + hour);
        std::fs::remove_file(&folder).unwrap();
        tokio::time::sleep(2 * LOOK_EVERY).await;
        assert!(clock.now_us() >= start + hour, "the last word holds");
    }
}
