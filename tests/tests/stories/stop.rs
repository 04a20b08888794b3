//! Stop means stop, pause means pause, and an end in order loses nothing. The receivers' log says when what came.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stories::campaign::{HTML, addresses, toml};
use stories::judge::{is_busy, judge};
use stories::{Database, Server, ServerOptions, wall_us};
use testkit::{Behaviour, Event, Internet, InternetOptions, Place, Stage, What, World};

/// How fast Stop has to answer; and the way there and back, which is longer where the machine is busy with other things.
fn stop_time_max() -> Duration {
    Duration::from_millis(if is_busy() { 2_000 } else { 1_200 })
}

/// A machine that stands still for a moment is no fault of the stop: one of three stories is in time, and knows exactly what
/// it cut. An error says what came late; that nothing began and nothing is lost holds then too.
async fn in_time<F: Future<Output = Result<(), String>>>(story: impl Fn() -> F) {
    let mut late = Vec::new();
    while let Err(why) = story().await {
        println!("late: {why}");
        late.push(why);
        assert!(late.len() < 3, "{late:?}");
    }
}

/// Whether a stop was answered in time and with the exact number of the messages that ended.
fn punctual(took: Duration, report: &Value, ended: u64) -> Result<(), String> {
    let known = report["sent"].as_u64().zip(report["in_flight"].as_u64()).map(|(sent, under)| sent + under);
    if took < stop_time_max() && known == Some(ended) {
        return Ok(());
    }
    Err(format!("Stop took {took:?}, and {ended} messages ended: {report}"))
}

fn world(behaviours: Vec<Behaviour>) -> World {
    let places = behaviours.into_iter().zip(1u8..).map(|(behaviour, n)| {
        let (domain, host) = (format!("{}.example", behaviour.name), behaviour.host.clone());
        Place::new(behaviour, Ipv4Addr::new(127, 0, 61, n)).domain(&domain, &[&host])
    });
    World { places: places.collect() }
}

fn provider(name: &str, change: impl FnOnce(&mut Behaviour)) -> Behaviour {
    let mut behaviour = Behaviour::accepting(name, &format!("mx.{name}.example"));
    change(&mut behaviour);
    behaviour
}

async fn start(database: Database, behaviours: Vec<Behaviour>) -> (Internet, Server) {
    let internet = Internet::start(&world(behaviours), InternetOptions::default()).await.unwrap();
    let options = ServerOptions { config: internet.settings(), ..ServerOptions::default() };
    (internet, Server::start(database, options).await)
}

async fn post(server: &Server, path: &str) -> Value {
    let answer = server.request(reqwest::Method::POST, path).json(&json!({})).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.json().await.unwrap()
}

async fn until(what: &str, limit: Duration, condition: impl Fn() -> bool) {
    let end = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < end, "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn count(events: &[Event], wanted: impl Fn(&Event) -> bool) -> usize {
    events.iter().filter(|event| wanted(event)).count()
}

/// How long a command may stand in a receiver's socket before it is read, on a machine that has more to do than it can.
const READ_WAIT_US: i64 = 3_000_000;

/// Nothing began after Stop was answered. Messages: as many ended as the report knows at most, however late their receivers
/// read them. DATA: a connection may have sent one in a group with the message before (RFC 2920), which its receiver reads when
/// it comes to it; a second one, or one much later, was sent after Stop.
async fn nothing_began(internet: &Internet, report: &Value, answered_us: i64) -> Vec<Event> {
    let log = internet.log();
    let end = Instant::now() + stories::WAIT;
    let mut seen = usize::MAX;
    while log.events().len() != seen {
        assert!(Instant::now() < end, "receivers are still busy");
        seen = log.events().len();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let events = log.events();
    let past = count(&events, |e| e.what == What::DotRead) as u64;
    let (sent, under) = (report["sent"].as_u64().unwrap(), report["in_flight"].as_u64().unwrap());
    assert!((sent..=sent + under).contains(&past), "{past} messages ended: {report}");
    let begins = |e: &&Event| e.what == What::Command && e.text.starts_with("354") && e.wall_us > answered_us;
    let mut connections = BTreeSet::new();
    for late in events.iter().filter(begins) {
        // `lost` answers nothing for seconds, and reads nothing meanwhile.
        let soon = late.provider == "lost" || late.wall_us < answered_us + READ_WAIT_US;
        assert!(
            soon && connections.insert(late.connection),
            "began after Stop was answered at {answered_us}: {late:?}"
        );
    }
    events
}

async fn stop_while_receivers_hang(database: Database) -> Result<(), String> {
    let (internet, server) = start(
        database,
        vec![
            provider("quick", |b| b.reply_delay = Duration::from_millis(3)),
            provider("mute", |b| b.hang_at = Some(Stage::Mail)),
            provider("stuck", |b| (b.hang_at, b.pipelining) = (Some(Stage::Data), false)),
            provider("lost", |b| b.dot_delay = Duration::from_secs(4)),
            provider("greet", |b| b.hang_at = Some(Stage::Connect)),
        ],
    )
    .await;
    let domains = [
        "quick.example",
        "quick.example",
        "quick.example",
        "mute.example",
        "stuck.example",
        "lost.example",
        "greet.example",
    ];
    let targets = addresses(2_800, &domains);
    let id = server.campaign("stop", &targets, "").await;
    let log = internet.log();
    until("some messages are past their dot and unanswered", stories::WAIT, || {
        let events = log.events();
        count(&events, |e| e.what == What::DotRead && e.provider == "lost") > 0
            && count(&events, |e| e.what == What::Accepted && e.provider == "quick") > 50
    })
    .await;
    let asked = Instant::now();
    let report = post(&server, &format!("/deliveries/{id}/stop")).await;
    let (took, answered_us) = (asked.elapsed(), wall_us());
    let number = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{report}"));
    assert_eq!(number("sent") + number("in_flight") + number("cancelled"), targets.len() as u64, "{report}");

    let status = server.wait_for(&id, &["stopped"], stories::WAIT).await;
    let events = nothing_began(&internet, &report, answered_us).await;
    let accepted = count(&events, |e| e.what == What::Accepted) as u64;
    assert!(number("sent") <= accepted, "{accepted} {report}");
    assert_eq!(status["messages"]["sent"].as_u64(), Some(accepted), "in flight ones settle: {status}");
    let cancelled = targets.len() as u64 - accepted;
    assert_eq!(status["messages"]["cancelled"].as_u64(), Some(cancelled), "{status}");
    let rows = server.log(&id).await;
    let verdict = judge(&events, &rows, &targets, &[]);
    assert_eq!(verdict.duplicates, 0);
    server.verify(&id).await;
    let again = server.cli(&["delivery", "resume", &id]).await;
    assert_eq!(again.status, 1, "stopped is for good: {}", again.stdout);
    println!("stopped within {took:?}: {report}");
    punctual(took, &report, accepted)
}

/// A setting of the mta changes while receivers hang, so the old engine drains for a while: Stop does not wait for that.
async fn stop_while_the_engine_is_replaced(database: Database) -> Result<(), String> {
    let (internet, server) = start(
        database,
        vec![
            provider("quick", |b| b.reply_delay = Duration::from_millis(3)),
            provider("lost", |b| b.dot_delay = Duration::from_secs(10)),
        ],
    )
    .await;
    let id = server.campaign("replaced", &addresses(2_500, &["quick.example", "lost.example"]), "").await;
    let log = internet.log();
    until("a message is past its dot and unanswered", stories::WAIT, || {
        count(&log.events(), |e| e.what == What::DotRead && e.provider == "lost") > 0
    })
    .await;
    let relay = format!("smtp://127.0.61.1:{}?tls=none", internet.port());
    let set = server.request(reqwest::Method::PUT, "/settings/mta.relay");
    assert!(set.json(&json!({"value": relay})).send().await.unwrap().status().is_success());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let asked = Instant::now();
    let report = post(&server, &format!("/deliveries/{id}/stop")).await;
    let (took, answered_us) = (asked.elapsed(), wall_us());
    assert!(report["in_flight"].as_u64() > Some(0), "the old engine was still draining: {report}");
    server.wait_for(&id, &["stopped"], stories::WAIT).await;
    let events = nothing_began(&internet, &report, answered_us).await;
    server.verify(&id).await;
    // The new engine sends.
    let next = server.campaign("afterwards", &addresses(20, &["quick.example"]), "").await;
    let status = server.wait_for(&next, &["finished"], stories::WAIT).await;
    assert_eq!(status["messages"]["sent"], 20, "{status}");
    println!("stopped within {took:?} while the engine was replaced: {report}");
    punctual(took, &report, count(&events, |e| e.what == What::DotRead) as u64)
}

async fn pause_end_and_second_start(database: Database) {
    // Slow enough that something is left whenever somebody looks.
    let (internet, mut server) =
        start(database, vec![provider("quick", |b| b.reply_delay = Duration::from_millis(20))]).await;
    let targets = addresses(2_500, &["quick.example"]);
    server.import("pause", &targets).await;
    let id = server.push("pause", &toml("pause", "pause", ""), HTML).await;
    server.analyze(&id).await;
    confirm_twice(&server, &id).await;

    let log = internet.log();
    until("it is being sent", stories::WAIT, || log.accepted() > 100).await;
    pause_in_time(&server, &id).await;
    server.wait_for(&id, &["paused"], stories::WAIT).await;
    let quiet = log.accepted();
    assert!(quiet < targets.len() as u64, "there is something left to pause");
    let second = server.second_start().await;
    assert_eq!(second.status, 1, "{} {}", second.stdout, second.stderr);
    assert!(second.stderr.contains("running") || second.stderr.contains("use"), "{}", second.stderr);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(log.accepted(), quiet, "paused");
    let status = server.status(&id).await;
    assert_eq!(status["messages"]["sent"].as_u64(), Some(quiet), "{status}");

    server.cli(&["delivery", "resume", &id]).await.done();
    until("it is sent again", stories::WAIT, || log.accepted() > quiet + 100).await;
    // An end in order, in the middle of sending: what was begun is answered and known, nothing goes twice.
    assert_eq!(server.terminate().await, Some(0), "{}", server.stderr());
    let before = log.accepted();
    assert!(before < targets.len() as u64, "there is something left to go on with");
    internet.provider("quick").unwrap().change(|quick| quick.reply_delay = Duration::from_millis(1));
    server.run().await;
    let status = server.wait_for(&id, &["finished"], stories::WAIT).await;
    assert_eq!(status["messages"]["sent"].as_u64(), Some(targets.len() as u64), "{status}");
    let verdict = judge(&log.events(), &server.log(&id).await, &targets, &[]);
    assert_eq!((verdict.duplicates, verdict.arrived), (0, targets.len()));
    server.verify(&id).await;
}

/// Pauses; once more after a moment where the machine stood still just then.
async fn pause_in_time(server: &Server, id: &str) {
    let mut late = Vec::new();
    loop {
        let asked = Instant::now();
        post(server, &format!("/deliveries/{id}/pause")).await;
        late.push(asked.elapsed());
        if late.last() < Some(&stop_time_max()) {
            return;
        }
        assert!(late.len() < 3, "{late:?}");
        server.wait_for(id, &["paused"], stories::WAIT).await;
        server.cli(&["delivery", "resume", id]).await.done();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Confirm with one key twice is one Confirm with one answer; without the key the second one is refused.
async fn confirm_twice(server: &Server, id: &str) {
    let path = format!("/deliveries/{id}/confirm");
    let mut answers = Vec::new();
    for _ in 0..2 {
        let request = server.request(reqwest::Method::POST, &path).header("Idempotency-Key", "once");
        let answer = request.json(&json!({})).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        answers.push(answer.json::<Value>().await.unwrap());
    }
    assert_eq!(answers[0], answers[1]);
    let other = server.request(reqwest::Method::POST, &path).header("Idempotency-Key", "once");
    let other = other.json(&json!({"snapshot": "another"})).send().await.unwrap();
    assert!(other.status().is_client_error(), "one key, two requests: {}", other.status());
    let refused = server.cli(&["delivery", "confirm", id, "--yes"]).await;
    assert_eq!(refused.status, 1, "{}", refused.stdout);
}

/// SIGTERM while a receiver has the message and does not answer: the process gives it its time, then ends all the same,
/// and knows afterwards what it does not know.
async fn terminate_while_a_receiver_hangs(database: Database) {
    let mute = provider("mute", |b| b.hang_at = Some(Stage::Dot));
    let (internet, mut server) = start(database, vec![mute, provider("quick", |_| ())]).await;
    let targets = addresses(20, &["mute.example", "quick.example"]);
    let id = server.campaign("terminate", &targets, "").await;
    let log = internet.log();
    until("a message is past its dot", stories::WAIT, || {
        log.accepted() == 10 && count(&log.events(), |e| e.what == What::Fault) > 0
    })
    .await;
    let asked = Instant::now();
    assert_eq!(server.terminate().await, Some(0), "{}", server.stderr());
    println!("ended {:?} after SIGTERM while a receiver hung", asked.elapsed());
    server.run().await;
    let status = server.status(&id).await;
    assert_eq!(
        (&status["messages"]["sent"], &status["messages"]["pending"]),
        (&10.into(), &10.into()),
        "{status}"
    );
    server.verify(&id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminate_in_spite_of_a_receiver() {
    terminate_while_a_receiver_hangs(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_does_not_wait_for_another_engine_on_sqlite() {
    in_time(|| stop_while_the_engine_is_replaced(Database::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_does_not_wait_for_another_engine_on_postgres() {
    in_time(|| stop_while_the_engine_is_replaced(Database::Postgres)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_is_stop_on_sqlite() {
    in_time(|| stop_while_receivers_hang(Database::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_is_stop_on_postgres() {
    in_time(|| stop_while_receivers_hang(Database::Postgres)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause_terminate_and_go_on_on_sqlite() {
    pause_end_and_second_start(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause_terminate_and_go_on_on_postgres() {
    pause_end_and_second_start(Database::Postgres).await;
}
