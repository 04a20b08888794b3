//! The thread that appends: the next batch is all that arrived while the last fsync ran, as the queue's settler does it.
//! A quiet server syncs each event at once, a busy one a thousand together.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{Notify, mpsc, oneshot};

use crate::event::Event;
use crate::limits::{BATCH_MAX, EVENTS_WAITING_MAX, SEGMENT_AGE_MAX_US, SEGMENT_SIZE_MAX, SEGMENTS_SIZE_MAX};
use crate::segment::{MAGIC, list, name_of, path_of, time_of};
use crate::{Error, Result};

/// An event, and who waits for it to be on disk.
type Item = (Event, oneshot::Sender<bool>);

/// What the thread and the others know of each other.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The segment that is being written: not complete, even where it can be read to its end.
    pub active: Mutex<Option<String>>,
    /// Told after each batch.
    pub written: Notify,
    /// Events that could not be written.
    pub lost: AtomicU64,
    /// Octets of all segments, as the folder last said.
    pub size: AtomicU64,
}

impl Shared {
    pub(crate) fn active(&self) -> Option<String> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Takes events for the disk. Dropping it ends the thread after the last one.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    sender: mpsc::Sender<Item>,
}

impl Writer {
    /// Starts the thread over `dir`, which is made when absent. What earlier processes wrote is left as it is: a new
    /// segment begins with the first event.
    pub(crate) fn start(dir: &Path, node: i64, shared: Arc<Shared>) -> Result<(Writer, JoinHandle<()>)> {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let segments = list(dir)?;
        shared.size.store(segments.iter().map(|(_, size)| size).sum(), Ordering::Relaxed);
        let newest = segments.last().and_then(|(name, _)| time_of(name)).unwrap_or(0);
        let (sender, receiver) = mpsc::channel(EVENTS_WAITING_MAX);
        let work = Work { dir: dir.to_owned(), node, newest, open: None, failing: false, shared };
        let thread = std::thread::Builder::new()
            .name("events".into())
            .spawn(move || work.run(receiver))
            .map_err(Error::io(dir))?;
        Ok((Writer { sender }, thread))
    }

    /// Hands over an event; the receiver hears true once it is on disk.
    pub(crate) async fn append(&self, event: Event) -> Option<oneshot::Receiver<bool>> {
        let (sender, receiver) = oneshot::channel();
        self.sender.send((event, sender)).await.ok().map(|()| receiver)
    }
}

struct Open {
    file: File,
    size: u64,
    begun_us: i64,
}

struct Work {
    dir: PathBuf,
    node: i64,
    /// Time in the name of the newest segment: the next one's is later, whatever the clock says.
    newest: i64,
    open: Option<Open>,
    failing: bool,
    shared: Arc<Shared>,
}

impl Work {
    fn run(mut self, mut receiver: mpsc::Receiver<Item>) {
        while let Some(first) = receiver.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH_MAX
                && let Ok(item) = receiver.try_recv()
            {
                batch.push(item);
            }
            let mut bytes = Vec::with_capacity(batch.len() * 256);
            batch.iter().for_each(|(event, _)| event.write_frame(&mut bytes));
            let at = batch[0].0.at;
            // A write that failed half way leaves a torn tail, so the second try goes into a file of its own.
            let done = self.append(&bytes, at).or_else(|_| self.append(&bytes, at));
            self.tell(&done, batch.len());
            for (_, waiting) in batch {
                // Whoever no longer waits has answered already.
                let _ = waiting.send(done.is_ok());
            }
            self.shared.written.notify_one();
        }
        self.close();
    }

    /// Says the first failure of a row of them, and the end of the row.
    fn tell(&mut self, done: &Result<()>, events: usize) {
        match done {
            Ok(()) => self.failing = false,
            Err(error) => {
                self.shared.lost.fetch_add(events as u64, Ordering::Relaxed);
                if !self.failing {
                    tracing::error!(%error, events, "opens and clicks cannot be written; links lead on");
                }
                self.failing = true;
            }
        }
    }

    fn append(&mut self, bytes: &[u8], at: i64) -> Result<()> {
        let full = self.open.as_ref().is_some_and(|open| {
            open.size >= SEGMENT_SIZE_MAX || at.saturating_sub(open.begun_us) > SEGMENT_AGE_MAX_US
        });
        if full {
            self.close();
        }
        if self.open.is_none() {
            self.begin(at)?;
        }
        let dir = &self.dir;
        let open = self.open.as_mut().expect("begun above");
        let written = open.file.write_all(bytes).and_then(|()| open.file.sync_data());
        match written {
            Ok(()) => {
                open.size += bytes.len() as u64;
                self.shared.size.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                let failed = Error::io(dir)(error);
                self.close();
                Err(failed)
            }
        }
    }

    fn begin(&mut self, at: i64) -> Result<()> {
        if self.shared.size.load(Ordering::Relaxed) > SEGMENTS_SIZE_MAX {
            let full =
                std::io::Error::new(std::io::ErrorKind::StorageFull, "too many events wait for the database");
            return Err(Error::io(&self.dir)(full));
        }
        self.newest = at.max(self.newest + 1);
        let name = name_of(self.newest, self.node);
        let path = path_of(&self.dir, &name);
        let io = |error| Error::io(&path)(error);
        let mut file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(io)?;
        file.write_all(MAGIC).map_err(io)?;
        // The name must survive too, not only what stands under it.
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(io)?;
        *self.shared.active.lock().unwrap_or_else(PoisonError::into_inner) = Some(name);
        self.open = Some(Open { file, size: MAGIC.len() as u64, begun_us: at });
        Ok(())
    }

    fn close(&mut self) {
        self.open = None;
        *self.shared.active.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
