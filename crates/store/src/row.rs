//! One row of a result, read by column number (from 0) with the type the caller expects.

use crate::error::{Error, Result};
use crate::postgres::types as pg;
use crate::value::Value;
use rusqlite::types::ValueRef;

/// A row while it is being visited. Borrowed data lives as long as the visit.
pub struct Row<'r>(pub(crate) Cells<'r>);

pub(crate) enum Cells<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

impl Row<'_> {
    /// How many columns the row has.
    pub fn columns(&self) -> usize {
        match &self.0 {
            Cells::Sqlite(row) => row.as_ref().column_count(),
            Cells::Postgres(row) => row.len(),
        }
    }

    /// An integer, time or count; NULL is an error. A PostgreSQL `numeric` without fraction (`sum` of bigints) counts as one.
    pub fn int(&self, column: usize) -> Result<i64> {
        self.int_opt(column)?.ok_or_else(|| null(column))
    }

    /// An integer or NULL.
    pub fn int_opt(&self, column: usize) -> Result<Option<i64>> {
        match &self.0 {
            Cells::Sqlite(row) => match cell(row, column)? {
                ValueRef::Null => Ok(None),
                ValueRef::Integer(v) => Ok(Some(v)),
                other => Err(mismatch(column, "an integer", other)),
            },
            Cells::Postgres(row) => Ok(pg::get::<pg::Int>(row, column)?.map(|v| v.0)),
        }
    }

    /// A stored boolean: an integer other than 0.
    pub fn bool(&self, column: usize) -> Result<bool> {
        Ok(self.int(column)? != 0)
    }

    /// A double; integers convert. NULL is an error.
    pub fn real(&self, column: usize) -> Result<f64> {
        self.real_opt(column)?.ok_or_else(|| null(column))
    }

    /// A double or NULL.
    pub fn real_opt(&self, column: usize) -> Result<Option<f64>> {
        match &self.0 {
            Cells::Sqlite(row) => match cell(row, column)? {
                ValueRef::Null => Ok(None),
                ValueRef::Real(v) => Ok(Some(v)),
                // Exact below 2^53, as everywhere a count becomes a ratio.
                ValueRef::Integer(v) => Ok(Some(v as f64)),
                other => Err(mismatch(column, "a number", other)),
            },
            Cells::Postgres(row) => Ok(pg::get::<pg::Real>(row, column)?.map(|v| v.0)),
        }
    }

    /// Text or JSON text, borrowed from the row. NULL is an error.
    pub fn str(&self, column: usize) -> Result<&str> {
        self.str_opt(column)?.ok_or_else(|| null(column))
    }

    /// Text or JSON text, borrowed from the row, or NULL.
    pub fn str_opt(&self, column: usize) -> Result<Option<&str>> {
        match &self.0 {
            Cells::Sqlite(row) => match cell(row, column)? {
                ValueRef::Null => Ok(None),
                ValueRef::Text(v) => std::str::from_utf8(v)
                    .map(Some)
                    .map_err(|_| Error::Type(format!("column {column} is not UTF-8"))),
                other => Err(mismatch(column, "text", other)),
            },
            Cells::Postgres(row) => Ok(pg::get::<pg::Text<'_>>(row, column)?.map(|v| v.0)),
        }
    }

    /// Text or JSON text, owned. NULL is an error. SQLite's numbers from `->>` become text, as PostgreSQL gives them.
    pub fn text(&self, column: usize) -> Result<String> {
        self.text_opt(column)?.ok_or_else(|| null(column))
    }

    /// Text or JSON text, owned, or NULL.
    pub fn text_opt(&self, column: usize) -> Result<Option<String>> {
        if let Cells::Sqlite(row) = &self.0 {
            match cell(row, column)? {
                ValueRef::Integer(v) => return Ok(Some(v.to_string())),
                ValueRef::Real(v) => return Ok(Some(v.to_string())),
                _ => {}
            }
        }
        Ok(self.str_opt(column)?.map(str::to_string))
    }

    /// Octets, borrowed from the row. NULL is an error.
    pub fn bytes(&self, column: usize) -> Result<&[u8]> {
        self.bytes_opt(column)?.ok_or_else(|| null(column))
    }

    /// Octets, borrowed from the row, or NULL.
    pub fn bytes_opt(&self, column: usize) -> Result<Option<&[u8]>> {
        match &self.0 {
            Cells::Sqlite(row) => match cell(row, column)? {
                ValueRef::Null => Ok(None),
                ValueRef::Blob(v) => Ok(Some(v)),
                other => Err(mismatch(column, "octets", other)),
            },
            Cells::Postgres(row) => Ok(pg::get::<pg::Bytes<'_>>(row, column)?.map(|v| v.0)),
        }
    }

    /// Octets, owned. NULL is an error.
    pub fn blob(&self, column: usize) -> Result<Vec<u8>> {
        Ok(self.bytes(column)?.to_vec())
    }

    /// Octets, owned, or NULL.
    pub fn blob_opt(&self, column: usize) -> Result<Option<Vec<u8>>> {
        Ok(self.bytes_opt(column)?.map(<[u8]>::to_vec))
    }

    /// The column as a [`Value`] of its own type (backup, and tables whose columns are not known beforehand).
    pub fn value(&self, column: usize) -> Result<Value> {
        match &self.0 {
            Cells::Sqlite(row) => Ok(match cell(row, column)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(v) => Value::Int(v),
                ValueRef::Real(v) => Value::Real(v),
                ValueRef::Text(_) => self.text(column)?.into(),
                ValueRef::Blob(v) => Value::Blob(v.to_vec()),
            }),
            Cells::Postgres(row) => pg::value(row, column),
        }
    }
}

fn cell<'a>(row: &'a rusqlite::Row<'_>, column: usize) -> Result<ValueRef<'a>> {
    row.get_ref(column).map_err(|_| Error::Type(format!("there is no column {column} in the result")))
}

fn null(column: usize) -> Error {
    Error::Type(format!("column {column} is NULL"))
}

fn mismatch(column: usize, wanted: &str, found: ValueRef<'_>) -> Error {
    Error::Type(format!("column {column} should be {wanted}, but is {}", found.data_type()))
}
