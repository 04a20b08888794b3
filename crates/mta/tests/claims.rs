//! What was claimed and what becomes of it when something goes wrong: a database that is away, another epoch, a stop before
//! the first claim, the end of validity, an engine that is replaced.

#![allow(clippy::unwrap_used, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod story;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use net::{Clock, DnsError, RecordKind};
use routes::RuleOverride;
use story::{Act, Receiver, Story, say};

const SECOND: i64 = 1_000_000;

fn rate(rate: &str) -> routes::Providers {
    let rule = RuleOverride {
        connections: Some(1),
        message_rates: Some(vec![rate.parse().unwrap()]),
        ..RuleOverride::default()
    };
    story::providers([("a.example".to_owned(), rule)])
}

/// How often each recipient's message went out.
fn most_copies(receiver: &Receiver) -> usize {
    let mut copies: HashMap<String, usize> = HashMap::new();
    // A refused recipient leaves an empty one.
    for (_, moment) in
        receiver.seen.lock().unwrap().iter().filter(|(_, m)| m.verb == "dot" && !m.text.is_empty())
    {
        *copies.entry(moment.text.clone()).or_default() += 1;
    }
    copies.values().copied().max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_given_back_goes_out_all_the_same() {
    let closed = Arc::new(AtomicBool::new(true));
    let script = Arc::clone(&closed);
    let receiver = Receiver::new(move |m| {
        (m.verb == "greeting" && script.load(Ordering::SeqCst)).then(|| say("421 4.7.0 not now"))
    });
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |_| {}).await;
    story.provider("gmail.com", "gmail-smtp-in.l.google.com", "127.0.0.1");
    story
        .sql(
            "CREATE TRIGGER away BEFORE UPDATE OF state ON part WHEN NEW.state = 0 \
             BEGIN SELECT RAISE(ABORT, 'away'); END;",
        )
        .await;
    story.many(1, 96, "gmail.com").await;
    story.wait_for("rested", || story.paths_of("google").iter().any(|path| path.suspended.is_some())).await;
    // Some sweeps long nothing can be given back.
    tokio::time::sleep(Duration::from_millis(200)).await;
    story.sql("DROP TRIGGER away;").await;
    closed.store(false, Ordering::SeqCst);
    assert_eq!(story.over_in_leaps(1, Duration::from_secs(60)).await.sent, 96);
    assert_eq!(receiver.count("dot"), 96);
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_whose_answer_was_lost_are_found_again() {
    let greylisted = Arc::new(AtomicBool::new(false));
    let once = Arc::clone(&greylisted);
    let receiver = Receiver::new(move |m| {
        (m.verb == "rcpt" && !once.swap(true, Ordering::SeqCst))
            .then(|| say("451 4.7.1 Greylisted, please try again in 300 seconds"))
    });
    let story = Story::with(&receiver).await;
    let addresses: Vec<String> = (0..100).map(|n| format!("user{n}@a.example")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    story.confirm_with(1, &addresses, |spec| spec.start_at += queue::HOUR_US).await;
    // As after a commit whose answer did not come: the claim is on disk, and nobody holds it.
    story.sql("UPDATE part SET state = 1, node = 1, claim = 77 WHERE first_id = (SELECT min(first_id) FROM part);").await;
    story.clock.advance(Duration::from_secs(3_600));
    story.until(1, "sent but for one", |f| f.sent == 99).await;
    story.sql("UPDATE retry SET node = 1, claim = 78;").await;
    assert_eq!(story.over_in_leaps(1, Duration::from_secs(60)).await.sent, 100);
    assert_eq!(most_copies(&receiver), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_under_way_send_nobody_anything_twice() {
    let receiver = Receiver::new(|_| None);
    let story = Story::with(&receiver).await;
    story.many(1, 3_000, "a.example").await;
    story.until(1, "under way", |f| f.sent > 20).await;
    for _ in 0..60 {
        let hold = queue::Hold { lane: "elsewhere".into(), reason: "a test".into(), at: 1 };
        story.queue.hold(1, vec![hold]).await.unwrap();
        story.queue.lift(1, None).await.unwrap();
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    assert_eq!(story.over(1).await.sent, 3_000);
    assert_eq!((receiver.count("dot"), most_copies(&receiver)), (3_000, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_dns_for_an_older_epoch_frees_no_claim_of_the_newer() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    // Slow enough for what is claimed twice to find something left to send.
    let story = Story::begin(port, |config| config.providers = rate("15/min")).await;
    story.domain("a.example", "127.0.0.1");
    let (asked, answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (questions, now) = (Arc::clone(&asked), Arc::clone(&answer));
    story.dns.script(move |name, kind| {
        if !name.starts_with("a.example")
            || kind != RecordKind::Mx
            || questions.fetch_add(1, Ordering::SeqCst) > 0
        {
            return None;
        }
        let now = Arc::clone(&now);
        Some(Box::pin(async move {
            while !now.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Some(Err(DnsError::Defer("no answer".to_owned())))
        }))
    });
    story.many(1, 32, "a.example").await;
    story.wait_for("asked", || asked.load(Ordering::SeqCst) > 0).await;
    let hold = queue::Hold { lane: "elsewhere".into(), reason: "a test".into(), at: 1 };
    story.queue.hold(1, vec![hold]).await.unwrap();
    story.wait_for("sending in the new epoch", || receiver.count("dot") > 2).await;
    answer.store(true, Ordering::SeqCst);
    assert_eq!(story.over(1).await.sent, 32);
    story.until(1, "finished", |f| f.state == queue::RunState::Finished).await;
    assert_eq!((receiver.count("dot"), most_copies(&receiver)), (32, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_before_the_first_claim_lets_nothing_begin() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| config.providers = rate("1/min")).await;
    story.domain("a.example", "127.0.0.1");
    story.domain("b.example", "127.0.0.1");
    // The feeder has something to do for it between its look at the runs and the new ones.
    story.many(1, 50, "a.example").await;
    let mut reports = Vec::new();
    for delivery in 2..60 {
        tokio::join!(
            story.sql("UPDATE run SET epoch = epoch + 1 WHERE delivery = 1;"),
            story.many(delivery, 20, "b.example")
        );
        tokio::time::sleep(Duration::from_micros(delivery as u64 * 20)).await;
        reports.push((delivery, story.engine.stop(delivery).await.unwrap()));
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    // What begins after its stop is not cut, and ends: the rate lets one go in a minute of the story.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    for (delivery, report) in reports {
        let (taken, sent) = (taken_of(&receiver, delivery), report.sent);
        assert!((sent..=sent + report.in_flight).contains(&taken), "{delivery}: {taken}, but {report:?}");
    }
}

/// Messages of a delivery that the receiver took. Not those that began: what was cut after its MAIL may be read late.
fn taken_of(receiver: &Receiver, delivery: i64) -> i64 {
    let of =
        |text: &str| text.split(['<', '@']).nth(1).and_then(|id| id.parse().ok()).map(queue::delivery_of);
    let seen = receiver.seen.lock().unwrap();
    seen.iter().filter(|(_, m)| m.verb == "dot" && of(&m.text) == Some(delivery)).count() as i64
}

#[tokio::test(flavor = "multi_thread")]
async fn validity_ends_though_the_database_is_away() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| config.providers = rate("4/s")).await;
    story.domain("a.example", "127.0.0.1");
    let addresses: Vec<String> = (0..1_000).map(|n| format!("user{n}@a.example")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let run = story.confirm_with(1, &addresses, |spec| spec.valid_until = spec.start_at + 120 * SECOND).await;
    story.wait_for("begun", || receiver.count("dot") > 8).await;
    story.sql("ALTER TABLE run RENAME TO run_away;").await;
    let later = run.spec.valid_until + 20 * SECOND;
    story.wait_for("over", || story.clock.now_us() > later).await;
    story.sql("ALTER TABLE run_away RENAME TO run;").await;
    let figures = story.over(1).await;
    // Judged by their number, because what begins in time may be read late: no more than the rate let go by then.
    assert!(receiver.count("mail") <= 4 * 120 + 2, "{} messages began", receiver.count("mail"));
    assert!(figures.expired && figures.cancelled >= 1_000 - 4 * 120 - 2, "{figures:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_at_its_dot_while_the_engine_is_replaced_goes_once() {
    for answered in [true, false] {
        let (ready, held) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (when, once) = (Arc::clone(&ready), Arc::clone(&held));
        let receiver = Receiver::new(move |m| {
            (m.verb == "dot" && !once.swap(true, Ordering::SeqCst))
                .then(|| Act::SayOnce(Arc::clone(&when), "250 2.0.0 taken at last"))
        });
        let port = receiver.listen("127.0.0.1:0").await;
        let mut story = Story::begin(port, |config| {
            config.drain = Duration::from_millis(300);
            config.providers = rate("1000/s");
        })
        .await;
        story.domain("a.example", "127.0.0.1");
        story.many(1, 40, "a.example").await;
        story.wait_for("at its dot", || receiver.count("dot") == 1).await;
        story.restart().await;
        story.until(1, "the others are sent", |f| f.sent == 39).await;
        let row = story.figures(1).await;
        assert_eq!((row.pending, row.unknown), (1, 1), "{row:?}");
        if answered {
            ready.store(true, Ordering::SeqCst);
            assert_eq!(story.over(1).await.sent, 40);
            assert_eq!((receiver.count("dot"), most_copies(&receiver)), (40, 1));
        } else {
            // Nobody knows whether it was taken: it goes again in its time, with the same bytes.
            assert_eq!(story.over_in_leaps(1, Duration::from_secs(60)).await.sent, 40);
            assert_eq!((receiver.count("dot"), most_copies(&receiver)), (41, 2));
        }
    }
}
