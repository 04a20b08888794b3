//! The tracking room's contract, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used)]

mod rig;

use queue::message_id;
use rig::{DAY, T0, UNTIL, confirm, event, folds, migrate, open};
use store::testing::{each, sqlite};
use store::{Lane, Options, Relation, Store, Tx};
use tracking::{Client, EventKind, Kept, Reaction, Resource, Tracking, limits, reacted};

async fn rows(store: &Store) -> i64 {
    store
        .read(|tx: &mut Tx<'_>| tx.query_one("SELECT count(*) FROM event", &[], |row| row.int(0)))
        .await
        .unwrap()
}

/// On disk, or on its way there: the answer to a click waits for a slow disk for a second only.
fn kept(kept: Kept) -> bool {
    kept != Kept::Lost
}

async fn segments(store: &Store) -> i64 {
    let count = "SELECT count(*) FROM event_segment";
    store.read(move |tx: &mut Tx<'_>| tx.query_one(count, &[], |row| row.int(0))).await.unwrap()
}

async fn recipients(store: &Store, relation: Relation) -> Vec<i64> {
    let mut binds = Vec::new();
    let sql = format!("SELECT r.recipient FROM ({}) r ORDER BY 1", relation.splice(&mut binds));
    store.read(move |tx: &mut Tx<'_>| tx.query(&sql, &binds, |row| row.int(0))).await.unwrap()
}

async fn location(tracking: &Tracking, message: i64, number: u16, query: &str, now: i64) -> Option<String> {
    match tracking.link(message, number, query, now).await.unwrap() {
        Resource::There(destination) => destination.location,
        Resource::Expired | Resource::Unknown => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_is_folded_exactly_once() {
    each(|store| async move {
        migrate(&store).await;
        let dir = tempfile::tempdir().unwrap();
        let tracking = open(&store, dir.path());
        let message = message_id(7, 3);
        let first = event(message, EventKind::Click, Some(2), T0 + 5);
        assert!(kept(tracking.record(first).await));
        assert_eq!(rows(&store).await, 0, "appending needs no database");
        folds(&tracking, T0, 1).await;
        tracking.record(event(message, EventKind::Open, None, T0)).await;
        // The segment goes on.
        folds(&tracking, T0, 1).await;
        let seen = tracking.events_of(message).await.unwrap();
        let seen: Vec<_> = seen.iter().map(|row| (row.kind, row.link, row.at, row.machine)).collect();
        assert_eq!(seen, [(EventKind::Open, None, T0, false), (EventKind::Click, Some(2), T0 + 5, false)]);
        // Another process over the same folder and database starts where this one ended.
        tracking.record(event(message, EventKind::Mirror, None, T0 + 9)).await;
        tracking.close().await;
        assert_eq!(tracking.record(event(message, EventKind::Open, None, T0)).await, Kept::Lost);
        let again = open(&store, dir.path());
        again.record(event(message, EventKind::Unsubscribe, None, T0 + 10)).await;
        folds(&again, T0, 2).await;
        assert_eq!(rows(&store).await, 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_share_a_file_and_none_is_lost() {
    each(|store| async move {
        migrate(&store).await;
        let dir = tempfile::tempdir().unwrap();
        let tracking = open(&store, dir.path());
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..3_000 {
            let tracking = tracking.clone();
            tasks.spawn(async move {
                tracking.record(event(message_id(1, n), EventKind::Open, None, T0 + n)).await
            });
        }
        let kept = tasks.join_all().await;
        assert!(kept.iter().all(|kept| *kept != Kept::Lost));
        tracking.close().await;
        assert_eq!(tracking.fold(T0).await.unwrap(), 3_000, "more than one transaction takes");
        assert_eq!(tracking.counts(1).await.unwrap(), [(EventKind::Open, 3_000, 3_000)]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(tracking.lost(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_end_costs_only_what_was_not_written() {
    each(|store| async move {
        migrate(&store).await;
        let dir = tempfile::tempdir().unwrap();
        let tracking = open(&store, dir.path());
        for n in 0..3 {
            tracking.record(event(message_id(1, n), EventKind::Open, None, T0 + n)).await;
        }
        tracking.close().await;
        let file = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        let length = std::fs::metadata(&file).unwrap().len();
        std::fs::File::options().write(true).open(&file).unwrap().set_len(length - 5).unwrap();
        let again = open(&store, dir.path());
        // The clock went back; the new segment still sorts behind the old one.
        again.record(event(message_id(1, 9), EventKind::Open, None, T0 - DAY)).await;
        folds(&again, T0, 3).await;
        assert_eq!(again.counts(1).await.unwrap(), [(EventKind::Open, 3, 3)]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_gets_what_the_backup_did_not_have() {
    sqlite(|store| async move {
        migrate(&store).await;
        let dir = tempfile::tempdir().unwrap();
        let tracking = open(&store, &dir.path().join("events"));
        tracking.record(event(message_id(1, 0), EventKind::Open, None, T0)).await;
        folds(&tracking, T0, 1).await;
        let backup = dir.path().join("backup");
        store.backup(&backup, &[]).await.unwrap();
        tracking.record(event(message_id(1, 1), EventKind::Open, None, T0)).await;
        folds(&tracking, T0, 1).await;
        tracking.close().await;
        let url = format!("sqlite:{}", dir.path().join("new.db").display());
        let new = Store::open(&url, Options::default()).await.unwrap();
        let rooms = [audience::MIGRATIONS, queue::MIGRATIONS, tracking::MIGRATIONS];
        new.restore(&rooms, &backup, dir.path()).await.unwrap();
        assert_eq!(rows(&new).await, 1);
        assert_eq!(open(&new, &dir.path().join("events")).fold(T0).await.unwrap(), 1);
        assert_eq!(rows(&new).await, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_lead_where_the_snapshot_says_until_the_validity_is_over() {
    each(|store| async move {
        migrate(&store).await;
        let dir = tempfile::tempdir().unwrap();
        confirm(&store, 7, 2, true).await;
        let tracking = open(&store, dir.path());
        let message = message_id(7, 1);
        assert_eq!(
            location(&tracking, message, 0, "p1=a%20b&host=evil.example", T0).await.as_deref(),
            Some("https://shop.example/a?c=a%20b")
        );
        let leave = tracking.link(message, 1, "", T0).await.unwrap();
        assert!(matches!(leave, Resource::There(there) if there.kind == EventKind::Unsubscribe));
        for number in [2, 3, u16::MAX] {
            assert_eq!(
                tracking.link(message, number, "p1=evil.example", T0).await.unwrap(),
                Resource::Unknown
            );
        }
        assert_eq!(tracking.link(message_id(8, 1), 0, "", T0).await.unwrap(), Resource::Unknown);
        assert_eq!(tracking.link(message, 0, "", UNTIL).await.unwrap(), Resource::Expired);
        // A validity that is moved is noticed when the table in memory is old.
        let moved =
            move |tx: &mut Tx<'_>| tracking::resources::open(tx, 7, &rig::snapshot(7).hash(), UNTIL + DAY);
        store.write(Lane::Urgent, moved).await.unwrap();
        let later = UNTIL + limits::LINK_TABLE_AGE_MAX_US;
        assert!(location(&tracking, message, 0, "", later).await.is_some());
        // Confirmed by a version that kept no validity: the default one.
        confirm(&store, 9, 1, false).await;
        assert!(location(&tracking, message_id(9, 0), 0, "", T0).await.is_some());
        let over = tracking.link(message_id(9, 0), 0, "", T0 + 61 * DAY).await.unwrap();
        assert_eq!(over, Resource::Expired);
        // Deleted.
        store.write(Lane::Urgent, |tx: &mut Tx<'_>| tracking::purge_delivery_some(tx, 9)).await.unwrap();
        store.write(Lane::Urgent, |tx: &mut Tx<'_>| queue::plan::purge(tx, 9)).await.unwrap();
        let gone = tracking.link(message_id(9, 0), 0, "", T0 + 62 * DAY).await.unwrap();
        assert_eq!(gone, Resource::Unknown);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_messages_say_different_things_each_has_its_own_links() {
    each(|store| async move {
        migrate(&store).await;
        let dir = tempfile::tempdir().unwrap();
        confirm(&store, 7, 2, true).await;
        let tracking = open(&store, dir.path());
        assert!(location(&tracking, message_id(7, 0), 0, "", T0).await.is_some());
        // A second part with another content, and a third that waits for it.
        let mut other = rig::snapshot(7);
        other.links[0].url = "https://shop.example/other".into();
        let (hash, bytes) = (other.hash(), other.to_bytes());
        let winner = hash.clone();
        let part = move |n: i64, due_us: i64| queue::NewPart {
            first_id: message_id(7, n),
            last_id: message_id(7, n),
            snapshot: hash.clone(),
            wave: n,
            lane: "tail-1".to_owned(),
            due_us,
            messages: 1,
        };
        let held = queue::variants::HELD_DUE_US;
        let added = move |tx: &mut Tx<'_>| {
            queue::plan::write_snapshot(tx, &part(2, 0).snapshot, &bytes)?;
            queue::plan::insert_parts(tx, 7, [part(2, 0), part(3, held)])?;
            tracking::resources::open_by_part(tx, 7, UNTIL).map_err(queue::Error::from)
        };
        store.write(Lane::Urgent, added).await.unwrap();
        let later = T0 + limits::LINK_TABLE_AGE_MAX_US;
        let at = async |n: i64| location(&tracking, message_id(7, n), 0, "", later).await;
        assert_eq!(at(1).await.as_deref(), Some("https://shop.example/a?c="));
        assert_eq!(at(2).await.as_deref(), Some("https://shop.example/other"));
        assert_eq!(tracking.link(message_id(7, 3), 0, "", later).await.unwrap(), Resource::Unknown);
        let release = move |tx: &mut Tx<'_>| queue::variants::release(tx, 7, &winner, later);
        assert_eq!(store.write(Lane::Urgent, release).await.unwrap(), 1);
        assert_eq!(
            at(3).await.as_deref(),
            Some("https://shop.example/other"),
            "what was read before is no answer"
        );

        for (n, kind) in
            [(0, EventKind::Open), (0, EventKind::Click), (1, EventKind::Open), (2, EventKind::Click)]
        {
            tracking.record(event(message_id(7, n), kind, None, T0)).await;
        }
        folds(&tracking, T0, 4).await;
        let ranges = [(message_id(7, 0), message_id(7, 1)), (message_id(7, 3), message_id(7, 3))];
        let found = store.read(move |tx| tracking::reactions(tx, &ranges)).await.unwrap();
        assert_eq!(found, tracking::Reactions { opened: 2, clicked: 1 });
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_known_links_lead_on_and_events_wait() {
    let server = store::testing::Server::start();
    let url = server.database().await;
    let store = Store::open(&url, Options::default()).await.unwrap();
    migrate(&store).await;
    confirm(&store, 7, 1, true).await;
    confirm(&store, 8, 1, true).await;
    let dir = tempfile::tempdir().unwrap();
    let tracking = open(&store, dir.path());
    let message = message_id(7, 0);
    assert!(location(&tracking, message, 0, "", T0).await.is_some());
    server.down();
    let later = T0 + 2 * limits::LINK_TABLE_AGE_MAX_US;
    assert!(location(&tracking, message, 0, "", T0).await.is_some());
    assert!(location(&tracking, message, 0, "", later).await.is_some(), "an old table is better than none");
    let asked = std::time::Instant::now();
    for second in 0..9 {
        let soon = later + second * 1_000_000;
        assert!(location(&tracking, message, 0, "", soon).await.is_some());
    }
    assert!(
        asked.elapsed() < 4 * limits::LINK_TABLE_WAIT_MAX,
        "not every click waits: {:?}",
        asked.elapsed()
    );
    assert!(tracking.link(message_id(8, 0), 0, "", T0).await.is_err(), "never looked up");
    assert!(kept(tracking.record(event(message, EventKind::Click, Some(0), T0)).await));
    assert!(tracking.fold(T0).await.is_err());
    assert!(tracking.fold(T0).await.is_err());
    server.up();
    let began = std::time::Instant::now();
    let folded = loop {
        match tracking.fold(T0).await {
            Ok(events) => break events,
            // The store looks for a lost database at its own pace.
            Err(_) if began.elapsed().as_secs() < 120 => tokio::time::sleep(limits::FOLD_SPACING).await,
            Err(error) => panic!("{error}"),
        }
    };
    rig::folds(&tracking, T0, 1 - folded).await;
    assert!(location(&tracking, message_id(8, 0), 0, "", T0).await.is_some());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_did_what_is_a_relation_and_machines_count_for_nobody() {
    each(|store| async move {
        migrate(&store).await;
        let dir = tempfile::tempdir().unwrap();
        confirm(&store, 7, 5, true).await;
        confirm(&store, 8, 5, true).await;
        let tracking = open(&store, dir.path());
        let by_machine = |n: i64| {
            let client = Client::new("Googlebot", String::new(), true);
            tracking::Event { client, ..event(message_id(7, n), EventKind::Click, Some(0), T0) }
        };
        for event in [
            event(message_id(7, 0), EventKind::Open, None, T0),
            event(message_id(7, 1), EventKind::Click, Some(0), T0),
            event(message_id(7, 1), EventKind::Click, Some(0), T0 + 1),
            event(message_id(7, 2), EventKind::Unsubscribe, Some(1), T0),
            by_machine(3),
            event(message_id(8, 4), EventKind::Click, Some(1), T0),
        ] {
            tracking.record(event).await;
        }
        folds(&tracking, T0, 6).await;
        for (reaction, expected) in [
            (Reaction::Opened, vec![1, 2, 3]),
            (Reaction::Clicked, vec![2]),
            (Reaction::NotOpened, vec![4, 5]),
            (Reaction::NotClicked, vec![1, 3, 4, 5]),
        ] {
            assert_eq!(recipients(&store, reacted(7, reaction)).await, expected, "{reaction:?}");
        }
        assert_eq!(recipients(&store, tracking::clicked(8)).await, [5]);
        let links = tracking.clicks_by_link(7).await.unwrap();
        let links: Vec<_> = links.iter().map(|link| (link.link, link.clicks, link.messages)).collect();
        assert_eq!(links, [(0, 2, 1), (1, 1, 1)]);
        // Each content numbers its own links, and seeds are nobody.
        let part = |n: i64, snapshot: &str, wave| queue::NewPart {
            first_id: message_id(9, n),
            last_id: message_id(9, n),
            snapshot: snapshot.to_owned(),
            wave,
            lane: "google".into(),
            due_us: 0,
            messages: 1,
        };
        let parts = [part(1, "b", 0), part(2, "a", 1), part(5, "a", queue::SEED_WAVE)];
        store.write(Lane::Urgent, move |tx| queue::plan::insert_parts(tx, 9, parts)).await.unwrap();
        for (n, link) in [(1, 0), (2, 0), (2, 1), (5, 0)] {
            tracking.record(event(message_id(9, n), EventKind::Click, Some(link), T0)).await;
        }
        folds(&tracking, T0, 4).await;
        let links = tracking.clicks_by_link(9).await.unwrap();
        let links: Vec<_> =
            links.iter().map(|link| (link.snapshot.as_str(), link.link, link.clicks)).collect();
        assert_eq!(links, [("a", 0, 1), ("a", 1, 1), ("b", 0, 1)]);
        assert!(tracking.events_of(message_id(7, 3)).await.unwrap()[0].machine);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_events_and_old_files_go() {
    each(|store| async move {
        migrate(&store).await;
        let dir = tempfile::tempdir().unwrap();
        let tracking = open(&store, dir.path());
        for day in 0..10 {
            // Each day has a file of its own.
            tracking.record(event(message_id(1, day), EventKind::Open, None, T0 + day * (DAY + 1))).await;
        }
        tracking.purge(T0 - DAY, T0 + 30 * DAY).await.unwrap();
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            10,
            "what is not folded stays, however old"
        );
        folds(&tracking, T0 + 10 * DAY, 10).await;
        tracking.purge(T0 + 4 * DAY + 9, T0 + 11 * DAY).await.unwrap();
        assert_eq!(rows(&store).await, 5);
        let files = std::fs::read_dir(dir.path()).unwrap().count();
        assert!((6..=7).contains(&files), "{files} files: those of the last seven days");
        assert_eq!(tracking.fold(T0 + 11 * DAY).await.unwrap(), 0);
        // Rows go when their files are long gone; those of another node are left to it.
        let foreign =
            "INSERT INTO event_segment (segment, folded, at) VALUES ('00000000000000000001-2', 9, 1)";
        store.write(Lane::Bulk, move |tx: &mut Tx<'_>| tx.execute(foreign, &[])).await.unwrap();
        assert_eq!(segments(&store).await, 11);
        tracking.purge(0, T0 + 30 * DAY).await.unwrap();
        assert_eq!(segments(&store).await, 2, "the one that is written, and the other node's");
        tracking.close().await;
        assert_eq!(open(&store, dir.path()).fold(T0 + 31 * DAY).await.unwrap(), 0, "also after a start");
        let more = move |tx: &mut Tx<'_>| tracking::purge_delivery_some(tx, 1);
        assert!(store.write(Lane::Bulk, more).await.unwrap());
        assert!(!store.write(Lane::Bulk, more).await.unwrap());
        assert_eq!(rows(&store).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_costs_the_count_and_not_the_answer() {
    sqlite(|store| async move {
        migrate(&store).await;
        let dir = tempfile::tempdir().unwrap();
        let events = dir.path().join("events");
        let tracking = open(&store, &events);
        std::fs::remove_dir(&events).unwrap();
        assert_eq!(tracking.record(event(1, EventKind::Open, None, T0)).await, Kept::Lost);
        assert_eq!(tracking.lost(), 1);
        std::fs::create_dir(&events).unwrap();
        assert!(kept(tracking.record(event(1, EventKind::Open, None, T0)).await));
        folds(&tracking, T0, 1).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_kept_as_a_hash_unless_it_is_wanted() {
    sqlite(|store| async move {
        let dir = tempfile::tempdir().unwrap();
        let tracking = open(&store, dir.path());
        let (four, mapped) = ("192.0.2.7".parse().unwrap(), "::ffff:192.0.2.7".parse().unwrap());
        let hash = tracking.client_address(four, false);
        assert_eq!(hash.len(), 16);
        assert_eq!(hash, tracking.client_address(mapped, false));
        assert_ne!(hash, tracking.client_address("192.0.2.8".parse().unwrap(), false));
        assert_eq!(tracking.client_address(mapped, true), "192.0.2.7");
        let other = Tracking::open(store.clone(), &dir.path().join("b"), [8; 32], 1).unwrap();
        assert_ne!(hash, other.client_address(four, false), "the key is the instance's own");
    })
    .await;
}
