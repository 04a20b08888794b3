//! Sorting the rows of a file by address in bounded memory: an external merge sort.
//!
//! Why sorted, and why here: rows of one address come to stand side by side, so that duplicates inside a file are found without a
//! table of all addresses in memory; and both databases merge rows in the order of the unique index, which
//! stays fast when the index no longer fits the page cache. A staging table would do the same at the price of writing every row
//! twice into the database and its log.
//!
//! The temporary file has no name: it is gone with the process.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::records::Cells;

/// Bytes that all runs together read ahead while they are merged.
const MERGE_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Fixed octets of a packed row: its length, its line, the lengths of key and cells.
const HEAD: usize = 4 + 8 + 4 + 4;

/// Takes rows in any order.
pub(super) struct Sorter {
    dir: PathBuf,
    bytes_max: usize,
    /// Packed rows, one behind the other.
    buffer: Vec<u8>,
    /// The first eight octets of the key, and where the row is: most comparisons need no look at the row.
    index: Vec<(u64, usize)>,
    file: Option<File>,
    written: u64,
    runs: Vec<(u64, u64)>,
}

/// A row as it comes back.
#[derive(Debug, Clone, Copy)]
pub(super) struct SortedRow<'a> {
    pub key: &'a str,
    pub line: u64,
    packed: &'a [u8],
    cells: usize,
}

impl Sorter {
    /// Spills to a file in `dir` when more than `bytes_max` are held.
    pub fn new(dir: PathBuf, bytes_max: usize) -> Sorter {
        Sorter {
            dir,
            bytes_max,
            buffer: Vec::new(),
            index: Vec::new(),
            file: None,
            written: 0,
            runs: Vec::new(),
        }
    }

    /// Takes a row.
    pub fn push(&mut self, key: &str, line: u64, cells: Cells<'_, usize>) -> io::Result<()> {
        let length = HEAD + key.len() + cells.len() * 4 + cells.text.len();
        let held = self.buffer.len() + self.index.len() * size_of::<(u64, usize)>();
        if held + length > self.bytes_max && !self.index.is_empty() {
            self.spill()?;
        }
        self.index.push((prefix(key.as_bytes()), self.buffer.len()));
        self.buffer.extend_from_slice(&narrow(length)?.to_le_bytes());
        self.buffer.extend_from_slice(&line.to_le_bytes());
        self.buffer.extend_from_slice(&narrow(key.len())?.to_le_bytes());
        self.buffer.extend_from_slice(&narrow(cells.len())?.to_le_bytes());
        self.buffer.extend_from_slice(key.as_bytes());
        for end in cells.ends {
            self.buffer.extend_from_slice(&narrow(*end)?.to_le_bytes());
        }
        self.buffer.extend_from_slice(cells.text.as_bytes());
        Ok(())
    }

    /// Gives the rows back in the order of (key, line). An error of `each` ends it.
    pub fn drain<E: From<io::Error>>(
        mut self,
        mut each: impl FnMut(SortedRow<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.runs.is_empty() {
            self.sort();
            for (_, at) in &self.index {
                each(unpack(row_at(&self.buffer, *at))?)?;
            }
            return Ok(());
        }
        if !self.index.is_empty() {
            self.spill()?;
        }
        // The rows are all in the file now; their memory is needed for reading ahead.
        self.buffer = Vec::new();
        self.index = Vec::new();
        let Some(file) = self.file.take() else { return Ok(()) };
        merge(&file, &self.runs, &mut each)
    }

    fn sort(&mut self) {
        let buffer = &self.buffer;
        self.index.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| order(row_at(buffer, a.1)).cmp(&order(row_at(buffer, b.1))))
        });
    }

    fn spill(&mut self) -> io::Result<()> {
        self.sort();
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.dir)?),
        };
        let start = self.written;
        let mut out = BufWriter::with_capacity(256 * 1_024, file);
        for (_, at) in &self.index {
            let row = row_at(&self.buffer, *at);
            out.write_all(row)?;
            self.written += row.len() as u64;
        }
        out.flush()?;
        self.runs.push((start, self.written));
        self.buffer.clear();
        self.index.clear();
        Ok(())
    }
}

impl<'a> SortedRow<'a> {
    /// The cells; `ends` is the caller's, so that no row needs an allocation.
    pub fn cells<'e>(&self, ends: &'e mut Vec<usize>) -> Cells<'e, usize>
    where
        'a: 'e,
    {
        let (packed_ends, text) = self.packed.split_at(self.cells * 4);
        ends.clear();
        ends.extend(packed_ends.chunks_exact(4).map(|end| u32_at(end, 0) as usize));
        Cells { text: std::str::from_utf8(text).unwrap_or_default(), ends }
    }
}

fn narrow(length: usize) -> io::Result<u32> {
    u32::try_from(length).map_err(|_| io::Error::other("a row of more than 4 GB"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// The packed row that begins at `at`.
fn row_at(buffer: &[u8], at: usize) -> &[u8] {
    let length = u32_at(buffer, at) as usize;
    &buffer[at..at + length]
}

fn line_of(row: &[u8]) -> u64 {
    row.get(4..12).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn key_of(row: &[u8]) -> &[u8] {
    &row[HEAD..HEAD + u32_at(row, 12) as usize]
}

/// What rows are sorted by.
fn order(row: &[u8]) -> (&[u8], u64) {
    (key_of(row), line_of(row))
}

fn prefix(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    let n = key.len().min(8);
    first[..n].copy_from_slice(&key[..n]);
    u64::from_be_bytes(first)
}

fn unpack(row: &[u8]) -> io::Result<SortedRow<'_>> {
    let key = key_of(row);
    let packed = &row[HEAD + key.len()..];
    let key = std::str::from_utf8(key).map_err(io::Error::other)?;
    Ok(SortedRow { key, line: line_of(row), packed, cells: u32_at(row, 16) as usize })
}

/// A sorted stretch of the file that is being read.
struct Run<'f> {
    file: &'f File,
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    /// The current row in the buffer; what is behind it was read ahead.
    row: std::ops::Range<usize>,
    filled: usize,
    prefix: u64,
}

impl Run<'_> {
    fn row(&self) -> &[u8] {
        &self.buffer[self.row.clone()]
    }

    /// Goes to the next row. False: the run is at its end.
    fn advance(&mut self) -> io::Result<bool> {
        let at = self.row.end;
        if !self.have(at, 4)? {
            return Ok(false);
        }
        let length = u32_at(&self.buffer, self.row.end) as usize;
        if !self.have(self.row.end, length)? {
            return Err(io::Error::other("the temporary file is damaged"));
        }
        self.row = self.row.end..self.row.end + length;
        self.prefix = prefix(key_of(self.row()));
        Ok(true)
    }

    /// Makes sure that `length` octets from `at` (the end of the current row) are in the buffer, which may move them to its start.
    fn have(&mut self, at: usize, length: usize) -> io::Result<bool> {
        if at + length <= self.filled {
            return Ok(true);
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        self.row = 0..0;
        if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
        while self.filled < length {
            let room = (self.buffer.len() - self.filled)
                .min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
            if room == 0 {
                return Ok(false);
            }
            let read = self.file.read_at(&mut self.buffer[self.filled..self.filled + room], self.at)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.filled += read;
            self.at += read as u64;
        }
        Ok(true)
    }
}

/// The heap gives its greatest first, so the order is turned round.
struct Head<'f>(Run<'f>);

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.prefix.cmp(&self.0.prefix).then_with(|| order(other.0.row()).cmp(&order(self.0.row())))
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head<'_> {}

fn merge<E: From<io::Error>>(
    file: &File,
    runs: &[(u64, u64)],
    each: &mut impl FnMut(SortedRow<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let ahead = (MERGE_BYTES_MAX / runs.len()).clamp(16 * 1_024, 1_024 * 1_024);
    let mut heap = BinaryHeap::with_capacity(runs.len());
    for (at, end) in runs {
        let buffer = vec![0; ahead];
        let mut run = Run { file, at: *at, end: *end, buffer, row: 0..0, filled: 0, prefix: 0 };
        if run.advance()? {
            heap.push(Head(run));
        }
    }
    while let Some(mut first) = heap.peek_mut() {
        each(unpack(first.0.row())?)?;
        // Dropping the guard puts the changed run in its place.
        if !first.0.advance()? {
            std::collections::binary_heap::PeekMut::pop(first);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(rows: &[(String, String)], bytes_max: usize) -> Vec<(String, u64, Vec<String>)> {
        let dir = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(dir.path().to_owned(), bytes_max);
        for (i, (key, value)) in rows.iter().enumerate() {
            let text = format!("{key}{value}");
            let ends = [key.len(), text.len()];
            sorter.push(key, i as u64, Cells { text: &text, ends: &ends }).unwrap();
        }
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        sorter
            .drain(|row| {
                let cells = row.cells(&mut ends).iter().map(str::to_owned).collect();
                out.push((row.key.to_owned(), row.line, cells));
                Ok::<_, io::Error>(())
            })
            .unwrap();
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn is_a_stable_sort_at_any_memory(
            rows in prop::collection::vec(("[a-cé]{0,12}", "\\PC{0,9}"), 0..120),
            bytes_max in 1usize..4_000,
        ) {
            let mut expected: Vec<_> = rows
                .iter()
                .enumerate()
                .map(|(i, (k, v))| (k.clone(), i as u64, vec![k.clone(), v.clone()]))
                .collect();
            expected.sort();
            prop_assert_eq!(sorted(&rows, bytes_max), expected);
        }
    }

    #[test]
    fn a_row_larger_than_the_buffers_survives() {
        let large = "x".repeat(2 * 1_024 * 1_024);
        let rows =
            [("b".to_owned(), large.clone()), ("a".to_owned(), "1".to_owned()), ("c".to_owned(), large)];
        let lengths: Vec<usize> = sorted(&rows, 100).iter().map(|(_, _, cells)| cells[1].len()).collect();
        assert_eq!(lengths, [1, 2 * 1_024 * 1_024, 2 * 1_024 * 1_024]);
    }
}
