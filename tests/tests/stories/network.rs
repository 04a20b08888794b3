//! The cable is pulled in the middle of a delivery, and the clock jumps: every message has its one outcome, and what
//! came twice is what was past its final dot just then.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

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
    let end = Instant::now() + Duration::from_secs(60);
    while internet.log().accepted() < count {
        assert!(Instant::now() < end, "{} of {count} were accepted", internet.log().accepted());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Pulled for longer than any wait, then plugged in again.
async fn cable(database: Database) {
    let internet = internet(Duration::from_millis(30)).await;
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
    let end = Instant::now() + Duration::from_secs(90);
    loop {
        let status = server.status(&id).await;
        if status["state"] == "finished" {
            break;
        }
        assert!(Instant::now() < end, "{status}\n{}", server.stderr());
        server.turn_to(server.now_us() + 60 * 1_000_000);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let rows = server.log(&id).await;
    let pull = Kill { sent_us: pulled_us, gone_us: plugged_us + MARGIN_US, margin_us: MARGIN_US };
    let verdict = judge(&internet.log().events(), &rows, &targets, &[pull]);
    println!("cable: {before} accepted when it was plugged in again, {} came twice", verdict.duplicates);
    assert_eq!(verdict.states.get("sent"), Some(&targets.len()), "{:?}", verdict.states);
    assert!(verdict.duplicates <= 20, "as many as were past their dot at most: {}", verdict.duplicates);
    server.verify(&id).await;
}

/// The clock jumps by hours while a delivery is under way, as after a suspend or a first synchronisation. Waits run out
/// early then: what was past its final dot is unknown and goes again, and everything is counted once.
async fn clock(database: Database) {
    let internet = internet(Duration::from_millis(30)).await;
    let server = start(&internet, database).await;
    let targets = addresses(300, &[DOMAIN]);
    let id = server.campaign("jump", &targets, "").await;
    let mut jumps = Vec::new();
    let end = Instant::now() + Duration::from_secs(120);
    while server.status(&id).await["state"] != "finished" {
        assert!(Instant::now() < end, "{}\n{}", server.status(&id).await, server.stderr());
        let arrived = internet.log().accepted();
        if jumps.len() < 3 && arrived >= 60 * (jumps.len() as u64 + 1) {
            let sent_us = wall_us();
            server.turn_to(server.now_us() + 2 * 3_600 * 1_000_000);
            // A connection looks at the clock every five seconds at least.
            jumps.push(Kill { sent_us, gone_us: wall_us() + 5_000_000, margin_us: 1_000_000 });
        } else {
            server.turn_to(server.now_us() + 60 * 1_000_000);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let verdict = judge(&internet.log().events(), &server.log(&id).await, &targets, &jumps);
    println!("clock: {} jumps, {} came twice", jumps.len(), verdict.duplicates);
    assert_eq!(verdict.states.get("sent"), Some(&targets.len()), "{:?}", verdict.states);
    assert!(!jumps.is_empty() && verdict.duplicates <= 20 * jumps.len(), "{}", verdict.duplicates);
    server.verify(&id).await;
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
