//! What targets, pages and reports ask of the events. Machines count for nobody; the events list shows them.

use std::collections::BTreeMap;

use queue::{Who, addressed, contacts, delivered, id_range};
use store::{Relation, Tx, binds};

use crate::event::EventKind;
use crate::limits::{EVENTS_SHOWN_MAX, PURGE_STEP};
use crate::{Error, Result};

/// Recipients by what they did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reaction {
    /// Any event of a person: who clicks has opened, with pictures blocked too.
    Opened,
    /// Followed a tracked link; opt-out and mirror links are none.
    Clicked,
    /// Got the message, and did nothing.
    NotOpened,
    /// Got the message, and followed no link.
    NotClicked,
}

/// SELECT with one column `recipient`: each recipient of the delivery that fits, once.
#[must_use]
pub fn reacted(delivery: i64, reaction: Reaction) -> Relation {
    match reaction {
        Reaction::Opened => with_event(delivery, ""),
        Reaction::Clicked => with_event(delivery, CLICKS),
        Reaction::NotOpened => without_event(delivery, ""),
        Reaction::NotClicked => without_event(delivery, CLICKS),
    }
}

/// [`reacted`] with [`Reaction::Clicked`].
#[must_use]
pub fn clicked(delivery: i64) -> Relation {
    reacted(delivery, Reaction::Clicked)
}

/// [`reacted`] with [`Reaction::Opened`].
#[must_use]
pub fn opened(delivery: i64) -> Relation {
    reacted(delivery, Reaction::Opened)
}

/// SELECT with one column `recipient`: whoever opened a message or followed a link since `since_us` (µs), once.
#[must_use]
pub fn engaged(since_us: i64) -> Relation {
    let mut binds = binds![since_us];
    let addressed = addressed().splice(&mut binds);
    // An unsubscription is an event too, and no engagement.
    let sql = format!(
        "SELECT DISTINCT m.recipient FROM event e JOIN ({addressed}) m ON m.message = e.message \
         WHERE e.at >= $1 AND e.machine = 0 AND e.kind <> {}",
        EventKind::Unsubscribe as i64
    );
    Relation::new(sql, binds)
}

/// The number of [`EventKind::Click`], which a test holds to its place.
const CLICKS: &str = " AND e.kind = 2";

fn with_event(delivery: i64, kind: &str) -> Relation {
    let mut binds = Vec::new();
    let contacts = contacts(delivery).splice(&mut binds);
    let sql = format!(
        "SELECT DISTINCT c.recipient FROM ({contacts}) c WHERE EXISTS \
         (SELECT 1 FROM event e WHERE e.message = c.message AND e.machine = 0{kind})"
    );
    Relation::new(sql, binds)
}

fn without_event(delivery: i64, kind: &str) -> Relation {
    let mut binds = Vec::new();
    let sent = delivered(delivery, Who::Sent).splice(&mut binds);
    let did = with_event(delivery, kind).splice(&mut binds);
    Relation::new(format!("SELECT s.recipient FROM ({sent}) s WHERE s.recipient NOT IN ({did})"), binds)
}

/// How many of some messages were opened, and in how many a link was followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reactions {
    /// Messages with any event of a person, as for [`Reaction::Opened`].
    pub opened: i64,
    /// As for [`Reaction::Clicked`].
    pub clicked: i64,
}

/// Counts the reactions to the messages in these ranges of ids, which do not overlap.
///
/// # Errors
/// The database's.
pub fn reactions(tx: &mut Tx<'_>, ranges: &[(i64, i64)]) -> Result<Reactions> {
    let mut sum = Reactions::default();
    let sql = format!(
        "SELECT count(DISTINCT e.message), count(DISTINCT CASE WHEN e.kind = {} THEN e.message END) FROM event e \
         WHERE e.message BETWEEN $1 AND $2 AND e.machine = 0",
        EventKind::Click as i64
    );
    for (first, last) in ranges {
        let (opened, clicked) =
            tx.query_one(&sql, &binds![*first, *last], |row| Ok::<_, Error>((row.int(0)?, row.int(1)?)))?;
        sum.opened += opened;
        sum.clicked += clicked;
    }
    Ok(sum)
}

/// Clicks of one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkClicks {
    /// Hash of the snapshot whose link table numbers it: the variants of an A/B test have one each. Empty: the delivery's
    /// parts are gone.
    pub snapshot: String,
    /// Number in the snapshot's link table.
    pub link: u16,
    /// Clicks in all.
    pub clicks: i64,
    /// Messages with a click on it.
    pub messages: i64,
}

/// Clicks (and opt-out clicks) of a delivery by content and link, without those of seeds. The events are read in the order of
/// their messages, beside the messages' contents, so that nothing is joined.
///
/// # Errors
/// The database's.
pub fn clicks_by_link(tx: &mut Tx<'_>, delivery: i64) -> Result<Vec<LinkClicks>> {
    let (first, last) = id_range(delivery);
    let spans = queue::variants::spans(tx, delivery)?;
    let mut found: BTreeMap<(&str, u16), (i64, i64)> = BTreeMap::new();
    let mut at = 0;
    tx.query_each(
        "SELECT message, link, count(*) FROM event WHERE message BETWEEN $1 AND $2 AND link IS NOT NULL AND machine = 0 \
         GROUP BY message, link ORDER BY message",
        &binds![first, last],
        |row| {
            let message = row.int(0)?;
            while spans.get(at).is_some_and(|span| span.last_id < message) {
                at += 1;
            }
            let span = spans.get(at).filter(|span| span.first_id <= message);
            if span.is_some_and(|span| span.wave == queue::SEED_WAVE) {
                return Ok::<_, Error>(());
            }
            let snapshot = span.map_or("", |span| span.snapshot.as_str());
            let link = u16::try_from(row.int(1)?).unwrap_or(u16::MAX);
            let sum = found.entry((snapshot, link)).or_default();
            *sum = (sum.0 + row.int(2)?, sum.1 + 1);
            Ok(())
        },
    )?;
    let clicks = found.into_iter().map(|((snapshot, link), (clicks, messages))| LinkClicks {
        snapshot: snapshot.to_owned(),
        link,
        clicks,
        messages,
    });
    Ok(clicks.collect())
}

/// Events of a delivery by kind: in all, and messages that have one.
///
/// # Errors
/// The database's.
pub fn counts(tx: &mut Tx<'_>, delivery: i64) -> Result<Vec<(EventKind, i64, i64)>> {
    let (first, last) = id_range(delivery);
    let rows = tx.query(
        "SELECT kind, count(*), count(DISTINCT message) FROM event \
         WHERE message BETWEEN $1 AND $2 AND machine = 0 GROUP BY kind ORDER BY kind",
        &binds![first, last],
        |row| Ok::<_, Error>((EventKind::from_number(row.int(0)?), row.int(1)?, row.int(2)?)),
    )?;
    Ok(rows.into_iter().filter_map(|(kind, events, messages)| Some((kind?, events, messages))).collect())
}

/// One event of a message's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// What.
    pub kind: EventKind,
    /// Which link.
    pub link: Option<u16>,
    /// When (UTC microseconds).
    pub at: i64,
    /// A scanner or a prefetch.
    pub machine: bool,
    /// User agent.
    pub agent: String,
    /// Keyed hash of the address, or the address.
    pub client: String,
}

/// The first [`EVENTS_SHOWN_MAX`] events of a message in order of time.
///
/// # Errors
/// The database's.
pub fn events_of(tx: &mut Tx<'_>, message: i64) -> Result<Vec<EventRow>> {
    let rows = tx.query(
        "SELECT kind, link, at, machine, agent, client FROM event WHERE message = $1 ORDER BY at, id LIMIT $2",
        &binds![message, EVENTS_SHOWN_MAX],
        |row| {
            let kind = EventKind::from_number(row.int(0)?);
            let link = row.int_opt(1)?.and_then(|link| u16::try_from(link).ok());
            Ok::<_, Error>(kind.map(|kind| (kind, link, row.int(2), row.bool(3), row.text(4), row.text(5))))
        },
    )?;
    let read =
        |(kind, link, at, machine, agent, client): (_, _, store::Result<_>, store::Result<_>, _, _)| {
            Ok(EventRow { kind, link, at: at?, machine: machine?, agent: agent?, client: client? })
        };
    rows.into_iter().flatten().map(read).collect()
}

/// Deletes a piece of the events before `before`, whose row numbers are `after` (0 at first) and above. Gives the `after`
/// of the next call, which is another transaction; none: that was all.
///
/// # Errors
/// The database's.
pub fn purge_some(tx: &mut Tx<'_>, before: i64, after: i64) -> Result<Option<i64>> {
    // Rows stand nearly in the order of time, so the first piece without an old one is the end.
    let upto = tx.query_one(
        "SELECT max(id) FROM (SELECT e.id FROM event e WHERE e.id > $1 ORDER BY e.id LIMIT $2) s",
        &binds![after, PURGE_STEP],
        |row| row.int_opt(0),
    )?;
    let Some(upto) = upto else { return Ok(None) };
    let deleted =
        tx.execute("DELETE FROM event WHERE id > $1 AND id <= $2 AND at < $3", &binds![after, upto, before])?;
    Ok((deleted > 0).then_some(upto))
}

/// Deletes a piece of what this room keeps of a delivery; true: there is more, call again in another transaction.
///
/// # Errors
/// The database's.
pub fn purge_delivery_some(tx: &mut Tx<'_>, delivery: i64) -> store::Result<bool> {
    let (first, last) = id_range(delivery);
    tx.execute("DELETE FROM resource WHERE delivery = $1", &binds![delivery])?;
    let deleted = tx.execute(
        "DELETE FROM event WHERE id IN (SELECT e.id FROM event e WHERE e.message BETWEEN $1 AND $2 LIMIT $3)",
        &binds![first, last, PURGE_STEP],
    )?;
    Ok(deleted > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_in_the_sql_is_that_of_clicks() {
        assert_eq!(CLICKS, format!(" AND e.kind = {}", EventKind::Click as i64));
    }
}
