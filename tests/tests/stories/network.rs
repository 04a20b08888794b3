//! The cable is pulled in the middle of a delivery, and the clock jumps: every message has its one outcome, and what
//! came twice is what was past its final dot just then.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::Value;
use stories::campaign::addresses;
use stories::judge::{Kill, MARGIN_US, judge};
use stories::{Database, Server, ServerOptions, wall_us};
use testkit::{Behaviour, Cable, Internet, InternetOptions, Node, Place, World};

const DOMAIN: &str = "far.example";
const HOST: &str = "mx.far.example";
/// Longer than the longest wait of RFC 5321 section 4.5.3.2, the ten minutes after the final dot.
const LONG_US: i64 = 11 * 60 * 1_000_000;

async fn internet(dot_delay: Duration) -> Internet {
    let mut far = Behaviour::accepting("far", HOST);
    far.starttls = false;
    far.dot_delay = dot_delay;
    let place = Place::new(far, Ipv4Addr::new(127, 0, 64, 1)).domain(DOMAIN, &[HOST]);
    Internet::start(&World { places: vec![place] }, InternetOptions::default()).await.unwrap()
}

async fn start(internet: &Internet, database: Database) -> Server {
    let options = ServerOptions { config: internet.settings(), turnable: true, ..ServerOptions::default() };
    Server::start(database, options).await
}

async fn accepted(internet: &Internet, count: u64) {
    let end = Instant::now() + stories::WAIT;
    while internet.log().accepted() < count {
        assert!(Instant::now() < end, "{} of {count} were accepted", internet.log().accepted());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether nothing is under way: everything that is left waits for its next try. Then minutes may pass at once; else so
/// few that an answer on its way is not waited for too long by the server's clock.
pub(crate) fn waits(status: &Value) -> bool {
    status["messages"]["pending"] == status["deferred"]
}

fn let_pass(server: &Server, minutes: i64) {
    server.turn_to(server.now_us() + minutes * 60 * 1_000_000);
}

/// Pulled for longer than any wait, then plugged in again.
async fn cable(database: Database) {
    let internet = internet(Duration::from_millis(150)).await;
    // The name leads to the cable, the cable to the receiver.
    let near = SocketAddr::from((Ipv4Addr::new(127, 0, 64, 9), internet.port()));
    let cable = Cable::start(near, internet.addresses()[0]).await.unwrap();
    internet.change_zone(|zone| zone.set(HOST, Node::host(near.ip())));
    let server = start(&internet, database).await;
    let targets = addresses(300, &[DOMAIN]);
    let id = server.campaign("cable", &targets, "[parameters]\nretry_period = \"60s\"\n").await;
    accepted(&internet, 60).await;
    let pulled_us = wall_us();
    cable.pull();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(server.status(&id).await["state"], "in_progress", "nobody was told");
    server.turn_to(server.now_us() + LONG_US);
    // The waits run out; what was past its dot is unknown now and waits for its retry.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let before = internet.log().accepted();
    let plugged_us = wall_us();
    cable.plug();
    let end = Instant::now() + stories::WAIT;
    loop {
        let status = server.status(&id).await;
        if status["state"] == "finished" {
            break;
        }
        assert!(Instant::now() < end, "{status}\n{}", server.stderr());
        let (minutes, rest_ms) = if waits(&status) { (10, 300) } else { (1, 1_000) };
        let_pass(&server, minutes);
        tokio::time::sleep(Duration::from_millis(rest_ms)).await;
    }
    let rows = server.log(&id).await;
    let pull = Kill::new(pulled_us, plugged_us + MARGIN_US);
    let verdict = judge(&internet.log().events(), &rows, &targets, &[pull]);
    println!("cable: {before} accepted when it was plugged in again, {} came twice", verdict.duplicates);
    assert_eq!(verdict.states.get("sent"), Some(&targets.len()), "{:?}", verdict.states);
    assert!(verdict.duplicates <= 20, "as many as were past their dot at most: {}", verdict.duplicates);
    server.verify(&id).await;
}

/// The clock jumps by hours, forward and back, while a delivery is under way, as at a first synchronisation. Receivers are
/// waited for as long as ever, so nothing goes twice, and everything is counted once.
async fn clock(database: Database) {
    let internet = internet(Duration::from_millis(150)).await;
    let server = start(&internet, database).await;
    let targets = addresses(300, &[DOMAIN]);
    let id = server.campaign("jump", &targets, "").await;
    let mut jumps: u64 = 0;
    let end = Instant::now() + stories::WAIT;
    loop {
        let arrived = internet.log().accepted();
        // Looked at only at the end, so that no jump is missed for it.
        if arrived >= targets.len() as u64 && server.status(&id).await["state"] == "finished" {
            break;
        }
        assert!(Instant::now() < end, "{}\n{}", server.status(&id).await, server.stderr());
        if jumps < 4 && arrived >= 50 * (jumps + 1) {
            // Further than any wait for a receiver is long; the second one back.
            let hours = if jumps == 1 { -1 } else { 2 };
            server.jump(hours * 3_600 * 1_000_000);
            jumps += 1;
        } else {
            server.turn_to(server.now_us() + 1_000_000);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let verdict = judge(&internet.log().events(), &server.log(&id).await, &targets, &[]);
    println!("clock: {jumps} jumps, {} came twice", verdict.duplicates);
    assert_eq!(verdict.states.get("sent"), Some(&targets.len()), "{:?}", verdict.states);
    assert!(jumps >= 3, "{jumps}");
    assert_eq!(verdict.duplicates, 0);
    server.verify(&id).await;
}

/// The clock is set back by hours while a delivery is under way, as when a wrong one is corrected. Nothing goes twice. What
/// is confirmed then is sent then, and not when the clock shows the old time again, which is soon enough for what waits.
async fn clock_back(database: Database) {
    const BACK_US: i64 = 2 * 3_600 * 1_000_000;
    let internet = internet(Duration::from_millis(30)).await;
    let shaping = "[unknown]\nconnections = 10\nmessages_per_connection = 100\nmessage_rates = [\"100/s\"]\n";
    let options = ServerOptions {
        config: internet.settings(),
        turnable: true,
        shaping: Some(shaping.to_owned()),
        ..ServerOptions::default()
    };
    let server = Server::start(database, options).await;
    let targets = addresses(300, &[DOMAIN]);
    let id = server.campaign("before", &targets, "").await;
    accepted(&internet, 60).await;
    server.jump(-BACK_US);
    let later: Vec<String> = (0..100).map(|n| format!("later{n}@{DOMAIN}")).collect();
    let next = server.campaign("after", &later, "").await;
    let status = server.wait_for(&next, &["finished"], stories::WAIT).await;
    assert_eq!(status["messages"]["sent"], 100, "{status}");
    server.jump(BACK_US);
    let status = server.wait_for(&id, &["finished"], stories::WAIT).await;
    assert_eq!(status["messages"]["sent"], 300, "{status}");
    let events = internet.log().events();
    for (id, targets) in [(&id, &targets), (&next, &later)] {
        let verdict = judge(&events, &server.log(id).await, targets, &[]);
        assert_eq!((verdict.duplicates, verdict.arrived), (0, targets.len()));
        server.verify(id).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_stops_nothing_on_sqlite() {
    clock_back(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_stops_nothing_on_postgres() {
    clock_back(Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pulled_cable_loses_nothing_on_sqlite() {
    cable(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pulled_cable_loses_nothing_on_postgres() {
    cable(Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_loses_nothing() {
    clock(Database::Sqlite).await;
}
