//! Results that the database refuses for their content, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used)]

mod fixture;

use std::sync::Arc;

use fixture::{Plan, T0, done, open, sent};
use queue::{FinalState, LogFilter, LogState, NoQuarantine, Nonexistent, Quarantine, Settler};
use store::testing::{each, postgres};

/// Refuses one address, as a rule of the schema would.
struct Refuses(&'static str);

impl Quarantine for Refuses {
    fn quarantine(&self, tx: &mut store::Tx<'_>, found: &[Nonexistent]) -> Result<(), store::Error> {
        if found.iter().any(|one| one.address_key == self.0) {
            tx.execute("INSERT INTO scope (delivery, seen) VALUES (1, NULL)", &[])?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_result_does_not_hold_up_the_others() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 8).write(&queue).await;
        let messages = fixture::claim_all(&queue, &run, T0).await;
        let (settler, _ended) = Settler::start(queue.clone(), Arc::new(Refuses("user3@a.example"))).unwrap();
        for message in &messages {
            let mut result = done(message, "google", FinalState::Failed);
            result.nonexistent = Some(message.address_key());
            settler.submit(result, Some(settler.permit().await.unwrap()), None);
        }
        settler.drained().await;
        let figures = queue.fresh_figures(1, T0).await.unwrap();
        assert_eq!((figures.failed, figures.pending), (8, 0));
        let filter = LogFilter { state: Some(LogState::Failed), ..LogFilter::default() };
        let rows = queue.log(1, filter, None, 99).await.unwrap().rows;
        let bare: Vec<_> = rows
            .iter()
            .filter(|row| row.reply.is_none())
            .filter_map(|row| row.message)
            .map(|id| id & 0xff)
            .collect();
        assert_eq!(bare, [3], "what happened is kept, without the words");
        assert!(queue.finish_if_over(1, T0).await.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cannot_be_written_at_all_is_set_aside() {
    // SQLite stores what PostgreSQL refuses.
    postgres(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 8).write(&queue).await;
        let messages = fixture::claim_all(&queue, &run, T0).await;
        let (settler, _ended) = Settler::start(queue.clone(), Arc::new(NoQuarantine)).unwrap();
        for message in &messages {
            let mut result = sent(message, "google");
            if message.id == messages[2].id {
                result.reason = Some("\0".to_owned());
            }
            settler.submit(result, Some(settler.permit().await.unwrap()), None);
        }
        settler.drained().await;
        let figures = queue.fresh_figures(1, T0).await.unwrap();
        assert_eq!((figures.sent, figures.pending), (7, 1));
        assert!(queue.verify(1, T0).await.unwrap().agrees);
        queue.recover(T0).await.unwrap();
        assert_eq!(fixture::claim_all(&queue, &run, T0).await.len(), 1, "a restart tries it again");
    })
    .await;
}
