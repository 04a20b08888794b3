//! One closure, one transaction; and who goes first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use store::testing::{each, sqlite};
use store::{Constraint, Error, Lane, Store, Tx, binds};

async fn with_table(store: &Store) {
    let ddl = "CREATE TABLE item (id @ID, name TEXT NOT NULL UNIQUE, n @INT CHECK (n < 100)) @STRICT;
               CREATE TABLE part (item @INT NOT NULL REFERENCES item (id)) @STRICT;";
    store.write(Lane::Urgent, move |tx: &mut Tx<'_>| tx.batch(ddl)).await.unwrap();
}

async fn count(store: &Store) -> i64 {
    store.read(|tx| tx.query_one("SELECT count(*) FROM item", &[], |row| row.int(0))).await.unwrap()
}

fn add(tx: &mut Tx<'_>, name: &str) -> Result<u64, Error> {
    tx.execute("INSERT INTO item (name) VALUES ($1)", &binds![name])
}

#[tokio::test]
async fn an_error_or_a_panic_rolls_back_and_the_store_goes_on() {
    each(|store| async move {
        with_table(&store).await;
        let refused = store.write(Lane::Urgent, |tx| add(tx, "a").and(Err::<(), _>(Error::NoRow))).await;
        assert!(matches!(refused, Err(Error::NoRow)));
        let panicked = store
            .write(Lane::Urgent, |tx| -> Result<(), Error> {
                add(tx, "b")?;
                panic!("on purpose")
            })
            .await;
        assert!(matches!(panicked, Err(Error::Panicked(text)) if text == "on purpose"));
        assert_eq!(count(&store).await, 0);
        store.write(Lane::Urgent, |tx| add(tx, "c")).await.unwrap();
        assert_eq!(count(&store).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_failed_statement_dooms_its_transaction_on_both() {
    each(|store| async move {
        with_table(&store).await;
        let ignored = store
            .write(Lane::Urgent, |tx| {
                add(tx, "a")?;
                let _ = add(tx, "a");
                Ok::<_, Error>(())
            })
            .await;
        assert!(matches!(ignored, Err(Error::Aborted(_))), "{ignored:?}");
        assert_eq!(count(&store).await, 0);
    })
    .await;
}

#[tokio::test]
async fn broken_rules_are_sorted_and_name_no_values() {
    each(|store| async move {
        with_table(&store).await;
        let cases = [
            ("INSERT INTO item (name) VALUES ('secret@x.example'), ('secret@x.example')", Constraint::Unique),
            ("INSERT INTO item (name) VALUES (NULL)", Constraint::NotNull),
            ("INSERT INTO item (name, n) VALUES ('x', 100)", Constraint::Check),
            ("INSERT INTO part (item) VALUES (77)", Constraint::ForeignKey),
        ];
        for (sql, wanted) in cases {
            let error = store.write(Lane::Urgent, move |tx| tx.execute(sql, &[])).await.unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
            assert!(!error.is_transient());
            match error {
                Error::Constraint { kind, .. } => assert_eq!(kind, wanted, "{sql}"),
                other => panic!("{sql}: {other:?}"),
            }
        }
        let wrong = store.write(Lane::Urgent, |tx| tx.execute("INSERT INTO nowhere VALUES (1)", &[])).await;
        assert!(matches!(wrong, Err(Error::Statement { .. })), "{wrong:?}");
    })
    .await;
}

#[tokio::test]
async fn readers_see_one_snapshot_and_cannot_write() {
    each(|store| async move {
        with_table(&store).await;
        store.write(Lane::Urgent, |tx| add(tx, "a")).await.unwrap();
        let (reading, go_on) = (Arc::new(tokio::sync::Notify::new()), Arc::new(Mutex::new(())));
        let held = go_on.clone().lock_owned_blocking();
        let (signal, wait) = (reading.clone(), go_on.clone());
        let reader = store.read(move |tx| {
            let before = tx.query_one("SELECT count(*) FROM item", &[], |row| row.int(0))?;
            signal.notify_one();
            drop(wait.lock());
            let after = tx.query_one("SELECT count(*) FROM item", &[], |row| row.int(0))?;
            Ok::<_, Error>((before, after))
        });
        let writer = async {
            reading.notified().await;
            store.write(Lane::Urgent, |tx| add(tx, "b")).await.unwrap();
            drop(held);
        };
        let (seen, ()) = tokio::join!(reader, writer);
        assert_eq!(seen.unwrap(), (1, 1));
        assert_eq!(count(&store).await, 2);
        let refused = store.read(|tx| add(tx, "c")).await;
        assert!(refused.is_err());
        assert_eq!(count(&store).await, 2);
    })
    .await;
}

/// A lock that is held until the guard of another thread goes: std's guard cannot cross an await.
trait LockOwned {
    fn lock_owned_blocking(self) -> Held;
}

struct Held(Option<std::sync::mpsc::Sender<()>>);

impl LockOwned for Arc<Mutex<()>> {
    fn lock_owned_blocking(self) -> Held {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (locked, is_locked) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _guard = self.lock();
            locked.send(()).unwrap();
            let _ = released.recv();
        });
        is_locked.recv().unwrap();
        Held(Some(release))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.take();
    }
}

#[tokio::test]
async fn urgent_work_passes_bulk_work_on_the_single_writer() {
    sqlite(|store| async move {
        with_table(&store).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let waits = Arc::new(Mutex::new(()));
        let held = waits.clone().lock_owned_blocking();
        let task = |lane: Lane, name: &'static str| {
            let (store, order, waits) = (store.clone(), order.clone(), waits.clone());
            async move {
                store
                    .write(lane, move |_| {
                        drop(waits.lock());
                        order.lock().unwrap().push(name);
                        Ok::<_, Error>(())
                    })
                    .await
                    .unwrap();
            }
        };
        // Polled in this order: the first runs until all others have queued behind it.
        tokio::join!(
            task(Lane::Bulk, "bulk 1"),
            task(Lane::Bulk, "bulk 2"),
            task(Lane::Bulk, "bulk 3"),
            task(Lane::Urgent, "urgent"),
            async { drop(held) }
        );
        let order = order.lock().unwrap();
        let place = |name| order.iter().position(|n| *n == name).unwrap();
        assert!(place("urgent") < place("bulk 3") && place("urgent") <= 1, "{order:?}");
    })
    .await;
}

#[tokio::test]
async fn transactions_that_share_a_commit_fail_alone() {
    each(|store| async move {
        with_table(&store).await;
        let calls = (0..200i64).map(|n| {
            store.write(Lane::Urgent, move |tx| {
                add(tx, &format!("item {n}"))?;
                match n % 4 {
                    0 => Ok(n),
                    1 => Err(Error::NoRow),
                    2 => add(tx, &format!("item {n}")).map(|_| n),
                    _ => panic!("on purpose"),
                }
            })
        });
        let answers = futures_util::future::join_all(calls).await;
        for (n, answer) in answers.into_iter().enumerate() {
            match n % 4 {
                0 => assert_eq!(answer.unwrap(), n as i64),
                1 => assert!(matches!(answer, Err(Error::NoRow))),
                2 => assert!(answer.is_err_and(|e| e.is_unique())),
                _ => assert!(matches!(answer, Err(Error::Panicked(_)))),
            }
        }
        let kept =
            store.read(|tx| tx.query("SELECT name FROM item ORDER BY id", &[], |row| row.text(0))).await;
        let mut kept: Vec<String> = kept.unwrap();
        kept.sort();
        let mut wanted: Vec<String> = (0..200).step_by(4).map(|n| format!("item {n}")).collect();
        wanted.sort();
        assert_eq!(kept, wanted);
    })
    .await;
}

#[tokio::test]
async fn work_whose_caller_is_gone_is_not_begun() {
    each(|store| async move {
        with_table(&store).await;
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..20 {
            let (store, ran) = (store.clone(), ran.clone());
            let busy = store.clone();
            let hold = tokio::spawn(async move {
                busy.write(Lane::Urgent, |_| {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    Ok::<_, Error>(())
                })
                .await
            });
            let call = store.write(Lane::Urgent, move |_| {
                ran.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Error>(())
            });
            let _ = tokio::time::timeout(std::time::Duration::from_micros(1), call).await;
            hold.await.unwrap().unwrap();
        }
        store.close().await;
        let late = store.write(Lane::Urgent, |_| Ok::<_, Error>(())).await;
        assert!(matches!(late, Err(Error::Closed)));
        // The lanes ran whatever had begun; nothing more comes after the close.
        let settled = ran.load(Ordering::SeqCst);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert_eq!(ran.load(Ordering::SeqCst), settled);
    })
    .await;
}
