//! Names and addresses under way: a DNS that is silent for some, old answers, IPv6, look-ups that break.

#![allow(clippy::unwrap_used, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod story;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use net::{DnsError, RecordKind};
use story::{Receiver, Story, WITH_ROUTES};

/// Questions about domains of the tail under way at once.
const TAIL_PERMITS: usize = 200;

/// What the DNS says about names that begin so.
#[derive(Clone, Default)]
struct Silence {
    /// Nothing, until it is over.
    silent: Arc<AtomicBool>,
    /// After it: that there was no answer.
    failed: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Silence {
    fn begin(story: &Story, start: &'static str) -> Self {
        let silence = Self::default();
        silence.silent.store(true, Ordering::SeqCst);
        let asked = silence.clone();
        story.dns.script(move |name, _| {
            let Silence { silent, failed, .. } = asked.clone();
            let hit = name.starts_with(start);
            if hit {
                asked.asked.fetch_add(1, Ordering::SeqCst);
            }
            hit.then(|| {
                Box::pin(async move {
                    while silent.load(Ordering::SeqCst) {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    failed.load(Ordering::SeqCst).then(|| Err(DnsError::Defer("no answer".to_owned())))
                }) as net::Pending<'static, _>
            })
        });
        silence
    }

    fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
        self.silent.store(false, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_name_servers_hold_up_no_known_provider() {
    let receiver = Receiver::new(|_| None);
    let port = receiver.listen("127.0.0.1:0").await;
    let story = Story::begin(port, |_| {}).await;
    let silence = Silence::begin(&story, "dead");
    story.provider("gmail.com", "gmail-smtp-in.l.google.com", "127.0.0.1");
    let dead: Vec<String> = (0..900).map(|n| format!("user@dead{n}.example")).collect();
    let dead: Vec<&str> = dead.iter().map(String::as_str).collect();
    story.confirm(1, &dead).await;
    story.wait_for("all permits of the tail", || silence.asked.load(Ordering::SeqCst) >= TAIL_PERMITS).await;
    // None of those questions ends, so that whoever waits for one of them waits for ever.
    story.many(2, 5, "gmail.com").await;
    assert_eq!(story.over(2).await.sent, 5);
    assert_eq!(story.figures(1).await.pending, 900);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_route_serves_while_the_dns_is_asked_again() {
    let receiver = Receiver::new(|_| None);
    let story = Story::with(&receiver).await;
    story.many(1, 1, "a.example").await;
    assert_eq!(story.over(1).await.sent, 1);
    // The host's own address is asked for by whoever dials, and that is another cache.
    let silence = Silence::begin(&story, "a.example");
    story.quiet().await;
    story.clock.advance(Duration::from_secs(400));
    story.many(2, 1, "a.example").await;
    assert_eq!(story.over(2).await.sent, 1, "without an answer");
    story.wait_for("asked again", || silence.asked.load(Ordering::SeqCst) > 0).await;
    // For an hour, not for ever: a domain that is gone is gone.
    story.quiet().await;
    silence.fail();
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
    assert_eq!(story.over_in_leaps(1, Duration::from_secs(60)).await.sent, 20);
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
