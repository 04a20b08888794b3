//! What the engine needs from outside, as narrow traits: the network and the clock, and the composing of bytes.
//! Tests fill them with scripts and a clock that they turn themselves.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use net::{Demand, Secured, TlsFault, Tlsa};
use routes::DomainPolicy;
use tokio::io::{AsyncRead, AsyncWrite};

/// A boxed future that may borrow its maker.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connection, in clear or over TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where a domain's mail goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailHosts {
    /// Hosts sorted by preference and name. The domain itself when it has an address and no MX.
    Hosts(Vec<Host>),
    /// "." as the only MX: the domain takes no mail (RFC 7505).
    NullMx,
    /// The domain does not exist, or has neither MX nor address.
    NoDomain,
    /// The DNS gave no answer.
    Unanswered(String),
}

/// A mail host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    /// The lower, the earlier it is tried; among equals the order is chance.
    pub preference: u16,
    /// Its name: lower case, no final dot.
    pub name: String,
    /// That it is one of the domain's hosts is proven by DNSSEC: the ground for DANE.
    pub secure: bool,
    /// What the recipient's domain says about TLS. The same for all hosts of a domain.
    pub policy: Option<Arc<DomainPolicy>>,
}

/// A name for a way: domains with the same hosts share one, and thereby connections, unless a domain says something about
/// TLS. Then its connections serve it alone, so that its policy is applied to them and its report counts them.
#[must_use]
pub fn way_name(hosts: &[Host]) -> String {
    let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
    let names = names.join(",");
    match hosts.first().and_then(|host| host.policy.as_ref()) {
        Some(policy) => format!("{names} for {}", policy.domain),
        None => names,
    }
}

/// What the DNS says about a host's certificate (RFC 7672 section 2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DaneAnswer {
    /// Nothing that is proven.
    Absent,
    /// Records to compare the certificate with.
    Records {
        /// The name that they stand under: the host's, or the one that it is an alias of.
        base: String,
        /// Usable ones.
        records: Arc<[Tlsa]>,
    },
    /// Records that no certificate can be compared with: TLS, with any.
    Unusable,
    /// Not known: the host must not be spoken to.
    Unknown(String),
}

/// A connection's TLS as the recipient domain's report counts it (RFC 8460).
#[derive(Debug, Clone, Copy)]
pub struct TlsSeen<'a> {
    /// The domain that the connection serves.
    pub policy: &'a DomainPolicy,
    /// The records, when DANE decided.
    pub dane: Option<&'a [Tlsa]>,
    /// The mail host.
    pub host: &'a str,
    /// The address that it was dialled from, where that is known.
    pub from: Option<IpAddr>,
    /// The address that was dialled; `None`: it did not come to that.
    pub to: Option<IpAddr>,
    /// What was wrong; `None`: nothing.
    pub fault: Option<(TlsFault, &'a str)>,
}

/// Whom to dial.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Host name, or an address.
    pub host: &'a str,
    /// Port.
    pub port: u16,
    /// Address to come from; with `proxy`, the proxy's.
    pub bind: Option<IpAddr>,
    /// The proxy that dials in our place (PROXY protocol, version 2).
    pub proxy: Option<SocketAddr>,
    /// Configured by the operator (a relay): may also be a private address.
    pub configured: bool,
    /// For all addresses together; each has a third of it, so that one that swallows packets does not hide the next (RFC
    /// 5321 section 5.1: at least two are tried).
    pub timeout: std::time::Duration,
}

/// A connection that stands.
pub struct Dialled {
    /// The connection.
    pub stream: Box<dyn Stream>,
    /// The host's address that was reached.
    pub address: IpAddr,
}

/// The network and the clock.
pub trait World: Send + Sync + 'static {
    /// Now (UTC microseconds).
    fn now_us(&self) -> i64;
    /// Completes at that time (UTC microseconds).
    fn sleep_until(&self, at_us: i64) -> Boxed<'static, ()>;
    /// See [`net::Clock::mono_us`]: for how long a receiver is waited for, which a jump of the time of day must not end.
    fn mono_us(&self) -> i64 {
        self.now_us()
    }
    /// Completes when [`World::mono_us`] shows so much.
    fn sleep_until_mono(&self, at_us: i64) -> Boxed<'static, ()> {
        self.sleep_until(at_us)
    }
    /// Where the mail of a domain (ASCII, lower case) goes.
    fn mail_hosts<'a>(&'a self, domain: &'a str) -> Boxed<'a, MailHosts>;
    /// Opens a TCP connection (`TCP_NODELAY`): every address of the host is tried in turn.
    fn dial<'a>(&'a self, target: Target<'a>) -> Boxed<'a, std::io::Result<Dialled>>;
    /// What the DNS says about the certificate of a host whose place as a mail host is proven.
    fn dane<'a>(&'a self, _host: &'a str, _port: u16) -> Boxed<'a, DaneAnswer> {
        Box::pin(async { DaneAnswer::Absent })
    }
    /// Does the client's side of a TLS handshake.
    ///
    /// An error that holds a [`net::TlsError`] says what was wrong.
    fn secure<'a>(
        &'a self,
        stream: Box<dyn Stream>,
        host: &'a str,
        demand: &'a Demand,
    ) -> Boxed<'a, std::io::Result<(Box<dyn Stream>, Secured)>>;
    /// How a connection to a domain that has a policy went. Must not wait.
    fn tls_seen(&self, _seen: TlsSeen<'_>) {}
}

/// A message to compose.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The message and, in its part, snapshot, stamp and signing keys.
    pub message: &'a queue::Message,
}

/// Why a message could not be composed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// This message never will be: it fails, with these words in the log.
    #[error("{0}")]
    Message(String),
    /// Not now (a key or the snapshot cannot be read): the message waits, uncounted.
    #[error("{0}")]
    NotNow(String),
}

/// Makes a message's bytes. Filled by the wiring, which knows snapshots and keys.
pub trait Compose: Send + Sync + 'static {
    /// Called when a part is claimed: loads what composing will need, so that [`Compose::compose`] waits for nothing.
    fn prepare<'a>(&'a self, part: &'a Arc<queue::Part>) -> Boxed<'a, Result<(), ComposeError>>;

    /// The bytes. Runs on a thread of its own kind; must not block.
    ///
    /// # Errors
    /// [`ComposeError`], as data about this message.
    fn compose(&self, order: Order<'_>) -> Result<message::Composed, ComposeError>;

    /// Whether the message links to `host` (lower case), or to a host below it. Asked only while a link is listed somewhere.
    fn links_to(&self, _order: Order<'_>, _host: &str) -> bool {
        false
    }

    /// The same into a buffer that was in use before: its memory is there already.
    ///
    /// # Errors
    /// As [`Compose::compose`].
    fn compose_in(&self, order: Order<'_>, _buffer: Vec<u8>) -> Result<message::Composed, ComposeError> {
        self.compose(order)
    }
}
