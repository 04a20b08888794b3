//! A/B tests: samples that go, a rest that waits, and what it says in the end.

#![allow(clippy::unwrap_used)]

mod fixture;

use std::sync::Arc;

use fixture::{T0, claim_all, open, sent};
use queue::variants::{self, HELD_DUE_US, NewVariant};
use queue::{NewMessage, NewPart, NoQuarantine, Priority, Queue, RetryPlan, Run, RunSpec, message_id, plan};
use store::Lane;
use store::testing::each;

/// Two variants of three messages each, and a rest of `rest` messages, in parts of four.
async fn confirmed(queue: &Queue, rest: i64) -> Run {
    let spec = RunSpec {
        delivery: 1,
        priority: Priority::Normal,
        pool: "default".to_owned(),
        start_at: T0,
        valid_until: T0 + 120 * queue::HOUR_US,
        retry: RetryPlan::default(),
        test_smtp: false,
        bcc: false,
        signing: String::new(),
        seen: 0,
        services: Vec::new(),
    };
    let message = |n: i64| NewMessage {
        id: message_id(1, n),
        recipient: 100 + n,
        domain: "a.example".to_owned(),
        flags: 0,
        address: format!("user{n}@a.example"),
        slots: vec![0],
    };
    let part = |first: i64, last: i64, wave: i64| NewPart {
        first_id: message_id(1, first),
        last_id: message_id(1, last),
        snapshot: if wave == 1 { "b" } else { "a" }.to_owned(),
        wave,
        lane: "google".to_owned(),
        due_us: if wave == 2 { HELD_DUE_US } else { 0 },
        messages: last - first + 1,
    };
    let other = |n: i64| NewVariant { message: message_id(1, n), variant: 1, flags: 7, slots: vec![1, 1] };
    queue
        .store()
        .write(Lane::Bulk, move |tx| {
            plan::write_snapshot(tx, "a", b"first")?;
            plan::write_snapshot(tx, "b", b"second")?;
            plan::insert_messages(tx, (0..6 + rest).map(message))?;
            variants::insert(tx, (6..6 + rest).map(other))?;
            let mut parts = vec![part(0, 2, 0), part(3, 5, 1)];
            parts.extend((6..6 + rest).step_by(4).map(|first| part(first, (first + 3).min(5 + rest), 2)));
            plan::insert_parts(tx, 1, parts)?;
            queue::runs::start(tx, &spec, T0)
        })
        .await
        .unwrap()
}

async fn applied(queue: &Queue, variant: i64) {
    let mut after = Some(0);
    while let Some(from) = after {
        after = queue
            .store()
            .write(Lane::Bulk, move |tx| variants::apply_some(tx, 1, variant, from))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_waits_and_then_says_what_the_winner_says() {
    each(|store| async move {
        let queue = open(&store).await;
        // More than one step on SQLite.
        let run = confirmed(&queue, 6_001).await;
        let late = T0 + 100 * queue::HOUR_US;
        let samples = claim_all(&queue, &run, late).await;
        assert_eq!(samples.len(), 6, "however late it is, the rest is not due");
        let found: Vec<_> = samples.iter().map(|m| (&*m.part.snapshot, m.part.wave)).collect();
        assert_eq!(found, [("a", 0), ("a", 0), ("a", 0), ("b", 1), ("b", 1), ("b", 1)]);
        let batch = samples[2..].iter().map(|m| sent(m, "google")).collect::<Vec<_>>();
        queue.settle(Arc::new(batch), vec![], Arc::new(NoQuarantine)).await.unwrap();
        let waves = store.read(|tx| variants::by_wave(tx, 1)).await.unwrap();
        let figures: Vec<_> = waves.iter().map(|w| (w.wave, w.messages, w.sent)).collect();
        assert_eq!(figures, [(0, 3, 1), (1, 3, 3), (2, 6_001, 0)]);

        // A crash after some steps: all are taken again.
        store.write(Lane::Bulk, |tx| variants::apply_some(tx, 1, 1, 0)).await.unwrap().unwrap();
        applied(&queue, 1).await;
        let released =
            store.write(Lane::Urgent, move |tx| variants::release(tx, 1, "b", late)).await.unwrap();
        assert_eq!(released, 1_501);
        let again = store.write(Lane::Urgent, move |tx| variants::release(tx, 1, "a", late)).await.unwrap();
        assert_eq!(again, 0, "it is let go once");
        assert!(queue.claim(&run, "google", 9_999, late - 1).await.unwrap().is_empty());
        let parts = queue.claim(&run, "google", 9_999, late).await.unwrap();
        let rest: Vec<_> = parts.iter().flat_map(|(_, messages)| messages).collect();
        assert_eq!(rest.len(), 6_001);
        assert!(rest.iter().all(|m| &*m.part.snapshot == "b" && m.slots == [1, 1] && m.flags == 7));
        while store.write(Lane::Bulk, |tx| variants::forget_some(tx, 1)).await.unwrap() {}
        applied(&queue, 1).await;
        assert_eq!(queue.message(message_id(1, 6)).await.unwrap().unwrap().snapshot, "b");
        assert!(queue.verify(1, late).await.unwrap().agrees);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_are_known_by_stretches_and_go_with_the_delivery() {
    each(|store| async move {
        let queue = open(&store).await;
        confirmed(&queue, 9).await;
        let spans = async || store.read(|tx| variants::spans(tx, 1)).await.unwrap();
        let shown = |spans: Vec<variants::Span>| {
            let of = |s: variants::Span| (s.first_id & 0xff, s.last_id & 0xff, s.wave, s.snapshot);
            spans.into_iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(shown(spans().await), [(0, 2, 0, "a".to_owned()), (3, 5, 1, "b".to_owned())]);
        store.write(Lane::Urgent, |tx| variants::release(tx, 1, "a", T0)).await.unwrap();
        assert_eq!(shown(spans().await)[2], (6, 14, 2, "a".to_owned()));
        assert_eq!(store.read(|tx| variants::snapshots(tx, 1)).await.unwrap(), ["a", "b"]);
        // What is planned for others' pressure counts from the start, although its time is not known.
        store.write(Lane::Bulk, |tx| plan::purge(tx, 1)).await.unwrap();
        confirmed(&queue, 9).await;
        let due = store.read(|tx| queue::due_between(tx, T0, T0 + 1)).await.unwrap();
        assert_eq!((due.len(), due[0].at_us), (1, T0));
        store.write(Lane::Bulk, |tx| plan::purge(tx, 1)).await.unwrap();
        assert!(!store.write(Lane::Bulk, |tx| variants::forget_some(tx, 1)).await.unwrap());
        assert!(queue.snapshot("b").await.unwrap().is_none());
    })
    .await;
}
