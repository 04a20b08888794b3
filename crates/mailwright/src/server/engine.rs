//! The engine and its replacement when a setting of the mta changes: the old one drains, then a new one starts. In between
//! nothing is sent, and nothing is lost: what was claimed is released to the queue.

use std::sync::Arc;

use delivery::StopReport;
use http::{
    problem::Problem,
    state::{EngineControl, Pending},
};
use mta::{Engine, Internet, Parts};
use tokio::{
    runtime::Handle,
    sync::{RwLock, watch},
};

use super::{composer::Composer, quarantine::AudienceQuarantine, test_mail};

/// What an engine is built from, each time.
pub struct Supplies {
    /// Runs and messages.
    pub queue: queue::Queue,
    /// Signing keys.
    pub routes: routes::Routes,
    /// Keys of the tokens in links.
    pub tokens: Arc<message::TokenKeys>,
    /// The clock.
    pub clock: Arc<dyn net::Clock>,
    /// DNS.
    pub resolver: Arc<dyn net::Resolver>,
    /// TLS toward receivers.
    pub tls: net::Tls,
    /// The settings in force.
    pub settings: watch::Receiver<Arc<access::Settings>>,
}

/// The engine in force.
pub struct EngineSeat {
    supplies: Supplies,
    composer: Arc<Composer>,
    io: Handle,
    current: RwLock<Engine>,
}

impl EngineSeat {
    /// Starts the first engine on `io`.
    pub async fn start(
        supplies: Supplies,
        io: Handle,
        config: mta::Config,
        guard: net::Guard,
    ) -> std::io::Result<Self> {
        let composer = Arc::new(Composer::new(
            supplies.queue.clone(),
            supplies.routes.clone(),
            Arc::clone(&supplies.tokens),
        ));
        let engine = seat(&supplies, &composer, &io, config, guard).await?;
        Ok(Self { supplies, composer, io, current: RwLock::new(engine) })
    }

    /// Puts an engine with another configuration in its place.
    pub async fn replace(&self, config: mta::Config, guard: net::Guard) {
        let mut current = self.current.write().await;
        if let Err(error) = current.shutdown().await {
            tracing::warn!(%error, "claims were not released; the next engine does it");
        }
        match seat(&self.supplies, &self.composer, &self.io, config, guard).await {
            Ok(engine) => *current = engine,
            Err(error) => tracing::error!(%error, "the engine could not be started again; nothing is sent"),
        }
    }

    /// Ends in order: begun messages get their answers.
    pub async fn shutdown(&self) {
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
    let world = Internet {
        resolver: Arc::clone(&supplies.resolver),
        clock: Arc::clone(&supplies.clock),
        tls: supplies.tls.clone(),
        guard,
    };
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
            let engine = self.current.read().await.clone();
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
            let engine = self.current.read().await.clone();
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
}
