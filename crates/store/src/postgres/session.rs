//! One connection with its thread's small runtime: connecting again, transactions, statements, streaming.

use super::{copy, say};
use crate::error::{Constraint, Error, Result, shown};
use crate::lanes::Lane;
use crate::panics;
use crate::tx::{Connection, Tx};
use crate::value::Value;
use futures_util::{StreamExt, future::join_all};
use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, Row, Statement};

/// How long a transaction waits for a database that is away before it says so.
const AWAY_WAIT: Duration = Duration::from_secs(4);
/// Pause between attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(150);
/// After a failed wait, other calls fail at once for so long instead of waiting one after another.
const FAIL_FAST: Duration = Duration::from_millis(500);
/// Prepared statements kept by each connection; at this number they are all forgotten and prepared again when needed.
const STATEMENTS_KEPT_MAX: usize = 400;
/// Rows taken from the stream before they are handed to the visitor, outside the runtime.
const ROWS_TAKEN: usize = 256;
/// Statements on the way at the same time in `execute_many`.
const PIPELINE: usize = 256;
/// Settings of every connection. A lock not had in time is `Busy`, never a silent hang.
// Compiling a statement takes 0.1 to 0.3 s each time, and no statement here runs long: large work is cut into short ones.
const SETTINGS: &str = "SET TimeZone = 'UTC'; SET lock_timeout = '30s'; \
    SET idle_in_transaction_session_timeout = '15min'; SET client_min_messages = warning; SET jit = off";

/// What the connections of one store know together: until when the database counts as away.
#[derive(Default)]
pub(super) struct Health {
    away: Mutex<Option<(Instant, String)>>,
}

impl Health {
    fn away(&self) -> Option<String> {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.as_ref().filter(|(until, _)| Instant::now() < *until).map(|(_, why)| why.clone())
    }

    fn set(&self, away: Option<(Instant, String)>) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = away;
    }
}

/// A connection that connects when needed. Owned by one thread, which also drives its input and output.
pub(crate) struct Session {
    runtime: Runtime,
    config: Arc<Config>,
    health: Arc<Health>,
    link: Option<Link>,
}

struct Link {
    client: Client,
    statements: HashMap<String, Statement>,
}

/// What a transaction may do, and how its commit reaches the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One snapshot, nothing written.
    Read,
    /// A lane's transaction.
    Write(Lane),
}

impl Kind {
    fn begin(self) -> &'static str {
        match self {
            Kind::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            // Urgent statements name rows by key. A plan made while a table was small would read all of it for each
            // commit long after it has grown: half the rate of sending at 20,000 messages, a quarter at 50,000.
            Kind::Write(Lane::Urgent) => "BEGIN; SET LOCAL enable_seqscan = off",
            // One message to the server. The next commit that waits brings this one to the disk too.
            Kind::Write(Lane::Bulk) => "BEGIN; SET LOCAL synchronous_commit = off",
        }
    }
}

impl Session {
    pub(super) fn new(config: Arc<Config>, health: Arc<Health>) -> Result<Session> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::io("store"))?;
        Ok(Session { runtime, config, health, link: None })
    }

    /// Connects, or says why not.
    pub(super) fn check(&mut self) -> Result<()> {
        self.connect()
    }

    /// Runs one transaction: READ COMMITTED for writes, one snapshot for reads.
    pub(crate) fn transact<T, E: From<Error>>(
        &mut self,
        kind: Kind,
        f: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let writes = kind != Kind::Read;
        self.begin(kind.begin())?;
        let mut tx = Tx::new(Connection::Postgres(self));
        let outcome = panics::caught(|| f(&mut tx));
        let failed = tx.failed.take();
        let outcome = match (outcome, failed) {
            (Ok(Ok(_)), Some(failed)) => Err(Error::Aborted(failed).into()),
            (Ok(outcome), _) => outcome,
            (Err(panic), _) => Err(panic.into()),
        };
        match outcome {
            Ok(value) => self.commit(writes).map(|()| value).map_err(E::from),
            Err(error) => {
                self.roll_back();
                Err(error)
            }
        }
    }

    /// Opens the transaction, connecting again where the connection was lost meanwhile: nothing was done in it yet.
    fn begin(&mut self, begin: &str) -> Result<()> {
        let deadline = Instant::now() + AWAY_WAIT;
        loop {
            let error = match self.connected().and_then(|()| self.batch(begin)) {
                Ok(()) => return Ok(()),
                Err(error @ Error::Unavailable(_)) => error,
                Err(error) => return Err(error),
            };
            self.link = None;
            if let Some(why) = self.health.away() {
                return Err(Error::Unavailable(why));
            }
            if Instant::now() >= deadline {
                self.health.set(Some((Instant::now() + FAIL_FAST, error.to_string())));
                return Err(error);
            }
            std::thread::sleep(RECONNECT_PAUSE);
        }
    }

    fn commit(&mut self, writes: bool) -> Result<()> {
        match self.batch("COMMIT") {
            Err(Error::Unavailable(why)) if writes => {
                self.link = None;
                Err(Error::CommitUnknown(why))
            }
            Err(error) => {
                self.roll_back();
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    fn roll_back(&mut self) {
        // A connection that cannot even roll back is dropped; the server then does it.
        if self.link.is_some() && self.batch("ROLLBACK").is_err() {
            self.link = None;
        }
    }

    fn connected(&mut self) -> Result<()> {
        if self.link.as_ref().is_some_and(|link| !link.client.is_closed()) {
            return Ok(());
        }
        self.connect()
    }

    fn connect(&mut self) -> Result<()> {
        self.link = None;
        let config = self.config.clone();
        let client = self.runtime.block_on(async move {
            let (client, connection) = config.connect(NoTls).await?;
            // Driven while this thread waits for the database; its failure shows in the call that waits.
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(error = %say(&error), "a database connection ended");
                }
            });
            client.batch_execute(SETTINGS).await?;
            Ok(client)
        });
        let client = client.map_err(|e: tokio_postgres::Error| connecting(&e))?;
        self.health.set(None);
        self.link = Some(Link { client, statements: HashMap::new() });
        Ok(())
    }

    /// Several statements without parameters.
    pub(crate) fn batch(&mut self, statements: &str) -> Result<()> {
        let (runtime, link) = self.parts()?;
        runtime.block_on(link.client.batch_execute(statements)).map_err(|e| error(&e, statements))
    }

    pub(crate) fn execute(&mut self, sql: &str, binds: &[Value]) -> Result<u64> {
        let statement = self.statement(sql, binds.len())?;
        let (runtime, link) = self.parts()?;
        runtime
            .block_on(link.client.execute_raw(&statement, used(binds, &statement)))
            .map_err(|e| error(&e, sql))
    }

    /// Pipelined: a window of statements is on the way while the answers of the first come back.
    pub(crate) fn execute_many<I>(&mut self, sql: &str, rows: I) -> Result<u64>
    where
        I: IntoIterator,
        I::Item: AsRef<[Value]>,
    {
        let mut changed = 0;
        let mut rows = rows.into_iter();
        loop {
            // The caller's iterator runs outside the runtime: it may block.
            let window: Vec<I::Item> = rows.by_ref().take(PIPELINE).collect();
            let Some(first) = window.first() else { return Ok(changed) };
            let statement = self.statement(sql, first.as_ref().len())?;
            for row in &window {
                enough(row.as_ref().len(), &statement, sql)?;
            }
            let (runtime, link) = self.parts()?;
            let calls =
                window.iter().map(|row| link.client.execute_raw(&statement, used(row.as_ref(), &statement)));
            let answers = runtime.block_on(join_all(calls));
            for answer in answers {
                changed += answer.map_err(|e| error(&e, sql))?;
            }
        }
    }

    /// Streams a result: the server is read only as fast as `visit` takes rows, until it says false.
    pub(crate) fn query(
        &mut self,
        sql: &str,
        binds: &[Value],
        visit: &mut dyn FnMut(&Row) -> bool,
    ) -> Result<()> {
        let statement = self.statement(sql, binds.len())?;
        let (runtime, link) = self.parts()?;
        let stream = runtime
            .block_on(link.client.query_raw(&statement, used(binds, &statement)))
            .map_err(|e| error(&e, sql))?;
        let mut stream = pin!(stream.ready_chunks(ROWS_TAKEN));
        while let Some(rows) = runtime.block_on(stream.next()) {
            for row in rows {
                let row = row.map_err(|e| error(&e, sql))?;
                if !visit(&row) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    pub(crate) fn copy_in(
        &mut self,
        table: &str,
        columns: &[&str],
        rows: impl Iterator<Item = Vec<Value>>,
    ) -> Result<u64> {
        let names = columns.join(", ");
        let probe = self.statement(&format!("SELECT {names} FROM {table} LIMIT 0"), 0)?;
        let types: Vec<_> = probe.columns().iter().map(|column| column.type_().clone()).collect();
        let sql = format!("COPY {table} ({names}) FROM STDIN (FORMAT binary)");
        let (runtime, link) = self.parts()?;
        copy::copy_in(runtime, &link.client, &sql, &types, rows)
    }

    fn statement(&mut self, sql: &str, binds: usize) -> Result<Statement> {
        let (runtime, link) = self.parts()?;
        if let Some(statement) = link.statements.get(sql) {
            enough(binds, statement, sql)?;
            return Ok(statement.clone());
        }
        let statement = runtime.block_on(link.client.prepare(sql)).map_err(|e| error(&e, sql))?;
        if link.statements.len() >= STATEMENTS_KEPT_MAX {
            link.statements.clear();
        }
        link.statements.insert(sql.to_string(), statement.clone());
        enough(binds, &statement, sql)?;
        Ok(statement)
    }

    fn parts(&mut self) -> Result<(&Runtime, &mut Link)> {
        let link = self.link.as_mut().ok_or_else(|| Error::Unavailable("the connection was lost".into()))?;
        Ok((&self.runtime, link))
    }
}

/// Parameters beyond those the statement names are left out, as SQLite does.
fn used<'v>(binds: &'v [Value], statement: &Statement) -> std::slice::Iter<'v, Value> {
    binds[..statement.params().len()].iter()
}

fn enough(binds: usize, statement: &Statement, sql: &str) -> Result<()> {
    let wanted = statement.params().len();
    if binds < wanted {
        return Err(Error::Type(format!("{wanted} parameters wanted, {binds} given in: {}", shown(sql))));
    }
    Ok(())
}

fn connecting(error: &tokio_postgres::Error) -> Error {
    match error.code() {
        // Wrong password, no such database: waiting cures nothing, but an administrator may; still "not available".
        Some(code) => Error::Unavailable(format!("{} ({})", say(error), code.code())),
        None => Error::Unavailable(say(error)),
    }
}

/// Sorts a PostgreSQL failure by its SQLSTATE. The server's `detail` is left out: it quotes values.
pub(super) fn error(error: &tokio_postgres::Error, sql: &str) -> Error {
    let Some(db) = error.as_db_error() else {
        let cause = say(error);
        let io = std::error::Error::source(error).is_some_and(|cause| cause.is::<std::io::Error>());
        return match error.is_closed() || io {
            true => Error::Unavailable(cause),
            false => Error::Type(format!("{cause} in: {}", shown(sql))),
        };
    };
    let named = |fallback: &str| {
        let place = db.constraint().or(db.column()).unwrap_or(fallback);
        format!("{} ({place})", db.message())
    };
    let constraint = |kind| Error::Constraint { kind, what: named("constraint") };
    match db.code() {
        code if *code == SqlState::UNIQUE_VIOLATION => constraint(Constraint::Unique),
        code if *code == SqlState::FOREIGN_KEY_VIOLATION => constraint(Constraint::ForeignKey),
        code if *code == SqlState::NOT_NULL_VIOLATION => constraint(Constraint::NotNull),
        code if *code == SqlState::CHECK_VIOLATION => constraint(Constraint::Check),
        code if *code == SqlState::DISK_FULL => Error::DiskFull(db.message().into()),
        code => match &code.code()[..2] {
            "40" | "55" => Error::Busy(db.message().into()),
            "08" | "53" | "57" | "58" => Error::Unavailable(format!("{} ({})", db.message(), code.code())),
            _ => Error::Statement { message: format!("{} ({})", db.message(), code.code()), sql: shown(sql) },
        },
    }
}

/// Waits for `work` on this thread's runtime, with the connection driven beside it.
pub(super) fn wait<T>(runtime: &Runtime, work: impl Future<Output = T>) -> T {
    runtime.block_on(work)
}
