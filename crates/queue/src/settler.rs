//! The settler: a self-clocking group commit. The next batch is all that arrived while the last commit ran, so a quiet
//! queue settles at once and a busy one in large batches. On a fast disk that alone makes many small commits, which
//! cost a quarter of a core at 3,500 messages a second, so two commits are [`COMMIT_SPACING`] apart.
//!
//! It has a thread of its own. As a task among the connections it was woken three times for a commit (a result came, the
//! rest was over, the commit stood), and each time stood behind all that connections had to do: with thousands that open
//! at once a result waited 200 ms for a commit that takes three.
//!
//! A permit is had before DATA and travels with the result until it is on disk. When the database is away no permit
//! comes back, so no DATA begins; what was already on its way is kept and tried again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::limits::{
    BATCH_MAX, COMMIT_SPACING, DATABASE_WAIT_MAX_MS, DATABASE_WAIT_MS, REFUSALS_MAX, REPLY_LEN_MAX,
    UNSETTLED_MAX,
};
use crate::types::{Quarantine, Settlement, lane_site};
use crate::{Error, Queue, Result};

/// The right to have one more result that is not on disk yet.
#[derive(Debug)]
pub struct UnsettledPermit(#[allow(dead_code)] OwnedSemaphorePermit);

/// A result on its way, and since when.
struct Item {
    settlement: Settlement,
    permit: Option<UnsettledPermit>,
    hook: Option<SettledHook>,
    since: Instant,
}

/// Called once the result is on disk, on the settler's thread: it must not wait for anything.
type SettledHook = Box<dyn FnOnce() + Send>;

/// Takes results and writes them. Dropping every clone ends it after the last result is on disk.
#[derive(Clone)]
pub struct Settler {
    queue: Queue,
    sender: mpsc::UnboundedSender<Item>,
    permits: Arc<Semaphore>,
    idle: Arc<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    waiting: std::sync::atomic::AtomicUsize,
    changed: Notify,
}

impl std::fmt::Debug for Settler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settler").field("unsettled", &self.unsettled()).finish_non_exhaustive()
    }
}

impl Settler {
    /// Starts the settler on a thread of its own. The receiver hears when that has ended.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(
        queue: Queue,
        quarantine: Arc<dyn Quarantine>,
    ) -> std::io::Result<(Self, oneshot::Receiver<()>)> {
        // Unbounded by type, bounded by permits: results without a permit are only cancellations and parked messages,
        // which are bounded by what is claimed.
        let (sender, receiver) = mpsc::unbounded_channel();
        let idle = Arc::new(Idle::default());
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let work = run(queue.clone(), quarantine, receiver, Arc::clone(&idle));
        std::thread::Builder::new().name("settle".to_owned()).spawn(move || {
            runtime.block_on(work);
            // Nobody waits for the end but tests.
            let _ = end.send(());
        })?;
        Ok((Self { queue, sender, permits: Arc::new(Semaphore::new(UNSETTLED_MAX)), idle }, ended))
    }

    /// Waits for the right to produce one more result. Ask before MAIL.
    ///
    /// # Errors
    /// [`Error::Closed`] at shutdown.
    pub async fn permit(&self) -> Result<UnsettledPermit> {
        Arc::clone(&self.permits).acquire_owned().await.map(UnsettledPermit).map_err(|_| Error::Closed)
    }

    /// The same right where it is to be had at once.
    #[must_use]
    pub fn try_permit(&self) -> Option<UnsettledPermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok().map(UnsettledPermit)
    }

    /// Hands over a result. `settled` is called when it is on disk.
    pub fn submit(
        &self,
        mut settlement: Settlement,
        permit: Option<UnsettledPermit>,
        settled: Option<SettledHook>,
    ) {
        // A site that the plan names keeps its line, however many small domains answered before it.
        if lane_site(&settlement.part.lane) != &*settlement.site {
            settlement.site = self.queue.tally_site(settlement.part.delivery, &settlement.site);
        }
        if let Some(reply) = &mut settlement.reply {
            reply.truncate(reply.floor_char_boundary(REPLY_LEN_MAX));
        }
        self.idle.waiting.fetch_add(1, Ordering::AcqRel);
        let item = Item { settlement, permit, hook: settled, since: Instant::now() };
        if self.sender.send(item).is_err() {
            // Only when the thread has panicked: the process is going down, and the message is still pending on disk.
            self.idle.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Results not on disk yet.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.idle.waiting.load(Ordering::Acquire)
    }

    /// Waits until every result handed over so far is on disk.
    pub async fn drained(&self) {
        loop {
            let changed = self.idle.changed.notified();
            if self.unsettled() == 0 {
                return;
            }
            changed.await;
        }
    }
}

async fn run(
    queue: Queue,
    quarantine: Arc<dyn Quarantine>,
    mut receiver: mpsc::UnboundedReceiver<Item>,
    idle: Arc<Idle>,
) {
    queue.rehearse().await;
    let mut held: Option<Item> = None;
    let mut ended: Option<Instant> = None;
    loop {
        let first = match held.take() {
            Some(item) => item,
            None => match receiver.recv().await {
                Some(item) => item,
                None => return,
            },
        };
        if let Some(rest) = ended.and_then(|ended| COMMIT_SPACING.checked_sub(ended.elapsed())) {
            // The thread has nothing else to do, and a timer would round up to whole milliseconds.
            std::thread::sleep(rest);
        }
        let mut batch = Vec::with_capacity(64);
        let mut ids = HashSet::new();
        let mut carried = Vec::new();
        let mut next = Some(first);
        while let Some(item) = next.take() {
            // Two results of one message never share a batch: the second must see the first one's rows.
            if !ids.insert(item.settlement.id) {
                held = Some(item);
                break;
            }
            batch.push(item.settlement);
            carried.push((item.permit, item.hook, item.since));
            if batch.len() < BATCH_MAX {
                next = receiver.try_recv().ok();
            }
        }
        if !commit(&queue, &quarantine, batch).await {
            return;
        }
        let now = Instant::now();
        ended = Some(now);
        idle.waiting.fetch_sub(carried.len(), Ordering::AcqRel);
        for (permit, hook, since) in carried {
            queue.live().waited(now.duration_since(since));
            drop(permit);
            if let Some(hook) = hook {
                hook();
            }
        }
        idle.changed.notify_waiters();
    }
}

/// Commits one batch, however long the database is away. What it refuses for its content is halved until the culprit is
/// alone: others' results do not wait for it. False: the store was closed under it, the process is going down, and what is
/// unwritten is still pending on disk.
async fn commit(queue: &Queue, quarantine: &Arc<dyn Quarantine>, batch: Vec<Settlement>) -> bool {
    let whole = batch.len();
    let mut pieces = vec![batch];
    while let Some(piece) = pieces.pop() {
        let piece = Arc::new(piece);
        // Halving does no harm, so a piece is not asked about often; giving up one's words does.
        let tries = if piece.len() == whole || piece.len() == 1 { REFUSALS_MAX } else { 1 };
        match write(queue, quarantine, &piece, tries).await {
            Ok(()) => {
                queue.live().settled(&piece);
                piece.iter().for_each(|s| s.part.open.settle(s.part.place(s.id)));
            }
            Err(error) if is_closed(&error) => {
                tracing::warn!(results = piece.len(), "the database was closed before results were written");
                return false;
            }
            Err(error) => match piece.split_at(piece.len() / 2) {
                ([], [one]) => pieces.extend(without_words(one, &error).map(|bare| vec![bare])),
                (first, second) => pieces.extend([second.to_vec(), first.to_vec()]),
            },
        }
    }
    true
}

/// Our own end, not the database's.
fn is_closed(error: &Error) -> bool {
    matches!(error, Error::Store(store::Error::Closed))
}

/// Writes a batch or finds that the database refuses it. A batch is idempotent, so a lost answer does no harm.
async fn write(
    queue: &Queue,
    quarantine: &Arc<dyn Quarantine>,
    batch: &Arc<Vec<Settlement>>,
    tries: u32,
) -> Result<()> {
    let done = done_by(batch);
    let (mut wait_ms, mut refused) = (DATABASE_WAIT_MS, 0);
    loop {
        let Err(error) = queue.settle(Arc::clone(batch), done.clone(), Arc::clone(quarantine)).await else {
            return Ok(());
        };
        refused += u32::from(refuses(&error));
        if refused >= tries || is_closed(&error) {
            return Err(error);
        }
        tracing::warn!(%error, results = batch.len(), wait_ms, "results could not be written, trying again");
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        wait_ms = (wait_ms * 2).min(DATABASE_WAIT_MAX_MS);
    }
}

/// True where waiting does not help, as far as an error tells: the database is there and does not want this.
fn refuses(error: &Error) -> bool {
    use store::Error::{Constraint, NoRow, Panicked, Statement, Type};
    match error {
        Error::Store(error) => {
            matches!(error, Constraint { .. } | Statement { .. } | Type(_) | NoRow | Panicked(_))
        }
        Error::Closed => false,
        _ => true,
    }
}

/// Parts whose last open messages are in the batch.
fn done_by(batch: &[Settlement]) -> Vec<i64> {
    let mut open: HashMap<i64, i64> = HashMap::new();
    for s in batch.iter().filter(|s| s.part.open.awaits(s.part.place(s.id))) {
        *open.entry(s.part.first_id).or_default() += 1;
    }
    let closes = |s: &&Settlement| {
        let left = s.part.open.left();
        left > 0 && open.remove(&s.part.first_id).is_some_and(|count| count >= left)
    };
    batch.iter().filter(closes).map(|s| s.part.first_id).collect()
}

/// A result that the database refuses, once more without what comes from outside: the receiver's words, and the quarantine that
/// they ask for. `None`: it was that already. Then the message stays pending, and a restart tries it again.
fn without_words(refused: &Settlement, error: &Error) -> Option<Settlement> {
    if refused.reply.is_none() && refused.nonexistent.is_none() && refused.source.is_none() {
        tracing::error!(message = refused.id, %error, "a result cannot be written and is set aside: its message stays pending");
        return None;
    }
    tracing::error!(message = refused.id, %error, "a result cannot be written with the receiver's words: they are left out");
    Some(Settlement { reply: None, nonexistent: None, source: None, ..refused.clone() })
}
