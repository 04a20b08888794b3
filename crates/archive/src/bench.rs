//! The thread that composes copies and writes files: one job after another, at a rank below the engine's composing
//! threads, so that a core which recipients need is never the archive's.

use std::sync::mpsc::{Sender, channel};

use tokio::sync::oneshot;

use crate::limits::NICE;
use crate::{Error, Result};

type Job = Box<dyn FnOnce() + Send>;

/// The thread. Ends when it is dropped.
pub(crate) struct Bench {
    jobs: Sender<Job>,
}

impl Bench {
    pub(crate) fn start() -> std::io::Result<Self> {
        let (jobs, receiver) = channel::<Job>();
        std::thread::Builder::new().name("archive".to_owned()).spawn(move || {
            // On Linux a process priority set by a thread for itself holds for that thread alone.
            if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                tracing::debug!(%error, "the archive's thread runs at normal rank");
            }
            while let Ok(job) = receiver.recv() {
                // A panic of one job must not end the archive; its asker hears of it.
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
                    tracing::error!("a job of the archive panicked");
                }
            }
        })?;
        Ok(Self { jobs })
    }

    /// Runs `job` on the thread.
    pub(crate) async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (done, answer) = oneshot::channel();
        let job: Job = Box::new(move || {
            // Nobody waits any more when the asker was dropped.
            let _ = done.send(job());
        });
        self.jobs.send(job).map_err(|_| Error::Ended)?;
        answer.await.map_err(|_| Error::Ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_job_only() {
        let bench = Bench::start().unwrap();
        assert_eq!(bench.run(|| 7).await.unwrap(), 7);
        assert!(bench.run(|| panic!("on purpose")).await.is_err());
        assert_eq!(bench.run(|| 8).await.unwrap(), 8);
    }
}
