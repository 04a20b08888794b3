//! Threads that compose and sign: one job, no await, below the I/O in rank so that sockets are served first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

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
    done: oneshot::Sender<Vec<Prepared>>,
}

/// The threads. Jobs are bounded by the connections: each has one in preparation.
pub(crate) struct Composers {
    jobs: Sender<Job>,
    composed: Arc<AtomicUsize>,
}

impl Composers {
    pub(crate) fn start(threads: usize, compose: &Arc<dyn Compose>) -> std::io::Result<Self> {
        let (jobs, receiver) = channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        let composed = Arc::new(AtomicUsize::new(0));
        for number in 0..threads.max(1) {
            let (receiver, compose) = (Arc::clone(&receiver), Arc::clone(compose));
            let composed = Arc::clone(&composed);
            std::thread::Builder::new().name(format!("compose-{number}")).spawn(move || {
                lower_rank();
                work(&receiver, &*compose, &composed);
            })?;
        }
        Ok(Self { jobs, composed })
    }

    /// Starts composing; the receiver yields the results in this order. It fails only when the threads are gone.
    pub(crate) fn order(&self, loads: Vec<Load>) -> oneshot::Receiver<Vec<Prepared>> {
        let (done, receiver) = oneshot::channel();
        // When the threads are gone the receiver reports it: the sender is dropped with the job.
        let _ = self.jobs.send(Job { loads, done });
        receiver
    }

    /// Messages composed since the start.
    pub(crate) fn composed(&self) -> usize {
        self.composed.load(Ordering::Relaxed)
    }
}

fn work(receiver: &Mutex<Receiver<Job>>, compose: &dyn Compose, composed: &AtomicUsize) {
    loop {
        let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { loads, done }) = job else { return };
        let mut made = Vec::with_capacity(loads.len());
        for load in loads {
            if done.is_closed() {
                // The connection has gone; dropping the load puts it back in its line.
                continue;
            }
            // A panic of a template or a key must not take the thread, and with it every delivery, down.
            let order = Order { message: load.message() };
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| compose.compose(order)))
                .unwrap_or_else(|_| Err(ComposeError::Message("composing this message panicked".to_owned())));
            composed.fetch_add(1, Ordering::Relaxed);
            made.push((load, result));
        }
        // The connection may have gone meanwhile; the loads then go back in their line as they are dropped.
        let _ = done.send(made);
    }
}

/// On Linux a process priority set by a thread for itself holds for that thread alone.
fn lower_rank() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "compose threads run at normal rank");
    }
}
