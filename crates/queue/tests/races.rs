//! What two do to one delivery at the same time, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used)]

mod fixture;

use std::sync::{Arc, mpsc};
use std::time::Duration;

use fixture::{Plan, T0, open};
use queue::{Control, NoQuarantine, Settler, Waiters};
use store::testing::each;
use store::{Lane, Store, binds};

/// How long the second of two has to come as far as it can.
const AHEAD: Duration = Duration::from_millis(300);

/// A transaction that has run a statement and does not commit yet. `go` lets it.
struct Begun {
    go: mpsc::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Begun {
    async fn new(store: &Store, sql: &'static str, delivery: i64) -> Self {
        let (begun, has_begun) = mpsc::channel::<()>();
        let (go, gone) = mpsc::channel::<()>();
        let store = store.clone();
        let task = tokio::spawn(async move {
            let write = store.write(Lane::Urgent, move |tx| {
                tx.execute(sql, &binds![delivery])?;
                begun.send(()).unwrap();
                gone.recv().unwrap();
                Ok::<_, store::Error>(())
            });
            write.await.unwrap();
        });
        tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
        Self { go, task }
    }

    async fn commit(self) {
        self.go.send(()).unwrap();
        self.task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_meets_a_hold_is_written() {
    each(|store| async move {
        let queue = open(&store).await;
        Plan::new(1, 6).write(&queue).await;
        // As a hold, another pool or quiet hours do it.
        let hold = Begun::new(&store, "UPDATE run SET epoch = epoch + 1 WHERE delivery = $1", 1).await;
        let stopping = queue.clone();
        let stop = tokio::spawn(async move { stopping.stop(1, T0 + 9).await });
        tokio::time::sleep(AHEAD).await;
        hold.commit().await;
        let answered = stop.await.unwrap().unwrap();
        assert_eq!((answered.control, answered.epoch), (Control::Stopping, 3));
        let run = queue.run(1).await.unwrap();
        assert_eq!((run.control, run.ended_at), (Control::Stopping, Some(T0 + 9)), "on disk");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_pause_and_a_stop_at_once_the_stop_remains() {
    each(|store| async move {
        let queue = open(&store).await;
        Plan::new(1, 6).write(&queue).await;
        let sql = "UPDATE run SET control = 3, epoch = epoch + 1 WHERE delivery = $1";
        let stop = Begun::new(&store, sql, 1).await;
        let other = queue.clone();
        let pause = tokio::spawn(async move { other.pause(1, T0 + 9).await });
        let other = queue.clone();
        let pool = tokio::spawn(async move { other.set_pool(1, "cold").await });
        tokio::time::sleep(AHEAD).await;
        stop.commit().await;
        assert!(matches!(pause.await.unwrap(), Err(queue::Error::Refused { .. })));
        assert!(matches!(pool.await.unwrap(), Err(queue::Error::Refused { .. })));
        let run = queue.run(1).await.unwrap();
        assert_eq!((run.control, run.epoch, run.spec.pool.as_str()), (Control::Stopping, 2, "default"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_claimed_by_an_old_look_at_a_run() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 12).write(&queue).await;
        queue.set_pool(1, "cold").await.unwrap();
        assert!(queue.claim(&run, "google", 9, T0).await.unwrap().is_empty(), "another epoch");
        let run = queue.run(1).await.unwrap();
        assert_eq!(queue.claim(&run, "google", 1, T0).await.unwrap().len(), 1);
        queue.stop(1, T0).await.unwrap();
        assert!(queue.claim(&run, "google", 9, T0).await.unwrap().is_empty(), "it stops");
        let stopping = queue.run(1).await.unwrap();
        assert!(queue.claim(&stopping, "google", 9, T0).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_meets_a_stop_takes_nothing() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 12).write(&queue).await;
        let sql = "UPDATE run SET control = 3, epoch = epoch + 1 WHERE delivery = $1";
        let stop = Begun::new(&store, sql, 1).await;
        let feeder = queue.clone();
        let claim = tokio::spawn(async move { feeder.claim(&run, "google", 9, T0).await.unwrap().len() });
        tokio::time::sleep(AHEAD).await;
        stop.commit().await;
        assert_eq!(claim.await.unwrap(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_are_not_taken_by_an_old_look_at_a_run() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 6).write(&queue).await;
        let messages = fixture::claim_all(&queue, &run, T0).await;
        let batch = messages.iter().map(|m| fixture::defer(m, "google", T0 + 1, 1, false)).collect();
        let parts = fixture::part_ids(&messages);
        queue.settle(Arc::new(batch), parts, Arc::new(NoQuarantine)).await.unwrap();
        queue.pause(1, T0 + 2).await.unwrap();
        assert!(queue.take_retries(&run, "google", 9, T0 + 3).await.unwrap().is_empty());
        let resumed = queue.resume(1, T0 + 4).await.unwrap();
        assert!(queue.take_retries(&run, "google", 9, T0 + 5).await.unwrap().is_empty());
        assert_eq!(queue.take_retries(&resumed, "google", 9, T0 + 5).await.unwrap().len(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_claimed_again_is_not_given_back_by_the_claim_before() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 6).write(&queue).await;
        let late = queue.claim(&run, "google", 1, T0).await.unwrap().remove(0);
        let tail = queue.claim(&run, "tail-3", 1, T0).await.unwrap().remove(0);
        let batch = tail.1.iter().map(|m| fixture::defer(m, "google", T0 + 1, 1, false)).collect();
        queue.settle(Arc::new(batch), vec![tail.0.first_id], Arc::new(NoQuarantine)).await.unwrap();
        let late_retries = queue.take_retries(&run, "tail-3", 9, T0 + 1).await.unwrap();
        assert_eq!(late_retries.len(), 3);
        // Another epoch gives all back and claims anew, within the same moment of the clock.
        let run = queue.set_pool(1, "cold").await.unwrap();
        queue.release_delivery(1).await.unwrap();
        let parts = queue.claim(&run, "google", 9, T0 + 1).await.unwrap();
        assert_eq!(parts.len(), 1);
        assert_eq!(queue.take_retries(&run, "tail-3", 9, T0 + 1).await.unwrap().len(), 3);

        queue.release(vec![late.0.claim()]).await.unwrap();
        queue.postpone(vec![late.0.claim()], T0 + 60).await.unwrap();
        queue.give_back(late_retries.iter().map(|m| m.claim()).collect(), T0, None).await.unwrap();
        assert!(queue.claim(&run, "google", 9, T0 + 99).await.unwrap().is_empty(), "it is held");
        assert!(queue.take_retries(&run, "tail-3", 9, T0 + 99).await.unwrap().is_empty());
        queue.release(vec![parts[0].0.claim()]).await.unwrap();
        assert_eq!(queue.claim(&run, "google", 9, T0 + 99).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_takes_nothing_that_is_being_claimed() {
    each(|store| async move {
        let queue = open(&store).await;
        Plan::new(1, 3).write(&queue).await;
        let sql = "UPDATE part SET state = 1, node = 1 WHERE delivery = $1";
        let claim = Begun::new(&store, sql, 1).await;
        let dropper = queue.clone();
        let drop = tokio::spawn(async move {
            dropper.drop_waiting(Waiters::default(), T0, Duration::ZERO).await.unwrap()
        });
        tokio::time::sleep(AHEAD).await;
        claim.commit().await;
        assert_eq!(drop.await.unwrap().messages, 0);
        assert_eq!(queue.fresh_figures(1, T0).await.unwrap().pending, 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_results_of_one_message_close_no_part_early() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 6).write(&queue).await;
        let (part, messages) = queue.claim(&run, "google", 1, T0).await.unwrap().remove(0);
        let (settler, _ended) = Settler::start(queue.clone(), Arc::new(NoQuarantine)).unwrap();
        // Parked by one who believed to hold it, and sent by another.
        settler.submit(fixture::defer(&messages[0], "google", T0 + 60, 0, false), None, None);
        for message in &messages[..2] {
            settler.submit(fixture::sent(message, "google"), None, None);
        }
        settler.drained().await;
        assert_eq!(part.open(), 1);
        queue.recover(T0).await.unwrap();
        let again = queue.claim(&run, "google", 9, T0).await.unwrap();
        assert_eq!(again[0].1.iter().map(|m| m.id).collect::<Vec<_>>(), [messages[2].id]);
        settler.submit(fixture::sent(&again[0].1[0], "google"), None, None);
        settler.drained().await;
        assert!(queue.claim(&run, "google", 9, T0).await.unwrap().is_empty());
        assert!(queue.verify(1, T0).await.unwrap().agrees);
    })
    .await;
}
