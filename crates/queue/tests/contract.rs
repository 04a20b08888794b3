//! The queue's contract, on SQLite and on PostgreSQL. Each story writes a small plan, plays the engine's part by hand, and
//! asks that figures, log and recount agree.

#![allow(clippy::unwrap_used)]

mod fixture;

use std::sync::Arc;

use fixture::{Plan, T0, defer, done, open, sent};
use queue::copies::{self, Owed, Untaken};
use queue::{
    Control, Error, FinalState, LogCursor, LogFilter, LogState, NoQuarantine, Nonexistent, Quarantine,
    RetryPlan, RunState, Settler, Verdict, Who, delivered, message_id,
};
use store::testing::each;
use store::{Lane, Store};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_from_claim_to_finished() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(7, 10).write(&queue).await;
        let figures = queue.figures(7, T0).await.unwrap();
        assert_eq!((figures.messages, figures.pending, figures.state), (10, 10, RunState::InProgress));
        let lanes = queue.lanes(7).await.unwrap();
        assert_eq!(lanes.iter().map(|l| l.lane.as_str()).collect::<Vec<_>>(), ["google", "tail-3"]);
        let mut messages = Vec::new();
        for lane in lanes {
            for (part, loaded) in queue.claim(&run, &lane.lane, 10, T0).await.unwrap() {
                assert_eq!(part.stamp, T0);
                assert_eq!(&*part.signing, "keys");
                messages.extend(loaded);
            }
        }
        assert_eq!(messages.len(), 10);
        assert!(queue.lanes(7).await.unwrap().is_empty());
        let batch: Vec<_> = messages.iter().map(|m| sent(m, "google")).collect();
        queue.settle(Arc::new(batch), vec![], Arc::new(NoQuarantine)).await.unwrap();
        assert!(queue.finish_if_over(7, T0 + 5).await.unwrap());
        let figures = queue.fresh_figures(7, T0).await.unwrap();
        assert_eq!((figures.sent, figures.pending, figures.state), (10, 0, RunState::Finished));
        assert_eq!(figures.providers.len(), 1, "the tail's messages moved to the site that took them");
        assert!(queue.verify(7, T0).await.unwrap().agrees);
        assert_eq!(queue.run(7).await.unwrap().control, Control::Finished);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settling_twice_counts_once() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 4).write(&queue).await;
        let messages = fixture::claim_all(&queue, &run, T0).await;
        let batch = Arc::new(vec![
            sent(&messages[0], "google"),
            done(&messages[1], "google", FinalState::Failed),
            defer(&messages[2], "google", T0 + 60, 1, false),
            defer(&messages[3], "google", T0 + 60, 1, true),
        ]);
        for _ in 0..3 {
            queue.settle(Arc::clone(&batch), vec![], Arc::new(NoQuarantine)).await.unwrap();
        }
        let figures = queue.fresh_figures(1, T0).await.unwrap();
        assert_eq!(
            (figures.sent, figures.failed, figures.pending, figures.deferred, figures.unknown),
            (1, 1, 2, 2, 1)
        );
        // A late replay after the final outcome changes nothing either.
        let last = Arc::new(vec![sent(&messages[2], "yahoo"), sent(&messages[3], "google")]);
        queue.settle(Arc::clone(&last), vec![], Arc::new(NoQuarantine)).await.unwrap();
        queue.settle(batch, vec![], Arc::new(NoQuarantine)).await.unwrap();
        let verification = queue.verify(1, T0).await.unwrap();
        assert!(verification.agrees, "{:?}", verification.differences);
        let figures = queue.fresh_figures(1, T0).await.unwrap();
        assert_eq!((figures.sent, figures.failed, figures.pending, figures.deferred), (3, 1, 0, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_come_back_when_due_and_keep_their_past() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 3).write(&queue).await;
        let messages = fixture::claim_all(&queue, &run, T0).await;
        let batch: Vec<_> = messages.iter().map(|m| defer(m, "google", T0 + 100, 1, false)).collect();
        let parts = fixture::part_ids(&messages);
        queue.settle(Arc::new(batch), parts, Arc::new(NoQuarantine)).await.unwrap();
        let figures = queue.fresh_figures(1, T0).await.unwrap();
        assert_eq!((figures.state, figures.pending, figures.deferred), (RunState::Retrying, 3, 3));
        assert!(queue.take_retries(&run, "google", 10, T0 + 99).await.unwrap().is_empty());
        let mut taken = queue.take_retries(&run, "google", 10, T0 + 100).await.unwrap();
        taken.extend(queue.take_retries(&run, "tail-3", 10, T0 + 100).await.unwrap());
        assert_eq!(taken.len(), 3);
        assert!(queue.take_retries(&run, "tail-3", 10, T0 + 100).await.unwrap().is_empty(), "taken once");
        let past = &taken[0].past;
        assert!(past.retried);
        assert_eq!((past.attempts, past.first_try), (1, Some(T0)));
        assert_eq!(taken[0].part.stamp, T0, "the stamp of the first claim");
        queue.give_back(taken.iter().map(|m| m.claim()).collect(), T0 + 500, None).await.unwrap();
        let lanes = queue.lanes(1).await.unwrap();
        assert!(lanes.iter().all(|lane| lane.retry_due == Some(T0 + 500)), "{lanes:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_and_validity_cancel_the_rest_without_touching_it() {
    each(|store| async move {
        let queue = open(&store).await;
        for (delivery, stop) in [(1, true), (2, false)] {
            let run = Plan::new(delivery, 6).write(&queue).await;
            let messages = fixture::claim_all(&queue, &run, T0).await;
            let batch = vec![sent(&messages[0], "google"), defer(&messages[1], "google", T0 + 9, 1, false)];
            queue.settle(Arc::new(batch), vec![], Arc::new(NoQuarantine)).await.unwrap();
            if stop {
                queue.stop(delivery, T0 + 10).await.unwrap();
                queue.stopped(delivery, T0 + 11).await.unwrap();
            } else {
                let ended = queue.expire(run.spec.valid_until).await.unwrap();
                assert_eq!(ended.len(), 1);
            }
            let figures = queue.fresh_figures(delivery, T0).await.unwrap();
            assert_eq!((figures.sent, figures.pending, figures.cancelled, figures.deferred), (1, 0, 5, 0));
            assert_eq!(figures.expired, !stop);
            assert!(queue.verify(delivery, T0).await.unwrap().agrees);
            let filter = LogFilter { state: Some(LogState::Cancelled), ..LogFilter::default() };
            let page = queue.log(delivery, filter, None, 100).await.unwrap();
            assert_eq!(page.rows.len(), 5);
            let reason = if stop { "stopped" } else { "validity" };
            assert!(page.rows.iter().all(|row| row.reason.as_deref() == Some(reason)));
            // What was in flight settles afterwards, and is then no longer cancelled.
            queue
                .settle(Arc::new(vec![sent(&messages[2], "google")]), vec![], Arc::new(NoQuarantine))
                .await
                .unwrap();
            let figures = queue.fresh_figures(delivery, T0).await.unwrap();
            assert_eq!((figures.sent, figures.cancelled), (2, 4));
            assert!(matches!(queue.resume(delivery, T0).await, Err(Error::Refused { .. })));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_and_resume_raise_the_epoch() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 2).write(&queue).await;
        let paused = queue.pause(1, T0).await.unwrap();
        assert_eq!((paused.control, paused.epoch), (Control::Pausing, run.epoch + 1));
        assert_eq!(queue.paused(1, T0).await.unwrap().control, Control::Paused);
        assert_eq!(queue.fresh_figures(1, T0).await.unwrap().state, RunState::Paused);
        let resumed = queue.resume(1, T0).await.unwrap();
        assert_eq!((resumed.control, resumed.epoch), (Control::Running, run.epoch + 3));
        assert!(matches!(queue.pause(99, T0).await, Err(Error::NotConfirmed(99))));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_releases_own_claims_and_loses_nothing() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 10).write(&queue).await;
        let messages = fixture::claim_all(&queue, &run, T0).await;
        let batch = vec![
            sent(&messages[0], "google"),
            sent(&messages[3], "google"),
            defer(&messages[4], "google", T0 + 1, 1, false),
        ];
        queue.settle(Arc::new(batch), vec![], Arc::new(NoQuarantine)).await.unwrap();
        queue.stop(2, T0).await.unwrap_err();
        // A new process on the same node.
        let queue = queue::Queue::new(store.clone(), 1);
        queue.recover(T0 + 50).await.unwrap();
        let again = fixture::claim_all(&queue, &run, T0 + 60).await;
        let ids: Vec<i64> = again.iter().map(|m| m.id & 0xff).collect();
        assert_eq!(ids, [1, 2, 5, 6, 7, 8, 9]);
        assert!(again.iter().all(|m| m.part.stamp == T0), "the stamp is that of the first claim");
        assert_eq!(queue.take_retries(&run, "google", 9, T0 + 60).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn released_parts_are_claimed_again() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 10).write(&queue).await;
        let first = queue.claim(&run, "google", 1, T0).await.unwrap();
        assert_eq!(first.len(), 1);
        queue.release(vec![first[0].0.claim()]).await.unwrap();
        let again = queue.claim(&run, "google", 1, T0 + 9).await.unwrap();
        assert_eq!(again[0].0.first_id, first[0].0.first_id);
        queue.release_delivery(1).await.unwrap();
        assert_eq!(fixture::claim_all(&queue, &run, T0 + 9).await.len(), 10);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_wait_for_their_due_time() {
    each(|store| async move {
        let queue = open(&store).await;
        let mut plan = Plan::new(1, 4);
        plan.due_us = 1_000;
        let run = plan.write(&queue).await;
        assert!(queue.claim(&run, "google", 9, T0 + 999).await.unwrap().is_empty());
        assert_eq!(queue.lanes(1).await.unwrap()[0].part_due_us, Some(1_000));
        assert!(!queue.claim(&run, "google", 9, T0 + 1_000).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_confirmed_once_and_only_with_messages() {
    each(|store| async move {
        let queue = open(&store).await;
        let plan = Plan::new(1, 2);
        let run = plan.write(&queue).await;
        let twice = queue.start(run.spec.clone(), T0).await;
        assert!(matches!(twice, Err(Error::AlreadyConfirmed(1))));
        let mut empty = run.spec.clone();
        empty.delivery = 2;
        assert!(matches!(queue.start(empty, T0).await, Err(Error::Empty(2))));
        let cleared = store.write(Lane::Bulk, |tx| queue::plan::clear(tx, 1)).await;
        assert!(matches!(cleared, Err(Error::AlreadyConfirmed(1))));
        store.write(Lane::Bulk, |tx| queue::plan::purge(tx, 1)).await.unwrap();
        assert!(matches!(queue.run(1).await, Err(Error::NotConfirmed(1))));
        assert!(queue.snapshot("hash-1").await.unwrap().is_none());
    })
    .await;
}

struct Noted(std::sync::Mutex<Vec<Nonexistent>>);

impl Quarantine for Noted {
    fn quarantine(&self, _: &mut store::Tx<'_>, found: &[Nonexistent]) -> Result<(), store::Error> {
        self.0.lock().unwrap().extend_from_slice(found);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_does_not_exist_is_quarantined_and_suppressed() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 2).write(&queue).await;
        let other = Plan::new(2, 2).write(&queue).await;
        let messages = fixture::claim_all(&queue, &run, T0).await;
        let noted = Arc::new(Noted(std::sync::Mutex::default()));
        let mut failed = done(&messages[0], "google", FinalState::Failed);
        failed.nonexistent = Some(messages[0].address_key());
        failed.reply = Some("550 5.1.1 no such user".to_owned());
        queue.settle(Arc::new(vec![failed]), vec![], noted.clone()).await.unwrap();
        {
            let found = noted.0.lock().unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].address_key, "user0@a.example");
            assert_eq!(found[0].reply, "550 5.1.1 no such user");
        }
        let pending = fixture::claim_all(&queue, &other, T0).await;
        assert!(queue.is_suppressed(&pending[0], &other.spec));
        assert!(!queue.is_suppressed(&pending[1], &other.spec));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_pages_through_everyone_once() {
    each(|store| async move {
        let queue = open(&store).await;
        let mut plan = Plan::new(3, 7);
        plan.excluded = 3;
        let run = plan.write(&queue).await;
        let messages = fixture::claim_all(&queue, &run, T0).await;
        let mut failed = done(&messages[1], "google", FinalState::Failed);
        failed.reply = Some("550 no".to_owned());
        let batch =
            vec![sent(&messages[0], "google"), failed, defer(&messages[2], "google", T0 + 77, 2, false)];
        queue.settle(Arc::new(batch), vec![], Arc::new(NoQuarantine)).await.unwrap();
        let (mut cursor, mut rows) = (None, Vec::new());
        loop {
            let page = queue.log(3, LogFilter::default(), cursor, 4).await.unwrap();
            rows.extend(page.rows);
            cursor = page.next.map(|next| LogCursor::parse(&next.encode()).unwrap());
            if cursor.is_none() {
                break;
            }
        }
        let states: Vec<&str> = rows.iter().map(|row| row.state.name()).collect();
        assert_eq!(
            states,
            [
                "sent", "failed", "pending", "pending", "pending", "pending", "pending", "excluded",
                "excluded", "excluded"
            ]
        );
        assert_eq!(rows[1].reply.as_deref(), Some("550 no"));
        assert_eq!((rows[2].attempts, rows[2].next_try), (2, Some(T0 + 77)));
        assert_eq!(rows[9].reason.as_deref(), Some("denylisted"));
        for (state, count) in [
            (LogState::Sent, 1),
            (LogState::Failed, 1),
            (LogState::Pending, 5),
            (LogState::Cancelled, 0),
            (LogState::Excluded, 3),
        ] {
            let filter = LogFilter { state: Some(state), ..LogFilter::default() };
            let page = queue.log(3, filter, None, 100).await.unwrap();
            assert_eq!(page.rows.len(), count, "{state:?}");
        }
        let filter = LogFilter { deferred: true, ..LogFilter::default() };
        assert_eq!(queue.log(3, filter, None, 9).await.unwrap().rows.len(), 1);
        let filter = LogFilter { address: Some("SER2@".to_owned()), ..LogFilter::default() };
        assert_eq!(queue.log(3, filter, None, 9).await.unwrap().rows.len(), 1);
        let id = queue.message_of(3, Some(102), "").await.unwrap().unwrap();
        assert_eq!(id, message_id(3, 2));
        assert_eq!(queue.message_of(3, None, "USER2@a.example").await.unwrap(), Some(id));
        let row = queue.message(id).await.unwrap().unwrap();
        assert_eq!((row.snapshot.as_str(), row.stamp), ("hash-3", Some(T0)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relations_name_recipients() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 4).write(&queue).await;
        let messages = fixture::claim_all(&queue, &run, T0).await;
        let batch = vec![sent(&messages[0], "google"), done(&messages[1], "google", FinalState::Failed)];
        queue.settle(Arc::new(batch), vec![], Arc::new(NoQuarantine)).await.unwrap();
        for (who, expected) in [
            (Who::All, vec![100, 101, 102, 103]),
            (Who::Sent, vec![100]),
            (Who::Failed, vec![101]),
            (Who::Pending, vec![102, 103]),
        ] {
            let relation = delivered(1, who);
            let mut found = store
                .read(move |tx| tx.query(&relation.sql, &relation.binds, |row| row.int(0)))
                .await
                .unwrap();
            found.sort_unstable();
            assert_eq!(found, expected, "{who:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settler_marks_parts_done_and_gives_permits_back() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 10).write(&queue).await;
        let messages = fixture::claim_all(&queue, &run, T0).await;
        let (settler, ended) = Settler::start(queue.clone(), Arc::new(NoQuarantine)).unwrap();
        let settled = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        for message in &messages {
            let permit = settler.permit().await.unwrap();
            let settled = Arc::clone(&settled);
            let hook = Box::new(move || {
                settled.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            });
            settler.submit(sent(message, "google"), Some(permit), Some(hook));
        }
        settler.drained().await;
        assert_eq!(settled.load(std::sync::atomic::Ordering::SeqCst), 10);
        assert!(messages.iter().all(|message| message.part.open() == 0));
        let open_parts = store
            .read(|tx| tx.query_one("SELECT count(*) FROM part WHERE state <> 2", &[], |row| row.int(0)))
            .await
            .unwrap();
        assert_eq!(open_parts, 0);
        drop(settler);
        ended.await.unwrap();
    })
    .await;
}

/// Random events, and after each the sum holds: messages = pending + sent + failed + cancelled, and rows agree.
#[tokio::test(flavor = "multi_thread")]
async fn random_events_keep_the_sum() {
    each(|store| async move {
        for seed in 1..=6_u64 {
            random_story(&store, seed).await;
        }
    })
    .await;
}

async fn random_story(store: &Store, seed: u64) {
    let queue = open(store).await;
    let delivery = i64::try_from(seed).unwrap() * 10;
    let run = Plan::new(delivery, 20).write(&queue).await;
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let mut held = fixture::claim_all(&queue, &run, T0).await;
    for step in 0..40 {
        let now = T0 + step * 10;
        match next(8) {
            0..=4 if !held.is_empty() => {
                let message = held.remove(usize::try_from(next(held.len() as u64)).unwrap());
                let site = ["google", "yahoo", "small.example"][usize::try_from(next(3)).unwrap()];
                let settlement = match next(5) {
                    0 => sent(&message, site),
                    1 => done(&message, site, FinalState::Failed),
                    2 => done(&message, site, FinalState::Cancelled),
                    3 => defer(&message, site, now + 15, message.past.attempts, false),
                    _ => defer(&message, site, now + 15, message.past.attempts + 1, next(2) == 0),
                };
                assert!(!matches!(settlement.verdict, Verdict::Final { .. }) || settlement.id == message.id);
                let batch = Arc::new(vec![settlement]);
                for _ in 0..=next(2) {
                    queue.settle(Arc::clone(&batch), vec![], Arc::new(NoQuarantine)).await.unwrap();
                }
            }
            5 => {
                for lane in ["google", "tail-3"] {
                    held.extend(queue.take_retries(&run, lane, 3, now).await.unwrap());
                }
            }
            6 => {
                queue.recover(now).await.unwrap();
                held = fixture::claim_all(&queue, &run, now).await;
            }
            _ => {
                queue
                    .give_back(held.iter().filter(|m| m.past.retried).map(|m| m.claim()).collect(), now, None)
                    .await
                    .unwrap();
                held.retain(|m| !m.past.retried);
            }
        }
        let figures = queue.fresh_figures(delivery, now).await.unwrap();
        assert_eq!(figures.messages, figures.pending + figures.sent + figures.failed + figures.cancelled);
        let verification = queue.verify(delivery, now).await.unwrap();
        assert!(verification.agrees, "seed {seed} step {step}: {:?}", verification.differences);
    }
    queue.stop(delivery, T0 + 999).await.unwrap();
    queue.stopped(delivery, T0 + 999).await.unwrap();
    let figures = queue.fresh_figures(delivery, T0).await.unwrap();
    assert_eq!((figures.pending, figures.sent + figures.failed + figures.cancelled), (0, 20));
    assert!(queue.verify(delivery, T0).await.unwrap().agrees);
}

#[test]
fn the_default_plan_is_the_documented_one() {
    let plan = RetryPlan::default();
    assert_eq!((plan.first_day, plan.period_us, plan.later_us), (5, queue::HOUR_US, 24 * queue::HOUR_US));
}

/// Fails like a database that is away, for a while.
struct Away(std::sync::atomic::AtomicUsize);

impl Quarantine for Away {
    fn quarantine(&self, _: &mut store::Tx<'_>, _: &[Nonexistent]) -> Result<(), store::Error> {
        let left = self.0.load(std::sync::atomic::Ordering::SeqCst);
        if left == 0 {
            return Ok(());
        }
        self.0.store(left - 1, std::sync::atomic::Ordering::SeqCst);
        Err(store::Error::Unavailable("for a while".to_owned()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_wait_for_a_database_that_is_away() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 3).write(&queue).await;
        let messages = fixture::claim_all(&queue, &run, T0).await;
        let away = Arc::new(Away(std::sync::atomic::AtomicUsize::new(2)));
        let (settler, _ended) = Settler::start(queue.clone(), away.clone()).unwrap();
        let mut failed = done(&messages[0], "google", FinalState::Failed);
        failed.nonexistent = Some(messages[0].address_key());
        settler.submit(failed, Some(settler.permit().await.unwrap()), None);
        settler.submit(sent(&messages[1], "google"), Some(settler.permit().await.unwrap()), None);
        assert!(settler.unsettled() > 0);
        settler.drained().await;
        assert_eq!(away.0.load(std::sync::atomic::Ordering::SeqCst), 0);
        let figures = queue.fresh_figures(1, T0).await.unwrap();
        assert_eq!((figures.failed, figures.sent, figures.pending), (1, 1, 1));
        assert!(queue.verify(1, T0).await.unwrap().agrees);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_owed_for_each_sent_message_of_a_run_that_wants_copies() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan { bcc: true, ..Plan::new(3, 6) }.write(&queue).await;
        let plain = Plan::new(4, 2).write(&queue).await;
        let messages = fixture::claim_all(&queue, &run, T0).await;
        let others = fixture::claim_all(&queue, &plain, T0).await;
        let mut batch = vec![
            sent(&messages[0], "google"),
            sent(&messages[1], "google"),
            done(&messages[2], "google", FinalState::Failed),
            done(&messages[3], "google", FinalState::Cancelled),
            defer(&messages[4], "google", T0 + 60, 1, true),
        ];
        batch.extend(others.iter().map(|message| sent(message, "google")));
        let batch = Arc::new(batch);
        for _ in 0..2 {
            queue.settle(Arc::clone(&batch), vec![], Arc::new(NoQuarantine)).await.unwrap();
        }
        tokio::time::timeout(std::time::Duration::from_secs(60), queue.wait_for_copies()).await.unwrap();
        // A message that is taken at its second try comes from the retry set: its run is asked again.
        let again = queue.take_retries(&run, &messages[4].part.lane, 10, T0 + 60).await.unwrap();
        let mut late = sent(&again[0], "google");
        late.last_try = Some(T0 + 60);
        queue.settle(Arc::new(vec![late]), vec![], Arc::new(NoQuarantine)).await.unwrap();

        let copies = store.read(|tx| copies::due(tx, T0 + 60, None, 100)).await.unwrap();
        let ids: Vec<i64> = copies.iter().map(|copy| copy.message.id).collect();
        assert_eq!(ids, [messages[0].id, messages[1].id, messages[4].id], "sent, by time");
        let first = &copies[0];
        assert_eq!((first.digest, first.sent_at, first.tries), (Some([7; 16]), T0, 0));
        assert_eq!((&*first.message.part.snapshot, &*first.message.part.signing), ("hash-3", "keys"));
        assert_eq!((first.message.part.stamp, first.message.address.as_str()), (T0, "User0@a.example"));
        let place = copies[1].place();
        let rest = store.read(move |tx| copies::due(tx, T0 + 60, Some(place), 100)).await.unwrap();
        assert_eq!(rest.iter().map(|copy| copy.message.id).collect::<Vec<_>>(), [messages[4].id]);
        let early = store.read(|tx| copies::due_count(tx, T0, 100)).await.unwrap();
        assert_eq!(early, (2, Some(T0)));
        let owed = store.read(|tx| copies::owed(tx, Some(3))).await.unwrap();
        assert_eq!((owed.waiting, owed.held, owed.oldest), (3, 0, Some(T0)));
        assert_eq!(store.read(|tx| copies::owed(tx, Some(4))).await.unwrap(), Owed::default());
        assert!(queue.verify(3, T0).await.unwrap().agrees, "copies are in no count of the delivery");
    })
    .await;
}

/// A transaction's work.
type Work = Box<dyn FnOnce(&mut store::Tx<'_>) -> queue::Result<u64> + Send>;

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_taken_put_off_held_and_given_up() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan { bcc: true, ..Plan::new(5, 4) }.write(&queue).await;
        let messages = fixture::claim_all(&queue, &run, T0).await;
        let batch = messages.iter().map(|message| sent(message, "google")).collect();
        queue.settle(Arc::new(batch), vec![], Arc::new(NoQuarantine)).await.unwrap();
        let ids: Vec<i64> = messages.iter().map(|message| message.id).collect();

        let first = ids[0];
        let write = |f: Work| {
            let store = store.clone();
            async move { store.write(Lane::Bulk, f).await.unwrap() }
        };
        assert_eq!(write(Box::new(move |tx| copies::taken(tx, &[first]))).await, 1);
        assert_eq!(write(Box::new(move |tx| copies::taken(tx, &[first]))).await, 0, "taken once");
        let long = "é".repeat(600);
        let untaken = vec![
            Untaken { id: ids[1], due: Some(T0 + 500), error: "busy".to_owned(), counts: true },
            Untaken { id: ids[2], due: None, error: long, counts: true },
        ];
        write(Box::new(move |tx| copies::untaken(tx, &untaken).map(|()| 0))).await;
        let due = store.read(|tx| copies::due(tx, T0 + 499, None, 100)).await.unwrap();
        assert_eq!(due.iter().map(|copy| copy.message.id).collect::<Vec<_>>(), [ids[3]]);
        let owed = store.read(|tx| copies::owed(tx, None)).await.unwrap();
        assert_eq!((owed.waiting, owed.held, owed.put_off.as_deref()), (2, 1, Some("busy")));
        let held = store.read(|tx| copies::held(tx, 0, 10)).await.unwrap();
        assert_eq!((held.len(), held[0].id, held[0].delivery, held[0].error.len()), (1, ids[2], 5, 512));
        // Only what is held can be given up.
        let (waiting, stuck) = (ids[3], ids[2]);
        assert_eq!(write(Box::new(move |tx| copies::give_up(tx, &[waiting, stuck]))).await, 1);
        assert_eq!(write(Box::new(|tx| copies::try_again(tx, T0 + 9))).await, 0);
        let due = store.read(|tx| copies::due(tx, T0 + 9, None, 100)).await.unwrap();
        assert_eq!(
            due.iter().map(|copy| (copy.message.id, copy.tries)).collect::<Vec<_>>(),
            [(ids[3], 0), (ids[1], 1)]
        );
        write(Box::new(|tx| queue::plan::purge(tx, 5).map(|()| 0))).await;
        assert_eq!(store.read(|tx| copies::owed(tx, None)).await.unwrap(), Owed::default());
    })
    .await;
}
