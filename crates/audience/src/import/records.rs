//! Text -> records of a CSV file (RFC 4180; comma, semicolon or tab), one in memory at a time, whatever is in the file.
//!
//! Built on `csv-core`, because the reader above it grows its buffer to the longest record: here a field of
//! 100 MB is read past. The physical line of each record is counted here, since quoted line breaks, blank lines and
//! CR LF all count as an editor shows them.

use std::io::{self, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::decode::Decoded;
use crate::limits::{COLUMNS_MAX, RAW_LEN_MAX, ROW_LEN_MAX};

/// Why a record cannot be used, whatever is in its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Longer than [`ROW_LEN_MAX`]; only its beginning is known.
    TooLong,
    /// More than [`COLUMNS_MAX`] cells.
    TooManyCells,
    /// Not valid in the file's encoding.
    Malformed,
    /// The file ends inside quotes, after a line break.
    OpenQuote,
}

/// Where a record begins, and whether it can be used. The cells are in [`Records::cells`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub line: u64,
    pub fault: Option<Fault>,
}

/// The cells of one record: one text, and where each cell ends in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cells<'a, N> {
    pub text: &'a str,
    pub ends: &'a [N],
}

impl<'a, N: Copy + TryInto<usize>> Cells<'a, N> {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn get(&self, i: usize) -> &'a str {
        let end = |i: usize| self.ends.get(i).and_then(|end| (*end).try_into().ok());
        let start = if i == 0 { Some(0) } else { end(i - 1) };
        match (start, end(i)) {
            (Some(start), Some(end)) => self.text.get(start..end).unwrap_or_default(),
            _ => "",
        }
    }

    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        (0..self.len()).map(move |i| self.get(i))
    }
}

/// The records of a file.
pub(super) struct Records<R> {
    source: Decoded<R>,
    core: Reader,
    /// The place in the source's chunk.
    at: usize,
    /// How many of the chunk's malformed places lie before `at`.
    malformed_seen: usize,
    /// The physical line of the next byte.
    line: u64,
    out: Vec<u8>,
    out_len: usize,
    ends: Vec<usize>,
    cells: usize,
}

/// What is known of a record while it is read.
#[derive(Default)]
struct Reading {
    fault: Option<Fault>,
    odd_quotes: bool,
    breaks: u64,
    at_end: bool,
}

impl<R: Read> Records<R> {
    /// Reads the first chunk and finds the delimiter in its first line.
    pub fn new(mut source: Decoded<R>) -> io::Result<Records<R>> {
        source.fill()?;
        let core = ReaderBuilder::new().delimiter(delimiter(source.text())).build();
        Ok(Records {
            source,
            core,
            at: 0,
            malformed_seen: 0,
            line: 1,
            out: vec![0; ROW_LEN_MAX],
            out_len: 0,
            ends: vec![0; COLUMNS_MAX],
            cells: 0,
        })
    }

    /// Reads the next record; none: the file is at its end.
    pub fn next(&mut self) -> io::Result<Option<Record>> {
        if !self.skip_breaks()? {
            return Ok(None);
        }
        let line = self.line;
        self.out_len = 0;
        self.cells = 0;
        let mut reading = Reading::default();
        loop {
            let input = &self.source.text()[self.at..];
            let (result, read, written, ended) =
                self.core.read_record(input, &mut self.out[self.out_len..], &mut self.ends[self.cells..]);
            self.out_len += written;
            self.cells += ended;
            self.pass(read, &mut reading);
            match result {
                ReadRecordResult::InputEmpty => {
                    reading.at_end = !self.refill()?;
                }
                ReadRecordResult::OutputFull => {
                    reading.fault = Some(Fault::TooLong);
                    self.out_len = RAW_LEN_MAX;
                }
                ReadRecordResult::OutputEndsFull => {
                    reading.fault = Some(Fault::TooManyCells);
                    self.cells = 0;
                }
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(None),
            }
        }
        if reading.at_end && reading.odd_quotes && reading.breaks > 0 {
            reading.fault = Some(Fault::OpenQuote);
        }
        Ok(Some(Record { line, fault: reading.fault }))
    }

    /// The cells of the record that was read last; after a fault, one cell with what is known of it.
    pub fn cells(&self, record: Record) -> Cells<'_, usize> {
        if record.fault.is_none_or(|fault| fault == Fault::Malformed)
            && let Ok(text) = std::str::from_utf8(&self.out[..self.out_len])
        {
            return Cells { text, ends: &self.ends[..self.cells] };
        }
        let known = &self.out[..self.out_len.min(RAW_LEN_MAX)];
        let text = match std::str::from_utf8(known) {
            Ok(text) => text,
            // Cut inside a character.
            Err(e) => std::str::from_utf8(&known[..e.valid_up_to()]).unwrap_or_default(),
        };
        Cells { text, ends: &[RAW_LEN_MAX][..0] }
    }

    /// Bytes of the file read so far.
    pub fn bytes_read(&self) -> u64 {
        self.source.bytes_read()
    }

    /// The encoding in use.
    pub fn encoding_name(&self) -> &'static str {
        self.source.encoding_name()
    }

    /// Goes past line breaks: blank lines, and the LF that `csv-core` leaves behind a CR. False: the file is at its end.
    fn skip_breaks(&mut self) -> io::Result<bool> {
        loop {
            while let Some(byte) = self.source.text().get(self.at) {
                match byte {
                    b'\n' => self.line += 1,
                    b'\r' => {}
                    _ => return Ok(true),
                }
                self.at += 1;
            }
            if !self.refill()? {
                return Ok(false);
            }
        }
    }

    fn refill(&mut self) -> io::Result<bool> {
        self.at = 0;
        self.malformed_seen = 0;
        self.source.fill()
    }

    /// Accounts for the bytes that the parser took.
    fn pass(&mut self, read: usize, reading: &mut Reading) {
        let taken = &self.source.text()[self.at..self.at + read];
        let breaks = taken.iter().filter(|b| **b == b'\n').count() as u64;
        let quotes = taken.iter().filter(|b| **b == b'"').count();
        self.line += breaks;
        reading.breaks += breaks;
        reading.odd_quotes ^= quotes % 2 == 1;
        self.at += read;
        while self.source.malformed().get(self.malformed_seen).is_some_and(|place| *place < self.at) {
            self.malformed_seen += 1;
            reading.fault.get_or_insert(Fault::Malformed);
        }
    }
}

/// The delimiter that the first line has most of outside quotes; a comma when it has none.
fn delimiter(text: &[u8]) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    let mut quoted = false;
    for byte in text.iter().skip_while(|b| matches!(b, b'\r' | b'\n')) {
        match byte {
            b'"' => quoted = !quoted,
            b'\r' | b'\n' if !quoted => break,
            _ if quoted => {}
            byte => counts.iter_mut().filter(|(d, _)| d == byte).for_each(|(_, n)| *n += 1),
        }
    }
    counts.into_iter().rev().max_by_key(|(_, n)| *n).map_or(b',', |(d, _)| d)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<(u64, Option<Fault>, Vec<String>)> {
        let source = Decoded::new(bytes, encoding_rs::UTF_8);
        let mut records = Records::new(source).unwrap();
        let mut all = Vec::new();
        while let Some(record) = records.next().unwrap() {
            all.push((record.line, record.fault, records.cells(record).iter().map(str::to_owned).collect()));
        }
        all
    }

    fn row(line: u64, cells: &[&str]) -> (u64, Option<Fault>, Vec<String>) {
        (line, None, cells.iter().map(|cell| (*cell).to_owned()).collect())
    }

    #[test]
    fn lines_are_those_of_an_editor() {
        for end in ["\n", "\r\n"] {
            let text = ["a,b", "1,\"x", "y\"", "", "2,\"\"\"q\"\"\"", "3,", "", ""].join(end);
            let broken = format!("x{end}y");
            let expected =
                [row(1, &["a", "b"]), row(2, &["1", &broken]), row(5, &["2", "\"q\""]), row(6, &["3", ""])];
            assert_eq!(read(text.as_bytes()), expected, "{end:?}");
        }
    }

    #[test]
    fn the_delimiter_is_found() {
        assert_eq!(read(b"a;b;c\n1,5;2;3"), [row(1, &["a", "b", "c"]), row(2, &["1,5", "2", "3"])]);
        assert_eq!(read(b"a\tb"), [row(1, &["a", "b"])]);
        assert_eq!(read(b"\"a;;;;\",b"), [row(1, &["a;;;;", "b"])]);
        assert_eq!(delimiter(b"email"), b',');
        assert!(read(b"").is_empty());
    }

    #[test]
    fn faults_stay_in_their_row() {
        let mut file = b"a,b\n".to_vec();
        file.extend(std::iter::repeat_n(b'x', ROW_LEN_MAX * 3));
        file.extend(b",y\n1,2\n\xff,3\n");
        file.extend(b",".repeat(COLUMNS_MAX + 5));
        file.extend(b"\n4,5\n\"6,7\n8,9\n");
        let rows = read(&file);
        let faults: Vec<_> = rows.iter().map(|(line, fault, _)| (*line, *fault)).collect();
        assert_eq!(
            faults,
            [
                (1, None),
                (2, Some(Fault::TooLong)),
                (3, None),
                (4, Some(Fault::Malformed)),
                (5, Some(Fault::TooManyCells)),
                (6, None),
                (7, Some(Fault::OpenQuote)),
            ]
        );
        assert_eq!(rows[5].2, ["4", "5"]);
    }

    #[test]
    fn a_row_of_exactly_the_limit_is_read() {
        let cell = "x".repeat(ROW_LEN_MAX - 2);
        let rows = read(format!("a,b\n{cell},y\n").as_bytes());
        assert_eq!(rows[1].1, None);
        let rows = read(format!("a,b\n{cell}xx,y\n").as_bytes());
        assert_eq!(rows[1].1, Some(Fault::TooLong));
    }
}
