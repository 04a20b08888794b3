//! Guests: the rows of an external file that a delivery is sent to and that were not imported as recipients.
//!
//! They have the recipients' columns in a table of their own and live as long as their delivery. A guest's id is
//! `GUEST_FIRST + delivery << 28 | n`, far above every recipient's: one delivery's guests are a range of ids that an analysis
//! walks like the recipients', and an id alone says whose guest it is.

use std::io::Read;
use std::ops::RangeInclusive;

use serde::Serialize;
use store::{Lane, Relation, Value, binds};

use crate::Audience;
use crate::error::{Error, Result};
use crate::import::{ImportOptions, ImportRun};
use crate::limits::CHUNK_ROWS_SQLITE;
use crate::membership::STEP_ROWS;

/// The first id that is a guest's. Recipients' ids are given one by one and never come near it.
pub const GUEST_FIRST: i64 = 1 << 40;
/// Bits of the number within a delivery, as in the ids of messages.
const NUMBER_BITS: u32 = 28;

/// The files of a delivery whose rows are in its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guests {
    /// The delivery.
    pub delivery: i64,
    /// The files' names, as given to [`Audience::prepare_guest_import`].
    pub files: Vec<String>,
}

impl Guests {
    /// Whether the guest under this alias is one of them.
    pub(crate) fn condition(&self, alias: &str, binds: &mut Vec<Value>) -> String {
        let ids = guest_ids(self.delivery);
        let mut bind = |value: Value| {
            binds.push(value);
            format!("${}", binds.len())
        };
        let (first, last) = (bind(Value::Int(*ids.start())), bind(Value::Int(*ids.end())));
        let files: Vec<String> = self.files.iter().map(|file| bind(Value::Text(file.clone()))).collect();
        let files = match files.is_empty() {
            true => "FALSE".to_owned(),
            false => format!("{alias}.file IN ({})", files.join(", ")),
        };
        format!("{alias}.id BETWEEN {first} AND {last} AND {files}")
    }
}

/// A file whose rows are kept with a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuestFile {
    /// Its name.
    pub file: String,
    /// How many rows were taken.
    pub guests: i64,
}

/// The ids that guests of this delivery can have: what a walk goes over.
pub fn guest_ids(delivery: i64) -> RangeInclusive<i64> {
    let first = GUEST_FIRST.saturating_add(delivery.saturating_mul(1 << NUMBER_BITS));
    first..=first.saturating_add((1 << NUMBER_BITS) - 1)
}

impl Audience {
    /// Prepares the import of a file's rows as guests of a delivery. Rows of an earlier file of the same name are replaced
    /// when the first row is written. Of `options`, `list` and `dry_run` mean nothing here; `file_name` is the name that the
    /// target's element says. Progress, cancel, rejected rows and the report are those of every import.
    pub async fn prepare_guest_import(
        &self,
        delivery: i64,
        source: Box<dyn Read + Send>,
        options: ImportOptions,
        now_us: i64,
    ) -> Result<ImportRun> {
        self.prepare_import_into(source, options, Some(delivery), now_us).await
    }

    /// The files whose rows are kept with a delivery, in the order of their names.
    pub async fn guest_files(&self, delivery: i64) -> Result<Vec<GuestFile>> {
        let ids = guest_ids(delivery);
        let sql = "SELECT file, count(*) FROM guest WHERE id BETWEEN $1 AND $2 GROUP BY file ORDER BY file";
        let binds = binds![*ids.start(), *ids.end()];
        self.store
            .read(move |tx| {
                tx.query(sql, &binds, |row| {
                    Ok::<_, Error>(GuestFile { file: row.text(0)?, guests: row.int(1)? })
                })
            })
            .await
    }

    /// The largest id of a delivery's guests: the end of a walk that begins at `guest_ids(delivery).start()`. `None`: it has
    /// no guests.
    pub async fn largest_guest_id(&self, delivery: i64) -> Result<Option<i64>> {
        let ids = guest_ids(delivery);
        let binds = binds![*ids.start(), *ids.end()];
        let sql = "SELECT max(id) FROM guest WHERE id BETWEEN $1 AND $2";
        self.store.read(move |tx| tx.query_one(sql, &binds, |row| Ok(row.int_opt(0)?))).await
    }

    /// One column, `recipient`: the ids of these guests, each once.
    pub fn guests_of(&self, guests: &Guests) -> Relation {
        let mut binds = Vec::new();
        let condition = guests.condition("g", &mut binds);
        Relation::new(format!("SELECT g.id AS recipient FROM guest g WHERE {condition}"), binds)
    }

    /// Takes a delivery's guests away, all of them or those of one file, in several transactions where there are many.
    /// Returns how many there were.
    pub async fn delete_guests(&self, delivery: i64, file: Option<&str>) -> Result<u64> {
        let ids = guest_ids(delivery);
        let mut deleted = 0;
        loop {
            let mut binds = binds![*ids.start(), *ids.end(), CHUNK_ROWS_SQLITE].to_vec();
            let mut among = String::new();
            if let Some(file) = file {
                binds.push(Value::Text(file.to_owned()));
                among.push_str(" AND file = $4");
            }
            let sql = format!(
                "DELETE FROM guest WHERE id IN (SELECT id FROM guest WHERE id BETWEEN $1 AND $2{among} ORDER BY id LIMIT $3)"
            );
            let removed =
                self.store.write(Lane::Bulk, move |tx| tx.execute(&sql, &binds).map_err(Error::from)).await?;
            deleted += removed;
            if removed < STEP_ROWS {
                return Ok(deleted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_delivery_has_its_own_range() {
        assert_eq!(*guest_ids(0).start(), GUEST_FIRST);
        assert_eq!(*guest_ids(7).end() + 1, *guest_ids(8).start());
        assert!(
            *guest_ids(1 << 34).end() > *guest_ids(1 << 34).start(),
            "also for the last delivery there can be"
        );
    }
}
