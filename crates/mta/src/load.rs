//! A message in memory, between its claim and its result.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use queue::Message;
use tokio::sync::Notify;

use crate::exchange::Exchange;
use crate::fair::Rank;
use crate::gate::Gate;

/// What is held in memory over all lanes, and the bell that asks for more.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    bytes: AtomicUsize,
    pub refill: Notify,
}

/// Messages of one delivery's lane in memory.
#[derive(Debug)]
pub(crate) struct LaneMeter {
    held: AtomicUsize,
    /// Below so many the lane wants more.
    pub low: usize,
}

impl Budget {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl LaneMeter {
    pub(crate) fn new(low: usize) -> Self {
        Self { held: AtomicUsize::new(0), low }
    }

    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// Held messages count in their lane and in the budget as long as they live.
struct Held {
    message: Message,
    gate: Arc<Gate>,
    lane: Arc<LaneMeter>,
    budget: Arc<Budget>,
    bytes: usize,
    since_us: i64,
    epoch: i64,
    line: Weak<Exchange>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        let before = self.lane.held.fetch_sub(1, Ordering::Relaxed);
        if before == self.lane.low || before == 1 {
            self.budget.refill.notify_one();
        }
    }
}

/// A held message. Once it is in a line, dropping it by any accident (a connection that ends, a thread that panics) puts it
/// back at its front: only [`Load::finish`] takes it out of memory.
pub(crate) struct Load(Option<Box<Held>>);

impl Load {
    /// A message that was claimed in `epoch`. Until it is put in a line nothing catches it: whoever holds it then must not
    /// fail (the feeder gives back what is claimed and in nobody's hands, but only by and by).
    pub(crate) fn new(
        message: Message,
        (gate, epoch): (Arc<Gate>, i64),
        lane: Arc<LaneMeter>,
        budget: Arc<Budget>,
        now_us: i64,
    ) -> Self {
        let bytes = message.size();
        budget.bytes.fetch_add(bytes, Ordering::Relaxed);
        lane.held.fetch_add(1, Ordering::Relaxed);
        Self(Some(Box::new(Held {
            message,
            gate,
            lane,
            budget,
            bytes,
            since_us: now_us,
            epoch,
            line: Weak::new(),
        })))
    }

    fn held(&self) -> &Held {
        self.0.as_ref().expect("a load is empty only after finish or drop, which consume it")
    }

    pub(crate) fn message(&self) -> &Message {
        &self.held().message
    }

    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.held().gate
    }

    /// The epoch of its claim.
    pub(crate) fn epoch(&self) -> i64 {
        self.held().epoch
    }

    /// True while its delivery wants it to go out.
    pub(crate) fn is_wanted(&self) -> bool {
        self.gate().admits(self.epoch())
    }

    /// Those of these messages that are wanted. The others leave memory: another epoch may have claimed them, or will.
    pub(crate) fn wanted(loads: Vec<Load>) -> Vec<Load> {
        let (wanted, rest): (Vec<Load>, Vec<Load>) = loads.into_iter().partition(Load::is_wanted);
        rest.into_iter().for_each(Load::finish);
        wanted
    }

    pub(crate) fn since_us(&self) -> i64 {
        self.held().since_us
    }

    pub(crate) fn rank(&self) -> Rank {
        let message = self.message();
        Rank {
            priority: self.gate().run().spec.priority,
            delivery: message.delivery(),
            retry: message.past.retried,
        }
    }

    pub(crate) fn set_line(&mut self, line: &Arc<Exchange>) {
        if let Some(held) = &mut self.0 {
            held.line = Arc::downgrade(line);
        }
    }

    /// Takes it out of memory: its result goes to the settler, or its delivery does not want it any more.
    pub(crate) fn finish(mut self) {
        self.0 = None;
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(held) = self.0.take()
            && let Some(line) = held.line.upgrade()
        {
            line.put_front(Load(Some(held)));
        }
    }
}
