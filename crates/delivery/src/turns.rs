//! Analyses take turns: so many at once, since each uses every core and the database; the others wait by rank, then by
//! arrival. A proof never waits: it is small, and somebody looks at the screen.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::tz::TimeZone;
use tokio::sync::Notify;

use crate::analysis::{AnalysisHandle, Step};
use crate::schedule::DayHours;

/// Whose turn it is.
#[derive(Clone, Default)]
pub(crate) struct Turns {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// A turn ended, or somebody gave up waiting.
    moved: Notify,
}

#[derive(Default)]
struct Queue {
    running: usize,
    arrivals: u64,
    /// Highest rank first, then who came first.
    waiting: BTreeSet<(Reverse<Rank>, u64)>,
}

/// Order among analyses that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Low,
    Normal,
    High,
}

impl Rank {
    /// Reads `validation.analysis_priority`.
    pub fn parse(name: &str) -> Option<Rank> {
        Some(match name {
            "low" => Rank::Low,
            "normal" => Rank::Normal,
            "high" => Rank::High,
            _ => return None,
        })
    }
}

/// The hours of low activity of an instance, by the clocks of a zone.
#[derive(Debug, Clone)]
pub struct LowActivity {
    hours: DayHours,
    zone: TimeZone,
}

impl LowActivity {
    /// Reads `01:00-05:00` (then in UTC) or `01:00-05:00 Europe/Paris`.
    pub fn parse(text: &str) -> Option<LowActivity> {
        let (hours, zone) = text.trim().split_once(' ').unwrap_or((text.trim(), "UTC"));
        Some(LowActivity { hours: DayHours::parse(hours)?, zone: TimeZone::get(zone.trim()).ok()? })
    }

    /// When they last began (µs).
    pub(crate) fn last_begin(&self, now_us: i64) -> i64 {
        self.hours.last_begin(now_us, &self.zone)
    }

    /// The moment itself when it is within the hours, else their next beginning (µs).
    pub(crate) fn next_inside(&self, now_us: i64) -> i64 {
        self.hours.next_inside(now_us, &self.zone)
    }
}

/// A turn; the next one begins when it is dropped.
pub(crate) struct Turn {
    shared: Arc<Shared>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.shared.lock().running -= 1;
        self.shared.moved.notify_waiters();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A place among those who wait; whoever leaves lets the next one look.
struct Place<'a> {
    shared: &'a Shared,
    key: (Reverse<Rank>, u64),
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shared.lock().waiting.remove(&self.key);
        self.shared.moved.notify_waiters();
    }
}

impl Turns {
    /// Waits for a turn among `at_once`; `None`: the analysis was stopped while it waited.
    pub async fn take(&self, rank: Rank, at_once: usize, handle: &AnalysisHandle) -> Option<Turn> {
        let place = self.arrive(rank);
        loop {
            let (moved, stopped) = (self.shared.moved.notified(), handle.stopped());
            tokio::pin!(moved, stopped);
            // Registered before the look, so that no change between the look and the wait is missed.
            moved.as_mut().enable();
            if handle.is_stopped() {
                return None;
            }
            if self.is_next(&place.key, at_once.max(1)) {
                return Some(Turn { shared: Arc::clone(&self.shared) });
            }
            handle.enter(Step::Waiting, 0);
            tokio::select! {
                () = moved => {}
                () = stopped => {}
            }
        }
    }

    fn arrive(&self, rank: Rank) -> Place<'_> {
        let mut queue = self.shared.lock();
        queue.arrivals += 1;
        let key = (Reverse(rank), queue.arrivals);
        queue.waiting.insert(key);
        Place { shared: &self.shared, key }
    }

    fn is_next(&self, key: &(Reverse<Rank>, u64), at_once: usize) -> bool {
        let mut queue = self.shared.lock();
        let next = queue.running < at_once && queue.waiting.first() == Some(key);
        queue.running += usize::from(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle() -> AnalysisHandle {
        AnalysisHandle::new(Arc::new(net::FakeClock::new(0)))
    }

    #[test]
    fn hours_of_low_activity_are_read_with_their_zone() {
        let hour = 3_600_000_000;
        let at = |text: &str, hours: i64| LowActivity::parse(text).unwrap().next_inside(hours * hour) / hour;
        assert_eq!(at("01:00-05:00", 2), 2);
        assert_eq!(at("01:00-05:00", 6), 25);
        // 1970-01-01T00:00Z is nine o'clock in Tokyo.
        assert_eq!(at("01:00-05:00 Asia/Tokyo", 0), 16);
        for wrong in ["", "1-5", "01:00-05:00 Nowhere/City", "01:00-01:00"] {
            assert!(LowActivity::parse(wrong).is_none(), "{wrong}");
        }
    }

    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_has_the_higher_rank_goes_first_then_who_came_first() {
        let turns = Turns::default();
        let first = turns.take(Rank::Normal, 1, &handle()).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (name, rank) in [("a", Rank::Low), ("b", Rank::Normal), ("c", Rank::High), ("d", Rank::Normal)] {
            let (turns, order) = (turns.clone(), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                let turn = turns.take(rank, 1, &handle()).await;
                order.lock().unwrap().push(name);
                drop(turn);
            }));
            settle().await;
        }
        assert!(order.lock().unwrap().is_empty());
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["c", "b", "d", "a"]);
    }

    #[tokio::test]
    async fn as_many_run_as_may_and_one_that_is_stopped_makes_room() {
        let turns = Turns::default();
        let (one, two) =
            (turns.take(Rank::Low, 2, &handle()).await, turns.take(Rank::Low, 2, &handle()).await);
        assert!(one.is_some() && two.is_some());
        let waits = handle();
        let (there, mine) = (turns.clone(), waits.clone());
        let task = tokio::spawn(async move { there.take(Rank::High, 2, &mine).await.is_none() });
        settle().await;
        assert_eq!(waits.progress().step, "waiting");
        waits.stop();
        assert!(task.await.unwrap());
        drop(one);
        assert!(turns.take(Rank::Low, 2, &handle()).await.is_some());
    }
}
