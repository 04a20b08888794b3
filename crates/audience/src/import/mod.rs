//! Importing a CSV file into a list, whatever its size and its faults.
//!
//! Two steps. **Reading** ([`read`](self::read)) decodes, parses and checks each row on a thread of its own, rejects what cannot be taken,
//! and sorts the rest by address with a bounded buffer. **Writing** takes the rows back in that order, rejects
//! all but the first of an address, and merges them chunk by chunk on the bulk lane. Between reading and writing goes a channel of one
//! chunk, so that neither gets ahead of the other and memory is flat.
//!
//! Rules for rows
//! - A column is a field by its name (`email`, [`crate::FIELDS`], `timezone`; case, blanks and hyphens do not count) or by the
//!   mapping; every other column is an attribute. A row sets what its file has columns for, also to
//!   empty; the rest of an existing recipient stays.
//! - Outer blanks of addresses and fields are removed; line breaks and tabs in fields become one blank, attributes keep them; any
//!   other control character rejects the row. Everything else is data, also `=HYPERLINK(1)`.
//! - The first row of an address that can be taken stands; later ones are rejected as `duplicate of line N`.

mod decode;
mod header;
mod log;
mod merge;
mod peek;
mod read;
mod records;
mod rows;
mod run;
mod sort;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use tokio::sync::watch;

pub use log::{Import, ImportState, Reject};
pub use peek::{PEEK_BYTES_MAX, Peek, PeekColumn, peek};
pub use run::ImportRun;

/// What is imported, and how.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The list that the recipients are put on; created when there is none of this name.
    pub list: String,
    /// The file's name, for people.
    pub file_name: String,
    /// `utf-8` (the default; also with a byte order mark), `shift_jis`, `latin-1`, `windows-1252` or another WHATWG label.
    pub encoding: Option<String>,
    /// `COLUMN=FIELD` pairs: a column of the file to a field, to an attribute of another name, or to nothing.
    pub mapping: Vec<(String, String)>,
    /// Count and report, but change nothing.
    pub dry_run: bool,
    /// The file's size, when it is known, for the progress.
    pub bytes_total: Option<u64>,
    /// The folder for the temporary file, which can become as large as the file in UTF-8.
    pub work_dir: PathBuf,
}

/// What became of the rows so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Recipients that were not there before.
    pub created: u64,
    /// Recipients that were changed.
    pub updated: u64,
    /// Recipients that were as the row says already.
    pub unchanged: u64,
    /// Rows that were not taken.
    pub rejected: u64,
}

impl Counts {
    /// All rows that are accounted for: the sum of the four.
    pub fn rows(&self) -> u64 {
        self.created + self.updated + self.unchanged + self.rejected
    }
}

/// What an import came to.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportReport {
    /// The import's id, for its rejected rows.
    pub id: i64,
    /// `Finished` or `Cancelled`.
    pub state: ImportState,
    /// What became of the rows.
    pub counts: Counts,
    /// How long it took, without the wait for its turn.
    pub seconds: f64,
}

/// Which step an import is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Another import runs.
    Waiting,
    /// The file is read and sorted.
    Reading,
    /// Rows are merged.
    Writing,
    /// It is over.
    Done,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ImportProgress {
    /// The step.
    pub phase: Phase,
    /// Rows read.
    pub rows_read: u64,
    /// Bytes of the file read.
    pub bytes_read: u64,
    /// Bytes of the file, when known.
    pub bytes_total: Option<u64>,
    /// What became of the rows; `counts.rows()` of `rows_read` are accounted for.
    pub counts: Counts,
}

/// Watches and stops an import. Clones are the same control.
#[derive(Debug, Clone)]
pub struct ImportControl {
    cancelled: Arc<AtomicBool>,
    progress: watch::Sender<ImportProgress>,
}

impl ImportControl {
    fn new(bytes_total: Option<u64>) -> ImportControl {
        let counts = Counts::default();
        let first =
            ImportProgress { phase: Phase::Waiting, rows_read: 0, bytes_read: 0, bytes_total, counts };
        ImportControl { cancelled: Arc::new(AtomicBool::new(false)), progress: watch::Sender::new(first) }
    }

    /// Asks the import to stop: it does after the chunk it is at, and reports `Cancelled`.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// How far it is now.
    pub fn progress(&self) -> ImportProgress {
        *self.progress.borrow()
    }

    /// A receiver that wakes at each change.
    pub fn subscribe(&self) -> watch::Receiver<ImportProgress> {
        self.progress.subscribe()
    }

    fn update(&self, change: impl FnOnce(&mut ImportProgress)) {
        self.progress.send_modify(change);
    }
}

/// The text, cut at a character to at most `length_max` bytes.
pub(crate) fn shortened(text: &str, length_max: usize) -> &str {
    &text[..text.floor_char_boundary(length_max)]
}
