//! `Tracking`: the asynchronous face of the room.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use message::Snapshot;
use queue::delivery_of;
use store::{Lane, Store};

use crate::event::Event;
use crate::fold::Folder;
use crate::limits::{
    FOLD_IDLE, FOLD_RETRY, FOLD_SPACING, LINK_TABLE_AGE_MAX_US, LINK_TABLE_RETRY_US, LINK_TABLE_WAIT_MAX,
    PURGE_PERIOD_US, RECORD_WAIT_MAX,
};
use crate::links::{Cache, DeliveryLinks, Destination, Found, LinkTable, Resource};
use crate::relations::{EventRow, LinkClicks, clicks_by_link, events_of, purge_some};
use crate::resources;
use crate::writer::{Shared, Writer};
use crate::{Error, EventKind, Result};

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is on disk.
    OnDisk,
    /// It waits for a slow disk; the answer need not.
    Late,
    /// It could not be kept, which is said in the log once.
    Lost,
}

/// The tracking room of one node. Cheap to clone.
#[derive(Clone)]
pub struct Tracking {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    dir: PathBuf,
    key: [u8; 32],
    writer: Mutex<Option<(Writer, JoinHandle<()>)>>,
    shared: Arc<Shared>,
    folder: tokio::sync::Mutex<Folder>,
    tables: Cache,
}

impl std::fmt::Debug for Tracking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracking").field("dir", &self.inner.dir).finish_non_exhaustive()
    }
}

impl Tracking {
    /// The room over a migrated store, with its segment files in `dir` (made when absent). `key` hashes the addresses of
    /// clients; `node` tells this node's segments from another's.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(store: Store, dir: &Path, key: [u8; 32], node: i64) -> Result<Tracking> {
        let shared = Arc::new(Shared::default());
        let writer = Writer::start(dir, node, Arc::clone(&shared))?;
        Ok(Tracking {
            inner: Arc::new(Inner {
                store,
                dir: dir.to_owned(),
                key,
                writer: Mutex::new(Some(writer)),
                shared,
                folder: tokio::sync::Mutex::new(Folder::new(node)),
                tables: Cache::default(),
            }),
        })
    }

    /// Appends an event and waits until it is on disk, but not longer than [`RECORD_WAIT_MAX`].
    pub async fn record(&self, event: Event) -> Kept {
        let writer = self.lock_writer().as_ref().map(|(writer, _)| writer.clone());
        let Some(writer) = writer else { return Kept::Lost };
        let deadline = tokio::time::Instant::now() + RECORD_WAIT_MAX;
        let Ok(Some(written)) = tokio::time::timeout_at(deadline, writer.append(event)).await else {
            self.inner.shared.lost.fetch_add(1, Ordering::Relaxed);
            return Kept::Lost;
        };
        match tokio::time::timeout_at(deadline, written).await {
            Ok(Ok(true)) => Kept::OnDisk,
            Ok(_) => Kept::Lost,
            Err(_) => Kept::Late,
        }
    }

    /// Events that could not be kept since the start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.inner.shared.lost.load(Ordering::Relaxed)
    }

    /// What is kept of a client's address: 16 hex digits of a keyed hash, or the address where `whole` says so.
    #[must_use]
    pub fn client_address(&self, address: IpAddr, whole: bool) -> String {
        if whole {
            return address.to_canonical().to_string();
        }
        let text = address.to_canonical().to_string();
        blake3::keyed_hash(&self.inner.key, text.as_bytes()).to_hex()[..16].to_owned()
    }

    /// Where link `number` of a message leads, with the values of the request's query.
    ///
    /// # Errors
    /// The database is away and the delivery's links are not in memory.
    pub async fn link(
        &self,
        message: i64,
        number: u16,
        query: &str,
        now: i64,
    ) -> Result<Resource<Destination>> {
        let table = self.table(message, now).await?;
        Ok(table.and_then(|table| table.destination(number, query)))
    }

    /// The link table of a message's delivery. Asked when a delivery's parts are made ready for sending too, so that its
    /// links lead on though the database goes away before the first click.
    ///
    /// # Errors
    /// As [`Tracking::link`].
    pub async fn table(&self, message: i64, now: i64) -> Result<Resource<Arc<LinkTable>>> {
        let delivery = delivery_of(message);
        let tables = &self.inner.tables;
        let read = match tables.get(delivery, now) {
            Found::Fresh(links) => match links.of(message) {
                Some(table) => return Ok(within(table, now)),
                // What its message says was decided after these were read.
                None => self.read_links(message).await?,
            },
            Found::Nothing => self.read_links(message).await?,
            Found::Old(old) => {
                match tokio::time::timeout(LINK_TABLE_WAIT_MAX, self.read_links(message)).await {
                    Ok(Ok(read)) => read,
                    Ok(Err(error @ (Error::Store(_) | Error::Queue(_)))) => {
                        return self.old_links(message, old, now).ok_or(error);
                    }
                    Err(_) => return Ok(self.old_links(message, old, now).unwrap_or(Resource::Unknown)),
                    Ok(Err(error)) => return Err(error),
                }
            }
        };
        let Some(links) = read.map(Arc::new) else {
            tables.forget(delivery);
            return Ok(Resource::Unknown);
        };
        tables.put(delivery, Arc::clone(&links), now);
        Ok(links.of(message).map_or(Resource::Unknown, |table| within(table, now)))
    }

    /// Serves what was read long ago, while the database is away, and asks again a little later.
    fn old_links(&self, message: i64, old: Arc<DeliveryLinks>, now: i64) -> Option<Resource<Arc<LinkTable>>> {
        let table = old.of(message)?;
        let again = now - LINK_TABLE_AGE_MAX_US + LINK_TABLE_RETRY_US;
        self.inner.tables.put(delivery_of(message), old, again);
        Some(within(table, now))
    }

    async fn read_links(&self, message: i64) -> Result<Option<DeliveryLinks>> {
        let delivery = delivery_of(message);
        let found = self.inner.store.read(move |tx| resources::contents(tx, delivery)).await?;
        let Some(found) = found else { return Ok(None) };
        let read = tokio::task::spawn_blocking(move || {
            let mut tables = Vec::with_capacity(found.contents.len());
            for (hash, bytes) in found.contents {
                tables.push(LinkTable::new(Snapshot::from_bytes(&bytes)?, hash, found.until));
            }
            Ok::<_, Error>((tables, found.spans))
        });
        let (mut tables, spans) =
            read.await.map_err(|error| Error::io("snapshot")(std::io::Error::other(error)))??;
        if spans.is_empty() {
            return Ok(tables.pop().map(|table| DeliveryLinks::whole(delivery, table)));
        }
        let tables: Vec<_> = tables.into_iter().map(Arc::new).collect();
        let stretches = spans.into_iter().filter_map(|span| {
            let table = tables.iter().find(|table| table.snapshot == span.snapshot)?;
            Some((span.first_id, span.last_id, Arc::clone(table)))
        });
        Ok(Some(DeliveryLinks::by_stretch(stretches)))
    }

    /// The events of a message, for its page in the log.
    ///
    /// # Errors
    /// The database's.
    pub async fn events_of(&self, message: i64) -> Result<Vec<EventRow>> {
        self.inner.store.read(move |tx| events_of(tx, message)).await
    }

    /// Clicks of a delivery by link.
    ///
    /// # Errors
    /// The database's.
    pub async fn clicks_by_link(&self, delivery: i64) -> Result<Vec<LinkClicks>> {
        self.inner.store.read(move |tx| clicks_by_link(tx, delivery)).await
    }

    /// Events of a delivery by kind: in all, and messages that have one.
    ///
    /// # Errors
    /// The database's.
    pub async fn counts(&self, delivery: i64) -> Result<Vec<(EventKind, i64, i64)>> {
        self.inner.store.read(move |tx| crate::relations::counts(tx, delivery)).await
    }

    /// Folds what is on disk into the database now; gives the number of events.
    ///
    /// # Errors
    /// The database's or the disk's; what was not folded is folded by the next call.
    pub async fn fold(&self, now: i64) -> Result<u64> {
        let inner = &self.inner;
        inner.folder.lock().await.fold(&inner.store, &inner.dir, &inner.shared, now).await
    }

    /// Deletes events from before `before`, and segments that are no longer needed at `now`.
    ///
    /// # Errors
    /// The database's or the disk's.
    pub async fn purge(&self, before: i64, now: i64) -> Result<()> {
        let inner = &self.inner;
        inner.folder.lock().await.tidy(&inner.store, &inner.dir, &inner.shared, now).await?;
        let mut after = Some(0);
        while let Some(from) = after {
            after = inner.store.write(Lane::Bulk, move |tx| purge_some(tx, before, from)).await?;
        }
        Ok(())
    }

    /// Folds whenever something was written, and purges by age once an hour; for a task of its own, which may be dropped
    /// at any moment. `now` and `kept_us` (how long events are kept) are asked anew each time.
    pub async fn follow(self, now: impl Fn() -> i64, kept_us: impl Fn() -> i64) {
        let mut failing = false;
        let mut purged_at = None;
        loop {
            let time = now();
            let mut done = self.fold(time).await.map(|_| ());
            if done.is_ok() && purged_at.is_none_or(|at| time - at > PURGE_PERIOD_US) {
                purged_at = Some(time);
                done = self.purge(time - kept_us(), time).await;
            }
            match done {
                Ok(()) => {
                    failing = false;
                    tokio::time::sleep(FOLD_SPACING).await;
                    // The timeout is no failure: it is time to look again.
                    let _ = tokio::time::timeout(FOLD_IDLE, self.inner.shared.written.notified()).await;
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "events cannot be folded in; they stay in their files");
                    }
                    failing = true;
                    tokio::time::sleep(FOLD_RETRY).await;
                }
            }
        }
    }

    /// Ends the writing thread after the last event is on disk. Events that come later are lost.
    pub async fn close(&self) {
        let Some((writer, thread)) = self.lock_writer().take() else { return };
        drop(writer);
        // A thread that panicked has nothing more to write.
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }

    fn lock_writer(&self) -> std::sync::MutexGuard<'_, Option<(Writer, JoinHandle<()>)>> {
        self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn within(table: Arc<LinkTable>, now: i64) -> Resource<Arc<LinkTable>> {
    if now < table.until { Resource::There(table) } else { Resource::Expired }
}
