//! The relations that an analysis walks: who is in a target, and which mark keeps somebody out.

use std::ops::RangeInclusive;

use store::{Relation, Value};

use crate::Audience;
use crate::error::{Error, Result};
use crate::guests::Guests;
use crate::relations::{AS_A_SET, OF_RECIPIENTS, row_condition};

/// A target as a set: everybody in any of `include` and in none of `exclude`, and the guests of a file.
#[derive(Debug, Clone, Default)]
pub struct TargetSet {
    /// Taken.
    pub include: Vec<Element>,
    /// Left out; they do not count as excluded, they are not in the target.
    pub exclude: Vec<Element>,
    /// Rows of files that were not imported. `exclude` and the marks look at the recipient of the same address.
    pub guests: Option<Guests>,
    /// What keeps members from getting a message. The first mark that fits gives its reason: put them in the order of the
    /// exclusions (`invalid_address`, `denylisted`, `quarantined`, `suppressed`, `rule` …).
    pub marks: Vec<Mark>,
}

/// One element of a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Element {
    /// Has a column `recipient`.
    pub relation: Relation,
    /// Everybody outside of it instead.
    pub not: bool,
}

impl Element {
    /// Those in the relation, or with `not` every recipient outside of it.
    pub fn new(relation: Relation, not: bool) -> Element {
        Element { relation, not }
    }
}

impl From<Relation> for Element {
    fn from(relation: Relation) -> Element {
        Element { relation, not: false }
    }
}

/// A cause that keeps members of a target from getting a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// One of the contract's exclusion reasons.
    pub reason: &'static str,
    /// Which typology rule it is, where it is one.
    pub rule: Option<i64>,
    /// Whom it fits.
    pub who: Marked,
}

/// Whom a mark fits.
#[derive(Debug, Clone, PartialEq)]
pub enum Marked {
    /// Who does not want to be contacted.
    Denylisted,
    /// Whose address is in quarantine.
    Quarantined,
    /// Whose address or domain is on the suppression list.
    Suppressed,
    /// Who is in a relation with a column `recipient`.
    In(Relation),
    /// Who is in no such relation.
    Outside(Relation),
}

impl Mark {
    /// The reason `denylisted`.
    pub fn denylisted() -> Mark {
        Mark { reason: "denylisted", rule: None, who: Marked::Denylisted }
    }

    /// The reason `quarantined`.
    pub fn quarantined() -> Mark {
        Mark { reason: "quarantined", rule: None, who: Marked::Quarantined }
    }

    /// The reason `suppressed`.
    pub fn suppressed() -> Mark {
        Mark { reason: "suppressed", rule: None, who: Marked::Suppressed }
    }

    /// The reason `rule`: whom a filtering rule takes, by the rule's id.
    pub fn rule(rule: i64, relation: Relation) -> Mark {
        Mark { reason: "rule", rule: Some(rule), who: Marked::In(relation) }
    }
}

impl TargetSet {
    /// One column, `recipient`: the ids in the target, each once; guests too.
    pub fn members(&self) -> Relation {
        let mut binds = Vec::new();
        let condition = self.condition("", &mut binds);
        let mut sql = format!("{AS_A_SET}({condition})");
        if let Some(guests) = &self.guests {
            let among = guests.condition("r", &mut binds);
            let excluded = self.guest_excluded(&mut binds);
            sql.push_str(&format!(
                " UNION ALL SELECT r.id AS recipient FROM guest r WHERE {among}{excluded}"
            ));
        }
        Relation::new(sql, binds)
    }

    /// Columns `recipient`, `domain`, `reason` (NULL or a mark's) and `rule` (NULL or the mark's): the target's recipients
    /// whose id lies in the range. The range stands inside each relation too: PostgreSQL hashes a relation whole where
    /// several are joined by OR, and would read a million members again for each step of the walk (300 ms against 2 ms). So
    /// a million is walked in short statements that stop nobody from settling.
    pub fn candidates(&self, ids: &RangeInclusive<i64>) -> Relation {
        let mut binds = vec![Value::Int(*ids.start()), Value::Int(*ids.end())];
        let condition = self.condition(WITHIN, &mut binds);
        let mark = self.mark_of(&mut binds, &recipient_marked);
        let among = format!("FROM recipient r WHERE r.id BETWEEN $1 AND $2 AND {condition}");
        Relation::new(self.named(&mark, &among), binds)
    }

    /// The same columns for the target's guests whose id lies in the range; `None`: the target has none. A guest is denylisted
    /// when the recipient of its address is; it is in a mark's relation when that recipient is, or when its own columns fit.
    pub fn guest_candidates(&self, ids: &RangeInclusive<i64>) -> Option<Relation> {
        let guests = self.guests.as_ref()?;
        let mut binds = vec![Value::Int(*ids.start()), Value::Int(*ids.end())];
        let among = guests.condition("r", &mut binds);
        let excluded = self.guest_excluded(&mut binds);
        let mark = self.mark_of(&mut binds, &guest_marked);
        let among = format!("FROM guest r WHERE r.id BETWEEN $1 AND $2 AND {among}{excluded}");
        Some(Relation::new(self.named(&mark, &among), binds))
    }

    /// One column, `recipient`: the guests whose address a recipient of the target has already, or a guest with a smaller id.
    /// Recipients never have an address twice. `None`: the target has no guests.
    pub fn guest_duplicates(&self) -> Option<Relation> {
        let guests = self.guests.as_ref()?;
        let mut binds = Vec::new();
        let among = guests.condition("g", &mut binds);
        let earlier = guests.condition("e", &mut binds);
        let condition = self.condition("", &mut binds);
        let sql = format!(
            "SELECT g.id AS recipient FROM guest g WHERE {among} AND \
             (EXISTS (SELECT 1 FROM guest e WHERE e.email_key = g.email_key AND e.id < g.id AND {earlier}) \
             OR EXISTS (SELECT 1 FROM recipient r WHERE r.email_key = g.email_key AND {condition}))"
        );
        Some(Relation::new(sql, binds))
    }

    /// Whether the recipient `r` is in the target. `within` narrows each relation `t`.
    fn condition(&self, within: &str, binds: &mut Vec<Value>) -> String {
        let mut any = |elements: &[Element]| {
            let parts: Vec<_> = elements
                .iter()
                .map(|element| contains(&element.relation, element.not, within, binds))
                .collect();
            parts.join(" OR ")
        };
        let include = if self.include.is_empty() { "1 = 0".to_owned() } else { any(&self.include) };
        if self.exclude.is_empty() {
            return format!("({include})");
        }
        format!("({include}) AND NOT ({})", any(&self.exclude))
    }

    /// What keeps guests out of the target, as further terms of a WHERE.
    fn guest_excluded(&self, binds: &mut Vec<Value>) -> String {
        let mut terms = String::new();
        for element in &self.exclude {
            let known = same_address(&element.relation, binds);
            terms.push_str(if element.not { " AND " } else { " AND NOT " });
            terms.push_str(&known);
        }
        terms
    }

    /// The marks as the terms of a CASE over their places.
    fn mark_of(
        &self,
        binds: &mut Vec<Value>,
        marked: &dyn Fn(&Marked, &mut Vec<Value>) -> String,
    ) -> Vec<String> {
        self.marks.iter().map(|mark| marked(&mark.who, binds)).collect()
    }

    /// The select over `among`, with the first mark that fits in words. Where rules have ids the mark is found once and kept
    /// (a few thousand rows): spread over two columns, a database would ask each mark twice.
    fn named(&self, marked: &[String], among: &str) -> String {
        let case = |kind: &str, whens: Vec<String>| match whens.is_empty() {
            true => format!("CAST(NULL AS {kind})"),
            false => format!("CAST(CASE{} END AS {kind})", whens.concat()),
        };
        let each = || self.marks.iter().zip(marked);
        if self.marks.iter().all(|mark| mark.rule.is_none()) {
            let reasons = each().map(|(mark, fits)| format!(" WHEN {fits} THEN '{}'", mark.reason)).collect();
            return format!(
                "SELECT r.id AS recipient, r.domain AS domain, {} AS reason, CAST(NULL AS BIGINT) AS rule {among}",
                case("TEXT", reasons)
            );
        }
        let places = each().zip(0..).map(|((_, fits), place)| format!(" WHEN {fits} THEN {place}")).collect();
        let reasons = (0..).zip(&self.marks);
        let reasons =
            reasons.map(|(place, mark)| format!(" WHEN k.mark = {place} THEN '{}'", mark.reason)).collect();
        let rules = (0..).zip(&self.marks);
        let rules = rules
            .filter_map(|(place, mark)| mark.rule.map(|rule| format!(" WHEN k.mark = {place} THEN {rule}")));
        format!(
            "WITH k AS MATERIALIZED (SELECT r.id AS recipient, r.domain AS domain, {} AS mark {among}) \
             SELECT k.recipient AS recipient, k.domain AS domain, {} AS reason, {} AS rule FROM k",
            case("BIGINT", places),
            case("TEXT", reasons),
            case("BIGINT", rules.collect())
        )
    }
}

/// Whether the recipient `r` is in a relation, or with `not` outside of it. A relation that is a condition over the recipients
/// themselves becomes that condition: each of them is looked at once, and not once for each relation to make a set of ids of it.
fn contains(relation: &Relation, not: bool, within: &str, binds: &mut Vec<Value>) -> String {
    let inner = relation.splice(binds);
    match inner.strip_prefix(OF_RECIPIENTS) {
        Some(condition) => format!("{}({condition})", if not { "NOT " } else { "" }),
        None => {
            format!("r.id {}IN (SELECT t.recipient FROM ({inner}) t{within})", if not { "NOT " } else { "" })
        }
    }
}

/// Narrows a relation `t` to the range of a walk.
const WITHIN: &str = " WHERE t.recipient BETWEEN $1 AND $2";

const QUARANTINED: &str =
    "EXISTS (SELECT 1 FROM quarantine q WHERE q.email_key = r.email_key AND q.status = 'quarantined')";
/// An address has an `@` and a domain has none, so one column holds both.
const SUPPRESSED: &str = "EXISTS (SELECT 1 FROM suppression s WHERE s.value IN (r.email_key, r.domain))";

fn recipient_marked(who: &Marked, binds: &mut Vec<Value>) -> String {
    match who {
        Marked::Denylisted => "r.denylisted = 1".to_owned(),
        Marked::Quarantined => QUARANTINED.to_owned(),
        Marked::Suppressed => SUPPRESSED.to_owned(),
        Marked::In(relation) => contains(relation, false, WITHIN, binds),
        Marked::Outside(relation) => contains(relation, true, WITHIN, binds),
    }
}

fn guest_marked(who: &Marked, binds: &mut Vec<Value>) -> String {
    match who {
        Marked::Denylisted => {
            "EXISTS (SELECT 1 FROM recipient x WHERE x.email_key = r.email_key AND x.denylisted = 1)"
                .to_owned()
        }
        Marked::Quarantined => QUARANTINED.to_owned(),
        Marked::Suppressed => SUPPRESSED.to_owned(),
        Marked::In(relation) => guest_in(relation, binds),
        Marked::Outside(relation) => format!("NOT {}", guest_in(relation, binds)),
    }
}

/// The guest `r` fits a relation by its own columns, or the recipient of its address is in it: a rule that keeps somebody out
/// does so whichever of the two it knows.
fn guest_in(relation: &Relation, binds: &mut Vec<Value>) -> String {
    let own = row_condition(&relation.sql).is_some().then(|| relation.splice(binds));
    let known = same_address(relation, binds);
    match own.as_deref().and_then(row_condition) {
        Some(own) => format!("(({own}) OR {known})"),
        None => known,
    }
}

/// The guest `r` has the address of a recipient in the relation.
fn same_address(relation: &Relation, binds: &mut Vec<Value>) -> String {
    format!(
        "EXISTS (SELECT 1 FROM recipient x WHERE x.email_key = r.email_key \
         AND x.id IN (SELECT t.recipient FROM ({}) t))",
        relation.splice(binds)
    )
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
