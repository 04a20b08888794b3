//! Pressure by household: recipients in whom a field is the same are counted together.
//!
//! The log is summed up by household in a work table, a stretch of recipients at a time; then the target's members are
//! sorted into their households, and of each as many are kept, in the order of their numbers, as the limit allows.

use queue::Among;
use store::{Lane, Tx, Value, binds};

use super::Pressure;
use crate::Deliveries;
use crate::analysis::AnalysisHandle;
use crate::exclusions::CHUNK_ROWS;
use crate::types::{DeliveryId, Error, Result};
use crate::walk::walk_step;

/// A place among the members of households.
#[derive(Clone, Default)]
struct Place {
    household: String,
    recipient: i64,
    copy: i64,
}

impl Deliveries {
    /// Applies the rules that count by household to the work table. Guests belong to none.
    pub(crate) async fn press_households(
        &self,
        id: DeliveryId,
        rules: &[Pressure],
        handle: &AnalysisHandle,
    ) -> Result<()> {
        for rule in rules.iter().filter(|rule| rule.household.is_some()) {
            let last = self.rooms.audience.largest_recipient_id().await?;
            let step = walk_step(self.store.dialect());
            let mut from = 1;
            while from <= last {
                if handle.is_stopped() {
                    return Ok(());
                }
                let (rule, ids) = (rule.clone(), Among::Range(from..=(from + step - 1).min(last)));
                self.store.write(Lane::Bulk, move |tx| gather(tx, id, &rule, &ids)).await?;
                from += step;
            }
            let mut place = Some(Place::default());
            while let Some(from) = place {
                let rule = rule.clone();
                place = self.store.write(Lane::Bulk, move |tx| mark(tx, id, &rule, &from)).await?;
            }
            self.clear_households(id).await?;
        }
        Ok(())
    }

    /// Empties the work tables of a delivery in short transactions.
    pub(crate) async fn clear_households(&self, id: DeliveryId) -> Result<()> {
        for (table, key) in [("household", "household"), ("household_member", "household, recipient, copy")] {
            let sql = format!(
                "DELETE FROM {table} WHERE delivery = $1 AND (rule, {key}) IN \
                 (SELECT rule, {key} FROM {table} WHERE delivery = $1 LIMIT $2)"
            );
            loop {
                let sql = sql.clone();
                let gone = self
                    .store
                    .write(Lane::Bulk, move |tx| {
                        tx.execute(&sql, &binds![id, CHUNK_ROWS]).map_err(Error::from)
                    })
                    .await?;
                if gone == 0 {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Adds what a stretch of recipients had to their households, and those of the target to its members.
fn gather(tx: &mut Tx<'_>, id: DeliveryId, rule: &Pressure, among: &Among) -> Result<()> {
    let dialect = tx.dialect();
    let Some(values) = &rule.household else { return Ok(()) };
    if let Some(counted) = queue::counted(&rule.counted, among, 1, dialect) {
        let mut binds = binds![id, rule.id].to_vec();
        let counted = counted.splice(&mut binds);
        let values = values.splice(&mut binds);
        tx.execute(
            &format!(
                "INSERT INTO household (delivery, rule, household, weight) \
                 SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), v.value, CAST(sum(s.weight) AS BIGINT) \
                 FROM ({counted}) s JOIN ({values}) v ON v.recipient = s.recipient WHERE v.value <> '' GROUP BY v.value \
                 ON CONFLICT (delivery, rule, household) DO UPDATE SET weight = household.weight + excluded.weight"
            ),
            &binds,
        )?;
    }
    let mut binds = binds![id, rule.id].to_vec();
    let values = values.splice(&mut binds);
    let ids = among.condition("v.recipient", dialect, &mut binds);
    let mut concerned = String::new();
    if let Some(whom) = &rule.whom {
        let inner = whom.splice(&mut binds);
        let ids = among.condition("t.recipient", dialect, &mut binds);
        concerned = format!(" AND v.recipient IN (SELECT t.recipient FROM ({inner}) t WHERE {ids})");
    }
    let domains = rule.domains.splice(&mut binds);
    tx.execute(
        &format!(
            "INSERT INTO household_member (delivery, rule, household, recipient, copy, domain) \
             SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), v.value, g.recipient, g.copy, g.domain \
             FROM ({values}) v JOIN ({domains}) d ON d.recipient = v.recipient \
             JOIN target g ON g.delivery = $1 AND g.domain = d.value AND g.recipient = v.recipient \
             WHERE {ids} AND v.value <> '' AND g.reason IS NULL{concerned}"
        ),
        &binds,
    )?;
    Ok(())
}

/// Marks, among a stretch of members, those for whom there is no room in their household.
fn mark(tx: &mut Tx<'_>, id: DeliveryId, rule: &Pressure, from: &Place) -> Result<Option<Place>> {
    let page = tx.query(
        "SELECT m.household, m.recipient, m.copy FROM household_member m \
         WHERE m.delivery = $1 AND m.rule = $2 AND (m.household, m.recipient, m.copy) > ($3, $4, $5) \
         ORDER BY m.household, m.recipient, m.copy LIMIT 1 OFFSET $6",
        &binds![id, rule.id, from.household.as_str(), from.recipient, from.copy, CHUNK_ROWS - 1],
        |row| Ok::<_, Error>(Place { household: row.text(0)?, recipient: row.int(1)?, copy: row.int(2)? }),
    )?;
    let end = page.into_iter().next();
    let mut binds: Vec<Value> =
        binds![id, rule.id, from.household.as_str(), from.recipient, from.copy].to_vec();
    let mut until = String::new();
    if let Some(end) = &end {
        binds.extend(binds![end.household.as_str(), end.recipient, end.copy].iter().cloned());
        until.push_str(" AND (m.household, m.recipient, m.copy) <= ($6, $7, $8)");
    }
    let limit = rule.limit_of("m.recipient", &mut binds);
    let own = rule.own;
    // Those before in the same household: no more are looked at than the largest limit can hold.
    let most = rule.limits.iter().map(|(_, limit)| *limit).chain([rule.limit]).max().unwrap_or(0);
    tx.execute(
        &format!(
            "UPDATE target SET reason = 'pressure', rule = $2 WHERE delivery = $1 AND reason IS NULL \
             AND (domain, recipient, copy) IN (SELECT m.domain, m.recipient, m.copy FROM household_member m \
             LEFT JOIN household h ON h.delivery = m.delivery AND h.rule = m.rule AND h.household = m.household \
             WHERE m.delivery = $1 AND m.rule = $2 AND (m.household, m.recipient, m.copy) > ($3, $4, $5){until} \
             AND coalesce(h.weight, 0) + {own} + {own} * (SELECT count(*) FROM (SELECT 1 FROM household_member b \
             WHERE b.delivery = m.delivery AND b.rule = m.rule AND b.household = m.household \
             AND (b.recipient, b.copy) < (m.recipient, m.copy) LIMIT {most}) l) > {limit})"
        ),
        &binds,
    )?;
    Ok(end)
}

impl Pressure {
    /// The limit of a recipient as an expression.
    fn limit_of(&self, column: &str, binds: &mut Vec<Value>) -> String {
        if self.limits.is_empty() {
            return self.limit.to_string();
        }
        let whens: Vec<String> = self
            .limits
            .iter()
            .map(|(relation, limit)| {
                let inner = relation.splice(binds);
                format!("WHEN EXISTS (SELECT 1 FROM ({inner}) t WHERE t.recipient = {column}) THEN {limit}")
            })
            .collect();
        format!("CASE {} ELSE {} END", whens.join(" "), self.limit)
    }
}
