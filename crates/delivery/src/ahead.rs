//! The most engaged first: while a source is made known to a provider, what little it may send there goes to those who
//! opened or clicked lately. They read, and a provider that sees mail read thinks better of whoever sends it.

use std::collections::HashSet;
use std::sync::Arc;

use store::{Dialect, Value};

use crate::Deliveries;
use crate::numbering::DomainShare;
use crate::types::{Delivery, Error, Result};

/// How long ago counts as lately (µs): 90 days.
const LATELY_US: i64 = 90 * 86_400 * 1_000_000;
/// Most people who go ahead: more than any warm-up allows in a day, and a few megabytes.
const AHEAD_MAX: i64 = 200_000;

impl Deliveries {
    /// The recipients at providers under warm-up who go ahead of all others; none without a warm-up in the pool.
    pub(crate) async fn ahead(
        &self,
        delivery: &Delivery,
        start_us: i64,
        shares: &[DomainShare],
    ) -> Result<Arc<HashSet<i64>>> {
        let pool = self.pool_of(&delivery.definition).await?;
        let fleet = self.rooms.routes.fleet(&pool.name, start_us).await?;
        let warming = fleet.warming();
        let domains: Vec<Option<String>> = shares
            .iter()
            .filter(|share| warming.contains(&share.lane.as_str()))
            .map(|share| Some(share.domain.clone()))
            .collect();
        if domains.is_empty() {
            return Ok(Arc::default());
        }
        let id = delivery.id;
        let found = self.store.read(move |tx| {
            let mut binds = vec![id.into(), Value::TextArray(domains), AHEAD_MAX.into()];
            let engaged = tracking::engaged(start_us - LATELY_US).splice(&mut binds);
            let among = match tx.dialect() {
                Dialect::Sqlite => "IN (SELECT value FROM json_each($2))",
                Dialect::Postgres => "= ANY($2)",
            };
            let sql = format!(
                "SELECT t.recipient FROM target t WHERE t.delivery = $1 AND t.domain {among} AND t.reason IS NULL \
                 AND t.recipient IN ({engaged}) ORDER BY t.domain, t.recipient LIMIT $3"
            );
            tx.query(&sql, &binds, |row| Ok::<_, Error>(row.int(0)?))
        });
        Ok(Arc::new(found.await?.into_iter().collect()))
    }
}
