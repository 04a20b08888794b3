//! A look into a file before it is imported: its columns, what each would become, and some of its values.

use std::io::{Cursor, Read};

use encoding_rs::{Encoding, SHIFT_JIS, UTF_8, WINDOWS_1252};
use serde::Serialize;

use super::decode::{self, Decoded};
use super::header::{Column, column};
use super::records::Records;
use crate::error::{Error, Result};
use crate::recipient::FIELDS;

/// Bytes of the file that are looked at.
pub const PEEK_BYTES_MAX: u64 = 256 * 1_024;
/// Characters of a value that are shown.
const VALUE_LEN_MAX: usize = 60;

/// What the beginning of a file shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Peek {
    /// The encoding it was read in, as `import` takes it: `utf-8`, `shift_jis` or `latin-1`.
    pub encoding: &'static str,
    /// Its columns, in order.
    pub columns: Vec<PeekColumn>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeekColumn {
    /// The name in the header.
    pub name: String,
    /// The field it would become; empty: an attribute of its name; `-`: nothing.
    pub field: &'static str,
    /// The first values that are not empty.
    pub sample: Vec<String>,
}

/// Looks at the beginning of a file. Without an `encoding` the one that fits is taken: UTF-8, else Shift_JIS where
/// it is valid and looks like Japanese, else Latin-1, in which everything is valid. An import itself never guesses: a guess
/// that is wrong for the millionth row would spoil it in silence. Here a person sees the values.
///
/// # Errors
/// The file cannot be read, is empty, or the encoding is not known.
pub fn peek(file: impl Read, encoding: Option<&str>, samples_max: usize) -> Result<Peek> {
    let mut start = Vec::new();
    file.take(PEEK_BYTES_MAX).read_to_end(&mut start).map_err(Error::io("reading the file"))?;
    if start.len() as u64 == PEEK_BYTES_MAX
        && let Some(end) = start.iter().rposition(|octet| *octet == b'\n')
    {
        start.truncate(end + 1);
    }
    let encoding = match encoding.filter(|name| !name.is_empty()) {
        Some(name) => decode::encoding(Some(name))
            .ok_or_else(|| Error::File(format!("the encoding {name:?} is not known")))?,
        None => fitting(&start),
    };
    read(start, encoding, samples_max)
}

fn fitting(start: &[u8]) -> &'static Encoding {
    let fits = |encoding: &'static Encoding| !encoding.decode_with_bom_removal(start).1;
    if fits(UTF_8) {
        return UTF_8;
    }
    // Latin letters (0xC0 and above) before ASCII ones are valid Shift_JIS, too: `été` has two. What sets Japanese
    // apart are the lead octets of kana and of the common ideographs, where Latin-1 has nothing.
    let high = start.iter().filter(|octet| **octet >= 0x80).count();
    let leads = start.iter().filter(|octet| matches!(octet, 0x81..=0x9f)).count();
    if fits(SHIFT_JIS) && leads * 4 >= high { SHIFT_JIS } else { WINDOWS_1252 }
}

fn name_of(encoding: &'static Encoding) -> &'static str {
    if encoding == UTF_8 {
        "utf-8"
    } else if encoding == SHIFT_JIS {
        "shift_jis"
    } else {
        "latin-1"
    }
}

fn read(start: Vec<u8>, encoding: &'static Encoding, samples_max: usize) -> Result<Peek> {
    let failed = || Error::io("reading the file");
    let mut records = Records::new(Decoded::new(Cursor::new(start), encoding)).map_err(failed())?;
    let first = records.next().map_err(failed())?.ok_or_else(|| Error::File("the file is empty".into()))?;
    let mut columns = Vec::new();
    for (place, name) in records.cells(first).iter().enumerate() {
        let name = name.trim();
        let field = match column(name, place)? {
            Column::Email => "email",
            Column::Field(index) => FIELDS[index],
            Column::Attribute(_) => "",
            Column::Ignored => "-",
        };
        columns.push(PeekColumn { name: name.to_owned(), field, sample: Vec::new() });
    }
    while columns.iter().any(|column| column.sample.len() < samples_max) {
        let Some(record) = records.next().map_err(failed())? else { break };
        for (column, value) in columns.iter_mut().zip(records.cells(record).iter()) {
            let value = value.trim();
            if !value.is_empty() && column.sample.len() < samples_max {
                column.sample.push(value.chars().take(VALUE_LEN_MAX).collect());
            }
        }
    }
    Ok(Peek { encoding: name_of(encoding), columns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_samples_are_seen() {
        let file = "E-Mail;First name;Points;\na@x.example;Ann;10;x\n;;;\nb@x.example;;20;y\n";
        let found = peek(file.as_bytes(), None, 2).unwrap();
        assert_eq!(found.encoding, "utf-8");
        let fields: Vec<_> = found.columns.iter().map(|column| column.field).collect();
        assert_eq!(fields, ["email", "first_name", "", "-"]);
        assert_eq!(found.columns[0].sample, ["a@x.example", "b@x.example"]);
        assert_eq!(found.columns[1].sample, ["Ann"]);
    }

    #[test]
    fn the_encoding_that_fits_is_taken() {
        let (sjis, _, _) = SHIFT_JIS.encode("email,city\na@x.example,京都\n");
        let found = peek(&*sjis, None, 1).unwrap();
        assert_eq!((found.encoding, found.columns[1].sample[0].as_str()), ("shift_jis", "京都"));
        let latin = b"email,city\na@x.example,K\xf6ln\n";
        let found = peek(&latin[..], None, 1).unwrap();
        assert_eq!((found.encoding, found.columns[1].sample[0].as_str()), ("latin-1", "K\u{f6}ln"));
        let french = b"email,city\na@x.example,\xe9tang de m\xe9moire\n";
        assert_eq!(
            peek(&french[..], None, 1).unwrap().encoding,
            "latin-1",
            "valid in Shift_JIS, but not Japanese"
        );
        assert!(peek(&latin[..], Some("klingon"), 1).is_err());
        assert!(peek(&b""[..], None, 1).is_err());
    }
}
