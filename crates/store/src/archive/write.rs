//! Writing a backup: one snapshot of the database, streamed table by table.

use super::format::{
    BLOCK_LEN, END, FILE, Fields, HEADER, Header, MAGIC, RECORD_LEN_MAX, ROWS, TABLE, TableHead,
};
use crate::catalogue::{self, Table};
use crate::error::{Error, Result};
use crate::sql::quote_name;
use crate::tx::Tx;
use crate::{Dialect, binds, migrate};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// zstd's own default: the database is read faster than this compresses, but the file is a quarter of the size.
const LEVEL: i32 = 3;

/// Writes the snapshot of `tx` and the extra files to `file`. The file appears under its name only when it is whole
/// and on disk.
pub(super) fn backup(tx: &mut Tx<'_>, file: &Path, extra: &[(String, PathBuf)]) -> Result<()> {
    let mut partial = file.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let written = write(tx, &partial, extra).and_then(|()| {
        std::fs::rename(&partial, file).map_err(Error::io(file))?;
        sync_folder(file)
    });
    if written.is_err() {
        // Half a backup is of no use; that it cannot be removed adds nothing to the first error.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

fn write(tx: &mut Tx<'_>, path: &Path, extra: &[(String, PathBuf)]) -> Result<()> {
    let mut out = Out::create(path)?;
    let header = Header { created_us: crate::wall_clock_us(), migrations: migrate::applied(tx)? };
    out.record(HEADER, &Fields::header(&header)?.0)?;
    for table in catalogue::tables(tx)? {
        let head = TableHead { last_id: last_id(tx, &table)?, table };
        out.record(TABLE, &Fields::table(&head)?.0)?;
        rows(tx, &head.table, &mut out)?;
    }
    for (name, source) in extra {
        let content = std::fs::read(source).map_err(Error::io(source))?;
        let mut fields = Fields::default();
        fields.text(name)?.octets(&content)?;
        out.record(FILE, &fields.0)?;
    }
    out.finish()
}

fn rows(tx: &mut Tx<'_>, table: &Table, out: &mut Out) -> Result<()> {
    let columns: Vec<String> = table.columns.iter().map(|(name, _)| quote_name(name)).collect();
    let key: Vec<String> = table.key.iter().map(|name| quote_name(name)).collect();
    let order = if key.is_empty() { String::new() } else { format!(" ORDER BY {}", key.join(", ")) };
    let sql = format!("SELECT {} FROM {}{order}", columns.join(", "), quote_name(&table.name));
    let mut block = Fields::default();
    tx.query_each(&sql, &[], |row| {
        for column in 0..columns.len() {
            block.value(&row.value(column)?)?;
        }
        if block.0.len() >= BLOCK_LEN {
            out.record(ROWS, &block.0)?;
            block.0.clear();
        }
        Ok::<_, Error>(())
    })?;
    if block.0.is_empty() { Ok(()) } else { out.record(ROWS, &block.0) }
}

/// The largest id that the database gave in a table with an `@ID` column; none where it gives none.
fn last_id(tx: &mut Tx<'_>, table: &Table) -> Result<Option<i64>> {
    match tx.dialect() {
        Dialect::Sqlite => {
            // The table of sequences is there only once a table with AUTOINCREMENT is.
            let there = "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'";
            if tx.query_opt(there, &[], |_| Ok::<_, Error>(()))?.is_none() {
                return Ok(None);
            }
            tx.query_opt("SELECT seq FROM sqlite_sequence WHERE name = $1", &binds![&table.name], |row| {
                row.int(0)
            })
        }
        Dialect::Postgres => match sequence(tx, table)? {
            None => Ok(None),
            Some(sequence) => {
                tx.query_opt(&format!("SELECT last_value FROM {sequence} WHERE is_called"), &[], |row| {
                    row.int(0)
                })
            }
        },
    }
}

/// The sequence behind `id` on PostgreSQL, quoted by the server.
pub(super) fn sequence(tx: &mut Tx<'_>, table: &Table) -> Result<Option<String>> {
    if !table.columns.iter().any(|(name, _)| name == "id") {
        return Ok(None);
    }
    let sql = "SELECT pg_get_serial_sequence($1, 'id')";
    tx.query_one(sql, &binds![quote_name(&table.name)], |row| row.text_opt(0))
}

/// The file being written: hash over the plain records, zstd around them.
struct Out {
    path: PathBuf,
    stream: zstd::stream::write::Encoder<'static, BufWriter<File>>,
    hash: blake3::Hasher,
}

impl Out {
    fn create(path: &Path) -> Result<Out> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        // Addresses and the master key are in it.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(Error::io(path))?;
        let mut file = BufWriter::with_capacity(256 * 1024, file);
        file.write_all(MAGIC).map_err(Error::io(path))?;
        let stream = zstd::stream::write::Encoder::new(file, LEVEL).map_err(Error::io(path))?;
        Ok(Out { path: path.to_path_buf(), stream, hash: blake3::Hasher::new() })
    }

    fn record(&mut self, tag: u8, octets: &[u8]) -> Result<()> {
        if octets.len() > RECORD_LEN_MAX {
            return Err(Error::Archive(format!("a row or file is longer than {RECORD_LEN_MAX} octets")));
        }
        let mut head = [tag, 0, 0, 0, 0];
        // The length was just compared with a bound below 4 GiB.
        head[1..].copy_from_slice(&u32::try_from(octets.len()).unwrap_or(u32::MAX).to_be_bytes());
        for part in [&head[..], octets] {
            self.hash.update(part);
            self.stream.write_all(part).map_err(Error::io(&self.path))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        let hash = self.hash.finalize();
        self.record(END, hash.as_bytes())?;
        let path = self.path;
        let file = self.stream.finish().map_err(Error::io(&path))?;
        let file = file.into_inner().map_err(|e| Error::io(&path)(e.into_error()))?;
        file.sync_all().map_err(Error::io(&path))
    }
}

/// A rename is on disk when its folder is.
fn sync_folder(file: &Path) -> Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io(folder))
}
