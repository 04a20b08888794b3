//! The corpus' recipients, dirty rows among them: every row accounted for, twice, in constant memory.

use std::process::Stdio;

use stories::{Database, Server, ServerOptions, corpus, soak};

/// What the process may hold at any number of rows.
const MEMORY_MAX: u64 = 300 * 1_024 * 1_024;

async fn story(database: Database, rows: u64) {
    let Some(corpus) = corpus() else {
        println!("skipped: no corpus");
        return;
    };
    let server = Server::start(database, ServerOptions::default()).await;
    let file = server.path("people.csv");
    let out = std::fs::File::create(&file).unwrap();
    let mut python = std::process::Command::new("/usr/bin/python3");
    python.arg(corpus.join("recipients.py")).args([&rows.to_string(), "--dirty", "3"]);
    assert!(python.stdout(Stdio::from(out)).status().unwrap().success());
    let rejects = server.path("rejects.csv");
    let arguments =
        ["import", &file.to_string_lossy(), "--list", "people", "--rejects", &rejects.to_string_lossy()]
            .map(str::to_owned);
    let first = server.cli(&arguments).await.done();
    let count =
        |done: &serde_json::Value, name: &str| done[name].as_u64().unwrap_or_else(|| panic!("{done}"));
    assert_eq!(count(&first, "rows"), rows, "{first}");
    let (created, rejected) = (count(&first, "created"), count(&first, "rejected"));
    assert_eq!(created + rejected, rows, "{first}");
    assert!(rejected > 0 && created > rows * 9 / 10, "{first}");
    assert_eq!(reported(&rejects), rejected, "each rejected row stands in the report");

    let again = server.cli(&arguments).await.done();
    assert_eq!(count(&again, "unchanged"), created, "{again}");
    assert_eq!((count(&again, "created"), count(&again, "updated")), (0, 0), "{again}");
    assert_eq!(count(&again, "rejected"), rejected, "{again}");
    assert!(server.memory_peak() < MEMORY_MAX, "{} octets", server.memory_peak());
    println!(
        "{rows} rows: {} s, again {} s, {} MB",
        first["seconds"],
        again["seconds"],
        server.memory_peak() >> 20
    );
}

/// Rows of a report, each with its line and its reason.
fn reported(file: &std::path::Path) -> u64 {
    let text = std::fs::read_to_string(file).unwrap();
    let mut rows = 0;
    let mut quoted = false;
    let mut start = true;
    for line in text.lines().skip(1) {
        if start {
            let (number, reason) = line.split_once(',').unwrap_or_else(|| panic!("{line}"));
            assert!(number.parse::<u64>().is_ok() && !reason.starts_with(','), "{line}");
            rows += 1;
        }
        quoted ^= line.matches('"').count() % 2 == 1;
        start = !quoted;
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_accounted_for_on_sqlite() {
    story(Database::Sqlite, 20_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_accounted_for_on_postgres() {
    story(Database::Postgres, 20_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_a_million_rows_on_sqlite() {
    if soak() {
        story(Database::Sqlite, 1_000_000).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_a_million_rows_on_postgres() {
    if soak() {
        story(Database::Postgres, 1_000_000).await;
    }
}
