//! Threads that compose and sign: one job, no await, below the I/O in rank so that sockets are served first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::backlog::Pending;
use crate::config::{SPARE_BUFFER_LEN_MAX, SPARE_BUFFERS_MAX};
use crate::load::Load;
use crate::world::{Compose, ComposeError, Order};

/// How far below normal the threads run.
const NICE: i32 = 5;

/// A composed message with what it was composed from.
pub(crate) type Prepared = (Load, Result<message::Composed, ComposeError>);

/// A few messages of one connection, made one after another: it is woken once for all of them, and then has the next
/// one in its hands while a body goes out.
struct Job {
    loads: Vec<Load>,
    pending: Pending,
    done: oneshot::Sender<Vec<Prepared>>,
}

/// The threads. Jobs are bounded by the connections: each has one in preparation.
pub(crate) struct Composers {
    jobs: Sender<Job>,
    shared: Arc<Shared>,
}

/// What the threads have in common with those who order.
#[derive(Default)]
struct Shared {
    composed: AtomicUsize,
    /// Buffers of messages that went out. Filled again their memory is still mapped and warm, where the allocator would
    /// give it back to the system, since it was taken in one thread and freed in another.
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Shared {
    fn spare(&self) -> Vec<u8> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }
}

impl Composers {
    pub(crate) fn start(threads: usize, compose: &Arc<dyn Compose>) -> std::io::Result<Self> {
        let (jobs, receiver) = channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        let shared = Arc::new(Shared::default());
        for number in 0..threads.max(1) {
            let (receiver, compose) = (Arc::clone(&receiver), Arc::clone(compose));
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("compose-{number}")).spawn(move || {
                lower_rank();
                work(&receiver, &*compose, &shared);
            })?;
        }
        Ok(Self { jobs, shared })
    }

    /// Starts composing; the receiver yields the results in this order. It fails only when the threads are gone.
    pub(crate) fn order(&self, loads: Vec<Load>) -> oneshot::Receiver<Vec<Prepared>> {
        let (done, receiver) = oneshot::channel();
        // When the threads are gone the receiver reports it: the sender is dropped with the job.
        let pending = Pending::new(loads.len());
        let _ = self.jobs.send(Job { loads, pending, done });
        receiver
    }

    /// Messages composed since the start.
    pub(crate) fn composed(&self) -> usize {
        self.shared.composed.load(Ordering::Relaxed)
    }

    /// Takes a buffer back that is free again.
    pub(crate) fn take_back(&self, mut buffer: Vec<u8>) {
        if (1..=SPARE_BUFFER_LEN_MAX).contains(&buffer.capacity()) {
            buffer.clear();
            let mut spare = self.shared.spare.lock().unwrap_or_else(PoisonError::into_inner);
            if spare.len() < SPARE_BUFFERS_MAX {
                spare.push(buffer);
            }
        }
    }
}

fn work(receiver: &Mutex<Receiver<Job>>, compose: &dyn Compose, shared: &Shared) {
    loop {
        let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { loads, pending, done }) = job else { return };
        let begun = Instant::now();
        let mut made = Vec::with_capacity(loads.len());
        for load in loads {
            if done.is_closed() {
                // The connection has gone; dropping the load puts it back in its line.
                continue;
            }
            // A panic of a template or a key must not take the thread, and with it every delivery, down.
            let order = Order { message: load.message() };
            let make = || compose.compose_in(order, shared.spare());
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(make))
                .unwrap_or_else(|_| Err(ComposeError::Message("composing this message panicked".to_owned())));
            shared.composed.fetch_add(1, Ordering::Relaxed);
            made.push((load, result));
        }
        pending.done(begun.elapsed());
        // The connection may have gone meanwhile; the loads then go back in their line as they are dropped.
        let _ = done.send(made);
    }
}

/// Gives the calling thread the rank of those that compose: sockets and commits go first. On Linux a process priority set
/// by a thread for itself holds for that thread alone.
pub fn lower_rank() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "compose threads run at normal rank");
    }
}
