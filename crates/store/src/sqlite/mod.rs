//! SQLite: one writer thread behind two lanes, a few readers that cannot write, checkpoints off the writer.

mod checkpoint;
mod group;
pub(crate) mod statement;

use crate::error::{Error, Result};
use crate::lanes::{Job, Lanes};
use crate::panics;
use crate::tx::{self, Tx};
pub(crate) use group::{Write, WriteJob};

use checkpoint::Checkpointer;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// Page cache of the writer, in KiB.
const WRITER_CACHE_KIB: u32 = 64 * 1024;
/// Page cache of each reader, in KiB.
const READER_CACHE_KIB: u32 = 8 * 1024;
/// Connections that serve reads at the same time.
const READERS: usize = 4;
/// Prepared statements kept by each connection.
const STATEMENTS_KEPT_MAX: usize = 256;
/// How long a connection waits for a lock that another process (or a truncating checkpoint) holds.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Both pools over one database file.
pub(crate) struct Sqlite {
    pub(crate) writer: Lanes<Box<dyn WriteJob>>,
    pub(crate) readers: Lanes<Job<Connection>>,
    checkpointer: Checkpointer,
}

impl Sqlite {
    /// Opens the file, making it when absent.
    pub(crate) fn open(path: &Path) -> Result<Sqlite> {
        let mut writer = connect(path, WRITER_CACHE_KIB)?;
        let journal: String =
            writer.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(opening)?;
        if journal != "wal" {
            return Err(Error::Unavailable(format!(
                "{}: no write-ahead log on this file system",
                path.display()
            )));
        }
        let checkpointer = Checkpointer::start(path, &mut writer)?;
        let mut readers = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            let reader = connect(path, READER_CACHE_KIB)?;
            reader.pragma_update(None, "query_only", true).map_err(opening)?;
            readers.push(reader);
        }
        Ok(Sqlite {
            writer: group::start(writer).map_err(Error::io(path))?,
            readers: Lanes::start("store-read", readers).map_err(Error::io(path))?,
            checkpointer,
        })
    }

    /// Does what is queued, folds the write-ahead log into the file and closes it.
    pub(crate) fn close(&self) {
        self.readers.close();
        self.readers.join();
        self.checkpointer.stop();
        // The writer alone at last: SQLite folds in and removes the log when the last connection closes, and two that
        // close at the same time may each leave it to the other.
        self.writer.close();
        self.writer.join();
    }
}

/// A connection with the settings that every one of them has.
pub(crate) fn connect(path: &Path, cache_kib: u32) -> Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(opening)?;
    connection.busy_timeout(BUSY_WAIT).map_err(opening)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT_MAX);
    let settings = format!(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -{cache_kib}; \
         PRAGMA mmap_size = 0; PRAGMA trusted_schema = OFF; PRAGMA wal_autocheckpoint = 0;"
    );
    connection.execute_batch(&settings).map_err(opening)?;
    Ok(connection)
}

fn opening(error: rusqlite::Error) -> Error {
    statement::error(error, "opening the database")
}

/// Runs one read transaction on this connection's thread.
pub(crate) fn transact<T, E: From<Error>>(
    connection: &Connection,
    f: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
) -> Result<T, E> {
    run(connection, "BEGIN")?;
    let outcome = attempt(connection, f);
    let ended = run(connection, "COMMIT");
    roll_back(connection);
    ended?;
    outcome
}

/// Runs a closure inside the open transaction; its own error, a panic, or a failed statement is `Err`.
fn attempt<T, E: From<Error>>(
    connection: &Connection,
    f: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let mut tx = Tx::new(tx::Connection::Sqlite(connection));
    let outcome = panics::caught(|| f(&mut tx));
    match (outcome, tx.failed.take()) {
        (Ok(Ok(_)), Some(failed)) => Err(Error::Aborted(failed).into()),
        (Ok(outcome), _) => outcome,
        (Err(panic), _) => Err(panic.into()),
    }
}

/// Ends what is still open: a refused COMMIT leaves the transaction, a full disk may have ended it already.
fn roll_back(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = run(connection, "ROLLBACK")
    {
        tracing::error!(%error, "a transaction could not be rolled back");
    }
}

fn run(connection: &Connection, sql: &str) -> Result<()> {
    statement::execute(connection, sql, &[]).map(|_| ())
}
