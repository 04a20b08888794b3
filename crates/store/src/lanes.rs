//! A few threads that each own one connection, fed by two lanes: urgent work goes first, bulk work is not starved.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Which queue a write stands in. On SQLite there is one writer and urgent work passes bulk work; on PostgreSQL the
/// two lanes have connections of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Settling, stop, suppression, and what a person waits for: short.
    Urgent,
    /// Import, analysis, purge: cut by the caller at about 20 ms or 2,000 rows, so that urgent work gets its turn.
    Bulk,
}

/// After so many turns of urgent jobs in a row one waiting bulk job has its turn.
const URGENT_RUN_MAX: u32 = 32;

/// Work for a thread that owns a `C`.
pub(crate) type Job<C> = Box<dyn FnOnce(&mut C) + Send>;

/// Threads that take jobs of type `J` from two queues.
pub(crate) struct Lanes<J> {
    shared: Arc<Shared<J>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared<J> {
    queue: Mutex<Queue<J>>,
    wake: Condvar,
    batch_max: usize,
}

struct Queue<J> {
    urgent: VecDeque<J>,
    bulk: VecDeque<J>,
    urgent_run: u32,
    closed: bool,
}

impl<C: Send + 'static> Lanes<Job<C>> {
    /// One thread per connection; each job has it to itself.
    pub(crate) fn start(name: &str, connections: Vec<C>) -> std::io::Result<Lanes<Job<C>>> {
        let work = connections.into_iter().map(|mut connection| {
            move |jobs: Vec<Job<C>>| {
                for job in jobs {
                    job(&mut connection);
                }
            }
        });
        Lanes::start_batched(name, 1, work.collect())
    }
}

impl<J: Send + 'static> Lanes<J> {
    /// One thread per element of `work`, named for `top` and stack traces (15 octets at most on Linux). It is handed
    /// one bulk job, or all urgent jobs that wait, at most `batch_max`.
    pub(crate) fn start_batched(
        name: &str,
        batch_max: usize,
        work: Vec<impl FnMut(Vec<J>) + Send + 'static>,
    ) -> std::io::Result<Lanes<J>> {
        let queue = Queue { urgent: VecDeque::new(), bulk: VecDeque::new(), urgent_run: 0, closed: false };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), wake: Condvar::new(), batch_max });
        let mut threads = Vec::with_capacity(work.len());
        for mut work in work {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name(name.to_string()).spawn(move || {
                while let Some(jobs) = shared.next() {
                    work(jobs);
                }
            })?;
            threads.push(thread);
        }
        Ok(Lanes { shared, threads: Mutex::new(threads) })
    }

    /// False when the lanes are closed; the job is then dropped.
    pub(crate) fn push(&self, lane: Lane, job: J) -> bool {
        let mut queue = self.shared.lock();
        if queue.closed {
            return false;
        }
        match lane {
            Lane::Urgent => queue.urgent.push_back(job),
            Lane::Bulk => queue.bulk.push_back(job),
        }
        drop(queue);
        self.shared.wake.notify_one();
        true
    }

    /// Takes no more work. What was queued is still done.
    pub(crate) fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
    }

    /// Waits until the threads have done what was queued and dropped their connections. Call after `close`.
    pub(crate) fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic was already reported to the caller of the job that panicked.
            let _ = thread.join();
        }
    }
}

impl<J> Drop for Lanes<J> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

impl<J> Shared<J> {
    fn lock(&self) -> MutexGuard<'_, Queue<J>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Vec<J>> {
        let mut queue = self.lock();
        loop {
            if let Some(jobs) = queue.pop(self.batch_max) {
                return Some(jobs);
            }
            if queue.closed {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<J> Queue<J> {
    fn pop(&mut self, batch_max: usize) -> Option<Vec<J>> {
        let urgent_goes = self.urgent_run < URGENT_RUN_MAX || self.bulk.is_empty();
        if urgent_goes && !self.urgent.is_empty() {
            self.urgent_run += 1;
            let count = self.urgent.len().min(batch_max);
            return Some(self.urgent.drain(..count).collect());
        }
        self.urgent_run = 0;
        self.bulk.pop_front().map(|job| vec![job])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn urgent_passes_bulk_but_does_not_starve_it() {
        let lanes: Lanes<Job<()>> = Lanes::start("t", vec![()]).unwrap();
        let (hold, held) = mpsc::channel::<()>();
        let (done, order) = mpsc::channel();
        let (begun, has_begun) = mpsc::channel();
        let first = move |(): &mut ()| {
            begun.send(()).unwrap();
            held.recv().unwrap();
        };
        lanes.push(Lane::Bulk, Box::new(first));
        has_begun.recv().unwrap();
        for lane in [Lane::Bulk; 2].into_iter().chain([Lane::Urgent; 40]) {
            let done = done.clone();
            lanes.push(lane, Box::new(move |()| done.send(lane).unwrap()));
        }
        drop(done);
        hold.send(()).unwrap();
        let order: Vec<Lane> = order.iter().collect();
        assert!(order[..32].iter().all(|lane| *lane == Lane::Urgent));
        assert_eq!(order[32], Lane::Bulk);
        assert_eq!(order[33], Lane::Urgent);
        assert_eq!(order.len(), 42);
        lanes.close();
        assert!(!lanes.push(Lane::Urgent, Box::new(|()| ())));
        lanes.join();
    }
}
