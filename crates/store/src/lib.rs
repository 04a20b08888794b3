//! The database below every room: connections, transactions, migrations, backup, and the key that seals secrets.
//!
//! **Owns** no tables except `migration`. Rooms bring their SQL and their migrations; this crate runs them on SQLite
//! (the embedded default) or PostgreSQL (for several nodes). Which one is decided by the URL, at run time.
//!
//! ```text
//! room code ── Store::write(lane, |tx| …) ──> lanes ──> a thread that owns one connection ──> BEGIN … COMMIT
//!           ── Store::read(|tx| …) ─────────> readers ─> one snapshot, cannot write
//! ```
//!
//! Invariants:
//! - A closure is one transaction. `Err`, a panic, or a statement that failed inside it rolls all of it back; `Ok` is
//!   returned only after the commit is on disk; on the bulk lane it may get there with the next urgent one.
//! - A closure never crosses an `await`, so no transaction stays open over a network call.
//! - SQL is written once with `$1` parameters and runs on both dialects. Values never become SQL text.
//! - Nothing waits for ever: a database that is away gives [`Error::Unavailable`] within seconds and is reached again
//!   by itself; a full disk gives [`Error::DiskFull`]; neither stops the process.
//! - Results stream ([`Tx::query_each`]) and rows stream in ([`Tx::copy_in`]): memory is flat at any size.
//! - A migration that ran never changes; a database newer than the program is refused; a backup is made first.
//! - A backup holds data, not pages: one format for both dialects, checked whole before a restore touches anything.
//!
//! Writing SQL for both: integer parameters take the type of their place (`CAST($1 AS BIGINT)` where there is none),
//! `sum` of integers is read with [`Row::int`], JSON with `->>'key'`. Column types are tokens, see [`Step::sql`].
//!
//! **Neighbours**: below it nothing; every room that has tables imports it. Deliberately absent: an object mapper, a
//! query builder, retries (the caller knows whether its work is idempotent).

mod archive;
mod catalogue;
mod day_hours;
mod error;
mod lanes;
mod lock;
mod migrate;
mod panics;
mod postgres;
mod relation;
mod row;
mod span;
mod sql;
mod sqlite;
mod trace;
mod tx;
mod value;
mod vault;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use archive::RestoreReport;
pub use day_hours::{DayHours, DayHoursError};
pub use error::{Constraint, Error, Result};
pub use lanes::Lane;
pub use lock::{DirLock, LOCK_FILE};
pub use migrate::{MigrationReport, RoomMigrations, Step};
pub use relation::Relation;
pub use row::Row;
pub use span::{Span, SpanError};
pub use trace::{STATEMENTS_MAX, Statement, Trace};
pub use tx::Tx;
pub use value::Value;
pub use vault::{MASTER_KEY_FILE, Vault};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Which database serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The embedded database: one file, one node.
    Sqlite,
    /// A PostgreSQL server, for several nodes.
    Postgres,
}

/// What `open` needs beside the address.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where a backup is put before migrations change a database that holds data; none: no backup is made.
    pub backup_dir: Option<PathBuf>,
}

/// An open database. Cheap to clone; closes when the last clone is gone, or with [`Store::close`].
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    trace: Option<Trace>,
}

struct Inner {
    engine: Engine,
    options: Options,
}

enum Engine {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

impl Store {
    /// Opens `sqlite:PATH` (made when absent) or `postgres://user:password@host/database`
    /// (`?host=/folder` for a Unix socket). [`Error::Url`] when the address is neither.
    pub async fn open(url: &str, options: Options) -> Result<Store> {
        let (sender, receiver) = oneshot::channel();
        let url = url.to_string();
        // Opening blocks (files, a handshake) and PostgreSQL's runtimes must not start inside another one.
        std::thread::Builder::new()
            .name("store-open".into())
            .spawn(move || {
                let engine = match url.strip_prefix("sqlite:") {
                    Some(path) => sqlite::Sqlite::open(Path::new(path)).map(Engine::Sqlite),
                    None if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                        postgres::Postgres::open(&url).map(Engine::Postgres)
                    }
                    None => Err(Error::Url("a database address starts with sqlite: or postgres://".into())),
                };
                let _ = sender.send(engine);
            })
            .map_err(Error::io("store-open"))?;
        let engine = receiver.await.map_err(|_| Error::Closed)??;
        Ok(Store { inner: Arc::new(Inner { engine, options }), trace: None })
    }

    /// Which database this is.
    pub fn dialect(&self) -> Dialect {
        match self.inner.engine {
            Engine::Sqlite(_) => Dialect::Sqlite,
            Engine::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs `f` in one transaction; `Err` rolls back. Returns after the commit. [`Lane::Urgent`]: it is on disk then.
    /// [`Lane::Bulk`]: it survives the end of this process, and reaches the disk at the latest with the next urgent
    /// one, so work of many steps ends with an urgent step. A caller that is dropped before its
    /// turn takes its work with it; one dropped later does not.
    pub async fn write<T, E>(
        &self,
        lane: Lane,
        f: impl FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let f = tx::tracing(self.trace.clone(), f);
        match &self.inner.engine {
            Engine::Sqlite(engine) => {
                let (sender, receiver) = oneshot::channel();
                if !engine.writer.push(lane, Box::new(sqlite::Write::new(lane, f, sender))) {
                    return Err(Error::Closed.into());
                }
                receiver.await.unwrap_or_else(|_| Err(Error::Closed.into()))
            }
            Engine::Postgres(engine) => {
                let lanes = match lane {
                    Lane::Urgent => &engine.urgent,
                    Lane::Bulk => &engine.bulk,
                };
                call(lanes, lane, move |s| s.transact(postgres::Kind::Write(lane), f)).await
            }
        }
    }

    /// Runs `f` on one consistent snapshot, in which nothing can be written. A reader that takes long keeps SQLite's
    /// log from being folded in, and holds one of a few connections: page by key rather than follow a slow client.
    pub async fn read<T, E>(
        &self,
        f: impl FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let f = tx::tracing(self.trace.clone(), f);
        match &self.inner.engine {
            Engine::Sqlite(engine) => {
                call(&engine.readers, Lane::Urgent, move |c| sqlite::transact(c, f)).await
            }
            Engine::Postgres(engine) => {
                call(&engine.readers, Lane::Urgent, move |s| s.transact(postgres::Kind::Read, f)).await
            }
        }
    }

    /// The same store, whose transactions note their statements in `trace`.
    #[must_use]
    pub fn traced(&self, trace: Trace) -> Store {
        Store { inner: self.inner.clone(), trace: Some(trace) }
    }

    /// Finishes what is queued, refuses more, and closes the connections.
    pub async fn close(&self) {
        let inner = self.inner.clone();
        let closed = tokio::task::spawn_blocking(move || match &inner.engine {
            Engine::Sqlite(engine) => engine.close(),
            Engine::Postgres(engine) => engine.close(),
        });
        let _ = closed.await;
    }
}

/// Queues `work` and waits for what it returns.
async fn call<C: Send + 'static, T, E>(
    lanes: &lanes::Lanes<lanes::Job<C>>,
    lane: Lane,
    work: impl FnOnce(&mut C) -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let job = move |connection: &mut C| {
        if !sender.is_closed() {
            let _ = sender.send(work(connection));
        }
    };
    if !lanes.push(lane, Box::new(job)) {
        return Err(Error::Closed.into());
    }
    receiver.await.unwrap_or_else(|_| Err(Error::Closed.into()))
}

/// Microseconds UTC, for the store's own records (when a migration ran). Rooms take time as an argument.
pub(crate) fn wall_clock_us() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
