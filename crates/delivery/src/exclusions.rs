//! Who of the target gets nothing: the limit, and the rows that say why.

use queue::{NewExcluded, plan};
use store::{Lane, Tx, binds};

use crate::Deliveries;
use crate::types::{DeliveryId, Error, Result};

/// Rows of one transaction.
const CHUNK_ROWS: i64 = 2_000;
/// The largest prime below 2^31. Multiplying by a fixed number modulo a prime scatters ids without a collision
/// (ids are below it for two billion recipients) and is the same arithmetic on both databases.
const PRIME: i64 = 2_147_483_629;
const FACTOR: i64 = 1_103_515_245;

/// A place in the work table, for keyset pages.
#[derive(Clone, Default)]
struct Place {
    domain: String,
    recipient: i64,
}

impl Deliveries {
    /// Marks all but `limit` recipients, chosen at random, as over the limit.
    pub(crate) async fn apply_limit(&self, id: DeliveryId, limit: i64) -> Result<()> {
        // The choice is another one for each delivery and the same one when it is analysed again.
        let rank = format!("((recipient % {PRIME}) * {FACTOR} + {}) % {PRIME}", (id * 7_919) % PRIME);
        let sql = format!(
            "SELECT {rank} FROM target WHERE delivery = $1 AND reason IS NULL ORDER BY 1 LIMIT 1 OFFSET $2"
        );
        let first_out = self
            .store
            .read(move |tx| tx.query_opt(&sql, &binds![id, limit], |row| row.int(0).map_err(Error::from)))
            .await?;
        let Some(first_out) = first_out else { return Ok(()) };
        let mut place = Some(Place::default());
        while let Some(from) = place {
            let rank = rank.clone();
            place = self.store.write(Lane::Bulk, move |tx| mark(tx, id, &rank, first_out, &from)).await?;
        }
        Ok(())
    }

    /// Copies who is left out, with the reason, into the queue's log.
    pub(crate) async fn record_exclusions(&self, id: DeliveryId) -> Result<()> {
        let mut place = Some(Place::default());
        while let Some(from) = place {
            place = self.store.write(Lane::Bulk, move |tx| record(tx, id, &from)).await?;
        }
        Ok(())
    }
}

/// The end of the chunk that begins behind `from`; `None` when it is the last.
fn chunk_end(tx: &mut Tx<'_>, id: DeliveryId, from: &Place) -> Result<Option<Place>> {
    tx.query_opt(
        "SELECT domain, recipient FROM target WHERE delivery = $1 AND (domain, recipient) > ($2, $3) \
         ORDER BY domain, recipient LIMIT 1 OFFSET $4",
        &binds![id, from.domain.as_str(), from.recipient, CHUNK_ROWS - 1],
        |row| Ok(Place { domain: row.text(0)?, recipient: row.int(1)? }),
    )
}

/// The condition of a chunk, and its parameters from `$2` on.
fn within(id: DeliveryId, from: &Place, end: &Option<Place>) -> (String, Vec<store::Value>) {
    let mut binds = binds![id, from.domain.as_str(), from.recipient].to_vec();
    let mut condition = "delivery = $1 AND (domain, recipient) > ($2, $3)".to_owned();
    if let Some(end) = end {
        condition.push_str(" AND (domain, recipient) <= ($4, $5)");
        binds.extend(binds![end.domain.as_str(), end.recipient].iter().cloned());
    }
    (condition, binds)
}

fn mark(tx: &mut Tx<'_>, id: DeliveryId, rank: &str, first_out: i64, from: &Place) -> Result<Option<Place>> {
    let end = chunk_end(tx, id, from)?;
    let (condition, binds) = within(id, from, &end);
    tx.execute(
        &format!("UPDATE target SET reason = 'limit' WHERE {condition} AND reason IS NULL AND {rank} >= {first_out}"),
        &binds,
    )?;
    Ok(end)
}

fn record(tx: &mut Tx<'_>, id: DeliveryId, from: &Place) -> Result<Option<Place>> {
    let end = chunk_end(tx, id, from)?;
    let (condition, binds) = within(id, from, &end);
    let sql = format!(
        "SELECT t.recipient, r.email, t.reason FROM (SELECT recipient, reason FROM target \
         WHERE {condition} AND reason IS NOT NULL) t JOIN recipient r ON r.id = t.recipient"
    );
    let rows = tx.query(&sql, &binds, |row| {
        Ok::<_, Error>(NewExcluded { recipient: row.int(0)?, address: row.text(1)?, reason: row.text(2)? })
    })?;
    if !rows.is_empty() {
        plan::insert_excluded(tx, id, rows)?;
    }
    Ok(end)
}
