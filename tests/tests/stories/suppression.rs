//! Who asks for no more mail gets none, whenever that is: while a delivery waits for its confirmation, across a restart, and
//! while a rate holds its messages back.

use std::net::Ipv4Addr;

use reqwest::Method;
use serde_json::{Value, json};
use stories::campaign::{HTML, addresses, toml};
use stories::{Database, Server, ServerOptions};
use testkit::{Behaviour, Internet, InternetOptions, Place, World};

const DOMAINS: [&str; 2] = ["west.example", "east.example"];
/// Slow enough that whoever is last in line can change his mind.
const SLOW: &str = "[unknown]\nconnections = 1\nmessages_per_connection = 100\nmessage_rates = [\"1/s\"]\n";

async fn start(database: Database, shaping: Option<&str>) -> (Internet, Server) {
    let places = DOMAINS.iter().zip(1u8..).map(|(domain, n)| {
        let behaviour = Behaviour::accepting(domain.trim_end_matches(".example"), &format!("mx.{domain}"));
        let host = behaviour.host.clone();
        Place::new(behaviour, Ipv4Addr::new(127, 0, 69, n)).domain(domain, &[&host])
    });
    let world = World { places: places.collect() };
    let internet = Internet::start(&world, InternetOptions::default()).await.unwrap();
    let options = ServerOptions {
        config: internet.settings(),
        shaping: shaping.map(str::to_owned),
        ..ServerOptions::default()
    };
    (internet, Server::start(database, options).await)
}

async fn ask(server: &Server, method: Method, path: &str, body: Value) -> Value {
    let answer = server.request(method, path).json(&body).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    answer.json().await.unwrap_or_default()
}

/// Waits for the end: these got nothing and count as cancelled, the others got their mail.
async fn ended_without(internet: &Internet, server: &Server, id: &str, without: &[&str], all: i64) {
    let status = server.wait_for(id, &["finished"], stories::WAIT).await;
    let none = without.len() as i64;
    assert_eq!(status["messages"]["cancelled"], none, "{status}");
    assert_eq!(status["messages"]["sent"], all - none, "{status}");
    let log = server.log(id).await;
    for address in without {
        assert_eq!(internet.mailboxes().of(address).len(), 0, "{address}");
        let row = &log[*address];
        assert_eq!((row.state.as_str(), row.reason.as_str()), ("cancelled", "suppressed"), "{row:?}");
    }
    server.verify(id).await;
}

/// Analysed, then unsubscribed, another delivery comes and goes, a restart, and only then the confirmation.
async fn between_analysis_and_confirmation(database: Database) {
    let (internet, mut server) = start(database, None).await;
    let people = addresses(20, &DOMAINS);
    server.import("news", &people).await;
    let waiting = server.push("waiting", &toml("waiting", "news", ""), HTML).await;
    assert_eq!(server.analyze(&waiting).await["to_deliver"], 20);

    let none = json!({});
    ask(&server, Method::PATCH, "/recipients/r0@west.example", json!({"denylisted": true})).await;
    ask(&server, Method::DELETE, "/recipients/r1@east.example", none).await;
    let values = json!({"values": ["r2@west.example"]});
    ask(&server, Method::POST, "/suppression", values).await;

    let others: Vec<String> = (0..4).map(|n| format!("other{n}@{}", DOMAINS[0])).collect();
    let other = server.campaign("other", &others, "").await;
    server.wait_for(&other, &["finished"], stories::WAIT).await;
    ask(&server, Method::PATCH, "/recipients/r4@west.example", json!({"denylisted": true})).await;
    server.terminate().await;
    server.run().await;

    server.confirm(&waiting).await;
    let without = ["r0@west.example", "r1@east.example", "r2@west.example", "r4@west.example"];
    ended_without(&internet, &server, &waiting, &without, 20).await;
}

/// A subscription that ends while messages wait for the receiver's rate.
async fn while_a_rate_holds_messages_back(database: Database) {
    let (internet, server) = start(database, Some(SLOW)).await;
    let people = addresses(20, &DOMAINS);
    server.import("all", &people).await;
    let weekly = ask(&server, Method::POST, "/services", json!({"name": "weekly"})).await;
    let service = format!("/services/{}", weekly["id"].as_str().unwrap());
    ask(&server, Method::POST, &format!("{service}/subscribe"), json!({"recipients": people})).await;
    let other = ask(&server, Method::POST, "/services", json!({"name": "daily"})).await;
    let other = format!("/services/{}", other["id"].as_str().unwrap());
    ask(&server, Method::POST, &format!("{other}/subscribe"), json!({"recipients": people})).await;

    let target = toml("weekly", "all", "").replace("{ list = \"all\" }", "{ service = \"weekly\" }");
    let id = server.push("weekly", &target, HTML).await;
    assert_eq!(server.analyze(&id).await["to_deliver"], 20);
    server.confirm(&id).await;
    let leave = ["r17@east.example", "r18@west.example", "r19@east.example"];
    ask(&server, Method::POST, &format!("{service}/unsubscribe"), json!({"recipients": leave})).await;
    let stay = json!({"recipients": ["r15@east.example", "r16@west.example"]});
    ask(&server, Method::POST, &format!("{other}/unsubscribe"), stay).await;
    ended_without(&internet, &server, &id, &leave, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_unsubscribes_before_the_confirmation_gets_nothing_on_sqlite() {
    between_analysis_and_confirmation(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_unsubscribes_before_the_confirmation_gets_nothing_on_postgres() {
    between_analysis_and_confirmation(Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_service_gets_nothing_that_waits() {
    while_a_rate_holds_messages_back(Database::Sqlite).await;
}
