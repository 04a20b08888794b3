//! A disk that is full and a database that goes away: what was promised stays, the process stays, and goes on by
//! itself when it can.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use stories::campaign::addresses;
use stories::judge::judge;
use stories::{Database, Server, ServerOptions, soak};
use testkit::{Behaviour, Internet, InternetOptions, Place, World};

async fn internet() -> Internet {
    let mut quick = Behaviour::accepting("quick", "mx.quick.example");
    quick.reply_delay = Duration::from_millis(4);
    let place =
        Place::new(quick, Ipv4Addr::new(127, 0, 63, 1)).domain("quick.example", &["mx.quick.example"]);
    Internet::start(&World { places: vec![place] }, InternetOptions::default()).await.unwrap()
}

async fn until(what: &str, limit: Duration, condition: impl Fn() -> bool) {
    let end = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < end, "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Messages of the story with a full disk.
const WAITING: usize = 3_000;
/// Results that may wait for their commit, of each of the ten connections at once, however often one is replaced: then
/// nothing begins.
const UNSETTLED_MAX: u64 = 10 * 16;

/// Until nothing was accepted for a second.
async fn until_quiet(internet: &Internet) {
    let end = Instant::now() + stories::WAIT;
    let mut seen = u64::MAX;
    while internet.log().accepted() != seen {
        assert!(Instant::now() < end, "it is still being sent");
        seen = internet.log().accepted();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// A small file system in memory; unmounted at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(megabytes: u32) -> Option<SmallDisk> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"]).arg(dir.path());
        mount.output().is_ok_and(|done| done.status.success()).then_some(SmallDisk(dir))
    }

    fn fill(&self) {
        let file = std::fs::File::create(self.0.path().join("ballast")).unwrap();
        let mut file = std::io::BufWriter::new(file);
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.path().join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server may still be ending. A mount left behind would be seen in the next run's `mount`.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

async fn import(server: &Server, name: &str, count: usize) -> stories::Cli {
    let mut csv = String::from("email,first_name\n");
    (0..count).for_each(|n| csv.push_str(&format!("{name}{n}@quick.example,{}\n", "x".repeat(900))));
    let file = server.write(&format!("{name}.csv"), csv);
    server.cli(&["import", &file.to_string_lossy(), "--list", name]).await
}

/// The disk that is full holds everything (SQLite), or the tables of a PostgreSQL server.
async fn full_disk(database: Database) {
    let Some(disk) = SmallDisk::mount(48) else {
        println!("skipped: a file system in memory can be mounted by root only");
        return;
    };
    let internet = internet().await;
    let options = ServerOptions { config: internet.settings(), ..ServerOptions::default() };
    let (mut server, _postgres) = match database {
        Database::Sqlite => (Server::prepare(None, options).with_data(&disk.0.path().join("data")), None),
        Database::Postgres => {
            let postgres = tokio::task::spawn_blocking(store::testing::Server::start).await.unwrap();
            let url = postgres.database_on(&disk.0.path().join("tables")).await;
            (Server::prepare(Some(url), options), Some(postgres))
        }
    };
    server.run().await;
    let targets = addresses(WAITING, &["quick.example"]);
    let id = server.campaign("disk", &targets, "").await;
    until("it is being sent", stories::WAIT, || internet.log().accepted() > 200).await;
    disk.fill();
    // An import of more than fits is refused with the reason; what it had taken or not, the server says.
    let refused = import(&server, "toomany", 20_000).await;
    assert_eq!(refused.status, 1, "{} {}", refused.stdout, refused.stderr);
    assert!(
        refused.stderr.to_lowercase().contains("full") || refused.stderr.contains("space"),
        "{}",
        refused.stderr
    );
    let health =
        server.request(reqwest::Method::GET, &format!("/deliveries/{id}/status")).send().await.unwrap();
    assert!(health.status().is_success(), "reading needs no disk: {}", health.status());
    // Time for all of them, if nobody minded that results cannot be kept.
    until_quiet(&internet).await;
    let accepted = internet.log().accepted();
    let kept = server.status(&id).await["messages"]["sent"].as_u64().unwrap();
    println!("{accepted} accepted while the disk was full, {kept} of them written");
    assert!(accepted <= kept + UNSETTLED_MAX, "{accepted} accepted and {kept} written");
    assert!(server.is_running(), "{}", server.stderr());
    disk.empty();
    let status = server.wait_for(&id, &["finished"], stories::WAIT).await;
    assert_eq!(status["messages"]["sent"].as_u64(), Some(targets.len() as u64), "{status}");
    let verdict = judge(&internet.log().events(), &server.log(&id).await, &targets, &[]);
    assert_eq!((verdict.duplicates, verdict.arrived), (0, targets.len()));
    server.verify(&id).await;
    import(&server, "later", 100).await.done();
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_nothing_for_good_on_sqlite() {
    full_disk(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_nothing_for_good_on_postgres() {
    full_disk(Database::Postgres).await;
}

async fn database_away(away: Duration, recipients: usize) {
    let database = tokio::task::spawn_blocking(store::testing::Server::start).await.unwrap();
    let internet = internet().await;
    let pace = |ms: u64| {
        internet.provider("quick").unwrap().change(|quick| quick.reply_delay = Duration::from_millis(ms));
    };
    // Not all of it before the database is away.
    pace(20);
    let options = ServerOptions { config: internet.settings(), ..ServerOptions::default() };
    let mut server = Server::prepare(Some(database.database().await), options);
    server.run().await;
    let targets = addresses(recipients, &["quick.example"]);
    let id = server.campaign("away", &targets, "").await;
    until("it is being sent", stories::WAIT, || internet.log().accepted() > 200).await;
    let database = tokio::task::spawn_blocking(move || {
        database.down();
        database
    });
    let database = database.await.unwrap();
    tokio::time::sleep(away / 2).await;
    // A person is told what is the matter, soon.
    let asked = Instant::now();
    let answer =
        server.request(reqwest::Method::GET, &format!("/deliveries/{id}/status")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 503, "{}", answer.text().await.unwrap());
    assert!(asked.elapsed() < Duration::from_secs(60), "{:?}", asked.elapsed());
    let stop = server.request(reqwest::Method::POST, &format!("/deliveries/{id}/pause")).json(&json!({}));
    assert!(!stop.send().await.unwrap().status().is_success(), "nothing can be promised now");
    let quiet = internet.log().accepted();
    tokio::time::sleep(away / 2).await;
    assert_eq!(internet.log().accepted(), quiet, "no DATA begins while results cannot be kept");
    assert!(quiet < targets.len() as u64, "something is left");
    assert!(server.is_running(), "{}", server.stderr());
    let database = tokio::task::spawn_blocking(move || {
        database.up();
        database
    });
    let database = database.await.unwrap();
    pace(4);
    let end = Instant::now() + stories::WAIT;
    while internet.log().accepted() < targets.len() as u64 {
        assert!(
            Instant::now() < end,
            "{} of {}: {}",
            internet.log().accepted(),
            targets.len(),
            server.stderr()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let status = server.wait_for(&id, &["finished"], stories::WAIT).await;
    assert_eq!(status["messages"]["sent"].as_u64(), Some(targets.len() as u64), "{status}");
    let verdict = judge(&internet.log().events(), &server.log(&id).await, &targets, &[]);
    assert_eq!((verdict.duplicates, verdict.arrived), (0, targets.len()));
    server.verify(&id).await;
    drop(server);
    drop(database);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_for_a_moment() {
    database_away(Duration::from_secs(6), 2_500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_a_database_that_goes_away_for_a_minute() {
    if soak() {
        database_away(Duration::from_secs(60), 6_000).await;
    }
}
