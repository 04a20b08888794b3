//! How many results may wait for their commit: so many of a connection, and so many of all. Without a right to one more no
//! DATA begins, so while the database is away nothing is sent that could not be written down, and a crash sends only as
//! many twice.
//!
//! A connection that ends leaves its allowance to the next one of its path. With one of its own for each, a receiver that
//! takes few messages a connection would take the bound of all while a disk is full: connection after connection would
//! send its few.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use queue::UnsettledPermit;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::UNSETTLED_PER_CONNECTION;

/// The rights to one more unsettled result, of the queue and of the connection.
pub(crate) type Permits = (UnsettledPermit, OwnedSemaphorePermit);

/// Allowances that ended connections of a path left behind with results still unsettled, the oldest first. Each result
/// keeps its allowance alive; when the last one is on disk nobody needs to hear of it.
#[derive(Debug, Default)]
pub(crate) struct Allowances(Mutex<VecDeque<Weak<Semaphore>>>);

impl Allowances {
    fn left(&self) -> MutexGuard<'_, VecDeque<Weak<Semaphore>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One for a connection that begins: what an ended one left, else a new one. So there are never more of them than the
    /// path had connections at once.
    pub(crate) fn take(self: &Arc<Self>) -> Allowance {
        let mut left = self.left();
        let found = std::iter::from_fn(|| left.pop_front()).find_map(|allowance| allowance.upgrade());
        let permits = found.unwrap_or_else(|| Arc::new(Semaphore::new(UNSETTLED_PER_CONNECTION)));
        Allowance { permits, path: Arc::clone(self) }
    }
}

/// What one connection may have unsettled.
#[derive(Debug)]
pub(crate) struct Allowance {
    permits: Arc<Semaphore>,
    path: Arc<Allowances>,
}

impl Allowance {
    /// Waits for the right to one more. None: the program ends.
    pub(crate) async fn permits(&self, settler: &queue::Settler) -> Option<Permits> {
        let of_connection = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        let of_all = settler.permit().await.ok()?;
        Some((of_all, of_connection))
    }

    /// The same where nothing has to be waited for.
    pub(crate) fn try_permits(&self, settler: &queue::Settler) -> Option<Permits> {
        let of_connection = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some((settler.try_permit()?, of_connection))
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        if self.permits.available_permits() == UNSETTLED_PER_CONNECTION {
            return;
        }
        let mut left = self.path.left();
        left.retain(|allowance| allowance.strong_count() > 0);
        left.push_back(Arc::downgrade(&self.permits));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_of(allowance: &Allowance) -> Vec<OwnedSemaphorePermit> {
        std::iter::from_fn(|| Arc::clone(&allowance.permits).try_acquire_owned().ok()).collect()
    }

    #[test]
    fn a_new_connection_has_what_the_ended_one_left() {
        let path = Arc::new(Allowances::default());
        let first = path.take();
        let mut unsettled = all_of(&first);
        assert_eq!(unsettled.len(), UNSETTLED_PER_CONNECTION);
        drop(first);
        let second = path.take();
        assert!(all_of(&second).is_empty(), "nothing may begin on it");
        unsettled.truncate(UNSETTLED_PER_CONNECTION - 3);
        assert_eq!(all_of(&second).len(), 3, "as many as were written down");
        // Another at the same time is one more connection, with an allowance of its own.
        assert_eq!(all_of(&path.take()).len(), UNSETTLED_PER_CONNECTION);
    }

    #[test]
    fn what_is_all_written_down_is_not_kept() {
        let path = Arc::new(Allowances::default());
        let (first, second) = (path.take(), path.take());
        let unsettled = all_of(&first);
        drop(first);
        drop(unsettled);
        assert_eq!(all_of(&path.take()).len(), UNSETTLED_PER_CONNECTION);
        drop(second);
        assert!(path.left().iter().all(|allowance| allowance.strong_count() == 0));
    }
}
