//! The gate: the one place where a message may become a transaction, and where stop, pause and suppression bite.
//!
//! Whoever begins a transaction holds a ticket. Closing the gate takes the same lock as entering it, so once `close`
//! returns nobody enters any more, and those inside are known by their tickets.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use queue::{Message, Run};
use tokio::sync::Notify;

/// The gate of one delivery.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    run: Arc<Run>,
    open: bool,
    tickets: HashMap<i64, Arc<Ticket>>,
}

const BEGUN: u8 = 0;
const PAST_DOT: u8 = 1;

/// A transaction under way, from MAIL until its result is on disk.
#[derive(Debug)]
pub struct Ticket {
    progress: AtomicU8,
    cut: AtomicBool,
    /// A seed's, which no report counts.
    seed: bool,
    /// Wakes its connection.
    connection: Arc<Notify>,
}

/// Where the transactions of a gate stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inside {
    /// Before their final dot.
    pub before_dot: usize,
    /// Past it, result not on disk.
    pub past_dot: usize,
    /// Seeds' messages, wherever they stand.
    pub seeds: usize,
}

impl State {
    fn inside(&self) -> Inside {
        let mut inside = Inside::default();
        for ticket in self.tickets.values() {
            match ticket {
                ticket if ticket.seed => inside.seeds += 1,
                ticket if ticket.is_past_dot() => inside.past_dot += 1,
                _ => inside.before_dot += 1,
            }
        }
        inside
    }
}

impl Inside {
    /// Nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Gate {
    /// An open gate.
    #[must_use]
    pub fn new(run: Arc<Run>) -> Self {
        Self { state: Mutex::new(State { run, open: true, tickets: HashMap::new() }), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run behind the gate.
    #[must_use]
    pub fn run(&self) -> Arc<Run> {
        Arc::clone(&self.state().run)
    }

    /// True while messages claimed in this epoch may enter.
    #[must_use]
    pub fn admits(&self, epoch: i64) -> bool {
        let state = self.state();
        state.open && state.run.epoch == epoch
    }

    /// Takes the newest version of the run; opens the gate when its epoch is newer than the one it was closed at.
    pub fn refresh(&self, run: Arc<Run>, open: bool) {
        let mut state = self.state();
        // A look at the database from before a stop must not open the gate again.
        if run.epoch > state.run.epoch {
            state.open = open;
            state.run = run;
        }
    }

    /// Lets one message in that was claimed in `epoch`. `connection` is woken when it is to be cut. `None`: the gate is closed,
    /// or validity is over, which is asked here because the database that would say so may be away.
    #[must_use]
    pub fn enter(
        &self,
        message: &Message,
        epoch: i64,
        connection: &Arc<Notify>,
        now_us: i64,
    ) -> Option<Arc<Ticket>> {
        let mut state = self.state();
        // A message claimed before a pause was released by it, and may have been claimed again since.
        if !state.open || state.run.epoch != epoch || state.run.spec.valid_until <= now_us {
            return None;
        }
        let ticket = Arc::new(Ticket {
            progress: AtomicU8::new(BEGUN),
            cut: AtomicBool::new(false),
            seed: message.is_seed(),
            connection: Arc::clone(connection),
        });
        state.tickets.insert(message.id, Arc::clone(&ticket));
        Some(ticket)
    }

    /// The message's result is on disk, or it was given up before its dot.
    pub fn leave(&self, message: i64) {
        let mut state = self.state();
        state.tickets.remove(&message);
        let wake = !state.open;
        drop(state);
        if wake {
            self.changed.notify_waiters();
        }
    }

    /// Lets nobody in any more, and says who is inside. One step: a look before the closing could miss who enters in
    /// between, and what seems to be nowhere would be claimed and sent once more.
    pub fn close(&self) -> Inside {
        let mut state = self.state();
        state.open = false;
        state.inside()
    }

    /// Tells every connection inside to give up what is not past its final dot.
    pub fn cut(&self) {
        for ticket in self.state().tickets.values() {
            ticket.cut.store(true, Ordering::Release);
            ticket.connection.notify_one();
        }
    }

    /// Says that a message moved past its dot.
    pub fn moved(&self) {
        self.changed.notify_waiters();
    }

    /// Where the transactions stand.
    #[must_use]
    pub fn inside(&self) -> Inside {
        self.state().inside()
    }

    /// Waits until `enough` holds.
    pub async fn wait_until(&self, enough: impl Fn(Inside) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that no change between look and wait is lost.
            changed.as_mut().enable();
            if enough(self.inside()) {
                return;
            }
            changed.await;
        }
    }
}

impl Ticket {
    /// The final dot was handed to the connection.
    pub fn pass_dot(&self) {
        self.progress.store(PAST_DOT, Ordering::Release);
    }

    /// True past the final dot.
    #[must_use]
    pub fn is_past_dot(&self) -> bool {
        self.progress.load(Ordering::Acquire) == PAST_DOT
    }

    /// True when it must be given up unless it is past its dot.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }
}
