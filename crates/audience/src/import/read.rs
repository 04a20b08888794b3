//! The reading half of an import: runs on its own thread, hands over rejected rows while it reads and sorted rows after.

use std::io::{self, Read};
use std::path::PathBuf;

use store::Dialect;
use tokio::sync::mpsc;

use super::decode::{Decoded, encoding};
use super::header::Header;
use super::records::Records;
use super::rows::{self, Staged};
use super::sort::{SortedRow, Sorter};
use super::{ImportControl, Phase, Reject};
use crate::error::{Error, Result};
use crate::limits::{
    CHUNK_BYTES_MAX, CHUNK_ROWS_POSTGRES, CHUNK_ROWS_SQLITE, RAW_LEN_MAX, REJECT_ROWS_MAX, SORT_BYTES_MAX,
};

/// Rows between two looks at the cancel flag and two progress figures.
const PROGRESS_ROWS: u64 = 2_000;

/// What the reader hands to the writer.
pub(super) enum Work {
    /// The header was understood: the attribute names it brings.
    Start(Vec<String>),
    /// Rows to merge, in the order of their keys.
    Rows(Vec<Staged>),
    /// Rows not taken.
    Rejects(Vec<Reject>),
}

/// What the reader has to say at its end.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadOutcome {
    pub rows: u64,
    pub encoding: String,
    pub cancelled: bool,
}

/// How the file is read.
pub(super) struct ReadOptions {
    pub encoding: Option<String>,
    pub mapping: Vec<(String, String)>,
    pub work_dir: PathBuf,
    pub dialect: Dialect,
}

/// Why reading ends before its end.
enum Stop {
    /// Cancelled, or the writer is gone, which then knows why.
    Asked,
    Failed(Error),
}

impl From<io::Error> for Stop {
    fn from(source: io::Error) -> Stop {
        Stop::Failed(Error::Io { doing: "cannot sort the rows of the file", source })
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// Reads, sorts and hands over everything.
pub(super) fn read(
    source: Box<dyn Read + Send>,
    options: ReadOptions,
    control: &ImportControl,
    to: mpsc::Sender<Work>,
) -> Result<ReadOutcome> {
    let mut outcome = ReadOutcome::default();
    let mut output = Output { to, control, rejects: Vec::new(), rejects_bytes: 0 };
    match read_all(source, options, &mut output, &mut outcome) {
        Ok(()) => Ok(outcome),
        Err(Stop::Asked) => {
            outcome.cancelled = true;
            Ok(outcome)
        }
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn read_all(
    source: Box<dyn Read + Send>,
    options: ReadOptions,
    output: &mut Output<'_>,
    outcome: &mut ReadOutcome,
) -> Result<(), Stop> {
    let doing = "cannot read the file";
    let Some(encoding) = encoding(options.encoding.as_deref()) else {
        let name = options.encoding.unwrap_or_default();
        return Err(Error::File(format!(
            "the encoding {name:?} is not known; try utf-8, shift_jis or windows-1252"
        ))
        .into());
    };
    let mut records = Records::new(Decoded::new(source, encoding)).map_err(Error::io(doing))?;
    outcome.encoding = records.encoding_name().to_ascii_lowercase();
    let Some(first) = records.next().map_err(Error::io(doing))? else {
        return Err(Error::File("the file is empty".to_owned()).into());
    };
    if let Some(fault) = first.fault {
        return Err(
            Error::File(format!("line {}: {}", first.line, rows::reason(fault, &outcome.encoding))).into()
        );
    }
    let header = Header::new(records.cells(first).iter(), &options.mapping)?;
    output.send(Work::Start(header.attributes.iter().map(|(name, ..)| name.clone()).collect()))?;
    let mut sorter = Sorter::new(options.work_dir, SORT_BYTES_MAX);
    while let Some(record) = records.next().map_err(Error::io(doing))? {
        outcome.rows += 1;
        let cells = records.cells(record);
        let checked = match record.fault {
            Some(fault) => Err(rows::reason(fault, &outcome.encoding)),
            None => rows::check(&header, cells),
        };
        match checked {
            Ok(key) => sorter.push(&key, record.line, cells)?,
            Err(reason) => output.reject(Reject { line: record.line, reason, raw: rows::raw(cells) })?,
        }
        if outcome.rows.is_multiple_of(PROGRESS_ROWS) {
            output.reading(outcome.rows, records.bytes_read())?;
        }
    }
    output.reading(outcome.rows, records.bytes_read())?;
    // The buffers of reading are not needed any more while rows are merged.
    drop(records);
    hand_over(sorter, &header, options.dialect, output)
}

/// Gives the sorted rows to the writer, the second and later ones of an address as rejects.
fn hand_over(sorter: Sorter, header: &Header, dialect: Dialect, output: &mut Output<'_>) -> Result<(), Stop> {
    output.control.update(|progress| progress.phase = Phase::Writing);
    let rows_max = match dialect {
        Dialect::Sqlite => CHUNK_ROWS_SQLITE,
        Dialect::Postgres => CHUNK_ROWS_POSTGRES,
    };
    let mut chunk = Vec::with_capacity(rows_max);
    let mut chunk_bytes = 0;
    let mut ends = Vec::new();
    let (mut last_key, mut last_line) = (String::new(), 0);
    sorter.drain(|row: SortedRow<'_>| {
        let cells = row.cells(&mut ends);
        if row.key == last_key {
            let reason = format!("duplicate of line {last_line}");
            return output.reject(Reject { line: row.line, reason, raw: rows::raw(cells) });
        }
        last_key.clear();
        last_key.push_str(row.key);
        last_line = row.line;
        chunk.push(rows::staged(header, row.key, cells));
        chunk_bytes += cells.text.len();
        if chunk.len() == rows_max || chunk_bytes > CHUNK_BYTES_MAX {
            chunk_bytes = 0;
            output.send(Work::Rows(std::mem::replace(&mut chunk, Vec::with_capacity(rows_max))))?;
        }
        Ok(())
    })?;
    if !chunk.is_empty() {
        output.send(Work::Rows(chunk))?;
    }
    output.flush_rejects()
}

/// The way to the writer.
struct Output<'c> {
    to: mpsc::Sender<Work>,
    control: &'c ImportControl,
    rejects: Vec<Reject>,
    rejects_bytes: usize,
}

impl Output<'_> {
    fn send(&mut self, work: Work) -> Result<(), Stop> {
        if self.control.is_cancelled() {
            return Err(Stop::Asked);
        }
        self.to.blocking_send(work).map_err(|_| Stop::Asked)
    }

    fn reject(&mut self, reject: Reject) -> Result<(), Stop> {
        self.rejects_bytes += reject.raw.len();
        self.rejects.push(reject);
        if self.rejects.len() >= REJECT_ROWS_MAX || self.rejects_bytes > REJECT_ROWS_MAX * RAW_LEN_MAX / 4 {
            return self.flush_rejects();
        }
        Ok(())
    }

    fn flush_rejects(&mut self) -> Result<(), Stop> {
        self.rejects_bytes = 0;
        match std::mem::take(&mut self.rejects) {
            none if none.is_empty() => Ok(()),
            rejects => self.send(Work::Rejects(rejects)),
        }
    }

    fn reading(&mut self, rows: u64, bytes: u64) -> Result<(), Stop> {
        self.control.update(|progress| {
            progress.phase = Phase::Reading;
            progress.rows_read = rows;
            progress.bytes_read = bytes;
        });
        if self.control.is_cancelled() { Err(Stop::Asked) } else { Ok(()) }
    }
}
