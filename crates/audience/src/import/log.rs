//! The table of imports, and of the rows they did not take.

use std::io::Write;

use serde::{Deserialize, Serialize};
use store::{Lane, Row, Tx, Value, binds};

use super::{Counts, ImportOptions};
use crate::Audience;
use crate::error::{Error, Result};
use crate::export::formula_safe;
use crate::limits::PAGE_ROWS_MAX;
use crate::membership::STEP_ROWS;

/// Where an import stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportState {
    /// It reads or writes, or waits for its turn.
    Running,
    /// Every row is accounted for.
    Finished,
    /// Someone stopped it; the rows before stay.
    Cancelled,
    /// It could not go on; `error` says why, the rows before stay.
    Failed,
    /// The program ended while it ran. It can be run again: rows that are in already come out unchanged.
    Interrupted,
}

impl ImportState {
    /// The word in the database and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            ImportState::Running => "running",
            ImportState::Finished => "finished",
            ImportState::Cancelled => "cancelled",
            ImportState::Failed => "failed",
            ImportState::Interrupted => "interrupted",
        }
    }

    fn of(name: &str) -> ImportState {
        match name {
            "running" => ImportState::Running,
            "finished" => ImportState::Finished,
            "cancelled" => ImportState::Cancelled,
            "failed" => ImportState::Failed,
            _ => ImportState::Interrupted,
        }
    }
}

/// An import as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Import {
    /// The import's id.
    pub id: i64,
    /// The list its recipients were put on; none for a dry run, or before the first row was written.
    pub list: Option<i64>,
    /// The list's name at that time.
    pub list_name: String,
    /// The file's name, for people.
    pub file_name: String,
    /// Where it stands.
    pub state: ImportState,
    /// Nothing was to be changed.
    pub dry_run: bool,
    /// The encoding the file was read in.
    pub encoding: String,
    /// The rows so far.
    pub counts: Counts,
    /// Microseconds UTC.
    pub started_at: i64,
    /// Microseconds UTC.
    pub finished_at: Option<i64>,
    /// Why it failed.
    pub error: String,
}

/// A row that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reject {
    /// The physical line where the row begins; the header is line 1.
    pub line: u64,
    /// Why.
    pub reason: String,
    /// The row, shortened to [`crate::limits::RAW_LEN_MAX`].
    pub raw: String,
}

const SELECT: &str = "SELECT id, list, list_name, file_name, state, dry_run, encoding, created, updated, unchanged, rejected, \
     started_at, finished_at, error FROM import";

impl Audience {
    /// An import by id.
    pub async fn import_record(&self, id: i64) -> Result<Option<Import>> {
        let sql = format!("{SELECT} WHERE id = $1");
        self.store.read(move |tx| tx.query_opt(&sql, &binds![id], read)).await
    }

    /// The imports, the newest first, those with an id below `before`.
    pub async fn imports(&self, before: Option<i64>, limit: usize) -> Result<Vec<Import>> {
        let sql = format!("{SELECT} WHERE id < $1 ORDER BY id DESC LIMIT $2");
        let binds = binds![before.unwrap_or(i64::MAX), limit.clamp(1, PAGE_ROWS_MAX)];
        self.store.read(move |tx| tx.query(&sql, &binds, read)).await
    }

    /// Rejected rows of an import in the order of their lines, behind the line `after`.
    pub async fn rejects(&self, import: i64, after: u64, limit: usize) -> Result<Vec<Reject>> {
        let sql = "SELECT line, reason, raw FROM import_reject WHERE import = $1 AND line > $2 ORDER BY line LIMIT $3";
        let binds = binds![import, after, limit.clamp(1, PAGE_ROWS_MAX)];
        self.store.read(move |tx| tx.query(sql, &binds, read_reject)).await
    }

    /// Writes the report of all rejected rows as CSV (`line,reason,row`) and gives the writer back. Flat memory.
    pub async fn write_rejects<W: Write + Send + 'static>(&self, import: i64, to: W) -> Result<W> {
        const DOING: &str = "cannot write the rejects report";
        self.store
            .read(move |tx| {
                let mut csv = csv::Writer::from_writer(to);
                csv.write_record(["line", "reason", "row"]).map_err(|e| Error::io(DOING)(e.into()))?;
                let sql = "SELECT line, reason, raw FROM import_reject WHERE import = $1 ORDER BY line";
                tx.query_each(sql, &binds![import], |row| {
                    let reject = read_reject(row)?;
                    csv.write_record([&reject.line.to_string(), &*reject.reason, &*formula_safe(&reject.raw)])
                        .map_err(|e| Error::io(DOING)(e.into()))
                })?;
                csv.into_inner().map_err(|e| Error::io(DOING)(e.into_error()))
            })
            .await
    }

    /// Says of imports that a past run of the program left behind that they were interrupted; called once at start, before any
    /// import. On PostgreSQL with several nodes, by the node that starts first. Returns how many.
    pub async fn mark_interrupted_imports(&self, now_us: i64) -> Result<u64> {
        self.store
            .write(Lane::Urgent, move |tx| {
                let sql = "UPDATE import SET state = 'interrupted', finished_at = $1 WHERE state = 'running'";
                Ok(tx.execute(sql, &binds![now_us])?)
            })
            .await
    }

    /// Forgets an import and its rejected rows; its recipients stay. False: there is no such import, or it runs.
    pub async fn delete_import(&self, id: i64) -> Result<bool> {
        let record = self.import_record(id).await?;
        if record.is_none_or(|import| import.state == ImportState::Running) {
            return Ok(false);
        }
        let sql = "DELETE FROM import_reject WHERE import = $1 AND line IN \
             (SELECT j.line FROM import_reject j WHERE j.import = $1 ORDER BY j.line LIMIT $2)";
        while self
            .store
            .write(Lane::Bulk, move |tx| Ok::<_, Error>(tx.execute(sql, &binds![id, STEP_ROWS])?))
            .await?
            > 0
        {}
        self.store
            .write(Lane::Urgent, move |tx| {
                Ok(tx.execute("DELETE FROM import WHERE id = $1", &binds![id])? > 0)
            })
            .await
    }
}

/// Begins an import's record.
pub(super) fn begin(tx: &mut Tx<'_>, options: &ImportOptions, now_us: i64) -> Result<i64> {
    let mapping: serde_json::Map<String, serde_json::Value> =
        options.mapping.iter().map(|(column, field)| (column.clone(), field.as_str().into())).collect();
    let mapping = serde_json::Value::Object(mapping).to_string();
    let sql = "INSERT INTO import (list_name, file_name, state, dry_run, encoding, mapping, started_at) \
         VALUES ($1, $2, 'running', $3, $4, $5, $6)";
    let encoding = options.encoding.as_deref().unwrap_or("utf-8");
    let binds =
        binds![options.list.as_str(), options.file_name.as_str(), options.dry_run, encoding, mapping, now_us];
    Ok(tx.insert_id(sql, &binds)?)
}

/// Keeps the counts as they are after this transaction.
pub(super) fn count(tx: &mut Tx<'_>, id: i64, list: Option<i64>, counts: Counts) -> Result<()> {
    let sql = "UPDATE import SET list = $2, rows = $3, created = $4, updated = $5, unchanged = $6, rejected = $7 WHERE id = $1";
    let c = counts;
    tx.execute(sql, &binds![id, list, c.rows(), c.created, c.updated, c.unchanged, c.rejected])?;
    Ok(())
}

/// Keeps rejected rows.
pub(super) fn reject(tx: &mut Tx<'_>, id: i64, rejects: Vec<Reject>) -> Result<()> {
    let rows = rejects
        .into_iter()
        .map(|reject| vec![Value::Int(id), reject.line.into(), reject.reason.into(), reject.raw.into()]);
    tx.copy_in("import_reject", &["import", "line", "reason", "raw"], rows)?;
    Ok(())
}

/// Ends an import's record.
pub(super) fn end(
    tx: &mut Tx<'_>,
    id: i64,
    state: ImportState,
    encoding: &str,
    error: &str,
    now_us: i64,
) -> Result<()> {
    let sql = "UPDATE import SET state = $2, encoding = $3, error = $4, finished_at = $5 WHERE id = $1";
    tx.execute(sql, &binds![id, state.name(), encoding, error, now_us])?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Import> {
    let count = |column: usize| Ok::<_, Error>(u64::try_from(row.int(column)?).unwrap_or(0));
    Ok(Import {
        id: row.int(0)?,
        list: row.int_opt(1)?,
        list_name: row.text(2)?,
        file_name: row.text(3)?,
        state: ImportState::of(row.str(4)?),
        dry_run: row.bool(5)?,
        encoding: row.text(6)?,
        counts: Counts { created: count(7)?, updated: count(8)?, unchanged: count(9)?, rejected: count(10)? },
        started_at: row.int(11)?,
        finished_at: row.int_opt(12)?,
        error: row.text(13)?,
    })
}

fn read_reject(row: &Row<'_>) -> Result<Reject> {
    Ok(Reject { line: u64::try_from(row.int(0)?).unwrap_or(0), reason: row.text(1)?, raw: row.text(2)? })
}
