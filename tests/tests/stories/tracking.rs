//! A recipient opens the message, follows every link and looks at the mirror page, also while the database is away; all
//! of it is there afterwards, once.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use mail_parser::MessageParser;
use reqwest::{Client, Response, StatusCode, redirect::Policy};
use store::{Options, Store, Tx};
use stories::campaign::toml;
use stories::{Server, ServerOptions};
use testkit::{Behaviour, Internet, InternetOptions, Place, World};

const HTML: &str = "<!doctype html><html><body><h1>Dear {{ first_name }}</h1>\
    <p><a href=\"https://shop.example/autumn?a=1&amp;b=2\">Autumn</a> \
    <a href=\"https://shop.example/for?who={{ first_name }}&amp;n=1\">For you</a> \
    <a href=\"https://shop.example/terms\" data-mailwright-track=\"off\">Terms</a></p>\
    <p><a href=\"{{ mirror_url }}\">On the web</a> <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a></p></body></html>\n";
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

async fn internet() -> Internet {
    let quick = Behaviour::accepting("quick", "mx.quick.example");
    let place =
        Place::new(quick, Ipv4Addr::new(127, 0, 64, 1)).domain("quick.example", &["mx.quick.example"]);
    Internet::start(&World { places: vec![place] }, InternetOptions::default()).await.unwrap()
}

/// The HTML that a recipient got.
async fn html_of(internet: &Internet, recipient: &str) -> String {
    for _ in 0..1_800 {
        if let Some(mail) = internet.mailboxes().of(recipient).first() {
            let message = MessageParser::default().parse(&*mail.octets).unwrap();
            return message.body_html(0).unwrap().into_owned();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no mail for {recipient}");
}

fn urls(html: &str, path: &str) -> Vec<String> {
    let quoted = html.split('"').filter(|text| text.starts_with("http://") && text.contains(path));
    quoted.map(|url| url.replace("&amp;", "&")).collect()
}

fn location(answer: &Response) -> String {
    assert_eq!(answer.status(), StatusCode::FOUND, "{}", answer.url());
    answer.headers()["location"].to_str().unwrap().to_owned()
}

/// Events in the database by kind, a person's only.
async fn events(store: &Store) -> BTreeMap<i64, i64> {
    let sql = "SELECT kind, count(*) FROM event WHERE machine = 0 GROUP BY kind";
    let read =
        move |tx: &mut Tx<'_>| tx.query(sql, &[], |row| Ok::<_, store::Error>((row.int(0)?, row.int(1)?)));
    store.read(read).await.unwrap_or_default().into_iter().collect()
}

async fn until_events(store: &Store, expected: &[(i64, i64)], server: &Server) {
    let end = Instant::now() + stories::WAIT;
    let expected: BTreeMap<i64, i64> = expected.iter().copied().collect();
    loop {
        let found = events(store).await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < end, "{found:?}, not {expected:?}\n{}", server.stderr());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

const OPEN: i64 = 1;
const CLICK: i64 = 2;
const MIRROR: i64 = 3;
const UNSUBSCRIBE: i64 = 4;

/// Opens the message, follows its links, and looks at its page.
async fn read_it(client: &Client, html: &str) {
    let links = urls(html, "/l/");
    assert_eq!(links.len(), 2, "{html}");
    assert!(html.contains("\"https://shop.example/terms\""), "a link that is not tracked stays: {html}");
    let autumn = client.get(&links[0]).send().await.unwrap();
    assert_eq!(location(&autumn), "https://shop.example/autumn?a=1&b=2");
    let for_you = client.get(&links[1]).send().await.unwrap();
    assert_eq!(location(&for_you), "https://shop.example/for?who=Name0&n=1");
    let pixel = client.get(&urls(html, "/o/")[0]).send().await.unwrap();
    assert_eq!(pixel.bytes().await.unwrap().len(), 43);
    let mirror = client.get(&urls(html, "/m/")[0]).send().await.unwrap();
    assert!(mirror.headers()["content-security-policy"].to_str().unwrap().starts_with("sandbox "));
    let page = mirror.text().await.unwrap();
    assert_eq!(page.trim_end(), html.replace("\r\n", "\n").trim_end(), "exactly the message's HTML");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_kept_also_while_the_database_is_away() {
    let database = tokio::task::spawn_blocking(store::testing::Server::start).await.unwrap();
    let internet = internet().await;
    let options = ServerOptions { config: internet.settings(), ..ServerOptions::default() };
    let url = database.database().await;
    let mut server = Server::prepare(Some(url.clone()), options);
    server.run().await;
    server.import("news", &["r0@quick.example", "r1@quick.example"]).await;
    let id = server.push("news", &toml("news", "news", ""), HTML).await;
    server.analyze(&id).await;
    server.confirm(&id).await;
    let html = html_of(&internet, "r0@quick.example").await;
    let other = html_of(&internet, "r1@quick.example").await;
    let store = Store::open(&url, Options::default()).await.unwrap();
    let client = Client::builder().redirect(Policy::none()).user_agent(BROWSER).build().unwrap();

    read_it(&client, &html).await;
    until_events(&store, &[(OPEN, 1), (CLICK, 2), (MIRROR, 1)], &server).await;

    let database = tokio::task::spawn_blocking(move || {
        database.down();
        database
    });
    let database = database.await.unwrap();
    // Nobody had clicked in this message; its links are known because it was sent.
    for link in urls(&other, "/l/") {
        let asked = Instant::now();
        let answer = client.get(&link).send().await.unwrap();
        assert!(location(&answer).starts_with("https://shop.example/"));
        // The database would be waited for for four seconds.
        assert!(asked.elapsed() < Duration::from_millis(3_500), "{:?}", asked.elapsed());
    }
    assert_eq!(client.get(&urls(&other, "/o/")[0]).send().await.unwrap().status(), StatusCode::OK);
    let mirror = client.get(&urls(&other, "/m/")[0]).send().await.unwrap();
    assert_eq!(mirror.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(mirror.headers().contains_key("retry-after"));
    // What was answered is on disk: a program that is killed now finds it again.
    server.kill().await;
    let database = tokio::task::spawn_blocking(move || {
        database.up();
        database
    });
    let database = database.await.unwrap();
    server.run().await;
    until_events(&store, &[(OPEN, 2), (CLICK, 4), (MIRROR, 1)], &server).await;

    let unsubscribe = urls(&other, "/u/").remove(0);
    let done = client.post(&unsubscribe).body("List-Unsubscribe=One-Click").send().await.unwrap();
    assert_eq!(done.status(), StatusCode::OK);
    until_events(&store, &[(OPEN, 2), (CLICK, 4), (MIRROR, 1), (UNSUBSCRIBE, 1)], &server).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(events(&store).await.values().sum::<i64>(), 8, "each exactly once");
    store.close().await;
    drop(server);
    drop(database);
}
