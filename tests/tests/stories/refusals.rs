//! A receiver that refuses a sender for its own fault: who can mend it is told once, and nobody fails.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::Value;
use stories::campaign::addresses;
use stories::{Database, Server, ServerOptions};
use testkit::{Behaviour, Internet, InternetOptions, Place, Stage, World};

const MINUTE_US: i64 = 60_000_000;
/// As Gmail says it of a message that neither SPF nor DKIM vouch for.
const REFUSAL: &str = "550-5.7.26 Your email has been blocked because the sender is unauthenticated.\n\
                       550 5.7.26 Gmail requires all senders to authenticate with either SPF or DKIM. - gsmtp";

/// The notices of a kind that whoever asks has.
async fn notices(server: &Server, kind: &str) -> Vec<Value> {
    let answer = server.request(reqwest::Method::GET, "/notices").send().await.unwrap();
    let page: Value = answer.json().await.unwrap();
    let all = page["items"].as_array().unwrap_or_else(|| panic!("{page}")).clone();
    all.into_iter().filter(|notice| notice["kind"] == kind).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_halted_domain_is_one_notice() {
    let mut gmail = Behaviour::personality("gmail").unwrap();
    gmail.habits = None;
    gmail.answers.push((Stage::Dot, REFUSAL.to_owned()));
    let place =
        Place::new(gmail, Ipv4Addr::new(127, 0, 89, 11)).domain("gmail.com", &["gmail-smtp-in.l.google.com"]);
    let internet = Internet::start(&World { places: vec![place] }, InternetOptions::default()).await.unwrap();
    let options = ServerOptions { config: internet.settings(), turnable: true, ..ServerOptions::default() };
    let server = Server::start(Database::Sqlite, options).await;
    let id = server.campaign("halted", &addresses(200, &["gmail.com"]), "").await;
    let refusals = || {
        internet
            .log()
            .events()
            .iter()
            .filter(|event| event.text.contains("sender is unauthenticated"))
            .count()
    };

    let end = Instant::now() + stories::WAIT;
    while notices(&server, "domain_halted").await.is_empty() {
        assert!(Instant::now() < end, "no notice: {}\n{}", server.status(&id).await, server.stderr());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let first = refusals();
    // The halt ends some times, and what is tried then hears the same.
    let mut seen = first;
    for _ in 0..3 {
        server.turn_to(server.now_us() + 130 * MINUTE_US);
        let end = Instant::now() + stories::WAIT;
        while refusals() == seen {
            assert!(
                Instant::now() < end,
                "not tried again: {}\n{}",
                server.status(&id).await,
                server.stderr()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        seen = refusals();
    }
    let told = notices(&server, "domain_halted").await;
    assert_eq!(told.len(), 1, "{told:?}");
    let text = told[0]["text"].as_str().unwrap();
    for part in ["No mail from your domain", "sender is unauthenticated", "200 messages", "dns check"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let status = server.status(&id).await;
    assert_eq!(status["messages"]["failed"], 0, "{status}");
    assert_eq!(status["messages"]["pending"], 200, "{status}");
}
