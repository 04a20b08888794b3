//! Which messages a pressure rule counts: those of deliveries that were sent in its window, and, where it says so, of those
//! that are planned there and come first.

use std::collections::HashMap;

use queue::{Counted, DueMessages};
use store::{Tx, Value, binds};

use super::Window;
use crate::Deliveries;
use crate::definition::Definition;
use crate::folder::Refusal;
use crate::schedule::Plan;
use crate::types::{DeliveryId, Error, Result};
use crate::typologies::{PressureRule, facts_of};

/// A delivery that may count.
struct Other {
    id: DeliveryId,
    definition: Definition,
    weight: i64,
}

/// A delivery's place among planned ones: the heavier first, then the earlier, then the older.
type Rank = (std::cmp::Reverse<i64>, i64, DeliveryId);

fn rank(weight: i64, contact_us: i64, id: DeliveryId) -> Rank {
    (std::cmp::Reverse(weight), contact_us, id)
}

impl Deliveries {
    /// The messages that count for a delivery of this weight and contact date, each with what it counts.
    pub(super) async fn counted_messages(
        &self,
        id: DeliveryId,
        rule: &PressureRule,
        weight: i64,
        contact_us: i64,
    ) -> Result<Vec<Counted>> {
        let window = Window::of(rule, contact_us)?;
        let now_us = self.now_us();
        let until_us = if rule.planned { window.until_us } else { window.until_us.min(now_us + 1) };
        let planned = rule.planned;
        let (due, others) = self
            .store
            .read(move |tx| {
                let due = queue::due_between(tx, window.from_us, until_us)?;
                let mut ids: Vec<DeliveryId> = due.iter().map(|due| due.delivery).collect();
                if planned {
                    ids.extend(analysed(tx)?);
                }
                Ok::<_, Error>((due, others(tx, id, ids)?))
            })
            .await?;
        let mine = rank(weight, contact_us, id);
        let mut counted = Vec::new();
        for (other, due) in self.joined(&others, due, planned).await? {
            let inside = (window.from_us..until_us).contains(&due.at_us);
            let first = due.at_us <= now_us || rank(other.weight, due.at_us, other.id) < mine;
            if inside && first && counts(rule, other)? {
                let weight = if rule.measure == "weight" { other.weight } else { 1 };
                counted.extend(due.ranges.iter().map(|(first_id, last_id)| Counted {
                    first_id: *first_id,
                    last_id: *last_id,
                    sent_only: due.cut,
                    weight,
                }));
            }
        }
        Ok(counted)
    }

    /// Each delivery with its messages: those of its run, or of its analysis when it waits for Confirm.
    async fn joined<'o>(
        &self,
        others: &'o [Other],
        due: Vec<DueMessages>,
        planned: bool,
    ) -> Result<Vec<(&'o Other, DueMessages)>> {
        let by_id: HashMap<DeliveryId, &Other> = others.iter().map(|other| (other.id, other)).collect();
        let confirmed: std::collections::HashSet<DeliveryId> = due.iter().map(|due| due.delivery).collect();
        let mut joined: Vec<(&Other, DueMessages)> =
            due.into_iter().filter_map(|due| Some((*by_id.get(&due.delivery)?, due))).collect();
        for other in others.iter().filter(|other| planned && !confirmed.contains(&other.id)) {
            let ranges = vec![queue::id_range(other.id)];
            let at_us = Plan::of(&other.definition, self.now_us())?.start_us;
            joined.push((other, DueMessages { delivery: other.id, at_us, ranges, cut: false }));
        }
        Ok(joined)
    }
}

/// Analysed deliveries that wait for Confirm with a contact date of their own.
fn analysed(tx: &mut Tx<'_>) -> Result<Vec<DeliveryId>> {
    tx.query(
        "SELECT id FROM delivery WHERE state = 'ready' AND parent IS NULL AND analysed_revision = revision \
         AND coalesce(definition -> 'schedule' ->> 'contact_date', '') <> '' ORDER BY id",
        &[],
        |row| row.int(0).map_err(Error::from),
    )
}

/// Their definitions and weights. Proofs count for nobody, nor does the delivery itself.
fn others(tx: &mut Tx<'_>, me: DeliveryId, ids: Vec<DeliveryId>) -> Result<Vec<Other>> {
    let weights: HashMap<String, i64> = tx
        .query("SELECT name, weight FROM typology", &[], |row| Ok::<_, Error>((row.text(0)?, row.int(1)?)))?
        .into_iter()
        .collect();
    let among = match tx.dialect() {
        store::Dialect::Sqlite => "IN (SELECT j.value FROM json_each($1) j)",
        store::Dialect::Postgres => "= ANY($1)",
    };
    let sql = format!(
        "SELECT id, definition FROM delivery WHERE id {among} AND parent IS NULL AND purpose = '' AND id <> $2 ORDER BY id"
    );
    let mut binds = vec![Value::IntArray(ids)];
    binds.extend(binds![me].iter().cloned());
    tx.query(&sql, &binds, |row| {
        let definition: Definition = serde_json::from_str(&row.text(1)?)
            .map_err(|error| Error::Internal(format!("stored definition: {error}")))?;
        let validation = &definition.validation;
        let own = weights.get(&validation.typology).copied().unwrap_or(crate::typologies::WEIGHT_DEFAULT);
        let weight = validation.weight.map_or(own, i64::from);
        Ok(Other { id: row.int(0)?, definition, weight })
    })
}

/// Is the delivery one of those that the rule counts?
fn counts(rule: &PressureRule, other: &Other) -> Result<bool> {
    typology::in_scope(&rule.deliveries, &facts_of(&other.definition)).map_err(|problem| {
        Refusal::new(
            "validation.typology",
            format!("has a pressure rule that cannot tell what to count: {problem}"),
        )
        .into()
    })
}
