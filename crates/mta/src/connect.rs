//! connect → secure: from an exchange to a connection on which transactions can begin. Hosts in the order of their
//! preference; what TLS must be is decided host by host:
//!
//! 1. what the operator said of the site: never, or always;
//! 2. DANE, where the DNS proves host, address and certificate (RFC 7672). It wins over MTA-STS (RFC 8461 section 2);
//! 3. the recipient domain's MTA-STS policy (RFC 8461);
//! 4. TLS where it is offered, with any certificate, and in clear on a new connection where its handshake fails.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use net::{Demand, StsMode, TlsError, TlsFault, Tlsa};
use rand::seq::SliceRandom;
use routes::DomainPolicy;
use smtp::{Category, Client, Cut, Event, Login, Stage, TlsUse, classify};

use crate::config::{BROKEN_TLS_KEPT, HOSTS_MAX, Relay, RelayTls, Source, WATCH, us};
use crate::exchange::Way;
use crate::trace::Tracer;
use crate::wire::Wire;
use crate::world::{DaneAnswer, Host, Target, TlsSeen, World};

/// What connecting needs of whoever does it: the engine, or a courier beside it.
pub(crate) struct Means<'a> {
    pub world: &'a dyn World,
    pub relay: Option<&'a Relay>,
    pub port: u16,
    pub false_offers: &'a FalseOffers,
    /// No further host is tried once this is set.
    pub closing: &'a AtomicBool,
    /// Shows the first connection that stands, line by line.
    pub trace: Mutex<Option<Tracer>>,
}

/// What the operator says of TLS with a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SiteTls {
    /// Never, whatever the site says of itself.
    None,
    /// As the domain's own policies have it, and where it is offered otherwise.
    Opportunistic,
    /// Always; without a policy of the domain with any certificate, because nothing says what a right one would be.
    Required,
}

/// What the rules of a site and its source say about connecting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub tls: SiteTls,
    /// The receiver demanded TLS in its own words: as [`SiteTls::Required`], unless the operator said never.
    pub secure_only: bool,
    /// A failed handshake is followed by a connection in clear, where TLS is not demanded.
    pub clear_after_broken_tls: bool,
    pub connect_timeout: Duration,
    /// The proxy that dials for the source.
    pub proxy: Option<SocketAddr>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            tls: SiteTls::Opportunistic,
            secure_only: false,
            clear_after_broken_tls: true,
            connect_timeout: Stage::Connect.timeout(),
            proxy: None,
        }
    }
}

/// Hosts that offered lately what they cannot do: their TLS handshake failed, or PIPELINING lost commands. Until a time
/// (UTC microseconds) they are not asked for it.
#[derive(Debug, Default)]
pub(crate) struct FalseOffers {
    tls: Mutex<HashMap<String, i64>>,
    pipelining: Mutex<HashMap<String, i64>>,
}

impl FalseOffers {
    fn of_tls(&self, host: &str, now: i64) -> bool {
        holds(&self.tls, host, now)
    }

    fn of_pipelining(&self, host: &str, now: i64) -> bool {
        holds(&self.pipelining, host, now)
    }

    /// A connection has ended: what it showed about its host.
    pub(crate) fn learn(&self, wire: &Wire, now: i64) {
        if wire.client.doubts_pipelining() {
            tracing::info!(host = %wire.host, "offers PIPELINING and loses commands; spoken to in lock-step");
            remember(&self.pipelining, &wire.host, now + us(FALSE_PIPELINING_KEPT));
        }
    }
}

fn holds(hosts: &Mutex<HashMap<String, i64>>, host: &str, now: i64) -> bool {
    let hosts = hosts.lock().unwrap_or_else(PoisonError::into_inner);
    hosts.get(host).is_some_and(|until| *until > now)
}

fn remember(hosts: &Mutex<HashMap<String, i64>>, host: &str, until: i64) {
    let mut hosts = hosts.lock().unwrap_or_else(PoisonError::into_inner);
    if hosts.len() >= FALSE_OFFERS_MAX {
        hosts.clear();
    }
    hosts.insert(host.to_owned(), until);
}

/// Hosts remembered for each offer: beyond it all are asked anew.
const FALSE_OFFERS_MAX: usize = 100_000;
/// How long a host that loses pipelined commands is spoken to in lock-step: not long, because a connection that breaks in
/// the middle of a group looks the same.
const FALSE_PIPELINING_KEPT: Duration = Duration::from_secs(3_600);

/// Why no host could be spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreached {
    /// In the receiver's words where it said something.
    pub reason: String,
    /// The wait that it named.
    pub after_s: Option<u32>,
    /// What kind of failure the last host's was.
    pub category: Category,
    /// What the last host said, and at which stage, when it was that which ended it.
    pub refused: Option<Box<(smtp::Reply, Stage)>>,
}

/// How one host is spoken to.
struct Manner<'a> {
    host: &'a str,
    port: u16,
    tls: TlsUse,
    demand: Demand,
    /// When the handshake fails, a second connection in clear is right.
    clear_after: bool,
    login: Option<Login>,
    configured: bool,
    report: Report<'a>,
}

/// Who counts the connection.
#[derive(Clone, Copy)]
struct Report<'a> {
    world: &'a dyn World,
    policy: Option<&'a DomainPolicy>,
    host: &'a str,
    from: Option<IpAddr>,
    /// The address that was reached.
    to: Option<IpAddr>,
}

impl Report<'_> {
    fn counts(&self, dane: Option<&[Tlsa]>, fault: Option<(TlsFault, &str)>) {
        if let Some(policy) = self.policy {
            let Report { host, from, to, .. } = *self;
            self.world.tls_seen(TlsSeen { policy, dane, host, from, to, fault });
        }
    }
}

impl Manner<'_> {
    fn counts(&self, fault: Option<(TlsFault, &str)>) {
        let dane = match &self.demand {
            Demand::Dane { records, .. } => Some(&**records),
            _ => None,
        };
        self.report.counts(dane, fault);
    }
}

/// Connects to the first host that takes us.
pub(crate) async fn connect(
    means: &Means<'_>,
    way: &Way,
    source: &Source,
    terms: &Terms,
) -> Result<Wire, Unreached> {
    match (way, means.relay) {
        (Way::Hosts(hosts), _) => to_hosts(means, hosts, source, terms).await,
        (Way::Relay, Some(relay)) => {
            reach(means, to_relay(means, relay), source, terms).await.map_err(|f| f.named(&relay.host))
        }
        (Way::Relay | Way::Unresolved(_) | Way::NoSource(_), _) => {
            Err(unreached(Category::RoutingErrors, "no host to connect to".to_owned()))
        }
    }
}

async fn to_hosts(
    means: &Means<'_>,
    hosts: &[Host],
    source: &Source,
    terms: &Terms,
) -> Result<Wire, Unreached> {
    let mut last = unreached(Category::RoutingErrors, "no host to connect to".to_owned());
    for host in in_order(hosts) {
        let report = Report {
            world: means.world,
            policy: host.policy.as_deref(),
            host: &host.name,
            from: source.bind,
            to: None,
        };
        match manner(means, host, terms, report).await {
            Ok(manner) => match reach(means, manner, source, terms).await {
                Ok(wire) => return Ok(wire),
                Err(failure) => last = failure.named(&host.name),
            },
            Err(reason) => last = unreached(Category::BadConnection, format!("{}: {reason}", host.name)),
        }
        if means.closing.load(Ordering::Acquire) {
            break;
        }
    }
    Err(last)
}

fn unreached(category: Category, reason: String) -> Unreached {
    Unreached { reason, after_s: None, category, refused: None }
}

/// How a host of a domain is spoken to; in words why it is not.
async fn manner<'a>(
    means: &Means<'a>,
    host: &'a Host,
    terms: &Terms,
    report: Report<'a>,
) -> Result<Manner<'a>, String> {
    let mut manner = Manner {
        host: &host.name,
        port: means.port,
        tls: TlsUse::Opportunistic,
        demand: Demand::Any,
        clear_after: terms.clear_after_broken_tls,
        login: None,
        configured: false,
        report,
    };
    if terms.tls == SiteTls::None {
        manner.tls = TlsUse::Never;
        return Ok(manner);
    }
    if terms.tls == SiteTls::Required || terms.secure_only {
        manner.demand_tls(Demand::Any);
    }
    let sts = host.policy.as_ref().and_then(|policy| policy.sts.as_ref());
    let dane = if host.secure { means.world.dane(&host.name, means.port).await } else { DaneAnswer::Absent };
    match dane {
        DaneAnswer::Records { base, records } => {
            let names = host.policy.iter().map(|policy| policy.domain.clone()).collect();
            manner.demand_tls(Demand::Dane { base, records, names });
            return Ok(manner);
        }
        // RFC 7672 section 2.1.1: not known is not absent. The host is left out, which defers when it was the last.
        DaneAnswer::Unknown(why) => {
            report.counts(Some(&[]), Some((TlsFault::DnssecInvalid, &why)));
            return Err(format!("{NO_DANE}: {why}"));
        }
        // RFC 7672 section 2.2: the domain wants TLS, with whatever certificate.
        DaneAnswer::Unusable => manner.demand_tls(Demand::Any),
        DaneAnswer::Absent => {}
    }
    match sts.map(|sts| (sts.mode, sts.allows(&host.name))) {
        Some((StsMode::Enforce, true)) => manner.demand_tls(Demand::Sts),
        Some((StsMode::Enforce, false)) => {
            report.counts(None, Some((TlsFault::ValidationFailure, NOT_NAMED)));
            return Err(NOT_NAMED.to_owned());
        }
        Some((StsMode::Testing, true)) => manner.demand = Demand::StsTesting,
        Some((StsMode::Testing, false)) => {
            report.counts(None, Some((TlsFault::ValidationFailure, NOT_NAMED)));
            // Counted already: the connection's own TLS is nobody's concern.
            manner.report.policy = None;
        }
        Some((StsMode::None, _)) | None => {}
    }
    Ok(manner)
}

/// Words of hosts that were not spoken to; [`crate::category_of`] knows them again.
pub(crate) const NOT_NAMED: &str = "the domain's MTA-STS policy does not name this mail host";
pub(crate) const NO_DANE: &str = "its DANE records could not be had";
pub(crate) const HANDSHAKE_FAILED: &str = "the TLS handshake failed";

impl Manner<'_> {
    fn demand_tls(&mut self, demand: Demand) {
        self.tls = TlsUse::Required;
        self.demand = demand;
        self.clear_after = false;
    }
}

fn to_relay<'a>(means: &Means<'a>, relay: &'a Relay) -> Manner<'a> {
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
    let verified = matches!(relay.tls, RelayTls::Required | RelayTls::Implicit);
    Manner {
        host: &relay.host,
        port: relay.port,
        tls,
        demand: if verified { Demand::Name } else { Demand::Any },
        clear_after: true,
        login,
        configured: true,
        report: Report { world: means.world, policy: None, host: &relay.host, from: None, to: None },
    }
}

/// One host; a second time in clear when optional TLS fails.
async fn reach(
    means: &Means<'_>,
    mut manner: Manner<'_>,
    source: &Source,
    terms: &Terms,
) -> Result<Wire, Failure> {
    let optional = manner.tls == TlsUse::Opportunistic && manner.clear_after;
    if optional && means.false_offers.of_tls(manner.host, means.world.now_us()) {
        manner.tls = TlsUse::Never;
    }
    let opened = open(means, &mut manner, source, terms).await;
    match &opened {
        Ok(wire) => manner.counts(fault_of(wire)),
        Err(failure) => {
            if let Some((fault, words)) = failure.fault() {
                manner.counts(Some((fault, &words)));
            }
        }
    }
    match opened {
        Err(Failure::Handshake(..)) if optional && manner.tls == TlsUse::Opportunistic => {
            let until = means.world.now_us() + us(BROKEN_TLS_KEPT);
            remember(&means.false_offers.tls, manner.host, until);
            manner.tls = TlsUse::Never;
            open(means, &mut manner, source, terms).await
        }
        other => other,
    }
}

/// What a policy in testing would have refused, or a report tells of a connection in clear.
fn fault_of(wire: &Wire) -> Option<(TlsFault, &str)> {
    match &wire.secured {
        Some(secured) => secured.fault.as_ref().map(|(fault, words)| (*fault, words.as_str())),
        None => Some((TlsFault::StarttlsNotSupported, "the connection is in clear")),
    }
}

/// By preference, by chance among equals (RFC 5321 section 5.1).
fn in_order(hosts: &[Host]) -> Vec<&Host> {
    let mut order: Vec<&Host> = hosts.iter().collect();
    for group in order.chunk_by_mut(|a, b| a.preference == b.preference) {
        group.shuffle(&mut rand::rng());
    }
    order.truncate(HOSTS_MAX);
    order
}

enum Failure {
    Dial(String),
    Handshake(String, TlsFault),
    Closed(Stage, Cut),
}

impl Failure {
    fn named(self, host: &str) -> Unreached {
        match self {
            Self::Dial(error) => unreached(Category::NoAnswerFromHost, format!("{host}: {error}")),
            Self::Handshake(error, _) => {
                unreached(Category::BadConnection, format!("{host}: {HANDSHAKE_FAILED}: {error}"))
            }
            Self::Closed(stage, Cut::Refused(reply)) => {
                let verdict = classify(&reply, stage);
                let after_s = match verdict.path {
                    smtp::PathAction::Suspend { after_s } => after_s,
                    _ => None,
                };
                let reason = format!("{host} at {stage}: {reply}");
                Unreached {
                    reason,
                    after_s,
                    category: verdict.category,
                    refused: Some(Box::new((reply, stage))),
                }
            }
            Self::Closed(stage, why) => {
                let category = match stage {
                    Stage::Greeting => Category::NoAnswerFromHost,
                    _ => Category::BadConnection,
                };
                unreached(category, format!("{host} at {stage}: {why}"))
            }
        }
    }

    /// What a report of TLS tells of it; nothing when TLS had no part in it.
    fn fault(&self) -> Option<(TlsFault, String)> {
        match self {
            Self::Handshake(error, fault) => Some((*fault, error.clone())),
            Self::Closed(_, why @ (Cut::TlsNotOffered | Cut::TlsRefused(_))) => {
                Some((TlsFault::StarttlsNotSupported, why.to_string()))
            }
            Self::Dial(_) | Self::Closed(..) => None,
        }
    }
}

/// Notes in `manner` which address was reached.
async fn open(
    means: &Means<'_>,
    manner: &mut Manner<'_>,
    source: &Source,
    terms: &Terms,
) -> Result<Wire, Failure> {
    let world = means.world;
    let target = Target {
        host: manner.host,
        port: manner.port,
        bind: source.bind,
        proxy: terms.proxy,
        configured: manner.configured,
        timeout: terms.connect_timeout,
    };
    note(means, &format!("connecting to {} port {}", manner.host, manner.port));
    let dialled = within(world, terms.connect_timeout, world.dial(target)).await;
    let crate::world::Dialled { mut stream, address } = dialled.map_err(|(words, _)| {
        note(means, &format!("{}: {words}", manner.host));
        Failure::Dial(words)
    })?;
    manner.report.to = Some(address);
    let mut secured = None;
    if manner.tls == TlsUse::Implicit {
        let (inner, how) = handshake(world, manner, stream).await?;
        (stream, secured) = (inner, Some(how));
    }
    let config = smtp::Config { ehlo: source.ehlo.clone(), tls: manner.tls, login: manner.login.clone() };
    let mut client = Client::new(config);
    if means.false_offers.of_pipelining(manner.host, world.now_us()) {
        client.without_pipelining();
    }
    let mut wire = Wire::new(stream, client, manner.host);
    wire.secured = secured;
    wire.trace = means.trace.lock().unwrap_or_else(PoisonError::into_inner).take();
    loop {
        while let Some(event) = wire.next_event() {
            match event {
                Event::Ready => return Ok(wire),
                Event::Closed { stage, why } => {
                    // The next host, or the next manner, is part of the same story.
                    *means.trace.lock().unwrap_or_else(PoisonError::into_inner) = wire.trace.take();
                    return Err(Failure::Closed(stage, why));
                }
                Event::Handshake => {
                    let trace = wire.trace.take();
                    let (stream, mut client) = wire.into_parts();
                    let shaken = handshake(world, manner, stream).await;
                    *means.trace.lock().unwrap_or_else(PoisonError::into_inner) = trace;
                    let (stream, how) = shaken.inspect_err(|_| note(means, HANDSHAKE_FAILED))?;
                    note(means, &format!("{} with {}", how.protocol, how.cipher));
                    client.secured();
                    wire = Wire::new(stream, client, manner.host);
                    wire.secured = Some(how);
                    wire.trace = means.trace.lock().unwrap_or_else(PoisonError::into_inner).take();
                }
                // No transaction was begun.
                Event::BodyWanted { .. } | Event::Finished { .. } => {}
            }
        }
        let now = world.mono_us();
        wire.watch(now);
        if wire.client.is_closed() {
            continue;
        }
        tokio::select! {
            () = wire.step() => {}
            () = world.sleep_until_mono(now + us(WATCH)) => {}
        }
    }
}

fn note(means: &Means<'_>, text: &str) {
    if let Some(trace) = &mut *means.trace.lock().unwrap_or_else(PoisonError::into_inner) {
        trace.note(text);
    }
}

type Handshaken = (Box<dyn crate::world::Stream>, Arc<net::Secured>);

async fn handshake(
    world: &dyn World,
    manner: &Manner<'_>,
    stream: Box<dyn crate::world::Stream>,
) -> Result<Handshaken, Failure> {
    let done = world.secure(stream, manner.host, &manner.demand);
    match within(world, Stage::Handshake.timeout(), done).await {
        Ok((stream, secured)) => Ok((stream, Arc::new(secured))),
        Err((words, error)) => {
            let fault = error.as_ref().and_then(|error| error.get_ref()?.downcast_ref::<TlsError>());
            Err(Failure::Handshake(words, fault.map_or(TlsFault::ValidationFailure, TlsError::fault)))
        }
    }
}

/// Bounds one step. The error in words and, unless it is the end of the time, as it came.
async fn within<T>(
    world: &dyn World,
    time: Duration,
    step: impl Future<Output = std::io::Result<T>>,
) -> Result<T, (String, Option<std::io::Error>)> {
    let end = world.mono_us() + us(time);
    tokio::select! {
        done = step => done.map_err(|error| (error.to_string(), Some(error))),
        () = world.sleep_until_mono(end) => Err(("no answer in time".to_owned(), None)),
    }
}
