//! Who stays when not all can: at random, the same ones each time, or the first after a sort.
//!
//! The place of the last one who stays is found by one read; then the others are marked in short transactions.

use store::{Lane, Relation, Tx, Value, binds};

use crate::Deliveries;
use crate::exclusions::{Place, chunk_end, within};
use crate::types::{DeliveryId, Error, Result};

/// The largest prime below 2^31: products of two numbers below it fit 64 bits on both databases.
const PRIME: i64 = 2_147_483_629;
const FACTOR: i64 = 1_103_515_245;

/// In what order members are taken.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// Scattered by this number: the same number over the same recipients gives the same order.
    Random(u64),
    /// By a field: numbers, then texts in byte order, then those without a value. Guests come last.
    Sorted {
        /// Columns `recipient`, `value`, `number`.
        values: Relation,
        descending: bool,
    },
}

impl Deliveries {
    /// The order that a field's name stands for; `-` before it turns it round.
    pub(crate) fn sorted_by(&self, field: &str) -> Result<Order> {
        let name = field.trim_start_matches('-');
        Ok(Order::Sorted { values: self.rooms.audience.values_of(name)?, descending: field.starts_with('-') })
    }

    /// How many of the target still get a message.
    pub(crate) async fn left(&self, id: DeliveryId) -> Result<i64> {
        self.store
            .read(move |tx| {
                let sql = "SELECT count(*) FROM target WHERE delivery = $1 AND reason IS NULL";
                tx.query_one(sql, &binds![id], |row| row.int(0).map_err(Error::from))
            })
            .await
    }

    /// Keeps the first `keep` members and marks the others with the reason.
    pub(crate) async fn keep_first(
        &self,
        id: DeliveryId,
        order: &Order,
        keep: i64,
        mark: (&'static str, Option<i64>),
    ) -> Result<()> {
        if let Some(edge) = self.edge(id, order, keep).await? {
            self.mark(id, Condition { order: order.clone(), edge, inside: false }, mark).await?;
        }
        Ok(())
    }

    /// Marks the first `take` members with the reason; the others stay.
    pub(crate) async fn take_first(
        &self,
        id: DeliveryId,
        order: &Order,
        take: i64,
        mark: (&'static str, Option<i64>),
    ) -> Result<()> {
        if take <= 0 {
            return Ok(());
        }
        match self.edge(id, order, take).await? {
            Some(edge) => self.mark(id, Condition { order: order.clone(), edge, inside: true }, mark).await,
            None => self.mark(id, Condition::all(), mark).await,
        }
    }

    /// Marks the members who are in a relation with a column `recipient`.
    pub(crate) async fn take_in(
        &self,
        id: DeliveryId,
        relation: Relation,
        mark: (&'static str, Option<i64>),
    ) -> Result<()> {
        self.mark(
            id,
            Condition { order: Order::Random(0), edge: Edge::Members(relation), inside: true },
            mark,
        )
        .await
    }

    /// The first member behind the first `count`; none: there are no more.
    async fn edge(&self, id: DeliveryId, order: &Order, count: i64) -> Result<Option<Edge>> {
        let order = order.clone();
        self.store
            .read(move |tx| match order {
                Order::Random(seed) => {
                    let sql = format!(
                        "SELECT {} FROM target WHERE delivery = $1 AND reason IS NULL ORDER BY 1 LIMIT 1 OFFSET $2",
                        rank(seed)
                    );
                    let found = tx.query_opt(&sql, &binds![id, count], |row| row.int(0).map_err(Error::from))?;
                    Ok::<_, Error>(found.map(Edge::Rank))
                }
                Order::Sorted { values, descending } => sorted_edge(tx, id, &values, descending, count),
            })
            .await
    }

    async fn mark(
        &self,
        id: DeliveryId,
        condition: Condition,
        mark: (&'static str, Option<i64>),
    ) -> Result<()> {
        let mut place = Some(Place::default());
        while let Some(from) = place {
            let condition = condition.clone();
            place =
                self.store.write(Lane::Bulk, move |tx| mark_some(tx, id, &condition, mark, &from)).await?;
        }
        Ok(())
    }
}

/// Where the order is cut.
#[derive(Debug, Clone)]
enum Edge {
    Rank(i64),
    /// Class (0 a number, 1 a text, 2 nothing, 3 a guest), number, value, recipient.
    Sorted(i64, f64, String, i64),
    Members(Relation),
    All,
}

/// Members before (`inside`) or behind an edge.
#[derive(Debug, Clone)]
struct Condition {
    order: Order,
    edge: Edge,
    inside: bool,
}

impl Condition {
    fn all() -> Condition {
        Condition { order: Order::Random(0), edge: Edge::All, inside: true }
    }

    fn sql(&self, binds: &mut Vec<Value>) -> String {
        let not = if self.inside { "" } else { "NOT " };
        match (&self.order, &self.edge) {
            (Order::Random(seed), Edge::Rank(edge)) => format!("{not}({} < {edge})", rank(*seed)),
            (Order::Sorted { values, descending }, Edge::Sorted(class, number, value, recipient)) => {
                let inner = values.splice(binds);
                binds.extend(binds![*class, *number, value.as_str(), *recipient].iter().cloned());
                let n = binds.len();
                let after = if *descending { ">" } else { "<" };
                format!(
                    "{not}EXISTS (SELECT 1 FROM (SELECT v.recipient, {CLASS} AS class, {NUMBER} AS number, v.value \
                     FROM ({inner}) v WHERE v.recipient = target.recipient) k WHERE k.class < ${c} OR (k.class = ${c} AND \
                     (k.number {after} ${f} OR (k.number = ${f} AND (k.value {after} ${v} OR (k.value = ${v} AND \
                     k.recipient < ${r}))))))",
                    c = n - 3,
                    f = n - 2,
                    v = n - 1,
                    r = n,
                )
            }
            (_, Edge::Members(relation)) => {
                format!(
                    "{not}EXISTS (SELECT 1 FROM ({}) t WHERE t.recipient = target.recipient)",
                    relation.splice(binds)
                )
            }
            _ => "1 = 1".to_owned(),
        }
    }
}

/// Of a row `v` of values.
const CLASS: &str = "CASE WHEN v.recipient IS NULL THEN 3 WHEN v.number IS NOT NULL THEN 0 WHEN v.value <> '' THEN 1 ELSE 2 END";
const NUMBER: &str = "CAST(coalesce(v.number, 0) AS DOUBLE PRECISION)";

/// A member's place in the scattered order: the fifth power of a multiple of the id, shifted by the seed, modulo the
/// prime. Five and the prime less one have no common divisor, so no two ids below the prime share a place; and unlike a
/// multiple alone, which takes every second id in runs, a power leaves no pattern to be seen.
pub(crate) fn rank(seed: u64) -> String {
    let shift = i64::try_from(seed % PRIME.unsigned_abs()).unwrap_or(0);
    let x = format!("(((recipient % {PRIME}) * {FACTOR} + {shift}) % {PRIME})");
    let square = format!("(({x} * {x}) % {PRIME})");
    format!("((({square} * {square}) % {PRIME}) * {x}) % {PRIME}")
}

fn sorted_edge(
    tx: &mut Tx<'_>,
    id: DeliveryId,
    values: &Relation,
    descending: bool,
    count: i64,
) -> Result<Option<Edge>> {
    let mut binds = binds![id, count].to_vec();
    let values = values.splice(&mut binds);
    let turned = if descending { " DESC" } else { "" };
    let sql = format!(
        "SELECT {CLASS} AS class, {NUMBER} AS number, coalesce(v.value, '') AS value, g.recipient \
         FROM target g LEFT JOIN ({values}) v ON v.recipient = g.recipient WHERE g.delivery = $1 AND g.reason IS NULL \
         ORDER BY 1, 2{turned}, 3{turned}, 4 LIMIT 1 OFFSET $2"
    );
    tx.query_opt(&sql, &binds, |row| Ok(Edge::Sorted(row.int(0)?, row.real(1)?, row.text(2)?, row.int(3)?)))
}

fn mark_some(
    tx: &mut Tx<'_>,
    id: DeliveryId,
    condition: &Condition,
    (reason, rule): (&'static str, Option<i64>),
    from: &Place,
) -> Result<Option<Place>> {
    let end = chunk_end(tx, id, from)?;
    let (chunk, mut binds) = within(id, from, &end);
    binds.push(rule.into());
    let rule = binds.len();
    let members = condition.sql(&mut binds);
    tx.execute(
        &format!(
            "UPDATE target SET reason = '{reason}', rule = CAST(${rule} AS BIGINT) \
             WHERE {chunk} AND reason IS NULL AND {members}"
        ),
        &binds,
    )?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::{FACTOR, PRIME};

    /// What [`super::rank`] says in SQL.
    fn rank(recipient: i64, seed: i64) -> i64 {
        let x = (recipient % PRIME * FACTOR + seed) % PRIME;
        let square = x * x % PRIME;
        square * square % PRIME * x % PRIME
    }

    fn first(seed: i64, of: i64, take: usize) -> Vec<i64> {
        let mut ids: Vec<i64> = (1..=of).collect();
        ids.sort_by_key(|id| rank(*id, seed));
        ids.truncate(take);
        ids
    }

    #[test]
    fn a_draw_has_no_pattern_and_each_seed_its_own() {
        let drawn = first(7, 10_000, 1_000);
        for (what, share) in [
            ("even ids", drawn.iter().filter(|id| **id % 2 == 0).count()),
            ("the first half", drawn.iter().filter(|id| **id <= 5_000).count()),
        ] {
            assert!((430..=570).contains(&share), "{share} of a thousand are {what}");
        }
        let other = first(8, 10_000, 1_000);
        let both = drawn.iter().filter(|id| other.contains(id)).count();
        assert!((60..=140).contains(&both), "{both} of a hundred expected are in both");
    }

    #[test]
    fn no_two_share_a_place() {
        let mut places: Vec<i64> = (1..=100_000).map(|id| rank(id, 3)).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 100_000);
    }
}
