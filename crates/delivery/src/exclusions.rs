//! Who of the target gets nothing: the exclusions that look at the whole target, the rows that say why, and the report.
//!
//! Order: denylist, quarantine, suppression list and filtering rules are marks of the walk, pressure comes with them; then
//! duplicates, households, capacity, the limit, and the control group.

use queue::plan;
use serde::Serialize;
use store::{Dialect, Lane, Relation, Tx, Value, binds};

use crate::Deliveries;
use crate::definition::{ControlGroup, Target, TargetItem};
use crate::draw::Order;
use crate::folder::Refusal;
use crate::types::{DeliveryId, Result};
use crate::waves::Size;

/// Rows of one transaction.
pub(crate) const CHUNK_ROWS: i64 = 2_000;
/// The same on PostgreSQL, where a longer statement holds nobody up.
const CHUNK_ROWS_POSTGRES: i64 = 100_000;

/// Recipients left out by the last analysis, by one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExclusionCount {
    /// One of the contract's exclusion reasons.
    pub reason: String,
    /// Name of the rule behind it; `None`: the reason is no rule's.
    pub rule: Option<String>,
    /// How many.
    pub recipients: i64,
}

/// A place in the work table, for keyset pages.
#[derive(Clone, Default)]
pub(crate) struct Place {
    domain: String,
    recipient: i64,
}

impl Deliveries {
    /// Who the last analysis left out, by cause and rule, the largest first.
    pub async fn exclusion_report(&self, id: DeliveryId) -> Result<Vec<ExclusionCount>> {
        self.get(id).await?;
        self.store
            .read(move |tx| {
                tx.query(
                    "SELECT reason, rule, recipients FROM exclusion_count WHERE delivery = $1 \
                     ORDER BY recipients DESC, reason, rule",
                    &binds![id],
                    |row| {
                        let rule = row.text(1)?;
                        Ok(ExclusionCount {
                            reason: row.text(0)?,
                            rule: if rule.is_empty() { None } else { Some(rule) },
                            recipients: row.int(2)?,
                        })
                    },
                )
            })
            .await
    }

    /// Marks guests whose address is in the target already.
    pub(crate) async fn mark_duplicates(&self, id: DeliveryId, set: &audience::TargetSet) -> Result<()> {
        match set.guest_duplicates() {
            Some(twice) => self.take_in(id, twice, ("duplicate", None)).await,
            None => Ok(()),
        }
    }

    /// Marks all but `limit` recipients, chosen at random, as over the limit. The choice is another one for each delivery
    /// and the same one when it is analysed again.
    pub(crate) async fn apply_limit(&self, id: DeliveryId, target: &Target) -> Result<()> {
        match i64::try_from(target.limit).unwrap_or(i64::MAX) {
            0 => Ok(()),
            limit => self.keep_first(id, &random(id, target), limit, ("limit", None)).await,
        }
    }

    /// Marks the control group.
    pub(crate) async fn apply_control_group(&self, id: DeliveryId, target: &Target) -> Result<()> {
        const MARK: (&str, Option<i64>) = ("control", None);
        let group = &target.control_group;
        if !group.list.is_empty() {
            let relation = self.relation("target.control_group", &TargetItem::list(&group.list)).await?;
            return self.take_in(id, relation, MARK).await;
        }
        let size = control_size(group)?;
        if size.is_zero() {
            return Ok(());
        }
        let count = size.of(self.left(id).await?);
        let order = match group.method.as_str() {
            "first" => self.sorted_by(&group.sort)?,
            _ => random(id, target),
        };
        self.take_first(id, &order, count, MARK).await
    }

    /// Copies who is left out, with the reason, into the queue's log, and keeps the counts.
    pub(crate) async fn record_exclusions(&self, id: DeliveryId, guests: bool) -> Result<()> {
        let tables: &[&str] = if guests { &["recipient", "guest"] } else { &["recipient"] };
        let mut place = Some(Place::default());
        while let Some(from) = place {
            place = self.store.write(Lane::Bulk, move |tx| record(tx, id, tables, &from)).await?;
        }
        Ok(())
    }
}

/// The order at random of a delivery.
pub(crate) fn random(id: DeliveryId, target: &Target) -> Order {
    Order::Random(target.seed.unwrap_or(id.unsigned_abs().wrapping_mul(7_919)))
}

/// The size of a control group.
pub(crate) fn control_size(group: &ControlGroup) -> Result<Size, Refusal> {
    Size::parse(&group.size).ok_or_else(|| {
        let text = format!(
            "has the size {:?}; write a number of recipients, or a percentage up to 100%",
            group.size
        );
        Refusal::new("target.control_group", text)
    })
}

/// Reason, rule's number, recipients; without a reason: those who get a message.
pub(crate) type Cause = (Option<String>, Option<i64>, i64);

/// The counts of a delivery's work table.
pub(crate) fn counts(tx: &mut Tx<'_>, id: DeliveryId) -> Result<Vec<Cause>> {
    tx.query(
        "SELECT reason, rule, count(*) FROM target WHERE delivery = $1 GROUP BY reason, rule ORDER BY 3 DESC, 1, 2",
        &binds![id],
        |row| Ok((row.text_opt(0)?, row.int_opt(1)?, row.int(2)?)),
    )
}

/// Keeps the counts for the report, in place of the last analysis' ones.
pub(crate) fn keep_counts(tx: &mut Tx<'_>, id: DeliveryId, counts: &[ExclusionCount]) -> Result<()> {
    tx.execute("DELETE FROM exclusion_count WHERE delivery = $1", &binds![id])?;
    for count in counts {
        tx.execute(
            "INSERT INTO exclusion_count (delivery, reason, rule, recipients) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (delivery, reason, rule) DO UPDATE SET recipients = exclusion_count.recipients + excluded.recipients",
            &binds![id, count.reason.as_str(), count.rule.as_deref().unwrap_or(""), count.recipients],
        )?;
    }
    Ok(())
}

/// The end of the chunk that begins behind `from`; `None` when it is the last.
pub(crate) fn chunk_end(tx: &mut Tx<'_>, id: DeliveryId, from: &Place) -> Result<Option<Place>> {
    let rows = match tx.dialect() {
        Dialect::Sqlite => CHUNK_ROWS,
        Dialect::Postgres => CHUNK_ROWS_POSTGRES,
    };
    tx.query_opt(
        "SELECT domain, recipient FROM target WHERE delivery = $1 AND (domain, recipient) > ($2, $3) \
         ORDER BY domain, recipient LIMIT 1 OFFSET $4",
        &binds![id, from.domain.as_str(), from.recipient, rows - 1],
        |row| Ok(Place { domain: row.text(0)?, recipient: row.int(1)? }),
    )
}

/// The condition of a chunk, and its parameters.
pub(crate) fn within(id: DeliveryId, from: &Place, end: &Option<Place>) -> (String, Vec<Value>) {
    let mut binds = binds![id, from.domain.as_str(), from.recipient].to_vec();
    let mut condition = "delivery = $1 AND (domain, recipient) > ($2, $3)".to_owned();
    if let Some(end) = end {
        condition.push_str(" AND (domain, recipient) <= ($4, $5)");
        binds.extend(binds![end.domain.as_str(), end.recipient].iter().cloned());
    }
    (condition, binds)
}

/// Several messages that one recipient does not get are one row.
fn record(tx: &mut Tx<'_>, id: DeliveryId, tables: &[&str], from: &Place) -> Result<Option<Place>> {
    let end = chunk_end(tx, id, from)?;
    let (condition, binds) = within(id, from, &end);
    for table in tables {
        let sql = format!(
            "SELECT t.recipient AS recipient, r.email AS address, t.reason AS reason \
             FROM (SELECT recipient, min(reason) AS reason FROM target WHERE {condition} AND reason IS NOT NULL \
             GROUP BY recipient) t JOIN {table} r ON r.id = t.recipient"
        );
        plan::insert_excluded_of(tx, id, &Relation::new(sql, binds.clone()))?;
    }
    Ok(end)
}
