//! What waits, and what operators do to it, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used)]

mod fixture;

use std::sync::Arc;
use std::time::Duration;

use fixture::{Plan, T0, defer, open, sent};
use queue::{
    Control, DROPPED_REASON, Error, HOUR_US, LaneWaiting, LogFilter, LogState, NoQuarantine, Queue, Receiver,
    Tls, TlsProof, Waiters,
};
use store::Lane;
use store::testing::each;

const NO_PATIENCE: Duration = Duration::ZERO;

async fn settle(queue: &Queue, batch: Vec<queue::Settlement>, done: Vec<i64>) {
    queue.settle(Arc::new(batch), done, Arc::new(NoQuarantine)).await.unwrap();
}

fn receiver(site: &str, domains: &[&str]) -> Receiver {
    Receiver { site: site.to_owned(), domains: domains.iter().map(|domain| (*domain).to_owned()).collect() }
}

fn of<'a>(found: &'a [LaneWaiting], lane: &str) -> &'a LaneWaiting {
    found.iter().find(|waiting| waiting.lane == lane).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_counted_by_lane() {
    each(|store| async move {
        let queue = open(&store).await;
        let mut later = Plan::new(2, 2);
        later.due_us = HOUR_US;
        later.write(&queue).await;
        let run = Plan::new(1, 12).write(&queue).await;
        let first = queue.claim(&run, "google", 1, T0).await.unwrap();
        let (part, messages) = &first[0];
        let batch = messages.iter().map(|m| defer(m, "google", T0 + 500, 1, false)).collect();
        settle(&queue, batch, vec![part.first_id]).await;
        queue.claim(&run, "tail-3", 1, T0).await.unwrap();

        let found = queue.waiting_by_lane(T0 + 10).await.unwrap();
        let google = of(&found[..2], "google");
        assert_eq!((google.delivery, google.fresh, google.retries, google.claimed), (1, 3, 3, 0));
        assert_eq!((google.oldest, google.next_try, google.length()), (Some(T0), Some(T0), 6));
        assert_eq!(google.due, 3, "the retries have their time ahead");
        let tail = of(&found[..2], "tail-3");
        assert_eq!((tail.fresh, tail.retries, tail.claimed, tail.next_try), (3, 0, 3, Some(T0)));
        let waits = of(&found[2..], "google");
        assert_eq!((waits.delivery, waits.oldest, waits.next_try), (2, None, Some(T0 + HOUR_US)));
        assert_eq!(waits.due, 0);
        assert_eq!(waits.reason, None);

        queue.set_blocked(2, Some("no source of pool default here".to_owned()));
        queue.pause(1, T0).await.unwrap();
        let found = queue.waiting_by_lane(T0 + 10).await.unwrap();
        assert_eq!(of(&found[..2], "google").reason.as_deref(), Some("paused"));
        assert_eq!(of(&found[2..], "google").reason.as_deref(), Some("no source of pool default here"));
        let figures = queue.figures(2, T0).await.unwrap();
        assert_eq!(figures.blocked.as_deref(), Some("no source of pool default here"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_cancels_what_waits_and_leaves_the_rest() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 12).write(&queue).await;
        let first = queue.claim(&run, "google", 1, T0).await.unwrap();
        let (part, messages) = &first[0];
        let batch = vec![
            sent(&messages[0], "google"),
            defer(&messages[1], "google", T0 + 500, 1, false),
            defer(&messages[2], "google", T0 + 500, 1, true),
        ];
        settle(&queue, batch, vec![part.first_id]).await;
        let which = Waiters { delivery: Some(1), lane: Some("google".to_owned()), receiver: None };
        let dropped = queue.drop_waiting(which.clone(), T0 + 9, NO_PATIENCE).await.unwrap();
        assert_eq!((dropped.messages, dropped.under_way), (5, 0));
        let figures = queue.fresh_figures(1, T0).await.unwrap();
        assert_eq!((figures.sent, figures.cancelled, figures.pending), (1, 5, 6));
        assert_eq!((figures.deferred, figures.unknown), (0, 0));
        assert!(queue.verify(1, T0).await.unwrap().agrees);
        assert!(queue.holds(1).await.unwrap().is_empty(), "the lane is open again");
        let filter = LogFilter { state: Some(LogState::Cancelled), ..LogFilter::default() };
        let page = queue.log(1, filter, None, 100).await.unwrap();
        assert!(page.rows.iter().all(|row| row.reason.as_deref() == Some(DROPPED_REASON)));
        let lanes = queue.lanes(1).await.unwrap();
        assert_eq!(lanes.len(), 1, "nothing is left to claim there: {lanes:?}");
        assert_eq!(queue.drop_waiting(which, T0 + 9, NO_PATIENCE).await.unwrap().messages, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_dropped_that_an_engine_has_in_its_hands() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 12).write(&queue).await;
        let held = queue.claim(&run, "google", 1, T0).await.unwrap();
        let before = queue.run(1).await.unwrap().epoch;
        let which = Waiters { delivery: Some(1), ..Waiters::default() };
        let dropped = queue.drop_waiting(which, T0, Duration::from_millis(50)).await.unwrap();
        assert_eq!((dropped.messages, dropped.under_way), (9, 1));
        assert!(queue.run(1).await.unwrap().epoch > before, "the engine was asked to give back");
        let batch = held[0].1.iter().map(|m| sent(m, "google")).collect();
        settle(&queue, batch, vec![held[0].0.first_id]).await;
        let figures = queue.fresh_figures(1, T0).await.unwrap();
        assert_eq!((figures.sent, figures.cancelled, figures.pending), (3, 9, 0));
        assert!(queue.verify(1, T0).await.unwrap().agrees);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_of_one_domain_leaves_its_lanes_other_domains() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 6).write(&queue).await;
        store
            .write(Lane::Bulk, |tx| {
                tx.execute("UPDATE message SET domain = 'b.example' WHERE id % 2 = 1", &[])
            })
            .await
            .unwrap();
        let first = queue.claim(&run, "google", 1, T0).await.unwrap();
        let batch = first[0].1.iter().map(|m| defer(m, "google", T0 + 500, 1, false)).collect();
        settle(&queue, batch, vec![first[0].0.first_id]).await;
        let which =
            Waiters { receiver: Some(receiver("mx.b.example", &["b.example"])), ..Waiters::default() };
        let dropped = queue.drop_waiting(which, T0, NO_PATIENCE).await.unwrap();
        assert_eq!(dropped.messages, 3);
        let rest = fixture::claim_all(&queue, &queue.run(1).await.unwrap(), T0).await;
        assert_eq!(rest.iter().map(|message| &*message.domain).collect::<Vec<_>>(), ["a.example"]);
        let figures = queue.fresh_figures(1, T0).await.unwrap();
        assert_eq!((figures.cancelled, figures.pending, figures.deferred), (3, 3, 2));
        assert!(queue.verify(1, T0).await.unwrap().agrees);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_are_due_at_once_when_somebody_says_so() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 6).write(&queue).await;
        let messages = fixture::claim_all(&queue, &run, T0).await;
        let batch = messages.iter().map(|m| defer(m, "google", T0 + HOUR_US, 1, false)).collect();
        settle(&queue, batch, fixture::part_ids(&messages)).await;
        let google = Waiters { lane: Some("google".to_owned()), ..Waiters::default() };
        assert_eq!(queue.retry_now(google, T0 + 7).await.unwrap(), 3);
        let lanes = queue.lanes(1).await.unwrap();
        assert_eq!(lanes[0].retry_due, Some(T0 + 7));
        assert_eq!(lanes[1].retry_due, Some(T0 + HOUR_US));
        let elsewhere =
            Waiters { receiver: Some(receiver("c.example", &["c.example"])), ..Waiters::default() };
        assert_eq!(queue.retry_now(elsewhere, T0 + 7).await.unwrap(), 0);
        assert_eq!(queue.retry_now(Waiters::default(), T0 + 7).await.unwrap(), 3);
        let taken = queue.take_retries(&run, "tail-3", 9, T0 + 7).await.unwrap();
        assert_eq!(taken.len(), 3);
        assert!(taken.iter().all(|message| message.past.attempts == 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_changes_while_the_run_is_not_over() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 4).write(&queue).await;
        queue.set_blocked(1, Some("no source".to_owned()));
        let moved = queue.set_pool(1, "warm").await.unwrap();
        assert_eq!((moved.spec.pool.as_str(), moved.epoch), ("warm", run.epoch + 1));
        assert_eq!(queue.blocked(1), None, "whether the new pool can be served is not known yet");
        assert_eq!(queue.set_pool(1, "warm").await.unwrap().epoch, run.epoch + 1);
        queue.stop(1, T0).await.unwrap();
        assert!(matches!(queue.set_pool(1, "cold").await, Err(Error::Refused { .. })));
        assert!(matches!(queue.set_pool(9, "cold").await, Err(Error::NotConfirmed(9))));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_and_security_stand_beside_outcomes() {
    each(|store| async move {
        let queue = open(&store).await;
        let mut plan = Plan::new(1, 8);
        plan.seeds = 2;
        let run = plan.write(&queue).await;
        let messages = fixture::claim_all(&queue, &run, T0).await;
        let tls = Tls {
            protocol: "TLSv1.3".to_owned(),
            cipher: "TLS13_AES_256_GCM_SHA384".to_owned(),
            certificate: "ab".repeat(32),
            proof: TlsProof::Dane,
        };
        let id = queue.secured(tls.clone()).await.unwrap();
        assert_eq!(queue::Queue::new(store.clone(), 2).secured(tls.clone()).await.unwrap(), id);
        let other = Tls { proof: TlsProof::None, ..tls.clone() };
        assert_ne!(queue.secured(other).await.unwrap(), id);
        let mut batch: Vec<_> = messages.iter().map(|message| sent(message, "google")).collect();
        for (n, settlement) in batch.iter_mut().enumerate() {
            settlement.octets = 1_000;
            settlement.last_try = Some(T0 + i64::try_from(n).unwrap() * HOUR_US / 2);
            settlement.tls = (n == 0).then_some(id);
        }
        for _ in 0..2 {
            settle(&queue, batch.clone(), vec![]).await;
        }
        let hours = queue.hourly(1).await.unwrap();
        assert!(hours.iter().all(|hour| hour.start_us % HOUR_US == 0), "{hours:?}");
        let sums = hours.iter().fold((0, 0), |sum, hour| (sum.0 + hour.messages, sum.1 + hour.octets));
        assert_eq!(sums, (6, 6_000), "without seeds, and once: {hours:?}");
        assert!(hours.len() >= 3);
        let page = queue.log(1, LogFilter::default(), None, 100).await.unwrap();
        let secured: Vec<_> = page.rows.iter().filter_map(|row| row.tls.clone()).collect();
        assert_eq!(secured, [tls]);
        assert!(page.rows.iter().all(|row| row.source.as_deref() == Some("default")));
        store.write(Lane::Bulk, |tx| queue::plan::purge(tx, 1)).await.unwrap();
        assert!(queue.hourly(1).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_in_use_while_an_unexpired_run_or_a_copy_needs_them() {
    each(|store| async move {
        let queue = open(&store).await;
        let mut plan = Plan::new(1, 4);
        plan.bcc = true;
        let run = plan.write(&queue).await;
        assert_eq!(queue.signing_in_use(T0).await.unwrap(), ["keys"]);
        assert!(queue.signing_in_use(run.spec.valid_until).await.unwrap().is_empty());
        let messages = fixture::claim_all(&queue, &run, T0).await;
        settle(&queue, messages.iter().map(|m| sent(m, "google")).collect(), vec![]).await;
        assert!(queue.finish_if_over(1, T0).await.unwrap());
        assert_eq!(queue.run(1).await.unwrap().control, Control::Finished);
        assert_eq!(queue.signing_in_use(run.spec.valid_until).await.unwrap(), ["keys"], "copies are owed");
        store.write(Lane::Bulk, |tx| tx.execute("DELETE FROM bcc", &[])).await.unwrap();
        assert!(queue.signing_in_use(T0).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_path_is_due_again_when_it_goes_on_and_other_retries_are_not() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 12).write(&queue).await;
        let messages = fixture::claim_all(&queue, &run, T0).await;
        // Three tried, and one of them due for a reason of its own in an hour; nine never tried, and parked.
        let batch: Vec<_> = messages
            .iter()
            .enumerate()
            .map(|(at, message)| match at {
                0 | 1 => defer(message, "google", T0 + 1, 1, false),
                2 => defer(message, "google", T0 + HOUR_US, 1, false),
                _ => {
                    let parked = defer(message, "google", T0 + HOUR_US, 0, false);
                    queue::Settlement { first_try: None, last_try: None, ..parked }
                }
            })
            .collect();
        settle(&queue, batch, fixture::part_ids(&messages)).await;
        let mut taken = Vec::new();
        for lane in queue.lanes(1).await.unwrap() {
            let due = queue.take_retries(&run, &lane.lane, 9, T0 + 5).await.unwrap();
            taken.extend(due.iter().map(|message| message.claim()));
        }
        assert_eq!(taken.len(), 2);
        queue.give_back(taken, T0 + HOUR_US, Some("google".into())).await.unwrap();
        assert_eq!(queue.resume_waiting("yahoo", None, T0 + 10).await.unwrap(), 0);
        assert_eq!(queue.resume_waiting("google", Some(0.5), T0 + 10).await.unwrap(), 11);
        assert_eq!(queue.resume_waiting("google", None, T0 + 11).await.unwrap(), 0, "once");
        let dues = store
            .read(|tx| {
                tx.query("SELECT due, count(*) FROM retry GROUP BY due ORDER BY due", &[], |row| {
                    Ok::<_, store::Error>((row.int(0)?, row.int(1)?))
                })
            })
            .await
            .unwrap();
        assert_eq!(dues, [(T0 + 10, 11), (T0 + HOUR_US, 1)]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_line_is_spread_over_what_the_path_takes() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 240).write(&queue).await;
        let messages = fixture::claim_all(&queue, &run, T0).await;
        let parked = |message: &queue::Message| queue::Settlement {
            first_try: None,
            last_try: None,
            ..defer(message, "small.example", T0 + HOUR_US, 0, false)
        };
        settle(&queue, messages.iter().map(parked).collect(), fixture::part_ids(&messages)).await;
        assert_eq!(queue.resume_waiting("small.example", Some(2.0), T0).await.unwrap(), 240);
        let dues = store
            .read(|tx| {
                tx.query("SELECT due, count(*) FROM retry GROUP BY due ORDER BY due", &[], |row| {
                    Ok::<_, store::Error>((row.int(0)?, row.int(1)?))
                })
            })
            .await
            .unwrap();
        assert_eq!(dues, [(T0, 100), (T0 + 50_000_000, 100), (T0 + 100_000_000, 40)]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_is_all_domains_that_lead_to_it() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 12).write(&queue).await;
        store
            .write(Lane::Bulk, |tx| {
                tx.execute("UPDATE message SET domain = 'b.example' WHERE id % 2 = 1", &[])
            })
            .await
            .unwrap();
        let first = queue.claim(&run, "google", 1, T0).await.unwrap();
        let batch = first[0].1.iter().map(|m| defer(m, "mx.host.example", T0 + 500, 1, false)).collect();
        settle(&queue, batch, vec![first[0].0.first_id]).await;
        // The three retries were answered by it; of what was never tried, half goes to a domain that leads there.
        let which =
            Waiters { receiver: Some(receiver("mx.host.example", &["b.example"])), ..Waiters::default() };
        assert_eq!(queue.retry_now(which.clone(), T0 + 7).await.unwrap(), 3);
        let dropped = queue.drop_waiting(which, T0 + 8, NO_PATIENCE).await.unwrap();
        let rest = fixture::claim_all(&queue, &queue.run(1).await.unwrap(), T0 + 9).await;
        assert_eq!(dropped.messages as usize + rest.len(), 12);
        assert!(rest.iter().all(|message| &*message.domain == "a.example"));
        assert!(queue.verify(1, T0 + 9).await.unwrap().agrees);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_today_is_counted_by_source_and_site() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 6).write(&queue).await;
        let messages = fixture::claim_all(&queue, &run, T0).await;
        let out = |message: &queue::Message, source: &str, at: i64| queue::Settlement {
            source: Some(source.into()),
            last_try: Some(at),
            ..sent(message, "google")
        };
        let test = queue::Settlement {
            reason: Some(queue::TEST_REASON.to_owned()),
            ..out(&messages[4], "a", T0 + 9)
        };
        let batch = vec![
            out(&messages[0], "a", T0 - 1),
            out(&messages[1], "a", T0 + 5),
            out(&messages[2], "a", T0 + 6),
            out(&messages[3], "b", T0 + 7),
            test,
            defer(&messages[5], "google", T0 + 500, 1, false),
        ];
        settle(&queue, batch, fixture::part_ids(&messages)).await;
        let counted = queue.accepted_since(T0).await.unwrap();
        let row = |source: &str, messages| (source.to_owned(), "google".to_owned(), messages);
        assert_eq!(counted, [row("a", 2), row("b", 1)]);
    })
    .await;
}
