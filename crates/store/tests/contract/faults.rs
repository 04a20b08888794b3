//! A full disk, and a database that goes away: a clear error in bounded time, nothing half-done, and back again.

use std::time::{Duration, Instant};
use store::testing::{Server, eventually, sqlite};
use store::{Error, Lane, Options, Store, Tx, binds};

const TABLE: &str = "CREATE TABLE item (id @ID, b @BLOB) @STRICT";

async fn count(store: &Store) -> Result<i64, Error> {
    store.read(|tx| tx.query_one("SELECT count(*) FROM item", &[], |row| row.int(0))).await
}

fn add(tx: &mut Tx<'_>, size: usize) -> Result<i64, Error> {
    tx.insert_id("INSERT INTO item (b) VALUES ($1)", &binds![vec![7u8; size]])
}

#[tokio::test]
async fn a_full_disk_rolls_back_and_is_over_when_there_is_room() {
    sqlite(|store| async move {
        store.write(Lane::Urgent, |tx| tx.batch(TABLE)).await.unwrap();
        store.write(Lane::Urgent, |tx| add(tx, 10)).await.unwrap();
        store.write(Lane::Urgent, |tx| tx.batch("PRAGMA max_page_count = 100")).await.unwrap();
        let full = store
            .write(Lane::Bulk, |tx| {
                for _ in 0..100 {
                    add(tx, 100_000)?;
                }
                Ok::<_, Error>(())
            })
            .await;
        assert!(matches!(&full, Err(Error::DiskFull(_))), "{full:?}");
        assert!(!full.unwrap_err().is_transient());
        assert_eq!(count(&store).await.unwrap(), 1);
        store.write(Lane::Urgent, |tx| add(tx, 10)).await.unwrap();
        store.write(Lane::Urgent, |tx| tx.batch("PRAGMA max_page_count = 1000000")).await.unwrap();
        store.write(Lane::Bulk, |tx| add(tx, 1_000_000)).await.unwrap();
        assert_eq!(count(&store).await.unwrap(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_under_a_shared_commit_keeps_what_was_said_to_stand() {
    sqlite(|store| async move {
        store.write(Lane::Urgent, |tx| tx.batch(TABLE)).await.unwrap();
        store.write(Lane::Urgent, |tx| tx.batch("PRAGMA max_page_count = 100")).await.unwrap();
        let calls = (0..60)
            .map(|n| store.write(Lane::Urgent, move |tx| add(tx, if n % 3 == 0 { 90_000 } else { 50 })));
        let answers = futures_util::future::join_all(calls).await;
        assert!(answers.iter().any(|a| matches!(a, Err(Error::DiskFull(_)))));
        let stand = answers.iter().filter(|a| a.is_ok()).count();
        assert_eq!(count(&store).await.unwrap(), stand as i64);
    })
    .await;
}

#[tokio::test]
async fn the_write_ahead_log_is_folded_in_while_writing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.sqlite");
    let store = Store::open(&format!("sqlite:{}", path.display()), Options::default()).await.unwrap();
    store.write(Lane::Urgent, |tx| tx.batch(TABLE)).await.unwrap();
    const PIECE: usize = 8 * 1024 * 1024;
    let log = || std::fs::metadata(dir.path().join("x.sqlite-wal")).unwrap().len();
    let mut pieces = 0;
    // The disk of a busy machine may lag behind, and then the log is longer: a part of what was written all the same.
    while pieces < 30 || log() > (pieces * PIECE) as u64 / 6 * 5 {
        assert!(pieces < 100, "{pieces} times 8 MB were written and the log has {} octets", log());
        store.write(Lane::Bulk, |tx| add(tx, PIECE)).await.unwrap();
        pieces += 1;
        tokio::time::sleep(Duration::from_millis(if pieces < 30 { 10 } else { 500 })).await;
    }
    store.close().await;
    assert!(!dir.path().join("x.sqlite-wal").exists(), "nothing is left beside a closed database");
    assert!(std::fs::metadata(&path).unwrap().len() > (pieces * PIECE) as u64);
}

#[tokio::test]
async fn postgres_goes_away_and_comes_back() {
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let store = Store::open(&server.database().await, Options::default()).await.unwrap();
    store.write(Lane::Urgent, |tx| tx.batch(TABLE)).await.unwrap();
    for _ in 0..10 {
        store.write(Lane::Urgent, |tx| add(tx, 10)).await.unwrap();
        assert!(count(&store).await.is_ok());
    }
    // Away in the middle of a transaction.
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (go, went) = std::sync::mpsc::channel::<()>();
    let caller = store.clone();
    let cut = tokio::spawn(async move {
        caller
            .write(Lane::Bulk, move |tx| {
                add(tx, 10)?;
                let _ = begun.send(());
                let _ = went.recv();
                add(tx, 10)
            })
            .await
    });
    has_begun.await.unwrap();
    server.down();
    go.send(()).unwrap();
    let cut = cut.await.unwrap();
    assert!(matches!(&cut, Err(Error::Unavailable(_))), "{cut:?}");
    // Away: every lane says so in bounded time, and many callers do not wait one after another.
    let began = Instant::now();
    let calls = (0..40).map(|_| store.write(Lane::Urgent, |tx| add(tx, 10)));
    for refused in futures_util::future::join_all(calls).await {
        assert!(refused.as_ref().is_err_and(Error::is_transient), "{refused:?}");
    }
    assert!(matches!(count(&store).await, Err(Error::Unavailable(_))));
    // One after another would be minutes.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    server.up();
    let again = &store;
    eventually(Duration::from_secs(120), || async move { count(again).await.is_ok() }).await;
    for _ in 0..10 {
        store.write(Lane::Urgent, |tx| add(tx, 10)).await.unwrap();
        store.write(Lane::Bulk, |tx| add(tx, 10)).await.unwrap();
    }
    assert_eq!(count(&store).await.unwrap(), 30);
    store.close().await;
}

#[tokio::test]
async fn addresses_that_lead_nowhere_say_so() {
    for url in ["mysql://x", "postgres://postgres@127.0.0.1:1/x", "sqlite:/nowhere/at/all/x.sqlite"] {
        let error = Store::open(url, Options::default()).await.err().unwrap();
        assert!(matches!(error, Error::Url(_) | Error::Unavailable(_)), "{url}: {error:?}");
        assert!(!error.to_string().is_empty());
    }
}
