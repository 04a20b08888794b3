//! The engine: takes claimed messages to their receivers.
//!
//! **Owns** no table. In memory: waiting lines per receiver, connections, paths that rest, gates.
//!
//! **The chain**, one file each: feed (claims) → route (domain → receiver, standing: source) → gate (may it begin?) →
//! connect and secure → transact (session) → result (answer → outcome), blame (answer → path) → the queue's settler.
//! Beside it: [`shape`] (how fast a path may be used), keep (what outlives the engine), trace (watching connections).
//!
//! **Invariants**
//! - A message is in one pair of hands: a [`queue::Message`] in memory is put back in its line by whatever drops it.
//! - Nothing begins behind a closed gate. After [`Engine::stop`] has answered, no DATA and no body begins, and its figures
//!   say exactly what was sent, what is past its final dot, and what was cancelled.
//! - A path (source and site) has the limits. A path problem (no connection, 421, a DNS that is silent) rests the path; it
//!   decides nothing about messages.
//! - A message goes out from the same source for as long as that may be used: nothing has to be remembered for it.
//! - Memory is bounded by [`config::CLAIMED_BYTES_MAX`], connections by the paths' limits and [`Config::connections_max`],
//!   results that are not on disk by the settler's permits: no permit, no DATA.
//! - Shaping costs a message a few atomic numbers: no lock and no look-up.
//! - What is in no delivery (the archive's copies) goes by a [`Courier`]: the same dialogue over connections of its own.
//! - Composing and signing never run on the workers that serve sockets.
//!
//! **Neighbours**: queue (claims, results), smtp (dialogue, judgement), routes (sites and limits), net through [`World`],
//! the wiring through [`Compose`]. This crate knows neither snapshots nor keys nor HTTP.

mod actions;
mod backlog;
mod blame;
mod category;
mod claimed;
mod compose;
pub mod config;
mod connect;
mod courier;
mod engine;
mod exchange;
mod fair;
mod feed;
mod fill;
mod gate;
mod heard;
mod internet;
mod keep;
mod load;
mod result;
mod route;
mod session;
pub mod shape;
mod single;
mod standing;
mod trace;
mod turns;
mod unsettled;
mod watch;
mod wire;
mod world;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use queue::{Quarantine, Queue, Run, RunFigures, Settler};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use backlog::gather;
pub use category::category_of;
pub use compose::lower_rank;
pub use config::{Config, Relay, RelayTls, Source};
pub use courier::{Courier, CourierConfig, Handed, Line, NoLine};
pub use heard::ReplyCount;
pub use internet::Internet;
pub use watch::{Action, PathFigures, Suspension, TopReply, TraceKind, TraceLine};
pub use world::{
    Boxed, Compose, ComposeError, DaneAnswer, Dialled, Host, MailHosts, Order, Stream, Target, TlsSeen,
    World, way_name,
};

use config::{LEAVE_BEHIND, STOP_GRACE};
use engine::Shared;
use feed::Feeder;
use gate::Inside;
use keep::Keeper;

/// What the engine works with.
pub struct Parts {
    /// The queue, recovered ([`Queue::recover`]).
    pub queue: Queue,
    /// Called for addresses that do not exist, in the transaction that settles.
    pub quarantine: Arc<dyn Quarantine>,
    /// Network and clock.
    pub world: Arc<dyn World>,
    /// Makes the bytes.
    pub compose: Arc<dyn Compose>,
}

/// What a stop did. Everything else of the run had its outcome before.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StopReport {
    /// Taken by receivers.
    pub sent: i64,
    /// Past the final dot, answer not in yet: they settle when it comes.
    pub in_flight: i64,
    /// Will never be sent.
    pub cancelled: i64,
    /// Refused by receivers before.
    pub failed: i64,
}

/// The running engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    feeder: Arc<Mutex<Option<JoinHandle<()>>>>,
    keeper: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Engine {
    /// Starts on the current runtime. Released claims and interrupted stops are [`Queue::recover`]'s, to be called before.
    ///
    /// # Errors
    /// When the threads that compose and settle cannot be started.
    pub fn start(config: Config, parts: Parts) -> std::io::Result<Self> {
        let (settler, _ended) = Settler::start(parts.queue.clone(), parts.quarantine)?;
        let shared = Arc::new(Shared::new(config, parts.queue, settler, parts.world, parts.compose)?);
        let keeper = shared.config.routes.clone().map(|routes| (Arc::clone(&shared), routes));
        let (ready, wait) = oneshot::channel();
        let keeper = keeper.map(|(shared, routes)| {
            tokio::spawn(async move {
                let keeper = Keeper::begin(shared, routes).await;
                // The feeder has ended already when nobody waits.
                let _ = ready.send(());
                keeper.run().await;
            })
        });
        let feeder = Feeder::new(Arc::clone(&shared));
        let feeder = tokio::spawn(async move {
            // Limits that were learned hold from the first connection on. Without a keeper there is nothing to wait for.
            let _ = wait.await;
            feeder.run().await;
        });
        Ok(Self { shared, feeder: Arc::new(Mutex::new(Some(feeder))), keeper: Arc::new(Mutex::new(keeper)) })
    }

    /// Stops a delivery for good. Answers within a second, also while a receiver hangs.
    ///
    /// # Errors
    /// The queue's: not confirmed, already over, or the database is away (nothing was stopped then).
    pub async fn stop(&self, delivery: i64) -> queue::Result<StopReport> {
        let shared = &self.shared;
        let now = shared.world.now_us();
        let run = Arc::new(shared.queue.stop(delivery, now).await?);
        // One that is new is closed, and stays so for a feeder that still holds the run as it was before.
        let gate = shared.gate_for(&run);
        gate.refresh(run, false);
        gate.close();
        gate.cut();
        // In real time also where a test turns the clock: somebody waits for this answer.
        let _ = tokio::time::timeout(STOP_GRACE, gate.wait_until(|inside| inside.is_empty())).await;
        let mut inside = gate.inside();
        let mut figures = shared.queue.fresh_figures(delivery, now).await?;
        // Figures and transactions under way are two looks: taken again until nothing moved between them.
        for _ in 0..5 {
            let again = gate.inside();
            if again == inside {
                break;
            }
            inside = again;
            figures = shared.queue.fresh_figures(delivery, now).await?;
        }
        if inside.is_empty() {
            shared.queue.stopped(delivery, now).await?;
        }
        Ok(report(&figures, inside))
    }

    /// Pauses a delivery: what has begun ends, nothing more begins. Answers within a second; the run is `pausing` until
    /// the last connection is through, then `paused`.
    ///
    /// # Errors
    /// The queue's.
    pub async fn pause(&self, delivery: i64) -> queue::Result<Run> {
        let shared = &self.shared;
        let run = shared.queue.pause(delivery, shared.world.now_us()).await?;
        let run = Arc::new(run);
        let gate = shared.gate_for(&run);
        gate.refresh(run, false);
        gate.close();
        let _ = tokio::time::timeout(STOP_GRACE, gate.wait_until(|inside| inside.is_empty())).await;
        shared.queue.changed();
        shared.queue.run(delivery).await
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    /// The queue's.
    pub async fn resume(&self, delivery: i64) -> queue::Result<Run> {
        self.shared.queue.resume(delivery, self.shared.world.now_us()).await
    }

    /// Sends one message outside any delivery, at once, and answers with the receiver's words. `from` and `to` are
    /// addresses without brackets, `message` has CRLF line ends.
    ///
    /// # Errors
    /// In words, why it was not taken.
    pub async fn send_one(&self, from: &str, to: &str, message: &[u8]) -> Result<String, String> {
        single::send(&self.shared, from, to, message).await
    }

    /// Paths that have something to tell: connections, waiting messages, a rest, or answers so far.
    #[must_use]
    pub fn paths(&self) -> Vec<PathFigures> {
        actions::figures(&self.shared)
    }

    /// The domains whose mail goes to a site's hosts, as far as they were asked for. Reckons; not for a thread that serves
    /// sockets.
    #[must_use]
    pub fn domains_of(&self, site: &str) -> Vec<String> {
        route::domains_of(&self.shared, site)
    }

    /// Does what an operator wants of paths. It holds at once here, and within a second on other nodes.
    ///
    /// # Errors
    /// In words, why nothing was done: a site or source that is not known, or a database that is away.
    pub async fn act(&self, action: Action) -> Result<(), String> {
        actions::act(&self.shared, action).await
    }

    /// Shows the next connections to a site (as [`PathFigures::site`] names it), line by line, until the receiver is
    /// dropped. At most a hundred connections.
    #[must_use]
    pub fn trace(&self, site: &str, connections: u32) -> tokio::sync::mpsc::Receiver<TraceLine> {
        self.shared.traces.want(site, connections)
    }

    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.sessions()
    }

    /// Messages composed since the start.
    #[must_use]
    pub fn composed(&self) -> usize {
        self.shared.composers.composed()
    }

    /// How often receivers said what kind of "no" since the start.
    #[must_use]
    pub fn replies(&self) -> Vec<ReplyCount> {
        self.shared.heard.look()
    }

    /// Octets of claimed messages in memory.
    #[must_use]
    pub fn claimed_bytes(&self) -> usize {
        self.shared.budget.bytes()
    }

    /// Ends gracefully: begun messages get their answers (up to [`Config::drain`]), results go to disk, claims are
    /// released. A receiver that still has a message at its dot then may take its time (RFC 5321 section 4.5.3.2.6 gives it ten
    /// minutes): a retry behind that time is on disk, and an answer that comes while this process lives settles the message.
    /// A second call does nothing.
    ///
    /// # Errors
    /// The queue's, when the claims could not be released; the next start does it then.
    pub async fn shutdown(&self) -> queue::Result<()> {
        let feeder = self.feeder.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(feeder) = feeder else { return Ok(()) };
        let shared = &self.shared;
        for (_, gate) in shared.gates() {
            gate.close();
        }
        shared.close();
        // An error is a panic of the feeder, which is logged; the rest still has to be ended in order.
        if let Err(error) = feeder.await {
            tracing::error!(%error, "the feeder had ended before");
        }
        let drained = async {
            while shared.sessions() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            shared.settler.drained().await;
        };
        if tokio::time::timeout(shared.config.drain, drained).await.is_err() {
            self.leave_behind().await;
        }
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            shared.drained();
            if let Err(error) = keeper.await {
                tracing::error!(%error, "the keeper had ended before");
            }
        }
        shared.queue.recover(shared.world.now_us()).await
    }
}

impl Engine {
    async fn leave_behind(&self) {
        let shared = &self.shared;
        tracing::warn!(
            connections = shared.sessions(),
            "messages were still under way at the end of the drain time"
        );
        shared.leave_behind();
        let quiet = async {
            for (_, gate) in shared.gates() {
                gate.wait_until(|inside| inside.is_empty()).await;
            }
            shared.settler.drained().await;
        };
        if tokio::time::timeout(LEAVE_BEHIND, quiet).await.is_err() {
            tracing::warn!("what is at its dot could not be written down, and may be sent twice");
        }
    }
}

fn report(figures: &RunFigures, inside: Inside) -> StopReport {
    let in_flight = i64::try_from(inside.past_dot + inside.before_dot).unwrap_or(i64::MAX);
    StopReport {
        sent: figures.sent,
        in_flight,
        cancelled: figures.cancelled - in_flight,
        failed: figures.failed,
    }
}
