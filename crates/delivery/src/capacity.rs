//! Capacity: no more messages in a stretch of time than somebody (a call centre, a shop's till) can take.
//!
//! A rule has lines of time with a quantity. A delivery takes from the line in which each of its waves starts; what it takes
//! counts for others from Confirm on. What is over is left out or warned of.

use serde::Serialize;
use store::{Dialect, Lane, Tx, binds};
use typology::{Finding, Level};

use crate::Deliveries;
use crate::definition::Definition;
use crate::draw::Order;
use crate::exclusions::random;
use crate::folder::Refusal;
use crate::parameters::duration_us;
use crate::schedule::Plan;
use crate::types::{Delivery, DeliveryId, Error, Result};
use crate::typologies::{CapacityRule, InForce, Named, RuleDefinition};
use crate::{waves, words};

/// Lines of one rule, those that come again counted one by one.
pub const LINES_MAX: usize = 1_000;

/// A stretch of time with what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub from_us: i64,
    pub until_us: i64,
    pub quantity: i64,
}

/// The lines of a rule in the order of time; none overlaps another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lines(Vec<Line>);

/// A line of a capacity rule, and what is left of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CapacityUse {
    /// Start (µs).
    pub from_us: i64,
    /// End (µs).
    pub until_us: i64,
    /// Messages that it holds.
    pub quantity: i64,
    /// Messages of confirmed deliveries.
    pub consumed: i64,
    /// What is left; never below 0.
    pub remaining: i64,
}

impl Lines {
    /// Reads the lines of a rule.
    pub fn of(rule: &CapacityRule) -> Result<Lines, Refusal> {
        let refuse = |text: String| Refusal::new("definition.lines", text);
        let zone = jiff::tz::TimeZone::get(&rule.time_zone).map_err(|_| {
            let text = format!("{:?} is no time zone; write one like Europe/Berlin", rule.time_zone);
            Refusal::new("definition.time_zone", text)
        })?;
        let mut lines = Vec::new();
        for line in &rule.lines {
            let start = crate::parameters::instant_in(&line.start, &zone).ok_or_else(|| {
                refuse(format!("{:?} is no date and time like 2026-12-01T08:00", line.start))
            })?;
            let duration = positive(&line.duration).ok_or_else(|| {
                refuse(format!("{:?} is no duration: write a number and s, m, h or d", line.duration))
            })?;
            let every = match (line.every.trim(), line.times) {
                ("", 0 | 1) => 0,
                ("", _) => return Err(refuse("a line that comes several times needs `every`".into())),
                (every, _) => positive(every).ok_or_else(|| {
                    refuse(format!("{every:?} is no duration: write a number and s, m, h or d"))
                })?,
            };
            for n in 0..i64::from(line.times.max(1)) {
                if lines.len() >= LINES_MAX {
                    return Err(refuse(format!("are more than {LINES_MAX}, repetitions counted")));
                }
                let from_us = start.saturating_add(every.saturating_mul(n));
                lines.push(Line {
                    from_us,
                    until_us: from_us.saturating_add(duration),
                    quantity: line.quantity,
                });
            }
        }
        lines.sort_by_key(|line| line.from_us);
        match lines.windows(2).find(|pair| pair[0].until_us > pair[1].from_us) {
            Some(_) => Err(refuse("overlap: a moment belongs to one line".into())),
            None => Ok(Lines(lines)),
        }
    }

    /// The line that holds a moment.
    fn at(&self, at_us: i64) -> Option<&Line> {
        self.0.iter().find(|line| (line.from_us..line.until_us).contains(&at_us))
    }

    /// What a delivery of so many messages takes of each line.
    fn load(&self, definition: &Definition, plan: &Plan, messages: i64) -> Result<Vec<(Line, i64)>, Refusal> {
        let mut load: Vec<(Line, i64)> = Vec::new();
        for wave in waves::starts(definition, plan, messages)? {
            let Some(line) = self.at(wave.start_us) else { continue };
            match load.iter_mut().find(|(known, _)| known == line) {
                Some((_, taken)) => *taken += wave.messages,
                None => load.push((*line, wave.messages)),
            }
        }
        Ok(load)
    }
}

fn positive(text: &str) -> Option<i64> {
    duration_us(text).filter(|us| *us > 0)
}

impl Deliveries {
    /// The lines of a capacity rule with what is left of each; `None`: there is no such rule.
    pub async fn capacity_lines(&self, rule: i64) -> Result<Option<Vec<CapacityUse>>> {
        let Some(found) = self.typology_rule(rule).await? else { return Ok(None) };
        let RuleDefinition::Capacity(capacity) = &found.rule.definition else { return Ok(None) };
        let lines = Lines::of(capacity)?;
        let consumed = self.store.read(move |tx| consumed(tx, rule, 0)).await?;
        let used = |line: &Line| {
            let consumed = consumed.iter().find(|(start, _)| *start == line.from_us).map_or(0, |(_, n)| *n);
            CapacityUse {
                from_us: line.from_us,
                until_us: line.until_us,
                quantity: line.quantity,
                consumed,
                remaining: (line.quantity - consumed).max(0),
            }
        };
        Ok(Some(lines.0.iter().map(used).collect()))
    }

    /// Applies the capacity rules to the work table, each to what the one before left. Gives what is warned of.
    pub(crate) async fn apply_capacity(
        &self,
        delivery: &Delivery,
        force: &InForce,
        plan: &Plan,
    ) -> Result<Vec<Finding>> {
        let (id, definition) = (delivery.id, &delivery.definition);
        let mut findings = Vec::new();
        for named in &force.capacity {
            let lines = Lines::of(&named.rule)?;
            let messages = self.left(id).await?;
            let consumed = self.consumed_by_others(named.id, id).await?;
            let keep = most_that_fit(&lines, definition, plan, messages, &consumed)?;
            if keep >= messages {
                continue;
            }
            if named.rule.exclude {
                let order = self.kept_order(id, definition, &named.rule)?;
                self.keep_first(id, &order, keep, ("capacity", Some(named.id))).await?;
            } else {
                findings.push(over(&named.name, messages, keep));
            }
        }
        Ok(findings)
    }

    fn kept_order(&self, id: DeliveryId, definition: &Definition, rule: &CapacityRule) -> Result<Order> {
        match rule.keep.as_str() {
            "first" => self.sorted_by(&rule.sort),
            _ => Ok(random(id, &definition.target)),
        }
    }

    async fn consumed_by_others(&self, rule: i64, me: DeliveryId) -> Result<Vec<(i64, i64)>> {
        self.store.read(move |tx| consumed(tx, rule, me)).await
    }

    /// Notes what a delivery of so many messages takes, in place of what an earlier analysis noted.
    pub(crate) async fn plan_capacity(
        &self,
        delivery: &Delivery,
        force: &InForce,
        plan: &Plan,
        messages: i64,
    ) -> Result<()> {
        let id = delivery.id;
        let mut rows = Vec::new();
        for Named { id: rule, rule: capacity, .. } in &force.capacity {
            for (line, taken) in Lines::of(capacity)?.load(&delivery.definition, plan, messages)? {
                rows.push((*rule, line.from_us, taken));
            }
        }
        self.store
            .write(Lane::Bulk, move |tx| {
                tx.execute("DELETE FROM capacity_use WHERE delivery = $1", &binds![id])?;
                for (rule, line, taken) in rows {
                    tx.execute(
                        "INSERT INTO capacity_use (rule, line, delivery, messages) VALUES ($1, $2, $3, $4)",
                        &binds![rule, line, id, taken],
                    )?;
                }
                Ok::<_, Error>(())
            })
            .await
    }
}

fn over(rule: &str, messages: i64, keep: i64) -> Finding {
    let text = format!(
        "{} are over the capacity of the rule {rule:?}, which has room for {}",
        words::counted(messages - keep, "message", "messages"),
        words::number(keep)
    );
    let mut finding = Finding::new("capacity", Level::Warning, text);
    finding.hint =
        Some("choose another contact date, smaller waves, or let the rule leave out what is over".into());
    finding
}

/// Messages of confirmed deliveries by the line's start, without those of `me`.
fn consumed(tx: &mut Tx<'_>, rule: i64, me: DeliveryId) -> Result<Vec<(i64, i64)>> {
    tx.query(
        "SELECT line, CAST(sum(messages) AS BIGINT) FROM capacity_use \
         WHERE rule = $1 AND confirmed = 1 AND delivery <> $2 GROUP BY line",
        &binds![rule, me],
        |row| Ok((row.int(0)?, row.int(1)?)),
    )
}

/// The largest number of messages, up to `messages`, that leaves no line below nothing. Fewer messages make every wave
/// smaller, so it is found by halving.
fn most_that_fit(
    lines: &Lines,
    definition: &Definition,
    plan: &Plan,
    messages: i64,
    consumed: &[(i64, i64)],
) -> Result<i64, Refusal> {
    let fits = |n: i64| -> Result<bool, Refusal> {
        let load = lines.load(definition, plan, n)?;
        Ok(load.iter().all(|(line, taken)| {
            let before = consumed.iter().find(|(start, _)| *start == line.from_us).map_or(0, |(_, n)| *n);
            before + taken <= line.quantity || *taken == 0
        }))
    };
    if messages == 0 || fits(messages)? {
        return Ok(messages);
    }
    let (mut fit, mut over) = (0, messages);
    while over - fit > 1 {
        let middle = fit + (over - fit) / 2;
        match fits(middle)? {
            true => fit = middle,
            false => over = middle,
        }
    }
    Ok(fit)
}

/// At Confirm: what the delivery takes counts from now on. Refused when another delivery took it since the analysis.
pub(crate) fn take(tx: &mut Tx<'_>, delivery: &Delivery) -> Result<()> {
    let id = delivery.id;
    // Of two deliveries that are confirmed at once, the second waits at the rule and sees what the first took. SQLite has one
    // writer.
    let lock = if tx.dialect() == Dialect::Postgres { "FOR UPDATE OF r" } else { "" };
    let sql = format!(
        "SELECT u.rule, u.line, u.messages, r.name, r.definition FROM capacity_use u JOIN typology_rule r ON r.id = u.rule \
         WHERE u.delivery = $1 ORDER BY u.rule, u.line {lock}"
    );
    let mine = tx.query(&sql, &binds![id], |row| {
        Ok::<_, Error>((row.int(0)?, row.int(1)?, row.int(2)?, row.text(3)?, row.text(4)?))
    })?;
    for (rule, line, messages, name, definition) in mine {
        let Ok(RuleDefinition::Capacity(capacity)) = serde_json::from_str(&definition) else { continue };
        let others = consumed(tx, rule, id)?;
        let before = others.iter().find(|(start, _)| *start == line).map_or(0, |(_, n)| *n);
        let lines = Lines::of(&capacity)?;
        let over = lines.at(line).is_some_and(|line| before + messages > line.quantity);
        if capacity.exclude && before > 0 && over {
            let reason =
                format!("another delivery took the capacity of the rule {name:?} since: analyse it again");
            return Err(Error::State { id, state: delivery.state, reason });
        }
    }
    tx.execute("UPDATE capacity_use SET confirmed = 1 WHERE delivery = $1", &binds![id])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{WaveLine, Waves};
    use crate::typologies::CapacityLine;

    fn line(start: &str, duration: &str, quantity: i64) -> CapacityLine {
        CapacityLine {
            start: start.into(),
            duration: duration.into(),
            quantity,
            every: String::new(),
            times: 1,
        }
    }

    fn rule(lines: Vec<CapacityLine>) -> CapacityRule {
        CapacityRule { lines, ..CapacityRule::default() }
    }

    #[test]
    fn lines_come_again_and_none_overlaps() {
        let daily = CapacityLine { every: "1d".into(), times: 3, ..line("2026-12-01T08:00", "8h", 100) };
        let lines = Lines::of(&rule(vec![daily.clone()])).unwrap();
        assert_eq!(lines.0.len(), 3);
        let second = lines.0[1];
        assert_eq!(lines.at(second.from_us), Some(&second));
        assert_eq!(lines.at(second.until_us), None);
        let overlapping = Lines::of(&rule(vec![daily, line("2026-12-02T15:59", "1h", 5)]));
        assert!(overlapping.unwrap_err().text.contains("overlap"));
        for wrong in [line("soon", "8h", 1), line("2026-12-01T08:00", "0h", 1)] {
            assert_eq!(Lines::of(&rule(vec![wrong])).unwrap_err().field, "definition.lines");
        }
    }

    #[test]
    fn each_wave_takes_from_the_line_that_it_starts_in() {
        let lines =
            Lines::of(&rule(vec![line("2026-12-01T08:00", "2h", 100), line("2026-12-01T10:00", "2h", 500)]))
                .unwrap();
        let start = lines.0[0].from_us;
        let mut definition = Definition::new("x");
        let wave = |start: &str, size: &str| WaveLine { start: start.into(), size: size.into() };
        definition.waves =
            Some(Waves { calendar: vec![wave("0s", "50%"), wave("2h", "50%")], ..Waves::default() });
        let plan = Plan::at_once(start);
        let load = lines.load(&definition, &plan, 400).unwrap();
        assert_eq!(load.iter().map(|(_, taken)| *taken).collect::<Vec<_>>(), [200, 200]);
        let fit = most_that_fit(&lines, &definition, &plan, 400, &[]).unwrap();
        assert!((200..=201).contains(&fit), "{fit}");
        let fit = most_that_fit(&lines, &definition, &plan, 400, &[(start, 90)]).unwrap();
        assert!((20..=21).contains(&fit), "{fit}");
        assert_eq!(most_that_fit(&lines, &definition, &plan, 150, &[]).unwrap(), 150);
    }

    #[test]
    fn outside_every_line_nothing_is_said() {
        let lines = Lines::of(&rule(vec![line("2026-12-01T08:00", "2h", 1)])).unwrap();
        let plan = Plan::at_once(lines.0[0].until_us);
        assert_eq!(most_that_fit(&lines, &Definition::new("x"), &plan, 400, &[]).unwrap(), 400);
    }
}
