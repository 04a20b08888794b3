//! Putting a backup into an empty database: schema as it was, data, sequences, then the steps that came since.

use super::RestoreReport;
use super::format::{TableHead, damaged};
use super::read::{Checked, In, Record, Rows};
use super::write::sequence;
use crate::catalogue::{self, Table};
use crate::error::{Error, Result};
use crate::migrate::{self, Step};
use crate::sql::quote_name;
use crate::tx::Tx;
use crate::value::Value;
use crate::{Dialect, binds};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Everything that must hold before anything is touched.
pub(super) fn refuse_unless_empty(tx: &mut Tx<'_>) -> Result<()> {
    match catalogue::table_names(tx)?.first() {
        None => Ok(()),
        Some(table) => Err(Error::Archive(format!(
            "the database is not empty (it has a table {table}); restore into a new data directory or database"
        ))),
    }
}

/// The paths of the extra files, none of which may exist.
pub(super) fn destinations(dir: &Path, checked: &Checked) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for (name, _) in &checked.files {
        let plain = !name.is_empty() && Path::new(name).file_name().is_some_and(|file| file == name.as_str());
        if !plain {
            return Err(damaged("an extra file has a path for a name"));
        }
        let path = dir.join(name);
        if path.exists() {
            return Err(Error::Archive(format!(
                "{} exists; restore into a new data directory",
                path.display()
            )));
        }
        paths.push(path);
    }
    Ok(paths)
}

/// All of it in one transaction: schema steps that the backup knew, rows, sequences.
pub(super) fn load(
    tx: &mut Tx<'_>,
    file: &Path,
    steps: &[(&'static str, &'static Step)],
) -> Result<RestoreReport> {
    migrate::make(tx, steps)?;
    if tx.dialect() == Dialect::Sqlite {
        // Checked at the commit, so that the order of rows within a table does not matter.
        tx.batch("PRAGMA defer_foreign_keys = ON")?;
    }
    let tables = catalogue::tables(tx)?;
    // Rows that the migrations themselves wrote are in the backup too.
    for table in tables.iter().rev().filter(|table| table.name != "migration") {
        tx.execute(&format!("DELETE FROM {}", quote_name(&table.name)), &[])?;
    }
    let mut input = In::open(file)?;
    let mut report = RestoreReport::default();
    let mut pending = input.next()?;
    loop {
        pending = match pending {
            Record::Header(_) => input.next()?,
            Record::Table(head) => {
                let (rows, next) = table(tx, &tables, &head, &mut input)?;
                report.rows.push((head.table.name, rows));
                next
            }
            Record::Rows(_) => return Err(damaged("rows of no table")),
            Record::File(name, _) => {
                report.files.push(name);
                input.next()?
            }
            Record::End => return Ok(report),
        };
    }
}

/// Loads one table and returns the record after its rows.
fn table(tx: &mut Tx<'_>, known: &[Table], head: &TableHead, input: &mut In) -> Result<(u64, Record)> {
    let name = &head.table.name;
    let columns: Vec<String> = head.table.columns.iter().map(|(column, _)| quote_name(column)).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut stream = Stream { input, columns: columns.len(), rows: VecDeque::new(), after: None };
    if name == "migration" {
        // Written by the steps themselves a moment ago.
        let rows = stream.by_ref().count();
        return stream.end(u64::try_from(rows).unwrap_or(u64::MAX));
    }
    let fits = known.iter().any(|table| {
        table.name == *name && head.table.columns.iter().all(|column| table.columns.contains(column))
    });
    if !fits {
        return Err(Error::Archive(format!(
            "the backup has a table {name} that its own migrations do not make; it cannot be restored"
        )));
    }
    let rows = tx
        .copy_in(&quote_name(name), &columns, stream.by_ref())
        .map_err(|error| Error::Archive(format!("table {name} could not be restored: {error}")))?;
    let ended = stream.end(rows)?;
    if let Some(last) = head.last_id {
        continue_ids(tx, &head.table, last)?;
    }
    Ok(ended)
}

/// Ids go on after the largest that was ever given, also where its row is gone.
fn continue_ids(tx: &mut Tx<'_>, table: &Table, last: i64) -> Result<()> {
    match tx.dialect() {
        Dialect::Sqlite => {
            let binds = binds![&table.name, last];
            let sql = "UPDATE sqlite_sequence SET seq = $2 WHERE name = $1";
            if tx.execute(sql, &binds)? == 0 {
                tx.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)", &binds)?;
            }
        }
        Dialect::Postgres => {
            if let Some(sequence) = sequence(tx, table)? {
                let sql = "SELECT setval(CAST(CAST($1 AS TEXT) AS regclass), $2)";
                tx.query_one(sql, &binds![sequence, last.max(1)], |row| row.int(0))?;
            }
        }
    }
    Ok(())
}

/// The rows of one table as an iterator; what ends it, good or bad, is kept.
struct Stream<'i> {
    input: &'i mut In,
    columns: usize,
    rows: VecDeque<Vec<Value>>,
    after: Option<Result<Record>>,
}

impl Stream<'_> {
    fn end(self, rows: u64) -> Result<(u64, Record)> {
        let after = self.after.unwrap_or_else(|| Err(damaged("rows were left over")))?;
        Ok((rows, after))
    }

    fn fill(&mut self) -> Result<()> {
        match self.input.next()? {
            Record::Rows(block) => {
                let mut rows = Rows::new(&block, self.columns);
                while let Some(row) = rows.next_row()? {
                    self.rows.push_back(row);
                }
            }
            other => self.after = Some(Ok(other)),
        }
        Ok(())
    }
}

impl Iterator for Stream<'_> {
    type Item = Vec<Value>;

    fn next(&mut self) -> Option<Vec<Value>> {
        while self.rows.is_empty() && self.after.is_none() {
            if let Err(error) = self.fill() {
                self.after = Some(Err(error));
            }
        }
        self.rows.pop_front()
    }
}
