//! Folding the write-ahead log back into the database file, on a thread and connection of its own.

use super::{connect, opening, statement};
use crate::error::{Error, Result};
use rusqlite::Connection;
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A PASSIVE checkpoint (which waits for nobody) each time the log has grown by this much.
const LOG_STEP_BYTES: u64 = 64 * 1024 * 1024;
/// At this length the writer itself folds in what is left, before its next transaction: a writer that never pauses
/// would otherwise outrun every checkpoint beside it, and the log would grow until the disk is full.
const LOG_LEN_BYTES_MAX: u64 = 192 * 1024 * 1024;
/// After so long without a commit the log is folded in whole and cut to nothing.
const IDLE: Duration = Duration::from_secs(5);
/// Page cache of the checkpointer, which copies pages past it, in KiB.
const CACHE_KIB: u32 = 512;

pub(super) struct Checkpointer {
    stop: Arc<AtomicBool>,
    wake: SyncSender<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the writer and the checkpointer share.
#[derive(Default)]
struct Shared {
    commits: AtomicU64,
    /// Held during a checkpoint: SQLite refuses a second one rather than wait.
    turn: Mutex<()>,
}

/// Looks at the length of the log after each commit, on the writer's thread.
struct Watch {
    shared: Arc<Shared>,
    wake: SyncSender<()>,
    step_pages: u64,
    asked_at: u64,
}

impl Watch {
    fn committed(&mut self, wal: &mut Wal, pages: u64) {
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        if pages < self.asked_at {
            self.asked_at = 0; // the log started anew
        }
        if pages < self.asked_at + self.step_pages {
            return;
        }
        self.asked_at = pages;
        if pages < self.step_pages * (LOG_LEN_BYTES_MAX / LOG_STEP_BYTES) {
            let _ = self.wake.try_send(());
            return;
        }
        let _turn = self.shared.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // The commit stands already; a checkpoint that fails is tried again a step later.
        if let Err(error) = wal.checkpoint_v2(CheckpointMode::PASSIVE) {
            tracing::warn!(%error, "the write-ahead log could not be folded in by the writer");
        }
    }
}

impl Checkpointer {
    /// Watches `writer`'s commits; checkpoints on its own connection.
    pub(super) fn start(path: &Path, writer: &mut Connection) -> Result<Checkpointer> {
        let page: i64 = writer.query_row("PRAGMA page_size", [], |row| row.get(0)).map_err(opening)?;
        let step_pages = LOG_STEP_BYTES / u64::try_from(page).unwrap_or(4096).max(512);
        // One place: a wake-up that finds another one waiting has nothing to add.
        let (wake, woken) = mpsc::sync_channel(1);
        let shared = Arc::new(Shared::default());
        let mut watch = Watch { shared: shared.clone(), wake: wake.clone(), step_pages, asked_at: 0 };
        let hook = move |wal: &mut Wal, pages: std::ffi::c_int| {
            watch.committed(wal, u64::try_from(pages).unwrap_or(0));
            Ok(())
        };
        writer.wal_hook(Some(hook)).map_err(opening)?;
        let connection = connect(path, CACHE_KIB)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, path) = (stop.clone(), path.to_path_buf());
        let thread = std::thread::Builder::new()
            .name("store-checkp".into())
            .spawn(move || run(&connection, &path, &woken, &shared, &stopped))
            .map_err(Error::io("store-checkp"))?;
        Ok(Checkpointer { stop, wake, thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.wake.try_send(());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.wake.try_send(());
    }
}

fn run(
    connection: &Connection,
    path: &Path,
    woken: &mpsc::Receiver<()>,
    shared: &Shared,
    stopped: &AtomicBool,
) {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    let mut last = u64::MAX;
    while !stopped.load(Ordering::SeqCst) {
        match woken.recv_timeout(IDLE) {
            Ok(()) if !stopped.load(Ordering::SeqCst) => {
                checkpoint(connection, shared, "PRAGMA wal_checkpoint(PASSIVE)")
            }
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let commits = shared.commits.load(Ordering::Relaxed);
                let idle = commits == last;
                last = commits;
                if idle && std::fs::metadata(&log).is_ok_and(|file| file.len() > 0) {
                    checkpoint(connection, shared, "PRAGMA wal_checkpoint(TRUNCATE)");
                }
            }
        }
    }
}

/// A checkpoint that does not get through (a long reader, a full disk) loses nothing: the log stays as it is.
fn checkpoint(connection: &Connection, shared: &Shared, pragma: &str) {
    let _turn = shared.turn.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = statement::query(connection, pragma, &[], &mut |_| true) {
        tracing::warn!(%error, "the write-ahead log could not be folded in; it will be tried again");
    }
}
