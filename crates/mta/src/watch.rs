//! What people see of paths and what they can do to them.

use serde::{Deserialize, Serialize};

pub use crate::shape::{Suspension, TopReply};

/// A path (a source address and a receiving site) as pages, REST and metrics show it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PathFigures {
    /// Name of the source; empty where no source was chosen (the DNS is silent, or none serves the domain).
    pub source: String,
    /// The site: a provider's name, or a registrable domain, or `relay`.
    pub site: String,
    /// Hosts that it is reached by, as far as messages wait for them; `relay`; `dns:DOMAIN` where nothing is known yet.
    pub exchange: String,
    /// The site is a provider of the table.
    pub known: bool,
    /// Open connections.
    pub connections: usize,
    /// Connections that may be open now.
    pub connections_limit: u32,
    /// Why not more (or why so many); empty: the rule says so.
    pub limit_reason: String,
    /// Messages that one connection carries now.
    pub messages_per_connection: u32,
    /// Messages a second that are allowed now; `None`: no limit.
    pub rate: Option<f64>,
    /// Why not faster; empty: the rule says so.
    pub rate_reason: String,
    /// Messages that wait in memory.
    pub waiting: usize,
    /// Accepted a second, over the last ten seconds.
    pub accepted_per_second: f64,
    /// Share of "not now" among the answers of the last five minutes, 0 to 1.
    pub deferral_share: f64,
    /// Accepted since the engine began with this path.
    pub accepted: u64,
    /// "Not now" since then.
    pub deferred: u64,
    /// "Not ever" since then.
    pub refused: u64,
    /// What the receiver says when it does not say yes, with what varies left out; the most frequent first, at most five.
    pub replies: Vec<TopReply>,
    /// It rests, and why.
    pub suspended: Option<Suspension>,
    /// What has begun ends, nothing new begins, until somebody resumes.
    pub draining: bool,
    /// When what waits in memory will be through at the present speed (UTC microseconds).
    pub expected_end: Option<i64>,
    /// A warm-up: what is left of today's messages, and of how many.
    pub warm_up: Option<(u64, u64)>,
    /// The receiver wants TLS, so it is never spoken to in clear.
    pub secure_only: bool,
}

impl PathFigures {
    /// Whether it takes nothing now.
    #[must_use]
    pub fn rests(&self) -> bool {
        self.suspended.is_some() || self.draining
    }
}

/// What an operator does to paths. `source: None` means the site's paths from every source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Nothing more begins; begun messages end. What waits goes by other sources of its pool where there are any.
    Suspend {
        /// The source.
        source: Option<String>,
        /// The site.
        site: String,
        /// Until then (UTC microseconds); `None`: until somebody resumes.
        until_us: Option<i64>,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// Ends rests, drains and back-offs, whoever began them.
    Resume {
        /// The source.
        source: Option<String>,
        /// The site.
        site: String,
        /// Who.
        by: String,
    },
    /// Begun messages end, nothing new begins, until somebody resumes; what waits goes another way.
    Drain {
        /// The source.
        source: Option<String>,
        /// The site.
        site: String,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// Forgets rests and back-offs of the site, so that what waits is tried at once. Suspensions by people stay. The rows
    /// are `Queue::retry_now`'s.
    RetryNow {
        /// The site.
        site: String,
    },
    /// Forgets what was learned: the rule holds again.
    Forget {
        /// The source.
        source: Option<String>,
        /// The site.
        site: String,
    },
}

/// A line of a traced connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TraceLine {
    /// When (UTC microseconds).
    pub at_us: i64,
    /// Number of the connection within the trace, from 1.
    pub connection: u32,
    /// Who said it.
    pub kind: TraceKind,
    /// The line, without its line end. Logins are hidden, of addresses the local part, of messages everything but the size.
    pub text: String,
}

/// Who said a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TraceKind {
    /// We did.
    Out,
    /// The receiver did.
    In,
    /// About the connection.
    Note,
}

impl TraceKind {
    /// Its word: `out`, `in` or `note`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            TraceKind::Out => "out",
            TraceKind::In => "in",
            TraceKind::Note => "note",
        }
    }
}
