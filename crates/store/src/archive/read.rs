//! Reading a backup record by record, and checking it whole.

use super::format::{
    END, FILE, HEADER, Header, MAGIC, RECORD_LEN_MAX, ROWS, TABLE, TableHead, Taken, damaged,
};
use crate::error::{Error, Result};
use crate::value::Value;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// One record, opened as far as its tag says.
pub(super) enum Record {
    Header(Header),
    Table(TableHead),
    Rows(Vec<u8>),
    File(String, Vec<u8>),
    End,
}

/// An open backup.
pub(super) struct In {
    path: PathBuf,
    stream: zstd::stream::read::Decoder<'static, BufReader<File>>,
    hash: blake3::Hasher,
}

impl In {
    pub(super) fn open(path: &Path) -> Result<In> {
        let mut file = File::open(path).map_err(Error::io(path))?;
        let mut magic = vec![0; MAGIC.len()];
        if file.read_exact(&mut magic).is_err() || magic != MAGIC {
            return Err(Error::Archive(format!("{} is not a Mailwright backup", path.display())));
        }
        let stream = zstd::stream::read::Decoder::new(file).map_err(Error::io(path))?;
        Ok(In { path: path.to_path_buf(), stream, hash: blake3::Hasher::new() })
    }

    pub(super) fn next(&mut self) -> Result<Record> {
        let mut head = [0; 5];
        self.fill(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > RECORD_LEN_MAX {
            return Err(damaged("a record is too long"));
        }
        let mut octets = Vec::new();
        // Grown as it is read: a damaged length must not allocate what the file does not have.
        let read = (&mut self.stream).take(length as u64).read_to_end(&mut octets);
        if read.map_err(|e| self.broken(&e))? != length {
            return Err(damaged("it ends early"));
        }
        if head[0] == END {
            return self.end(&octets);
        }
        self.hash.update(&head);
        self.hash.update(&octets);
        let mut taken = Taken(&octets);
        match head[0] {
            HEADER => Ok(Record::Header(taken.header()?)),
            TABLE => Ok(Record::Table(taken.table()?)),
            FILE => Ok(Record::File(taken.text()?, taken.octets()?.to_vec())),
            ROWS => Ok(Record::Rows(octets)),
            _ => Err(damaged("a record of no known kind")),
        }
    }

    /// The hash must fit, and nothing may follow.
    fn end(&mut self, hash: &[u8]) -> Result<Record> {
        if self.hash.finalize().as_bytes() != hash {
            return Err(damaged("its checksum is wrong"));
        }
        match self.stream.read(&mut [0]) {
            Ok(0) => Ok(Record::End),
            Ok(_) => Err(damaged("something follows its end")),
            Err(error) => Err(self.broken(&error)),
        }
    }

    fn fill(&mut self, into: &mut [u8]) -> Result<()> {
        self.stream.read_exact(into).map_err(|e| self.broken(&e))
    }

    fn broken(&self, error: &std::io::Error) -> Error {
        match error.raw_os_error() {
            Some(_) => Error::Archive(format!("{}: {error}", self.path.display())),
            None => damaged("it cannot be decompressed to its end"),
        }
    }
}

/// What a whole, sound backup holds.
pub(super) struct Checked {
    pub(super) header: Header,
    pub(super) files: Vec<(String, Vec<u8>)>,
}

/// Reads the file from start to end.
pub(super) fn check(path: &Path) -> Result<Checked> {
    let mut input = In::open(path)?;
    let Record::Header(header) = input.next()? else { return Err(damaged("its header is not first")) };
    let mut files = Vec::new();
    let mut columns = 0;
    loop {
        match input.next()? {
            Record::Header(_) => return Err(damaged("a second header")),
            Record::Table(head) => columns = head.table.columns.len(),
            Record::Rows(block) => {
                let mut rows = Rows::new(&block, columns);
                while rows.next_row()?.is_some() {}
            }
            Record::File(name, content) => files.push((name, content)),
            Record::End => return Ok(Checked { header, files }),
        }
    }
}

/// The rows of one block.
pub(super) struct Rows<'r> {
    taken: Taken<'r>,
    columns: usize,
}

impl<'r> Rows<'r> {
    pub(super) fn new(block: &'r [u8], columns: usize) -> Rows<'r> {
        Rows { taken: Taken(block), columns }
    }

    pub(super) fn next_row(&mut self) -> Result<Option<Vec<Value>>> {
        if self.taken.0.is_empty() {
            return Ok(None);
        }
        if self.columns == 0 {
            return Err(damaged("rows of no table"));
        }
        (0..self.columns).map(|_| self.taken.value()).collect::<Result<Vec<_>>>().map(Some)
    }
}
