//! A running analysis as others see it: how far it is, how to stop it, how to wait for it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, watch};

use crate::Deliveries;
use crate::types::{Analysis, AnalysisProgress, DeliveryId, Error, Result, StepTaken};

/// The steps, in order, with the share of the whole time that each took for a million recipients; from it the
/// expected end is reckoned. Measured; it need not be exact.
const STEPS: [(&str, f64); 8] = [
    ("waiting", 0.0),
    ("content", 0.01),
    ("target", 0.20),
    ("images", 0.01),
    ("domains", 0.05),
    ("personalisation", 0.60),
    ("index", 0.11),
    ("rules", 0.02),
];

/// A handle on a running (or ended) analysis. Cheap to clone.
#[derive(Clone)]
pub struct AnalysisHandle {
    shared: Arc<Shared>,
}

struct Shared {
    started_us: i64,
    /// When its turn came (µs): what it waits before says nothing of how long it takes.
    begun_us: AtomicI64,
    clock: Arc<dyn net::Clock>,
    step: AtomicU64,
    done: AtomicU64,
    total: AtomicU64,
    stop: AtomicBool,
    stopping: Notify,
    /// Steps that are over, and when the one under way began (µs).
    taken: Mutex<(Vec<StepTaken>, i64)>,
    ended: watch::Sender<Option<Ended>>,
    failure: Mutex<Option<Error>>,
}

type Ended = std::result::Result<Arc<Analysis>, Arc<str>>;

/// What a step of the analysis is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// For its turn, or for the hours of low activity.
    Waiting,
    Content,
    Target,
    Images,
    Domains,
    Personalisation,
    Index,
    Rules,
}

impl AnalysisHandle {
    pub(crate) fn new(clock: Arc<dyn net::Clock>) -> AnalysisHandle {
        let started_us = clock.now_us();
        AnalysisHandle {
            shared: Arc::new(Shared {
                started_us,
                begun_us: AtomicI64::new(started_us),
                clock,
                step: AtomicU64::new(0),
                done: AtomicU64::new(0),
                total: AtomicU64::new(0),
                stop: AtomicBool::new(false),
                stopping: Notify::new(),
                taken: Mutex::new((Vec::new(), started_us)),
                ended: watch::channel(None).0,
                failure: Mutex::new(None),
            }),
        }
    }

    /// How far it is.
    pub fn progress(&self) -> AnalysisProgress {
        let shared = &*self.shared;
        let step = usize::try_from(shared.step.load(Ordering::Relaxed)).unwrap_or(0).min(STEPS.len() - 1);
        let (done, total) = (shared.done.load(Ordering::Relaxed), shared.total.load(Ordering::Relaxed));
        let now_us = shared.clock.now_us();
        let (elapsed_us, begun_us) = (now_us - shared.started_us, shared.begun_us.load(Ordering::Relaxed));
        let before: f64 = STEPS[..step].iter().map(|(_, share)| share).sum();
        let within = if total == 0 { 0.0 } else { (done as f64 / total as f64).min(1.0) };
        let fraction = before + STEPS[step].1 * within;
        let expected_end =
            (fraction > 0.05).then(|| begun_us + ((now_us - begun_us) as f64 / fraction) as i64);
        AnalysisProgress { step: STEPS[step].0, done, total, elapsed_ms: elapsed_us / 1_000, expected_end }
    }

    /// Asks it to stop. Nothing was sent, so stopping is always safe; the delivery is a draft again.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.stopping.notify_waiters();
    }

    /// Ends when somebody asks it to stop.
    pub(crate) async fn stopped(&self) {
        let stopping = self.shared.stopping.notified();
        tokio::pin!(stopping);
        stopping.as_mut().enable();
        if !self.is_stopped() {
            stopping.await;
        }
    }

    /// Waits for its end.
    pub async fn wait(&self) -> Result<Analysis> {
        let mut ended = self.shared.ended.subscribe();
        let outcome = match ended.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        };
        match outcome {
            Some(Ok(analysis)) => Ok((*analysis).clone()),
            Some(Err(text)) => {
                let first = self.shared.failure.lock().unwrap_or_else(|p| p.into_inner()).take();
                Err(first.unwrap_or_else(|| Error::Internal(text.to_string())))
            }
            None => Err(Error::Internal("the analysis ended without a result".into())),
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Acquire)
    }

    pub(crate) fn enter(&self, step: Step, total: u64) {
        self.close_step();
        self.shared.done.store(0, Ordering::Relaxed);
        self.shared.total.store(total, Ordering::Relaxed);
        self.shared.step.store(step as u64, Ordering::Relaxed);
    }

    /// Notes what the step under way took until now.
    fn close_step(&self) {
        let shared = &*self.shared;
        let now_us = shared.clock.now_us();
        let step = usize::try_from(shared.step.load(Ordering::Relaxed)).unwrap_or(0).min(STEPS.len() - 1);
        let count = shared.done.load(Ordering::Relaxed);
        let mut taken = shared.taken.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let took_ms = (now_us - taken.1) / 1_000;
        taken.1 = now_us;
        if step == Step::Waiting as usize {
            shared.begun_us.store(now_us, Ordering::Relaxed);
        }
        let name = STEPS[step].0;
        match taken.0.iter_mut().find(|known| known.step == name) {
            Some(known) => {
                known.took_ms += took_ms;
                known.count += count;
            }
            None if count > 0 || took_ms > 0 => {
                taken.0.push(StepTaken { step: name.to_owned(), took_ms, count })
            }
            None => {}
        }
    }

    /// What each step took until now, in the order in which they began.
    pub(crate) fn steps_taken(&self) -> Vec<StepTaken> {
        self.close_step();
        self.shared.done.store(0, Ordering::Relaxed);
        self.shared.taken.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).0.clone()
    }

    pub(crate) fn advance(&self, done: u64) {
        self.shared.done.fetch_add(done, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, outcome: Result<Analysis>) {
        let ended = match outcome {
            Ok(analysis) => Ok(Arc::new(analysis)),
            Err(error) => {
                let text: Arc<str> = error.to_string().into();
                *self.shared.failure.lock().unwrap_or_else(|p| p.into_inner()) = Some(error);
                Err(text)
            }
        };
        self.shared.ended.send_replace(Some(ended));
    }
}

impl Deliveries {
    /// The analysis that runs on a delivery now.
    pub fn analysis_handle(&self, id: DeliveryId) -> Option<AnalysisHandle> {
        self.lock_running().get(&id).cloned()
    }

    pub(crate) fn lock_running(
        &self,
    ) -> std::sync::MutexGuard<'_, std::collections::HashMap<DeliveryId, AnalysisHandle>> {
        self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_take_the_whole_time() {
        let whole: f64 = STEPS.iter().map(|(_, share)| share).sum();
        assert!((whole - 1.0).abs() < 1e-9);
        assert_eq!(STEPS[Step::Rules as usize].0, "rules");
    }
}
