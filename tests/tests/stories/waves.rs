//! Days told in seconds: the program's clock is set forward, and the receivers' log says what came when.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan, Zoned};
use serde_json::{Value, json};
use stories::campaign::{HTML, addresses, toml};
use stories::judge::judge;
use stories::{Database, Server, ServerOptions, wall_us};
use testkit::{Ahead, Behaviour, Internet, InternetOptions, Place, World};

const DOMAINS: [&str; 2] = ["north.example", "south.example"];
const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 24 * 60 * MINUTE_US;
/// Long enough for a message to go out if it could: the engine looks four times a second.
const QUIET: Duration = Duration::from_millis(1_500);

async fn start(database: Database, change: impl Fn(&mut Behaviour)) -> (Internet, Server) {
    start_at(database, change, Ahead::default()).await
}

/// `clock` is the receivers'.
async fn start_at(database: Database, change: impl Fn(&mut Behaviour), clock: Ahead) -> (Internet, Server) {
    let places = DOMAINS.iter().zip(1u8..).map(|(domain, n)| {
        let name = domain.trim_end_matches(".example");
        let mut behaviour = Behaviour::accepting(name, &format!("mx.{domain}"));
        change(&mut behaviour);
        let host = behaviour.host.clone();
        Place::new(behaviour, Ipv4Addr::new(127, 0, 63, n)).domain(domain, &[&host])
    });
    let world = World { places: places.collect() };
    let internet =
        Internet::start(&world, InternetOptions { clock, ..InternetOptions::default() }).await.unwrap();
    let config = internet.settings();
    let options = ServerOptions { config, turnable: true, ..ServerOptions::default() };
    (internet, Server::start(database, options).await)
}

fn berlin() -> TimeZone {
    TimeZone::get("Europe/Berlin").unwrap()
}

/// Tomorrow at this hour in Berlin, as an author writes it, and the moment that it is.
fn tomorrow(server: &Server, hour: i8) -> (String, i64) {
    let now = Zoned::new(Timestamp::from_microsecond(server.now_us()).unwrap(), berlin());
    let local = now.date().checked_add(1.day()).unwrap().at(hour, 0, 0, 0);
    let moment = berlin().to_ambiguous_timestamp(local).compatible().unwrap();
    (local.strftime("%Y-%m-%dT%H:%M").to_string(), moment.as_microsecond())
}

fn schedule(date: &str) -> String {
    format!("[schedule]\ncontact_date = \"{date}\"\ntime_zone = \"Europe/Berlin\"\n")
}

async fn accepted(internet: &Internet, count: u64) {
    let end = Instant::now() + stories::WAIT;
    while internet.log().accepted() < count {
        assert!(Instant::now() < end, "{} of {count} were accepted", internet.log().accepted());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// After a while in which more could have come, it is still so many.
async fn no_more_than(internet: &Internet, count: u64) {
    tokio::time::sleep(QUIET).await;
    assert_eq!(internet.log().accepted(), count);
}

async fn get(server: &Server, path: &str) -> Value {
    let answer = server.request(reqwest::Method::GET, path).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.json().await.unwrap()
}

async fn over_two_days(database: Database) {
    let (internet, mut server) = start(database, |_| ()).await;
    let targets = addresses(100, &DOMAINS);
    let (date, start_us) = tomorrow(&server, 8);
    let more = format!("{}\n[waves]\nsize = \"50%\"\nperiod = \"1d\"\n", schedule(&date));
    let id = server.campaign("waves", &targets, &more).await;
    assert_eq!(server.status(&id).await["state"], "pending");
    let waves = get(&server, &format!("/deliveries/{id}/waves")).await;
    let sizes: Vec<_> =
        waves["waves"].as_array().unwrap().iter().map(|wave| wave["messages"].clone()).collect();
    assert_eq!(sizes, [json!(50), json!(50)], "{waves}");
    no_more_than(&internet, 0).await;

    server.turn_to(start_us + MINUTE_US);
    accepted(&internet, 50).await;
    no_more_than(&internet, 50).await;
    let status = server.wait_until(&id, |status| status["messages"]["sent"] == 50).await;
    assert_eq!(
        (&status["messages"]["sent"], &status["messages"]["pending"]),
        (&json!(50), &json!(50)),
        "{status}"
    );
    server.verify(&id).await;

    // The night between, and a restart in it.
    assert_eq!(server.terminate().await, Some(0), "{}", server.stderr());
    server.turn_to(start_us + DAY_US - 10 * MINUTE_US);
    server.run().await;
    no_more_than(&internet, 50).await;
    server.turn_to(start_us + DAY_US + MINUTE_US);
    accepted(&internet, 100).await;
    let status = server.wait_for(&id, &["finished"], stories::WAIT).await;
    assert_eq!(status["messages"]["sent"], 100, "{status}");
    let verdict = judge(&internet.log().events(), &server.log(&id).await, &targets, &[]);
    assert_eq!((verdict.duplicates, verdict.arrived), (0, 100));
    server.verify(&id).await;
}

/// Stop between two waves cancels the second; the validity's end does the same to another delivery.
async fn ended_between_waves(database: Database) {
    let (internet, server) = start(database, |_| ()).await;
    let targets = addresses(40, &DOMAINS);
    let (date, start_us) = tomorrow(&server, 8);
    let waves = format!("{}\n[waves]\nsize = \"50%\"\nperiod = \"1d\"\n", schedule(&date));
    let stopped = server.campaign("stopped", &targets, &waves).await;
    let hours =
        "[waves]\ncalendar = [{ start = \"0s\", size = \"25%\" }, { start = \"2h\", size = \"75%\" }]\n";
    let held = format!("[parameters]\nvalidity = \"3h\"\n\n{}\n{hours}", schedule(&date));
    let expired = server.campaign("expired", &targets, &held).await;
    server.turn_to(start_us + MINUTE_US);
    accepted(&internet, 30).await;
    server.cli(&["delivery", "pause", &expired]).await.done();
    server.wait_for(&expired, &["paused"], stories::WAIT).await;
    server.wait_until(&stopped, |status| status["messages"]["sent"] == 20).await;
    let report = server.cli(&["delivery", "stop", &stopped]).await.done();
    assert_eq!((&report["sent"], &report["cancelled"]), (&json!(20), &json!(20)), "{report}");
    server.turn_to(start_us + 2 * DAY_US);
    let status = server.wait_for(&expired, &["finished"], stories::WAIT).await;
    assert_eq!(
        (&status["messages"]["sent"], &status["messages"]["cancelled"]),
        (&json!(10), &json!(30)),
        "{status}"
    );
    no_more_than(&internet, 30).await;
    let log = server.log(&expired).await;
    assert!(
        log.values().filter(|row| row.state == "cancelled").all(|row| row.reason == "validity"),
        "{log:?}"
    );
    server.verify(&stopped).await;
    server.verify(&expired).await;
}

/// The hour that the clocks skip: the mail goes at the first moment after it, and the analysis says so.
async fn the_night_of_the_clocks(database: Database) {
    let (internet, server) = start(database, |_| ()).await;
    let now = Timestamp::from_microsecond(server.now_us()).unwrap();
    let gap = berlin()
        .following(now)
        .map(|transition| transition.timestamp())
        .find(|moment| {
            let local = berlin().to_datetime(moment.checked_sub(1.second()).unwrap());
            let skipped = local.checked_add(31.minutes()).unwrap();
            matches!(berlin().to_ambiguous_timestamp(skipped).offset(), AmbiguousOffset::Gap { .. })
        })
        .unwrap();
    let skipped = berlin().to_datetime(gap).date().at(2, 30, 0, 0);
    let targets = addresses(10, &DOMAINS);
    server.import("clocks", &targets).await;
    let date = skipped.strftime("%Y-%m-%dT%H:%M").to_string();
    let id = server.push("clocks", &toml("clocks", "clocks", &schedule(&date)), HTML).await;
    let analysis = server.analyze(&id).await;
    let found =
        analysis["findings"].as_array().unwrap().iter().find(|finding| finding["rule"] == "contact_date");
    assert!(found.is_some_and(|finding| finding["level"] == "warning"), "{analysis}");
    server.confirm(&id).await;
    let moved_us = gap.as_microsecond() + 30 * MINUTE_US;
    server.turn_to(moved_us - 2 * MINUTE_US);
    no_more_than(&internet, 0).await;
    server.turn_to(moved_us);
    accepted(&internet, 10).await;
    server.wait_for(&id, &["finished"], stories::WAIT).await;
}

/// A server that was down at the contact date asks first.
async fn asked_before_late(database: Database) {
    let (internet, mut server) = start(database, |_| ()).await;
    let (date, start_us) = tomorrow(&server, 8);
    let id = server.campaign("late", &addresses(10, &DOMAINS), &schedule(&date)).await;
    assert_eq!(server.terminate().await, Some(0), "{}", server.stderr());
    server.turn_to(start_us + 180 * MINUTE_US);
    server.run().await;
    server.wait_for(&id, &["paused"], stories::WAIT).await;
    assert_eq!(get(&server, &format!("/deliveries/{id}/status")).await["late"], true);
    no_more_than(&internet, 0).await;
    server.cli(&["delivery", "resume", &id]).await.done();
    accepted(&internet, 10).await;
    server.wait_for(&id, &["finished"], stories::WAIT).await;
}

/// A machine that was suspended over the contact date asks too, although the program ran on.
async fn asked_after_a_standstill(database: Database) {
    let (internet, server) = start(database, |_| ()).await;
    let (date, start_us) = tomorrow(&server, 8);
    let late = server.campaign("asleep", &addresses(10, &DOMAINS), &schedule(&date)).await;
    let soon = schedule(&date).replace("[schedule]\n", "[schedule]\ngrace = \"1d\"\n");
    let patient = server.push("patient", &toml("patient", "asleep", &soon), HTML).await;
    server.analyze(&patient).await;
    server.confirm(&patient).await;
    server.turn_to(start_us + 180 * MINUTE_US);
    server.wait_for(&late, &["paused"], stories::WAIT).await;
    assert_eq!(get(&server, &format!("/deliveries/{late}/status")).await["late"], true);
    // Whose grace is longer goes, and nothing of the other did before it was judged.
    server.wait_for(&patient, &["finished"], stories::WAIT).await;
    no_more_than(&internet, 10).await;
    server.cli(&["delivery", "resume", &late]).await.done();
    accepted(&internet, 20).await;
    server.wait_for(&late, &["finished"], stories::WAIT).await;
}

/// What receivers put off in the evening is not tried in the night, and a wave that is due in it waits for its end.
async fn quiet_while_sending(database: Database) {
    let clock = Ahead::default();
    let greylist = |b: &mut Behaviour| b.greylist = Some(Duration::from_secs(90 * 60));
    let (internet, server) = start_at(database, greylist, clock.clone()).await;
    let (date, start_us) = tomorrow(&server, 20);
    let more = format!(
        "[parameters]\nvalidity = \"3d\"\n\n{}quiet_hours = \"21:00-08:00\"\n\n\
         [waves]\ncalendar = [{{ start = \"0s\", size = \"50%\" }}, {{ start = \"2h\", size = \"50%\" }}]\n",
        schedule(&date)
    );
    let targets = addresses(40, &DOMAINS);
    let id = server.campaign("quiet", &targets, &more).await;
    let turn = |minutes: i64| {
        // The receivers' first: what the server does at a moment never comes too early for them.
        let to_us = start_us + minutes * MINUTE_US;
        clock.set((to_us - wall_us()).unsigned_abs());
        server.turn_to(to_us);
    };
    // The first wave is put off until 21:30, and the second is due at 22:00: both would be night.
    turn(1);
    let end = Instant::now() + stories::WAIT;
    while server.status(&id).await["deferred"] != 20 {
        assert!(Instant::now() < end, "{}", server.stderr());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for minutes in [61, 95, 125, 6 * 60] {
        turn(minutes);
        no_more_than(&internet, 0).await;
    }
    let night = server.status(&id).await;
    assert_eq!((&night["messages"]["pending"], &night["deferred"]), (&json!(40), &json!(20)), "{night}");
    let journal = get(&server, &format!("/deliveries/{id}/journal")).await.to_string();
    assert!(journal.contains("Quiet hours: what is not out there waits until"), "{journal}");
    // At eight the first wave passes; the second is put off now, and passes when its time has come.
    turn(12 * 60 + 1);
    accepted(&internet, 20).await;
    let end = Instant::now() + stories::WAIT;
    while server.status(&id).await["deferred"] != 20 {
        assert!(Instant::now() < end, "{}", server.stderr());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    turn(14 * 60);
    accepted(&internet, 40).await;
    server.wait_for(&id, &["finished"], stories::WAIT).await;
    server.verify(&id).await;
}

/// The brake pauses after a hundred answers with too many bounces, and an operator decides.
async fn braked_on_bounces(database: Database) {
    let (internet, server) = start(database, |b| b.reply_delay = Duration::from_millis(20)).await;
    let mut targets = addresses(3_000, &DOMAINS);
    for (n, target) in targets.iter_mut().enumerate().filter(|(n, _)| n % 4 == 0) {
        *target = format!("nouser{n}@{}", DOMAINS[n % 2]);
    }
    let brake = "[waves]\nbrake = { hard_bounces = \"10%\" }\n";
    let id = server.campaign("brake", &targets, brake).await;
    let status = server.wait_for(&id, &["paused", "finished"], stories::WAIT).await;
    assert_eq!(status["state"], "paused", "{status}");
    let count = |name: &str| status["messages"][name].as_i64().unwrap();
    assert!(count("sent") + count("failed") >= 100 && count("pending") > 0, "{status}");
    let quiet = internet.log().accepted();
    no_more_than(&internet, quiet).await;
    let journal = get(&server, &format!("/deliveries/{id}/journal")).await.to_string();
    assert!(journal.contains("hard bounces") && journal.contains("passed 10%"), "{journal}");
    server.cli(&["delivery", "stop", &id]).await.done();
    server.verify(&id).await;
}

/// A test delivery asks every receiver and gives no message to any.
async fn tested_to_rcpt(database: Database) {
    let (internet, server) = start(database, |_| ()).await;
    let mut targets = addresses(20, &DOMAINS);
    targets[3] = format!("nouser3@{}", DOMAINS[1]);
    let id = server.campaign("tested", &targets, "[parameters]\ntest_smtp = true\n").await;
    let status = server.wait_for(&id, &["finished"], stories::WAIT).await;
    assert_eq!(
        (&status["messages"]["sent"], &status["messages"]["failed"]),
        (&json!(19), &json!(1)),
        "{status}"
    );
    let log = server.log(&id).await;
    assert!(log.values().filter(|row| row.state == "sent").all(|row| row.reason == "test"), "{log:?}");
    assert_eq!(internet.log().accepted(), 0);
    assert_eq!(internet.mailboxes().arrived(), 0, "nobody got anything");
    server.verify(&id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waves_over_two_days_on_sqlite() {
    over_two_days(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waves_over_two_days_on_postgres() {
    over_two_days(Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_and_validity_between_waves() {
    ended_between_waves(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dst_night() {
    the_night_of_the_clocks(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_after_downtime() {
    asked_before_late(Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_after_a_standstill() {
    asked_after_a_standstill(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet_hours_while_sending_on_sqlite() {
    quiet_while_sending(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet_hours_while_sending_on_postgres() {
    quiet_while_sending(Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brake_on_bounces_on_sqlite() {
    braked_on_bounces(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brake_on_bounces_on_postgres() {
    braked_on_bounces(Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_delivery_ends_at_rcpt() {
    tested_to_rcpt(Database::Sqlite).await;
}
