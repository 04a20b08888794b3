//! Names and addresses under way: a DNS that is silent for some, old answers, IPv6, look-ups that break.

#![allow(clippy::unwrap_used, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod story;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use net::{Clock, DnsError, RecordKind};
use story::{Receiver, Story, WITH_ROUTES};

const SECOND: i64 = 1_000_000;

/// Names that begin so are never answered: the question takes twenty seconds to fail.
fn silence(story: &Story, start: &'static str, silent: &Arc<AtomicBool>) {
    let (clock, silent) = (story.clock.clone(), Arc::clone(silent));
    story.dns.script(move |name, _| {
        let clock = clock.clone();
        (name.starts_with(start) && silent.load(Ordering::SeqCst)).then(|| {
            let until = clock.now_us() + 20 * SECOND;
            Box::pin(async move {
                clock.sleep_until(until).await;
                Some(Err(DnsError::Defer("no answer".to_owned())))
            }) as net::Pending<'static, _>
        })
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_name_servers_hold_up_no_known_provider() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |_| {}).await;
    silence(&story, "dead", &Arc::new(AtomicBool::new(true)));
    story.provider("gmail.com", "gmail-smtp-in.l.google.com", "127.0.0.1");
    let dead: Vec<String> = (0..900).map(|n| format!("user@dead{n}.example")).collect();
    let dead: Vec<&str> = dead.iter().map(String::as_str).collect();
    story.confirm(1, &dead).await;
    // All permits of the tail are taken by now.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let asked = story.clock.now_us();
    story.many(2, 5, "gmail.com").await;
    assert_eq!(story.over(2).await.sent, 5);
    let seconds = (story.clock.now_us() - asked) / SECOND;
    assert!(seconds < 15, "gmail waited {seconds} s for others' name servers");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_route_serves_while_the_dns_is_asked_again() {
    let receiver = Receiver::new(|_| None);
    let story = Story::with(&receiver).await;
    story.many(1, 1, "a.example").await;
    assert_eq!(story.over(1).await.sent, 1);
    let silent = Arc::new(AtomicBool::new(true));
    // The host's own address is asked for by whoever dials, and that is another cache.
    silence(&story, "a.example", &silent);
    story.clock.advance(Duration::from_secs(400));
    let asked = story.clock.now_us();
    story.many(2, 1, "a.example").await;
    assert_eq!(story.over(2).await.sent, 1);
    let seconds = (story.clock.now_us() - asked) / SECOND;
    assert!(seconds < 15, "it waited {seconds} s for an answer that it had");
    // For an hour, not for ever: a domain that is gone is gone.
    story.clock.advance(Duration::from_secs(2 * 3_600));
    story.many(3, 1, "a.example").await;
    story
        .wait_for("asked for", || {
            let reason = |path: &mta::PathFigures| path.suspended.as_ref().map(|rest| rest.reason.clone());
            story
                .engine
                .paths()
                .iter()
                .filter_map(reason)
                .any(|reason| reason.contains("no answer from the DNS"))
        })
        .await;
    assert_eq!(story.figures(3).await.sent, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_that_panics_loses_nothing() {
    let receiver = Receiver::new(|_| None);
    let story = Story::with(&receiver).await;
    let asked = AtomicUsize::new(0);
    story.dns.script(move |name, kind| {
        let first =
            name == "a.example" && kind == RecordKind::Mx && asked.fetch_add(1, Ordering::SeqCst) == 0;
        first.then(|| {
            Box::pin(async {
                assert!(std::hint::black_box(false), "a fault of ours");
                None
            }) as net::Pending<'static, _>
        })
    });
    story.many(1, 20, "a.example").await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(40)).await;
        story.clock.advance(Duration::from_secs(60));
    }
    assert_eq!(story.over(1).await.sent, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_over_ipv6() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("[::1]:0").await;
    let story = Story::begin(port, |config| {
        config.sources[0].bind = Some("::1".parse().unwrap());
    })
    .await;
    story.resolver.mx("six.example", &[(10, "mx.six.example")]);
    story.resolver.aaaa("mx.six.example", &["::1"]);
    story.many(1, 5, "six.example").await;
    assert_eq!(story.over(1).await.sent, 5);
    assert!(receiver.seen.lock().unwrap().iter().all(|(_, moment)| moment.from.is_ipv6()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_one_family_says_what_it_misses() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| {
        config.sources[0].bind = Some("127.0.0.1".parse().unwrap());
    })
    .await;
    story.resolver.mx("six.example", &[(10, "mx.six.example")]);
    story.resolver.aaaa("mx.six.example", &["::1"]);
    story.many(1, 1, "six.example").await;
    story
        .wait_for("said", || story.paths_of("six.example").iter().any(|path| path.suspended.is_some()))
        .await;
    let reason = story.paths_of("six.example").remove(0).suspended.unwrap().reason;
    assert!(reason.contains("IPv6") && reason.contains("127.0.0.1"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_drained_source_says_so() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |config| config.node = WITH_ROUTES.to_owned()).await;
    story.domain("a.example", "127.0.0.1");
    story.many(1, 1, "a.example").await;
    assert_eq!(story.over(1).await.sent, 1);
    let drain = mta::Action::Drain {
        source: Some("default".to_owned()),
        site: "a.example".to_owned(),
        reason: "moving".to_owned(),
        by: "ann".to_owned(),
    };
    story.engine.act(drain).await.unwrap();
    story.many(2, 1, "a.example").await;
    let reasons = || -> Vec<String> {
        let paths = story.engine.paths();
        paths.into_iter().filter_map(|path| path.suspended).map(|rest| rest.reason).collect()
    };
    story.wait_for("said", || !reasons().is_empty()).await;
    assert!(reasons().iter().all(|reason| reason.contains("drained")), "{:?}", reasons());
    let resume = mta::Action::Resume {
        source: Some("default".to_owned()),
        site: "a.example".to_owned(),
        by: "ann".to_owned(),
    };
    story.engine.act(resume).await.unwrap();
    assert_eq!(story.over(2).await.sent, 1);
}
