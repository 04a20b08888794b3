//! The archive of sent messages: every copy has the very octets that the receiver got, over SMTP and in a folder, also
//! when the archive is away for a while and when the program is killed in between.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stories::campaign::{HTML, addresses, toml};
use stories::{Database, Server, ServerOptions};
use testkit::{Behaviour, Internet, InternetOptions, Place, Stage, World};

/// The archive's address.
const VAULT: &str = "vault@archive.example";
const BCC: &str = "[parameters]\nbcc = true\n";
/// How long the archive may take to catch up.
const CATCH_UP: Duration = stories::WAIT;

fn world() -> World {
    let place = |name: &str, n: u8| {
        let mut behaviour = Behaviour::accepting(name, &format!("mx.{name}.example"));
        behaviour.pipelining = name != "plain";
        behaviour.starttls = name == "inbox";
        Place::new(behaviour, Ipv4Addr::new(127, 0, 62, n))
            .domain(&format!("{name}.example"), &[&format!("mx.{name}.example")])
    };
    World { places: vec![place("inbox", 1), place("plain", 2), place("archive", 3)] }
}

async fn start(database: Database, archive: &str) -> (Internet, Server) {
    let internet = Internet::start(&world(), InternetOptions::default()).await.unwrap();
    let config = format!("{}\n{archive}", internet.settings());
    let server = Server::start(database, ServerOptions { config, ..ServerOptions::default() }).await;
    server.cli(&["domain", "add", "shop.example"]).await.done();
    (internet, server)
}

/// Sends a delivery with copies to `count` people and as many as five who do not exist; answers its id.
async fn campaign(server: &Server, name: &str, count: usize) -> (String, Vec<String>) {
    let mut targets: Vec<String> = addresses(count, &["inbox.example", "plain.example"]);
    targets.iter_mut().for_each(|address| address.insert_str(0, name));
    let mut all = targets.clone();
    all.extend((0..5).map(|n| format!("nouser{n}{name}@inbox.example")));
    (server.campaign(name, &all, BCC).await, targets)
}

async fn archive(server: &Server) -> Value {
    server.request(reqwest::Method::GET, "/archive").send().await.unwrap().json().await.unwrap()
}

async fn until(server: &Server, what: &str, enough: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + CATCH_UP;
    loop {
        let state = archive(server).await;
        if enough(&state) {
            return state;
        }
        assert!(Instant::now() < end, "never {what}: {state}\n{}", server.stderr());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn message_id(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    let line = text.lines().find(|line| line.starts_with("Message-ID: ")).expect("a Message-ID");
    line.to_owned()
}

/// What the receivers got: octets by Message-ID.
fn received(internet: &Internet, targets: &[String]) -> BTreeMap<String, Vec<u8>> {
    let mails = targets.iter().flat_map(|address| internet.mailboxes().of(address));
    mails.map(|mail| (message_id(&mail.octets), mail.octets.to_vec())).collect()
}

/// Every copy is one of these messages with its very octets, and none of them is missing. Answers how many came twice.
fn judge(copies: &[Vec<u8>], received: &BTreeMap<String, Vec<u8>>) -> usize {
    let mut times: HashMap<String, usize> = HashMap::new();
    for copy in copies {
        let id = message_id(copy);
        let original = received.get(&id).unwrap_or_else(|| panic!("{id} was archived and not received"));
        assert!(original == copy, "{id} differs:\n{}", String::from_utf8_lossy(copy));
        *times.entry(id).or_default() += 1;
    }
    for id in received.keys() {
        assert!(times.contains_key(id), "{id} was received and not archived");
    }
    copies.len() - times.len()
}

async fn to_an_address(database: Database) {
    let config = format!("[archive]\naddress = \"{VAULT}\"\nconnections = 3\n");
    let (internet, mut server) = start(database, &config).await;
    let vault = std::sync::Arc::clone(internet.provider("archive").unwrap());
    vault.change(|behaviour| behaviour.close_at = Some(Stage::Connect));

    // The archive is away: nobody notices but the archive.
    let (id, targets) = campaign(&server, "away", 400).await;
    let status = server.wait_for(&id, &["finished"], stories::WAIT).await;
    assert_eq!(
        (&status["messages"]["sent"], &status["messages"]["failed"]),
        (&json!(400), &json!(5)),
        "{status}"
    );
    let state = until(&server, "in trouble", |state| !state["error"].is_null()).await;
    assert_eq!((&state["waiting"], &state["archived"]), (&json!(400), &json!(0)), "{state}");
    server.verify(&id).await;

    // Killed, and killed again while it catches up.
    server.kill().await;
    server.run().await;
    assert_eq!(archive(&server).await["waiting"], 400);
    vault.change(|behaviour| {
        behaviour.close_at = None;
        behaviour.dot_delay = Duration::from_millis(5);
    });
    server.cli(&["archive", "try-again"]).await.done();
    let end = Instant::now() + CATCH_UP;
    while internet.mailboxes().of(VAULT).len() < 100 {
        assert!(Instant::now() < end, "it never began to catch up: {}", archive(&server).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.kill().await;
    server.run().await;
    let state = until(&server, "empty", |state| state["waiting"] == 0).await;
    assert_eq!((&state["archived"], &state["held"]), (&json!(400), &json!(0)), "{state}");

    let mails = internet.mailboxes().of(VAULT);
    assert!(mails.iter().all(|mail| mail.sender.is_empty()), "no bounce of a copy can come back");
    let copies: Vec<Vec<u8>> = mails.iter().map(|mail| mail.octets.to_vec()).collect();
    let twice = judge(&copies, &received(&internet, &targets));
    // What each of three connections had under way, and what one commit held.
    assert!(twice <= 103, "{twice} copies came twice after one kill");
    assert!(String::from_utf8_lossy(&copies[0]).contains("DKIM-Signature:"), "signed as it was sent");
    println!("{database:?}: {} copies, {twice} twice after a kill", copies.len());
    server.verify(&id).await;
    let of_delivery = server.request(reqwest::Method::GET, &format!("/deliveries/{id}/copies"));
    let of_delivery: Value = of_delivery.send().await.unwrap().json().await.unwrap();
    assert_eq!(of_delivery, json!({"waiting": 0, "held": 0, "archived": 400}));
}

fn eml_files(folder: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.extension().and_then(|ending| ending.to_str()) {
            _ if path.is_dir() => eml_files(&path, found),
            Some("eml") => found.push(std::fs::read(&path).unwrap()),
            Some("zip") => {
                let mut zip = zip::ZipArchive::new(File::open(&path).unwrap()).unwrap();
                for at in 0..zip.len() {
                    let mut bytes = Vec::new();
                    zip.by_index(at).unwrap().read_to_end(&mut bytes).unwrap();
                    found.push(bytes);
                }
            }
            _ => {}
        }
    }
}

async fn to_a_folder(database: Database, compress: &str) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("copies");
    let config = format!(
        "[archive]\nfolder = \"{}\"\ncompress = \"{compress}\"\nbatch = 60\nwait = \"1s\"\n",
        folder.display()
    );
    let (internet, mut server) = start(database, &config).await;
    internet.provider("plain").unwrap().change(|b| b.reply_delay = Duration::from_millis(3));
    let (id, targets) = campaign(&server, "folder", 500).await;
    for _ in 0..3 {
        let before = archive(&server).await["archived"].as_i64().unwrap_or(0);
        until(&server, "archiving", |state| {
            state["archived"].as_i64() > Some(before) || state["waiting"] == 0 && before > 0
        })
        .await;
        server.kill().await;
        server.run().await;
    }
    let status = server.wait_for(&id, &["finished"], stories::WAIT).await;
    assert_eq!(status["messages"]["sent"], 500, "{status}");
    until(&server, "empty", |state| state["waiting"] == 0 && state["archived"] == 500).await;
    let mut copies = Vec::new();
    eml_files(&folder, &mut copies);
    assert_eq!(judge(&copies, &received(&internet, &targets)), 0, "in a folder no copy is twice");
    let path = folder.to_string_lossy();
    let report = server.cli(&["archive", "verify", &path]).await.done();
    assert_eq!((&report["copies"], &report["findings"]), (&json!(500), &json!([])), "{report}");
    server.verify(&id).await;
}

async fn not_configured(database: Database) {
    let (_internet, server) = start(database, "").await;
    server.import("none", &["someone@inbox.example"]).await;
    let id = server.push("none", &toml("none", "none", BCC), HTML).await;
    let analysis = server.cli(&["delivery", "analyze", &id, "--wait"]).await;
    assert_ne!(analysis.status, 0, "{}", analysis.stdout);
    assert!(analysis.stdout.contains("Set archive.address or archive.folder"), "{}", analysis.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_over_smtp_on_sqlite() {
    to_an_address(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_over_smtp_on_postgres() {
    to_an_address(Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_in_a_folder_on_sqlite() {
    to_a_folder(Database::Sqlite, "none").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_in_zips_on_postgres() {
    to_a_folder(Database::Postgres, "zip").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_with_copies_needs_an_archive() {
    not_configured(Database::Sqlite).await;
}
