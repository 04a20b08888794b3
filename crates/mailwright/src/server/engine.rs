//! The engine and its replacement when a setting of the mta changes: the old one drains, then a new one starts. In between
//! nothing is sent, and nothing is lost: what was claimed is released to the queue.

use std::sync::Arc;

use delivery::StopReport;
use http::{
    paths::Standing,
    problem::Problem,
    state::{EngineControl, Pending},
};
use mta::{Action, Engine, Internet, Parts, TraceLine};
use tokio::{
    runtime::Handle,
    sync::{Mutex, RwLock, RwLockWriteGuard, mpsc, watch},
};

use super::{composer::Composer, quarantine::AudienceQuarantine, test_mail};

/// How often the end of a stop is looked for before an engine is put in place.
const SWAP_WAIT: std::time::Duration = std::time::Duration::from_millis(5);

/// What an engine is built from, each time.
pub struct Supplies {
    /// Learns the links of what is sent.
    pub tracking: tracking::Tracking,
    /// Runs and messages.
    pub queue: queue::Queue,
    /// Signing keys, and the rules of sites.
    pub routes: routes::Routes,
    /// Rules by which replies are judged; shared with whoever replaces them.
    pub replies: smtp::Rulebook,
    /// Keys of the tokens in links.
    pub tokens: Arc<message::TokenKeys>,
    /// The clock.
    pub clock: Arc<dyn net::Clock>,
    /// DNS.
    pub resolver: Arc<dyn net::Resolver>,
    /// TLS toward receivers.
    pub tls: net::Tls,
    /// What recipients' domains say about it.
    pub policies: routes::TransportPolicies,
    /// The settings in force.
    pub settings: watch::Receiver<Arc<access::Settings>>,
}

impl Supplies {
    /// The network and the clock, dialling only what `guard` allows.
    pub fn world(&self, guard: net::Guard) -> Internet {
        Internet {
            resolver: Arc::clone(&self.resolver),
            clock: Arc::clone(&self.clock),
            tls: self.tls.clone(),
            guard,
            policies: Some(self.policies.clone()),
        }
    }
}

/// The engine in force.
pub struct EngineSeat {
    supplies: Supplies,
    composer: Arc<Composer>,
    io: Handle,
    current: RwLock<Engine>,
    /// Held while an engine is replaced or ended: the one after the other.
    replacing: Mutex<()>,
}

impl EngineSeat {
    /// Starts the first engine on `io`.
    pub async fn start(
        supplies: Supplies,
        io: Handle,
        config: mta::Config,
        guard: net::Guard,
    ) -> std::io::Result<Self> {
        let composer =
            Composer::new(supplies.queue.clone(), supplies.routes.clone(), Arc::clone(&supplies.tokens));
        let composer = Arc::new(composer.warming(supplies.tracking.clone()));
        let engine = seat(&supplies, &composer, &io, config, guard).await?;
        Ok(Self { supplies, composer, io, current: RwLock::new(engine), replacing: Mutex::new(()) })
    }

    /// The network and the clock, for whoever works beside the engine.
    pub fn world(&self, guard: net::Guard) -> Arc<Internet> {
        Arc::new(self.supplies.world(guard))
    }

    /// Signing keys.
    pub fn routes(&self) -> &routes::Routes {
        &self.supplies.routes
    }

    /// Sends a message that is ready, outside any delivery; answers with the receiver's words.
    pub async fn send_raw(&self, from: &str, to: &str, message: &[u8]) -> Result<String, String> {
        let engine = self.current.read().await.clone();
        engine.send_one(from, to, message).await
    }

    /// Puts an engine with another configuration in its place. While the old one drains it is the one that stops and
    /// pauses: only it can cut its connections, and nobody waits for the drain.
    pub async fn replace(&self, config: mta::Config, guard: net::Guard) {
        let _one = self.replacing.lock().await;
        let old = self.current.read().await.clone();
        if let Err(error) = old.shutdown().await {
            tracing::warn!(%error, "claims were not released; the next engine does it");
        }
        let mut current = self.between_stops().await;
        match seat(&self.supplies, &self.composer, &self.io, config, guard).await {
            Ok(engine) => *current = engine,
            Err(error) => tracing::error!(%error, "the engine could not be started again; nothing is sent"),
        }
    }

    /// The right to change the engine. A stop that is under way goes to its end before, because the new engine could
    /// begin what the old one has just promised to be stopped; and none that comes has to wait behind us, as it would
    /// in the lock's own line.
    async fn between_stops(&self) -> RwLockWriteGuard<'_, Engine> {
        loop {
            if let Ok(current) = self.current.try_write() {
                return current;
            }
            tokio::time::sleep(SWAP_WAIT).await;
        }
    }

    /// Ends in order: begun messages get their answers.
    pub async fn shutdown(&self) {
        let _one = self.replacing.lock().await;
        if let Err(error) = self.current.read().await.shutdown().await {
            tracing::warn!(%error, "claims were not released; the next start does it");
        }
    }
}

async fn seat(
    supplies: &Supplies,
    composer: &Arc<Composer>,
    io: &Handle,
    config: mta::Config,
    guard: net::Guard,
) -> std::io::Result<Engine> {
    let world = supplies.world(guard);
    let config =
        mta::Config { routes: Some(supplies.routes.clone()), replies: supplies.replies.clone(), ..config };
    let parts = Parts {
        queue: supplies.queue.clone(),
        quarantine: Arc::new(AudienceQuarantine),
        world: Arc::new(world),
        compose: Arc::clone(composer) as Arc<dyn mta::Compose>,
    };
    // The engine spawns its tasks where it is started.
    io.spawn(async move { Engine::start(config, parts) }).await.map_err(std::io::Error::other)?
}

impl EngineControl for EngineSeat {
    fn stop<'a>(&'a self, delivery: i64) -> Pending<'a, Result<StopReport, Problem>> {
        Box::pin(async move {
            // Held to the end: see `between_stops`.
            let engine = self.current.read().await;
            let report = engine.stop(delivery).await?;
            let state =
                if report.in_flight > 0 { delivery::State::Stopping } else { delivery::State::Stopped };
            Ok(StopReport {
                state,
                sent: report.sent,
                in_flight: report.in_flight,
                cancelled: report.cancelled,
            })
        })
    }

    fn pause<'a>(&'a self, delivery: i64) -> Pending<'a, Result<(), Problem>> {
        Box::pin(async move {
            let engine = self.current.read().await;
            engine.pause(delivery).await?;
            Ok(())
        })
    }

    fn send_test<'a>(&'a self, from: &'a str, to: &'a str) -> Pending<'a, Result<String, String>> {
        Box::pin(async move {
            let engine = self.current.read().await.clone();
            test_mail::send(&engine, &self.supplies, from, to).await
        })
    }

    fn standing(&self) -> Pending<'_, Standing> {
        Box::pin(async move {
            let engine = self.current.read().await.clone();
            Standing {
                paths: engine.paths(),
                connections: engine.connections() as u64,
                composed: engine.composed() as u64,
                claimed_bytes: engine.claimed_bytes() as u64,
                replies: engine.replies(),
                others_end: None,
            }
        })
    }

    fn category(&self, site: &str, reason: Option<&str>, words: &str) -> Option<&'static str> {
        mta::category_of(&self.supplies.replies, site, reason, words)
    }

    fn act(&self, action: Action) -> Pending<'_, Result<(), Problem>> {
        Box::pin(async move {
            let engine = self.current.read().await.clone();
            engine.act(action).await.map_err(Problem::conflict)
        })
    }

    fn domains<'a>(&'a self, site: &'a str) -> Pending<'a, Vec<String>> {
        Box::pin(async move {
            let (engine, site) = (self.current.read().await.clone(), site.to_owned());
            // Without the list the site's own name is still meant.
            tokio::task::spawn_blocking(move || engine.domains_of(&site)).await.unwrap_or_default()
        })
    }

    fn trace<'a>(&'a self, site: &'a str, connections: u32) -> Pending<'a, mpsc::Receiver<TraceLine>> {
        Box::pin(async move { self.current.read().await.clone().trace(site, connections) })
    }
}
