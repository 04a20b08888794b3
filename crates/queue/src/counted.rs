//! How much each recipient got: what rules on pressure ask of the log of ten million past messages.
//!
//! The index by recipient (`contact`) is read alone, a stretch of recipients at a time: whose messages count is known by
//! ranges of ids, because an id names its delivery and, in number order, its wave. Outcomes are looked up only for
//! those who come near the limit, and there only those that are not `sent`, which have a small index of their own.

use std::ops::RangeInclusive;

use store::{Dialect, Relation, Tx, Value, binds};

use crate::types::{Control, SEED_WAVE};
use crate::variants::HELD_DUE_US;
use crate::{Result, delivery_of, id_range};

/// Messages that count, by a range of ids inside one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// First id.
    pub first_id: i64,
    /// Last id.
    pub last_id: i64,
    /// Only those that were sent. `false`: all but those that failed or were cancelled: of a run that is complete or
    /// still going on it is the same, and takes no look at each message's outcome.
    pub sent_only: bool,
    /// What one of them counts.
    pub weight: i64,
}

impl Counted {
    /// All messages of a delivery.
    #[must_use]
    pub fn whole(delivery: i64, sent_only: bool, weight: i64) -> Counted {
        let (first_id, last_id) = id_range(delivery);
        Counted { first_id, last_id, sent_only, weight }
    }

    fn is_whole(&self) -> bool {
        id_range(delivery_of(self.first_id)) == (self.first_id, self.last_id)
    }
}

/// The recipients that are asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Among {
    /// Ids from, to.
    Range(RangeInclusive<i64>),
    /// These ids.
    List(Vec<i64>),
}

impl Among {
    /// The condition that `column` lies among them.
    #[must_use]
    pub fn condition(&self, column: &str, dialect: Dialect, binds: &mut Vec<Value>) -> String {
        match self {
            Among::Range(ids) => {
                binds.extend([Value::Int(*ids.start()), Value::Int(*ids.end())]);
                format!("{column} BETWEEN ${} AND ${}", binds.len() - 1, binds.len())
            }
            Among::List(ids) => in_list(column, ids.clone(), dialect, binds),
        }
    }
}

fn in_list(column: &str, ids: Vec<i64>, dialect: Dialect, binds: &mut Vec<Value>) -> String {
    binds.push(Value::IntArray(ids));
    match dialect {
        Dialect::Sqlite => format!("{column} IN (SELECT j.value FROM json_each(${}) j)", binds.len()),
        Dialect::Postgres => format!("{column} = ANY(${})", binds.len()),
    }
}

/// SELECT with the columns `recipient` and `weight`: those among the given ones whose counted messages weigh `least` or
/// more together, each once. None: no message counts.
#[must_use]
pub fn counted(messages: &[Counted], among: &Among, least: i64, dialect: Dialect) -> Option<Relation> {
    let groups = groups(messages);
    let (first, last) =
        (messages.iter().map(|m| m.first_id).min()?, messages.iter().map(|m| m.last_id).max()?);
    let mut binds = Vec::new();
    let ids = among.condition("k.recipient", dialect, &mut binds);
    binds.extend([Value::Int(first), Value::Int(last), Value::Int(least)]);
    let (first, last, least) = (binds.len() - 2, binds.len() - 1, binds.len());
    let terms: Vec<Term> = groups.iter().map(|group| group.term(dialect, &mut binds)).collect();
    let within = format!("k.message BETWEEN ${first} AND ${last} AND ({})", any(&terms, "k"));
    let sql = format!(
        "SELECT k.recipient AS recipient, CAST({} AS BIGINT) AS weight FROM contact k WHERE {ids} AND {within} \
         GROUP BY k.recipient HAVING {} >= CAST(${least} AS BIGINT)",
        weight(&terms, "k"),
        weight(&terms, "k"),
    );
    let unsure: Vec<Term> = terms.into_iter().filter(|term| !term.sent_only).collect();
    if unsure.is_empty() {
        return Some(Relation::new(sql, binds));
    }
    // Not sent is the exception, and has an index of its own, which SQLite must be told to take.
    let index = if dialect == Dialect::Sqlite { " INDEXED BY outcome_other" } else { "" };
    let lost = format!(
        "SELECT {} FROM contact x WHERE x.recipient = s.recipient AND x.message BETWEEN ${first} AND ${last} AND ({}) \
         AND EXISTS (SELECT 1 FROM outcome o{index} WHERE o.id = x.message AND o.state <> 1)",
        weight(&unsure, "x"),
        any(&unsure, "x"),
    );
    // Made once and kept: folded into the select around it, the look at the lost ones would be taken for each mention.
    let sql = format!(
        "WITH e AS MATERIALIZED (SELECT s.recipient AS recipient, \
         CAST(s.weight - coalesce(({lost}), 0) AS BIGINT) AS weight FROM ({sql}) s) \
         SELECT e.recipient AS recipient, e.weight AS weight FROM e WHERE e.weight >= CAST(${least} AS BIGINT)"
    );
    Some(Relation::new(sql, binds))
}

/// Messages of one weight, judged alike.
struct Group {
    weight: i64,
    sent_only: bool,
    deliveries: Vec<i64>,
    ranges: Vec<(i64, i64)>,
}

/// A group as a condition; `@` stands for the alias of the contacts.
struct Term {
    condition: String,
    weight: i64,
    sent_only: bool,
}

fn groups(messages: &[Counted]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for message in messages {
        let at = groups.iter().position(|g| g.weight == message.weight && g.sent_only == message.sent_only);
        let at = at.unwrap_or_else(|| {
            let (weight, sent_only) = (message.weight, message.sent_only);
            groups.push(Group { weight, sent_only, deliveries: Vec::new(), ranges: Vec::new() });
            groups.len() - 1
        });
        match message.is_whole() {
            true => groups[at].deliveries.push(delivery_of(message.first_id)),
            false => groups[at].ranges.push((message.first_id, message.last_id)),
        }
    }
    groups
}

impl Group {
    fn term(&self, dialect: Dialect, binds: &mut Vec<Value>) -> Term {
        let mut parts = Vec::new();
        if !self.deliveries.is_empty() {
            let delivery = format!("(@.message >> {})", crate::ids::MESSAGE_BITS);
            parts.push(in_list(&delivery, self.deliveries.clone(), dialect, binds));
        }
        for (first, last) in &self.ranges {
            binds.extend([Value::Int(*first), Value::Int(*last)]);
            parts.push(format!("@.message BETWEEN ${} AND ${}", binds.len() - 1, binds.len()));
        }
        let mut condition = format!("({})", parts.join(" OR "));
        if self.sent_only {
            condition
                .push_str(" AND EXISTS (SELECT 1 FROM outcome o WHERE o.id = @.message AND o.state = 1)");
        }
        Term { condition, weight: self.weight, sent_only: self.sent_only }
    }
}

fn any(terms: &[Term], alias: &str) -> String {
    let each: Vec<String> =
        terms.iter().map(|term| format!("({})", term.condition.replace('@', alias))).collect();
    each.join(" OR ")
}

/// What a recipient's rows weigh together. Weights are numbers of ours, so they can stand in the text.
fn weight(terms: &[Term], alias: &str) -> String {
    match terms {
        [only] => format!("count(*) * {}", only.weight),
        terms => {
            let whens: String = terms
                .iter()
                .map(|term| format!(" WHEN {} THEN {}", term.condition.replace('@', alias), term.weight))
                .collect();
            format!("sum(CASE{whens} END)")
        }
    }
}

/// Messages of one run that were due at one time, by ranges of ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueMessages {
    /// The delivery.
    pub delivery: i64,
    /// When they were or will be due (µs): the contact date and the wave's delay.
    pub at_us: i64,
    /// Ids from, to; neighbouring parts are one range. A whole delivery has the range of all its ids.
    pub ranges: Vec<(i64, i64)>,
    /// The run was stopped or expired: what has no outcome is not sent any more.
    pub cut: bool,
}

/// Messages of confirmed deliveries that were or will be due in `from_us ..< until_us`, by run and time. A delivery that is due
/// at one time comes as a whole, without a look at its parts one by one. Seeds and test runs are not among them.
///
/// # Errors
/// The database's.
pub fn due_between(tx: &mut Tx<'_>, from_us: i64, until_us: i64) -> Result<Vec<DueMessages>> {
    let cut =
        [Control::Stopping, Control::Stopped, Control::Expired].map(|control| (control as i64).to_string());
    let sql = format!(
        "SELECT r.delivery, r.start_at, CASE WHEN r.control IN ({}) THEN 1 ELSE 0 END, \
         min({due}), max({due}) FROM run r JOIN part p ON p.delivery = r.delivery \
         WHERE r.start_at < $2 AND r.valid_until > $1 AND r.test_smtp = 0 AND p.wave <> $3 \
         AND p.first_id BETWEEN (r.delivery << {bits}) AND ((r.delivery + 1) << {bits}) - 1 \
         GROUP BY r.delivery, r.start_at, r.control ORDER BY r.delivery",
        cut.join(","),
        due = planned_due("p."),
        bits = crate::ids::MESSAGE_BITS,
    );
    let runs = tx.query(&sql, &binds![from_us, until_us, SEED_WAVE], |row| {
        Ok::<_, crate::Error>((row.int(0)?, row.int(1)?, row.bool(2)?, row.int(3)?, row.int(4)?))
    })?;
    let mut found = Vec::new();
    for (delivery, start, cut, first_due, last_due) in runs {
        let inside = |at: i64| (from_us..until_us).contains(&at);
        if first_due == last_due {
            if inside(start + first_due) {
                let ranges = vec![id_range(delivery)];
                found.push(DueMessages { delivery, at_us: start + first_due, ranges, cut });
            }
        } else if start + last_due >= from_us && start + first_due < until_us {
            let dues = parts_by_due(tx, delivery)?;
            found.extend(
                dues.into_iter()
                    .map(|(due, ranges)| DueMessages { delivery, at_us: start + due, ranges, cut })
                    .filter(|due| inside(due.at_us)),
            );
        }
    }
    Ok(found)
}

/// A part's due time; what waits for the winner of a test counts from the start.
fn planned_due(part: &str) -> String {
    format!("CASE WHEN {part}due >= {HELD_DUE_US} THEN 0 ELSE {part}due END")
}

/// Ranges of ids, from and to.
type Ranges = Vec<(i64, i64)>;

/// The parts of a delivery by due time, neighbours joined.
fn parts_by_due(tx: &mut Tx<'_>, delivery: i64) -> Result<Vec<(i64, Ranges)>> {
    let (first, last) = id_range(delivery);
    let mut dues: std::collections::BTreeMap<i64, Ranges> = std::collections::BTreeMap::new();
    let sql = format!(
        "SELECT {}, first_id, last_id FROM part WHERE first_id BETWEEN $1 AND $2 AND wave <> $3 ORDER BY first_id",
        planned_due("")
    );
    tx.query_each(&sql, &binds![first, last, SEED_WAVE], |row| {
        let (due, first, last) = (row.int(0)?, row.int(1)?, row.int(2)?);
        let ranges = dues.entry(due).or_default();
        match ranges.last_mut() {
            Some(open) if open.1 + 1 == first => open.1 = last,
            _ => ranges.push((first, last)),
        }
        Ok::<_, crate::Error>(())
    })?;
    Ok(dues.into_iter().collect())
}
