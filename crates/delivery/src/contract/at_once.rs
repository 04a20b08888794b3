//! Two who do something to one delivery at the same time: PostgreSQL lets both begin.

use std::future::Future;
use std::sync::mpsc;
use std::time::Duration;

use store::{Lane, Store, Tx};
use typology::Level;

use super::{START_US, each};
use crate::{By, ProofTarget, Result, journal};

/// How long the second of two has to come as far as it can.
const AHEAD: Duration = Duration::from_millis(300);

/// Does `first` in a transaction, begins `second` before it commits, and answers what that came to.
async fn while_open<T: Send + 'static>(
    store: &Store,
    first: impl FnOnce(&mut Tx<'_>) -> Result<()> + Send + 'static,
    second: impl Future<Output = T> + Send + 'static,
) -> T {
    let (begun, has_begun) = mpsc::channel::<()>();
    let (go, gone) = mpsc::channel::<()>();
    let store = store.clone();
    let open = tokio::spawn(async move {
        let write = store.write(Lane::Urgent, move |tx| {
            first(tx)?;
            begun.send(()).unwrap();
            gone.recv().unwrap();
            Ok::<_, crate::Error>(())
        });
        write.await.unwrap();
    });
    tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
    let second = tokio::spawn(second);
    tokio::time::sleep(AHEAD).await;
    go.send(()).unwrap();
    open.await.unwrap();
    second.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_lines_of_the_journal_stand_both() {
    each(|world| async move {
        let id = world.draft().await;
        let store = world.queue.store().clone();
        let before = world.deliveries.journal(id).await.unwrap().len();
        let other = store.clone();
        let second = async move {
            other.write(Lane::Bulk, move |tx| journal::note(tx, id, START_US, Level::Info, "two")).await
        };
        let first = move |tx: &mut Tx<'_>| journal::note(tx, id, START_US, Level::Info, "one");
        while_open(&store, first, second).await.unwrap();
        let lines = world.deliveries.journal(id).await.unwrap();
        let words: Vec<_> = lines.iter().skip(before).map(|line| line.text.as_str()).collect();
        assert_eq!(words, ["one", "two"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_proofs_have_numbers_of_their_own() {
    each(|world| async move {
        world.recipients(3).await;
        let id = world.draft().await;
        let store = world.queue.store().clone();
        let ask = |deliveries: crate::Deliveries| async move {
            let to = ProofTarget::Recipients(vec!["r1@yahoo.com".into()]);
            deliveries.proof(id, to, &By::system()).await.map(|started| started.proof.proof_no)
        };
        // The first is held up behind its number: at the line in the journal.
        let (one, other) = (ask(world.deliveries.clone()), ask(world.deliveries.clone()));
        let both = async move { tokio::join!(tokio::spawn(one), tokio::spawn(other)) };
        let first = move |tx: &mut Tx<'_>| journal::note(tx, id, START_US, Level::Info, "before");
        let (one, other) = while_open(&store, first, both).await;
        let mut numbers = [one.unwrap().unwrap(), other.unwrap().unwrap()];
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2]);
    })
    .await;
}
