//! `Archive`: the asynchronous face of the room.

use std::sync::{Arc, Mutex, PoisonError};

use mta::{Compose, World};
use queue::Queue;
use queue::copies::{self, Held};
use store::Lane;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::bench::Bench;
use crate::config::{Config, Keeping};
use crate::limits::DRAIN;
use crate::state::{State, Way};
use crate::work::{self, Setup, Shared};
use crate::{Result, records};

/// What the archive works with.
pub struct Parts {
    /// What is owed.
    pub queue: Queue,
    /// Makes the bytes again. Not the engine's own instance, so that neither forgets what the other needs.
    pub compose: Arc<dyn Compose>,
    /// Network and clock.
    pub world: Arc<dyn World>,
}

/// The archive. Cheap to clone.
#[derive(Clone)]
pub struct Archive {
    shared: Arc<Shared>,
    setup: Arc<watch::Sender<Setup>>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").finish_non_exhaustive()
    }
}

impl Archive {
    /// Starts on the current runtime.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub fn start(config: Config, parts: Parts) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: parts.queue,
            compose: parts.compose,
            bench: Bench::start()?,
            kick: Notify::new(),
            trouble: Mutex::default(),
        });
        let (setup, setups) = watch::channel(Setup { config, world: parts.world, closing: false });
        let task = tokio::spawn(work::run(Arc::clone(&shared), setups));
        Ok(Self { shared, setup: Arc::new(setup), task: Arc::new(Mutex::new(Some(task))) })
    }

    /// Another configuration: what is under way is brought to its end, the rest goes the new way.
    pub fn configure(&self, config: Config, world: Arc<dyn World>) {
        self.setup.send_modify(|setup| (setup.config, setup.world) = (config, world));
    }

    /// True when copies have somewhere to go.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        !matches!(self.setup.borrow().config.keeping, Keeping::Nowhere { .. })
    }

    /// How it stands.
    ///
    /// # Errors
    /// The database's.
    pub async fn state(&self) -> Result<State> {
        let (owed, totals) = self.figures(None).await?;
        let way = Way::of(&self.setup.borrow().config.keeping);
        let trouble = self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(State {
            way,
            waiting: owed.waiting,
            held: owed.held,
            oldest: owed.oldest,
            put_off: owed.put_off,
            archived: totals.copies,
            octets: totals.octets,
            last_at: totals.last_at,
            trouble,
        })
    }

    /// Copies of one delivery: waiting, held, archived.
    ///
    /// # Errors
    /// The database's.
    pub async fn of_delivery(&self, delivery: i64) -> Result<(i64, i64, i64)> {
        let (owed, totals) = self.figures(Some(delivery)).await?;
        Ok((owed.waiting, owed.held, totals.copies))
    }

    async fn figures(&self, delivery: Option<i64>) -> Result<(copies::Owed, records::Totals)> {
        let store = self.shared.queue.store();
        store.read(move |tx| Ok((copies::owed(tx, delivery)?, records::totals(tx, delivery)?))).await
    }

    /// Held copies by message number, after `after`.
    ///
    /// # Errors
    /// The database's.
    pub async fn held(&self, after: i64, limit: usize) -> Result<Vec<Held>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let held = self.shared.queue.store().read(move |tx| copies::held(tx, after, limit)).await?;
        Ok(held)
    }

    /// Everything that is owed is tried now: held copies, those that wait, and whatever rests. Answers how many were held.
    ///
    /// # Errors
    /// The database's.
    pub async fn try_again(&self) -> Result<u64> {
        let now = self.setup.borrow().world.now_us();
        let store = self.shared.queue.store();
        let held = store.write(Lane::Urgent, move |tx| copies::try_again(tx, now)).await?;
        self.shared.kick.notify_one();
        Ok(held)
    }

    /// Gives up held copies for good. Answers how many of them were held.
    ///
    /// # Errors
    /// The database's.
    pub async fn give_up(&self, messages: Vec<i64>) -> Result<u64> {
        let store = self.shared.queue.store();
        let given = store.write(Lane::Urgent, move |tx| copies::give_up(tx, &messages)).await?;
        Ok(given)
    }

    /// Ends in order: the copies under way are finished, for [`DRAIN`] at most. What is not done is done after the next
    /// start. A second call does nothing.
    pub async fn shutdown(&self) {
        self.setup.send_modify(|setup| setup.closing = true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut task) = task else { return };
        if tokio::time::timeout(DRAIN, &mut task).await.is_err() {
            tracing::warn!("copies were still under way at the end of the drain time; they are made again");
            task.abort();
        }
    }
}
