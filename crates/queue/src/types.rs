//! The records that cross this room's wall.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::schedule::RetryPlan;

/// Name under which domains are counted whose receiving site analysis did not resolve.
pub const OTHER_SITE: &str = "other";
/// Lanes with this start gather many small domains by hash.
pub const TAIL_LANE: &str = "tail-";

/// The wave of seeds' parts. Seeds get the real message and are counted apart from recipients everywhere. Their parts are
/// numbered behind all others of the delivery.
pub const SEED_WAVE: i64 = -1;

/// The site under which the messages of a lane are planned.
#[must_use]
pub fn lane_site(lane: &str) -> &str {
    if lane.starts_with(TAIL_LANE) { OTHER_SITE } else { lane }
}

/// Which delivery goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// After everything else.
    VeryLow = 0,
    /// Before very low.
    Low = 1,
    /// The default.
    #[default]
    Normal = 2,
    /// Before normal.
    High = 3,
    /// Proofs and whatever cannot wait.
    VeryHigh = 4,
}

impl Priority {
    /// Every priority, lowest first.
    pub const ALL: [Self; 5] = [Self::VeryLow, Self::Low, Self::Normal, Self::High, Self::VeryHigh];

    pub(crate) fn from_row(value: i64) -> Result<Self, Error> {
        usize::try_from(value)
            .ok()
            .and_then(|index| Self::ALL.get(index).copied())
            .ok_or_else(|| Error::Row { table: "run", what: format!("priority {value}") })
    }
}

/// What the operator (or the calendar) wants of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// Messages go out.
    Running = 0,
    /// Pause was written; connections are being emptied.
    Pausing = 1,
    /// Nothing goes out until resumed.
    Paused = 2,
    /// Stop was written; connections are being cut.
    Stopping = 3,
    /// Stopped for good: what had no outcome is cancelled.
    Stopped = 4,
    /// Every message has its outcome.
    Finished = 5,
    /// The validity ended: what had no outcome is cancelled, reason `validity`.
    Expired = 6,
}

impl Control {
    const ALL: [Self; 7] = [
        Self::Running,
        Self::Pausing,
        Self::Paused,
        Self::Stopping,
        Self::Stopped,
        Self::Finished,
        Self::Expired,
    ];

    pub(crate) fn from_row(value: i64) -> Result<Self, Error> {
        usize::try_from(value)
            .ok()
            .and_then(|index| Self::ALL.get(index).copied())
            .ok_or_else(|| Error::Row { table: "run", what: format!("control {value}") })
    }

    /// True where messages without an outcome count as cancelled.
    #[must_use]
    pub const fn cancels_rest(self) -> bool {
        matches!(self, Self::Stopping | Self::Stopped | Self::Expired)
    }

    /// True when nothing will ever be sent any more.
    #[must_use]
    pub const fn ended(self) -> bool {
        matches!(self, Self::Stopped | Self::Finished | Self::Expired)
    }

    /// Its name in messages to people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Pausing => "pausing",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Finished => "finished",
            Self::Expired => "finished (validity ended)",
        }
    }
}

/// What confirm hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSpec {
    /// The delivery.
    pub delivery: i64,
    /// Its rank.
    pub priority: Priority,
    /// Sources to send from.
    pub pool: String,
    /// Parts' `due` counts from here (UTC microseconds).
    pub start_at: i64,
    /// Pending messages are cancelled from here on (UTC microseconds).
    pub valid_until: i64,
    /// When tries follow each other.
    pub retry: RetryPlan,
    /// Stop after RCPT: nobody gets anything.
    pub test_smtp: bool,
    /// Copies go to the archive.
    pub bcc: bool,
    /// Signing keys in force now, in the wiring's own words; frozen into each part when it is first claimed.
    pub signing: String,
    /// Number of the last suppression that the analysis saw ([`crate::scope`]); later ones are checked at the gate.
    pub seen: i64,
    /// The services whose subscribers these are, and nobody else; empty: others too. Who leaves one of them, and subscribes to
    /// no other of them, gets nothing that is pending. A suppression of another service does not count.
    pub services: Vec<i64>,
}

/// A confirmed delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What was confirmed.
    pub spec: RunSpec,
    /// What is wanted of it now.
    pub control: Control,
    /// Raised by each change of control.
    pub epoch: i64,
    /// How many messages it has, without seeds'.
    pub messages: i64,
    /// When it was confirmed (UTC microseconds).
    pub started_at: i64,
    /// When its last message got an outcome, or stop or expiry was written (UTC microseconds).
    pub ended_at: Option<i64>,
}

/// One recipient's message, as analysis writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// [`crate::message_id`] of the delivery and the number.
    pub id: i64,
    /// The recipient's number.
    pub recipient: i64,
    /// The domain: ASCII, lower case.
    pub domain: String,
    /// Number of the `message::Variant`, and further bits.
    pub flags: i64,
    /// The address as written.
    pub address: String,
    /// `message::Slots::to_bytes`.
    pub slots: Vec<u8>,
}

/// A range of messages that is claimed at once, as analysis writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPart {
    /// First message id.
    pub first_id: i64,
    /// Last message id (inclusive).
    pub last_id: i64,
    /// Hash of the snapshot.
    pub snapshot: String,
    /// Wave, from 0; [`SEED_WAVE`] for seeds.
    pub wave: i64,
    /// As `routes` files the domain: a provider's name, or [`TAIL_LANE`] and a number.
    pub lane: String,
    /// Microseconds after the run's start.
    pub due_us: i64,
    /// Messages that really exist in the range.
    pub messages: i64,
}

/// A recipient of the target that gets nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewExcluded {
    /// The recipient's number.
    pub recipient: i64,
    /// The address as written.
    pub address: String,
    /// One of the contract's exclusion reasons.
    pub reason: String,
}

/// A claim of a part, or of one message of the retry set. What is given back and claimed again has another number: giving
/// back by an old one does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    /// The part's first message, or the message.
    pub id: i64,
    /// Which claim of it.
    pub number: i64,
}

/// Messages of a claim whose result is not on disk. Each counts once, however often it is settled.
#[derive(Debug, Default)]
pub(crate) struct Open {
    left: AtomicI64,
    /// A bit for each number of the part's range, set when the message is settled.
    settled: Mutex<Vec<u64>>,
}

impl Open {
    pub(crate) fn begin(&self, messages: usize) {
        self.left.store(i64::try_from(messages).unwrap_or(i64::MAX), Ordering::Release);
    }

    pub(crate) fn left(&self) -> i64 {
        self.left.load(Ordering::Acquire)
    }

    /// True while a result of the message at this place of the range is awaited.
    pub(crate) fn awaits(&self, place: usize) -> bool {
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        self.left() > 0 && settled.get(place / 64).is_none_or(|word| word & (1 << (place % 64)) == 0)
    }

    /// The message at this place is settled.
    pub(crate) fn settle(&self, place: usize) {
        // Of retries, whose part is done already, nothing is kept.
        if self.left() == 0 {
            return;
        }
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if settled.len() <= place / 64 {
            settled.resize(place / 64 + 1, 0);
        }
        let bit = 1 << (place % 64);
        if settled[place / 64] & bit == 0 {
            settled[place / 64] |= bit;
            self.left.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// A claimed part. The bytes of its messages depend on nothing but this, the snapshot and the slots.
#[derive(Debug)]
pub struct Part {
    /// First message id; names the part.
    pub first_id: i64,
    /// Last message id (inclusive).
    pub last_id: i64,
    /// The delivery.
    pub delivery: i64,
    /// Hash of the snapshot.
    pub snapshot: Arc<str>,
    /// Wave, from 0.
    pub wave: i64,
    /// Lane.
    pub lane: Arc<str>,
    /// Time of the stamp (UTC microseconds).
    pub stamp: i64,
    /// Signing keys of the stamp.
    pub signing: Arc<str>,
    /// Its run wants a copy of each sent message in the archive.
    pub bcc: bool,
    /// The claim's number.
    pub(crate) claim: i64,
    /// Messages of this claim that are not settled yet; the settler marks the part done with the last one.
    /// Stays 0 for retries, whose part is done already.
    pub(crate) open: Open,
}

/// A message in memory, ready to be composed.
#[derive(Debug)]
pub struct Message {
    /// Its number.
    pub id: i64,
    /// The recipient's number.
    pub recipient: i64,
    /// The domain: ASCII, lower case.
    pub domain: Arc<str>,
    /// Number of the `message::Variant`, and further bits.
    pub flags: i64,
    /// The address as written.
    pub address: String,
    /// `message::Slots`.
    pub slots: Vec<u8>,
    /// The claimed part, or that of a retry.
    pub part: Arc<Part>,
    /// What happened before.
    pub past: Past,
}

/// What happened to a message before this claim.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Past {
    /// True when it came from the retry set.
    pub retried: bool,
    /// Tries that count.
    pub attempts: i64,
    /// First try (UTC microseconds).
    pub first_try: Option<i64>,
    /// Latest try (UTC microseconds).
    pub last_try: Option<i64>,
    /// Source to use while [`Past::sticky_until`] lies ahead.
    pub source: Option<String>,
    /// End of that wish (UTC microseconds).
    pub sticky_until: Option<i64>,
    /// True when an answer after the final dot was lost.
    pub unknown: bool,
    /// The reason of the last deferral.
    pub reason: Option<String>,
    /// The receiver's last words.
    pub reply: Option<String>,
}

impl Part {
    /// Messages of this claim whose result is not on disk yet.
    #[must_use]
    pub fn open(&self) -> i64 {
        self.open.left()
    }

    /// The claim that holds this part.
    #[must_use]
    pub fn claim(&self) -> Claim {
        Claim { id: self.first_id, number: self.claim }
    }

    /// The place of a message in the range.
    pub(crate) fn place(&self, message: i64) -> usize {
        usize::try_from(message - self.first_id).unwrap_or(0)
    }
}

impl Message {
    /// The delivery.
    #[must_use]
    pub fn delivery(&self) -> i64 {
        self.part.delivery
    }

    /// True for a seed's message.
    #[must_use]
    pub fn is_seed(&self) -> bool {
        self.part.wave == SEED_WAVE
    }

    /// The claim that holds it: its own where it came from the retry set, otherwise its part's.
    #[must_use]
    pub fn claim(&self) -> Claim {
        let id = if self.past.retried { self.id } else { self.part.first_id };
        Claim { id, number: self.part.claim }
    }

    /// Octets this message holds in memory, about.
    #[must_use]
    pub fn size(&self) -> usize {
        self.slots.len() + self.address.len() + std::mem::size_of::<Self>()
    }

    /// Comparison key of its address, as suppressions name it.
    #[must_use]
    pub fn address_key(&self) -> String {
        address_key(&self.address, &self.domain)
    }
}

/// Comparison key: lower-cased local part, '@', ASCII domain. The same as `address::Mailbox::key`, without parsing again.
#[must_use]
pub fn address_key(address: &str, domain: &str) -> String {
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
    let mut key = local.to_lowercase();
    key.push('@');
    key.push_str(domain);
    key
}

/// A message's last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalState {
    /// The receiver took it.
    Sent = 1,
    /// It will never be taken.
    Failed = 2,
    /// We decided not to send it.
    Cancelled = 3,
}

/// What a try, or a decision, did to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// An outcome for good.
    Final {
        /// Which.
        state: FinalState,
        /// Digest of the bytes that were sent.
        digest: Option<[u8; 16]>,
    },
    /// Another try follows.
    Deferred {
        /// When (UTC microseconds).
        due: i64,
        /// Source to use again until then plus some.
        sticky_until: Option<i64>,
        /// The answer after the final dot was lost.
        unknown: bool,
    },
}

/// A settlement: what happened to one message, on its way to the database.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The message.
    pub id: i64,
    /// Its recipient.
    pub recipient: i64,
    /// Its part (the claim).
    pub part: Arc<Part>,
    /// What happened.
    pub verdict: Verdict,
    /// Tries that count, this one included when it does.
    pub attempts: i64,
    /// First try (UTC microseconds).
    pub first_try: Option<i64>,
    /// This try (UTC microseconds).
    pub last_try: Option<i64>,
    /// Receiving site.
    pub site: Arc<str>,
    /// Source used.
    pub source: Option<Arc<str>>,
    /// Our word for it (`smtp::Reason`, `validity`, `suppressed`, …).
    pub reason: Option<String>,
    /// The receiver's words, cut at [`crate::limits::REPLY_LEN_MAX`].
    pub reply: Option<String>,
    /// Set when the reply says the address does not exist: its comparison key.
    pub nonexistent: Option<String>,
    /// Octets of the message, where it was sent.
    pub octets: u32,
    /// How the connection was secured ([`crate::Queue::secured`]); `None`: in clear, or nobody was reached.
    pub tls: Option<i64>,
}

/// An address that a receiver says does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonexistent {
    /// Comparison key of the address.
    pub address_key: String,
    /// The recipient.
    pub recipient: i64,
    /// The message that was refused.
    pub message: i64,
    /// Our word for the reply.
    pub reason: String,
    /// The receiver's words.
    pub reply: String,
    /// When (UTC microseconds).
    pub at: i64,
}

/// Filled by the wiring with the audience's quarantine: called inside the transaction that settles, so that a failed
/// address is quarantined exactly when its outcome is on disk.
pub trait Quarantine: Send + Sync {
    /// Quarantines these addresses.
    ///
    /// # Errors
    /// A database error; the settlement is tried again as a whole.
    fn quarantine(&self, tx: &mut store::Tx<'_>, found: &[Nonexistent]) -> Result<(), store::Error>;
}

/// Quarantines nobody: for tests and tools.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoQuarantine;

impl Quarantine for NoQuarantine {
    fn quarantine(&self, _: &mut store::Tx<'_>, _: &[Nonexistent]) -> Result<(), store::Error> {
        Ok(())
    }
}

/// What happened to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunEvent {
    /// The delivery.
    pub delivery: i64,
    /// Its control from now on.
    pub control: Control,
}
