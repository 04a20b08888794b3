//! Whom the gate holds back, on SQLite and on PostgreSQL: everybody who was suppressed after an analysis took its target,
//! however long its delivery waits for its confirmation, and nobody who was before.

#![allow(clippy::unwrap_used)]

mod fixture;

use std::sync::mpsc;
use std::time::Duration;

use fixture::{Plan, T0, open};
use queue::{Queue, Run, Suppression, suppress, suppress_in};
use store::testing::each;
use store::{Lane, Store};

fn entry(key: &str, service: Option<i64>) -> Suppression {
    Suppression {
        address_key: key.to_owned(),
        service,
        still: Vec::new(),
        reason: "unsubscribed".to_owned(),
        // No clock decides here.
        at: 0,
    }
}

fn user(n: i64) -> Suppression {
    entry(&format!("user{n}@a.example"), None)
}

/// Which of a run's messages are held back, once the engine has seen the run.
async fn held_back(queue: &Queue, run: &Run) -> Vec<i64> {
    assert!(queue.active_runs().await.unwrap().iter().any(|active| active == run));
    let messages = fixture::claim_all(queue, run, T0).await;
    let found = messages.iter().filter(|m| queue.is_suppressed(m, &run.spec)).map(|m| m.id & 0xff).collect();
    queue.release_delivery(run.spec.delivery).await.unwrap();
    found
}

async fn restarted(store: &Store) -> Queue {
    let queue = Queue::new(store.clone(), 1);
    queue.recover(T0).await.unwrap();
    queue
}

#[tokio::test(flavor = "multi_thread")]
async fn suppressions_bite_by_number_service_and_domain() {
    each(|store| async move {
        let queue = open(&store).await;
        queue.suppress(vec![user(1)]).await.unwrap();
        let run = Plan { services: vec![5], ..Plan::new(1, 5) }.write(&queue).await;
        let other = Plan::new(2, 2).write(&queue).await;
        let of = |n: i64, service| entry(&format!("user{n}@a.example"), Some(service));
        queue.suppress(vec![user(0), of(2, 5), of(3, 6), entry("@b.example", None)]).await.unwrap();
        assert_eq!(held_back(&queue, &run).await, [0, 2], "after the analysis, of all services or its own");
        assert_eq!(held_back(&queue, &other).await, [0], "no service's");
        assert_eq!(held_back(&restarted(&store).await, &run).await, [0, 2]);
        queue.suppress(vec![entry("@a.example", None)]).await.unwrap();
        assert_eq!(held_back(&queue, &other).await, [0, 1], "a whole domain");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_the_last_of_a_runs_services_is_held_back() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan { services: vec![5, 12], ..Plan::new(1, 6) }.write(&queue).await;
        assert_eq!(run.spec.services, [5, 12]);
        let left = |n: i64, service, still: &[i64]| Suppression {
            still: still.to_vec(),
            ..entry(&format!("user{n}@a.example"), Some(service))
        };
        let entries = vec![
            left(0, 5, &[]),
            left(1, 5, &[12]),
            left(2, 5, &[2, 125]),
            left(3, 7, &[]),
            left(4, 5, &[12]),
        ];
        queue.suppress(entries).await.unwrap();
        assert_eq!(held_back(&queue, &run).await, [0, 2], "who is kept by the other service is not");
        // Memory, and what a start reads again.
        queue.suppress(vec![left(4, 12, &[7])]).await.unwrap();
        assert_eq!(held_back(&queue, &run).await, [0, 2, 4], "one after the other");
        assert_eq!(held_back(&restarted(&store).await, &run).await, [0, 2, 4]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_unsubscribes_before_the_confirmation_gets_nothing() {
    each(|store| async move {
        let queue = open(&store).await;
        let waits = Plan::new(1, 3);
        waits.analyse(&queue).await;
        queue.suppress(vec![user(0)]).await.unwrap();
        // Another delivery, analysed later, comes and goes meanwhile.
        let other = Plan::new(2, 3).write(&queue).await;
        assert!(held_back(&queue, &other).await.is_empty(), "its analysis saw it");
        queue.suppress(vec![user(1)]).await.unwrap();
        queue.stop(2, T0).await.unwrap();
        queue.stopped(2, T0).await.unwrap();
        assert!(queue.active_runs().await.unwrap().is_empty());
        // Nothing runs at the start.
        let queue = restarted(&store).await;
        queue.suppress(vec![user(2)]).await.unwrap();
        let run = waits.confirm(&queue).await;
        assert_eq!(held_back(&queue, &run).await, [0, 1, 2]);
        assert_eq!(held_back(&restarted(&store).await, &run).await, [0, 1, 2]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_analysis_confirmed_beside_a_newer_run_knows_all() {
    each(|store| async move {
        let queue = open(&store).await;
        let old = Plan::new(1, 3);
        old.analyse(&queue).await;
        queue.suppress(vec![user(0)]).await.unwrap();
        let newer = Plan::new(2, 3).write(&queue).await;
        assert!(held_back(&queue, &newer).await.is_empty());
        let run = old.confirm(&queue).await;
        assert_eq!(held_back(&queue, &run).await, [0]);
        assert!(held_back(&queue, &newer).await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_went_away_or_another_process_suppresses_as_well() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 3).write(&queue).await;
        assert!(held_back(&queue, &run).await.is_empty());
        for n in [0, 2] {
            let forgotten = store.write(Lane::Urgent, move |tx| suppress_in(tx, &[user(n)])).await.unwrap();
            drop(forgotten);
        }
        assert_eq!(held_back(&queue, &run).await, [0, 2]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analysis_passes_over_nothing_that_has_a_number_and_is_not_committed() {
    each(|store| async move {
        let queue = open(&store).await;
        let (begun, has_begun) = mpsc::channel::<()>();
        let (go, gone) = mpsc::channel::<()>();
        let slow = store.clone();
        let slow = tokio::spawn(async move {
            let write = slow.write(Lane::Urgent, move |tx| {
                let recorded = suppress_in(tx, &[user(0)])?;
                begun.send(()).unwrap();
                gone.recv().unwrap();
                Ok::<_, queue::Error>(recorded)
            });
            write.await.unwrap()
        });
        tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
        let analysing = store.clone();
        let mut analysis = tokio::spawn(async move {
            // The next number is committed before, so that the highest one says nothing of those below.
            let last = analysing.write(Lane::Urgent, |tx| suppress_in(tx, &[user(1)]));
            drop(last.await.unwrap());
            analysing.write(Lane::Bulk, |tx| suppress::begin(tx, 7)).await.unwrap();
        });
        let early = tokio::time::timeout(Duration::from_millis(300), &mut analysis).await;
        assert!(early.is_err(), "it waits for what is on its way");
        go.send(()).unwrap();
        analysis.await.unwrap();
        queue.remember(slow.await.unwrap());
        assert_eq!(store.read(|tx| queue::scope(tx, 7)).await.unwrap().seen, 2);
    })
    .await;
}
