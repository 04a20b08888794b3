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

/// After so many urgent jobs in a row one waiting bulk job has its turn.
const URGENT_RUN_MAX: u32 = 32;

pub(crate) type Job<C> = Box<dyn FnOnce(&mut C) + Send>;

pub(crate) struct Lanes<C> {
    shared: Arc<Shared<C>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared<C> {
    queue: Mutex<Queue<C>>,
    wake: Condvar,
}

struct Queue<C> {
    urgent: VecDeque<Job<C>>,
    bulk: VecDeque<Job<C>>,
    urgent_run: u32,
    closed: bool,
}

impl<C: Send + 'static> Lanes<C> {
    /// One thread per connection, named for `top` and stack traces (15 octets at most on Linux).
    pub(crate) fn start(name: &str, connections: Vec<C>) -> std::io::Result<Lanes<C>> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                urgent: VecDeque::new(),
                bulk: VecDeque::new(),
                urgent_run: 0,
                closed: false,
            }),
            wake: Condvar::new(),
        });
        let mut threads = Vec::with_capacity(connections.len());
        for mut connection in connections {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name(name.to_string()).spawn(move || {
                while let Some(job) = shared.next() {
                    job(&mut connection);
                }
            })?;
            threads.push(thread);
        }
        Ok(Lanes { shared, threads: Mutex::new(threads) })
    }

    /// False when the lanes are closed; the job is then dropped.
    pub(crate) fn push(&self, lane: Lane, job: Job<C>) -> bool {
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

impl<C> Drop for Lanes<C> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

impl<C> Shared<C> {
    fn lock(&self) -> MutexGuard<'_, Queue<C>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Job<C>> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.pop() {
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<C> Queue<C> {
    fn pop(&mut self) -> Option<Job<C>> {
        if (self.urgent_run < URGENT_RUN_MAX || self.bulk.is_empty())
            && let Some(job) = self.urgent.pop_front()
        {
            self.urgent_run += 1;
            return Some(job);
        }
        self.urgent_run = 0;
        self.bulk.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn urgent_passes_bulk_but_does_not_starve_it() {
        let lanes = Lanes::start("t", vec![()]).unwrap();
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
