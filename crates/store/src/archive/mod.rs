//! Backup and restore: the data of every table in one format for both dialects, so that a backup from SQLite restores
//! into PostgreSQL and back.

mod format;
mod read;
mod restore;
mod write;

use crate::error::{Error, Result};
use crate::{Lane, RoomMigrations, Store, migrate};
use std::path::{Path, PathBuf};

/// What a restore put back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// When the backup was made, in microseconds UTC.
    pub created_us: i64,
    /// Rows by table.
    pub rows: Vec<(String, u64)>,
    /// Names of the extra files.
    pub files: Vec<String>,
}

impl Store {
    /// Writes one snapshot of all data, and the `extra` files under their names (the master key), into `file` (mode
    /// 0600), while the store is in use. The file appears only when it is whole.
    pub async fn backup(&self, file: &Path, extra: &[(&str, &Path)]) -> Result<()> {
        let file = file.to_path_buf();
        let extra: Vec<(String, PathBuf)> =
            extra.iter().map(|(name, path)| ((*name).to_string(), path.to_path_buf())).collect();
        self.read(move |tx| write::backup(tx, &file, &extra)).await
    }

    /// Reads `file` into this empty database and its extra files into `dir`, then runs the steps of `rooms` that are
    /// newer than the backup. The file is checked from start to end before anything is touched, and the data comes in
    /// one transaction.
    ///
    /// # Errors
    /// [`Error::Archive`] when the file is damaged or foreign, or database or `dir` are in use;
    /// [`Error::Migration`] when the backup is newer than the program.
    pub async fn restore(&self, rooms: &[RoomMigrations], file: &Path, dir: &Path) -> Result<RestoreReport> {
        self.read(restore::refuse_unless_empty).await?;
        let path = file.to_path_buf();
        let checked =
            tokio::task::spawn_blocking(move || read::check(&path)).await.map_err(|_| Error::Closed)??;
        let newer = migrate::plan(rooms, &checked.header.migrations)?;
        let paths = restore::destinations(dir, &checked)?;
        let all = rooms.iter().flat_map(|room| room.steps.iter().map(|step| (room.room, step)));
        let known: Vec<_> = all
            .filter(|(room, step)| !newer.iter().any(|(r, s)| r == room && s.number == step.number))
            .collect();
        let path = file.to_path_buf();
        let mut report = self.write(Lane::Urgent, move |tx| restore::load(tx, &path, &known)).await?;
        for ((_, content), path) in checked.files.iter().zip(&paths) {
            crate::vault::write_new(path, content)?;
        }
        migrate::run(self, &newer).await?;
        report.created_us = checked.header.created_us;
        Ok(report)
    }
}
