//! A backup holds everything, restores into the other dialect too, and a bad one changes nothing.

use std::path::{Path, PathBuf};
use store::testing::each;
use store::{Error, Lane, Options, RoomMigrations, Step, Store, binds};

const OLD: RoomMigrations = RoomMigrations {
    room: "room",
    steps: &[Step {
        number: 1,
        name: "start",
        sql: "CREATE TABLE zoo (id @ID, name @KEY NOT NULL, seed @INT NOT NULL DEFAULT 0) @STRICT;
              CREATE TABLE animal (zoo @INT NOT NULL REFERENCES zoo (id), n @INT NOT NULL, r @REAL, t TEXT, b @BLOB,
                  j @JSON, PRIMARY KEY (zoo, n)) @KEYED;
              INSERT INTO zoo (name, seed) VALUES ('made by the migration', 1)",
    }],
};
const NEW: RoomMigrations = RoomMigrations {
    room: "room",
    steps: &[
        OLD.steps[0],
        Step { number: 2, name: "more", sql: "ALTER TABLE zoo ADD COLUMN open @INT NOT NULL DEFAULT 1" },
    ],
};
const ANIMALS: i64 = 3_000;

async fn fill(store: &Store) {
    store.migrate(&[OLD]).await.unwrap();
    store
        .write(Lane::Bulk, |tx| {
            let kept = tx.insert_id("INSERT INTO zoo (name) VALUES ($1)", &binds!["日本 \"zoo\" \\N"])?;
            tx.insert_id("INSERT INTO zoo (name) VALUES ('gone')", &[])?;
            tx.execute("DELETE FROM zoo WHERE name = 'gone'", &[])?;
            let rows = (0..ANIMALS).map(|n| match n % 3 {
                0 => binds![
                    kept,
                    n,
                    0.1 + n as f64,
                    format!("animal {n}\t\n"),
                    vec![0u8, 255],
                    r#"{"k": "v"}"#
                ],
                1 => binds![kept, n, None::<f64>, None::<&str>, None::<Vec<u8>>, None::<&str>],
                _ => binds![kept, n, -1.0, "", Vec::<u8>::new(), "[]"],
            });
            tx.copy_in("animal", &["zoo", "n", "r", "t", "b", "j"], rows)
        })
        .await
        .unwrap();
}

/// Everything that must come back, as text.
async fn contents(store: &Store) -> Vec<String> {
    store
        .read(|tx| {
            let mut all = tx.query("SELECT id, name, seed FROM zoo ORDER BY id", &[], |row| {
                Ok::<_, Error>(format!("{} {} {}", row.int(0)?, row.text(1)?, row.int(2)?))
            })?;
            all.extend(tx.query(
                "SELECT zoo, n, r, t, b, j->>'k', j IS NULL FROM animal ORDER BY zoo, n",
                &[],
                |row| {
                    Ok::<_, Error>(format!(
                        "{} {} {:?} {:?} {:?} {:?} {}",
                        row.int(0)?,
                        row.int(1)?,
                        row.real_opt(2)?,
                        row.text_opt(3)?,
                        row.blob_opt(4)?,
                        row.text_opt(5)?,
                        row.bool(6)?
                    ))
                },
            )?);
            Ok::<_, Error>(all)
        })
        .await
        .unwrap()
}

async fn fresh(dir: &Path, name: &str) -> [Store; 2] {
    let sqlite = format!("sqlite:{}", dir.join(name).display());
    let mut stores = Vec::new();
    for url in [sqlite, store::testing::postgres_url().await] {
        stores.push(Store::open(&url, Options::default()).await.unwrap());
    }
    stores.try_into().unwrap_or_else(|_| unreachable!("two were pushed"))
}

async fn backed_up(store: &Store, dir: &Path) -> PathBuf {
    let key = dir.join("key");
    std::fs::write(&key, b"the key").unwrap();
    let file = dir.join(format!("{:?}.backup", store.dialect()));
    store.backup(&file, &[("master.key", &key)]).await.unwrap();
    file
}

#[tokio::test]
async fn restores_into_both_dialects_and_migrates_on() {
    each(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        fill(&store).await;
        let before = contents(&store).await;
        let file = backed_up(&store, dir.path()).await;
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        for (at, target) in fresh(dir.path(), "target").await.into_iter().enumerate() {
            let home = dir.path().join(format!("home {at}"));
            std::fs::create_dir(&home).unwrap();
            let report = target.restore(&[NEW], &file, &home).await.unwrap();
            assert_eq!(report.rows.iter().find(|(name, _)| name == "animal").unwrap().1, ANIMALS as u64);
            assert_eq!(report.files, ["master.key"]);
            assert_eq!(std::fs::read(home.join("master.key")).unwrap(), b"the key");
            assert_eq!(contents(&target).await, before);
            let id = target
                .write(Lane::Urgent, |tx| {
                    tx.insert_id("INSERT INTO zoo (name, open) VALUES ('next', 0)", &[])
                })
                .await
                .unwrap();
            assert_eq!(id, 4, "the id of a deleted row is not given again, and the newer step ran");
            assert!(target.migrate(&[NEW]).await.unwrap().applied.is_empty());
            target.close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_backup_is_one_moment_also_while_writing() {
    each(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        fill(&store).await;
        let writer = store.clone();
        let busy = tokio::spawn(async move {
            // Both rows or neither belong to any moment.
            for n in 0..200i64 {
                writer
                    .write(Lane::Urgent, move |tx| {
                        tx.execute("INSERT INTO zoo (name, seed) VALUES ('left', $1)", &binds![n])?;
                        tx.execute("INSERT INTO zoo (name, seed) VALUES ('right', $1)", &binds![n])
                    })
                    .await
                    .unwrap();
            }
        });
        let file = backed_up(&store, dir.path()).await;
        busy.await.unwrap();
        let [target, other] = fresh(dir.path(), "target").await;
        let home = dir.path().join("home");
        std::fs::create_dir(&home).unwrap();
        target.restore(&[OLD], &file, &home).await.unwrap();
        let sides = target
            .read(|tx| {
                let sql = "SELECT count(*) FROM zoo WHERE name = $1";
                let left = tx.query_one(sql, &binds!["left"], |row| row.int(0))?;
                Ok::<_, Error>((left, tx.query_one(sql, &binds!["right"], |row| row.int(0))?))
            })
            .await
            .unwrap();
        assert_eq!(sides.0, sides.1);
        target.close().await;
        other.close().await;
    })
    .await;
}

#[tokio::test]
async fn bad_backups_and_used_places_are_refused_untouched() {
    store::testing::sqlite(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        fill(&store).await;
        let file = backed_up(&store, dir.path()).await;
        let whole = std::fs::read(&file).unwrap();
        let home = dir.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let [target, other] = fresh(dir.path(), "target").await;
        let bad = dir.path().join("bad");
        let mut cases = vec![Vec::new(), b"something else".to_vec(), [&whole[..], b"x"].concat()];
        cases.extend([1, 2, 3, 5, 9].map(|part| whole[..whole.len() * part / 10].to_vec()));
        for part in 0..20 {
            let mut flipped = whole.clone();
            flipped[20 + (whole.len() - 21) * part / 20] ^= 0x10;
            cases.push(flipped);
        }
        for (at, case) in cases.iter().enumerate() {
            std::fs::write(&bad, case).unwrap();
            let refused = target.restore(&[OLD], &bad, &home).await;
            assert!(matches!(refused, Err(Error::Archive(_))), "case {at}: {refused:?}");
        }
        assert_eq!(std::fs::read_dir(&home).unwrap().count(), 0);
        let newer = store.restore(&[OLD], &file, &home).await;
        assert!(matches!(newer, Err(Error::Archive(text)) if text.contains("not empty")));
        std::fs::write(home.join("master.key"), b"another").unwrap();
        let used = target.restore(&[OLD], &file, &home).await;
        assert!(matches!(used, Err(Error::Archive(text)) if text.contains("master.key")));
        std::fs::remove_file(home.join("master.key")).unwrap();
        let unknown = target.restore(&[], &file, &home).await;
        assert!(matches!(unknown, Err(Error::Migration(_))));
        target.restore(&[OLD], &file, &home).await.unwrap();
        target.close().await;
        other.close().await;
    })
    .await;
}
