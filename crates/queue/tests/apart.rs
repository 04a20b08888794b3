//! What is kept apart: seeds from recipients, held lanes from those that send, what comes back later from what was sent.

#![allow(clippy::unwrap_used)]

mod fixture;

use std::sync::Arc;

use fixture::{Plan, T0, claim_all, done, open, sent};
use queue::{
    FinalState, Hold, LogFilter, LogState, NoQuarantine, Queue, Returned, RunState, SeedFigures, Settlement,
    Who, delivered, message_id, returned_in, runs,
};
use store::Lane;
use store::testing::each;

async fn settle(queue: &Queue, batch: Vec<Settlement>) {
    queue.settle(Arc::new(batch), vec![], Arc::new(NoQuarantine)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn seeds_get_the_message_and_are_in_no_figure_of_recipients() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan { seeds: 3, ..Plan::new(1, 9) }.write(&queue).await;
        assert_eq!(run.messages, 6);
        let messages = claim_all(&queue, &run, T0).await;
        assert_eq!(messages.iter().filter(|message| message.is_seed()).count(), 3);
        let (seeds, people): (Vec<_>, Vec<_>) = messages.iter().partition(|message| message.is_seed());
        settle(&queue, people.iter().map(|m| sent(m, "google")).collect()).await;
        let figures = queue.fresh_figures(1, T0).await.unwrap();
        assert_eq!((figures.messages, figures.sent, figures.pending), (6, 6, 0));
        assert_eq!(figures.seeds, SeedFigures { pending: 3, ..SeedFigures::default() });
        assert_eq!(figures.state, RunState::InProgress, "its seeds are still to come");
        assert!(!queue.finish_if_over(1, T0).await.unwrap());
        let batch = vec![sent(seeds[0], "google"), done(seeds[1], "google", FinalState::Failed)];
        settle(&queue, batch).await;
        assert!(queue.verify(1, T0).await.unwrap().agrees);
        queue.stop(1, T0).await.unwrap();
        queue.stopped(1, T0).await.unwrap();
        let figures = queue.fresh_figures(1, T0).await.unwrap();
        let seeds = SeedFigures { pending: 0, sent: 1, failed: 1, cancelled: 1 };
        assert_eq!((figures.seeds, figures.sent, figures.cancelled), (seeds, 6, 0));
        assert!(figures.providers.iter().map(|p| p.sent).sum::<i64>() == 6);
        let found = queue.verify(1, T0).await.unwrap();
        assert!(found.agrees && found.messages == 6, "{found:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_shows_recipients_or_seeds() {
    each(|store| async move {
        let queue = open(&store).await;
        Plan { seeds: 2, excluded: 1, ..Plan::new(1, 7) }.write(&queue).await;
        Plan::new(2, 3).write(&queue).await;
        let addresses = async |delivery: i64, filter: LogFilter| {
            let page = queue.log(delivery, filter, None, 100).await.unwrap();
            page.rows.into_iter().map(|row| row.address).collect::<Vec<_>>()
        };
        let seeds = LogFilter { seeds: true, ..LogFilter::default() };
        assert_eq!(addresses(1, LogFilter::default()).await.len(), 6, "five recipients and one left out");
        assert_eq!(addresses(1, seeds.clone()).await, ["User5@a.example", "User6@a.example"]);
        let none = LogFilter { state: Some(LogState::Sent), ..seeds.clone() };
        assert!(addresses(1, none).await.is_empty());
        assert!(addresses(2, seeds).await.is_empty());
        assert_eq!(addresses(2, LogFilter::default()).await.len(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_lane_has_no_work_until_it_is_lifted() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 8).write(&queue).await;
        let lanes =
            async || queue.lanes(1).await.unwrap().into_iter().map(|work| work.lane).collect::<Vec<_>>();
        let hold = |lane: &str| Hold { lane: lane.into(), reason: "bounces".into(), at: T0 };
        assert_eq!(queue.hold(1, vec![hold("google")]).await.unwrap(), 1);
        assert_eq!(lanes().await, ["tail-3"]);
        let raised = queue.run(1).await.unwrap();
        assert_eq!(raised.epoch, run.epoch + 1, "what was claimed before is given back");
        assert_eq!(queue.hold(1, vec![hold("google")]).await.unwrap(), 0);
        assert_eq!(queue.run(1).await.unwrap().epoch, raised.epoch);
        let messages = claim_all(&queue, &raised, T0).await;
        settle(&queue, vec![sent(&messages[0], "google")]).await;
        let figures = queue.fresh_figures(1, T0).await.unwrap();
        assert!(figures.providers.iter().any(|p| p.provider == "google" && p.held));
        assert_eq!(queue.holds(1).await.unwrap(), [hold("google")]);
        assert_eq!((queue.lift(1, Some("yahoo")).await.unwrap(), queue.lift(1, None).await.unwrap()), (0, 1));
        assert!(queue.holds(1).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_is_counted_where_it_was_taken() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan { seeds: 1, ..Plan::new(1, 5) }.write(&queue).await;
        let messages = claim_all(&queue, &run, T0).await;
        let batch = messages.iter().enumerate();
        let batch =
            batch.map(|(n, m)| sent(m, if n % 2 == 0 { "google" } else { "small.example" })).collect();
        settle(&queue, batch).await;
        let report = async |n: i64, what: Returned| {
            queue
                .store()
                .write(Lane::Urgent, move |tx| returned_in(tx, message_id(1, n), what))
                .await
                .unwrap()
        };
        let people: Vec<i64> =
            messages.iter().filter(|m| !m.is_seed()).map(|m| m.id & (queue::MESSAGES_MAX - 1)).collect();
        assert!(report(people[0], Returned::Hard).await && report(people[0], Returned::Complaint).await);
        assert!(report(people[1], Returned::Soft).await && report(people[2], Returned::Complaint).await);
        assert!(!report(4, Returned::Hard).await, "a seed's");
        let figures = queue.fresh_figures(1, T0).await.unwrap();
        assert_eq!((figures.bounced, figures.complaints, figures.sent), (1, 2, 4));
        let unknown =
            queue.store().write(Lane::Urgent, |tx| returned_in(tx, message_id(9, 0), Returned::Hard));
        assert!(!unknown.await.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_reached_nobody() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 4).write(&queue).await;
        let messages = claim_all(&queue, &run, T0).await;
        let mut batch: Vec<Settlement> = messages.iter().map(|m| sent(m, "google")).collect();
        batch[1].reason = Some(queue::TEST_REASON.to_owned());
        settle(&queue, batch).await;
        let relation = delivered(1, Who::Sent);
        let reached =
            queue.store().read(move |tx| tx.query(&relation.sql, &relation.binds, |row| row.int(0))).await;
        assert_eq!(reached.unwrap().len(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_moves_only_before_the_first_claim() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 4).write(&queue).await;
        let later = T0 + 7_000;
        let moved =
            queue.store().write(Lane::Urgent, move |tx| runs::move_start(tx, 1, later)).await.unwrap();
        let run = (moved, queue.run(1).await.unwrap(), run.spec.valid_until);
        assert!(run.0 && run.1.spec.start_at == later && run.1.spec.valid_until == run.2);
        assert!(claim_all(&queue, &run.1, T0).await.is_empty(), "not before");
        assert_eq!(claim_all(&queue, &run.1, later).await.len(), 4);
        assert!(!queue.store().write(Lane::Urgent, |tx| runs::move_start(tx, 1, T0)).await.unwrap());
    })
    .await;
}
