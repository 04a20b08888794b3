//! Who gets the next connection where several sets of hosts share those of one path, or all receivers those of the node:
//! priorities and fairness, as inside one line.

#![allow(clippy::unwrap_used, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod story;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use queue::Priority;
use routes::RuleOverride;
use story::{Act, Receiver, Story};

/// The tenants of one provider: domains with hosts of their own.
const TENANTS: [&str; 3] = ["one.example", "two.example", "three.example"];

fn tenants(rates: &[&str], connections: u32) -> routes::Providers {
    let rule = RuleOverride {
        connections: Some(connections),
        messages_per_connection: Some(50),
        tls: Some(routes::TlsPolicy::Opportunistic),
        message_rates: Some(rates.iter().map(|rate| rate.parse().unwrap()).collect()),
        connection_rates: Some(Vec::new()),
        ..RuleOverride::default()
    };
    story::providers([("office365".to_owned(), rule)])
}

async fn begin(receiver: &Receiver, rates: &[&str], connections: u32) -> Story {
    let port = receiver.listen("127.0.0.1:0").await;
    let providers = tenants(rates, connections);
    let story = Story::begin(port, |config| config.providers = providers).await;
    for domain in TENANTS {
        let host = format!("{}.mail.protection.outlook.com", domain.replace('.', "-"));
        story.provider(domain, &host, "127.0.0.1");
    }
    story
}

fn people(count: usize, domain: &str) -> Vec<String> {
    (0..count).map(|n| format!("user{n}@{domain}")).collect()
}

async fn confirm(story: &Story, delivery: i64, priority: Priority, addresses: &[String]) {
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    story.confirm_with(delivery, &addresses, |spec| spec.priority = priority).await;
}

/// A receiver that takes its time with each message until it is told not to, so that there is time to come in between.
fn slow() -> (Receiver, Arc<AtomicBool>) {
    let slow = Arc::new(AtomicBool::new(true));
    let is_slow = Arc::clone(&slow);
    let receiver = Receiver::new(move |m| {
        (m.verb == "dot" && is_slow.load(Ordering::SeqCst))
            .then_some(Act::SayLate(Duration::from_millis(10), "250 2.0.0 ok"))
    });
    (receiver, slow)
}

/// Recipients in the order in which their messages began.
fn recipients(receiver: &Receiver) -> Vec<String> {
    let seen = receiver.seen.lock().unwrap();
    seen.iter().filter(|(_, m)| m.verb == "rcpt").map(|(_, m)| m.text.clone()).collect()
}

/// How many messages began before the last one of the third tenant, of those that had not when `before` had.
fn between(receiver: &Receiver, before: usize) -> usize {
    let order = recipients(receiver);
    order.iter().rposition(|to| to.contains(TENANTS[2])).unwrap().saturating_sub(before)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_waits_for_no_large_tenant() {
    let (receiver, slow) = slow();
    let story = begin(&receiver, &[], 1).await;
    let many = [people(1_000, TENANTS[0]), people(1_000, TENANTS[1])].concat();
    confirm(&story, 1, Priority::VeryLow, &many).await;
    story.until(1, "under way", |f| f.sent > 20).await;
    confirm(&story, 2, Priority::VeryHigh, &people(3, TENANTS[2])).await;
    let before = receiver.count("rcpt");
    assert_eq!(story.over(2).await.sent, 3);
    slow.store(false, Ordering::SeqCst);
    let between = between(&receiver, before);
    assert!(between < 200, "{between} messages went first");
    assert_eq!(receiver.most_open.load(Ordering::SeqCst), 1);
    assert_eq!(story.over(1).await.sent, 2_000);
    assert_eq!(receiver.count("dot"), 2_003, "what gave way went once");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_alone_gives_way_to_nobody() {
    let receiver = Receiver::new(|_| None);
    let story = begin(&receiver, &[], 1).await;
    confirm(&story, 1, Priority::Normal, &people(500, TENANTS[0])).await;
    assert_eq!(story.over(1).await.sent, 500);
    // With turns there would be 25.
    assert!(receiver.connections() <= 500 / 50 + 3, "{} connections", receiver.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_tenant_has_its_turn_among_large_ones() {
    let receiver = Receiver::new(|_| None);
    let story = begin(&receiver, &[], 1).await;
    let many = [people(900, TENANTS[0]), people(900, TENANTS[1]), people(3, TENANTS[2])].concat();
    confirm(&story, 1, Priority::Normal, &many).await;
    assert_eq!(story.over(1).await.sent, 1_803);
    let order = recipients(&receiver);
    let last = order.iter().rposition(|to| to.contains(TENANTS[2])).unwrap();
    assert!(last < 300, "its last message was the {last}th");
    let half = &order[..900];
    let of_first = half.iter().filter(|to| to.contains(TENANTS[0])).count();
    assert!((250..=650).contains(&of_first), "{of_first} of the first 900 for one of two equals");
    // A turn is worth a connection.
    assert!(receiver.connections() <= 1_803 / 15, "{} connections", receiver.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_slowed_path_the_next_message_is_that_of_the_highest_priority() {
    for connections in [1, 5] {
        let receiver = Receiver::new(|_| None);
        let story = begin(&receiver, &["6/min"], connections).await;
        let many = [people(40, TENANTS[0]), people(40, TENANTS[1])].concat();
        confirm(&story, 1, Priority::VeryLow, &many).await;
        story.until(1, "under way", |f| f.sent > 3).await;
        // Nothing begins while the engine takes them in, however long that is.
        story.stand_still(true);
        let waiting = || story.paths_of("office365").iter().map(|path| path.waiting).sum::<usize>();
        let others = waiting();
        confirm(&story, 2, Priority::VeryHigh, &people(4, TENANTS[2])).await;
        story.wait_for("in line", || waiting() >= others + 3).await;
        let before = receiver.count("rcpt");
        story.stand_still(false);
        assert_eq!(story.over(2).await.sent, 4);
        let order = recipients(&receiver);
        let ours: Vec<usize> = (0..order.len()).filter(|at| order[*at].contains(TENANTS[2])).collect();
        // The first message of a connection whose turn had come goes first, and what begins while ours is being opened; in
        // turn each of ours would come after two others.
        assert!(ours[0] <= before + 4, "{connections} connections: the {}th after {before}", ours[0]);
        assert!(ours[3] - ours[0] <= 5, "{connections} connections: {ours:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_waits_for_the_rate_shuts_nobody_out() {
    let receiver = Receiver::new(|_| None);
    let story = begin(&receiver, &["12/min"], 5).await;
    let many = [people(60, TENANTS[0]), people(1, TENANTS[2])].concat();
    confirm(&story, 1, Priority::Normal, &many).await;
    story.wait_for("its turn", || recipients(&receiver).iter().any(|to| to.contains(TENANTS[2]))).await;
    let place = recipients(&receiver).iter().position(|to| to.contains(TENANTS[2])).unwrap();
    assert!(place < 20, "it was the {place}th");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_connections_go_by_priority_too() {
    let (receiver, slow) = slow();
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| config.connections_max = 2).await;
    TENANTS.iter().for_each(|domain| story.domain(domain, "127.0.0.1"));
    let many = [people(1_000, TENANTS[0]), people(1_000, TENANTS[1])].concat();
    confirm(&story, 1, Priority::VeryLow, &many).await;
    story.until(1, "under way", |f| f.sent > 20).await;
    confirm(&story, 2, Priority::VeryHigh, &people(3, TENANTS[2])).await;
    let before = receiver.count("rcpt");
    assert_eq!(story.over(2).await.sent, 3);
    slow.store(false, Ordering::SeqCst);
    let between = between(&receiver, before);
    assert!(between < 200, "{between} messages went first");
    assert!(receiver.most_open.load(Ordering::SeqCst) <= 2);
    assert_eq!(story.over(1).await.sent, 2_000);
}
