//! Paths over real sockets and a turned clock: who sends from where, how fast, and what becomes of it when a receiver, a
//! warm-up or an operator says no.

#![allow(clippy::unwrap_used, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod story;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mta::{Action, Config, TraceKind};
use net::Clock;
use routes::{Overflow, RuleOverride, WarmUp, day_of};
use story::{PATIENCE, Receiver, Story, T0, WITH_ROUTES, say};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

fn source(name: &str, address: &str) -> mta::Source {
    mta::Source {
        name: name.to_owned(),
        bind: Some(address.parse().unwrap()),
        ehlo: format!("{name}.shop.example"),
    }
}

fn two_sources(config: &mut Config) {
    config.sources = vec![source("one", "127.0.0.21"), source("two", "127.0.0.22")];
}

fn rules(site: &str, change: impl FnOnce(&mut RuleOverride)) -> (String, RuleOverride) {
    let mut rules = RuleOverride::default();
    change(&mut rules);
    (site.to_owned(), rules)
}

fn stored(name: &str, address: &str) -> routes::Source {
    routes::Source {
        name: name.to_owned(),
        address: Some(address.parse().unwrap()),
        ..routes::Source::first(&format!("{name}.shop.example"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_site_is_met_slowly_and_a_rate_has_no_bursts() {
    let begun: Arc<Mutex<Vec<i64>>> = Arc::default();
    let clock: Arc<Mutex<Option<net::FakeClock>>> = Arc::default();
    let (times, now) = (Arc::clone(&begun), Arc::clone(&clock));
    let receiver = Receiver::new(move |m| {
        if m.verb == "mail" {
            times.lock().unwrap().push(now.lock().unwrap().as_ref().unwrap().now_us());
        }
        None
    });
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| config.providers = routes::Providers::built_in().clone()).await;
    *clock.lock().unwrap() = Some(story.clock.clone());
    story.domain("a.example", "127.0.0.1");
    let start = story.clock.now_us();
    story.many(1, 60, "a.example").await;
    story.until(1, "half sent", |f| f.sent >= 30).await;
    let path = story.paths_of("a.example").remove(0);
    assert_eq!((path.rate, path.connections_limit, path.messages_per_connection), (Some(2.0), 2, 20));
    assert_eq!(story.over(1).await.sent, 60);
    assert!(receiver.most_open.load(Ordering::SeqCst) <= 2);
    // What the receiver sees may be late, and is never early: each message has its half second behind all those before it.
    for (number, at) in begun.lock().unwrap().iter().enumerate() {
        let least = number as i64 * SECOND / 2 - SECOND / 10;
        assert!(at - start >= least, "the {number}th came {} µs after the first could", at - start);
    }
    let seconds = (story.clock.now_us() - start) / SECOND;
    assert!(seconds <= 300, "60 at 2 a second took {seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_keeps_its_source_and_a_provider_is_shared_by_weight() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, two_sources).await;
    let mut addresses = Vec::new();
    for n in 0..40 {
        let domain = format!("d{n}.example");
        story.domain(&domain, "127.0.0.1");
        addresses.extend((0..3).map(|user| format!("u{user}@{domain}")));
    }
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    story.confirm(1, &addresses).await;
    assert_eq!(story.over(1).await.sent, 120);
    let mut by_domain: HashMap<String, HashSet<String>> = HashMap::new();
    for row in story.log(1).await {
        let domain = row.address.split('@').nth(1).unwrap().to_owned();
        by_domain.entry(domain).or_default().insert(row.source.unwrap());
    }
    assert!(by_domain.values().all(|sources| sources.len() == 1), "{by_domain:?}");
    let used: HashSet<&String> = by_domain.values().flatten().collect();
    assert_eq!(used.len(), 2);
    let seen: HashSet<std::net::IpAddr> =
        receiver.seen.lock().unwrap().iter().map(|(_, moment)| moment.from).collect();
    assert_eq!(seen, ["127.0.0.21", "127.0.0.22"].map(|ip| ip.parse().unwrap()).into());
    story.provider("gmail.com", "gmail-smtp-in.l.google.com", "127.0.0.1");
    story.many(2, 640, "gmail.com").await;
    assert_eq!(story.over(2).await.sent, 640);
    let one = story.log(2).await.iter().filter(|row| row.source.as_deref() == Some("one")).count();
    assert!((160..=480).contains(&one), "{one} of 640 from one of two equal sources");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_of_one_address_leaves_the_other_running_and_fails_nobody() {
    let receiver = Receiver::new(|m| {
        (m.verb == "rcpt" && m.from.to_string() == "127.0.0.21").then(|| {
            say("550 5.7.1 Unfortunately, messages from [127.0.0.21] weren't sent. Part of their network is on our \
                 block list (S3150).")
        })
    });
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, two_sources).await;
    story.provider("hotmail.com", "hotmail-com.olc.protection.outlook.com", "127.0.0.1");
    story.many(1, 320, "hotmail.com").await;
    let figures = story.over(1).await;
    assert_eq!((figures.sent, figures.failed), (320, 0));
    assert!(story.quarantined.0.lock().unwrap().is_empty());
    let rows = story.log(1).await;
    assert!(rows.iter().all(|row| row.attempts == 1), "held tries count no attempt");
    assert!(rows.iter().all(|row| row.source.as_deref() == Some("two")));
    let refused = receiver
        .seen
        .lock()
        .unwrap()
        .iter()
        .filter(|(_, m)| m.verb == "rcpt" && m.from.to_string() == "127.0.0.21")
        .count();
    assert!(refused <= 12, "{refused} messages ran into the block: S3150 is what follows not stopping");
    let blocked = story.paths_of("outlook").into_iter().find(|path| path.source == "one").unwrap();
    assert!(blocked.suspended.as_ref().unwrap().reason.contains("S3150"), "{blocked:?}");
    assert!(blocked.replies[0].text.contains("S3150"));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_source_a_block_is_waited_out() {
    let closed = Arc::new(AtomicBool::new(true));
    let script = Arc::clone(&closed);
    let receiver = Receiver::new(move |m| {
        (m.verb == "rcpt" && script.load(Ordering::SeqCst))
            .then(|| say("550 5.7.1 messages weren't sent, our block list (S3150)"))
    });
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |_| {}).await;
    story.provider("hotmail.com", "hotmail-com.olc.protection.outlook.com", "127.0.0.1");
    story.many(1, 64, "hotmail.com").await;
    story
        .wait_for("suspended", || story.paths_of("outlook").iter().any(|path| path.suspended.is_some()))
        .await;
    let figures = story.figures(1).await;
    assert_eq!((figures.failed, figures.cancelled, figures.sent), (0, 0, 0));
    story.quiet().await;
    closed.store(false, Ordering::SeqCst);
    assert_eq!(story.over_in_leaps(1, Duration::from_secs(600)).await.sent, 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complaint_of_one_delivery_keeps_that_one_away_and_no_other() {
    // Deliveries have bounce addresses of their own: bounce-ID.
    let first = queue::message_id(1, 0)..queue::message_id(2, 0);
    let is_first = move |text: &str| {
        let number =
            text.split("bounce-").nth(1).and_then(|rest| rest.split('@').next()?.parse::<i64>().ok());
        number.is_some_and(|number| first.contains(&number))
    };
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    let receiver = Receiver::new(move |m| {
        (m.verb == "mail" && is_first(&m.text)).then(|| {
            count.fetch_add(1, Ordering::SeqCst);
            say("421 4.7.28 Gmail has detected an unusual rate of unsolicited email containing one of your URL domains.")
        })
    });
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |_| {}).await;
    story.provider("gmail.com", "gmail-smtp-in.l.google.com", "127.0.0.1");
    story.many(1, 200, "gmail.com").await;
    story.wait_for("refused", || refused.load(Ordering::SeqCst) > 0).await;
    story.many(2, 200, "gmail.com").await;
    assert_eq!(story.over(2).await.sent, 200, "the other goes on");
    let figures = story.figures(1).await;
    assert_eq!((figures.sent, figures.failed, figures.pending), (0, 0, 200));
    let tried = refused.load(Ordering::SeqCst);
    assert!(tried <= 12, "{tried}: not every message had to hear it");
    assert!(story.paths_of("google").iter().all(|path| path.suspended.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn greylisting_is_answered_from_the_same_source_after_the_time_it_names() {
    let clock: Arc<Mutex<Option<net::FakeClock>>> = Arc::default();
    let now = Arc::clone(&clock);
    let met: Arc<Mutex<HashMap<String, (std::net::IpAddr, i64)>>> = Arc::default();
    let known = Arc::clone(&met);
    let receiver = Receiver::new(move |m| {
        if m.verb != "rcpt" {
            return None;
        }
        let now = now.lock().unwrap().as_ref().unwrap().now_us();
        let mut known = known.lock().unwrap();
        match known.get(&m.text) {
            None => {
                known.insert(m.text.clone(), (m.from, now));
                Some(say("450 4.7.1 Greylisted, try again in 300 seconds"))
            }
            Some((from, _)) if *from != m.from => Some(say("550 5.9.9 from another address")),
            Some((_, at)) if now < at + 300 * SECOND => Some(say("550 5.9.9 too early")),
            Some(_) => None,
        }
    });
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, two_sources).await;
    *clock.lock().unwrap() = Some(story.clock.clone());
    let mut addresses = Vec::new();
    for n in 0..20 {
        story.domain(&format!("g{n}.example"), "127.0.0.1");
        addresses.push(format!("user@g{n}.example"));
    }
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    story.confirm(1, &addresses).await;
    assert_eq!(story.over(1).await.sent, 20);
    assert_eq!(receiver.count("rcpt"), 40, "each was put off once");
    assert!(story.log(1).await.iter().all(|row| row.attempts == 1), "a named wait counts no attempt");
    assert!(
        story
            .paths_of("g0.example")
            .iter()
            .all(|path| path.suspended.is_none() && path.rate_reason.is_empty())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_become_fewer_and_cost_nobody_a_try() {
    let mut receiver = Receiver::new(|_| None);
    receiver.connections_max = 2;
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |_| {}).await;
    story.provider("gmx.de", "mx00.gmx.net", "127.0.0.1");
    story.many(1, 300, "gmx.de").await;
    // From time to time one more is tried.
    let fewer = |path: &mta::PathFigures| {
        path.connections_limit <= 2 && path.limit_reason.contains("fewer connections")
    };
    story.wait_for("fewer connections", || story.paths_of("gmx").iter().any(fewer)).await;
    assert_eq!(story.over(1).await.sent, 300);
    assert!(story.log(1).await.iter().all(|row| row.attempts == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_up_sends_to_the_message_what_a_day_allows() {
    for overflow in [Overflow::Warm, Overflow::Wait] {
        let receiver = Receiver::new(|_| None);
        let port = receiver.listen("127.0.0.1:0").await;
        let mut story = Story::begin(port, |config| config.node = WITH_ROUTES.to_owned()).await;
        story.provider("gmail.com", "gmail-smtp-in.l.google.com", "127.0.0.1");
        // The first day has some hours left, whenever the story begins.
        story.routes.put_source(stored("cold", "127.0.0.21"), "ann", T0).await.unwrap();
        story.routes.put_source(stored("warm", "127.0.0.22"), "ann", T0).await.unwrap();
        story.routes.remove_source("default", "ann", T0).await.unwrap();
        let plan = WarmUp {
            source: "cold".to_owned(),
            provider: "google".to_owned(),
            start_day: day_of(T0),
            days: vec![40, 80, 100_000],
            overflow,
        };
        story.routes.put_warm_up(plan, "ann", T0).await.unwrap();
        // All of this is known before the first message.
        story.restart().await;
        story.many(1, 640, "gmail.com").await;
        let by = |rows: &[queue::LogRow], name: &str| {
            rows.iter()
                .filter(|row| row.state == queue::LogState::Sent && row.source.as_deref() == Some(name))
                .count()
        };
        if overflow == Overflow::Warm {
            assert_eq!(story.over(1).await.sent, 640);
            let rows = story.log(1).await;
            assert_eq!(by(&rows, "cold"), 40, "to the message");
            continue;
        }
        let cold = || story.paths_of("google").into_iter().find(|path| path.source == "cold");
        story.wait_for("used up", || cold().is_some_and(|path| path.suspended.is_some())).await;
        story.until(1, "sent by the warm one", |f| f.sent > 250).await;
        // What is under way ends before the day does, and its results are on disk.
        story.quiet().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let before = until_rows(&story, "forty sent", |rows| by(rows, "cold") >= 40).await;
        assert_eq!(by(&before, "cold"), 40);
        let deferred = story.figures(1).await.deferred;
        assert_eq!(deferred, 0, "what waits for tomorrow was not tried");
        story.clock.advance(Duration::from_micros((DAY - story.clock.now_us().rem_euclid(DAY)) as u64));
        until_rows(&story, "next day", |rows| by(rows, "cold") >= 120).await;
        story.quiet().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(by(&story.log(1).await, "cold"), 120, "eighty on the second day");
        story.clock.advance(Duration::from_secs(86_400));
        assert_eq!(story.over(1).await.sent, 640);
    }
}

/// The rows of delivery 1 once they are as wanted.
async fn until_rows(
    story: &Story,
    what: &str,
    enough: impl Fn(&[queue::LogRow]) -> bool,
) -> Vec<queue::LogRow> {
    let begin = std::time::Instant::now();
    loop {
        let rows = story.log(1).await;
        if enough(&rows) {
            return rows;
        }
        assert!(begin.elapsed() < PATIENCE, "never {what}: {:?}", story.engine.paths());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_without_a_source_waits_with_a_reason_until_it_has_one() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| config.node = WITH_ROUTES.to_owned()).await;
    story.domain("a.example", "127.0.0.1");
    story.confirm_with(1, &["one@a.example"], |spec| spec.pool = "news".to_owned()).await;
    story.confirm(2, &["two@a.example"]).await;
    assert_eq!(story.over(2).await.sent, 1);
    let reason = story.queue.blocked(1).unwrap();
    assert!(reason.contains("news"), "{reason}");
    let mut news = stored("fresh", "127.0.0.23");
    news.pools = vec!["news".to_owned()];
    news.exclude = vec!["*.example".to_owned()];
    story.routes.put_source(news.clone(), "ann", T0).await.unwrap();
    story
        .wait_for("without a source for the domain", || {
            story
                .engine
                .paths()
                .iter()
                .any(|p| p.suspended.as_ref().is_some_and(|s| s.reason.contains("carries mail to a.example")))
        })
        .await;
    assert_eq!(story.figures(1).await.pending, 1);
    news.exclude.clear();
    story.routes.put_source(news, "ann", T0).await.unwrap();
    assert_eq!(story.over(1).await.sent, 1);
    assert_eq!(story.log(1).await[0].source.as_deref(), Some("fresh"));
    assert_eq!(story.queue.blocked(1), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_suspend_drain_and_resume_while_others_go_on() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| config.node = WITH_ROUTES.to_owned()).await;
    story.provider("gmail.com", "gmail-smtp-in.l.google.com", "127.0.0.1");
    story.domain("a.example", "127.0.0.1");
    let suspend = Action::Suspend {
        source: None,
        site: "google".to_owned(),
        until_us: None,
        reason: "a question of the postmaster".to_owned(),
        by: "ann".to_owned(),
    };
    story.engine.act(suspend).await.unwrap();
    story.many(1, 50, "gmail.com").await;
    story.many(2, 50, "a.example").await;
    assert_eq!(story.over(2).await.sent, 50);
    story
        .wait_for("shown", || {
            story
                .paths_of("google")
                .iter()
                .any(|p| p.suspended.as_ref().is_some_and(|s| s.by == "ann" && s.until_us.is_none()))
        })
        .await;
    let figures = story.figures(1).await;
    assert_eq!((figures.sent, figures.deferred), (0, 0));
    let held = story.routes.verdicts(story.clock.now_us()).await.unwrap();
    assert_eq!((held.len(), held[0].identity.as_str()), (1, "site:google"));
    story.engine.act(Action::RetryNow { site: "google".to_owned() }).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(story.figures(1).await.sent, 0, "a person's suspension stays");
    story
        .engine
        .act(Action::Resume { source: None, site: "google".to_owned(), by: "ann".to_owned() })
        .await
        .unwrap();
    assert_eq!(story.over(1).await.sent, 50);
    assert!(story.routes.verdicts(story.clock.now_us()).await.unwrap().is_empty());
    story.routes.put_source(stored("two", "127.0.0.22"), "ann", T0).await.unwrap();
    let drain = Action::Drain {
        source: Some("default".to_owned()),
        site: "google".to_owned(),
        reason: "moving".to_owned(),
        by: "ann".to_owned(),
    };
    story.engine.act(drain).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    story.many(3, 64, "gmail.com").await;
    assert_eq!(story.over(3).await.sent, 64);
    assert!(story.log(3).await.iter().all(|row| row.source.as_deref() == Some("two")));
}

/// Waits until the engine has read the verdicts that were put: another one, whose effect can be seen, comes and goes.
async fn verdicts_are_read(story: &Story) {
    let verdict = routes::Verdict {
        identity: "site:google".to_owned(),
        provider: String::new(),
        action: routes::Action::Suspend,
        until_us: None,
        reason: "a sign".to_owned(),
        rule: String::new(),
        category: String::new(),
        by: "sign".to_owned(),
        at_us: T0,
    };
    let held =
        || story.paths_of("google").iter().any(|p| p.suspended.as_ref().is_some_and(|s| s.by == "sign"));
    story.routes.put_verdict(verdict, T0).await.unwrap();
    story.wait_for("read", held).await;
    story.routes.lift_verdict("site:google", "", "sign", story.clock.now_us()).await.unwrap();
    story.wait_for("lifted", || !held()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_put_elsewhere_is_obeyed_and_a_lifted_one_forgotten() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| config.node = WITH_ROUTES.to_owned()).await;
    story.provider("gmail.com", "gmail-smtp-in.l.google.com", "127.0.0.1");
    story.many(1, 1, "gmail.com").await;
    assert_eq!(story.over(1).await.sent, 1);
    let verdict = routes::Verdict {
        identity: "delivery:2".to_owned(),
        provider: "google".to_owned(),
        action: routes::Action::Suspend,
        until_us: None,
        reason: "complaints".to_owned(),
        rule: String::new(),
        category: String::new(),
        by: "bob".to_owned(),
        at_us: T0,
    };
    story.routes.put_verdict(verdict, T0).await.unwrap();
    verdicts_are_read(&story).await;
    story.many(2, 20, "gmail.com").await;
    story.many(3, 20, "gmail.com").await;
    assert_eq!(story.over(3).await.sent, 20);
    assert_eq!(story.figures(2).await.sent, 0);
    story.routes.lift_verdict("delivery:2", "google", "bob", story.clock.now_us()).await.unwrap();
    assert_eq!(story.over(2).await.sent, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_learned_and_what_was_sent_survive_a_restart() {
    let pushed = Arc::new(AtomicUsize::new(0));
    let pushes = Arc::clone(&pushed);
    let receiver = Receiver::new(move |m| {
        (m.verb == "mail" && pushes.fetch_add(1, Ordering::SeqCst) == 60).then(|| {
            say("421 4.7.28 Gmail has detected an unusual rate of email originating from your IP address")
        })
    });
    let port = receiver.listen("127.0.0.1:0").await;
    let mut story = Story::begin(port, |config| config.node = WITH_ROUTES.to_owned()).await;
    story.provider("gmail.com", "gmail-smtp-in.l.google.com", "127.0.0.1");
    story.many(1, 100, "gmail.com").await;
    story.wait_for("slowed", || story.paths_of("google").iter().any(|path| path.rate.is_some())).await;
    story.over(1).await;
    let learned = story.routes.learned(story.clock.now_us()).await;
    story.restart().await;
    let after = story.routes.learned(story.clock.now_us()).await.unwrap();
    assert!(after.iter().any(|one| one.site == "google" && one.rate > 0.0), "{learned:?} {after:?}");
    let volumes = story.routes.volumes(0).await.unwrap();
    assert_eq!(volumes.iter().filter(|v| v.site == "google").map(|v| v.messages).sum::<i64>(), 100);
    story.many(2, 5, "gmail.com").await;
    assert_eq!(story.over(2).await.sent, 5);
    let path = story.paths_of("google").remove(0);
    // Known is what is learned; a slow machine may have it climb already.
    assert!(path.rate.is_some(), "{path:?}");
    assert!(["learned", "probing upward"].contains(&path.rate_reason.as_str()), "{path:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_change_under_way() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| {
        config.node = WITH_ROUTES.to_owned();
        config.providers = story::providers([rules("a.example", |r| {
            r.connections = Some(1);
            r.message_rates = Some(vec!["6/min".parse().unwrap()]);
        })]);
    })
    .await;
    story.domain("a.example", "127.0.0.1");
    story.many(1, 400, "a.example").await;
    story.until(1, "begun", |f| f.sent > 2).await;
    assert!(story.figures(1).await.sent < 100);
    let free =
        RuleOverride { connections: Some(4), message_rates: Some(Vec::new()), ..RuleOverride::default() };
    story.routes.put_override("a.example", free, "ann", T0).await.unwrap();
    assert_eq!(story.over(1).await.sent, 400);
    assert_eq!(story.paths_of("a.example")[0].connections_limit, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_over_all_sources_hold_for_their_sum() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| {
        two_sources(config);
        config.providers = story::providers([rules("google", |r| {
            r.tls = Some(routes::TlsPolicy::Opportunistic);
            r.connections_all = Some(3);
            r.shared = Some(true);
            r.message_rates = Some(vec!["4/s".parse().unwrap()]);
        })]);
    })
    .await;
    story.provider("gmail.com", "gmail-smtp-in.l.google.com", "127.0.0.1");
    let begun = story.clock.now_us();
    story.many(1, 96, "gmail.com").await;
    assert_eq!(story.over(1).await.sent, 96);
    let seconds = (story.clock.now_us() - begun) / SECOND;
    assert!(seconds >= 23, "96 at 4 a second took {seconds} s");
    assert!(receiver.most_open.load(Ordering::SeqCst) <= 3);
    let used: HashSet<Option<String>> = story.log(1).await.into_iter().map(|row| row.source).collect();
    assert_eq!(used.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_domains_share_few_connections() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| config.connections_max = 20).await;
    let mut addresses = Vec::new();
    for n in 0..1_500 {
        story.domain(&format!("t{n}.example"), "127.0.0.1");
        addresses.push(format!("user@t{n}.example"));
    }
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    story.confirm(1, &addresses).await;
    assert_eq!(story.over(1).await.sent, 1_500);
    assert!(receiver.most_open.load(Ordering::SeqCst) <= 20);
    assert!(story.log(1).await.iter().all(|row| row.attempts == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_shows_the_dialogue_without_names_and_messages() {
    let receiver = Receiver::new(|_| None);
    let story = Story::with(&receiver).await;
    let mut lines = story.engine.trace("a.example", 1);
    story.confirm(1, &["private.person@a.example"]).await;
    assert_eq!(story.over(1).await.sent, 1);
    story.engine.shutdown().await.unwrap();
    let mut seen = Vec::new();
    while let Ok(line) = lines.try_recv() {
        seen.push((line.kind, line.text));
    }
    let has = |kind: TraceKind, text: &str| seen.iter().any(|(k, t)| *k == kind && t.contains(text));
    assert!(has(TraceKind::Note, "connecting to mx.a.example"), "{seen:?}");
    assert!(has(TraceKind::In, "220 mx ready") && has(TraceKind::Out, "EHLO mail.shop.example"), "{seen:?}");
    assert!(has(TraceKind::Out, "RCPT TO:<…@a.example>") && has(TraceKind::Out, "octets)"), "{seen:?}");
    assert!(
        !seen.iter().any(|(_, text)| text.contains("private.person") || text.contains("Hello")),
        "{seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_stop_and_expiry_hold_while_messages_wait_for_the_rate() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| {
        config.providers =
            story::providers([rules("a.example", |r| r.message_rates = Some(vec!["1/s".parse().unwrap()]))]);
    })
    .await;
    story.domain("a.example", "127.0.0.1");
    story.many(1, 500, "a.example").await;
    story.until(1, "begun", |f| f.sent > 3).await;
    story.engine.pause(1).await.unwrap();
    story.until(1, "paused", |f| f.state == queue::RunState::Paused).await;
    let seen = receiver.count("mail");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(receiver.count("mail"), seen, "nothing begins behind a closed gate");
    story.engine.resume(1).await.unwrap();
    story.until(1, "going on", |f| f.sent > seen as i64 + 3).await;
    let report = story.engine.stop(1).await.unwrap();
    assert_eq!(report.in_flight + report.sent + report.cancelled, 500);
    let figures = story.until(1, "stopped", |f| f.state == queue::RunState::Stopped).await;
    assert!((report.sent..=report.sent + report.in_flight).contains(&figures.sent), "{report:?} {figures:?}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(receiver.count("dot") as i64, figures.sent);
    let now = story.clock.now_us();
    story
        .confirm_with(2, &["late@a.example", "later@a.example"], |spec| spec.valid_until = now + 60 * SECOND)
        .await;
    story.until(2, "over", |f| f.pending == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_link_holds_the_deliveries_that_carry_it_and_no_others() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| config.node = WITH_ROUTES.to_owned()).await;
    story.provider("gmail.com", "gmail-smtp-in.l.google.com", "127.0.0.1");
    story.many(1, 1, "gmail.com").await;
    assert_eq!(story.over(1).await.sent, 1);
    let verdict = routes::Verdict {
        identity: "url:bad.example".to_owned(),
        provider: "google".to_owned(),
        action: routes::Action::Suspend,
        until_us: None,
        reason: "listed".to_owned(),
        rule: String::new(),
        category: String::new(),
        by: "bob".to_owned(),
        at_us: T0,
    };
    story.routes.put_verdict(verdict, T0).await.unwrap();
    verdicts_are_read(&story).await;
    let linked: Vec<String> = (0..20).map(|n| format!("bad.example+{n}@gmail.com")).collect();
    let linked: Vec<&str> = linked.iter().map(String::as_str).collect();
    story.confirm(2, &linked).await;
    story.many(3, 20, "gmail.com").await;
    assert_eq!(story.over(3).await.sent, 20);
    assert_eq!(story.figures(2).await.sent, 0);
    story.routes.lift_verdict("url:bad.example", "google", "bob", story.clock.now_us()).await.unwrap();
    assert_eq!(story.over(2).await.sent, 20, "the delivery goes on with its link");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_demands_tls_is_remembered() {
    let receiver = Receiver::new(|moment| {
        (moment.verb == "mail").then(|| say("530 5.7.0 Must issue a STARTTLS command first"))
    });
    let port = receiver.listen("127.0.0.1:0").await;
    let mut story = Story::begin(port, |config| config.node = WITH_ROUTES.to_owned()).await;
    story.domain("a.example", "127.0.0.1");
    story.many(1, 1, "a.example").await;
    story.wait_for("demanded", || story.paths_of("a.example").iter().any(|path| path.secure_only)).await;
    story.restart().await;
    let learned = story.routes.learned(story.clock.now_us()).await.unwrap();
    assert!(learned.iter().any(|one| one.site == "a.example" && one.secure_only), "{learned:?}");
    let asked = receiver.count("mail");
    story.many(2, 1, "a.example").await;
    story.wait_for("known", || story.paths_of("a.example").iter().any(|path| path.secure_only)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(receiver.count("mail"), asked, "it is not spoken to in clear again");
    story
        .engine
        .act(Action::Resume { source: None, site: "a.example".to_owned(), by: "ann".to_owned() })
        .await
        .unwrap();
    story.wait_for("tried again", || receiver.count("mail") > asked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_up_counts_what_was_accepted_and_not_what_was_tried() {
    // Every other one is put off, for a reason of its own.
    let tried = Arc::new(AtomicUsize::new(0));
    let receiver = Receiver::new(move |moment| {
        let defers = moment.verb == "rcpt" && tried.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        defers.then(|| say("452 4.2.2 the mailbox is full"))
    });
    let port = receiver.listen("127.0.0.1:0").await;
    let mut story = Story::begin(port, |config| config.node = WITH_ROUTES.to_owned()).await;
    story.provider("gmail.com", "gmail-smtp-in.l.google.com", "127.0.0.1");
    let plan = WarmUp {
        source: "default".to_owned(),
        provider: "google".to_owned(),
        start_day: day_of(T0),
        days: vec![30, 1_000],
        overflow: Overflow::Wait,
    };
    story.routes.put_warm_up(plan, "ann", T0).await.unwrap();
    // It is known before the first message.
    story.restart().await;
    story.many(1, 200, "gmail.com").await;
    let rests = || {
        let paths = story.paths_of("google");
        paths.iter().any(|path| path.suspended.as_ref().is_some_and(|rest| rest.reason.contains("warm-up")))
    };
    story.wait_for("at its end for today", rests).await;
    // The last results are on their way to the disk.
    story.until(1, "thirty sent", |f| f.sent >= 30).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(story.figures(1).await.sent, 30, "as many as the day allows, whatever was deferred");
    assert!(receiver.count("rcpt") >= 59, "{}", receiver.count("rcpt"));
    story.restart().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(story.figures(1).await.sent, 30, "a restart does not begin the day anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_forgets_no_message_of_a_warm_up() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let mut story = Story::begin(port, |config| config.node = WITH_ROUTES.to_owned()).await;
    story.provider("gmail.com", "gmail-smtp-in.l.google.com", "127.0.0.1");
    let plan = WarmUp {
        source: "default".to_owned(),
        provider: "google".to_owned(),
        start_day: day_of(T0),
        days: vec![30, 1_000],
        overflow: Overflow::Wait,
    };
    story.routes.put_warm_up(plan, "ann", T0).await.unwrap();
    // It is known before the first message.
    story.restart().await;
    story.many(1, 20, "gmail.com").await;
    assert_eq!(story.over(1).await.sent, 20);
    // As after a kill before the volumes were written.
    story.queue.store().write(store::Lane::Urgent, |tx| tx.execute("DELETE FROM volume", &[])).await.unwrap();
    story.restart().await;
    story.many(2, 20, "gmail.com").await;
    let rests = || story.paths_of("google").iter().any(|path| path.suspended.is_some());
    story.wait_for("at its end for today", rests).await;
    // The last results are on their way to the disk.
    story.until(2, "ten sent", |f| f.sent >= 10).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(story.figures(2).await.sent, 10, "twenty of thirty had gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_resume_what_was_given_back_does_not_wait_for_its_old_time() {
    let asked = Arc::new(AtomicUsize::new(0));
    let receiver = Receiver::new(move |moment| {
        let first = moment.verb == "rcpt" && asked.fetch_add(1, Ordering::SeqCst) < 20;
        first.then(|| say("451 4.7.1 Greylisted, try again in 1200 seconds"))
    });
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| config.node = WITH_ROUTES.to_owned()).await;
    story.provider("gmail.com", "gmail-smtp-in.l.google.com", "127.0.0.1");
    story.many(1, 20, "gmail.com").await;
    story.until(1, "greylisted", |f| f.deferred == 20).await;
    let end = story.clock.now_us() + 20 * queue::HOUR_US;
    let suspend = Action::Suspend {
        source: None,
        site: "google".to_owned(),
        until_us: Some(end),
        reason: "a question".to_owned(),
        by: "ann".to_owned(),
    };
    story.engine.act(suspend).await.unwrap();
    story.quiet().await;
    story.clock.advance(Duration::from_secs(1_200));
    let begin = std::time::Instant::now();
    // Their own time comes, their path rests, and they are put off to its end.
    while story.log(1).await.iter().any(|row| row.next_try.is_none_or(|due| due < end)) {
        assert!(begin.elapsed() < PATIENCE, "{:?}", story.log(1).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(story.figures(1).await.sent, 0);
    story
        .engine
        .act(Action::Resume { source: None, site: "google".to_owned(), by: "ann".to_owned() })
        .await
        .unwrap();
    assert_eq!(story.over(1).await.sent, 20);
    assert!(story.clock.now_us() < end);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_ends_no_wait_for_a_receiver() {
    let receiver = Receiver::new(|moment| (moment.verb == "dot").then_some(story::Act::Hang));
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |_| {}).await;
    story.domain("a.example", "127.0.0.1");
    story.many(1, 1, "a.example").await;
    story.wait_for("at the final dot", || receiver.count("dot") == 1).await;
    for hours in [2, -3, 5] {
        story.clock.jump(hours * queue::HOUR_US);
        tokio::time::sleep(Duration::from_millis(150)).await;
        let figures = story.figures(1).await;
        assert_eq!((figures.pending, figures.deferred, receiver.count("dot")), (1, 0, 1));
    }
    // Ten minutes that do pass end it: the answer is unknown.
    story.clock.advance(Duration::from_secs(660));
    story.until(1, "unknown", |figures| figures.deferred == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receivers_words_name_nobody_where_they_are_a_reason() {
    let receiver = Receiver::new(|moment| {
        (moment.verb == "rcpt")
            .then(|| say("421 4.7.0 <user0@gmail.com> gets too much, try again in 2 hours"))
    });
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| config.node = WITH_ROUTES.to_owned()).await;
    story.provider("gmail.com", "gmail-smtp-in.l.google.com", "127.0.0.1");
    story.many(1, 1, "gmail.com").await;
    let rests = || story.paths_of("google").iter().find_map(|path| path.suspended.clone());
    story.wait_for("at rest", || rests().is_some()).await;
    let reason = rests().unwrap().reason;
    assert!(reason.contains("…@gmail.com") && !reason.contains("user0"), "{reason}");
    let begin = std::time::Instant::now();
    let kept = loop {
        let kept = story.routes.verdicts(story.clock.now_us()).await.unwrap();
        if !kept.is_empty() || begin.elapsed() > PATIENCE {
            break kept;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(!kept.is_empty() && kept.iter().all(|verdict| !verdict.reason.contains("user0")), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lifting_one_verdict_leaves_the_others() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| config.node = WITH_ROUTES.to_owned()).await;
    story.provider("gmail.com", "gmail-smtp-in.l.google.com", "127.0.0.1");
    story.many(1, 1, "gmail.com").await;
    assert_eq!(story.over(1).await.sent, 1);
    let verdict = |identity: &str, provider: &str, by: &str| routes::Verdict {
        identity: identity.to_owned(),
        provider: provider.to_owned(),
        action: routes::Action::Suspend,
        until_us: None,
        reason: format!("{by} asks"),
        rule: String::new(),
        category: String::new(),
        by: by.to_owned(),
        at_us: T0,
    };
    story.routes.put_verdict(verdict("site:google", "", "ann"), T0).await.unwrap();
    story.routes.put_verdict(verdict("source:default", "google", "bob"), T0).await.unwrap();
    let held_by = || {
        let path = story.paths_of("google").remove(0);
        path.suspended.map(|rest| rest.by).unwrap_or_default()
    };
    story.wait_for("held", || !held_by().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    story.routes.lift_verdict("site:google", "", "ann", story.clock.now_us()).await.unwrap();
    story.wait_for("held by the other", || held_by() == "bob").await;
    story.many(2, 3, "gmail.com").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(story.figures(2).await.sent, 0);
    story.routes.lift_verdict("source:default", "google", "bob", story.clock.now_us()).await.unwrap();
    assert_eq!(story.over(2).await.sent, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_about_one_source_makes_no_unknown_site_a_known_one() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| {
        config.node = WITH_ROUTES.to_owned();
        config.providers = routes::Providers::built_in().clone();
    })
    .await;
    let idle = RuleOverride { idle_s: Some(20), ..RuleOverride::default() };
    story.routes.put_override("*@default", idle, "ann", T0).await.unwrap();
    story.domain("a.example", "127.0.0.1");
    story.many(1, 1_100, "a.example").await;
    story
        .wait_for("twice as fast", || {
            story.paths_of("a.example").iter().any(|path| path.rate.is_some_and(|rate| rate >= 4.0))
        })
        .await;
}
