//! What a delivery sent hour by hour, for its report. Counted in the transaction that settles; seeds and deliveries that
//! only test receivers count nowhere.

use std::collections::BTreeMap;

use serde::Serialize;
use store::{Tx, binds};

use crate::schedule::HOUR_US;
use crate::types::{FinalState, SEED_WAVE, Settlement, Verdict};
use crate::{Queue, Result};

/// One hour of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hour {
    /// Its start (UTC microseconds).
    pub start_us: i64,
    /// Messages that receivers took.
    pub messages: i64,
    /// Their octets, headers and all.
    pub octets: i64,
}

/// Messages and octets by delivery and hour.
pub(crate) type Hours = BTreeMap<(i64, i64), (i64, i64)>;

/// Counts one newly settled message.
pub(crate) fn count(hours: &mut Hours, settlement: &Settlement) {
    // Without a digest no bytes went out.
    let Verdict::Final { state: FinalState::Sent, digest: Some(_) } = settlement.verdict else { return };
    if settlement.part.wave == SEED_WAVE {
        return;
    }
    let at = settlement.last_try.unwrap_or_default();
    let hour = hours.entry((settlement.part.delivery, at - at.rem_euclid(HOUR_US))).or_default();
    hour.0 += 1;
    hour.1 += i64::from(settlement.octets);
}

pub(crate) fn write(tx: &mut Tx<'_>, node: i64, hours: &Hours) -> Result<()> {
    tx.execute_many(
        "INSERT INTO hourly (delivery, hour, node, messages, octets) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (delivery, hour, node) DO UPDATE SET messages = hourly.messages + excluded.messages, \
           octets = hourly.octets + excluded.octets",
        hours
            .iter()
            .map(|((delivery, hour), (messages, octets))| binds![*delivery, *hour, node, *messages, *octets]),
    )?;
    Ok(())
}

impl Queue {
    /// The hours in which a delivery sent something, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn hourly(&self, delivery: i64) -> Result<Vec<Hour>> {
        self.store().read(move |tx| read(tx, delivery)).await
    }
}

fn read(tx: &mut Tx<'_>, delivery: i64) -> Result<Vec<Hour>> {
    tx.query(
        "SELECT hour, CAST(sum(messages) AS BIGINT), CAST(sum(octets) AS BIGINT) FROM hourly \
         WHERE delivery = $1 GROUP BY hour ORDER BY hour",
        &binds![delivery],
        |row| Ok(Hour { start_us: row.int(0)?, messages: row.int(1)?, octets: row.int(2)? }),
    )
}
