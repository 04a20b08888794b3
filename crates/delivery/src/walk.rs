//! The step that computes the target: candidates by ranges of ids, exclusions with their reasons, domains in number order.

use std::sync::atomic::{AtomicI64, Ordering};

use audience::TargetSet;
use store::{Dialect, Lane, Tx, binds};
use typology::Level;

use crate::analyse::Work;
use crate::analysis::Step;
use crate::numbering::{DomainShare, domain_shares};
use crate::types::{DeliveryId, Error, Result};
use crate::{journal, words};

/// Ids of one walk over recipients: about 10 ms of SQL, so that settling is never held up.
const WALK_IDS: i64 = 4_000;
/// The same on PostgreSQL, where a longer statement holds nobody up.
const WALK_IDS_POSTGRES: i64 = 40_000;

impl Work<'_> {
    /// Fills the work table, applies exclusions and the limit, and sorts the domains. `None`: stopped.
    pub async fn target(&mut self) -> Result<Option<Vec<DomainShare>>> {
        let (this, id) = (self.this, self.delivery.id);
        let target = &self.delivery.definition.target;
        let set = this.target_set(target).await?;
        let last = this.rooms.audience.largest_recipient_id().await?;
        self.handle.enter(Step::Target, last as u64);
        let step = match this.store.dialect() {
            Dialect::Sqlite => WALK_IDS,
            Dialect::Postgres => WALK_IDS_POSTGRES,
        };
        self.walk(&set, last, step).await?;
        if self.handle.is_stopped() {
            return Ok(None);
        }
        if target.limit > 0 {
            this.apply_limit(id, target.limit as i64).await?;
        }
        if self.say_counts().await? > 0 {
            this.record_exclusions(id).await?;
        }
        if this.store.dialect() == Dialect::Postgres {
            // Without figures about the new rows each page is planned as a sort of all that is left.
            this.store.write(Lane::Bulk, |tx| tx.execute("ANALYZE target", &[])).await?;
        }
        self.handle.enter(Step::Domains, 0);
        let routes = this.rooms.routes.clone();
        let shares = this
            .store
            .read(move |tx| domain_shares(tx, id, &|domain| routes.providers().lane_of(domain)))
            .await?;
        self.facts.messages = Some(shares.iter().map(|share| share.messages).sum());
        Ok(if self.handle.is_stopped() { None } else { Some(shares) })
    }

    /// Inserts the candidates range by range. Two ranges at a time: on PostgreSQL a core each, on SQLite the writer never
    /// waits for the next.
    async fn walk(&self, set: &TargetSet, last: i64, step: i64) -> Result<()> {
        let (this, id) = (self.this, self.delivery.id);
        let next = AtomicI64::new(1);
        let worker = async || {
            loop {
                let from = next.fetch_add(step, Ordering::Relaxed);
                if from > last || self.handle.is_stopped() {
                    return Ok::<_, Error>(());
                }
                let to = (from + step - 1).min(last);
                let relation = set.candidates(&(from..=to));
                this.store.write(Lane::Bulk, move |tx| insert_candidates(tx, id, &relation)).await?;
                self.handle.advance((to - from + 1) as u64);
            }
        };
        tokio::try_join!(worker(), worker())?;
        Ok(())
    }

    /// Lines of the journal: how many match, how many are left out and why. Answers how many are left out.
    async fn say_counts(&self) -> Result<i64> {
        let (this, id, now_us) = (self.this, self.delivery.id, self.this.now_us());
        let counts: Vec<(Option<String>, i64)> = this
            .store
            .read(move |tx| {
                tx.query(
                    "SELECT reason, count(*) FROM target WHERE delivery = $1 GROUP BY reason ORDER BY 2 DESC, 1",
                    &binds![id],
                    |row| Ok::<_, Error>((row.text_opt(0)?, row.int(1)?)),
                )
            })
            .await?;
        let total: i64 = counts.iter().map(|(_, count)| count).sum();
        let excluded = counts.iter().filter(|(reason, _)| reason.is_some()).map(|(_, count)| count).sum();
        let mut lines =
            vec![format!("{} match the target", words::counted(total, "recipient", "recipients"))];
        for (reason, count) in &counts {
            if let Some(reason) = reason {
                lines.push(format!("{} left out: {}", words::number(*count), words::exclusion(reason)));
            }
        }
        this.store
            .write(Lane::Bulk, move |tx| {
                lines.iter().try_for_each(|line| journal::note(tx, id, now_us, Level::Info, line))
            })
            .await?;
        Ok(excluded)
    }
}

fn insert_candidates(tx: &mut Tx<'_>, id: DeliveryId, relation: &store::Relation) -> Result<u64> {
    let mut binds = binds![id].to_vec();
    let sql = relation.splice(&mut binds);
    let sql = format!(
        "INSERT INTO target (delivery, recipient, domain, reason) \
         SELECT CAST($1 AS BIGINT), c.recipient, c.domain, c.reason FROM ({sql}) c"
    );
    Ok(tx.execute(&sql, &binds)?)
}
