//! PostgreSQL: pools of connections, each driven by a thread of its own, so that rooms write plain sync code.

mod copy;
mod numeric;
mod session;
pub(crate) mod types;

pub(crate) use session::Session;

use crate::error::{Error, Result};
use crate::lanes::{Job, Lanes};
use session::Health;
pub(crate) use session::Kind;
use std::sync::Arc;
use std::time::Duration;

/// Connections for urgent writes.
const URGENT_CONNECTIONS: usize = 4;
/// Connections for bulk writes.
const BULK_CONNECTIONS: usize = 3;
/// Connections for reads.
const READ_CONNECTIONS: usize = 5;
/// Longest wait for one connection attempt.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// A peer that acknowledges nothing for so long is gone (TCP only).
const PEER_SILENCE_MAX: Duration = Duration::from_secs(20);

/// The three pools over one database. At most 12 connections a node.
pub(crate) struct Postgres {
    pub(crate) urgent: Lanes<Job<Session>>,
    pub(crate) bulk: Lanes<Job<Session>>,
    pub(crate) readers: Lanes<Job<Session>>,
}

impl Postgres {
    /// Connects the urgent ones, which also says at start what is wrong with the address: the first commits of a run
    /// must not wait for connections. The other pools connect when first used.
    pub(crate) fn open(url: &str) -> Result<Postgres> {
        let mut config: tokio_postgres::Config = url
            .parse()
            .map_err(|e: tokio_postgres::Error| Error::Url(format!("the database address: {}", say(&e))))?;
        config
            .application_name("mailwright")
            .connect_timeout(CONNECT_WAIT)
            .tcp_user_timeout(PEER_SILENCE_MAX);
        let config = Arc::new(config);
        let health = Arc::new(Health::default());
        let session = || Session::new(config.clone(), health.clone());
        let pool = |name: &str, count: usize, connected: bool| {
            let mut sessions = (0..count).map(|_| session()).collect::<Result<Vec<_>>>()?;
            if connected {
                sessions.iter_mut().try_for_each(Session::check)?;
            }
            Lanes::start(name, sessions).map_err(Error::io(name))
        };
        Ok(Postgres {
            urgent: pool("store-urgent", URGENT_CONNECTIONS, true)?,
            bulk: pool("store-bulk", BULK_CONNECTIONS, false)?,
            readers: pool("store-read", READ_CONNECTIONS, false)?,
        })
    }

    pub(crate) fn close(&self) {
        for lanes in [&self.urgent, &self.bulk, &self.readers] {
            lanes.close();
        }
        for lanes in [&self.urgent, &self.bulk, &self.readers] {
            lanes.join();
        }
    }
}

/// The error with its cause: tokio-postgres alone says only "db error" or "error connecting to server".
fn say(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
