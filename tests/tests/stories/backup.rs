//! A backup taken while mail goes out, restored into an empty folder and into the other database: every figure is one
//! that was true at a moment, and what was pending then goes on from there.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use stories::campaign::addresses;
use stories::{Cli, Database, Server, ServerOptions};
use testkit::{Behaviour, Internet, InternetOptions, Place, World};

const RECIPIENTS: usize = 1_500;

async fn internet() -> Internet {
    let mut quick = Behaviour::accepting("quick", "mx.quick.example");
    quick.reply_delay = Duration::from_millis(4);
    let mut gone = Behaviour::accepting("gone", "mx.gone.example");
    gone.bounce.permille = 300;
    let places = [quick, gone].into_iter().zip(1u8..).map(|(behaviour, n)| {
        let (domain, host) = (format!("{}.example", behaviour.name), behaviour.host.clone());
        Place::new(behaviour, Ipv4Addr::new(127, 0, 62, n)).domain(&domain, &[&host])
    });
    let world = World { places: places.collect() };
    Internet::start(&world, InternetOptions { forget_mail: true, ..InternetOptions::default() })
        .await
        .unwrap()
}

async fn restore(file: &std::path::Path, into: &Server) -> Cli {
    let mut arguments = vec!["restore".to_owned(), file.to_string_lossy().into_owned()];
    if let Some(url) = into.database() {
        arguments.extend(["--database".to_owned(), url.to_owned()]);
    }
    into.cli(&arguments).await
}

async fn story(from: Database, into: Database) {
    let internet = internet().await;
    let options = ServerOptions { config: internet.settings(), ..ServerOptions::default() };
    let server = Server::start(from, options.clone()).await;
    server.cli(&["domain", "add", "shop.example"]).await.done();
    let targets = addresses(RECIPIENTS, &["quick.example", "quick.example", "quick.example", "gone.example"]);
    let id = server.campaign("backup", &targets, "").await;
    let end = Instant::now() + stories::WAIT;
    while internet.log().accepted() < 100 {
        assert!(Instant::now() < end, "it is being sent");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let before = server.status(&id).await;
    let file = server.path("sending.backup");
    server.cli(&["backup", &file.to_string_lossy()]).await.done();
    // Figures are up to a quarter of a second old.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let after = server.status(&id).await;
    let again = server.cli(&["backup", &file.to_string_lossy()]).await;
    assert_ne!(again.status, 0, "a backup never overwrites");
    let whole = server.wait_for(&id, &["finished"], stories::WAIT).await;
    server.verify(&id).await;
    let source = server.cli(&["delivery", "source", &id, &targets[0]]).await.done();

    // Nothing listens at this relay: what is pending there stays as it was in the backup.
    let config = "[mta]\nrelay = \"smtp://127.0.0.1:9?tls=none\"\n".to_owned();
    let mut other = Server::prepare(into.fresh().await, ServerOptions { config, ..ServerOptions::default() });
    restore(&file, &other).await.done();
    let refused = restore(&file, &other).await;
    assert_eq!(refused.status, 1, "restored over something: {}", refused.stdout);
    other.run().await;
    let restored = other.status(&id).await;
    let sent = |status: &serde_json::Value| status["messages"]["sent"].as_i64().unwrap();
    assert!(
        sent(&before) <= sent(&restored) && sent(&restored) <= sent(&after),
        "{before} {restored} {after}"
    );
    assert_eq!(restored["target"], whole["target"]);
    other.verify(&id).await;
    let rows = other.log(&id).await;
    assert_eq!(rows.len(), RECIPIENTS);
    // Keys and snapshot came along: the same octets as where it was sent.
    assert_eq!(other.cli(&["delivery", "source", &id, &targets[0]]).await.done(), source);

    // The same again from the finished server: all figures are equal, and so is every line of the log.
    let file = server.path("finished.backup");
    server.cli(&["backup", &file.to_string_lossy()]).await.done();
    let mut last = Server::prepare(into.fresh().await, options);
    restore(&file, &last).await.done();
    last.run().await;
    let restored = last.status(&id).await;
    for name in ["state", "target", "excluded", "messages", "deferred", "unknown"] {
        assert_eq!(restored[name], whole[name], "{name}");
    }
    assert_eq!(last.log(&id).await, server.log(&id).await);
    last.verify(&id).await;
    let arrived = internet.log().accepted();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(internet.log().accepted(), arrived, "nobody gets it from the restored server once more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_sqlite_into_sqlite() {
    story(Database::Sqlite, Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_sqlite_into_postgres() {
    story(Database::Sqlite, Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_postgres_into_sqlite() {
    story(Database::Postgres, Database::Sqlite).await;
}
