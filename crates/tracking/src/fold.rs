//! Folding: what stands in the segment files goes into the table `event`, exactly once.
//!
//! One transaction inserts the events of a piece and moves `event_segment.folded` to the piece's end. It begins by looking
//! where the database stands, so a commit whose answer was lost, or a second node's folder restored by mistake, counts
//! nothing twice. Folded files stay for [`SEGMENT_KEPT_US`]: a database restored from a backup asks for them again.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::Ordering;

use store::{Lane, Store, Tx, Value, binds};

use crate::event::Event;
use crate::limits::{SEGMENT_KEPT_US, SEGMENTS_SIZE_MAX};
use crate::segment::{self, Piece};
use crate::writer::Shared;
use crate::{Error, Result};

/// What is known of the folder between folds.
#[derive(Debug)]
pub(crate) struct Folder {
    node: i64,
    /// Segments that are folded to their end and written no more.
    done: HashSet<String>,
}

impl Folder {
    /// Nothing is known yet.
    pub(crate) fn new(node: i64) -> Folder {
        Folder { node, done: HashSet::new() }
    }

    /// Folds all that can be read now; gives the number of events. An error leaves the rest for the next call.
    pub(crate) async fn fold(&mut self, store: &Store, dir: &Path, shared: &Shared, now: i64) -> Result<u64> {
        let mut events = 0;
        // Asked before the files are read: a segment that is closed meanwhile is looked at once more.
        let active = shared.active();
        for (name, _) in listed(dir).await? {
            if self.done.contains(&name) {
                continue;
            }
            let mut from = store
                .read({
                    let name = name.clone();
                    move |tx| folded(tx, &name)
                })
                .await?;
            let lost = loop {
                let path = segment::path_of(dir, &name);
                let piece = blocking(move || segment::read(&path, from)).await?;
                let Piece { events: read, end, last, lost } = piece;
                if end > from {
                    let count = read.len() as u64;
                    let name = name.clone();
                    let step = move |tx: &mut Tx<'_>| fold_piece(tx, &name, from, end, &read, now);
                    if store.write(Lane::Bulk, step).await? {
                        events += count;
                        from = end;
                        if last { break lost } else { continue }
                    }
                    // Somebody else, or a commit of ours that was thought lost, went on meanwhile.
                    return Ok(events);
                }
                break lost;
            };
            if active.as_ref() != Some(&name) {
                if lost > 0 {
                    tracing::warn!(segment = name, octets = lost, "the end of an event segment is torn");
                }
                self.done.insert(name);
            }
        }
        Ok(events)
    }

    /// Removes folded segments that are too old, or too many, and the rows of those that are gone.
    pub(crate) async fn tidy(&mut self, store: &Store, dir: &Path, shared: &Shared, now: i64) -> Result<()> {
        let segments = listed(dir).await?;
        let mut size: u64 = segments.iter().map(|(_, size)| size).sum();
        let mut oldest = None;
        for (name, octets) in segments {
            let old = segment::time_of(&name).is_none_or(|time| now - time > SEGMENT_KEPT_US);
            if self.done.contains(&name) && (old || size > SEGMENTS_SIZE_MAX / 2) {
                let path = segment::path_of(dir, &name);
                blocking(move || std::fs::remove_file(&path).map_err(Error::io(path))).await?;
                self.done.remove(&name);
                size -= octets;
            } else {
                oldest.get_or_insert(name);
            }
        }
        shared.size.store(size, Ordering::Relaxed);
        // A row outlives its file by as long again, in case the file comes back with a restored folder. Another node's
        // rows are its own: it may still have the files.
        let before = now - 2 * SEGMENT_KEPT_US;
        let ours = format!("%-{}", self.node);
        store
            .write(Lane::Bulk, move |tx| {
                let oldest = oldest.unwrap_or_else(|| "~".to_owned());
                let sql = "DELETE FROM event_segment WHERE at < $1 AND segment < $2 AND segment LIKE $3";
                tx.execute(sql, &binds![before, oldest, ours]).map(|_| ())
            })
            .await?;
        Ok(())
    }
}

async fn listed(dir: &Path) -> Result<Vec<(String, u64)>> {
    let dir = dir.to_owned();
    blocking(move || segment::list(&dir)).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::io("events")(std::io::Error::other(error))),
    }
}

fn folded(tx: &mut Tx<'_>, name: &str) -> Result<u64> {
    let found =
        tx.query_opt("SELECT folded FROM event_segment WHERE segment = $1", &binds![name], |row| row.int(0))?;
    Ok(u64::try_from(found.unwrap_or(0)).unwrap_or(0))
}

/// False when the database stands elsewhere than at `from`: nothing was written.
fn fold_piece(tx: &mut Tx<'_>, name: &str, from: u64, end: u64, events: &[Event], now: i64) -> Result<bool> {
    let (start, stop) = (from.cast_signed(), end.cast_signed());
    let moved = if from == 0 {
        tx.execute(
            "INSERT INTO event_segment (segment, folded, at) VALUES ($1, $2, $3) ON CONFLICT (segment) DO NOTHING",
            &binds![name, stop, now],
        )?
    } else {
        tx.execute(
            "UPDATE event_segment SET folded = $3, at = $4 WHERE segment = $1 AND folded = $2",
            &binds![name, start, stop, now],
        )?
    };
    if moved == 0 {
        return Ok(false);
    }
    let columns = ["message", "kind", "link", "at", "machine", "agent", "client"];
    let rows = events.iter().map(|event| {
        vec![
            Value::Int(event.message),
            Value::Int(event.kind as i64),
            event.link.map_or(Value::Null, |link| Value::Int(i64::from(link))),
            Value::Int(event.at),
            Value::Int(i64::from(event.client.machine)),
            // PostgreSQL's text holds no NUL; a file of ours has none, a damaged one might.
            Value::Text(event.client.agent.replace('\0', "")),
            Value::Text(event.client.address.replace('\0', "")),
        ]
    });
    tx.copy_in("event", &columns, rows)?;
    Ok(true)
}
