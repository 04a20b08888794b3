//! Last-moment suppression: who unsubscribed, complained or bounced after an analysis gets nothing that is pending.
//! Append-only in the database; each node holds the entries that can still matter and looks at the gate.

use std::collections::HashMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicI64, Ordering};

use store::{Tx, binds};

use crate::Result;
use crate::types::RunSpec;

/// One address that must get nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// Comparison key of the address.
    pub address_key: String,
    /// Only messages of this service; `None`: all.
    pub service: Option<i64>,
    /// `unsubscribed`, `complained`, `quarantined`, …
    pub reason: String,
    /// When (UTC microseconds). Deliveries analysed after it have seen it themselves.
    pub at: i64,
}

/// Suppressions that were written in a transaction: give them to [`crate::Queue::remember`] once it has committed.
#[derive(Debug)]
#[must_use = "entries act only once the queue remembers them"]
pub struct Recorded(Vec<Suppression>);

/// Appends suppressions inside the caller's transaction.
///
/// # Errors
/// The database's.
pub fn suppress_in(tx: &mut Tx<'_>, entries: &[Suppression]) -> Result<Recorded> {
    tx.execute_many(
        "INSERT INTO suppress (address_key, service, reason, at) VALUES ($1, $2, $3, $4)",
        entries.iter().map(|e| binds![&e.address_key, e.service, &e.reason, e.at]),
    )?;
    Ok(Recorded(entries.to_vec()))
}

/// Entries not older than the oldest active analysis.
pub(crate) fn read_since(tx: &mut Tx<'_>, since: i64) -> Result<Recorded> {
    let entries = tx.query(
        "SELECT address_key, service, reason, at FROM suppress WHERE at >= $1 ORDER BY at",
        &binds![since],
        |row| {
            Ok::<_, crate::Error>(Suppression {
                address_key: row.text(0)?,
                service: row.int_opt(1)?,
                reason: row.text(2)?,
                at: row.int(3)?,
            })
        },
    )?;
    Ok(Recorded(entries))
}

#[derive(Debug, Clone)]
struct Entry {
    service: Option<i64>,
    at: i64,
}

/// The in-memory set.
#[derive(Debug, Default)]
pub(crate) struct Set {
    entries: RwLock<HashMap<String, Vec<Entry>>>,
    /// Oldest analysis that can still ask, when entries were last forgotten.
    oldest: AtomicI64,
}

impl Set {
    pub(crate) fn add(&self, recorded: Recorded) {
        let mut set = self.entries.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        for entry in recorded.0 {
            let entries = set.entry(entry.address_key).or_default();
            // The latest moment per scope is all that matters.
            match entries.iter_mut().find(|e| e.service == entry.service) {
                Some(old) => old.at = old.at.max(entry.at),
                None => entries.push(Entry { service: entry.service, at: entry.at }),
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.read().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty()
    }

    pub(crate) fn holds(&self, address_key: &str, run: &RunSpec) -> bool {
        let set = self.entries.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        set.get(address_key).is_some_and(|entries| {
            entries
                .iter()
                .any(|e| e.at >= run.analysed_at && (e.service.is_none() || e.service == run.service))
        })
    }

    /// Forgets what no active run can ask for any more.
    pub(crate) fn forget_before(&self, oldest_analysis: i64) {
        // Asked several times a second, true a few times a day.
        if self.oldest.swap(oldest_analysis, Ordering::Relaxed) == oldest_analysis {
            return;
        }
        let mut set = self.entries.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        set.retain(|_, entries| {
            entries.retain(|e| e.at >= oldest_analysis);
            !entries.is_empty()
        });
    }
}
