//! connect → secure: from an exchange to a connection on which transactions can begin. Hosts in the order of their
//! preference; a failed handshake falls back to clear text on a new connection where TLS is optional.

use std::sync::atomic::Ordering;

use rand::seq::SliceRandom;
use smtp::{Client, Cut, Event, Login, Stage, TlsUse, classify};

use crate::config::{BROKEN_TLS_KEPT, HOSTS_MAX, RelayTls, Source, WATCH, us};
use crate::engine::Shared;
use crate::exchange::{Exchange, Way};
use crate::wire::Wire;
use crate::world::{Host, Target};

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
pub(crate) async fn connect(
    shared: &Shared,
    exchange: &Exchange,
    source: &Source,
) -> Result<Wire, Unreached> {
    let mut last = Unreached { reason: "no host to connect to".to_owned(), after_s: None };
    match (&exchange.way, &shared.config.relay) {
        (Way::Hosts(hosts), _) => {
            for host in &in_order(hosts) {
                let manner = Manner {
                    host,
                    port: shared.config.port,
                    tls: TlsUse::Opportunistic,
                    verify: false,
                    login: None,
                    configured: false,
                };
                match reach(shared, manner, source).await {
                    Ok(wire) => return Ok(wire),
                    Err(unreached) => last = unreached,
                }
                if shared.closing.load(Ordering::Acquire) {
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
            return reach(shared, manner, source).await;
        }
        (Way::Relay | Way::Unresolved(_), _) => {}
    }
    Err(last)
}

/// One host; a second time in clear when optional TLS fails.
async fn reach(shared: &Shared, mut manner: Manner<'_>, source: &Source) -> Result<Wire, Unreached> {
    if manner.tls == TlsUse::Opportunistic && shared.tls_is_broken(manner.host) {
        manner.tls = TlsUse::Never;
    }
    match open(shared, &manner, source).await {
        Err(Failure::Handshake(_)) if manner.tls == TlsUse::Opportunistic => {
            shared.remember_broken_tls(manner.host, us(BROKEN_TLS_KEPT));
            manner.tls = TlsUse::Never;
            open(shared, &manner, source).await.map_err(|failure| failure.named(manner.host))
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
                    smtp::PathAction::None => None,
                };
                Unreached { reason: format!("{host} at {stage}: {reply}"), after_s }
            }
            Self::Closed(stage, why) => {
                Unreached { reason: format!("{host} at {stage}: {why}"), after_s: None }
            }
        }
    }
}

async fn open(shared: &Shared, manner: &Manner<'_>, source: &Source) -> Result<Wire, Failure> {
    let world = &shared.world;
    let target =
        Target { host: manner.host, port: manner.port, bind: source.bind, configured: manner.configured };
    let dialled = within(shared, Stage::Connect, world.dial(target)).await;
    let mut stream = dialled.map_err(Failure::Dial)?;
    if manner.tls == TlsUse::Implicit {
        let secured =
            within(shared, Stage::Handshake, world.secure(stream, manner.host, manner.verify)).await;
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
                        within(shared, Stage::Handshake, world.secure(stream, manner.host, manner.verify));
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
    shared: &Shared,
    stage: Stage,
    step: impl Future<Output = std::io::Result<T>>,
) -> Result<T, String> {
    let end = shared.world.now_us() + us(stage.timeout());
    tokio::select! {
        done = step => done.map_err(|error| error.to_string()),
        () = shared.world.sleep_until(end) => Err("no answer in time".to_owned()),
    }
}
