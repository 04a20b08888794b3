//! Group commit on the writer: urgent transactions that arrived while the last commit was on its way to the disk share
//! the next one. Each is a savepoint of its own, so that one that fails takes nothing from the others, and nobody hears
//! of success before the shared commit is on disk. A transaction that comes alone pays nothing for this.

use super::{attempt, roll_back, run};
use crate::error::{Error, Result};
use crate::lanes::Lanes;
use crate::tx::Tx;
use rusqlite::Connection;
use tokio::sync::oneshot;

/// Most transactions in one commit: the last one waits for all others to run.
const GROUP_MAX: usize = 64;

/// A transaction whose result is told only after the commit.
pub(crate) trait WriteJob: Send {
    /// Runs the closure inside the open transaction. False: what it did is to be undone.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Tells the caller. `failed`: the commit did not happen.
    fn finish(self: Box<Self>, failed: Option<Error>);
}

/// The job of one [`crate::Store::write`].
pub(crate) struct Write<F, T, E> {
    work: Option<F>,
    outcome: Option<Result<T, E>>,
    caller: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Write<F, T, E> {
    pub(crate) fn new(work: F, caller: oneshot::Sender<Result<T, E>>) -> Write<F, T, E> {
        Write { work: Some(work), outcome: None, caller }
    }
}

impl<F, T, E> WriteJob for Write<F, T, E>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
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
    Lanes::start_batched("store-write", GROUP_MAX, vec![move |jobs| commit(&writer, jobs)])
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
