//! Group commit on the writer: urgent transactions that arrived while the last commit was on its way to the disk share
//! the next one. Each is a savepoint of its own, so that one that fails takes nothing from the others, and nobody hears
//! of success before the shared commit is on disk. A transaction that comes alone pays nothing for this.

use super::{attempt, roll_back, run};
use crate::error::{Error, Result};
use crate::lanes::{Lane, Lanes};
use crate::tx::Tx;
use rusqlite::Connection;
use tokio::sync::oneshot;

/// Most transactions in one commit: the last one waits for all others to run.
const GROUP_MAX: usize = 64;

/// A transaction whose result is told only after the commit.
pub(crate) trait WriteJob: Send {
    /// May its commit reach the disk with a later one? See [`Lane::Bulk`].
    fn is_bulk(&self) -> bool;
    /// Runs the closure inside the open transaction. False: what it did is to be undone.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Tells the caller. `failed`: the commit did not happen.
    fn finish(self: Box<Self>, failed: Option<Error>);
}

/// The job of one [`crate::Store::write`].
pub(crate) struct Write<F, T, E> {
    lane: Lane,
    work: Option<F>,
    outcome: Option<Result<T, E>>,
    caller: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Write<F, T, E> {
    pub(crate) fn new(lane: Lane, work: F, caller: oneshot::Sender<Result<T, E>>) -> Write<F, T, E> {
        Write { lane, work: Some(work), outcome: None, caller }
    }
}

impl<F, T, E> WriteJob for Write<F, T, E>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn is_bulk(&self) -> bool {
        self.lane == Lane::Bulk
    }

    fn run(&mut self, connection: &Connection) -> bool {
        // A caller that is gone takes its work with it.
        if let Some(work) = self.work.take().filter(|_| !self.caller.is_closed()) {
            self.outcome = Some(attempt(connection, work));
        }
        matches!(self.outcome, Some(Ok(_)))
    }

    fn finish(self: Box<Self>, failed: Option<Error>) {
        let outcome = match (self.outcome, failed) {
            (Some(Ok(_)) | None, Some(failed)) => Err(failed.into()),
            (Some(outcome), _) => outcome,
            (None, None) => return,
        };
        let _ = self.caller.send(outcome);
    }
}

pub(super) fn start(writer: Connection) -> std::io::Result<Lanes<Box<dyn WriteJob>>> {
    let mut lazy = false;
    Lanes::start_batched(
        "store-write",
        GROUP_MAX,
        vec![move |jobs: Vec<Box<dyn WriteJob>>| {
            let bulk = jobs.iter().all(|job| job.is_bulk());
            if bulk != lazy && set_synchronous(&writer, bulk).is_ok() {
                lazy = bulk;
            }
            commit(&writer, jobs);
        }],
    )
}

/// A bulk commit does not wait for the disk. The log is one file: the next urgent commit brings it there, in order.
/// A setting that cannot be changed leaves the stricter one or is tried again before the next commit.
fn set_synchronous(connection: &Connection, bulk: bool) -> Result<()> {
    run(connection, if bulk { "PRAGMA synchronous = NORMAL" } else { "PRAGMA synchronous = FULL" })
}

fn commit(connection: &Connection, mut jobs: Vec<Box<dyn WriteJob>>) {
    // IMMEDIATE: a read transaction that upgrades later can meet a Busy that no waiting cures.
    let done = run(connection, "BEGIN IMMEDIATE").and_then(|()| match jobs.as_mut_slice() {
        [job] => match job.run(connection) {
            true => run(connection, "COMMIT"),
            false => Ok(()),
        },
        jobs => run_group(connection, jobs).and_then(|()| run(connection, "COMMIT")),
    });
    roll_back(connection);
    for job in jobs {
        job.finish(done.as_ref().err().map(Error::shared));
    }
}

/// Each job in its savepoint. An error is the end of the whole transaction: the savepoints themselves failed, or a full
/// disk made SQLite roll back everything.
fn run_group(connection: &Connection, jobs: &mut [Box<dyn WriteJob>]) -> Result<()> {
    for job in jobs {
        run(connection, "SAVEPOINT job")?;
        let stands = job.run(connection);
        if connection.is_autocommit() {
            return Err(Error::DiskFull("a transaction that shared the commit filled the disk".into()));
        }
        if !stands {
            run(connection, "ROLLBACK TO job")?;
        }
        run(connection, "RELEASE job")?;
    }
    Ok(())
}
