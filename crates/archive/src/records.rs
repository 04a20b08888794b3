//! This room's rows: what was archived, and the chain of batches.

use std::collections::BTreeMap;

use queue::copies;
use store::{Tx, binds};

use crate::Result;

/// A copy that is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Safe {
    /// The message.
    pub id: i64,
    /// Its size.
    pub octets: i64,
}

/// The latest batch of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// Its number; 0: the root, no batch was made.
    pub number: i64,
    /// SHA-256 of its manifest, or the root's random value.
    pub manifest: String,
}

/// What was archived since the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub copies: i64,
    pub octets: i64,
    pub last_at: Option<i64>,
}

/// These copies are safe: they are no longer owed, and counted where they still were.
pub(crate) fn take(tx: &mut Tx<'_>, safe: &[Safe], now: i64) -> Result<()> {
    let mut deliveries: BTreeMap<i64, (Vec<i64>, i64)> = BTreeMap::new();
    for copy in safe {
        let (ids, octets) = deliveries.entry(queue::delivery_of(copy.id)).or_default();
        ids.push(copy.id);
        *octets += copy.octets;
    }
    for (delivery, (ids, octets)) in deliveries {
        let taken = i64::try_from(copies::taken(tx, &ids)?).unwrap_or(i64::MAX);
        if taken == 0 {
            continue;
        }
        tx.execute(
            "INSERT INTO archived (delivery, copies, octets, last_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (delivery) DO UPDATE SET copies = archived.copies + excluded.copies, \
               octets = archived.octets + excluded.octets, last_at = excluded.last_at",
            &binds![delivery, taken, octets, now],
        )?;
    }
    Ok(())
}

/// What was archived, of all deliveries or of one.
pub(crate) fn totals(tx: &mut Tx<'_>, delivery: Option<i64>) -> Result<Totals> {
    let (first, last) = delivery.map_or((i64::MIN, i64::MAX), |id| (id, id));
    tx.query_one(
        "SELECT coalesce(CAST(sum(copies) AS BIGINT), 0), coalesce(CAST(sum(octets) AS BIGINT), 0), max(last_at) \
         FROM archived WHERE delivery BETWEEN $1 AND $2",
        &binds![first, last],
        |row| Ok(Totals { copies: row.int(0)?, octets: row.int(1)?, last_at: row.int_opt(2)? }),
    )
}

/// The latest link of the chain; the root is made from `root` when there is none.
pub(crate) fn latest(tx: &mut Tx<'_>, root: &str) -> Result<Link> {
    tx.execute(
        "INSERT INTO archive_batch (number, made_at, copies, manifest) SELECT 0, 0, 0, $1 \
         WHERE NOT EXISTS (SELECT 1 FROM archive_batch)",
        &binds![root],
    )?;
    tx.query_one("SELECT number, manifest FROM archive_batch ORDER BY number DESC LIMIT 1", &[], |row| {
        Ok(Link { number: row.int(0)?, manifest: row.text(1)? })
    })
}

/// A batch is complete. Writing the same one again does nothing.
pub(crate) fn add_batch(tx: &mut Tx<'_>, link: &Link, made_at: i64, copies: i64) -> Result<()> {
    tx.execute(
        "INSERT INTO archive_batch (number, made_at, copies, manifest) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (number) DO NOTHING",
        &binds![link.number, made_at, copies, &link.manifest],
    )?;
    Ok(())
}

/// Batches made before `before`, oldest first, at most `limit`. Never the latest one: the chain goes on from it.
pub(crate) fn old_batches(tx: &mut Tx<'_>, before: i64, limit: i64) -> Result<Vec<i64>> {
    tx.query(
        "SELECT number FROM archive_batch WHERE made_at < $1 AND number > 0 \
         AND number < (SELECT max(number) FROM archive_batch) ORDER BY number LIMIT $2",
        &binds![before, limit],
        |row| Ok(row.int(0)?),
    )
}

/// Forgets batches whose files are deleted.
pub(crate) fn forget_batches(tx: &mut Tx<'_>, upto: i64) -> Result<()> {
    tx.execute(
        "DELETE FROM archive_batch WHERE number <= $1 AND number < (SELECT max(number) FROM archive_batch b)",
        &binds![upto],
    )?;
    Ok(())
}
