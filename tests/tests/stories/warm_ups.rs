//! A source is made known to a provider over days, told in seconds: each day's allowance holds to the message, those who
//! read lately are first, the rest waits or goes by a warm source, and the day that was shown before Confirm is the day.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use mail_parser::MessageParser;
use reqwest::{Client, Method, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use stories::campaign::{HTML, addresses, toml};
use stories::judge::judge;
use stories::{Database, Server, ServerOptions};
use testkit::{Behaviour, Internet, InternetOptions, Place, World};

/// A provider that rules know by its hosts.
const DOMAIN: &str = "gmail.com";
const HOST: &str = "gmail-smtp-in.l.google.com";
const COUNT: usize = 40;
/// What the plan allows on its days; afterwards it sets no limit.
const DAYS: [u64; 3] = [5, 10, 20];
const HOUR_US: i64 = 3_600 * 1_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// Long enough for a message to go out if it could: the engine looks four times a second.
const QUIET: Duration = Duration::from_millis(1_500);
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
/// Rules of a provider as the table has it, without a rate, and for sites that nobody knows.
const SHAPING: &str = "[unknown]\nmessage_rates = []\n\n[site.google]\nmessage_rates = []\n";

struct Scene {
    internet: Internet,
    server: Server,
    targets: Vec<String>,
    /// Messages that had arrived before the delivery that is looked at.
    before: u64,
}

impl Scene {
    async fn start(database: Database) -> Scene {
        let google = Behaviour::accepting("google", HOST);
        let place = Place::new(google, Ipv4Addr::new(127, 0, 85, 1)).domain(DOMAIN, &[HOST]);
        let internet =
            Internet::start(&World { places: vec![place] }, InternetOptions::default()).await.unwrap();
        let options = ServerOptions {
            config: internet.settings(),
            turnable: true,
            shaping: Some(SHAPING.to_owned()),
            ..ServerOptions::default()
        };
        let server = Server::start(database, options).await;
        // The days of plans are days of UTC: a story that begins at noon has none of them end by itself.
        let now = server.now_us();
        server.turn_to((now.div_euclid(DAY_US) + 1) * DAY_US + 12 * HOUR_US);
        let targets = addresses(COUNT, &[DOMAIN]);
        Scene { internet, server, targets, before: 0 }
    }

    /// A delivery by the source of a first start, which these people read.
    async fn read_by(&mut self, readers: &[&str]) {
        self.server.import("people", &self.targets).await;
        let id = self.server.push("before", &toml("before", "people", ""), HTML).await;
        self.server.analyze(&id).await;
        self.server.confirm(&id).await;
        self.server.wait_for(&id, &["finished"], stories::WAIT).await;
        self.before = COUNT as u64;
        let client = Client::builder().redirect(Policy::none()).user_agent(BROWSER).build().unwrap();
        for reader in readers {
            let mail = self.internet.mailboxes().of(reader).remove(0);
            let message = MessageParser::default().parse(&*mail.octets).unwrap();
            let html = message.body_html(0).unwrap().into_owned();
            let link = html.split('"').find(|text| text.contains("/l/")).unwrap().replace("&amp;", "&");
            assert_eq!(client.get(&link).send().await.unwrap().status(), StatusCode::FOUND, "{link}");
        }
        // Events are written down within a moment.
        tokio::time::sleep(Duration::from_secs(4)).await;
    }

    /// These sources instead of the one of a first start, and a plan for the one named `cold`.
    async fn sources(&self, names: &[(&str, u8)], overflow: &str) {
        for (name, number) in names {
            let address = Ipv4Addr::new(127, 0, 85, *number);
            self.ask(Method::POST, "/sources", json!({"name": name, "address": address})).await;
        }
        self.ask(Method::PATCH, "/sources/default", json!({"enabled": false})).await;
        let plan = json!({"days": DAYS, "overflow": overflow});
        let shown = self.ask(Method::PUT, "/warm-ups/cold/google", plan).await;
        assert_eq!((&shown["allowed_today"], &shown["sent_today"]), (&json!(DAYS[0]), &json!(0)), "{shown}");
        // The engine follows within a second.
        tokio::time::sleep(QUIET).await;
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let answer = self.server.request(method, path).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap_or_default()
    }

    /// Analyses and confirms; answers the delivery and the day (of UTC) that was shown as its last.
    async fn confirmed(&self) -> (String, String) {
        let more = "[parameters]\nvalidity = \"10d\"\n";
        let id = self.server.push("warm", &toml("warm", "people", more), HTML).await;
        let analysis = self.server.analyze(&id).await;
        assert_eq!(analysis["to_deliver"], COUNT, "{analysis}");
        let end = analysis["predicted_end"].as_str().unwrap_or_else(|| panic!("{analysis}")).to_owned();
        self.server.confirm(&id).await;
        (id, end[..10].to_owned())
    }

    /// Messages of the delivery that arrived, once as many did; and after a while in which more could have come, no more.
    async fn exactly(&self, count: u64) {
        let end = Instant::now() + stories::WAIT;
        while self.internet.log().accepted() < self.before + count {
            let accepted = self.internet.log().accepted() - self.before;
            assert!(Instant::now() < end, "{accepted} of {count}\n{}", self.server.stderr());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(QUIET).await;
        assert_eq!(self.internet.log().accepted() - self.before, count, "to the message");
    }

    async fn next_day(&self) {
        self.server.turn_to(self.server.now_us() + DAY_US);
    }

    /// The recipients by the day on which they were sent to and the source, as the log has it.
    async fn days(&self, id: &str) -> BTreeMap<(String, String), BTreeSet<String>> {
        let rows = self.server.cli(&["delivery", "log", id]).await.done();
        let mut days: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
        for row in rows.as_array().unwrap() {
            assert_eq!((&row["state"], &row["attempts"]), (&json!("sent"), &json!(1)), "{row}");
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            days.entry((text("last_try")[..10].to_owned(), text("source")))
                .or_default()
                .insert(text("recipient"));
        }
        days
    }

    async fn judged(&self, id: &str) {
        let rows = self.server.log(id).await;
        let ids: BTreeSet<String> = rows.values().map(|row| format!("<{}>", row.message_id)).collect();
        let mut events = self.internet.log().events();
        events.retain(|event| event.message_id.is_empty() || ids.contains(&event.message_id));
        let verdict = judge(&events, &rows, &self.targets, &[]);
        assert_eq!((verdict.duplicates, verdict.arrived), (0, COUNT));
        self.server.verify(id).await;
    }
}

/// What is beyond a day's allowance waits for the next, also over a restart; those who read are first.
async fn waiting(database: Database) {
    let mut scene = Scene::start(database).await;
    let readers: Vec<String> = [17, 23, 31, 38].map(|n| format!("r{n}@{DOMAIN}")).to_vec();
    scene.read_by(&readers.iter().map(String::as_str).collect::<Vec<_>>()).await;
    scene.sources(&[("cold", 101)], "wait").await;
    let (id, shown) = scene.confirmed().await;
    let mut gone = 0;
    for allowed in DAYS {
        gone += allowed;
        scene.exactly(gone).await;
        let plan = scene.ask(Method::GET, "/warm-ups/cold/google", Value::Null).await;
        assert_eq!(plan["allowed_today"], allowed, "{plan}");
        if gone == DAYS[0] {
            // A restart is no new day.
            assert_eq!(scene.server.terminate().await, Some(0));
            scene.server.run().await;
            scene.exactly(gone).await;
        }
        scene.next_day().await;
    }
    scene.server.wait_for(&id, &["finished"], stories::WAIT).await;
    let days = scene.days(&id).await;
    let counts: Vec<u64> = days.values().map(|people| people.len() as u64).collect();
    assert_eq!(counts, [DAYS[0], DAYS[1], DAYS[2], COUNT as u64 - gone], "{days:?}");
    let first = days.values().next().unwrap();
    assert!(readers.iter().all(|reader| first.contains(reader)), "{readers:?} are not all among {first:?}");
    let last = &days.keys().next_back().unwrap().0;
    assert_eq!(*last, shown, "the end that was shown before Confirm");
    scene.judged(&id).await;
}

/// With a warm source in the pool nothing waits: the cold one sends what its day allows, the warm one the rest.
async fn overflowing(database: Database) {
    let mut scene = Scene::start(database).await;
    scene.read_by(&[]).await;
    scene.sources(&[("cold", 101), ("warm", 102)], "warm").await;
    let (id, shown) = scene.confirmed().await;
    scene.server.wait_for(&id, &["finished"], stories::WAIT).await;
    let days = scene.days(&id).await;
    let counts: Vec<(String, String, usize)> =
        days.into_iter().map(|((day, source), people)| (day, source, people.len())).collect();
    assert!(counts.iter().all(|(day, _, _)| *day == shown), "{counts:?}, and {shown} was shown");
    let cold = counts.iter().find(|(_, source, _)| source == "cold").map_or(0, |(_, _, count)| *count);
    let warm = counts.iter().find(|(_, source, _)| source == "warm").map_or(0, |(_, _, count)| *count);
    assert_eq!(cold + warm, COUNT, "{counts:?}");
    assert!(cold as u64 <= DAYS[0], "{counts:?}");
    scene.judged(&id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_of_a_warm_up_on_sqlite() {
    waiting(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_of_a_warm_up_on_postgres() {
    waiting(Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overflow_of_a_warm_up_goes_by_the_warm_source() {
    overflowing(Database::Sqlite).await;
}
