//! The relation that an analysis walks: who is in a target, and which of our own rules keeps somebody out.

use std::ops::RangeInclusive;

use store::{Relation, Value};

use crate::Audience;
use crate::error::{Error, Result};

/// A target as a set: everybody in any of `include` and in none of `exclude`. Relations have a column `recipient`.
#[derive(Debug, Clone, Default)]
pub struct TargetSet {
    /// Taken.
    pub include: Vec<Relation>,
    /// Left out; they do not count as excluded, they are not in the target.
    pub exclude: Vec<Relation>,
    /// Mark who is on the denylist.
    pub mark_denylisted: bool,
    /// Mark whose address is in quarantine.
    pub mark_quarantined: bool,
}

impl TargetSet {
    /// One column, `recipient`: the ids in the target, each once.
    pub fn members(&self) -> Relation {
        let mut binds = Vec::new();
        let condition = self.condition("", &mut binds);
        Relation::new(format!("SELECT c.id AS recipient FROM recipient c WHERE {condition}"), binds)
    }

    /// Columns `recipient`, `domain`, `reason` (NULL, `denylisted` or `quarantined`): the target's members whose id lies
    /// in the range. The range stands inside each relation too: PostgreSQL hashes a relation whole where several are
    /// joined by OR, and would read a million members again for each step of the walk (300 ms against 2 ms). So a
    /// million is walked in short statements that stop nobody from settling.
    pub fn candidates(&self, ids: &RangeInclusive<i64>) -> Relation {
        let mut binds = vec![Value::Int(*ids.start()), Value::Int(*ids.end())];
        let condition = self.condition(" WHERE t.recipient BETWEEN $1 AND $2", &mut binds);
        let mut reasons = String::new();
        if self.mark_denylisted {
            reasons.push_str(" WHEN c.denylisted = 1 THEN 'denylisted'");
        }
        if self.mark_quarantined {
            reasons.push_str(
                " WHEN EXISTS (SELECT 1 FROM quarantine q WHERE q.email_key = c.email_key AND q.status = 'quarantined') \
                 THEN 'quarantined'",
            );
        }
        let reason = if reasons.is_empty() { "NULL".to_owned() } else { format!("CASE{reasons} END") };
        let reason = format!("CAST({reason} AS TEXT)");
        Relation::new(
            format!(
                "SELECT c.id AS recipient, c.domain AS domain, {reason} AS reason FROM recipient c \
                 WHERE c.id BETWEEN $1 AND $2 AND {condition}"
            ),
            binds,
        )
    }

    /// `within` narrows each relation `t`.
    fn condition(&self, within: &str, binds: &mut Vec<Value>) -> String {
        let mut any = |relations: &[Relation]| {
            let within_any: Vec<_> = relations
                .iter()
                .map(|relation| {
                    format!("c.id IN (SELECT t.recipient FROM ({}) t{within})", relation.splice(binds))
                })
                .collect();
            within_any.join(" OR ")
        };
        let include = if self.include.is_empty() { "1 = 0".to_owned() } else { any(&self.include) };
        if self.exclude.is_empty() {
            return format!("({include})");
        }
        format!("({include}) AND NOT ({})", any(&self.exclude))
    }
}

impl Audience {
    /// The largest recipient id, 0 when there is none: the end of a walk over all recipients.
    pub async fn largest_recipient_id(&self) -> Result<i64> {
        self.store()
            .read(|tx| {
                tx.query_one("SELECT coalesce(max(id), 0) FROM recipient", &[], |row| {
                    row.int(0).map_err(Error::from)
                })
            })
            .await
    }
}
