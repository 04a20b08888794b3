//! What analysis writes: snapshot, messages, parts, exclusions. All inside the caller's transaction.

use store::{Dialect, Relation, Tx, Value, binds};

use crate::types::{NewExcluded, NewMessage, NewPart, SEED_WAVE};
use crate::{Error, MESSAGES_MAX, Result, id_range};

/// Messages that one step of a deletion or of the index touches: short enough that settling passes between steps.
const STEP_MESSAGES: usize = 5_000;
/// The same on PostgreSQL, where a long transaction holds nobody up and each costs its statements.
const STEP_MESSAGES_POSTGRES: usize = 100_000;

/// Deletes a piece of what an earlier analysis of this delivery wrote; true: there is more, call again in another
/// transaction. Refused once it was confirmed.
///
/// # Errors
/// [`Error::AlreadyConfirmed`], or the database's.
pub fn clear_some(tx: &mut Tx<'_>, delivery: i64) -> Result<bool> {
    refuse_confirmed(tx, delivery)?;
    purge_some(tx, delivery)
}

/// [`clear_some`] to its end in this one transaction: for small deliveries.
///
/// # Errors
/// [`Error::AlreadyConfirmed`], or the database's.
pub fn clear(tx: &mut Tx<'_>, delivery: i64) -> Result<()> {
    while clear_some(tx, delivery)? {}
    Ok(())
}

/// Deletes a piece of the rows of a delivery, at last run and figures too: for a deleted delivery. True: there is more.
/// Parts go first, so that nothing can be claimed of what is half gone. The snapshot stays while another delivery
/// names it.
///
/// # Errors
/// The database's.
pub fn purge_some(tx: &mut Tx<'_>, delivery: i64) -> Result<bool> {
    let (first, last) = id_range(delivery);
    tx.execute(
        "DELETE FROM snapshot WHERE hash IN (SELECT DISTINCT snapshot FROM part WHERE first_id BETWEEN $1 AND $2) \
         AND NOT EXISTS (SELECT 1 FROM part p WHERE p.snapshot = snapshot.hash AND p.first_id NOT BETWEEN $1 AND $2)",
        &binds![first, last],
    )?;
    tx.execute("DELETE FROM part WHERE first_id BETWEEN $1 AND $2", &binds![first, last])?;
    if let Some(upto) = step_end(tx, first, last)? {
        tx.execute(
            "DELETE FROM contact WHERE (recipient, message) IN \
             (SELECT recipient, id FROM message WHERE id BETWEEN $1 AND $2)",
            &binds![first, upto],
        )?;
        for table in ["message", "outcome", "retry", "bcc"] {
            tx.execute(&format!("DELETE FROM {table} WHERE id BETWEEN $1 AND $2"), &binds![first, upto])?;
        }
        tx.execute("DELETE FROM variant_slots WHERE message BETWEEN $1 AND $2", &binds![first, upto])?;
        return Ok(true);
    }
    let excluded = tx.execute(
        "DELETE FROM excluded WHERE delivery = $1 AND recipient IN \
         (SELECT e.recipient FROM excluded e WHERE e.delivery = $1 ORDER BY e.recipient LIMIT $2)",
        &binds![delivery, step_messages(tx.dialect()) as i64],
    )?;
    if excluded > 0 {
        return Ok(true);
    }
    for table in ["tally", "hold", "returned", "hourly", "scope", "run"] {
        tx.execute(&format!("DELETE FROM {table} WHERE delivery = $1"), &binds![delivery])?;
    }
    Ok(false)
}

/// [`purge_some`] to its end in this one transaction: for small deliveries.
///
/// # Errors
/// The database's.
pub fn purge(tx: &mut Tx<'_>, delivery: i64) -> Result<()> {
    while purge_some(tx, delivery)? {}
    Ok(())
}

/// The last id of the step that starts at `from`; none: there are no messages up to `last`.
fn step_end(tx: &mut Tx<'_>, from: i64, last: i64) -> Result<Option<i64>> {
    tx.query_one(
        "SELECT max(id) FROM (SELECT m.id FROM message m WHERE m.id BETWEEN $1 AND $2 ORDER BY m.id LIMIT $3) s",
        &binds![from, last, step_messages(tx.dialect()) as i64],
        |row| Ok(row.int_opt(0)?),
    )
}

/// Keeps a frozen snapshot. Writing the same one again does nothing.
///
/// # Errors
/// The database's.
pub fn write_snapshot(tx: &mut Tx<'_>, hash: &str, bytes: &[u8]) -> Result<()> {
    tx.execute(
        "INSERT INTO snapshot (hash, bytes) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING",
        &binds![hash, bytes],
    )?;
    Ok(())
}

/// The bytes of a snapshot.
///
/// # Errors
/// The database's.
pub fn snapshot(tx: &mut Tx<'_>, hash: &str) -> Result<Option<Vec<u8>>> {
    tx.query_opt("SELECT bytes FROM snapshot WHERE hash = $1", &binds![hash], |row| Ok(row.blob(0)?))
}

/// The hash of the snapshot that a delivery's messages are composed from; none: it has no parts (any more).
///
/// # Errors
/// The database's.
pub fn snapshot_of(tx: &mut Tx<'_>, delivery: i64) -> Result<Option<String>> {
    let (first, last) = id_range(delivery);
    tx.query_opt(
        "SELECT snapshot FROM part WHERE first_id BETWEEN $1 AND $2 ORDER BY first_id LIMIT 1",
        &binds![first, last],
        |row| Ok(row.text(0)?),
    )
}

/// Writes messages (COPY on PostgreSQL). Call it per batch of some thousands, ids rising.
///
/// # Errors
/// The database's.
pub fn insert_messages(tx: &mut Tx<'_>, messages: impl IntoIterator<Item = NewMessage>) -> Result<u64> {
    let rows = messages.into_iter().map(|m| {
        vec![
            Value::Int(m.id),
            Value::Int(m.recipient),
            Value::Text(m.domain),
            Value::Int(m.flags),
            Value::Text(m.address),
            Value::Blob(m.slots),
        ]
    });
    Ok(tx.copy_in("message", &["id", "recipient", "domain", "flags", "address", "slots"], rows)?)
}

/// Writes the delivery's parts. Each must lie inside the delivery's ids.
///
/// # Errors
/// [`Error::TooMany`], or the database's.
pub fn insert_parts(tx: &mut Tx<'_>, delivery: i64, parts: impl IntoIterator<Item = NewPart>) -> Result<u64> {
    let (first, last) = id_range(delivery);
    let mut outside = false;
    let rows = parts.into_iter().map(|p| {
        outside |= p.first_id < first || p.last_id > last || p.last_id - p.first_id >= MESSAGES_MAX;
        binds![p.first_id, p.last_id, delivery, p.snapshot, p.wave, p.lane, p.due_us, p.messages, 0]
    });
    let columns = ["first_id", "last_id", "delivery", "snapshot", "wave", "lane", "due", "messages", "state"];
    let written = tx.copy_in("part", &columns, rows)?;
    if outside { Err(Error::TooMany(delivery)) } else { Ok(written) }
}

/// Records who of the target gets nothing, and why.
///
/// # Errors
/// The database's.
pub fn insert_excluded(
    tx: &mut Tx<'_>,
    delivery: i64,
    excluded: impl IntoIterator<Item = NewExcluded>,
) -> Result<u64> {
    let rows = excluded.into_iter().map(|e| binds![delivery, e.recipient, e.address, e.reason]);
    Ok(tx.copy_in("excluded", &["delivery", "recipient", "address", "reason"], rows)?)
}

/// The same by one statement. `who` has the columns `recipient`, `address` and `reason`.
///
/// # Errors
/// The database's.
pub fn insert_excluded_of(tx: &mut Tx<'_>, delivery: i64, who: &Relation) -> Result<u64> {
    let mut binds = binds![delivery].to_vec();
    let who = who.splice(&mut binds);
    let sql = format!(
        "INSERT INTO excluded (delivery, recipient, address, reason) \
         SELECT CAST($1 AS BIGINT), e.recipient, e.address, e.reason FROM ({who}) e"
    );
    Ok(tx.execute(&sql, &binds)?)
}

/// The recipient of the delivery's first message whose number is `n` or higher; none: there is none.
///
/// # Errors
/// The database's.
pub fn recipient_from(tx: &mut Tx<'_>, delivery: i64, n: i64) -> Result<Option<i64>> {
    let (first, last) = id_range(delivery);
    tx.query_opt(
        "SELECT recipient FROM message WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT 1",
        &binds![first.saturating_add(n.max(0)), last],
        |row| Ok(row.int(0)?),
    )
}

/// How many messages one step of an index or a deletion takes.
pub fn step_messages(dialect: Dialect) -> usize {
    match dialect {
        Dialect::Sqlite => STEP_MESSAGES,
        Dialect::Postgres => STEP_MESSAGES_POSTGRES,
    }
}

/// Indexes messages by recipient: pairs of recipient and message, best sorted, so that each call touches one stretch of
/// the index.
///
/// # Errors
/// The database's.
pub fn insert_contacts(tx: &mut Tx<'_>, contacts: impl IntoIterator<Item = (i64, i64)>) -> Result<u64> {
    let rows = contacts.into_iter().map(|(recipient, message)| binds![recipient, message].to_vec());
    Ok(tx.copy_in("contact", &["recipient", "message"], rows)?)
}

/// Tells PostgreSQL what the tables hold now. Without figures about the new rows the first claims would be planned as
/// scans. SQLite plans by its indexes alone.
///
/// # Errors
/// The database's.
pub fn refresh_statistics(tx: &mut Tx<'_>) -> Result<()> {
    if tx.dialect() == Dialect::Postgres {
        // Claims ask by id alone, and only for how many lie in a range: a quarter of the usual sample says it. Sorting samples of the
        // long columns too, and reading four times the pages, took longer than all else in this step.
        tx.execute("SET LOCAL default_statistics_target = 25", &[])?;
        tx.execute("ANALYZE message (id)", &[])?;
        tx.execute("ANALYZE part", &[])?;
    }
    Ok(())
}

/// Exclusions by reason.
///
/// # Errors
/// The database's.
pub fn excluded_counts(tx: &mut Tx<'_>, delivery: i64) -> Result<Vec<(String, i64)>> {
    tx.query(
        "SELECT reason, count(*) FROM excluded WHERE delivery = $1 GROUP BY reason ORDER BY reason",
        &binds![delivery],
        |row| Ok((row.text(0)?, row.int(1)?)),
    )
}

/// The first id of the seeds' messages; `None`: the delivery has none. They stand behind all others.
pub(crate) fn seeds_from(tx: &mut Tx<'_>, delivery: i64) -> Result<Option<i64>> {
    let (first, last) = id_range(delivery);
    // The last part tells whether there are seeds at all: the usual answer costs one look at the end of the key.
    let tail = tx.query_opt(
        "SELECT wave FROM part WHERE first_id BETWEEN $1 AND $2 ORDER BY first_id DESC LIMIT 1",
        &binds![first, last],
        |row| Ok::<_, Error>(row.int(0)?),
    )?;
    if tail != Some(SEED_WAVE) {
        return Ok(None);
    }
    tx.query_one(
        "SELECT min(first_id) FROM part WHERE first_id BETWEEN $1 AND $2 AND wave = $3",
        &binds![first, last, SEED_WAVE],
        |row| Ok(row.int_opt(0)?),
    )
}

pub(crate) fn refuse_confirmed(tx: &mut Tx<'_>, delivery: i64) -> Result<()> {
    let found = tx.query_opt("SELECT 1 FROM run WHERE delivery = $1", &binds![delivery], |row| row.int(0))?;
    if found.is_some() { Err(Error::AlreadyConfirmed(delivery)) } else { Ok(()) }
}
