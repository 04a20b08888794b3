//! The machine's clock, set forward by what a file says: stories of days, told in seconds with the whole program.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Pending;
use crate::clock::{Clock, SystemClock};

/// How old what the file said may be.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A clock that shows the machine's time plus the microseconds that a file holds (a decimal number; no file: none), as if so
/// much time had passed. A second number is added to the time of day alone: a clock that jumped. The file may change while
/// the program runs. For tests of the program as a process.
#[derive(Debug)]
pub struct ShiftedClock {
    file: PathBuf,
    shift_us: AtomicI64,
    jump_us: AtomicI64,
    /// The greatest shift so far: what has passed stays passed.
    passed_us: AtomicI64,
    looked: Mutex<Option<Instant>>,
}

impl ShiftedClock {
    /// A clock that follows `file`.
    pub fn following(file: PathBuf) -> ShiftedClock {
        ShiftedClock {
            file,
            shift_us: AtomicI64::new(0),
            jump_us: AtomicI64::new(0),
            passed_us: AtomicI64::new(0),
            looked: Mutex::new(None),
        }
    }

    fn look(&self) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            *looked = Some(Instant::now());
            // A file that is being replaced is looked at again in a moment.
            if let Some((shift, jump)) = std::fs::read_to_string(&self.file).ok().and_then(|text| read(&text))
            {
                self.shift_us.store(shift, Ordering::Relaxed);
                self.jump_us.store(jump, Ordering::Relaxed);
                self.passed_us.fetch_max(shift, Ordering::Relaxed);
            }
        }
    }
}

/// What the file says: the time that passed, and what the clock jumped by.
fn read(text: &str) -> Option<(i64, i64)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    let shift = numbers.next()?.ok()?;
    Some((shift, numbers.next().map_or(Some(0), Result::ok)?))
}

impl Clock for ShiftedClock {
    fn now_us(&self) -> i64 {
        self.look();
        let moved =
            self.shift_us.load(Ordering::Relaxed).saturating_add(self.jump_us.load(Ordering::Relaxed));
        SystemClock.now_us().saturating_add(moved)
    }

    fn mono_us(&self) -> i64 {
        self.look();
        SystemClock.mono_us().saturating_add(self.passed_us.load(Ordering::Relaxed))
    }

    fn sleep_until_mono(&self, at_us: i64) -> Pending<'_, ()> {
        Box::pin(async move {
            while let Ok(left @ 1..) = u64::try_from(at_us.saturating_sub(self.mono_us())) {
                tokio::time::sleep(Duration::from_micros(left).min(LOOK_EVERY)).await;
            }
        })
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
        tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
        assert!(clock.now_us() >= start + hour);
        std::fs::remove_file(&folder).unwrap();
        tokio::time::sleep(2 * LOOK_EVERY).await;
        assert!(clock.now_us() >= start + hour, "the last word holds");
    }

    #[tokio::test]
    async fn a_jump_moves_the_time_of_day_alone() {
        let file = std::env::temp_dir().join(format!("jumping-clock-{}", std::process::id()));
        let hour = 3_600_000_000;
        std::fs::write(&file, format!("{hour} {hour}")).unwrap();
        let clock = ShiftedClock::following(file.clone());
        // The machine may stand still for a moment between two looks.
        let moment = hour / 10;
        let day = clock.now_us() - SystemClock.now_us();
        assert!((2 * hour - moment..=2 * hour).contains(&day), "{day}");
        let passed = clock.mono_us() - SystemClock.mono_us();
        assert!((hour - moment..=hour).contains(&passed), "{passed}");
        std::fs::write(&file, format!("0 {hour}")).unwrap();
        tokio::time::sleep(2 * LOOK_EVERY).await;
        assert!(clock.mono_us() - SystemClock.mono_us() >= hour - moment, "it never goes back");
        assert_eq!(read("7 x"), None);
        std::fs::remove_file(&file).unwrap();
    }
}
