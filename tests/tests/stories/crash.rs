//! kill -9 at random moments of analysis, confirm, sending and settling: nothing lost, and nothing twice but what was
//! between its final dot and the commit of its 250. The receivers' time-stamped log decides.

use std::net::Ipv4Addr;
use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use stories::campaign::{HTML, addresses, toml};
use stories::judge::{Kill, judge};
use stories::{Database, Server, ServerOptions, soak};
use testkit::{Behaviour, Internet, InternetOptions, Place, World};

/// Kills of one delivery: one in the analysis, one around Confirm, the rest while it is sent and settled.
const KILLS_PER_DELIVERY: usize = 5;
const DOMAINS: [&str; 6] =
    ["swift.example", "swift.example", "slow.example", "grey.example", "gone.example", "cut.example"];

fn world() -> World {
    let mut places = Vec::new();
    for (number, name) in ["swift", "slow", "grey", "gone", "cut"].into_iter().enumerate() {
        let host = format!("mx.{name}.example");
        let mut behaviour = Behaviour::accepting(name, &host);
        match name {
            // Many messages are past their dot and not yet answered at any moment.
            "slow" => behaviour.dot_delay = Duration::from_millis(60),
            "grey" => behaviour.greylist = Some(Duration::from_secs(3600)),
            "gone" => behaviour.bounce.permille = 200,
            "cut" => behaviour.cut_permille = 20,
            _ => behaviour.reply_delay = Duration::from_millis(1),
        }
        behaviour.starttls = name != "swift";
        behaviour.pipelining = name != "gone";
        let address = Ipv4Addr::new(127, 0, 60, number as u8 + 1);
        places.push(Place::new(behaviour, address).domain(&format!("{name}.example"), &[&host]));
    }
    World { places }
}

struct Story {
    server: Server,
    internet: Internet,
    rng: StdRng,
    kills: Vec<Kill>,
}

impl Story {
    async fn wait(&mut self, most_ms: u64) {
        let ms = self.rng.random_range(0..=most_ms);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    async fn kill(&mut self) {
        let kill = self.server.kill().await;
        self.kills.push(kill);
        self.server.run().await;
    }

    async fn state(&self, id: &str) -> String {
        self.server.status(id).await["state"].as_str().unwrap_or_default().to_owned()
    }

    /// One delivery through `kills` kills, and its judgement.
    async fn delivery(&mut self, name: &str, targets: &[String], kills: usize) {
        let more = "[parameters]\nretry_period = \"60s\"\n";
        let id = self.server.push(name, &toml(name, name, more), HTML).await;
        self.kill_while_analysed(&id).await;
        let analysis = self.server.analyze(&id).await;
        assert_eq!(analysis["to_deliver"].as_u64(), Some(targets.len() as u64), "{analysis}");
        if kills > 1 {
            self.kill_while_confirmed(&id).await;
        }
        if self.state(&id).await == "ready" {
            self.server.confirm(&id).await;
        }
        for _ in 2..kills {
            self.wait(900).await;
            self.kill().await;
        }
        let status = self.server.wait_until_tried(&id, stories::WAIT).await;
        self.server.verify(&id).await;
        let rows = self.server.log(&id).await;
        let verdict = judge(&self.internet.log().events(), &rows, targets, &self.kills);
        println!(
            "{name}: {kills} kills, {} messages arrived, {} twice ({:?} by kill, answered {} ms before at most); {}",
            verdict.arrived, verdict.duplicates, verdict.by_kill, verdict.oldest_ms, status["messages"]
        );
        for (state, name) in [("sent", "sent"), ("failed", "failed"), ("pending", "pending")] {
            let counted = verdict.states.get(state).copied().unwrap_or(0) as u64;
            assert_eq!(status["messages"][name].as_u64(), Some(counted), "{status} {:?}", verdict.states);
        }
        assert!(verdict.states.get("failed").is_some_and(|count| *count > 0), "some addresses bounce");
        assert_eq!(self.internet.log().dropped(), 0, "the judge saw everything");
    }

    async fn kill_while_analysed(&mut self, id: &str) {
        let path = format!("/deliveries/{id}/analysis");
        let started = self.server.request(reqwest::Method::POST, &path).json(&serde_json::json!({})).send();
        assert!(started.await.unwrap().status().is_success());
        self.wait(400).await;
        self.kill().await;
        // What the kill interrupted began again by itself; its verdict is not that of half a target.
        for _ in 0..1_800 {
            if self.state(id).await != "analysing" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let state = self.state(id).await;
        assert!(matches!(state.as_str(), "draft" | "ready"), "{state}");
    }

    /// The kill comes before, while or after Confirm is answered. What was answered must hold.
    async fn kill_while_confirmed(&mut self, id: &str) {
        let request = self.server.request(reqwest::Method::POST, &format!("/deliveries/{id}/confirm"));
        let answer = tokio::spawn(request.json(&serde_json::json!({})).send());
        self.wait(60).await;
        self.kill().await;
        let confirmed = answer.await.unwrap().is_ok_and(|answer| answer.status().is_success());
        let state = self.state(id).await;
        assert!(!confirmed || state != "ready", "Confirm was answered, and forgotten");
    }
}

async fn story(database: Database, recipients: usize, kills: usize) {
    let seed = std::env::var("MAILWRIGHT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_126);
    println!("seed {seed}");
    let options = InternetOptions { forget_mail: true, ..InternetOptions::default() };
    let internet = Internet::start(&world(), options).await.unwrap();
    let options = ServerOptions { config: internet.settings(), ..ServerOptions::default() };
    let server = Server::start(database, options).await;
    server.cli(&["domain", "add", "shop.example"]).await.done();
    let targets = addresses(recipients, &DOMAINS);
    let mut story = Story { server, internet, rng: StdRng::seed_from_u64(seed), kills: Vec::new() };
    let mut left = kills;
    let mut number = 0;
    while left > 0 {
        number += 1;
        let now = left.min(KILLS_PER_DELIVERY);
        let name = format!("crash{number}");
        // Addresses that bounced are in quarantine by now: each delivery has its own.
        let own: Vec<String> = targets.iter().map(|address| format!("{name}{address}")).collect();
        story.server.import(&name, &own).await;
        story.delivery(&name, &own, now).await;
        left -= now;
    }
    assert_eq!(story.kills.len(), kills);
}

/// A kill in the middle of an import: what is done again afterwards is complete, with each address once.
async fn killed_import(database: Database, rows: usize, kills: u64) {
    let mut server = Server::start(database, ServerOptions::default()).await;
    let mut csv = String::from("email,first_name\n");
    (0..rows).for_each(|n| csv.push_str(&format!("i{n}@tail1.example,Name {n}\n")));
    let file = server.write("import.csv", &csv);
    for kill in 0..kills {
        let request = server.request(reqwest::Method::POST, "/imports?list=killed&file=import.csv");
        assert!(request.body(csv.clone()).send().await.unwrap().status().is_success());
        tokio::time::sleep(Duration::from_millis(40 + 130 * kill)).await;
        server.kill().await;
        server.run().await;
        let imports = server.request(reqwest::Method::GET, "/imports").send().await.unwrap();
        let imports: serde_json::Value = imports.json().await.unwrap();
        let running = imports.to_string().contains("\"running\"");
        assert!(!running, "an import that a kill ended is not shown as running: {imports}");
    }
    let done = server.cli(&["import", &file.to_string_lossy(), "--list", "killed"]).await.done();
    let count = |name: &str| done[name].as_u64().unwrap();
    println!("import killed {kills} times, then {done}");
    assert_eq!(count("created") + count("unchanged"), rows as u64, "{done}");
    let again = server.cli(&["import", &file.to_string_lossy(), "--list", "killed"]).await.done();
    assert_eq!(again["unchanged"].as_u64(), Some(rows as u64), "{again}");
    let id = server.push("killed", &toml("killed", "killed", ""), HTML).await;
    let analysis = server.analyze(&id).await;
    assert_eq!(analysis["to_deliver"].as_u64(), Some(rows as u64), "all are members: {analysis}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_imports_on_sqlite() {
    killed_import(Database::Sqlite, 12_000, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_imports_on_postgres() {
    killed_import(Database::Postgres, 12_000, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_kills_on_sqlite() {
    story(Database::Sqlite, 3_000, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_kills_on_postgres() {
    story(Database::Postgres, 3_000, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_twenty_kills_on_sqlite() {
    if soak() {
        story(Database::Sqlite, 8_000, 20).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_twenty_kills_on_postgres() {
    if soak() {
        story(Database::Postgres, 8_000, 20).await;
    }
}
