//! An A/B test to its end: samples arrive, people follow links in one of them, the program chooses, and the rest arrives
//! as the winner, with the winner's links and page.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use mail_parser::MessageParser;
use reqwest::{Client, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use stories::campaign::{addresses, toml};
use stories::{Database, Server, ServerOptions};
use testkit::{Behaviour, Internet, InternetOptions, Place, World};

const PEOPLE: usize = 40;
/// From the start to the choice. The clock is set forward once the samples are read.
const AFTER: &str = "1h";
const AFTER_US: i64 = 3_600_000_000;
const TEST: &str = r#"
[ab]
sample = "50%"
winner = "clicks"
after = "AFTER"

[[ab.variants]]
subject = "Only today, {{ first_name }}"
html = '''<html><body><h1>Today</h1> <a href="https://shop.example/b">Go</a>
<a href="{{ mirror_url }}">Web</a> <a href="{{ unsubscribe_url }}">Unsubscribe</a></body></html>'''
"#;
const HTML: &str = "<html><body><h1>News</h1> <a href=\"https://shop.example/a\">Go</a>\n\
    <a href=\"{{ mirror_url }}\">Web</a> <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a></body></html>";
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

async fn internet() -> Internet {
    let quick = Behaviour::accepting("quick", "mx.quick.example");
    let place =
        Place::new(quick, Ipv4Addr::new(127, 0, 66, 1)).domain("quick.example", &["mx.quick.example"]);
    Internet::start(&World { places: vec![place] }, InternetOptions::default()).await.unwrap()
}

struct Got {
    to: String,
    subject: String,
    html: String,
}

/// What has arrived, once it is so much.
async fn arrived(internet: &Internet, count: usize, server: &Server) -> Vec<Got> {
    let end = Instant::now() + stories::WAIT;
    loop {
        let mut got = Vec::new();
        for to in addresses(PEOPLE, &["quick.example"]) {
            for mail in internet.mailboxes().of(&to) {
                let message = MessageParser::default().parse(&*mail.octets).unwrap();
                let subject = message.subject().unwrap().to_owned();
                got.push(Got { to: to.clone(), subject, html: message.body_html(0).unwrap().into_owned() });
            }
        }
        if got.len() >= count {
            return got;
        }
        assert!(Instant::now() < end, "{} of {count}\n{}", got.len(), server.stderr());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn url(html: &str, path: &str) -> String {
    let found = html.split('"').find(|text| text.starts_with("http://") && text.contains(path));
    found.unwrap_or_else(|| panic!("no {path} in {html}")).replace("&amp;", "&")
}

/// Follows the link of a message; where it leads.
async fn follow(client: &Client, html: &str) -> String {
    let answer = client.get(url(html, "/l/")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::FOUND);
    answer.headers()["location"].to_str().unwrap().to_owned()
}

async fn test_of(server: &Server, id: &str) -> Value {
    let asked = server.request(reqwest::Method::GET, &format!("/deliveries/{id}/ab"));
    asked.send().await.unwrap().json().await.unwrap()
}

/// What is known of the test, once so many have followed links of each variant.
async fn clicked(server: &Server, id: &str, counts: [u64; 2]) -> Value {
    let end = Instant::now() + stories::WAIT;
    loop {
        let test = test_of(server, id).await;
        let variants = test["variants"].as_array().unwrap().iter();
        if variants.map(|variant| variant["clicked"].as_u64().unwrap()).eq(counts) {
            return test;
        }
        assert!(Instant::now() < end, "{test}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn to_the_end(database: Database) {
    let internet = internet().await;
    let options = ServerOptions { config: internet.settings(), turnable: true, ..ServerOptions::default() };
    let server = Server::start(database, options).await;
    server.import("news", &addresses(PEOPLE, &["quick.example"])).await;
    let id = server.push("news", &toml("news", "news", &TEST.replace("AFTER", AFTER)), HTML).await;
    server.analyze(&id).await;
    server.confirm(&id).await;

    let samples = arrived(&internet, PEOPLE / 2, &server).await;
    let (b, a): (Vec<&Got>, Vec<&Got>) =
        samples.iter().partition(|got| got.subject.starts_with("Only today"));
    assert_eq!((a.len(), b.len()), (10, 10));
    let client = Client::builder().redirect(Policy::none()).user_agent(BROWSER).build().unwrap();
    assert_eq!(follow(&client, &a[0].html).await, "https://shop.example/a");
    for got in &b[..3] {
        assert_eq!(follow(&client, &got.html).await, "https://shop.example/b");
    }
    let live = clicked(&server, &id, [1, 3]).await;
    assert_eq!((&live["state"], &live["rest"]), (&json!("sampling"), &json!(20)), "{live}");
    assert_eq!(internet.log().accepted(), PEOPLE as u64 / 2, "the rest waits for the choice");
    server.turn_to(server.now_us() + AFTER_US);

    let all = arrived(&internet, PEOPLE, &server).await;
    let rest: Vec<&Got> =
        all.iter().filter(|got| !samples.iter().any(|sample| sample.to == got.to)).collect();
    assert_eq!(rest.len(), 20, "each gets one message");
    for got in &rest {
        assert!(got.subject.starts_with("Only today, Name"), "{}", got.subject);
        assert!(got.html.contains("<h1>Today</h1>"), "{}", got.html);
    }
    assert_eq!(follow(&client, &rest[0].html).await, "https://shop.example/b");
    let page = client.get(url(&rest[0].html, "/m/")).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("<h1>Today</h1>"), "{page}");
    let done = server.wait_for(&id, &["finished"], stories::WAIT).await;
    assert_eq!(done["messages"]["sent"], 40, "{done}");
    let chosen = test_of(&server, &id).await;
    assert_eq!((&chosen["state"], &chosen["winner"]), (&json!("released"), &json!("B")), "{chosen}");
    server.verify(&id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_winner_of_the_samples_goes_to_everybody_else() {
    to_the_end(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_on_postgresql() {
    to_the_end(Database::Postgres).await;
}
