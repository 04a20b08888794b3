//! Carrying out a choice: the rest says what the winner says, and is let go.
//!
//! Messages are changed in short transactions by ranges of ids, between which other deliveries settle, then one
//! transaction lets their parts go, then what is kept of the variants is deleted in steps. Each step may be taken twice,
//! so after a crash all is simply done again from the state in the row.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use queue::variants;
use store::{Lane, binds};
use typology::Level;

use super::{AbState, letter, records};
use crate::types::{DeliveryId, Error, Result, State};
use crate::{Deliveries, journal, records as deliveries, words};

/// Deliveries whose choice is being carried out here.
#[derive(Clone, Default)]
pub(crate) struct Applying(Arc<Mutex<HashSet<DeliveryId>>>);

impl Applying {
    fn lock(&self) -> MutexGuard<'_, HashSet<DeliveryId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a delivery out of [`Applying`] when the task ends, however it ends.
struct Entry(Applying, DeliveryId);

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

impl Deliveries {
    /// Carries out what was chosen in a task of its own: ten million messages take minutes, and the brake must not wait
    /// for them. An error is told in the log, and tried again with the next tick.
    pub(crate) fn apply_apart(&self, id: DeliveryId) {
        if !self.applying.lock().insert(id) {
            return;
        }
        let entry = Entry(self.applying.clone(), id);
        let this = self.clone();
        tokio::spawn(async move {
            let _entry = entry;
            if let Err(error) = this.apply_winner(id).await {
                tracing::warn!(delivery = id, %error, "the winner of an A/B test could not be applied; it is tried again");
            }
        });
    }

    /// Carries out what was chosen, from wherever it stands, and tidies up behind a delivery that is over.
    pub(crate) async fn apply_winner(&self, id: DeliveryId) -> Result<()> {
        let found = self
            .store
            .read(move |tx| {
                let state = match deliveries::get(tx, id) {
                    Err(Error::NotFound(_)) => State::Deleted,
                    other => other?.state,
                };
                Ok::<_, Error>(records::find(tx, id)?.map(|test| (test, state)))
            })
            .await?;
        let Some((test, delivery)) = found else { return Ok(()) };
        let chosen = matches!(test.state, AbState::Applying | AbState::Released);
        if !chosen && !delivery.is_final() {
            return Ok(());
        }
        if !delivery.is_final() && test.state == AbState::Applying {
            let winner = test.winner.unwrap_or(0);
            let snapshot = test.variants.get(winner).map(|variant| variant.snapshot.clone());
            let snapshot =
                snapshot.ok_or_else(|| Error::Internal(format!("a test without variant {winner}")))?;
            self.say_winner(id, winner as i64).await?;
            self.let_go(id, winner, snapshot).await?;
        }
        self.tidy_test(id).await
    }

    /// Gives the rest's messages the winner's slots. The first variant's they have.
    async fn say_winner(&self, id: DeliveryId, winner: i64) -> Result<()> {
        let mut after = (winner > 0).then_some(0);
        while let Some(from) = after {
            after = self
                .store
                .write(Lane::Bulk, move |tx| variants::apply_some(tx, id, winner, from).map_err(Error::from))
                .await?;
        }
        Ok(())
    }

    async fn let_go(&self, id: DeliveryId, winner: usize, snapshot: String) -> Result<()> {
        let now_us = self.now_us();
        self.store
            .write(Lane::Urgent, move |tx| {
                let changed = tx.execute(
                    "UPDATE ab_test SET state = 'released' WHERE delivery = $1 AND state = 'applying'",
                    &binds![id],
                )?;
                if changed == 0 {
                    return Ok(());
                }
                variants::release(tx, id, &snapshot, now_us)?;
                let messages: i64 = tx.query_one(
                    "SELECT coalesce(CAST(sum(messages) AS BIGINT), 0) FROM wave_plan WHERE delivery = $1 AND wave = \
                     (SELECT count(*) FROM ab_variant WHERE delivery = $1)",
                    &binds![id],
                    |row| row.int(0).map_err(Error::from),
                )?;
                // Times of waves stand there as the analysis reckoned them; the run may have begun later.
                let start_us = queue::runs::find(tx, id)?.spec.start_at;
                tx.execute(
                    "UPDATE wave_plan SET ends_at = ends_at + n.moved - starts_at, starts_at = n.moved \
                     FROM (SELECT $2 - ($3 - starts_at) AS moved FROM timetable WHERE delivery = $1) n \
                     WHERE delivery = $1 AND wave = (SELECT count(*) FROM ab_variant WHERE delivery = $1)",
                    &binds![id, now_us, start_us],
                )?;
                let messages = words::counted(messages, "message goes", "messages go");
                let text = format!("A/B test: the other {messages} out as variant {}", letter(winner));
                journal::note(tx, id, now_us, Level::Info, &text)
            })
            .await?;
        self.rooms.queue.changed();
        Ok(())
    }

    async fn tidy_test(&self, id: DeliveryId) -> Result<()> {
        while self
            .store
            .write(Lane::Bulk, move |tx| variants::forget_some(tx, id).map_err(Error::from))
            .await?
        {}
        self.store
            .write(Lane::Bulk, move |tx| {
                tx.execute("UPDATE ab_test SET cleaned = 1 WHERE delivery = $1", &binds![id])?;
                Ok::<_, Error>(())
            })
            .await
    }
}
