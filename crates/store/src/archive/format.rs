//! The records of a backup file.
//!
//! After [`MAGIC`] one zstd stream; in it records of a tag, a length (u32, big-endian) and that many octets:
//! `H` header, then for each table `T` and any number of `R` (blocks of whole rows), `F` for each extra file, and `E`
//! with the BLAKE3 hash of everything before it. Numbers are big-endian; texts are UTF-8 after a u32 length.

use crate::catalogue::{Kind, Table};
use crate::error::{Error, Result};
use crate::migrate::Applied;
use crate::value::Value;

/// First octets of the file.
pub(super) const MAGIC: &[u8] = b"MAILWRIGHT BACKUP\n";
/// Version of what follows.
pub(super) const FORMAT: u32 = 1;
/// Longest record; a block of rows is far shorter unless one row is that long.
pub(super) const RECORD_LEN_MAX: usize = 512 * 1024 * 1024;
/// A block of rows is written when it is this long.
pub(super) const BLOCK_LEN: usize = 64 * 1024;

pub(super) const HEADER: u8 = b'H';
pub(super) const TABLE: u8 = b'T';
pub(super) const ROWS: u8 = b'R';
pub(super) const FILE: u8 = b'F';
pub(super) const END: u8 = b'E';

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) created_us: i64,
    pub(super) migrations: Vec<Applied>,
}

/// A table with the largest id that was ever given in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableHead {
    pub(super) table: Table,
    pub(super) last_id: Option<i64>,
}

pub(super) fn damaged(what: &str) -> Error {
    Error::Archive(format!("the backup is damaged or cut short ({what}); nothing was restored"))
}

/// Appends fields to a record.
#[derive(Default)]
pub(super) struct Fields(pub(super) Vec<u8>);

impl Fields {
    pub(super) fn number(&mut self, v: i64) -> &mut Fields {
        self.0.extend_from_slice(&v.to_be_bytes());
        self
    }

    pub(super) fn octets(&mut self, v: &[u8]) -> Result<&mut Fields> {
        let length =
            u32::try_from(v.len()).map_err(|_| Error::Archive("a value is longer than 4 GB".into()))?;
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(v);
        Ok(self)
    }

    pub(super) fn text(&mut self, v: &str) -> Result<&mut Fields> {
        self.octets(v.as_bytes())
    }

    pub(super) fn value(&mut self, v: &Value) -> Result<()> {
        match v {
            Value::Null => self.0.push(0),
            Value::Int(v) => {
                self.0.push(1);
                self.number(*v);
            }
            Value::Real(v) => {
                self.0.push(2);
                self.0.extend_from_slice(&v.to_be_bytes());
            }
            Value::Text(v) => {
                self.0.push(3);
                self.text(v)?;
            }
            Value::Blob(v) => {
                self.0.push(4);
                self.octets(v)?;
            }
            _ => return Err(Error::Archive("a column holds an array, which no backup knows".into())),
        }
        Ok(())
    }

    pub(super) fn header(header: &Header) -> Result<Fields> {
        let mut fields = Fields::default();
        fields.number(FORMAT.into()).number(header.created_us).number(count(header.migrations.len()));
        for step in &header.migrations {
            fields.text(&step.room)?.number(step.number.into()).text(&step.name)?.text(&step.checksum)?;
        }
        Ok(fields)
    }

    pub(super) fn table(head: &TableHead) -> Result<Fields> {
        let mut fields = Fields::default();
        fields
            .text(&head.table.name)?
            .number(head.last_id.unwrap_or(-1))
            .number(count(head.table.columns.len()));
        for (name, kind) in &head.table.columns {
            fields.text(name)?.number(match kind {
                Kind::Int => 1,
                Kind::Real => 2,
                Kind::Text => 3,
                Kind::Blob => 4,
            });
        }
        Ok(fields)
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Takes fields from a record.
pub(super) struct Taken<'r>(pub(super) &'r [u8]);

impl<'r> Taken<'r> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'r [u8]> {
        let (head, rest) = self.0.split_at_checked(length).ok_or_else(|| damaged("a record ends early"))?;
        self.0 = rest;
        Ok(head)
    }

    fn eight(&mut self) -> Result<[u8; 8]> {
        self.take(8)?.try_into().map_err(|_| damaged("a number"))
    }

    pub(super) fn number(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.eight()?))
    }

    pub(super) fn octets(&mut self) -> Result<&'r [u8]> {
        let length = self.take(4)?.try_into().map(u32::from_be_bytes).map_err(|_| damaged("a length"))?;
        self.take(usize::try_from(length).map_err(|_| damaged("a length"))?)
    }

    pub(super) fn text(&mut self) -> Result<String> {
        let octets = self.octets()?.to_vec();
        String::from_utf8(octets).map_err(|_| damaged("a text is not UTF-8"))
    }

    pub(super) fn value(&mut self) -> Result<Value> {
        Ok(match self.take(1)?[0] {
            0 => Value::Null,
            1 => Value::Int(self.number()?),
            2 => Value::Real(f64::from_be_bytes(self.eight()?)),
            3 => Value::Text(self.text()?),
            4 => Value::Blob(self.octets()?.to_vec()),
            _ => return Err(damaged("a value of no known type")),
        })
    }

    pub(super) fn header(&mut self) -> Result<Header> {
        let format = self.number()?;
        if format != i64::from(FORMAT) {
            return Err(Error::Archive(format!(
                "the backup has format {format}, this Mailwright reads format {FORMAT}: use the version that made it"
            )));
        }
        let created_us = self.number()?;
        let mut migrations = Vec::new();
        for _ in 0..self.number()? {
            migrations.push(Applied {
                room: self.text()?,
                number: u32::try_from(self.number()?).map_err(|_| damaged("a step number"))?,
                name: self.text()?,
                checksum: self.text()?,
            });
        }
        Ok(Header { created_us, migrations })
    }

    pub(super) fn table(&mut self) -> Result<TableHead> {
        let name = self.text()?;
        let last_id = Some(self.number()?).filter(|id| *id >= 0);
        let mut columns = Vec::new();
        for _ in 0..self.number()? {
            let column = self.text()?;
            let kind = match self.number()? {
                1 => Kind::Int,
                2 => Kind::Real,
                3 => Kind::Text,
                4 => Kind::Blob,
                _ => return Err(damaged("a column of no known type")),
            };
            columns.push((column, kind));
        }
        Ok(TableHead { table: Table { name, columns, key: Vec::new() }, last_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Int),
            (-1e300f64..1e300).prop_map(Value::Real),
            "\\PC{0,20}".prop_map(Value::Text),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Blob),
        ]
    }

    proptest! {
        #[test]
        fn values_survive(values in proptest::collection::vec(any_value(), 0..12)) {
            let mut fields = Fields::default();
            for value in &values {
                fields.value(value).unwrap();
            }
            let mut taken = Taken(&fields.0);
            for value in &values {
                prop_assert_eq!(&taken.value().unwrap(), value);
            }
            prop_assert!(taken.0.is_empty());
        }

        #[test]
        fn any_octets_are_answered(octets in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Taken(&octets).header();
            let _ = Taken(&octets).table();
            let _ = Taken(&octets).value();
        }
    }
}
