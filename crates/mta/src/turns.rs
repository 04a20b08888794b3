//! Who gets the next connection, where there are fewer than receivers want: exchanges that wait for one of their path, of
//! their site over all sources, or of the node. They go as messages go inside one line: strictly by priority with a floor
//! for the lowest, in turn over deliveries, and first come, first served within one.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::exchange::Exchange;
use crate::fair::FairQueue;

/// A busy connection gives way to an equal that waits after so many messages …
const TURN_MESSAGES: u32 = 20;
/// … or after this time: on a slowed path twenty messages may take an hour.
const TURN_US: i64 = 15_000_000;
/// One connection at a time gives way; another one when the first has not ended within this time (its receiver is slow).
const GIVING_WAY_US: i64 = 1_000_000;

/// Priorities. Level 1 is the lowest, so that 0 can be nobody's.
const LEVELS: u8 = queue::Priority::VeryHigh as u8 + 1;

/// Where an exchange stands in a line: its level there; 0: nowhere.
type Place = fn(&Exchange) -> &AtomicU8;

/// A line of exchanges for connections.
#[derive(Debug)]
pub(crate) struct Turns {
    place: Place,
    line: Mutex<FairQueue<(Weak<Exchange>, u8)>>,
    /// How many stand in it, also by level. An exchange whose priority rose stands twice until its turn comes.
    len: AtomicUsize,
    by_level: [AtomicUsize; LEVELS as usize + 1],
    /// When a connection began to give way; `i64::MIN`: none does.
    giving_way_us: AtomicI64,
}

/// What a connection is about, where another exchange might want it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// The level of what it has in hand or in its line.
    pub level: u8,
    /// Messages begun on it.
    pub begun: u32,
    /// When it came to stand.
    pub since_us: i64,
}

impl Turns {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            place,
            line: Mutex::default(),
            len: AtomicUsize::new(0),
            by_level: std::array::from_fn(|_| AtomicUsize::new(0)),
            giving_way_us: AtomicI64::new(i64::MIN),
        }
    }

    fn line(&self) -> MutexGuard<'_, FairQueue<(Weak<Exchange>, u8)>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets an exchange wait for its turn. Asked for each message that arrives: one look where it stands already.
    #[inline]
    pub(crate) fn join(&self, exchange: &Arc<Exchange>) {
        let level = exchange.level();
        if level > (self.place)(exchange).load(Ordering::Acquire) {
            self.stand(exchange, false);
        }
    }

    /// Its turn had come, and somebody else has to be asked first: it stands in front of its kind again.
    pub(crate) fn rejoin(&self, exchange: &Arc<Exchange>) {
        self.stand(exchange, true);
    }

    fn stand(&self, exchange: &Arc<Exchange>, in_front: bool) {
        let Some(rank) = exchange.rank() else { return };
        let level = rank.priority as u8 + 1;
        if (self.place)(exchange).swap(level, Ordering::AcqRel) == level {
            return;
        }
        let mut line = self.line();
        let entry = (Arc::downgrade(exchange), level);
        if in_front {
            line.push_front(rank, entry)
        } else {
            line.push(rank, entry)
        }
        self.by_level[usize::from(level)].fetch_add(1, Ordering::AcqRel);
        self.len.store(line.len(), Ordering::Release);
    }

    /// The exchange whose turn it is.
    pub(crate) fn next(&self) -> Option<Arc<Exchange>> {
        if self.is_empty() {
            return None;
        }
        let mut line = self.line();
        let found = std::iter::from_fn(|| line.pop()).find_map(|(exchange, level)| {
            self.by_level[usize::from(level)].fetch_sub(1, Ordering::AcqRel);
            let exchange = exchange.upgrade()?;
            // Otherwise it had its turn at a higher priority.
            let here =
                (self.place)(&exchange).compare_exchange(level, 0, Ordering::AcqRel, Ordering::Acquire);
            here.is_ok().then_some(exchange)
        });
        self.len.store(line.len(), Ordering::Release);
        found
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// The highest level that waits; 0: nobody.
    pub(crate) fn top(&self) -> u8 {
        self.top_but_for(0)
    }

    /// The highest level at which somebody other than this exchange waits; 0: nobody does.
    pub(crate) fn top_other_than(&self, exchange: &Exchange) -> u8 {
        self.top_but_for((self.place)(exchange).load(Ordering::Acquire))
    }

    fn top_but_for(&self, place: u8) -> u8 {
        let waits = |level: &u8| {
            let waiting = self.by_level[usize::from(*level)].load(Ordering::Acquire);
            waiting > usize::from(*level == place)
        };
        if self.is_empty() { 0 } else { (1..=LEVELS).rev().find(waits).unwrap_or(0) }
    }

    /// True when this connection is to end for whoever waits: for a higher level after the first message (or the floor's
    /// turns would be none), for an equal when its turn is over. One at a time is told so.
    pub(crate) fn is_over(&self, exchange: &Exchange, turn: Turn, now_us: i64) -> bool {
        let top = self.top_other_than(exchange);
        if top == 0 || top < turn.level || turn.begun == 0 {
            return false;
        }
        let long = turn.begun >= TURN_MESSAGES || now_us - turn.since_us >= TURN_US;
        (top > turn.level || long) && self.gives_way(now_us)
    }

    fn gives_way(&self, now_us: i64) -> bool {
        let before = self.giving_way_us.load(Ordering::Acquire);
        let free = before == i64::MIN || (now_us - before).abs() >= GIVING_WAY_US;
        free && self
            .giving_way_us
            .compare_exchange(before, now_us, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// A connection has ended: the next one may give way.
    pub(crate) fn ended(&self) {
        self.giving_way_us.store(i64::MIN, Ordering::Release);
    }
}
