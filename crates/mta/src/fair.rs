//! Who goes next at one receiver: strictly by priority with a floor for the lowest, round robin over deliveries inside a
//! priority, and inside a delivery retries before new messages for up to half of the turns.

use std::collections::{HashMap, VecDeque};

use queue::Priority;

/// One turn in so many goes to the lowest priority that waits.
pub(crate) const FLOOR: u64 = 64;

/// A waiting line. `T` is whatever waits.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    levels: [Level<T>; 5],
    turns: u64,
    len: usize,
}

#[derive(Debug)]
struct Level<T> {
    /// Deliveries that wait, in the order of their turns. Each stands here once, while it has something.
    ring: VecDeque<i64>,
    waiting: HashMap<i64, Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    retries: VecDeque<T>,
    fresh: VecDeque<T>,
    /// The last turn was a retry's.
    retried: bool,
}

/// Where something belongs in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rank {
    /// The run's priority.
    pub priority: Priority,
    /// The delivery.
    pub delivery: i64,
    /// It was tried before.
    pub retry: bool,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { levels: std::array::from_fn(|_| Level::default()), turns: 0, len: 0 }
    }
}

impl<T> Default for Level<T> {
    fn default() -> Self {
        Self { ring: VecDeque::new(), waiting: HashMap::new() }
    }
}

impl<T> FairQueue<T> {
    /// At the end of its kind.
    pub fn push(&mut self, rank: Rank, item: T) {
        let line = self.line(rank);
        if rank.retry { line.retries.push_back(item) } else { line.fresh.push_back(item) }
    }

    /// Back to the front: its turn came, and its connection was lost.
    pub fn push_front(&mut self, rank: Rank, item: T) {
        let line = self.line(rank);
        if rank.retry { line.retries.push_front(item) } else { line.fresh.push_front(item) }
    }

    fn line(&mut self, rank: Rank) -> &mut Waiting<T> {
        self.len += 1;
        let level = &mut self.levels[rank.priority as usize];
        level.waiting.entry(rank.delivery).or_insert_with(|| {
            level.ring.push_back(rank.delivery);
            Waiting { retries: VecDeque::new(), fresh: VecDeque::new(), retried: false }
        })
    }

    /// The next one.
    pub fn pop(&mut self) -> Option<T> {
        self.pop_unless(|_| false)
    }

    /// The next one that is of no `blocked` delivery.
    pub fn pop_unless(&mut self, blocked: impl Fn(i64) -> bool) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        self.turns += 1;
        let floor = self.turns.is_multiple_of(FLOOR);
        let mut waiting = self.levels.iter_mut().filter(|level| level.ring.iter().any(|one| !blocked(*one)));
        let level = if floor { waiting.next() } else { waiting.next_back() }?;
        while level.ring.front().is_some_and(|delivery| blocked(*delivery)) {
            level.ring.rotate_left(1);
        }
        let item = level.pop()?;
        self.len -= 1;
        Some(item)
    }

    /// The rank of what goes next, but for the floor's turns.
    #[must_use]
    pub fn top(&self) -> Option<Rank> {
        let at = self.levels.iter().rposition(|level| !level.ring.is_empty())?;
        let delivery = *self.levels[at].ring.front()?;
        Some(Rank { priority: Priority::ALL[at], delivery, retry: false })
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Takes out everything that `wanted` picks, in order.
    pub fn take_where(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for level in &mut self.levels {
            for line in level.waiting.values_mut() {
                for items in [&mut line.retries, &mut line.fresh] {
                    let (out, kept): (VecDeque<T>, VecDeque<T>) =
                        std::mem::take(items).into_iter().partition(|item| wanted(item));
                    taken.extend(out);
                    *items = kept;
                }
            }
            level.waiting.retain(|_, line| !line.is_empty());
            let waiting = &level.waiting;
            level.ring.retain(|delivery| waiting.contains_key(delivery));
        }
        self.len -= taken.len();
        taken
    }
}

impl<T> Level<T> {
    fn pop(&mut self) -> Option<T> {
        let delivery = self.ring.pop_front()?;
        let line = self.waiting.get_mut(&delivery)?;
        let retry = !line.retries.is_empty() && (line.fresh.is_empty() || !line.retried);
        line.retried = retry;
        let item = if retry { line.retries.pop_front() } else { line.fresh.pop_front() };
        if line.is_empty() {
            self.waiting.remove(&delivery);
        } else {
            self.ring.push_back(delivery);
        }
        item
    }
}

impl<T> Waiting<T> {
    fn is_empty(&self) -> bool {
        self.retries.is_empty() && self.fresh.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(priority: Priority, delivery: i64, retry: bool) -> Rank {
        Rank { priority, delivery, retry }
    }

    #[test]
    fn a_small_delivery_is_not_starved_by_a_large_one() {
        let mut line = FairQueue::default();
        for n in 0..1_000 {
            line.push(rank(Priority::Normal, 1, false), (1, n));
        }
        for n in 0..10 {
            line.push(rank(Priority::Normal, 2, false), (2, n));
        }
        let first: Vec<i32> = (0..20).filter_map(|_| line.pop()).map(|(delivery, _)| delivery).collect();
        assert_eq!(first.iter().filter(|d| **d == 2).count(), 10);
        assert_eq!(line.len(), 990);
    }

    #[test]
    fn priority_is_strict_with_a_floor_for_the_lowest() {
        let mut line = FairQueue::default();
        for n in 0..640 {
            line.push(rank(Priority::High, 1, false), n);
            line.push(rank(Priority::VeryLow, 2, false), 10_000 + n);
            line.push(rank(Priority::Normal, 3, false), 20_000 + n);
        }
        let got: Vec<i32> = (0..640).filter_map(|_| line.pop()).collect();
        assert_eq!(got.iter().filter(|n| (10_000..20_000).contains(*n)).count(), 10);
        assert_eq!(got.iter().filter(|n| **n < 10_000).count(), 630);
    }

    #[test]
    fn retries_get_up_to_half_and_all_when_alone() {
        let mut line = FairQueue::default();
        for n in 0..10 {
            line.push(rank(Priority::Normal, 1, true), n);
            line.push(rank(Priority::Normal, 1, false), 100 + n);
        }
        let got: Vec<i32> = (0..6).filter_map(|_| line.pop()).collect();
        assert_eq!(got, [0, 100, 1, 101, 2, 102]);
        let fresh = line.take_where(|n| *n >= 100);
        assert_eq!(fresh.len(), 7);
        let rest: Vec<i32> = std::iter::from_fn(|| line.pop()).collect();
        assert_eq!(rest, [3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(line.len(), 0);
    }

    #[test]
    fn a_blocked_delivery_keeps_its_place_and_holds_nobody_up() {
        let mut line = FairQueue::default();
        for n in 0..4 {
            line.push(rank(Priority::High, 1, false), n);
            line.push(rank(Priority::High, 2, false), 10 + n);
            line.push(rank(Priority::Low, 3, false), 20 + n);
        }
        let got: Vec<i32> = std::iter::from_fn(|| line.pop_unless(|delivery| delivery == 1)).collect();
        assert_eq!(got, [10, 11, 12, 13, 20, 21, 22, 23]);
        assert_eq!((line.len(), line.pop()), (4, Some(0)));
    }

    #[test]
    fn what_came_back_goes_first() {
        let mut line = FairQueue::default();
        line.push(rank(Priority::Normal, 1, false), 1);
        line.push_front(rank(Priority::Normal, 1, false), 0);
        assert_eq!(line.pop(), Some(0));
    }
}
