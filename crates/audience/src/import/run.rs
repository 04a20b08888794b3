//! One import from its first byte to its report: the writing half, and the record of it.

use std::io::Read;
use std::time::Instant;

use store::Lane;
use tokio::sync::{mpsc, oneshot};

use super::merge::{self, Merged};
use super::read::{ReadOptions, ReadOutcome, Work, read};
use super::{Counts, ImportControl, ImportOptions, ImportReport, ImportState, Phase, log, shortened};
use crate::error::{Error, Result};
use crate::limits::{NICE, REPLY_LEN_MAX};
use crate::{Audience, lists, recipients};

/// Chunks between the reader and the writer.
const CHUNKS_AHEAD: usize = 1;

/// An import that has its record and can be run.
pub struct ImportRun {
    audience: Audience,
    id: i64,
    source: Box<dyn Read + Send>,
    options: ImportOptions,
    control: ImportControl,
    now_us: i64,
    guests: Option<i64>,
}

impl Audience {
    /// Prepares an import of a CSV file. The source is read on a thread of its own and may block.
    ///
    /// # Errors
    /// A list name that is none.
    pub async fn prepare_import(
        &self,
        source: Box<dyn Read + Send>,
        options: ImportOptions,
        now_us: i64,
    ) -> Result<ImportRun> {
        self.prepare_import_into(source, options, None, now_us).await
    }

    /// The rows become recipients, or guests of this delivery.
    pub(crate) async fn prepare_import_into(
        &self,
        source: Box<dyn Read + Send>,
        mut options: ImportOptions,
        guests: Option<i64>,
        now_us: i64,
    ) -> Result<ImportRun> {
        match guests {
            Some(_) => (options.list, options.dry_run) = (String::new(), false),
            None => options.list = lists::checked_name("list", &options.list)?,
        }
        let printable = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
        options.file_name = printable(&options.file_name);
        options.encoding = options.encoding.as_deref().map(printable);
        for (column, field) in &mut options.mapping {
            (*column, *field) = (printable(column), printable(field));
        }
        let record = options.clone();
        let id = self.store.write(Lane::Urgent, move |tx| log::begin(tx, &record, now_us)).await?;
        let control = ImportControl::new(options.bytes_total);
        Ok(ImportRun { audience: self.clone(), id, source, options, control, now_us, guests })
    }

    /// Imports a CSV file: [`Audience::prepare_import`] and [`ImportRun::run`].
    pub async fn import(
        &self,
        source: Box<dyn Read + Send>,
        options: ImportOptions,
        now_us: i64,
    ) -> Result<ImportReport> {
        self.prepare_import(source, options, now_us).await?.run().await
    }
}

impl ImportRun {
    /// The import's id.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// To watch it and to stop it.
    pub fn control(&self) -> ImportControl {
        self.control.clone()
    }

    /// Imports the file. The future must be driven to its end (spawn it): dropped before, the import stays `running` in its record
    /// until the next start.
    ///
    /// # Errors
    /// The file as a whole cannot be used, it cannot be read, the temporary file or the database fails. Rows that were
    /// written before stay, and the record says `failed` with the error.
    pub async fn run(self) -> Result<ImportReport> {
        // The semaphore is never closed.
        let turn = self.audience.import_turn.clone().acquire_owned().await;
        let started = Instant::now();
        let ImportRun { audience, id, source, options, control, now_us, guests } = self;
        let (to, work) = mpsc::channel(CHUNKS_AHEAD);
        let read_options = ReadOptions {
            encoding: options.encoding.clone(),
            mapping: options.mapping.clone(),
            work_dir: options.work_dir.clone(),
            dialect: audience.store.dialect(),
        };
        let reader = {
            let control = control.clone();
            at_low_rank(move || {
                // The turn ends with the reader's memory, also when the writer is gone.
                let _turn = turn;
                read(source, read_options, &control, to)
            })
        };
        let mut writer = Writer {
            audience: audience.clone(),
            id,
            options,
            control,
            now_us,
            guests,
            list: None,
            counts: Counts::default(),
        };
        let written = writer.write_all(work).await;
        let read = match reader {
            Ok(reader) => reader.await.ok(),
            Err(source) => Some(Err(Error::Io { doing: "cannot start a thread", source })),
        };
        let read = match read {
            Some(read) => read,
            None => Err(Error::File("the import ended unexpectedly while it read the file".to_owned())),
        };
        let outcome = written.and(read);
        writer.finish(outcome, started).await
    }
}

/// Runs `work` on a thread of its own, below everything else of the process: a core that sending or a page needs is not the
/// import's. Not on the runtime's blocking threads, because a lowered rank stays with the thread.
fn at_low_rank<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<oneshot::Receiver<T>> {
    let (done, receiver) = oneshot::channel();
    std::thread::Builder::new().name("import".to_owned()).spawn(move || {
        // On Linux a priority that a thread sets for itself holds for that thread alone. Where it cannot be set the import runs
        // all the same.
        let _ = rustix::process::setpriority_process(None, NICE);
        // Nobody waits any more when the import was dropped.
        let _ = done.send(work());
    })?;
    Ok(receiver)
}

struct Writer {
    audience: Audience,
    id: i64,
    options: ImportOptions,
    control: ImportControl,
    now_us: i64,
    guests: Option<i64>,
    list: Option<i64>,
    counts: Counts,
}

impl Writer {
    /// Takes work until the reader has no more. An error drops the receiver, which ends the reader.
    async fn write_all(&mut self, mut work: mpsc::Receiver<Work>) -> Result<()> {
        while let Some(work) = work.recv().await {
            self.write(work).await?;
            let counts = self.counts;
            self.control.update(|progress| progress.counts = counts);
        }
        Ok(())
    }

    /// One piece of work and the counts it leads to, in one transaction.
    async fn write(&mut self, work: Work) -> Result<()> {
        if let (Work::Start(_), Some(delivery)) = (&work, self.guests) {
            self.audience.delete_guests(delivery, Some(&self.options.file_name)).await?;
        }
        let (id, now_us, list, dry_run) = (self.id, self.now_us, self.list, self.options.dry_run);
        let guests = self.guests.map(|delivery| (delivery, self.options.file_name.clone()));
        let mut counts = self.counts;
        let name = self.options.list.clone();
        let done = move |tx: &mut store::Tx<'_>| {
            let mut list = list;
            match work {
                Work::Start(_) if dry_run => {}
                Work::Start(attributes) => {
                    if guests.is_none() {
                        list = Some(lists::ensure(tx, &name, now_us)?);
                    }
                    recipients::remember_names(tx, attributes.iter())?;
                }
                Work::Rejects(rejects) => {
                    counts.rejected += rejects.len() as u64;
                    log::reject(tx, id, rejects)?;
                }
                Work::Rows(rows) => {
                    let merged = match (&guests, list) {
                        (Some((delivery, file)), _) => merge::add_guests(tx, rows, *delivery, file, now_us)?,
                        (None, Some(list)) => merge::merge(tx, rows, list, now_us)?,
                        (None, None) => merge::compare(tx, rows)?,
                    };
                    counts = sum(counts, merged);
                }
            }
            log::count(tx, id, list, counts)?;
            Ok::<_, Error>((list, counts))
        };
        (self.list, self.counts) = self.audience.store.write(Lane::Bulk, done).await?;
        Ok(())
    }

    async fn finish(self, outcome: Result<ReadOutcome>, started: Instant) -> Result<ImportReport> {
        let elapsed = started.elapsed();
        let (state, encoding, error) = match &outcome {
            Ok(read) if read.cancelled => (ImportState::Cancelled, read.encoding.clone(), String::new()),
            Ok(read) => (ImportState::Finished, read.encoding.clone(), String::new()),
            Err(e) => (ImportState::Failed, self.options.encoding.clone().unwrap_or_default(), e.to_string()),
        };
        let error = shortened(&error, REPLY_LEN_MAX).to_owned();
        if let (Some(delivery), false) = (self.guests, state == ImportState::Finished) {
            // Half a file is no target.
            self.audience.delete_guests(delivery, Some(&self.options.file_name)).await?;
        }
        let id = self.id;
        let now_us = self.now_us.saturating_add(i64::try_from(elapsed.as_micros()).unwrap_or(0));
        let ended = self
            .audience
            .store
            .write(Lane::Urgent, move |tx| log::end(tx, id, state, &encoding, &error, now_us))
            .await;
        self.control.update(|progress| progress.phase = Phase::Done);
        // What ended the import says more than that its record could not be written for the same reason.
        outcome?;
        ended?;
        Ok(ImportReport { id, state, counts: self.counts, seconds: elapsed.as_secs_f64() })
    }
}

fn sum(counts: Counts, merged: Merged) -> Counts {
    Counts {
        created: counts.created + merged.created,
        updated: counts.updated + merged.updated,
        unchanged: counts.unchanged + merged.unchanged,
        rejected: counts.rejected,
    }
}
