//! connect → secure: from an exchange to a connection on which transactions can begin. Hosts in the order of their
//! preference; a failed handshake falls back to clear text on a new connection where TLS is optional.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rand::seq::SliceRandom;
use smtp::{Client, Cut, Event, Login, Stage, TlsUse, classify};

use crate::config::{BROKEN_TLS_KEPT, HOSTS_MAX, Relay, RelayTls, Source, WATCH, us};
use crate::exchange::Way;
use crate::wire::Wire;
use crate::world::{Host, Target, World};

/// What connecting needs of whoever does it: the engine, or a courier beside it.
pub(crate) struct Means<'a> {
    pub world: &'a dyn World,
    pub relay: Option<&'a Relay>,
    pub port: u16,
    pub broken_tls: &'a BrokenTls,
    /// No further host is tried once this is set.
    pub closing: &'a AtomicBool,
}

/// Hosts whose TLS handshake failed lately: spoken to in clear until then (UTC microseconds).
#[derive(Debug, Default)]
pub(crate) struct BrokenTls(Mutex<HashMap<String, i64>>);

impl BrokenTls {
    fn holds(&self, host: &str, now: i64) -> bool {
        let broken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        broken.get(host).is_some_and(|until| *until > now)
    }

    fn remember(&self, host: &str, now: i64) {
        let mut broken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        broken.retain(|_, until| *until > now);
        broken.insert(host.to_owned(), now + us(BROKEN_TLS_KEPT));
    }
}

/// Why no host could be spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreached {
    /// In the receiver's words where it said something.
    pub reason: String,
    /// The wait that it named.
    pub after_s: Option<u32>,
}

/// How one host is spoken to.
struct Manner<'a> {
    host: &'a str,
    port: u16,
    tls: TlsUse,
    verify: bool,
    login: Option<Login>,
    configured: bool,
}

/// Connects to the first host that takes us.
pub(crate) async fn connect(means: &Means<'_>, way: &Way, source: &Source) -> Result<Wire, Unreached> {
    let mut last = Unreached { reason: "no host to connect to".to_owned(), after_s: None };
    match (way, means.relay) {
        (Way::Hosts(hosts), _) => {
            for host in &in_order(hosts) {
                let manner = Manner {
                    host,
                    port: means.port,
                    tls: TlsUse::Opportunistic,
                    verify: false,
                    login: None,
                    configured: false,
                };
                match reach(means, manner, source).await {
                    Ok(wire) => return Ok(wire),
                    Err(unreached) => last = unreached,
                }
                if means.closing.load(Ordering::Acquire) {
                    break;
                }
            }
        }
        (Way::Relay, Some(relay)) => {
            let tls = match relay.tls {
                RelayTls::None => TlsUse::Never,
                RelayTls::Opportunistic => TlsUse::Opportunistic,
                RelayTls::Required => TlsUse::Required,
                RelayTls::Implicit => TlsUse::Implicit,
            };
            let login = relay.login.clone().map(|(user, password)| Login {
                user,
                password,
                // The operator chose a relay without TLS and gave a login for it.
                in_clear: matches!(relay.tls, RelayTls::None | RelayTls::Opportunistic),
            });
            let verify = matches!(relay.tls, RelayTls::Required | RelayTls::Implicit);
            let manner = Manner { host: &relay.host, port: relay.port, tls, verify, login, configured: true };
            return reach(means, manner, source).await;
        }
        (Way::Relay | Way::Unresolved(_), _) => {}
    }
    Err(last)
}

/// One host; a second time in clear when optional TLS fails.
async fn reach(means: &Means<'_>, mut manner: Manner<'_>, source: &Source) -> Result<Wire, Unreached> {
    if manner.tls == TlsUse::Opportunistic && means.broken_tls.holds(manner.host, means.world.now_us()) {
        manner.tls = TlsUse::Never;
    }
    match open(means, &manner, source).await {
        Err(Failure::Handshake(_)) if manner.tls == TlsUse::Opportunistic => {
            means.broken_tls.remember(manner.host, means.world.now_us());
            manner.tls = TlsUse::Never;
            open(means, &manner, source).await.map_err(|failure| failure.named(manner.host))
        }
        other => other.map_err(|failure| failure.named(manner.host)),
    }
}

/// By preference, by chance among equals (RFC 5321 section 5.1).
fn in_order(hosts: &[Host]) -> Vec<String> {
    let mut order = hosts.to_vec();
    for group in order.chunk_by_mut(|a, b| a.preference == b.preference) {
        group.shuffle(&mut rand::rng());
    }
    order.into_iter().take(HOSTS_MAX).map(|host| host.name).collect()
}

enum Failure {
    Dial(String),
    Handshake(String),
    Closed(Stage, Cut),
}

impl Failure {
    fn named(self, host: &str) -> Unreached {
        match self {
            Self::Dial(error) => Unreached { reason: format!("{host}: {error}"), after_s: None },
            Self::Handshake(error) => {
                Unreached { reason: format!("{host}: the TLS handshake failed: {error}"), after_s: None }
            }
            Self::Closed(stage, Cut::Refused(reply)) => {
                let after_s = match classify(&reply, stage).path {
                    smtp::PathAction::Suspend { after_s } => after_s,
                    _ => None,
                };
                Unreached { reason: format!("{host} at {stage}: {reply}"), after_s }
            }
            Self::Closed(stage, why) => {
                Unreached { reason: format!("{host} at {stage}: {why}"), after_s: None }
            }
        }
    }
}

async fn open(means: &Means<'_>, manner: &Manner<'_>, source: &Source) -> Result<Wire, Failure> {
    let world = means.world;
    let target =
        Target { host: manner.host, port: manner.port, bind: source.bind, configured: manner.configured };
    let dialled = within(world, Stage::Connect, world.dial(target)).await;
    let mut stream = dialled.map_err(Failure::Dial)?;
    if manner.tls == TlsUse::Implicit {
        let secured = within(world, Stage::Handshake, world.secure(stream, manner.host, manner.verify)).await;
        stream = secured.map_err(Failure::Handshake)?;
    }
    let config = smtp::Config { ehlo: source.ehlo.clone(), tls: manner.tls, login: manner.login.clone() };
    let mut wire = Wire::new(stream, Client::new(config));
    loop {
        while let Some(event) = wire.next_event() {
            match event {
                Event::Ready => return Ok(wire),
                Event::Closed { stage, why } => return Err(Failure::Closed(stage, why)),
                Event::Handshake => {
                    let (stream, mut client) = wire.into_parts();
                    let secured =
                        within(world, Stage::Handshake, world.secure(stream, manner.host, manner.verify));
                    let stream = secured.await.map_err(Failure::Handshake)?;
                    client.secured();
                    wire = Wire::new(stream, client);
                }
                // No transaction was begun.
                Event::BodyWanted { .. } | Event::Finished { .. } => {}
            }
        }
        let now = world.now_us();
        wire.watch(now);
        if wire.client.is_closed() {
            continue;
        }
        tokio::select! {
            () = wire.step() => {}
            () = world.sleep_until(now + us(WATCH)) => {}
        }
    }
}

/// Bounds one step by its stage's time.
async fn within<T>(
    world: &dyn World,
    stage: Stage,
    step: impl Future<Output = std::io::Result<T>>,
) -> Result<T, String> {
    let end = world.now_us() + us(stage.timeout());
    tokio::select! {
        done = step => done.map_err(|error| error.to_string()),
        () = world.sleep_until(end) => Err("no answer in time".to_owned()),
    }
}
