//! Last-moment suppression: who unsubscribed, complained or bounced after an analysis gets nothing that is pending.
//! Append-only in the database; each node holds the entries that can still matter and looks at the gate.
//!
//! An analysis notes the number of the last entry there is before it takes its target ([`begin`]); entries behind that number
//! are the gate's. Times would not do: an entry's is read before its transaction commits, so an analysis may begin between
//! the two and see neither.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use store::{Dialect, Tx, binds};

use crate::types::{Run, RunSpec};
use crate::{Error, Result};

/// So many of the latest entries are read again at each look. PostgreSQL numbers entries before they commit: a lower number may
/// appear after a higher one.
const AGAIN: i64 = 64;

/// One address that must get nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// Comparison key of the address; of a whole domain `@` and its ASCII form.
    pub address_key: String,
    /// Only messages to subscribers of this service; `None`: all.
    pub service: Option<i64>,
    /// With a service: those that the person still subscribes to. A message to the subscribers of several services goes on to
    /// whom one of them keeps.
    pub still: Vec<i64>,
    /// `unsubscribed`, `complained`, `quarantined`, …
    pub reason: String,
    /// When (UTC microseconds).
    pub at: i64,
}

impl Suppression {
    /// One that holds for every message, whichever service it goes to.
    #[must_use]
    pub fn of_all(address_key: String, reason: &str, at: i64) -> Suppression {
        Suppression { address_key, service: None, still: Vec::new(), reason: reason.to_owned(), at }
    }
}

/// Whom suppressions that come after an analysis concern.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// Number of the last suppression that the analysis saw.
    pub seen: i64,
    /// The services whose subscribers the target takes, and nobody else; empty: others too.
    pub services: Vec<i64>,
}

/// Suppressions that were written in a transaction: give them to [`crate::Queue::remember`] once it has committed.
#[derive(Debug, Default)]
#[must_use = "entries act only once the queue remembers them"]
pub struct Recorded(Vec<(Suppression, i64)>);

/// Appends suppressions inside the caller's transaction, which also writes what keeps these people out of later analyses: an
/// analysis that begins in between two transactions would see only one of them.
///
/// # Errors
/// The database's.
pub fn suppress_in(tx: &mut Tx<'_>, entries: &[Suppression]) -> Result<Recorded> {
    if entries.is_empty() {
        return Ok(Recorded::default());
    }
    tx.execute_many(
        "INSERT INTO suppress (address_key, service, reason, at, still) VALUES ($1, $2, $3, $4, $5)",
        entries.iter().map(|e| binds![&e.address_key, e.service, &e.reason, e.at, written(&e.still)]),
    )?;
    // One number for all: no analysis can begin between them, see `begin`.
    let seq = last(tx)?;
    Ok(Recorded(entries.iter().map(|entry| (entry.clone(), seq)).collect()))
}

/// Before an analysis takes its target, in a transaction of its own that has committed then: whoever was suppressed so far is
/// known to what is read from here on, whoever is later is the gate's.
///
/// # Errors
/// The database's.
pub fn begin(tx: &mut Tx<'_>, delivery: i64) -> Result<()> {
    if tx.dialect() == Dialect::Postgres {
        // Waits for entries that have a number and are not committed: what is read after them must not pass them over.
        tx.execute("LOCK TABLE suppress IN SHARE MODE", &[])?;
    }
    let seen = last(tx)?;
    tx.execute(
        "INSERT INTO scope (delivery, seen) VALUES ($1, $2) \
         ON CONFLICT (delivery) DO UPDATE SET seen = excluded.seen, services = NULL",
        &binds![delivery, seen],
    )?;
    Ok(())
}

/// Says that the target takes the subscribers of these services and nobody else, after [`begin`].
///
/// # Errors
/// The database's.
pub fn of_services(tx: &mut Tx<'_>, delivery: i64, services: &[i64]) -> Result<()> {
    tx.execute("UPDATE scope SET services = $2 WHERE delivery = $1", &binds![delivery, written(services)])?;
    Ok(())
}

/// Numbers of services as a column has them.
pub(crate) fn written(services: &[i64]) -> Option<String> {
    let numbers: Vec<String> = services.iter().map(ToString::to_string).collect();
    (!numbers.is_empty()).then(|| numbers.join(" "))
}

/// Reads [`written`].
pub(crate) fn numbers(text: Option<&str>) -> Result<Vec<i64>> {
    let broken = |number: &str| Error::Row { table: "suppress", what: format!("service {number:?}") };
    let read = |number: &str| number.parse().map_err(|_| broken(number));
    text.unwrap_or_default().split_whitespace().map(read).collect()
}

/// The scope of the last analysis; without one (it was analysed before there were scopes) every suppression there is.
///
/// # Errors
/// The database's.
pub fn scope(tx: &mut Tx<'_>, delivery: i64) -> Result<Scope> {
    let read = |row: &store::Row<'_>| {
        let services = numbers(row.text_opt(1)?.as_deref())?;
        Ok::<_, Error>(Scope { seen: row.int(0)?, services })
    };
    let found =
        tx.query_opt("SELECT seen, services FROM scope WHERE delivery = $1", &binds![delivery], read)?;
    Ok(found.unwrap_or_default())
}

fn last(tx: &mut Tx<'_>) -> Result<i64> {
    tx.query_one("SELECT coalesce(max(seq), 0) FROM suppress", &[], |row| Ok(row.int(0)?))
}

/// What of the table is in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    /// Everything behind this number.
    from: i64,
    /// Looked at up to this number.
    upto: i64,
}

impl Default for Reach {
    fn default() -> Self {
        Self { from: i64::MAX, upto: 0 }
    }
}

/// What these runs ask for and memory lacks, and what is in memory once it was added.
pub(crate) fn missing(tx: &mut Tx<'_>, runs: &[Run], reach: Reach) -> Result<(Recorded, Reach)> {
    let Some(oldest) = runs.iter().map(|run| run.spec.seen).min() else {
        return Ok((Recorded::default(), Reach::default()));
    };
    let behind = if oldest < reach.from { oldest } else { oldest.max(reach.upto - AGAIN) };
    let entries = tx.query(
        "SELECT address_key, service, reason, at, seq, still FROM suppress WHERE seq > $1 ORDER BY seq",
        &binds![behind],
        |row| {
            let entry = Suppression {
                address_key: row.text(0)?,
                service: row.int_opt(1)?,
                still: numbers(row.text_opt(5)?.as_deref())?,
                reason: row.text(2)?,
                at: row.int(3)?,
            };
            Ok::<_, Error>((entry, row.int(4)?))
        },
    )?;
    let upto = entries.last().map_or(reach.upto, |(_, seq)| reach.upto.max(*seq)).max(oldest);
    Ok((Recorded(entries), Reach { from: oldest, upto }))
}

#[derive(Debug, Clone)]
struct Entry {
    service: Option<i64>,
    still: Vec<i64>,
    seq: i64,
}

impl Entry {
    /// True where it keeps its person's message of this run back.
    fn bites(&self, run: &RunSpec) -> bool {
        let left = |service: i64| {
            let keeps = |other: &i64| *other != service && self.still.contains(other);
            run.services.contains(&service) && !run.services.iter().any(keeps)
        };
        self.seq > run.seen && self.service.is_none_or(left)
    }
}

/// The in-memory set.
#[derive(Debug, Default)]
pub(crate) struct Set {
    entries: RwLock<HashMap<String, Vec<Entry>>>,
}

impl Set {
    pub(crate) fn add(&self, recorded: Recorded) {
        if recorded.0.is_empty() {
            return;
        }
        let mut set = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for (entry, seq) in recorded.0 {
            let entries = set.entry(entry.address_key).or_default();
            // The latest number per scope is all that matters.
            match entries.iter_mut().find(|e| e.service == entry.service) {
                Some(old) if old.seq > seq => {}
                Some(old) => (old.seq, old.still) = (seq, entry.still),
                None => entries.push(Entry { service: entry.service, still: entry.still, seq }),
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(crate) fn holds(&self, address_key: &str, run: &RunSpec) -> bool {
        let set = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let bites = |key: &str| set.get(key).is_some_and(|entries| entries.iter().any(|e| e.bites(run)));
        let domain = address_key.rfind('@').map(|at| &address_key[at..]);
        bites(address_key) || domain.is_some_and(bites)
    }

    /// Forgets what lies outside of what is to be known.
    pub(crate) fn keep(&self, reach: Reach) {
        let mut set = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        set.retain(|_, entries| {
            entries.retain(|e| e.seq > reach.from);
            !entries.is_empty()
        });
    }
}

impl Reach {
    /// True when memory holds entries that nobody asks for once `self` is what is to be known.
    pub(crate) fn forgets_after(self, before: Reach) -> bool {
        self.from > before.from || self.from == i64::MAX
    }
}
