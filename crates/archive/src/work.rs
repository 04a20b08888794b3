//! The archive's one task: looks where copies go and works there until that changes. What is shared by both ways is
//! here: looking for copies, resting, committing, and what pages show.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mta::{Compose, World};
use queue::Queue;
use queue::copies::{self, Copy, Untaken};
use store::Lane;
use tokio::sync::{Notify, watch};

use crate::bench::Bench;
use crate::config::{Config, Keeping};
use crate::exact::{self, Exact};
use crate::limits::{LOOK, LOOK_SPACING, NOT_NOW_WAIT, PAGE_MAX, REST, REST_MAX};
use crate::records::{self, Safe};
use crate::state::Trouble;
use crate::{Result, folder, post};

/// What is in force.
#[derive(Clone)]
pub(crate) struct Setup {
    pub config: Config,
    pub world: Arc<dyn World>,
    /// The program ends.
    pub closing: bool,
}

/// What the task and the service share.
pub(crate) struct Shared {
    pub queue: Queue,
    pub compose: Arc<dyn Compose>,
    pub bench: Bench,
    /// Somebody wants owed copies to be looked at now, whatever rests.
    pub kick: Notify,
    pub trouble: Mutex<Option<Trouble>>,
}

/// Works until the program ends.
pub(crate) async fn run(shared: Arc<Shared>, mut setups: watch::Receiver<Setup>) {
    loop {
        let setup = setups.borrow_and_update().clone();
        if setup.closing {
            return;
        }
        let turn = Turn { shared: Arc::clone(&shared), world: setup.world, changed: setups.clone() };
        turn.works();
        match &setup.config.keeping {
            Keeping::Nowhere { .. } => turn.over().await,
            Keeping::Post(config) => post::work(&turn, config).await,
            Keeping::Folder(config) => folder::work(&turn, config).await,
        }
    }
}

/// Microseconds of a duration.
pub(crate) fn us(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A rest that doubles with each failure; a wait that the other side named counts too, up to [`REST_MAX`].
pub(crate) fn rest_after(failures: u32, named_s: Option<u32>) -> Duration {
    let own = REST.saturating_mul(2_u32.saturating_pow(failures.min(16)));
    own.max(Duration::from_secs(named_s.unwrap_or(0).into())).min(REST_MAX)
}

/// The work under one setup.
#[derive(Clone)]
pub(crate) struct Turn {
    pub shared: Arc<Shared>,
    pub world: Arc<dyn World>,
    changed: watch::Receiver<Setup>,
}

impl Turn {
    /// Another setup is in force, or the program ends: begin nothing more.
    pub(crate) fn is_over(&self) -> bool {
        self.changed.has_changed().unwrap_or(true)
    }

    /// Waits until [`Turn::is_over`].
    pub(crate) async fn over(&self) {
        let mut changed = self.changed.clone();
        // An error means that the service is gone, which is the end too.
        let _ = changed.changed().await;
    }

    pub(crate) fn now_us(&self) -> i64 {
        self.world.now_us()
    }

    /// Waits until copies are announced, the time has come, somebody asks, or the turn is over.
    pub(crate) async fn wait_for_copies(&self, at_most: Duration) {
        tokio::select! {
            () = self.shared.queue.wait_for_copies() => self.pause(LOOK_SPACING).await,
            () = self.pause(at_most.min(LOOK)) => {}
        }
    }

    /// Waits that long, unless somebody asks or the turn is over.
    pub(crate) async fn pause(&self, time: Duration) {
        tokio::select! {
            () = self.world.sleep_until(self.now_us() + us(time)) => {}
            () = self.shared.kick.notified() => {}
            () = self.over() => {}
        }
    }

    /// Rests after a failure that concerns every copy; pages show it.
    pub(crate) async fn rest(&self, words: &str, time: Duration) {
        let at = self.now_us();
        tracing::warn!(error = words, rest_s = time.as_secs(), "copies cannot be archived at present");
        self.note(Trouble { at, words: words.to_owned(), until: Some(at + us(time)) });
        self.pause(time).await;
    }

    /// Shows a trouble.
    pub(crate) fn note(&self, trouble: Trouble) {
        *self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
    }

    /// A copy was taken, or another setup is in force: the last trouble is over.
    pub(crate) fn works(&self) {
        *self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Copies that are due, after `after` in their order.
    pub(crate) async fn page(&self, after: Option<(i64, i64)>, limit: i64) -> Result<Vec<Copy>> {
        let now = self.now_us();
        let limit = limit.min(PAGE_MAX);
        let page = self.shared.queue.store().read(move |tx| copies::due(tx, now, after, limit)).await?;
        Ok(page)
    }

    /// Has what composing needs loaded. `Err`: not at present, and why.
    pub(crate) async fn prepare(&self, copy: &Copy) -> std::result::Result<(), Untaken> {
        let prepared = self.shared.compose.prepare(&copy.message.part).await;
        prepared.map_err(|error| self.not_now(copy, &error.to_string()))
    }

    fn not_now(&self, copy: &Copy, words: &str) -> Untaken {
        let due = Some(self.now_us() + us(NOT_NOW_WAIT));
        Untaken { id: copy.message.id, due, error: words.to_owned(), counts: false }
    }

    /// The bytes that were sent; `Err`: what becomes of the copy without them. Runs on the calling thread.
    pub(crate) fn exact(&self, copy: &Copy) -> std::result::Result<Vec<u8>, Untaken> {
        match exact::compose(&*self.shared.compose, copy) {
            Exact::Bytes(bytes) => Ok(bytes),
            Exact::Never(error) => {
                tracing::error!(message = copy.message.id, error, "a copy is held");
                Err(Untaken { id: copy.message.id, due: None, error, counts: false })
            }
            Exact::NotNow(words) => Err(self.not_now(copy, &words)),
        }
    }

    /// Commits results, however long the database is away.
    pub(crate) async fn commit(&self, safe: Vec<Safe>, untaken: Vec<Untaken>) {
        let now = self.now_us();
        let (safe, untaken) = (Arc::new(safe), Arc::new(untaken));
        for failures in 0.. {
            let (safe, untaken) = (Arc::clone(&safe), Arc::clone(&untaken));
            let store = self.shared.queue.store();
            let written = store.write(Lane::Bulk, move |tx| {
                records::take(tx, &safe, now)?;
                copies::untaken(tx, &untaken)?;
                Ok::<_, crate::Error>(())
            });
            let Err(error) = written.await else { return };
            tracing::warn!(%error, "archived copies could not be noted, trying again");
            // In real time: what is not committed is sent again after a crash.
            tokio::time::sleep(rest_after(failures, None)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_and_end() {
        assert_eq!(rest_after(0, None), REST);
        assert_eq!(rest_after(3, None), REST * 8);
        assert_eq!(rest_after(0, Some(30)), Duration::from_secs(30));
        assert_eq!(rest_after(1_000_000, Some(u32::MAX)), REST_MAX);
    }
}
