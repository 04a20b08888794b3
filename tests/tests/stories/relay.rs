//! Through a relay to a receiver that was not written here (aiosmtpd), judged by parsers that were not written here
//! (Python's email, dkimpy): every mail parses without a defect, both signatures verify, the HTML is the preview's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use stories::campaign::toml;
use stories::{Database, Server, ServerOptions, corpus, root};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const USER: &str = "campaigns";
const PASSWORD: &str = "s3cret+/=";

/// aiosmtpd in a process of its own. Dropping it ends it.
pub(crate) struct Receiver {
    pub(crate) folder: tempfile::TempDir,
    port: u16,
    _child: Child,
}

impl Receiver {
    async fn start() -> Receiver {
        let folder = tempfile::tempdir().unwrap();
        let port = testkit::port_to_keep();
        let mut command = Command::new("/usr/bin/python3");
        command.arg(root().join("tests/python/receive_mail.py")).arg(folder.path());
        command.args([&port.to_string(), USER, PASSWORD]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("python3 with aiosmtpd is installed (scripts/test-tools)");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("ready"));
        Receiver { folder, port, _child: child }
    }

    fn settings(&self) -> String {
        // Whatever needs it in a URL is percent-encoded, as the contract's example is one.
        let password = PASSWORD.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        format!("[mta]\nrelay = \"smtp://{USER}:{password}@127.0.0.1:{}?tls=none\"\n", self.port)
    }

    pub(crate) fn mails(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|kind| kind == "eml")).collect()
    }
}

/// Runs the checker over all mail that arrived. `expected`: the folder of the HTML that has to have arrived.
pub(crate) fn check(receiver: &Receiver, dns: &BTreeMap<String, String>, expected: Option<&Path>) {
    let table = receiver.folder.path().join("dns.json");
    std::fs::write(&table, serde_json::to_vec(dns).unwrap()).unwrap();
    let mut command = std::process::Command::new("/usr/bin/python3");
    command.arg(root().join("tests/python/check_mail.py")).arg(receiver.folder.path());
    command.arg("--dns").arg(&table).arg("--bulk");
    if let Some(expected) = expected {
        command.arg("--expected").arg(expected);
    }
    command.args(["--count", &receiver.mails().len().to_string()]);
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) async fn start(database: Database) -> (Receiver, Server, BTreeMap<String, String>) {
    let receiver = Receiver::start().await;
    let options = ServerOptions { config: receiver.settings(), ..ServerOptions::default() };
    let server = Server::start(database, options).await;
    let domain = server.cli(&["domain", "add", "shop.example"]).await.done();
    let records = domain["records"].as_array().unwrap().iter();
    let text = |record: &Value, key: &str| record[key].as_str().unwrap().trim_end_matches('.').to_owned();
    let dns = records
        .filter(|record| record["type"] == "TXT")
        .map(|record| (text(record, "name"), text(record, "value")))
        .collect();
    (receiver, server, dns)
}

/// Analyses and sends, and keeps the previews of these recipients as what has to arrive.
async fn send(server: &Server, id: &str, recipients: &[String], expected: &Path) {
    for recipient in recipients {
        let preview =
            server.cli(&["delivery", "preview", id, "--recipient", recipient, "--part", "html"]).await;
        std::fs::write(
            expected.join(format!("{recipient}.html")),
            preview.done()["content"].as_str().unwrap(),
        )
        .unwrap();
    }
    server.confirm(id).await;
    let status = server.wait_for(id, &["finished", "retrying"], stories::WAIT).await;
    assert_eq!(status["state"], "finished", "{status}\n{:?}", server.log(id).await);
    assert_eq!(status["messages"]["sent"].as_u64(), Some(recipients.len() as u64), "{status}");
    server.verify(id).await;
}

const HTML: &str = "<!doctype html>\n<html><head><meta charset=\"utf-8\"><style>p { color: #333 }</style></head><body>\n\
    <h1>Grüße, {{ first_name | default('Freund') }} – 素敵な一日を！</h1>\n\
    {% if first_name == 'Zoë' %}<p>Nur für dich.</p>{% else %}<p>Für alle.</p>{% endif %}\n\
    .a dot first\n..two dots\nFrom the shop\n\
    <p>LONG</p>\n<p><a href=\"https://shop.example/?a=1&amp;b=2\">Shop</a> <a href=\"{{ unsubscribe_url }}\">Abmelden</a></p>\n\
    </body></html>\n";

async fn story(database: Database) {
    let (receiver, server, dns) = start(database).await;
    let names = [
        "Ann",
        "Zoë",
        "太郎",
        "O'Brien & <Söhne>",
        "",
        "a very long name that goes on and on and on and on and on and on",
    ];
    let mut csv = String::from("email,first_name\n");
    for (n, name) in names.iter().enumerate() {
        csv.push_str(&format!("r{n}@any{n}.example,\"{name}\"\n"));
    }
    let file = server.write("people.csv", csv);
    server.cli(&["import", &file.to_string_lossy(), "--list", "relay"]).await.done();
    // One line of 30,000 octets without a blank: nobody may send that as it is.
    let html = HTML.replace("LONG", &"é".repeat(15_000));
    let text = toml("relay", "relay", "").replace("news from us", "Neuigkeiten – お知らせ");
    let text = text.replace("\"Example Shop\"", "\"Läden, \\\"Groß\\\" & Söhne\"");
    let id = server.push("relay", &text, &html).await;
    server.analyze(&id).await;
    let expected = tempfile::tempdir().unwrap();
    let recipients: Vec<String> = (0..names.len()).map(|n| format!("r{n}@any{n}.example")).collect();
    send(&server, &id, &recipients, expected.path()).await;
    assert_eq!(receiver.mails().len(), names.len());
    check(&receiver, &dns, Some(expected.path()));
    let sender = std::fs::read_to_string(receiver.folder.path().join("r0@any0.example.from")).unwrap();
    assert!(sender.ends_with("@bounce.shop.example"), "a signed return path: {sender}");
    wrong_password(&server, &receiver, &text).await;
}

/// A relay that does not let us in is a fault of ours: nobody's message fails.
async fn wrong_password(server: &Server, receiver: &Receiver, toml: &str) {
    let before = receiver.mails().len();
    let wrong = receiver.settings().replace(USER, "nobody");
    let value = wrong.split('"').nth(1).unwrap();
    let env = vec![("MAILWRIGHT_MTA__RELAY".to_owned(), value.to_owned())];
    let other = Server::start(Database::Sqlite, ServerOptions { env, ..ServerOptions::default() }).await;
    let _ = (server, toml);
    let id = other.campaign("refused", &["a@any.example"], "").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let rows = other.log(&id).await;
    let row = &rows["a@any.example"];
    assert_eq!((row.state.as_str(), row.attempts), ("pending", 0), "{row:?}");
    assert_eq!(receiver.mails().len(), before);
}

/// Every HTML newsletter of the corpus as it is.
async fn newsletters(database: Database) {
    let Some(corpus) = corpus() else {
        println!("skipped: no corpus");
        return;
    };
    let (receiver, server, dns) = start(database).await;
    let mut files: Vec<PathBuf> = std::fs::read_dir(corpus.join("newsletters/html"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "html"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let expected = tempfile::tempdir().unwrap();
    for (n, file) in files.iter().enumerate() {
        let html = String::from_utf8(std::fs::read(file).unwrap()).unwrap();
        let name = format!("newsletter{n}");
        let recipient = format!("{name}@any.example");
        server.import(&name, &[&recipient]).await;
        broken(&server, &name, &html).await;
        let id = server.push(&name, &toml(&name, &name, ""), &html).await;
        let analysis = server.analyze(&id).await;
        let foreign = findings(&analysis, |finding| finding["text"].as_str().unwrap_or("").contains("*|"));
        assert_eq!(foreign.len(), usize::from(html.contains("*|")), "{}: {analysis}", file.display());
        assert!(foreign.iter().all(|finding| finding["level"] == "warning"), "{foreign:?}");
        send(&server, &id, &[recipient], expected.path()).await;
    }
    check(&receiver, &dns, Some(expected.path()));
    println!("{} newsletters sent as they are", files.len());
}

fn findings(analysis: &Value, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    analysis["findings"].as_array().unwrap().iter().filter(|finding| wanted(finding)).cloned().collect()
}

/// A `{{` or `{%` that does not parse is an error at its line.
async fn broken(server: &Server, name: &str, html: &str) {
    let lines: Vec<&str> = html.lines().collect();
    let middle = lines.len() / 2;
    for wrong in
        ["{{ first_name", "{% if first_name %}", "{% nosuchtag %}", "{{ first_name | nosuchfilter }}"]
    {
        let mut lines = lines.clone();
        lines.insert(middle, wrong);
        let pushed = server.try_push(name, &toml(name, name, ""), &lines.join("\n")).await;
        let answer = if pushed.status == 0 {
            let id = pushed.json()["id"].as_str().unwrap().to_owned();
            let analysis = server.cli(&["delivery", "analyze", &id, "--wait"]).await;
            assert_eq!(analysis.status, 1, "{wrong}: {}", analysis.stdout);
            analysis.json()["findings"].clone()
        } else {
            pushed.json()["problems"].clone()
        };
        let places: Vec<i64> =
            answer.as_array().unwrap().iter().filter_map(|problem| problem["line"].as_i64()).collect();
        // What is never closed is noticed where the text ends; everything else in its own line.
        let found =
            if wrong.contains("if") { !places.is_empty() } else { places.contains(&(middle as i64 + 1)) };
        assert!(found, "{wrong} stands in line {}: {answer}", middle + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_receiver_is_content_on_sqlite() {
    story(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_receiver_is_content_on_postgres() {
    story(Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newsletters_of_the_corpus_are_sent_as_they_are() {
    newsletters(Database::Sqlite).await;
}
