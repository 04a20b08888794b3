//! Pressure: nobody gets more than so many messages, or so much weight, in a time.
//!
//! A recipient gets this delivery's message when what was sent in the window, what is planned there with greater weight,
//! and this message come to the limit at most. The window reaches back from the end of the contact date's day and, where
//! planned deliveries count, as far forward; a grouping widens both ends to whole units. What others weigh under another
//! rule is no matter: each rule is judged by itself.
//!
//! Which messages count is decided by ranges of message ids (`sources`), because a delivery's and a wave's messages share
//! a contact date; the log of messages is then read once, by stretches of recipients, on a reader while the writer
//! writes the stretch before.

mod arbitration;
mod household;
mod sources;
mod window;

use audience::Mark;
use queue::Among;
use store::{Dialect, Relation, Value};

pub(crate) use arbitration::{fingerprint, keep};
pub(crate) use window::Window;

use crate::Deliveries;
use crate::types::{DeliveryId, Error, Result};
use crate::typologies::{InForce, Named, PressureRule};

/// A pressure rule that was made ready for one delivery.
#[derive(Debug, Clone)]
pub(crate) struct Pressure {
    pub id: i64,
    pub name: String,
    /// Planned deliveries count too.
    planned: bool,
    /// Which messages count.
    counted: Vec<queue::Counted>,
    /// What this delivery's message counts.
    own: i64,
    limit: i64,
    /// Other limits, the first that fits.
    limits: Vec<(Relation, i64)>,
    /// Whom it is applied to; none: everybody.
    whom: Option<Relation>,
    /// Columns `recipient`, `value`: who belongs together; none: each alone.
    household: Option<Relation>,
    /// Columns `recipient`, `value`: everybody's domain, by which the work table is keyed.
    domains: Relation,
}

impl Deliveries {
    /// The pressure rules in force, ready to be applied to a delivery whose sending starts at `contact_us`.
    pub(crate) async fn pressures(
        &self,
        id: DeliveryId,
        force: &InForce,
        contact_us: i64,
    ) -> Result<Vec<Pressure>> {
        let mut ready = Vec::with_capacity(force.pressure.len());
        for named in &force.pressure {
            ready.push(self.pressure(id, named, force.weight, contact_us).await?);
        }
        Ok(ready)
    }

    async fn pressure(
        &self,
        id: DeliveryId,
        Named { id: rule_id, name, rule }: &Named<PressureRule>,
        weight: i64,
        contact_us: i64,
    ) -> Result<Pressure> {
        let field = format!("rule {name:?}");
        let mut limits = Vec::new();
        for limit in &rule.limits {
            if let Some(relation) = self.whom(&field, &limit.whom()).await? {
                limits.push((relation, limit.limit));
            }
        }
        let household = match rule.household.as_str() {
            "" => None,
            name => Some(self.rooms.audience.values_of(name)?),
        };
        Ok(Pressure {
            id: *rule_id,
            name: name.clone(),
            planned: rule.planned,
            counted: self.counted_messages(id, rule, weight, contact_us).await?,
            own: if rule.measure == "weight" { weight } else { 1 },
            limit: rule.limit,
            limits,
            whom: self.whom(&field, &rule.recipients).await?,
            household,
            domains: self.rooms.audience.values_of("domain")?,
        })
    }

    /// Who among the given recipients is over the limit of each rule: marks for the walk. Read apart from the writer.
    pub(crate) async fn pressed(&self, rules: &[Pressure], among: &Among) -> Result<Vec<Mark>> {
        let mut marks = Vec::new();
        let dialect = self.store.dialect();
        for rule in rules.iter().filter(|rule| rule.household.is_none()) {
            let Some(over) = rule.over(&self.rooms.audience.all_recipients(), among, dialect) else {
                continue;
            };
            let (sql, binds) = (over.sql, over.binds);
            let over = self
                .store
                .read(move |tx| tx.query(&sql, &binds, |row| row.int(0).map_err(Error::from)))
                .await?;
            if !over.is_empty() {
                marks.push(Mark {
                    reason: "pressure",
                    rule: Some(rule.id),
                    who: audience::Marked::In(listed(over, dialect)),
                });
            }
        }
        Ok(marks)
    }
}

/// SELECT with one column `recipient`: these.
fn listed(ids: Vec<i64>, dialect: Dialect) -> Relation {
    let sql = match dialect {
        Dialect::Sqlite => "SELECT j.value AS recipient FROM json_each($1) j",
        Dialect::Postgres => "SELECT unnest(CAST($1 AS BIGINT[])) AS recipient",
    };
    Relation::new(sql, vec![Value::IntArray(ids)])
}

impl Pressure {
    /// SELECT with one column `recipient`: those among the given ones who are over their limit. None: nobody can be.
    /// `everybody` has a column `recipient`.
    pub fn over(&self, everybody: &Relation, among: &Among, dialect: Dialect) -> Option<Relation> {
        let least_limit = self.limits.iter().map(|(_, limit)| *limit).chain([self.limit]).min().unwrap_or(0);
        // The smallest history that puts somebody over a limit.
        let least = least_limit - self.own + 1;
        let mut binds = Vec::new();
        let counted = queue::counted(&self.counted, among, least.max(1), dialect);
        let from = match (counted, least <= 0) {
            (None, false) => return None,
            (Some(counted), false) => format!("({}) s", counted.splice(&mut binds)),
            // Somebody is over the limit without having had anything.
            (counted, true) => {
                let ids = among.condition("p.recipient", dialect, &mut binds);
                let everybody = everybody.splice(&mut binds);
                let had = match counted {
                    Some(counted) => format!(
                        "SELECT e.recipient, coalesce(h.weight, 0) AS weight FROM ({everybody}) e \
                         LEFT JOIN ({}) h ON h.recipient = e.recipient",
                        counted.splice(&mut binds)
                    ),
                    None => format!("SELECT e.recipient, 0 AS weight FROM ({everybody}) e"),
                };
                format!("(SELECT p.recipient, p.weight FROM ({had}) p WHERE {ids}) s")
            }
        };
        let conditions = self.conditions(among, dialect, &mut binds);
        Some(Relation::new(format!("SELECT s.recipient AS recipient FROM {from} WHERE {conditions}"), binds))
    }

    /// Over the limit, and somebody whom the rule is for; of a row `s` with `recipient` and `weight`.
    fn conditions(&self, among: &Among, dialect: Dialect, binds: &mut Vec<Value>) -> String {
        let within = |relation: &Relation, binds: &mut Vec<Value>| {
            let inner = relation.splice(binds);
            let ids = among.condition("t.recipient", dialect, binds);
            format!("s.recipient IN (SELECT t.recipient FROM ({inner}) t WHERE {ids})")
        };
        let mut limit = self.limit.to_string();
        if !self.limits.is_empty() {
            let whens: Vec<String> = self
                .limits
                .iter()
                .map(|(relation, limit)| format!("WHEN {} THEN {limit}", within(relation, binds)))
                .collect();
            limit = format!("CASE {} ELSE {} END", whens.join(" "), self.limit);
        }
        let mut conditions = format!("s.weight + {} > {limit}", self.own);
        if let Some(whom) = &self.whom {
            conditions.push_str(&format!(" AND {}", within(whom, binds)));
        }
        conditions
    }
}
