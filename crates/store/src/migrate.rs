//! Numbered, checksummed steps of every room, run once each at start, after a backup of what is there.

use crate::error::{Error, Result};
use crate::tx::Tx;
use crate::{Dialect, Lane, Store, binds};
use std::collections::HashMap;
use std::path::PathBuf;

/// The steps of one room, oldest first.
#[derive(Debug, Clone, Copy)]
pub struct RoomMigrations {
    /// The crate's name.
    pub room: &'static str,
    /// Numbered 1, 2, 3 …
    pub steps: &'static [Step],
}

/// One step. Once released it never changes; a correction is a new step.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Its place, from 1 without gaps.
    pub number: u32,
    /// A word for messages.
    pub name: &'static str,
    /// Statements, with the column types `@ID` (primary key given by the database, never reused), `@INT` (integers,
    /// booleans, times), `TEXT`, `@KEY` (text compared by octets), `@REAL`, `@BLOB`, `@JSON`; `@STRICT` or
    /// `@KEYED` (stored in key order on SQLite) after a table's `)`; and blocks for one dialect between a line
    /// `--@sqlite` or `--@postgres` and a line `--@end`.
    pub sql: &'static str,
}

impl Step {
    pub(crate) fn checksum(&self) -> String {
        blake3::hash(self.sql.as_bytes()).to_hex()[..32].to_string()
    }
}

/// What a migration did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MigrationReport {
    /// `room number name` of each step that ran.
    pub applied: Vec<String>,
    /// The backup that was made before, where the database held data.
    pub backup: Option<PathBuf>,
}

/// A step found in the database (or in the header of a backup).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) room: String,
    pub(crate) number: u32,
    pub(crate) name: String,
    pub(crate) checksum: String,
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS migration (room TEXT NOT NULL, number @INT NOT NULL, \
    name TEXT NOT NULL, checksum TEXT NOT NULL, at @INT NOT NULL, PRIMARY KEY (room, number)) @STRICT;";

/// Refuses what does not fit and returns the steps to run, in the rooms' order.
pub(crate) fn plan(
    rooms: &[RoomMigrations],
    applied: &[Applied],
) -> Result<Vec<(&'static str, &'static Step)>> {
    let mut known: HashMap<(&str, u32), &Step> = HashMap::new();
    for room in rooms {
        for (at, step) in room.steps.iter().enumerate() {
            if step.number as usize != at + 1 {
                return Err(Error::Migration(format!(
                    "migration {} of {} is number {}",
                    at + 1,
                    room.room,
                    step.number
                )));
            }
            known.insert((room.room, step.number), step);
        }
    }
    for old in applied {
        let Some(step) = known.remove(&(old.room.as_str(), old.number)) else {
            return Err(Error::Migration(format!(
                "the database was used by a newer Mailwright (its step {} {} {} is not known here): install that \
                 version again, or restore a backup made before it into an empty data directory",
                old.room, old.number, old.name
            )));
        };
        if step.checksum() != old.checksum {
            return Err(Error::Migration(format!(
                "migration {} {} {} is not the one that made this database: install the released version of \
                 Mailwright that was used before; do not edit released migrations",
                old.room, old.number, old.name
            )));
        }
    }
    let all = rooms.iter().flat_map(|room| room.steps.iter().map(|step| (room.room, step)));
    Ok(all.filter(|(room, step)| known.contains_key(&(*room, step.number))).collect())
}

/// The steps that the database has, oldest first; none when it is new.
pub(crate) fn applied(tx: &mut Tx<'_>) -> Result<Vec<Applied>> {
    if !crate::catalogue::table_names(tx)?.iter().any(|table| table == "migration") {
        return Ok(Vec::new());
    }
    tx.query("SELECT room, number, name, checksum FROM migration ORDER BY at, room, number", &[], |row| {
        Ok::<_, Error>(Applied {
            room: row.text(0)?,
            number: u32::try_from(row.int(1)?).unwrap_or(u32::MAX),
            name: row.text(2)?,
            checksum: row.text(3)?,
        })
    })
}

/// Runs `steps`, each in its own transaction with its row.
pub(crate) async fn run(store: &Store, steps: &[(&'static str, &'static Step)]) -> Result<Vec<String>> {
    match store.write(Lane::Urgent, |tx| tx.batch(TABLE)).await {
        // PostgreSQL's IF NOT EXISTS loses a race against another node with one of two errors (a unique violation in the
        // catalogue, or "already exists"); the table is there then, and what else is wrong is wrong the second time too.
        Err(_) if store.dialect() == Dialect::Postgres => {
            store.write(Lane::Urgent, |tx| tx.batch(TABLE)).await?;
        }
        other => other?,
    }
    let mut done = Vec::new();
    for (room, step) in steps.iter().copied() {
        let ran = store.write(Lane::Urgent, move |tx| run_step(tx, room, step)).await?;
        if ran {
            done.push(format!("{room} {} {}", step.number, step.name));
        }
    }
    Ok(done)
}

/// Makes the schema of `steps` inside a transaction that goes on (a restore).
pub(crate) fn make(tx: &mut Tx<'_>, steps: &[(&'static str, &'static Step)]) -> Result<()> {
    tx.batch(TABLE)?;
    for (room, step) in steps.iter().copied() {
        run_step(tx, room, step)?;
    }
    Ok(())
}

/// False when another node ran the step meanwhile.
fn run_step(tx: &mut Tx<'_>, room: &str, step: &Step) -> Result<bool> {
    if tx.dialect() == Dialect::Postgres {
        // Nodes that start together take turns.
        tx.batch("LOCK TABLE migration IN EXCLUSIVE MODE")?;
    }
    let number = binds![room, step.number];
    let here = tx.query_opt("SELECT 1 FROM migration WHERE room = $1 AND number = $2", &number, |_| {
        Ok::<_, Error>(())
    })?;
    if here.is_some() {
        return Ok(false);
    }
    tx.batch(step.sql).map_err(|error| match error {
        Error::Statement { message, .. } | Error::Constraint { what: message, .. } => {
            Error::Migration(format!(
                "migration {room} {} {} failed, and nothing of it stands: {message}",
                step.number, step.name
            ))
        }
        other => other,
    })?;
    tx.execute(
        "INSERT INTO migration (room, number, name, checksum, at) VALUES ($1, $2, $3, $4, $5)",
        &binds![room, step.number, step.name, step.checksum(), crate::wall_clock_us()],
    )?;
    Ok(true)
}

impl Store {
    /// Brings the schema up to `rooms`, in their order (a room after those whose tables it refers to).
    ///
    /// # Errors
    /// [`Error::Migration`] when the database is newer than the program or a step's text changed.
    pub async fn migrate(&self, rooms: &[RoomMigrations]) -> Result<MigrationReport> {
        let found = self.read(applied).await?;
        let steps = plan(rooms, &found)?;
        let mut report = MigrationReport::default();
        if steps.is_empty() && !found.is_empty() {
            return Ok(report);
        }
        if let (false, Some(dir)) = (found.is_empty(), &self.inner.options.backup_dir) {
            std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
            let file = dir.join(format!("before-migration-{}.backup", crate::wall_clock_us()));
            self.backup(&file, &[]).await?;
            report.backup = Some(file);
        }
        report.applied = run(self, &steps).await?;
        Ok(report)
    }
}
