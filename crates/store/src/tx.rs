//! One transaction, as rooms see it: the same calls on both dialects.

use std::time::Instant;

use crate::error::{Error, Result, shown};
use crate::postgres::Session;
use crate::row::{Cells, Row};
use crate::trace::Trace;
use crate::value::Value;
use crate::{Dialect, sql, sqlite};

/// A transaction in progress. A room's function takes `&mut Tx<'_>`, so that one transaction can span rooms.
///
/// A statement that fails dooms the transaction on both databases, also when the closure goes on: the commit is then
/// refused with [`Error::Aborted`].
pub struct Tx<'c> {
    pub(crate) connection: Connection<'c>,
    pub(crate) failed: Option<String>,
    trace: Option<Trace>,
}

/// The same work, noted in `trace`.
pub(crate) fn tracing<T, E>(
    trace: Option<Trace>,
    f: impl FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
) -> impl FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static {
    move |tx: &mut Tx<'_>| {
        tx.trace = trace;
        f(tx)
    }
}

pub(crate) enum Connection<'c> {
    Sqlite(&'c rusqlite::Connection),
    Postgres(&'c mut Session),
}

impl<'c> Tx<'c> {
    pub(crate) fn new(connection: Connection<'c>) -> Tx<'c> {
        Tx { connection, failed: None, trace: None }
    }

    /// Which database this is, for the few statements that must differ.
    pub fn dialect(&self) -> Dialect {
        match self.connection {
            Connection::Sqlite(_) => Dialect::Sqlite,
            Connection::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs one statement and returns how many rows it changed. Prepared statements are kept by their text.
    pub fn execute(&mut self, sql: &str, binds: &[Value]) -> Result<u64> {
        let started = self.started();
        let done = match &mut self.connection {
            Connection::Sqlite(c) => sqlite::statement::execute(c, sql, binds),
            Connection::Postgres(s) => s.execute(sql, binds),
        };
        self.account(started, sql, done.as_ref().copied().unwrap_or_default());
        self.noted(done)
    }

    /// Runs a query and collects what `each` makes of the rows. For results that fit in memory.
    pub fn query<T, E: From<Error>>(
        &mut self,
        sql: &str,
        binds: &[Value],
        mut each: impl FnMut(&Row<'_>) -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        let mut found = Vec::new();
        self.query_each(sql, binds, |row| {
            found.push(each(row)?);
            Ok::<(), E>(())
        })?;
        Ok(found)
    }

    /// Runs a query and hands over row after row, in flat memory at any size. An error of `each` ends the query.
    pub fn query_each<E: From<Error>>(
        &mut self,
        sql: &str,
        binds: &[Value],
        mut each: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // The visitor's own error is kept apart from a failure of the statement, which dooms the transaction.
        let (mut refused, mut rows, started) = (None, 0, self.started());
        let mut visit = |row: &Row<'_>| {
            rows += 1;
            match each(row) {
                Ok(()) => true,
                Err(error) => {
                    refused = Some(error);
                    false
                }
            }
        };
        let done = match &mut self.connection {
            Connection::Sqlite(c) => sqlite::statement::query(c, sql, binds, &mut visit),
            Connection::Postgres(s) => s.query(sql, binds, &mut |row| visit(&Row(Cells::Postgres(row)))),
        };
        self.account(started, sql, rows);
        self.noted(done)?;
        refused.map_or(Ok(()), Err)
    }

    /// The first row, or none.
    pub fn query_opt<T, E: From<Error>>(
        &mut self,
        sql: &str,
        binds: &[Value],
        mut each: impl FnMut(&Row<'_>) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        let mut first = None;
        self.query_each(sql, binds, |row| {
            if first.is_none() {
                first = Some(each(row)?);
            }
            Ok::<(), E>(())
        })?;
        Ok(first)
    }

    /// The first row; [`Error::NoRow`] when there is none.
    pub fn query_one<T, E: From<Error>>(
        &mut self,
        sql: &str,
        binds: &[Value],
        each: impl FnMut(&Row<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.query_opt(sql, binds, each)?.ok_or_else(|| Error::NoRow.into())
    }

    /// An `INSERT …` (without RETURNING) into a table with an `@ID` column named `id`: the new id.
    /// [`Error::NoRow`] when `ON CONFLICT DO NOTHING` did nothing.
    pub fn insert_id(&mut self, sql: &str, binds: &[Value]) -> Result<i64> {
        self.query_one(&format!("{sql} RETURNING id"), binds, |row| row.int(0))
    }

    /// One statement with many sets of parameters: a prepared loop on SQLite, pipelined on PostgreSQL. Rows changed.
    pub fn execute_many<I>(&mut self, sql: &str, rows: I) -> Result<u64>
    where
        I: IntoIterator,
        I::Item: AsRef<[Value]>,
    {
        let started = self.started();
        let done = match &mut self.connection {
            Connection::Sqlite(c) => sqlite::statement::execute_many(c, sql, rows),
            Connection::Postgres(s) => s.execute_many(sql, rows),
        };
        self.account(started, sql, done.as_ref().copied().unwrap_or_default());
        self.noted(done)
    }

    /// The fastest way for many new rows into one table: COPY on PostgreSQL, a prepared loop on SQLite. Rows written.
    pub fn copy_in(
        &mut self,
        table: &str,
        columns: &[&str],
        rows: impl Iterator<Item = Vec<Value>>,
    ) -> Result<u64> {
        let started = self.started();
        let done = match &mut self.connection {
            Connection::Sqlite(c) => {
                let marks: Vec<String> = (1..=columns.len()).map(|n| format!("${n}")).collect();
                let insert =
                    format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), marks.join(", "));
                sqlite::statement::execute_many(c, &insert, rows)
            }
            Connection::Postgres(s) => s.copy_in(table, columns, rows),
        };
        if started.is_some() {
            let sql = format!("COPY {table} ({})", columns.join(", "));
            self.account(started, &sql, done.as_ref().copied().unwrap_or_default());
        }
        self.noted(done)
    }

    /// Several statements without parameters, as in a migration: type tokens and `--@sqlite` / `--@postgres` blocks
    /// are resolved. For schema work (a partition, a temporary table).
    pub fn batch(&mut self, statements: &str) -> Result<()> {
        let text = sql::for_dialect(statements, self.dialect());
        let done = match &mut self.connection {
            Connection::Sqlite(c) => c.execute_batch(&text).map_err(|e| sqlite::statement::error(e, &text)),
            Connection::Postgres(s) => s.batch(&text),
        };
        self.noted(done)
    }

    fn started(&self) -> Option<Instant> {
        self.trace.as_ref().map(|_| Instant::now())
    }

    fn account(&self, started: Option<Instant>, sql: &str, rows: u64) {
        if let (Some(trace), Some(started)) = (&self.trace, started) {
            trace.add(sql, rows, started.elapsed());
        }
    }

    fn noted<T>(&mut self, done: Result<T>) -> Result<T> {
        if let Err(error) = &done
            && self.failed.is_none()
        {
            self.failed = Some(shown(&error.to_string()));
        }
        done
    }
}
