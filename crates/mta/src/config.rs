//! What the operator can set, and the bounds that nobody can.

use std::net::IpAddr;
use std::time::Duration;

/// Octets of messages held in memory, all lanes together.
pub const CLAIMED_BYTES_MAX: usize = 128 * 1_024 * 1_024;
/// Parts claimed at once in one lane of a delivery, when parts are large.
pub const LANE_PARTS: i64 = 2;
/// Small parts are claimed until a lane holds so many messages.
pub const LANE_MESSAGES: usize = 1_024;
/// Parts claimed by one statement.
pub const CLAIM_PARTS_MAX: i64 = 64;
/// How long the slow rest of a claimed part stays in memory before it is parked.
pub const PART_HOLD_MAX: Duration = Duration::from_secs(60);
/// Retries taken at once in one lane: half of what a lane may hold.
pub const RETRIES_MAX: i64 = 512;
/// Unsettled results of one connection. A commit takes some milliseconds, in which a near receiver takes more than a few
/// messages; a crash may send as many twice.
pub const UNSETTLED_PER_CONNECTION: usize = 16;
/// Messages of one connection that are composed at once, and wait composed for their turn. Where signing is what takes
/// longest, each order costs a round trip of its own, because its first commands ride on no body: with orders of four
/// that was one round trip in five.
pub const PREPARED_MAX: usize = 16;
/// The same where there are many connections …
pub const PREPARED_MIN: usize = 4;
/// … which have so many together: that bounds memory, and how long a connection waits behind the orders of others.
pub const PREPARED_ALL: usize = 512;
/// Buffers of messages that went out, kept to be filled again, and the largest of them in octets.
pub const SPARE_BUFFERS_MAX: usize = PREPARED_ALL;
/// See [`SPARE_BUFFERS_MAX`].
pub const SPARE_BUFFER_LEN_MAX: usize = 64 * 1_024;
/// First rest of a path after a failure; doubles up to [`PATH_REST_MAX`].
pub const PATH_REST: Duration = Duration::from_secs(60);
/// Longest rest of a path that its receiver did not ask for.
pub const PATH_REST_MAX: Duration = Duration::from_secs(30 * 60);
/// Connections that break under a message, one after another without a success, before the path rests.
pub const BREAKS_MAX: u32 = 3;
/// How long a failed TLS handshake with a host is remembered: until then it is spoken to in clear.
pub const BROKEN_TLS_KEPT: Duration = Duration::from_secs(3 * 24 * 3_600);
/// How long an answer of the DNS about a domain is used here. The resolver has its own, shorter, by TTL.
pub const ROUTE_KEPT: Duration = Duration::from_secs(300);
/// How long an answer serves while the DNS, asked again, says nothing: an hour, as long as a name server may be away without
/// anybody having to know.
pub const ROUTE_SERVES: Duration = Duration::from_secs(3_600);
/// Domains whose route is kept.
pub const ROUTES_MAX: usize = 200_000;
/// Hosts of a domain that are tried.
pub const HOSTS_MAX: usize = 10;
/// DNS questions under way about domains of the tail.
pub const LOOKUPS_MAX: usize = 200;
/// DNS questions under way about domains whose provider is known: a lane's worth at a time, and never many.
pub const KNOWN_LOOKUPS_MAX: usize = 50;
/// How often runs are looked at when nothing announces a change.
pub const TICK: Duration = Duration::from_millis(250);
/// How long stop waits for messages whose final dot was written.
pub const STOP_GRACE: Duration = Duration::from_millis(800);
/// A connection on a slowed path is opened so long before its first message may begin.
pub const EARLY: Duration = Duration::from_secs(5);
/// How long an engine that ends waits for the writing down of what it leaves behind.
pub const LEAVE_BEHIND: Duration = Duration::from_secs(5);
/// How often a connection looks whether a wait ran out; a wait is late by so much at most.
pub const WATCH: Duration = Duration::from_secs(5);
/// Where a warm-up's messages of today are all under way, an answer that gives one back is waited for in steps of this.
pub const ANSWER_LOOK: Duration = Duration::from_secs(1);
/// A path that rests longer than this gives what waits to other sources of the pool.
pub const REROUTE_AFTER: Duration = Duration::from_secs(30);
/// A message that an answer holds back (a block that is not its recipient's fault) waits so long, or to the end of the rest.
pub const HELD_WAIT: Duration = Duration::from_secs(3_600);
/// A delivery whose domain or content a receiver complains of is kept from it so long, when nothing else is said.
pub const BLOCK: Duration = Duration::from_secs(3_600);
/// Connections at once, over all sites, unless the configuration says otherwise.
pub const CONNECTIONS_MAX: usize = 1_000;
/// How often what was learned, and what was sent, is written down.
pub const SAVE: Duration = Duration::from_secs(5);
/// A message that could not be composed for a passing reason waits so long.
pub const NOT_NOW_WAIT: Duration = Duration::from_secs(300);

/// An address to send from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name, as rows and pages show it.
    pub name: String,
    /// The address to bind; `None`: what the system chooses.
    pub bind: Option<IpAddr>,
    /// The name said in EHLO.
    pub ehlo: String,
}

/// When a relay is spoken to over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayTls {
    /// Never.
    None,
    /// When offered, with any certificate; in clear otherwise.
    Opportunistic,
    /// STARTTLS with a valid certificate, or not at all.
    Required,
    /// TLS from the first octet, with a valid certificate.
    Implicit,
}

/// A smart host that takes everything.
#[derive(Clone, PartialEq, Eq)]
pub struct Relay {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS.
    pub tls: RelayTls,
    /// User and password.
    pub login: Option<(String, String)>,
    /// Connections at once.
    pub connections: u32,
    /// Messages before a connection is closed.
    pub messages_per_connection: u32,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// The engine's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to send from; at least one.
    pub sources: Vec<Source>,
    /// All mail goes here; `None`: to each domain's MX.
    pub relay: Option<Relay>,
    /// Port of MX hosts.
    pub port: u16,
    /// Site limits and names.
    pub providers: routes::Providers,
    /// How long an unused connection stays open.
    pub idle: Duration,
    /// Threads that compose and sign.
    pub compose_threads: usize,
    /// How long a shutdown waits for messages under way.
    pub drain: Duration,
    /// Where rules, sources, warm-ups and verdicts come from, and what was learned goes to. `None`: rules are what stands
    /// in [`Config::sources`] and [`Config::providers`], and nothing is kept.
    pub routes: Option<routes::Routes>,
    /// Rules by which replies are judged. Shared: whoever replaces them in another clone replaces them here.
    pub replies: smtp::Rulebook,
    /// This node's name, as sources name theirs.
    pub node: String,
    /// Connections at once, over all sites.
    pub connections_max: usize,
}

impl Config {
    /// One source, direct to MX on port 25, a compose thread per core.
    #[must_use]
    pub fn direct(ehlo: &str) -> Self {
        Self {
            sources: vec![Source { name: "default".to_owned(), bind: None, ehlo: ehlo.to_owned() }],
            relay: None,
            port: 25,
            providers: routes::Providers::built_in().clone(),
            idle: Duration::from_secs(10),
            compose_threads: std::thread::available_parallelism().map_or(1, usize::from),
            drain: Duration::from_secs(30),
            routes: None,
            replies: smtp::Rulebook::default(),
            node: String::new(),
            connections_max: CONNECTIONS_MAX,
        }
    }
}

/// Microseconds of a duration.
#[must_use]
pub(crate) fn us(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
