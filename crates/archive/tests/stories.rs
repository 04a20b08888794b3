//! The archive's contract, on SQLite and on PostgreSQL: every sent message is archived once, with its very bytes, and
//! nothing is lost by whatever goes wrong on the way.

#![allow(clippy::unwrap_used)]

mod story;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use archive::{Compress, Config, Keeping, Way};
use store::testing::each;
use story::{Closed, PATIENCE, Server, Story, T0, bytes_of, folder, post, until};

fn empty(state: &archive::State) -> bool {
    state.waiting == 0 && state.held == 0
}

#[tokio::test(flavor = "multi_thread")]
async fn each_copy_arrives_once_with_its_very_bytes_and_no_way_back() {
    each(|store| async move {
        let story = Story::begin(store).await;
        let server = Server::new(|_, _| None);
        let port = server.listen().await;
        let archive = story.archive(post(port, 3));
        let mut ids = story.campaign(1, 300).await;
        ids.extend(story.campaign(2, 5).await);
        let state = until(&archive, "empty", |state| empty(state) && state.archived == 305).await;
        assert_eq!(state.way, Way::Address("archive@vault.example".to_owned()));
        assert_eq!((state.trouble, state.oldest), (None, None));
        for id in ids {
            let taken = server.taken.lock().unwrap().get(&id).cloned();
            assert_eq!(taken, Some((1, bytes_of(id))), "{id}");
        }
        let envelopes = server.envelopes.lock().unwrap().clone();
        assert!(envelopes.iter().all(|line| {
            line.starts_with("MAIL FROM:<>") || line.starts_with("RCPT TO:<archive@vault.example>")
        }));
        // Many over one connection.
        assert!(server.connections.load(Ordering::SeqCst) <= 30);
        assert_eq!(archive.of_delivery(2).await.unwrap(), (0, 0, 5));
        // What is archived is not counted in the delivery.
        assert!(story.queue.verify(1, T0).await.unwrap().agrees);
        archive.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_the_server_is_away_and_refuses() {
    each(|store| async move {
        let story = Story::begin(store).await;
        let open = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&open);
        let server = Server::new(move |verb, _| {
            (verb == "rcpt" && !seen.load(Ordering::SeqCst)).then(|| "550 5.1.1 no such mailbox".to_owned())
        });
        let port = Closed::new();
        let archive = story.archive(post(port.number(), 2));
        let ids = story.campaign(1, 40).await;
        let state = until(&archive, "in trouble", |state| state.trouble.is_some()).await;
        assert_eq!((state.waiting, state.held, state.oldest), (40, 0, Some(T0)));
        assert!(state.trouble.unwrap().until.is_some(), "it rests");

        server.listen_on(port);
        archive.try_again().await.unwrap();
        let refused = |state: &archive::State| {
            state.trouble.as_ref().is_some_and(|trouble| trouble.words.contains("no such mailbox"))
        };
        let state = until(&archive, "refused", refused).await;
        assert_eq!((state.waiting, state.held), (40, 0), "the address is to blame, no copy is");
        open.store(true, Ordering::SeqCst);
        archive.try_again().await.unwrap();
        let state = until(&archive, "empty", empty).await;
        assert_eq!((state.archived, state.trouble), (40, None));
        assert!(ids.iter().all(|id| server.times(*id) == 1));
        archive.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_refused_is_held_with_the_servers_words() {
    each(|store| async move {
        let story = Story::begin(store).await;
        let open = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&open);
        let server = Server::new(move |verb, text| {
            let bad = verb == "dot" && text.contains("Subject: 268435459");
            (bad && !seen.load(Ordering::SeqCst)).then(|| "552 5.3.4 too large".to_owned())
        });
        let port = server.listen().await;
        let archive = story.archive(post(port, 1));
        let ids = story.campaign(1, 8).await;
        assert_eq!(ids[3], 268_435_459);
        let state = until(&archive, "held", |state| state.held == 1 && state.waiting == 0).await;
        assert_eq!(state.archived, 7);
        let held = archive.held(0, 10).await.unwrap();
        assert_eq!((held.len(), held[0].id, held[0].address.as_str()), (1, ids[3], "user3@a.example"));
        assert!(held[0].error.contains("552 5.3.4 too large"), "{}", held[0].error);
        open.store(true, Ordering::SeqCst);
        assert_eq!(archive.try_again().await.unwrap(), 1);
        until(&archive, "empty", empty).await;
        assert_eq!(server.times(ids[3]), 1);
        archive.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_from_what_was_sent_goes_nowhere() {
    each(|store| async move {
        let story = Story::begin(store).await;
        let dir = tempfile::tempdir().unwrap();
        let messages = story.confirm(1, 4).await;
        let changed = messages[2].id;
        story.maker.changed.lock().unwrap().push(changed);
        story.sent(&messages).await;
        let config = folder(dir.path(), Compress::None, 100, Duration::ZERO);
        let root = config.path.clone();
        let archive = story.archive(Keeping::Folder(config));
        let state = until(&archive, "held", |state| state.held == 1 && state.waiting == 0).await;
        assert_eq!(state.archived, 3);
        let held = archive.held(0, 10).await.unwrap();
        assert!(held[0].id == changed && held[0].error.contains("differs from what was sent"));
        assert!(!path(&root, changed).exists());
        // To an address neither.
        let server = Server::new(|_, _| None);
        let port = server.listen().await;
        archive.configure(Config { keeping: post(port, 1) }, story.world.clone());
        assert_eq!(archive.try_again().await.unwrap(), 1);
        until(&archive, "held again", |state| state.held == 1).await;
        assert_eq!(server.times(changed), 0);
        assert_eq!(archive.give_up(vec![changed, 7]).await.unwrap(), 1);
        assert!(empty(&archive.state().await.unwrap()));
        archive.shutdown().await;
    })
    .await;
}

/// Where a copy lies.
fn path(root: &Path, id: i64) -> std::path::PathBuf {
    root.join(format!("2025-11-26/14h/{}-{id}.eml", queue::delivery_of(id)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_holds_the_very_bytes_in_batches_with_a_chain() {
    each(|store| async move {
        for compress in [Compress::None, Compress::Zip] {
            let story = Story::begin(store.clone()).await;
            let dir = tempfile::tempdir().unwrap();
            let config = folder(dir.path(), compress, 64, Duration::from_millis(300));
            let root = config.path.clone();
            let delivery = if compress == Compress::None { 1 } else { 2 };
            let archive = story.archive(Keeping::Folder(config));
            let before = archive.state().await.unwrap().archived;
            let ids = story.campaign(delivery, 150).await;
            let state = until(&archive, "empty", empty).await;
            assert_eq!(state.archived - before, 150);
            let report = archive::verify(&root).unwrap();
            assert_eq!((report.copies, report.missing, &report.findings), (150, 0, &vec![]), "{report:?}");
            assert!(report.batches >= 3, "64 a batch");
            match compress {
                Compress::None => {
                    for id in &ids {
                        assert_eq!(fs::read(path(&root, *id)).unwrap(), bytes_of(*id));
                    }
                }
                Compress::Zip => {
                    assert!(!root.join("2025-11-26").exists(), "zips lie in the hour of their making")
                }
            }
            archive.shutdown().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_manifest_and_commit_makes_no_copy_twice() {
    each(|store| async move {
        let story = Story::begin(store.clone()).await;
        let dir = tempfile::tempdir().unwrap();
        let config = folder(dir.path(), Compress::Zip, 100, Duration::ZERO);
        let root = config.path.clone();
        let first = story.archive(Keeping::Folder(config.clone()));
        let ids = story.campaign(1, 20).await;
        until(&first, "empty", empty).await;
        first.shutdown().await;
        // As if the process had died before the commit: files are there, rows are not.
        store
            .write(store::Lane::Bulk, move |tx| {
                tx.execute("DELETE FROM archive_batch WHERE number = 1", &[])?;
                tx.execute("DELETE FROM archived", &[])?;
                for id in &ids {
                    tx.execute(
                        "INSERT INTO bcc (id, sent_at, due, tries, held) VALUES ($1, $2, $2, 0, 0)",
                        &store::binds![*id, T0],
                    )?;
                }
                Ok::<_, store::Error>(())
            })
            .await
            .unwrap();
        let composed = story.maker.composed.load(Ordering::SeqCst);
        let second = story.archive(Keeping::Folder(config.clone()));
        let state = until(&second, "empty", empty).await;
        assert_eq!(state.archived, 20);
        assert_eq!(
            story.maker.composed.load(Ordering::SeqCst),
            composed,
            "the batch was found, not made again"
        );
        story.campaign(2, 3).await;
        until(&second, "empty", |state| empty(state) && state.archived == 23).await;
        second.shutdown().await;
        let report = archive::verify(&root).unwrap();
        assert_eq!((report.batches, report.copies, report.findings), (2, 23, vec![]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_installations_folder_is_not_written_to() {
    each(|store| async move {
        let story = Story::begin(store).await;
        let dir = tempfile::tempdir().unwrap();
        let config = folder(dir.path(), Compress::None, 100, Duration::ZERO);
        let manifests = config.path.join("manifests");
        fs::create_dir_all(&manifests).unwrap();
        let foreign = format!(
            "# Mailwright archive, batch 1\n# made: 2025-11-26T14:00:00Z\n# previous: {0}\n{0}  2025-11-26/14h/1-268435456.eml\n",
            "0".repeat(64)
        );
        fs::write(manifests.join("0000000001.sha256"), foreign).unwrap();
        let archive = story.archive(Keeping::Folder(config.clone()));
        story.campaign(1, 3).await;
        let state = until(&archive, "in trouble", |state| state.trouble.is_some()).await;
        let words = state.trouble.unwrap().words;
        assert!(words.contains("Set archive.folder to an empty folder"), "{words}");
        assert_eq!((state.waiting, state.archived), (3, 0));
        assert!(!config.path.join("2025-11-26").exists());
        archive.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_written_is_named_and_tried_again() {
    each(|store| async move {
        let story = Story::begin(store).await;
        let dir = tempfile::tempdir().unwrap();
        let config = folder(dir.path(), Compress::None, 100, Duration::ZERO);
        // A file stands where the folder should be.
        fs::write(&config.path, b"").unwrap();
        let archive = story.archive(Keeping::Folder(config.clone()));
        let ids = story.campaign(1, 3).await;
        let state = until(&archive, "in trouble", |state| state.trouble.is_some()).await;
        assert!(state.trouble.unwrap().words.contains("Check that the folder is there"));
        assert_eq!(state.waiting, 3);
        fs::remove_file(&config.path).unwrap();
        // Another file of the copy's name is not overwritten.
        fs::create_dir_all(path(&config.path, ids[1]).parent().unwrap()).unwrap();
        fs::write(path(&config.path, ids[1]), b"somebody else's").unwrap();
        archive.try_again().await.unwrap();
        let state = until(&archive, "held", |state| state.held == 1 && state.waiting == 0).await;
        assert_eq!(state.archived, 2);
        assert_eq!(fs::read(path(&config.path, ids[1])).unwrap(), b"somebody else's");
        archive.shutdown().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_wait_while_nothing_is_configured_and_while_a_key_is_away() {
    each(|store| async move {
        let story = Story::begin(store).await;
        let dir = tempfile::tempdir().unwrap();
        let archive = story.archive(Config::nowhere().keeping);
        story.campaign(1, 3).await;
        assert!(!archive.is_configured());
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(archive.state().await.unwrap().waiting, 3);
        story.maker.not_now.store(true, Ordering::SeqCst);
        let mut config = folder(dir.path(), Compress::None, 100, Duration::ZERO);
        config.retention = Some(Duration::from_secs(3_600));
        archive.configure(Config { keeping: Keeping::Folder(config.clone()) }, story.world.clone());
        let state = until(&archive, "put off", |state| state.put_off.is_some()).await;
        assert_eq!((state.waiting, state.held, state.archived), (3, 0, 0));
        assert_eq!(state.put_off.as_deref(), Some("the key is away"));
        story.maker.not_now.store(false, Ordering::SeqCst);
        archive.try_again().await.unwrap();
        until(&archive, "empty", empty).await;
        archive.shutdown().await;
        archive.shutdown().await;
        // After the next start what is older than its retention goes.
        let archive = story.archive(Keeping::Folder(config.clone()));
        let begin = std::time::Instant::now();
        while config.path.join("2025-11-26").exists() {
            assert!(begin.elapsed() < PATIENCE, "old copies are still there");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        archive.shutdown().await;
    })
    .await;
}

/// A server that takes the message and dies before it answers: the copy comes again, nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_loses_no_copy() {
    each(|store| async move {
        let story = Story::begin(store).await;
        let once = Arc::new(AtomicBool::new(false));
        let server = Server::new(move |verb, _| {
            (verb == "dot" && !once.swap(true, Ordering::SeqCst)).then(|| "cut".to_owned())
        });
        let port = server.listen().await;
        let archive = story.archive(post(port, 1));
        let ids = story.campaign(1, 5).await;
        // The cut one waits a minute, unless somebody asks.
        until(&archive, "tried", |state| state.archived == 4).await;
        archive.try_again().await.unwrap();
        until(&archive, "empty", empty).await;
        let times: Vec<usize> = ids.iter().map(|id| server.times(*id)).collect();
        assert_eq!(times.iter().sum::<usize>(), 6, "one came twice: {times:?}");
        assert!(times.iter().all(|times| *times >= 1));
        archive.shutdown().await;
    })
    .await;
}
