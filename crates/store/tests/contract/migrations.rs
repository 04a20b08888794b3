//! Steps run once, in order, and only where they fit.

use store::testing::each;
use store::{Error, Lane, Options, RoomMigrations, Step, Store};

const FIRST: Step = Step { number: 1, name: "start", sql: "CREATE TABLE a (id @ID, t TEXT) @STRICT" };
const SECOND: Step =
    Step { number: 2, name: "more", sql: "ALTER TABLE a ADD COLUMN n @INT; INSERT INTO a (t) VALUES ('x')" };
const OTHER: RoomMigrations = RoomMigrations {
    room: "other",
    steps: &[Step { number: 1, name: "start", sql: "CREATE TABLE b (a @INT REFERENCES a (id)) @STRICT" }],
};
const OLD: RoomMigrations = RoomMigrations { room: "room", steps: &[FIRST] };
const NEW: RoomMigrations = RoomMigrations { room: "room", steps: &[FIRST, SECOND] };

async fn rows(store: &Store) -> i64 {
    store.read(|tx| tx.query_one("SELECT count(*) FROM a", &[], |row| row.int(0))).await.unwrap()
}

#[tokio::test]
async fn steps_run_once_in_order() {
    each(|store| async move {
        let first = store.migrate(&[OLD, OTHER]).await.unwrap();
        assert_eq!(first.applied, ["room 1 start", "other 1 start"]);
        assert!(store.migrate(&[OLD, OTHER]).await.unwrap().applied.is_empty());
        assert_eq!(store.migrate(&[NEW, OTHER]).await.unwrap().applied, ["room 2 more"]);
        assert_eq!(store.migrate(&[NEW, OTHER]).await.unwrap().applied, Vec::<String>::new());
        assert_eq!(rows(&store).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_newer_database_and_an_edited_step_are_refused() {
    each(|store| async move {
        store.migrate(&[NEW]).await.unwrap();
        let older = store.migrate(&[OLD]).await.unwrap_err();
        assert!(matches!(&older, Error::Migration(text) if text.contains("newer Mailwright")), "{older}");
        let edited = RoomMigrations {
            room: "room",
            steps: &[FIRST, Step { number: 2, name: "more", sql: "CREATE TABLE c (id @ID) @STRICT" }],
        };
        let error = store.migrate(&[edited]).await.unwrap_err();
        assert!(matches!(&error, Error::Migration(text) if text.contains("room 2 more")), "{error}");
        let gap = RoomMigrations { room: "gap", steps: &[SECOND] };
        assert!(matches!(store.migrate(&[NEW, gap]).await, Err(Error::Migration(_))));
    })
    .await;
}

#[tokio::test]
async fn a_step_that_fails_leaves_nothing() {
    each(|store| async move {
        let broken = RoomMigrations {
            room: "room",
            steps: &[
                FIRST,
                Step {
                    number: 2,
                    name: "broken",
                    sql: "CREATE TABLE c (id @ID) @STRICT; INSERT INTO nowhere VALUES (1)",
                },
            ],
        };
        let error = store.migrate(&[broken]).await.unwrap_err();
        assert!(matches!(&error, Error::Migration(text) if text.contains("room 2 broken")), "{error}");
        let there = store.read(|tx| tx.query("SELECT 1 FROM c", &[], |row| row.int(0))).await;
        assert!(there.is_err(), "its table was rolled back");
        assert_eq!(store.migrate(&[NEW]).await.unwrap().applied, ["room 2 more"]);
    })
    .await;
}

#[tokio::test]
async fn a_database_with_data_is_backed_up_first() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { backup_dir: Some(dir.path().join("backups")) };
    let sqlite = format!("sqlite:{}", dir.path().join("x.sqlite").display());
    for url in [sqlite, store::testing::postgres_url().await] {
        let store = Store::open(&url, options.clone()).await.unwrap();
        assert_eq!(store.migrate(&[OLD]).await.unwrap().backup, None, "a new database");
        assert_eq!(store.migrate(&[OLD]).await.unwrap().backup, None, "nothing to do");
        let backup = store.migrate(&[NEW]).await.unwrap().backup.unwrap();
        assert!(backup.exists());
        store.close().await;
    }
}

#[tokio::test]
async fn nodes_that_start_together_take_turns() {
    store::testing::postgres(|store| async move {
        let (one, two) = tokio::join!(store.migrate(&[NEW, OTHER]), store.migrate(&[NEW, OTHER]));
        let applied = one.unwrap().applied.len() + two.unwrap().applied.len();
        assert_eq!(applied, 3);
        store.write(Lane::Urgent, |tx| tx.execute("INSERT INTO a (t) VALUES ('y')", &[])).await.unwrap();
        assert_eq!(rows(&store).await, 2);
    })
    .await;
}
