//! From a CSV file to mail in the receivers' mailboxes, with nothing but the command line.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use mail_parser::MessageParser;
use stories::{Database, Server, ServerOptions};
use testkit::{Internet, InternetOptions, World};

const CSV: &str = "email,first_name,language,loyalty_tier\n\
    ann@gmail.com,Ann,en,gold\n\
    bob@yahoo.com,Bob,en,\n\
    a..b@docomo.ne.jp,太郎,ja,gold\n\
    Carol@Tail1.EXAMPLE,Carol,en,silver\n\
    nouser1@tail2.example,Nobody,en,\n\
    not an address,X,en,\n\
    ann@GMAIL.com,Again,en,\n";

const TOML: &str = r#"label = "October newsletter"
subject = "{{ first_name | default('Hello') }}, news from us"
preheader = "What is new"

[sender]
name = "Example Shop"
address = "news@shop.example"

[target]
include = [{ list = "newsletter" }]
"#;

const HTML: &str = "<!doctype html><html><body><h1>Dear {{ first_name }}</h1>\
    {% if loyalty_tier == 'gold' %}<p>You are gold.</p>{% endif %}\
    <p><a href=\"https://shop.example/\">Shop</a> <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a></p></body></html>\n";

async fn story(database: Database) {
    let internet = Internet::start(&World::demo(), InternetOptions::default()).await.unwrap();
    let server =
        Server::start(database, ServerOptions { config: internet.settings(), ..ServerOptions::default() })
            .await;
    assert!(server.password.is_some(), "the first start prints a one-time password");

    let csv = server.write("people.csv", CSV);
    let rejects = server.path("rejects.csv");
    let import = server
        .cli(&[
            "import",
            &csv.to_string_lossy(),
            "--list",
            "newsletter",
            "--rejects",
            &rejects.to_string_lossy(),
        ])
        .await
        .done();
    assert_eq!((&import["rows"], &import["created"], &import["rejected"]), (&7.into(), &5.into(), &2.into()));
    let report = std::fs::read_to_string(&rejects).unwrap();
    assert!(report.contains("duplicate of line 2"), "{report}");
    let again = server.cli(&["import", &csv.to_string_lossy(), "--list", "newsletter"]).await.done();
    assert_eq!((&again["unchanged"], &again["rejected"]), (&5.into(), &2.into()));

    let domain = server.cli(&["domain", "add", "shop.example"]).await.done();
    for record in domain["records"].as_array().unwrap() {
        let text = |key: &str| record[key].as_str().unwrap().to_owned();
        assert!(internet.publish(&text("name"), &text("type"), &text("value")), "{record}");
    }

    server.write("october/delivery.toml", TOML);
    server.write("october/content.html", HTML);
    let folder = server.path("october");
    let pushed = server.cli(&["delivery", "push", &folder.to_string_lossy()]).await.done();
    let id = pushed["id"].as_str().unwrap().to_owned();
    assert_eq!(pushed["state"], "draft");

    let preview =
        server.cli(&["delivery", "preview", &id, "--recipient", "ann@gmail.com", "--part", "html"]).await;
    assert!(preview.stdout.contains("Dear Ann"), "{}", preview.stdout);
    proof(&server, &internet, &id).await;

    let analysis = server.cli(&["delivery", "analyze", &id, "--wait"]).await.done();
    assert_eq!((&analysis["target"], &analysis["to_deliver"]), (&5.into(), &5.into()));
    let hash = analysis["snapshot"].as_str().unwrap();
    let unsure = server.cli(&["delivery", "confirm", &id]).await;
    assert_ne!(unsure.status, 0, "confirm wants --yes");
    server.cli(&["delivery", "confirm", &id, "--yes", "--snapshot", hash]).await.done();
    let status = server.wait_for(&id, &["retrying", "finished"], stories::WAIT).await;
    assert_eq!(status["messages"]["failed"], 1);
    check_log(&server, &id).await;
    check_mail(&server, &internet, &id).await;
    let verified = server.cli(&["verify", &id]).await;
    assert_eq!(verified.status, 0, "{}", verified.stdout);
    unsubscribe(&server, &internet, &id).await;
}

async fn proof(server: &Server, internet: &Internet, id: &str) {
    let proof = server
        .cli(&["delivery", "proof", id, "--to", "boss@tail3.example", "--as", "a..b@docomo.ne.jp", "--wait"])
        .await
        .done();
    let mail = wait_for_mail(internet, "boss@tail3.example").await;
    let message = MessageParser::default().parse(&*mail).unwrap();
    assert_eq!(message.subject(), Some("Proof #1: 太郎, news from us"));
    assert_ne!(proof["id"].as_str(), Some(id));
    let link = unsubscribe_link(&mail);
    let post = reqwest::Client::new().post(&link).body("List-Unsubscribe=One-Click");
    let post = post.header("Content-Type", "application/x-www-form-urlencoded").send().await.unwrap();
    assert!(post.status().is_success(), "{}", post.status());
    let outcome = server.cli(&["delivery", "analyze", id, "--wait"]).await.done();
    assert_eq!(
        outcome["excluded"].as_object().map(serde_json::Map::len),
        Some(0),
        "a proof's link acts on nobody"
    );
}

async fn wait_for_mail(internet: &Internet, recipient: &str) -> Vec<u8> {
    for _ in 0..1_800 {
        if let Some(mail) = internet.mailboxes().of(recipient).first() {
            return mail.octets.to_vec();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no mail for {recipient}");
}

fn unsubscribe_link(mail: &[u8]) -> String {
    let message = MessageParser::default().parse(mail).unwrap();
    let header = message.header_raw("List-Unsubscribe").unwrap().to_owned();
    assert_eq!(
        message.header_raw("List-Unsubscribe-Post").map(str::trim),
        Some("List-Unsubscribe=One-Click")
    );
    let start = header.find("<http").unwrap();
    header[start + 1..].split('>').next().unwrap().split_whitespace().collect()
}

async fn check_log(server: &Server, id: &str) {
    let log = server.cli_plain(&["delivery", "log", id, "--format", "csv"]).await;
    let mut lines = log.stdout.lines();
    assert_eq!(
        lines.next(),
        Some("recipient,state,attempts,first_try,last_try,reply,reason,message_id"),
        "{}",
        log.stdout
    );
    let rows: BTreeMap<String, Vec<String>> = lines
        .map(|line| line.split(',').map(|cell| cell.trim_matches('"').to_owned()).collect::<Vec<_>>())
        .map(|cells| (cells[0].clone(), cells))
        .collect();
    assert_eq!(rows.len(), 5);
    assert_eq!(rows["nouser1@tail2.example"][1], "failed");
    assert_eq!(rows["ann@gmail.com"][1], "sent");
}

async fn check_mail(server: &Server, internet: &Internet, id: &str) {
    let ann = wait_for_mail(internet, "ann@gmail.com").await;
    let message = MessageParser::default().parse(&*ann).unwrap();
    assert_eq!(message.subject(), Some("Ann, news from us"));
    assert!(message.body_html(0).unwrap().contains("You are gold."));
    assert!(message.body_text(0).unwrap().contains("Dear Ann"));
    let source = server.cli(&["delivery", "source", id, "ann@gmail.com"]).await;
    let shown = STANDARD.decode(source.done()["source_base64"].as_str().unwrap()).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&shown),
        String::from_utf8_lossy(&ann),
        "the source shown is what was sent"
    );
    let quoted = internet.mailboxes().list("docomo", None, 10);
    assert!(
        quoted.iter().any(|mail| mail.recipient.contains("a..b")),
        "the carrier's old address was sent to"
    );
}

async fn unsubscribe(server: &Server, internet: &Internet, id: &str) {
    let link = unsubscribe_link(&wait_for_mail(internet, "ann@gmail.com").await);
    let client = reqwest::Client::new();
    let page = client.get(&link).send().await.unwrap();
    assert!(page.status().is_success());
    let before = server.cli(&["delivery", "analyze", id, "--wait"]).await;
    assert_ne!(before.status, 0, "a confirmed delivery is not analysed again");
    for _ in 0..2 {
        let post = client.post(&link).header("Content-Type", "application/x-www-form-urlencoded");
        assert!(post.body("List-Unsubscribe=One-Click").send().await.unwrap().status().is_success());
    }
    server.write("november/delivery.toml", TOML.replace("October", "November"));
    server.write("november/content.html", HTML);
    let folder = server.path("november");
    let pushed = server.cli(&["delivery", "push", &folder.to_string_lossy()]).await.done();
    let next = pushed["id"].as_str().unwrap();
    let analysis = server.cli(&["delivery", "analyze", next, "--wait"]).await.done();
    assert_eq!(analysis["excluded"]["denylisted"], 1, "{analysis}");
    assert_eq!(analysis["excluded"]["quarantined"], 1, "{analysis}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_steps_on_sqlite() {
    story(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_steps_on_postgres() {
    story(Database::Postgres).await;
}
