//! What receivers accepted since a moment, counted from outcomes: what a warm-up allowed already, after a crash.

use store::{Tx, binds};

use crate::returned::TEST_REASON;
use crate::types::FinalState;
use crate::{Queue, Result, id_range};

impl Queue {
    /// Messages that were accepted at `since` (UTC microseconds) or later, by source and site. Tests count for nothing: they
    /// are accepted by nobody. Reads the outcomes of all runs that were under way since then.
    ///
    /// # Errors
    /// The database's.
    pub async fn accepted_since(&self, since: i64) -> Result<Vec<(String, String, i64)>> {
        self.store().read(move |tx| accepted_since(tx, since)).await
    }
}

fn accepted_since(tx: &mut Tx<'_>, since: i64) -> Result<Vec<(String, String, i64)>> {
    let runs = tx.query(
        "SELECT delivery FROM run WHERE ended_at IS NULL OR ended_at >= $1",
        &binds![since],
        |row| Ok::<_, crate::Error>(row.int(0)?),
    )?;
    let mut found = std::collections::BTreeMap::new();
    for delivery in runs {
        let (first, last) = id_range(delivery);
        tx.query_each(
            "SELECT source, site, count(*) FROM outcome WHERE id BETWEEN $1 AND $2 AND state = $3 AND last_try >= $4 \
               AND source IS NOT NULL AND site IS NOT NULL AND (reason IS NULL OR reason <> $5) GROUP BY source, site",
            &binds![first, last, FinalState::Sent as i64, since, TEST_REASON],
            |row| {
                *found.entry((row.text(0)?, row.text(1)?)).or_insert(0) += row.int(2)?;
                Ok::<_, crate::Error>(())
            },
        )?;
    }
    Ok(found.into_iter().map(|((source, site), messages)| (source, site, messages)).collect())
}
