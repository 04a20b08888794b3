//! Large providers with their habits, days told in seconds: whoever is pushed back slows down, whoever is blocked waits,
//! and no person pays for an address's fault. The server's clock and the receivers' are turned together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stories::campaign::{Row, addresses};
use stories::judge::judge;
use stories::{Database, Server, ServerOptions, soak};
use testkit::{Ahead, Behaviour, Event, Internet, InternetOptions, PERSONALITIES, Place, Stage, What, World};

const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const HOUR_US: i64 = 60 * MINUTE_US;

/// A server, its receivers, and one clock for both.
struct Scene {
    server: Server,
    internet: Internet,
    clock: Ahead,
}

impl Scene {
    async fn start(world: World, shaping: Option<String>) -> Scene {
        let clock = Ahead::default();
        let options = InternetOptions { clock: clock.clone(), ..InternetOptions::default() };
        let internet = Internet::start(&world, options).await.unwrap();
        let options = ServerOptions {
            config: internet.settings(),
            turnable: true,
            shaping,
            ..ServerOptions::default()
        };
        Scene { server: Server::start(Database::Sqlite, options).await, internet, clock }
    }

    /// Sources instead of the one that a first start makes.
    async fn sources(&self, addresses: &[Ipv4Addr]) {
        for (number, address) in addresses.iter().enumerate() {
            let new = json!({"name": format!("s{number}"), "address": address});
            let answer =
                self.server.request(reqwest::Method::POST, "/sources").json(&new).send().await.unwrap();
            assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
        }
        let off = json!({"enabled": false});
        let change = self.server.request(reqwest::Method::PATCH, "/sources/default").json(&off);
        assert!(change.send().await.unwrap().status().is_success());
        // The engine follows within a second.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }

    fn turn(&self, by_us: i64) {
        if by_us == 0 {
            return;
        }
        // The receivers' first: what the server does at a moment never comes too early for them.
        let to_us = self.server.now_us() + by_us;
        self.clock.set((to_us - stories::wall_us()).unsigned_abs());
        self.server.turn_to(to_us.max(self.server.now_us()));
    }

    /// Lets time pass: seconds while something happens, `leap_us` at once while nothing does. Until `done`.
    async fn pass(&self, what: &str, limit: Duration, leap_us: i64, done: impl AsyncFn(&Scene) -> bool) {
        let end = Instant::now() + limit;
        let mut seen = 0;
        while !done(self).await {
            assert!(Instant::now() < end, "never {what}: {}\n{}", self.paths().await, self.server.stderr());
            let events = self.internet.log().events();
            let still = events.len() == seen && !under_way(&events);
            self.turn(if still { leap_us } else { 2 * SECOND_US });
            seen = events.len();
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    async fn over(&self, id: &str, limit: Duration, leap_us: i64) {
        let finished = async |scene: &Scene| scene.server.status(id).await["state"] == "finished";
        self.pass("finished", limit, leap_us, finished).await;
    }

    async fn paths(&self) -> Value {
        let answer = self.server.request(reqwest::Method::GET, "/paths").send().await.unwrap();
        answer.json().await.unwrap_or_default()
    }

    fn answers(&self, words: &str) -> usize {
        self.internet.log().events().iter().filter(|event| event.text.contains(words)).count()
    }
}

/// Whether a message is between its MAIL and its answer: a leap then would be longer than a sender waits, and the message
/// would be tried or come twice.
fn under_way(events: &[Event]) -> bool {
    let mut last = BTreeMap::new();
    for event in events {
        last.insert(event.connection, event);
    }
    let begun = |text: &str| text.starts_with("250 ") || text.starts_with("354");
    last.values()
        .any(|event| event.what == What::DotRead || event.what == What::Command && begun(&event.text))
}

/// How a personality is found: domains and hosts as the real ones, so that everything that recognises a provider does.
fn place(name: &str, number: u8) -> (Place, &'static str) {
    let (domain, host) = match name {
        "gmail" => ("gmail.com", "gmail-smtp-in.l.google.com"),
        "yahoo" => ("yahoo.com", "mta5.am0.yahoodns.net"),
        "outlook" => ("outlook.com", "outlook-com.olc.protection.outlook.com"),
        "apple" => ("icloud.com", "mx01.mail.icloud.com"),
        "orange" => ("orange.fr", "smtp-in.orange.fr"),
        _ => ("gmx.de", "mx00.emig.gmx.net"),
    };
    let mut behaviour = Behaviour::personality(name).unwrap();
    // Few messages, so little is welcome: what matters is that the first of them meet a limit.
    if let Some(habits) = &mut behaviour.habits {
        habits.per_second = 1.0;
        habits.burst = 8.0;
        habits.first = 1.0;
        habits.busy.clear();
    }
    (Place::new(behaviour, Ipv4Addr::new(127, 0, 84, number)).domain(domain, &[host]), domain)
}

/// Everybody gets the mail in the end, only those who do not exist fail, and no provider comes to a block.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_personality_is_listened_to() {
    let (mut places, mut domains) = (Vec::new(), Vec::new());
    for (name, number) in PERSONALITIES.iter().zip(1..) {
        let (place, domain) = place(name, number);
        places.push(place);
        domains.push(domain);
    }
    let scene = Scene::start(World { places }, None).await;
    let mut targets = addresses(PERSONALITIES.len() * 60, &domains);
    let gone: Vec<String> = domains.iter().map(|domain| format!("nouser@{domain}")).collect();
    targets.extend(gone.iter().cloned());
    let id = scene.server.campaign("personalities", &targets, "").await;
    scene.over(&id, stories::WAIT, 4 * MINUTE_US).await;
    let rows = scene.server.log(&id).await;
    for (address, row) in &rows {
        let expected = if gone.contains(address) { "failed" } else { "sent" };
        assert_eq!(row.state, expected, "{row:?}");
        assert!(row.state == "sent" || row.reason == "user_unknown", "{row:?}");
    }
    let mut told = Vec::new();
    for name in PERSONALITIES {
        let words = Behaviour::personality(name).unwrap().words;
        let first =
            |text: &str| text.lines().next().unwrap_or_default().get(4..40).unwrap_or_default().to_owned();
        let provider = scene.internet.provider(name).unwrap();
        let standing = provider.standing(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
        let put_off = scene.answers(&first(&words.later));
        told.push(format!("{name} {put_off} times, standing {standing:.2}"));
        assert!(put_off > 0, "{name} had no reason to push back: the story shows nothing about it");
        assert_eq!(scene.answers(&first(&words.blocked)), 0, "{name} had to block us");
        assert!(standing > 0.75, "{name}: {standing}");
    }
    println!("put off: {}", told.join("; "));
    let verdict = judge(&scene.internet.log().events(), &rows, &targets, &[]);
    assert_eq!(verdict.duplicates, 0);
    scene.server.verify(&id).await;
}

/// What a receiver thinks of us after 60 messages, of which it welcomes one in four seconds: its standing, and how often it
/// told us to come later and that we are blocked.
async fn thought_of(rules: &str, number: u8) -> (f64, usize, usize) {
    let mut strict = Behaviour::personality("gmail").unwrap();
    let words = strict.words.clone();
    if let Some(habits) = &mut strict.habits {
        (habits.per_second, habits.burst, habits.first) = (0.25, 4.0, 1.0);
        (habits.patience, habits.keeps) = (25, 0.6);
        habits.busy.clear();
    }
    (strict.name, strict.host) = ("strict".to_owned(), "mx.strict.example".to_owned());
    let place = Place::new(strict, Ipv4Addr::new(127, 0, 84, number))
        .domain("strict.example", &["mx.strict.example"]);
    let scene = Scene::start(World { places: vec![place] }, Some(rules.to_owned())).await;
    let targets = addresses(60, &["strict.example"]);
    let id = scene.server.campaign("strict", &targets, "[parameters]\nretry_period = \"60s\"\n").await;
    let strict = scene.internet.provider("strict").unwrap();
    let standing = || strict.standing(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap_or(1.0);
    let decided =
        async |scene: &Scene| standing() < 0.5 || scene.server.status(&id).await["state"] == "finished";
    scene.pass("decided", stories::WAIT, 4 * SECOND_US, decided).await;
    let told =
        |text: &str| scene.answers(text.lines().next().unwrap_or_default().get(4..40).unwrap_or_default());
    (standing(), told(&words.later), told(&words.blocked))
}

/// The same messages to the same receiver: who listens keeps its name, who goes on as before loses it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reputation_worsens_when_it_is_ignored() {
    let deaf =
        "[unknown]\nadaptive = false\nconnections = 10\nmessages_per_connection = 100\nmessage_rates = []\n";
    let (kept, lost) = (thought_of("[unknown]\n", 31).await, thought_of(deaf, 32).await);
    println!("standing, later, blocked: {kept:?} of who listens, {lost:?} of who does not");
    assert!(kept.0 > 0.75 && kept.1 > 0 && kept.2 == 0, "{kept:?}");
    assert!(lost.0 < 0.5, "{lost:?}");
}

const A: Ipv4Addr = Ipv4Addr::new(127, 0, 84, 101);
const B: Ipv4Addr = Ipv4Addr::new(127, 0, 84, 102);

/// Twenty domains at one receiver, so that both sources are some domain's.
fn many_domains(behaviour: Behaviour, host: &str, address: Ipv4Addr) -> (World, Vec<String>) {
    let domains: Vec<String> = (0..20).map(|n| format!("vanity{n}.example")).collect();
    let mut place = Place::new(behaviour, address);
    for domain in &domains {
        place = place.domain(domain, &[host]);
    }
    (World { places: vec![place] }, domains)
}

fn targets_of(domains: &[String], count: usize) -> Vec<String> {
    let domains: Vec<&str> = domains.iter().map(String::as_str).collect();
    addresses(count, &domains)
}

fn peers(events: &[Event], what: What) -> BTreeSet<IpAddr> {
    events.iter().filter(|event| event.what == what).filter_map(|event| event.peer).collect()
}

/// S3150 for one address: nobody fails, the other address goes on, and what waits is sent once the block is lifted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_of_one_address_leaves_the_other_running() {
    let mut outlook = Behaviour::personality("outlook").unwrap();
    outlook.habits = None;
    outlook.blocks = vec![(IpAddr::V4(A), outlook.words.blocked.clone())];
    let host = "vanity.mail.protection.outlook.com";
    let (world, domains) = many_domains(outlook, host, Ipv4Addr::new(127, 0, 84, 11));
    let scene = Scene::start(world, None).await;
    scene.sources(&[A, B]).await;
    let targets = targets_of(&domains, 200);
    let id = scene.server.campaign("block", &targets, "").await;
    let blocked = async |scene: &Scene| scene.answers("S3150") > 0 && scene.internet.log().accepted() > 40;
    scene.pass("blocked here and taken there", stories::WAIT, 0, blocked).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let heard = scene.answers("S3150");
    assert!(heard <= 20, "{heard} messages ran into the block before it was understood");
    let events = scene.internet.log().events();
    assert_eq!(peers(&events, What::Accepted), BTreeSet::from([IpAddr::V4(B)]));
    let status = scene.server.status(&id).await;
    assert_eq!(status["messages"]["failed"], 0, "{status}");
    let paths = scene.paths().await.to_string();
    assert!(paths.contains("S3150"), "why a path rests is shown: {paths}");
    scene.internet.provider("outlook").unwrap().change(|behaviour| behaviour.blocks.clear());
    scene.over(&id, stories::WAIT, 4 * MINUTE_US).await;
    let rows = scene.server.log(&id).await;
    assert!(
        rows.values().all(|row| row.state == "sent"),
        "{:?}",
        rows.values().find(|row| row.state != "sent")
    );
    let again = scene
        .server
        .push("again", &stories::campaign::toml("again", "block", ""), stories::campaign::HTML)
        .await;
    let analysis = scene.server.analyze(&again).await;
    assert_eq!(analysis["to_deliver"], 200, "a block is nobody's quarantine: {analysis}");
    scene.server.verify(&id).await;
}

/// Put off with a time: each message comes again from the address that it came from, and not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_greylist_is_answered_from_the_same_address_after_its_time() {
    let wait = Duration::from_secs(300);
    let mut grey = Behaviour::accepting("grey", "mx.grey.example");
    grey.greylist = Some(wait);
    let (world, domains) = many_domains(grey, "mx.grey.example", Ipv4Addr::new(127, 0, 84, 12));
    let scene = Scene::start(world, None).await;
    scene.sources(&[A, B]).await;
    let targets = targets_of(&domains, 100);
    let id = scene.server.campaign("grey", &targets, "").await;
    scene.over(&id, stories::WAIT, 20 * SECOND_US).await;
    let rows = scene.server.log(&id).await;
    assert!(
        rows.values().all(|row| row.state == "sent" && row.attempts == 1),
        "the wait counts no try: {rows:?}"
    );
    let events = scene.internet.log().events();
    assert_eq!(peers(&events, What::Accepted).len(), 2, "both addresses were used");
    // A receiver that sees another address begins its wait anew: each recipient was refused exactly once.
    assert_eq!(scene.answers("Greylisted"), targets.len());
    scene.server.verify(&id).await;
}

/// A receiver that is away for a day: nothing is counted, nothing is lost, and it is not asked all day long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_a_day() {
    let mut away = Behaviour::accepting("away", "mx.away.example");
    away.close_at = Some(Stage::Connect);
    let place = Place::new(away, Ipv4Addr::new(127, 0, 84, 13)).domain("away.example", &["mx.away.example"]);
    let scene = Scene::start(World { places: vec![place] }, None).await;
    let targets = addresses(200, &["away.example"]);
    let id = scene.server.campaign("away", &targets, "").await;
    let begun_us = scene.server.now_us();
    let day = async |scene: &Scene| scene.server.now_us() > begun_us + 24 * HOUR_US;
    scene.pass("a day", stories::WAIT, 40 * MINUTE_US, day).await;
    let tries = scene.internet.log().events().iter().filter(|event| event.what == What::Open).count();
    assert!((10..=200).contains(&tries), "{tries} connections in a day");
    let status = scene.server.status(&id).await;
    assert_eq!(status["messages"]["pending"], 200, "{status}");
    scene.internet.provider("away").unwrap().change(|behaviour| behaviour.close_at = None);
    scene.over(&id, stories::WAIT, 10 * MINUTE_US).await;
    let rows = scene.server.log(&id).await;
    assert!(rows.values().all(|row| row.state == "sent" && row.attempts == 1), "{:?}", rows.values().next());
    scene.server.verify(&id).await;
}

/// Hosts of one domain that are of different opinions: the first one that takes the mail decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_disagree() {
    let host = |name: &str, change: fn(&mut Behaviour)| {
        let mut behaviour = Behaviour::accepting(name, &format!("{name}.split.example"));
        change(&mut behaviour);
        behaviour
    };
    let opinions: [(Behaviour, u8); 4] = [
        (host("refuses", |b| b.answers.push((Stage::Connect, "554 5.3.2 not here".to_owned()))), 21),
        (host("busy", |b| b.answers.push((Stage::Connect, "421 4.3.2 too busy".to_owned()))), 22),
        (host("dead", |b| b.close_at = Some(Stage::Ehlo)), 23),
        (host("takes", |_| ()), 24),
    ];
    let places = opinions.map(|(behaviour, number)| {
        let name = behaviour.host.clone();
        Place::new(behaviour, Ipv4Addr::new(127, 0, 84, number)).domain(&name.clone(), &[&name])
    });
    let scene = Scene::start(World { places: places.to_vec() }, None).await;
    let hosts = ["refuses", "busy", "dead", "takes"].map(|name| format!("{name}.split.example"));
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    scene.internet.change_zone(|zone| zone.set("split.example", testkit::Node::mail(&hosts)));
    let targets = addresses(60, &["split.example"]);
    let id = scene.server.campaign("split", &targets, "").await;
    scene.over(&id, stories::WAIT, 20 * SECOND_US).await;
    let rows = scene.server.log(&id).await;
    assert!(
        rows.values().all(|row: &Row| row.state == "sent" && row.attempts == 1),
        "{:?}",
        rows.values().next()
    );
    let by: BTreeMap<String, usize> =
        scene.internet.log().events().iter().filter(|event| event.what == What::Accepted).fold(
            BTreeMap::new(),
            |mut by, event| {
                *by.entry(event.provider.clone()).or_default() += 1;
                by
            },
        );
    assert_eq!(by, BTreeMap::from([("takes".to_owned(), 60)]));
}

/// The long tail: every recipient has a domain of its own. A hundred thousand in the long run.
async fn as_many_domains(database: Database) {
    let count = if soak() { 100_000 } else { 2_000 };
    let options = InternetOptions { forget_mail: true, ..InternetOptions::default() };
    let internet = Internet::start(&World::friendly(), options).await.unwrap();
    let options = ServerOptions { config: internet.settings(), ..ServerOptions::default() };
    let server = Server::start(database, options).await;
    let targets: Vec<String> = (0..count).map(|n| format!("someone@tail{n}.example")).collect();
    let id = server.campaign("tail", &targets, "").await;
    let begun = Instant::now();
    let limit = Duration::from_secs(if soak() { 900 } else { 180 });
    let status = server.wait_for(&id, &["finished"], limit).await;
    let megabytes = server.memory_peak() / (1_024 * 1_024);
    println!("{count} domains in {:.1} s, {megabytes} MB", begun.elapsed().as_secs_f64());
    assert_eq!(status["messages"]["sent"].as_u64(), Some(count), "{status}");
    assert!(megabytes < 700, "{megabytes} MB");
    let verdict = judge(&internet.log().events(), &server.log(&id).await, &targets, &[]);
    assert_eq!(verdict.duplicates, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_domains_as_recipients_on_sqlite() {
    as_many_domains(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_domains_as_recipients_on_postgres() {
    as_many_domains(Database::Postgres).await;
}
