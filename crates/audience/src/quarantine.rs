//! The quarantine: addresses that mail must not go to, because a receiver said they are dead or their owner complained.
//!
//! It is keyed by address and not by recipient: a person deleted and imported again is still not written to.

use serde::Serialize;
use store::{Lane, Row, Tx, binds};

use crate::Audience;
use crate::error::{Error, Result};
use crate::limits::{PAGE_ROWS_MAX, REPLY_LEN_MAX, SEARCH_LEN_MAX};
use crate::recipient::Address;

/// An address in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quarantined {
    /// What the address is compared by; what a page continues behind.
    pub email_key: String,
    /// The address as it was written when it came in.
    pub email: String,
    /// A word for the cause (`unknown_user`, `complaint`, `manual` …).
    pub reason: String,
    /// The receiver's own words, at most [`REPLY_LEN_MAX`] bytes; empty when there are none.
    pub reply: String,
    /// Microseconds UTC.
    pub since: i64,
}

/// Puts an address in quarantine inside the caller's transaction; one that is in already keeps its first reason.
/// Returns whether it was new.
///
/// # Errors
/// The address is none.
pub fn add(tx: &mut Tx<'_>, email: &str, reason: &str, reply: &str, now_us: i64) -> Result<bool> {
    let address = Address::parse(email)?;
    let sql = "INSERT INTO quarantine (email_key, email, reason, reply, since, status) VALUES ($1, $2, $3, $4, $5, 'quarantined') \
         ON CONFLICT (email_key) DO NOTHING";
    let reply: String = reply.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let reply = crate::import::shortened(&reply, REPLY_LEN_MAX);
    Ok(tx.execute(sql, &binds![address.key, address.email, reason, reply, now_us])? > 0)
}

/// Whether an address is in quarantine, inside the caller's transaction. An address that is none is not.
pub fn contains(tx: &mut Tx<'_>, email: &str) -> Result<bool> {
    let Ok(address) = Address::parse(email) else { return Ok(false) };
    let sql = "SELECT 1 FROM quarantine WHERE email_key = $1 AND status = 'quarantined'";
    Ok(tx.query_opt(sql, &binds![address.key], |_| Ok::<_, Error>(()))?.is_some())
}

impl Audience {
    /// Puts an address in quarantine; see [`add`].
    pub async fn quarantine(&self, email: &str, reason: &str, reply: &str, now_us: i64) -> Result<bool> {
        let (email, reason, reply) = (email.to_owned(), reason.to_owned(), reply.to_owned());
        self.store.write(Lane::Urgent, move |tx| add(tx, &email, &reason, &reply, now_us)).await
    }

    /// Whether an address is in quarantine.
    pub async fn is_quarantined(&self, email: &str) -> Result<bool> {
        let email = email.to_owned();
        self.store.read(move |tx| contains(tx, &email)).await
    }

    /// Lets addresses out of quarantine and returns how many were in.
    pub async fn release(&self, emails: Vec<String>) -> Result<u64> {
        let keys: Vec<String> =
            emails.iter().filter_map(|email| Address::parse(email).ok()).map(|address| address.key).collect();
        self.store
            .write(Lane::Urgent, move |tx| {
                let rows = keys.into_iter().map(|key| binds![key]);
                Ok(tx.execute_many("DELETE FROM quarantine WHERE email_key = $1", rows)?)
            })
            .await
    }

    /// A page of the quarantine in the order of the keys: those that begin with `prefix` (empty: all), behind the
    /// key `after`, at most [`PAGE_ROWS_MAX`].
    pub async fn quarantined_page(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Quarantined>> {
        let prefix: String = prefix.trim().to_lowercase().chars().filter(|c| !c.is_control()).collect();
        if prefix.len() > SEARCH_LEN_MAX {
            return Err(Error::invalid("text", format!("longer than {SEARCH_LEN_MAX} bytes")));
        }
        let after: String = after.chars().filter(|c| !c.is_control()).collect();
        let binds = binds![prefix, after, limit.clamp(1, PAGE_ROWS_MAX)];
        let sql = "SELECT email_key, email, reason, reply, since FROM quarantine \
             WHERE status = 'quarantined' AND email_key >= $1 AND email_key > $2 \
             AND substr(email_key, 1, length(CAST($1 AS TEXT))) = $1 ORDER BY email_key LIMIT $3";
        self.store.read(move |tx| tx.query(sql, &binds, read)).await
    }

    /// How many addresses are in quarantine.
    pub async fn quarantined_count(&self) -> Result<i64> {
        let sql = "SELECT count(*) FROM quarantine WHERE status = 'quarantined'";
        self.store.read(move |tx| tx.query_one(sql, &[], |row| Ok(row.int(0)?))).await
    }
}

fn read(row: &Row<'_>) -> Result<Quarantined> {
    Ok(Quarantined {
        email_key: row.text(0)?,
        email: row.text(1)?,
        reason: row.text(2)?,
        reply: row.text(3)?,
        since: row.int(4)?,
    })
}
