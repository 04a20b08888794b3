//! Scripted dialogues: what receivers do, and what must come of it.

#![allow(clippy::unwrap_used, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod story;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mta::{Relay, RelayTls};
use queue::{HOUR_US, LogState, RunState};
use story::{Act, Moment, PATIENCE, Receiver, Story, say};

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_taken_over_few_connections() {
    for pipelining in [true, false] {
        let mut receiver = Receiver::new(|_| None);
        receiver.pipelining = pipelining;
        let story = Story::with(&receiver).await;
        story.many(1, 150, "a.example").await;
        let figures = story.over(1).await;
        assert_eq!((figures.sent, figures.failed), (150, 0));
        story.until(1, "finished", |f| f.state == RunState::Finished).await;
        assert_eq!(receiver.count("dot"), 150);
        assert!(receiver.connections() <= 20, "{} connections", receiver.connections());
        let limit = story::providers([]).rules_of("a.example").connections as usize;
        assert!(receiver.most_open.load(Ordering::SeqCst) <= limit);
        story.engine.shutdown().await.unwrap();
        assert_eq!(story.engine.claimed_bytes(), 0);
    }
}

/// The outcome of one message whose receiver does `act` at `verb` on every connection.
struct Case {
    verb: &'static str,
    act: Act,
    state: LogState,
    attempts: i64,
    reason: &'static str,
}

fn case(verb: &'static str, act: Act, state: LogState, attempts: i64, reason: &'static str) -> Case {
    Case { verb, act, state, attempts, reason }
}

async fn play(case: Case, pipelining: bool) {
    let Case { verb, act, state, attempts, reason } = case;
    let name = format!("{verb} {act:?} pipelining={pipelining}");
    let mut receiver = Receiver::new(move |m: &Moment| (m.verb == verb).then(|| act.clone()));
    receiver.pipelining = pipelining;
    let story = Story::with(&receiver).await;
    // The body of `large` does not fit the socket's buffers, so a close comes in the middle of it.
    let address = if verb == "body" { "large@a.example" } else { "someone@a.example" };
    story.confirm(1, &[address]).await;
    let rested = || story.engine.paths().iter().any(|path| path.suspended.is_some());
    let begin = Instant::now();
    let row = loop {
        let row = story.log(1).await.remove(0);
        let decided = row.state != LogState::Pending || row.attempts > 0;
        if decided || (attempts == 0 && state == LogState::Pending && rested()) {
            break row;
        }
        assert!(begin.elapsed() < PATIENCE, "{name}: nothing happened: {row:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!((row.state, row.attempts), (state, attempts), "{name}: {row:?}");
    assert_eq!(row.reason.as_deref().unwrap_or(""), reason, "{name}: {row:?}");
    assert!(row.reply.as_ref().is_none_or(|reply| reply.len() <= 512));
    // Nobody knows whether it was taken where the answer to its dot did not come.
    let unknown = i64::from(verb == "dot" && reason == "unreachable");
    assert_eq!(story.figures(1).await.unknown, unknown, "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_at_each_command() {
    for pipelining in [true, false] {
        for verb in ["mail", "rcpt", "data", "dot"] {
            play(case(verb, say("450 4.9.9 later"), LogState::Pending, 1, "not_defined"), pipelining).await;
            play(case(verb, say("550 5.9.9 never"), LogState::Failed, 1, "not_defined"), pipelining).await;
        }
        let long = format!("{}550 5.9.9 end", "550-5.9.9 a very long story about why not\n".repeat(60));
        play(case("rcpt", Act::Say(long), LogState::Failed, 1, "not_defined"), pipelining).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_421_moves_the_path_and_not_the_message() {
    for pipelining in [true, false] {
        for verb in ["greeting", "ehlo", "mail", "rcpt", "data", "dot"] {
            play(case(verb, say("421 4.3.2 closing"), LogState::Pending, 0, ""), pipelining).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_connections() {
    for verb in ["greeting", "ehlo", "mail"] {
        play(case(verb, Act::Close, LogState::Pending, 0, ""), true).await;
    }
    play(case("body", Act::Close, LogState::Pending, 1, "unreachable"), true).await;
    play(case("body", Act::Close, LogState::Pending, 1, "unreachable"), false).await;
    play(case("dot", Act::Close, LogState::Pending, 1, "unreachable"), true).await;
    play(case("greeting", say("hello there"), LogState::Pending, 0, ""), true).await;
    play(case("greeting", say("554 5.7.1 we do not want you"), LogState::Pending, 0, ""), true).await;
    play(case("dot", say("\u{1}\u{2} nonsense"), LogState::Pending, 1, "unreachable"), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_unknown_and_goes_again_with_the_same_bytes() {
    let lost = Arc::new(AtomicBool::new(false));
    let once = Arc::clone(&lost);
    let receiver =
        Receiver::new(move |m| (m.verb == "dot" && !once.swap(true, Ordering::SeqCst)).then_some(Act::Close));
    let story = Story::with(&receiver).await;
    story.confirm(1, &["someone@a.example"]).await;
    story.until(1, "unknown", |f| f.unknown == 1 && f.deferred == 1 && f.pending == 1).await;
    story.clock.advance(Duration::from_secs(3_600));
    let figures = story.over(1).await;
    assert_eq!((figures.sent, figures.unknown), (1, 0));
    let seen = receiver.seen.lock().unwrap();
    let bodies: Vec<&String> = seen.iter().filter(|(_, m)| m.verb == "dot").map(|(_, m)| &m.text).collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], bodies[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_354_after_a_refused_recipient_is_answered_with_a_dot() {
    let receiver =
        Receiver::new(|m| (m.verb == "rcpt" && m.text.contains("user1@")).then(|| say("550 5.9.9 no")));
    let story = Story::begin(receiver.listen("127.0.0.1:0").await, |config| {
        config.providers = one_connection();
    })
    .await;
    story.domain("a.example", "127.0.0.1");
    story.many(1, 3, "a.example").await;
    let figures = story.over(1).await;
    assert_eq!((figures.sent, figures.failed), (2, 1));
    let seen = receiver.seen.lock().unwrap();
    let empty = seen.iter().filter(|(_, m)| m.verb == "dot" && m.text.is_empty()).count();
    assert_eq!((empty, receiver.connections()), (1, 1));
}

fn one_connection() -> routes::Providers {
    let one = routes::RuleOverride { connections: Some(1), ..routes::RuleOverride::default() };
    let names = ["a.example", "slow.example", "fast.example"];
    story::providers(names.into_iter().map(|name| (name.to_owned(), one.clone())))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_address_is_quarantined_and_cancelled_everywhere() {
    let receiver = Receiver::new(|m| {
        (m.verb == "rcpt" && m.text.to_lowercase().contains("gone@"))
            .then(|| say("550 5.1.1 no such user here"))
    });
    let story = Story::with(&receiver).await;
    story.confirm(1, &["Gone@a.example", "here@a.example"]).await;
    let figures = story.over(1).await;
    assert_eq!((figures.sent, figures.failed), (1, 1));
    let found = story.quarantined.0.lock().unwrap().clone();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].address_key, "gone@a.example");
    story.confirm(2, &["gone@a.example", "here@a.example"]).await;
    let figures = story.over(2).await;
    assert_eq!((figures.sent, figures.cancelled), (1, 1));
    assert_eq!(story.log(2).await[0].reason.as_deref(), Some("suppressed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_is_acknowledged_within_a_second_while_receivers_hang() {
    for verb in ["greeting", "mail", "data", "body", "dot"] {
        // A machine that stands still for a moment is no fault of the stop: one of three is in time.
        let mut late = Vec::new();
        while let Err(why) = stop_while_receivers_hang(verb).await {
            late.push(why);
            assert!(late.len() < 3, "{verb}: {late:?}");
        }
    }
}

/// An error says what came late; what is exact is exact then too.
async fn stop_while_receivers_hang(verb: &'static str) -> Result<(), String> {
    let receiver = Receiver::new(move |m: &Moment| (m.verb == verb).then_some(Act::Hang));
    let story = Story::with(&receiver).await;
    story.many(1, 40, "a.example").await;
    story.wait_for("there", || receiver.count(verb) > 0).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let asked = Instant::now();
    let report = story.engine.stop(1).await.unwrap();
    let took = asked.elapsed();
    assert_eq!(report.sent + report.in_flight + report.cancelled + report.failed, 40, "{verb} {report:?}");
    assert_eq!((report.sent, report.failed), (0, 0), "{verb} {report:?}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Judged by what came, because what was cut may be read late. A small body goes out with its dot at once, also to a
    // receiver that reads none of it.
    let hangs_at_its_dot = matches!(verb, "body" | "dot");
    assert!(receiver.count("dot") as i64 <= report.in_flight, "{verb} {report:?}");
    // Each connection hangs at its first message, and the next one's commands may ride on its body.
    let limit = story::providers([]).rules_of("a.example").connections as usize;
    assert!(receiver.count("mail") <= 2 * limit, "{verb}: {} began", receiver.count("mail"));
    assert_eq!(story.figures(1).await.pending, 0);
    if hangs_at_its_dot {
        assert!(report.in_flight > 0, "{report:?}");
    } else {
        story.until(1, "stopped", |f| f.state == RunState::Stopped).await;
        assert_eq!(receiver.count("dot"), 0, "{verb} {report:?}");
    }
    if took >= Duration::from_secs(1) || (report.in_flight > 0) != hangs_at_its_dot {
        return Err(format!("{took:?} {report:?}"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_in_full_flight_is_exact() {
    let receiver = Receiver::new(|_| None);
    // Not all of them before the stop.
    receiver.answers(1_500);
    let story = Story::with(&receiver).await;
    story.many(1, 2_000, "a.example").await;
    story.until(1, "under way", |f| f.sent > 100).await;
    let report = story.engine.stop(1).await.unwrap();
    assert_eq!(report.sent + report.in_flight + report.cancelled, 2_000);
    receiver.answers(usize::MAX);
    let figures = story.until(1, "stopped", |f| f.state == RunState::Stopped).await;
    assert!((report.sent..=report.sent + report.in_flight).contains(&figures.sent), "{report:?} {figures:?}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(receiver.count("dot") as i64, figures.sent, "not one more than reported");
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_lets_nothing_begin_and_resume_goes_on() {
    let receiver = Receiver::new(|_| None);
    // Not all of them before the pause.
    receiver.answers(800);
    let story = Story::with(&receiver).await;
    story.many(1, 1_000, "a.example").await;
    story.until(1, "under way", |f| f.sent > 50).await;
    story.engine.pause(1).await.unwrap();
    receiver.answers(usize::MAX);
    let paused = story.until(1, "paused", |f| f.state == RunState::Paused).await;
    // What had begun has ended, so that all of it was read.
    let seen = receiver.count("mail");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(receiver.count("mail"), seen);
    assert_eq!(story.figures(1).await.sent, paused.sent);
    story.engine.resume(1).await.unwrap();
    let figures = story.over(1).await;
    assert_eq!(figures.sent, 1_000);
    assert_eq!(receiver.count("dot"), 1_000, "nobody got it twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_down_is_waited_for() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |_| {}).await;
    // Nobody listens on this address yet.
    story.domain("a.example", "127.0.0.7");
    story.many(1, 5, "a.example").await;
    let begin = Instant::now();
    while !story.engine.paths().iter().any(|path| path.suspended.is_some()) {
        assert!(begin.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let figures = story.figures(1).await;
    assert_eq!((figures.pending, figures.deferred), (5, 0));
    receiver.listen(&format!("127.0.0.7:{port}")).await;
    let figures = story.over_in_leaps(1, Duration::from_secs(60)).await;
    assert_eq!(figures.sent, 5);
    assert!(story.log(1).await.iter().all(|row| row.attempts == 1), "waiting counted no attempt");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_host_is_tried() {
    let receiver = Receiver::new(|_| None);
    let story = Story::with(&receiver).await;
    story.resolver.mx("b.example", &[(10, "dead.b.example"), (20, "mx.a.example")]);
    story.resolver.a("dead.b.example", &["127.0.0.8"]);
    story.many(1, 3, "b.example").await;
    assert_eq!(story.over(1).await.sent, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_dns_says_decides() {
    let receiver = Receiver::new(|_| None);
    let story = Story::with(&receiver).await;
    story.resolver.mx("null.example", &[(0, ".")]);
    story.domain("silent.example", "127.0.0.1");
    story.resolver.fails("silent.example", net::RecordKind::Mx);
    story.confirm(1, &["a@null.example", "b@missing.example", "c@silent.example"]).await;
    story.until(1, "failed", |f| f.failed == 2).await;
    let rows = story.log(1).await;
    assert_eq!(rows[0].reason.as_deref(), Some("invalid_domain"));
    assert!(rows[0].reply.as_ref().unwrap().contains("null MX"), "{rows:?}");
    assert!(rows[1].reply.as_ref().unwrap().contains("does not exist"), "{rows:?}");
    assert_eq!((rows[2].state, rows[2].attempts), (LogState::Pending, 0));
    story.resolver.recovers("silent.example", net::RecordKind::Mx);
    assert_eq!(story.over_in_leaps(1, Duration::from_secs(60)).await.sent, 1);
    assert!(story.quarantined.0.lock().unwrap().is_empty(), "a dead domain quarantines nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_schedule_and_then_validity() {
    let receiver = Receiver::new(|m| (m.verb == "rcpt").then(|| say("450 4.9.9 later")));
    let story = Story::with(&receiver).await;
    let run = story.confirm(1, &["someone@a.example"]).await;
    let mut tries = Vec::new();
    for attempt in 1..=10_i64 {
        let begin = Instant::now();
        let row = loop {
            let row = story.log(1).await.remove(0);
            if row.attempts == attempt {
                break row;
            }
            assert!(begin.elapsed() < PATIENCE, "try {attempt}: {row:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let last = row.last_try.unwrap();
        tries.push((last - run.spec.start_at) / HOUR_US);
        let now = net::Clock::now_us(&story.clock);
        let next = row.next_try.unwrap();
        story.clock.advance(Duration::from_micros(u64::try_from(next - now).unwrap_or(0)));
    }
    assert_eq!(tries, [0, 1, 2, 3, 4, 5, 29, 53, 77, 101]);
    let figures = story.over(1).await;
    assert_eq!(figures.cancelled, 1);
    assert!(figures.expired);
    assert_eq!(story.log(1).await[0].reason.as_deref(), Some("validity"));
    assert_eq!(receiver.count("rcpt"), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_delay_is_obeyed_and_not_counted() {
    let greylisted = Arc::new(AtomicBool::new(false));
    let once = Arc::clone(&greylisted);
    let receiver = Receiver::new(move |m| {
        (m.verb == "rcpt" && !once.swap(true, Ordering::SeqCst))
            .then(|| say("451 4.7.1 Greylisted, please try again in 300 seconds"))
    });
    let story = Story::with(&receiver).await;
    story.confirm(1, &["someone@a.example"]).await;
    let begin = Instant::now();
    let row = loop {
        let row = story.log(1).await.remove(0);
        if row.next_try.is_some() {
            break row;
        }
        assert!(begin.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(row.attempts, 0);
    assert_eq!(
        row.next_try.unwrap() - row.last_try.unwrap(),
        310_000_000,
        "and ten seconds, for clocks differ"
    );
    story.clock.advance(Duration::from_secs(310));
    assert_eq!(story.over(1).await.sent, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_receiver_starves_no_other() {
    let hangs = Arc::new(AtomicUsize::new(0));
    let hung = Arc::clone(&hangs);
    let slow = Receiver::new(move |m| {
        (m.verb == "dot").then(|| {
            hung.fetch_add(1, Ordering::SeqCst);
            Act::Hang
        })
    });
    let port = slow.listen("127.0.0.3:0").await;
    let fast = Receiver::new(|_| None);
    fast.listen(&format!("127.0.0.4:{port}")).await;
    let story = Story::begin(port, |config| config.providers = one_connection()).await;
    let begun = net::Clock::now_us(&story.clock);
    story.domain("slow.example", "127.0.0.3");
    story.domain("fast.example", "127.0.0.4");
    let mut addresses: Vec<String> = (0..500).map(|n| format!("u{n}@slow.example")).collect();
    addresses.extend((0..500).map(|n| format!("u{n}@fast.example")));
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    story.confirm(1, &addresses).await;
    story.until(1, "fast is done", |f| f.sent == 500).await;
    // After ten minutes an answer is waited for no more.
    let minutes = (net::Clock::now_us(&story.clock) - begun) / 60_000_000;
    assert!((1..=1 + minutes / 10).contains(&(hangs.load(Ordering::SeqCst) as i64)));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_deliveries_share_one_receiver() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&order);
    let receiver = Receiver::new(move |m| {
        if m.verb == "mail" {
            let text = m.text.split(['-', '@']).nth(1).unwrap().to_owned();
            noted.lock().unwrap().push(queue::delivery_of(text.parse().unwrap()));
        }
        None
    });
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| config.providers = one_connection()).await;
    story.domain("a.example", "127.0.0.1");
    story.many(1, 1_500, "a.example").await;
    // The large one waits for the small one to be there.
    receiver.answers(400);
    story.until(1, "under way", |f| f.sent > 50).await;
    story.many(2, 40, "a.example").await;
    receiver.answers(usize::MAX);
    story.over(2).await;
    let order = order.lock().unwrap();
    let first = order.iter().position(|d| *d == 2).unwrap();
    let last = order.iter().rposition(|d| *d == 2).unwrap();
    assert!(last - first < 400, "{first} to {last}");
    assert!(last < 1_500, "the small one did not wait for the large one: {last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_takes_everything_with_a_login() {
    let receiver = Receiver::new(|m| match (m.verb, m.text.as_str()) {
        ("ehlo", _) => Some(say("250-relay\n250-PIPELINING\n250 AUTH PLAIN LOGIN")),
        ("other", text) if text.starts_with("AUTH PLAIN ") => Some(say("235 2.7.0 welcome")),
        _ => None,
    });
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(1, |config| {
        config.relay = Some(Relay {
            host: "localhost".to_owned(),
            port,
            tls: RelayTls::None,
            login: Some(("user".to_owned(), "word".to_owned())),
            connections: 3,
            messages_per_connection: 20,
        });
    })
    .await;
    // The DNS knows none of these domains: a relay does not ask it.
    story.many(1, 100, "anything.example").await;
    let figures = story.over(1).await;
    assert_eq!((figures.sent, figures.providers[0].provider.as_str()), (100, "relay"));
    assert!(receiver.most_open.load(Ordering::SeqCst) <= 3);
    assert!(receiver.connections() >= 5, "a connection carries 20 messages");
    story.wait_for("logged in", || receiver.count("other") == receiver.connections()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_composed_fails_alone() {
    let receiver = Receiver::new(|_| None);
    let story = Story::with(&receiver).await;
    story.confirm(1, &["never@a.example", "panic@a.example", "fine@a.example"]).await;
    let figures = story.over(1).await;
    assert_eq!((figures.sent, figures.failed), (1, 2));
    let row = &story.log(1).await[0];
    assert_eq!(row.reason.as_deref(), Some("unreachable"), "a reason that the log knows");
    assert!(row.reply.as_deref().is_some_and(|words| words.contains("could not be composed")), "{row:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_finishes_dots_and_releases_the_rest() {
    let receiver = Receiver::new(|_| None);
    let story = Story::with(&receiver).await;
    // Not all of them before the end.
    receiver.answers(2_500);
    let run = story.many(1, 3_000, "a.example").await;
    story.until(1, "under way", |f| f.sent > 100).await;
    let (ended, ()) = tokio::join!(story.engine.shutdown(), async { receiver.answers(usize::MAX) });
    ended.unwrap();
    let figures = story.figures(1).await;
    assert_eq!(receiver.count("dot") as i64, figures.sent, "each message taken is on disk");
    assert_eq!(figures.sent + figures.pending, 3_000);
    let lane = story.queue.lanes(1).await.unwrap().remove(0).lane;
    let now = net::Clock::now_us(&story.clock);
    let mut left = 0;
    loop {
        let parts = story.queue.claim(&run, &lane, 64, now).await.unwrap();
        if parts.is_empty() {
            break;
        }
        left += parts.iter().map(|(_, messages)| messages.len() as i64).sum::<i64>();
    }
    assert_eq!(left, figures.pending, "everything else can be claimed again");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_outside_any_delivery() {
    let receiver =
        Receiver::new(|m| (m.verb == "rcpt" && m.text.contains("no@")).then(|| say("550 5.7.1 not you")));
    let story = Story::with(&receiver).await;
    let body = b"Subject: test\r\n\r\nHello\r\n";
    let words = story.engine.send_one("me@shop.example", "you@a.example", body).await.unwrap();
    assert_eq!(words, "250 2.0.0 ok");
    let refused = story.engine.send_one("me@shop.example", "no@a.example", body).await.unwrap_err();
    assert_eq!(refused, "at RCPT TO: 550 5.7.1 not you");
    let missing = story.engine.send_one("me@shop.example", "you@missing.example", body).await.unwrap_err();
    assert!(missing.contains("does not exist"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn quick_pauses_and_resumes_send_nobody_anything_twice() {
    let receiver = Receiver::new(|_| None);
    let story = Story::with(&receiver).await;
    story.many(1, 8_000, "a.example").await;
    story.until(1, "under way", |f| f.sent > 20).await;
    for _ in 0..8 {
        story.engine.pause(1).await.unwrap();
        story.engine.resume(1).await.unwrap();
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    assert_eq!(story.over(1).await.sent, 8_000);
    assert_eq!(receiver.count("dot"), 8_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_comes_and_goes_sends_nobody_anything_twice() {
    let mails = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&mails);
    let receiver = Receiver::new(move |m| {
        let closes = m.verb == "mail" && counted.fetch_add(1, Ordering::SeqCst) % 40 == 39;
        closes.then(|| say("421 4.7.0 too much, come back later"))
    });
    let story = Story::with(&receiver).await;
    story.many(1, 300, "a.example").await;
    assert_eq!(story.over_in_leaps(1, Duration::from_secs(30)).await.sent, 300);
    assert_eq!(receiver.count("dot"), 300);
    assert!(story.log(1).await.iter().all(|row| row.attempts == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn optional_tls_that_fails_falls_back_to_clear_and_is_remembered() {
    let receiver = Receiver::new(|m| match (m.verb, m.text.as_str()) {
        ("ehlo", _) => Some(say("250-mx\n250-PIPELINING\n250 STARTTLS")),
        // What follows is no TLS: the handshake fails.
        ("other", "STARTTLS") => Some(say("220 go ahead\nnot a server hello")),
        _ => None,
    });
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| config.providers = one_connection()).await;
    story.domain("a.example", "127.0.0.1");
    story.many(1, 250, "a.example").await;
    assert_eq!(story.over(1).await.sent, 250);
    let seen = receiver.seen.lock().unwrap();
    assert_eq!(seen.iter().filter(|(_, m)| m.text == "STARTTLS").count(), 1, "asked once, then remembered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_pushes_back_costs_no_row_per_message() {
    let closed = Arc::new(AtomicBool::new(true));
    let script = Arc::clone(&closed);
    let receiver = Receiver::new(move |m| {
        (m.verb == "greeting" && script.load(Ordering::SeqCst)).then(|| say("421 4.7.0 not now"))
    });
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |_| {}).await;
    story.resolver.mx("gmail.com", &[(5, "gmail-smtp-in.l.google.com")]);
    story.resolver.a("gmail-smtp-in.l.google.com", &["127.0.0.1"]);
    let run = story.many(1, 200, "gmail.com").await;
    let begin = Instant::now();
    // The parts are ready again while the path rests, and nothing is held or written.
    loop {
        let lanes = story.queue.lanes(1).await.unwrap();
        let whole = lanes.len() == 1 && lanes[0].lane == "google" && lanes[0].retry_due.is_none();
        if whole && story.engine.claimed_bytes() == 0 && receiver.connections() > 0 {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{lanes:?} {:?}", story.engine.paths());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let figures = story.figures(1).await;
    assert_eq!(
        (figures.pending, figures.deferred, figures.providers[0].provider.as_str()),
        (200, 0, "google")
    );
    closed.store(false, Ordering::SeqCst);
    story.clock.advance(Duration::from_secs(120));
    assert_eq!(story.over(1).await.sent, 200);
    assert_eq!(receiver.count("dot"), 200);
    assert!(story.log(1).await.iter().all(|row| row.attempts == 1));
    assert_eq!(run.messages, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_courier_has_a_connection_of_its_own() {
    for pipelining in [true, false] {
        let mut receiver = Receiver::new(|m| match (m.verb, m.text.as_str()) {
            ("rcpt", text) if text.contains("no@") => Some(say("550 5.1.1 nobody")),
            ("dot", text) if text.contains("busy") => Some(say("451 4.3.0 later")),
            ("dot", text) if text.contains("close") => Some(Act::Close),
            _ => None,
        });
        receiver.pipelining = pipelining;
        let story = Story::with(&receiver).await;
        let port = story.port;
        let config = mta::CourierConfig {
            source: mta::Source { name: "own".to_owned(), bind: None, ehlo: "mail.shop.example".to_owned() },
            relay: None,
            port,
        };
        let courier = mta::Courier::new(config, story.world());
        let mut line = courier.line("a.example").await.unwrap();
        assert!(matches!(line.send("", "vault@a.example", b"one\r\n").await, mta::Handed::Taken { .. }));
        let refused = line.send("", "no@a.example", b"two\r\n").await;
        let mta::Handed::Refused { words, of_message: false, permanent: true, .. } = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(words, "at RCPT TO: 550 5.1.1 nobody");
        let refused = line.send("", "vault@a.example", b"busy\r\n").await;
        assert!(
            matches!(refused, mta::Handed::Refused { of_message: true, permanent: false, .. }),
            "{refused:?}"
        );
        assert!(matches!(line.send("", "vault@a.example", b".dot\r\n").await, mta::Handed::Taken { .. }));
        let lost = line.send("", "vault@a.example", b"close\r\n").await;
        assert!(matches!(lost, mta::Handed::Lost { unknown: true, .. }), "{lost:?}");
        assert!(!line.is_open());
        assert!(matches!(line.send("", "v@a.example", b"x\r\n").await, mta::Handed::Lost { .. }));
        line.quit().await;
        assert_eq!(receiver.connections(), 1);
        assert!(courier.line("missing.example").await.unwrap_err().reason.contains("does not exist"));
        assert_eq!(story.engine.connections(), 0, "the engine knows nothing of it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_ends_before_the_message_and_says_so() {
    for pipelining in [true, false] {
        let mut receiver = Receiver::new(|m| {
            (m.verb == "rcpt" && m.text.contains("no@")).then(|| say("550 5.1.1 no such user"))
        });
        receiver.pipelining = pipelining;
        let story = Story::with(&receiver).await;
        let addresses = ["one@a.example", "two@a.example", "no@a.example", "three@a.example"];
        story.confirm_with(1, &addresses, |spec| (spec.test_smtp, spec.bcc) = (true, true)).await;
        let figures = story.over(1).await;
        assert_eq!((figures.sent, figures.failed), (3, 1));
        story.wait_for("taken leave of", || receiver.count("quit") == 4).await;
        assert_eq!((receiver.count("data"), receiver.count("dot")), (0, 0), "pipelining={pipelining}");
        assert_eq!(receiver.connections(), 4, "each connection asks once");
        for row in story.log(1).await {
            let reason = if row.address == "no@a.example" { "user_unknown" } else { "test" };
            assert_eq!(row.reason.as_deref(), Some(reason), "{row:?}");
            assert!(row.reply.is_some_and(|reply| reply.starts_with("250 ") || reply.starts_with("550 ")));
        }
        let taken = story.queue.message(queue::message_id(1, 0)).await.unwrap().unwrap();
        assert_eq!(taken.digest, None, "there were no bytes");
        // A message of another delivery goes over the same receivers as ever.
        story.confirm(2, &["four@a.example"]).await;
        assert_eq!(story.over(2).await.sent, 1);
        assert_eq!(receiver.count("dot"), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_lane_waits_while_the_others_go_on() {
    let receiver = Receiver::new(|_| None);
    let story = Story::with(&receiver).await;
    story.resolver.mx("gmail.com", &[(5, "gmail-smtp-in.l.google.com")]);
    story.resolver.a("gmail-smtp-in.l.google.com", &["127.0.0.1"]);
    let mut addresses: Vec<String> = (0..40).map(|n| format!("g{n}@gmail.com")).collect();
    addresses.extend((0..40).map(|n| format!("a{n}@a.example")));
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    story.confirm_with(1, &addresses, |spec| spec.start_at += HOUR_US).await;
    let hold = queue::Hold { lane: "google".into(), reason: "too many bounces".into(), at: 1 };
    assert_eq!(story.queue.hold(1, vec![hold.clone()]).await.unwrap(), 1);
    assert_eq!(story.queue.hold(1, vec![hold]).await.unwrap(), 0, "it is on hold already");
    story.clock.advance(Duration::from_secs(3_600));
    let figures = story.until(1, "sent to the others", |f| f.sent == 40).await;
    let google = figures.providers.iter().find(|p| p.provider == "google").unwrap();
    assert!(google.held && google.pending == 40 && google.sent == 0, "{google:?}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(story.figures(1).await.sent, 40, "held");
    assert_eq!(story.queue.lift(1, None).await.unwrap(), 1);
    assert_eq!(story.over(1).await.sent, 80);
}
