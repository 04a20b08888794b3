//! The index of messages by recipient, written sorted.
//!
//! Messages are numbered by domain, so their recipients come in no order, and a row here and a row there would write
//! every page of the index again with each step. So pairs are gathered (16 bytes each, up to [`HELD_MAX`]), sorted, and
//! written a stretch at a time; reading them back from the messages instead would read a third of a gigabyte per million.

use queue::plan;
use store::{Lane, Store};

use crate::members::Members;
use crate::types::{Error, Result};

/// Pairs kept in memory: 16 MB.
const HELD_MAX: usize = 1_000_000;

/// Recipients and messages that are not indexed yet.
#[derive(Default)]
pub(crate) struct Contacts {
    held: Vec<(i64, i64)>,
    /// All recipients so far.
    pub members: Members,
}

impl Contacts {
    /// Takes the pairs; writes what is held when that is enough.
    pub async fn add(&mut self, store: &Store, pairs: Vec<(i64, i64)>) -> Result<()> {
        pairs.iter().for_each(|(recipient, _)| self.members.add(*recipient));
        self.held.extend(pairs);
        if self.held.len() >= HELD_MAX { self.write(store).await } else { Ok(()) }
    }

    /// Writes what is held, in transactions short enough that settling passes between them.
    pub async fn write(&mut self, store: &Store) -> Result<()> {
        self.held.sort_unstable();
        let step = plan::step_messages(store.dialect());
        for stretch in std::mem::take(&mut self.held).chunks(step) {
            let stretch = stretch.to_vec();
            store
                .write(Lane::Bulk, move |tx| plan::insert_contacts(tx, stretch).map_err(Error::from))
                .await?;
        }
        Ok(())
    }
}
