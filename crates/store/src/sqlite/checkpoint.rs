//! Folding the write-ahead log back into the database file, on a thread and connection of its own.

use super::{connect, opening, statement};
use crate::error::{Error, Result};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A PASSIVE checkpoint (which waits for nobody) each time the log has grown by this much.
const LOG_STEP_BYTES: u64 = 64 * 1024 * 1024;
/// After so long without a commit the log is folded in whole and cut to nothing.
const IDLE: Duration = Duration::from_secs(5);
/// Page cache of the checkpointer, which copies pages past it, in KiB.
const CACHE_KIB: u32 = 512;

pub(super) struct Checkpointer {
    stop: Arc<AtomicBool>,
    wake: SyncSender<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the writer's commits tell the checkpointer.
#[derive(Default)]
struct Seen {
    commits: AtomicU64,
}

impl Checkpointer {
    /// Watches `writer`'s commits; checkpoints on its own connection.
    pub(super) fn start(path: &Path, writer: &mut Connection) -> Result<Checkpointer> {
        let page: i64 = writer.query_row("PRAGMA page_size", [], |row| row.get(0)).map_err(opening)?;
        let step_pages = LOG_STEP_BYTES / u64::try_from(page).unwrap_or(4096).max(512);
        // One place: a wake-up that finds another one waiting has nothing to add.
        let (wake, woken) = mpsc::sync_channel(1);
        let seen = Arc::new(Seen::default());
        let (seen_by_hook, wake_by_hook) = (seen.clone(), wake.clone());
        let mut asked_at = 0u64;
        let hook = move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            seen_by_hook.commits.fetch_add(1, Ordering::Relaxed);
            let pages = u64::try_from(pages).unwrap_or(0);
            if pages < asked_at {
                asked_at = 0; // the log started anew
            }
            if pages >= asked_at + step_pages {
                asked_at = pages;
                let _ = wake_by_hook.try_send(());
            }
            Ok(())
        };
        writer.wal_hook(Some(hook)).map_err(opening)?;
        let connection = connect(path, CACHE_KIB)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, path) = (stop.clone(), path.to_path_buf());
        let thread = std::thread::Builder::new()
            .name("store-checkp".into())
            .spawn(move || run(&connection, &path, &woken, &seen, &stopped))
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

fn run(connection: &Connection, path: &Path, woken: &mpsc::Receiver<()>, seen: &Seen, stopped: &AtomicBool) {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    let mut last = u64::MAX;
    while !stopped.load(Ordering::SeqCst) {
        match woken.recv_timeout(IDLE) {
            Ok(()) if !stopped.load(Ordering::SeqCst) => {
                checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)")
            }
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let commits = seen.commits.load(Ordering::Relaxed);
                let idle = commits == last;
                last = commits;
                if idle && std::fs::metadata(&log).is_ok_and(|file| file.len() > 0) {
                    checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)");
                }
            }
        }
    }
}

/// A checkpoint that does not get through (a long reader, a full disk) loses nothing: the log stays as it is.
fn checkpoint(connection: &Connection, pragma: &str) {
    if let Err(error) = statement::query(connection, pragma, &[], &mut |_| true) {
        tracing::warn!(%error, "the write-ahead log could not be folded in; it will be tried again");
    }
}
