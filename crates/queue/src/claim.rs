//! Claiming: parts, what remains of them, and retries that are due. Claim and release touch parts, never messages.

use std::collections::HashMap;
use std::sync::Arc;

use store::{Dialect, Row, Tx, binds};

use crate::settle::among;
use crate::types::{Claim, Message, Open, Part, Past};
use crate::{Result, id_range, runs};

/// Work that a lane of a delivery holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneWork {
    /// The lane.
    pub lane: String,
    /// When its first unclaimed part is due, counted from the run's start; `None`: all are claimed or done.
    pub part_due_us: Option<i64>,
    /// When its first waiting retry is due (UTC microseconds).
    pub retry_due: Option<i64>,
}

/// What stands in the database as claimed by this node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claimed {
    /// Parts.
    pub parts: Vec<Claim>,
    /// Messages of the retry set.
    pub retries: Vec<Claim>,
}

impl Claimed {
    /// True where nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.retries.is_empty()
    }
}

/// Which parts to claim, or retries to take: of a run that sends in this epoch.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub delivery: i64,
    pub epoch: i64,
    pub lane: String,
    pub limit: i64,
    /// Of parts counted from the run's start, of retries UTC (microseconds).
    pub due_max: i64,
    pub node: i64,
    /// Told from other claims of the same rows by it.
    pub number: i64,
    pub now: i64,
    pub signing: String,
    pub bcc: bool,
}

/// What [`read_past`] reads.
const PAST_COLUMNS: &str = "id, attempts, first_try, last_try, source, sticky_until, unknown, reason, reply";

/// Lanes with work that are not on hold. A loose index scan: its cost follows the number of lanes, not of parts or
/// retries.
pub(crate) fn lanes(tx: &mut Tx<'_>, delivery: i64) -> Result<Vec<LaneWork>> {
    let mut found: HashMap<String, LaneWork> = HashMap::new();
    for (table, filter) in [("part", "state = 0"), ("retry", "node IS NULL")] {
        let sql = format!(
            "WITH RECURSIVE l(lane) AS ( \
               SELECT min(lane) FROM {table} WHERE {filter} AND delivery = $1 \
               UNION ALL SELECT (SELECT min(t.lane) FROM {table} t WHERE {filter} AND t.delivery = $1 AND t.lane > l.lane) \
               FROM l WHERE l.lane IS NOT NULL) \
             SELECT l.lane, (SELECT min(t.due) FROM {table} t WHERE {filter} AND t.delivery = $1 AND t.lane = l.lane) \
             FROM l WHERE l.lane IS NOT NULL \
               AND NOT EXISTS (SELECT 1 FROM hold h WHERE h.delivery = $1 AND h.lane = l.lane)"
        );
        tx.query_each(&sql, &binds![delivery], |row| {
            let (lane, due) = (row.text(0)?, row.int_opt(1)?);
            let work = found.entry(lane.clone()).or_insert_with(|| LaneWork {
                lane,
                part_due_us: None,
                retry_due: None,
            });
            if table == "part" {
                work.part_due_us = due;
            } else {
                work.retry_due = due;
            }
            Ok::<(), crate::Error>(())
        })?;
    }
    let mut lanes: Vec<LaneWork> = found.into_values().collect();
    lanes.sort_by(|a, b| a.lane.cmp(&b.lane));
    Ok(lanes)
}

/// Claims parts of one lane and loads what remains of each. Nothing where the run does not send in the wish's epoch (any
/// more): whoever stopped it, or put a lane on hold, was told that nothing more begins.
pub(crate) fn claim(tx: &mut Tx<'_>, wish: &Wish) -> Result<Vec<(Arc<Part>, Vec<Message>)>> {
    if !runs::sends(tx, wish.delivery, wish.epoch)? {
        return Ok(Vec::new());
    }
    let skip = if tx.dialect() == Dialect::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
    let sql = format!(
        "UPDATE part SET state = 1, node = $1, stamp = coalesce(stamp, $6), signing = coalesce(signing, $7), claim = $8 \
         WHERE first_id IN (SELECT first_id FROM part WHERE state = 0 AND delivery = $2 AND lane = $3 AND due <= $4 \
                            ORDER BY due, first_id LIMIT $5 {skip}) \
         RETURNING first_id, last_id, delivery, snapshot, wave, lane, stamp, signing, {}, claim",
        i64::from(wish.bcc)
    );
    let mut parts = tx.query(
        &sql,
        &binds![
            wish.node,
            wish.delivery,
            &wish.lane,
            wish.due_max,
            wish.limit,
            wish.now,
            &wish.signing,
            wish.number
        ],
        |row| read_part(row, 0),
    )?;
    parts.sort_by_key(|part| part.first_id);
    let mut claimed = Vec::with_capacity(parts.len());
    for part in parts {
        let part = Arc::new(part);
        let messages = load(tx, &part)?;
        part.open.begin(messages.len());
        if messages.is_empty() {
            // Everything was settled before a crash that kept the part from being marked.
            finish_parts(tx, &[part.first_id])?;
        }
        claimed.push((part, messages));
    }
    Ok(claimed)
}

/// What remains of a part: neither outcome nor retry row. The range is repeated for each table, because PostgreSQL does
/// not carry it over: without fresh statistics it would hash all outcomes for each part.
pub(crate) fn load(tx: &mut Tx<'_>, part: &Arc<Part>) -> Result<Vec<Message>> {
    tx.query(
        "SELECT m.id, m.recipient, m.domain, m.flags, m.address, m.slots FROM message m \
         WHERE m.id BETWEEN $1 AND $2 \
           AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.id = m.id AND o.id BETWEEN $1 AND $2) \
           AND NOT EXISTS (SELECT 1 FROM retry r WHERE r.id = m.id AND r.id BETWEEN $1 AND $2) ORDER BY m.id",
        &binds![part.first_id, part.last_id],
        |row| read_message(row, Arc::clone(part), Past::default()),
    )
}

pub(crate) fn finish_parts(tx: &mut Tx<'_>, parts: &[i64]) -> Result<()> {
    tx.execute_many(
        "UPDATE part SET state = 2, node = NULL WHERE first_id = $1",
        parts.iter().map(|first| binds![*first]),
    )?;
    Ok(())
}

/// Makes claimed parts ready again. Safe at any time while none of their messages is on a connection. What was given back
/// meanwhile and claimed again is left to that claim.
pub(crate) fn release(tx: &mut Tx<'_>, parts: &[Claim]) -> Result<()> {
    tx.execute_many(
        "UPDATE part SET state = 0, node = NULL WHERE first_id = $1 AND state = 1 AND claim = $2",
        parts.iter().map(|claim| binds![claim.id, claim.number]),
    )?;
    Ok(())
}

/// Makes claimed parts ready again, due at `until` at the earliest: whoever carries them waits so long. As safe as
/// [`release`].
pub(crate) fn postpone(tx: &mut Tx<'_>, parts: &[Claim], until: i64) -> Result<()> {
    tx.execute_many(
        "UPDATE part SET state = 0, node = NULL, \
           due = (SELECT CASE WHEN part.due < $2 - run.start_at THEN $2 - run.start_at ELSE part.due END \
                  FROM run WHERE run.delivery = part.delivery) \
         WHERE first_id = $1 AND state = 1 AND claim = $3",
        parts.iter().map(|claim| binds![claim.id, until, claim.number]),
    )?;
    Ok(())
}

/// Makes everything of one delivery that this node holds ready again.
pub(crate) fn release_delivery(tx: &mut Tx<'_>, node: i64, delivery: i64) -> Result<()> {
    let (first, last) = id_range(delivery);
    tx.execute(
        "UPDATE part SET state = 0, node = NULL WHERE state = 1 AND node = $1 AND delivery = $2",
        &binds![node, delivery],
    )?;
    tx.execute(
        "UPDATE retry SET node = NULL WHERE node = $1 AND id BETWEEN $2 AND $3",
        &binds![node, first, last],
    )?;
    Ok(())
}

/// What of one delivery this node has claimed, as far as the database knows.
pub(crate) fn claimed(tx: &mut Tx<'_>, node: i64, delivery: i64) -> Result<Claimed> {
    let (first, last) = id_range(delivery);
    let binds = binds![node, first, last];
    let parts = "SELECT first_id, coalesce(claim, 0) FROM part \
                 WHERE state = 1 AND node = $1 AND first_id BETWEEN $2 AND $3 ORDER BY 1";
    let retries =
        "SELECT id, coalesce(claim, 0) FROM retry WHERE node = $1 AND id BETWEEN $2 AND $3 ORDER BY 1";
    let read = |row: &Row<'_>| Ok::<_, crate::Error>(Claim { id: row.int(0)?, number: row.int(1)? });
    Ok(Claimed { parts: tx.query(parts, &binds, read)?, retries: tx.query(retries, &binds, read)? })
}

/// Takes retries that are due, oldest first. As [`claim`], nothing where the run does not send.
pub(crate) fn take_retries(tx: &mut Tx<'_>, wish: &Wish) -> Result<Vec<Message>> {
    if !runs::sends(tx, wish.delivery, wish.epoch)? {
        return Ok(Vec::new());
    }
    let skip = if tx.dialect() == Dialect::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
    let sql = format!(
        "UPDATE retry SET node = $1, claim = $6 WHERE id IN (SELECT id FROM retry WHERE node IS NULL AND delivery = $2 \
           AND lane = $3 AND due <= $4 ORDER BY due, id LIMIT $5 {skip}) \
         RETURNING {PAST_COLUMNS}"
    );
    let binds = binds![wish.node, wish.delivery, &wish.lane, wish.due_max, wish.limit, wish.number];
    let mut pasts: Vec<(i64, Past)> =
        tx.query(&sql, &binds, |row| Ok::<_, crate::Error>((row.int(0)?, read_past(row)?)))?;
    pasts.sort_by_key(|(id, _)| *id);
    with_pasts(tx, pasts, wish.number)
}

/// Retries by number, their pasts as the rows say.
pub(crate) fn load_retries(tx: &mut Tx<'_>, ids: &[i64]) -> Result<Vec<Message>> {
    let sql = format!("SELECT {PAST_COLUMNS} FROM retry WHERE {} ORDER BY id", among(tx, "id", 1));
    let pasts =
        tx.query(&sql, &binds![ids.to_vec()], |row| Ok::<_, crate::Error>((row.int(0)?, read_past(row)?)))?;
    with_pasts(tx, pasts, 0)
}

/// The messages of these numbers, which rise, as a claim took them. One question for all: on PostgreSQL each costs a round
/// trip.
fn with_pasts(tx: &mut Tx<'_>, pasts: Vec<(i64, Past)>, claim: i64) -> Result<Vec<Message>> {
    let ids: Vec<i64> = pasts.iter().map(|(id, _)| *id).collect();
    let mut cache: Option<Arc<Part>> = None;
    let mut parts = Vec::with_capacity(ids.len());
    for id in &ids {
        parts.push(part_of(tx, *id, claim, &mut cache)?);
    }
    let mut pasts = pasts.into_iter().zip(parts);
    let sql = format!(
        "SELECT id, recipient, domain, flags, address, slots FROM message WHERE {} ORDER BY id",
        among(tx, "id", 1)
    );
    let mut messages = Vec::with_capacity(ids.len());
    tx.query_each(&sql, &binds![ids], |row| {
        let id = row.int(0)?;
        // A message that was erased meanwhile has no row: its past is passed over.
        for ((of, past), part) in pasts.by_ref() {
            if of == id {
                messages.push(read_message(row, part, past)?);
                break;
            }
        }
        Ok::<_, crate::Error>(())
    })?;
    Ok(messages)
}

/// Gives taken retries back unchanged, due again at `due`: the path to `site` is closed, nothing was tried. What was given back
/// meanwhile and taken again is left to that claim.
pub(crate) fn give_back(tx: &mut Tx<'_>, taken: &[Claim], due: i64, site: Option<&str>) -> Result<()> {
    tx.execute_many(
        "UPDATE retry SET node = NULL, due = CASE WHEN due < $2 THEN $2 ELSE due END, \
           waits = CASE WHEN due < $2 THEN $3 ELSE waits END WHERE id = $1 AND node IS NOT NULL AND claim = $4",
        taken.iter().map(|claim| binds![claim.id, due, site, claim.number]),
    )?;
    Ok(())
}

/// After a crash: this node's own claims are ready again.
pub(crate) fn recover(tx: &mut Tx<'_>, node: i64) -> Result<u64> {
    let parts =
        tx.execute("UPDATE part SET state = 0, node = NULL WHERE state = 1 AND node = $1", &binds![node])?;
    tx.execute("UPDATE retry SET node = NULL WHERE node = $1", &binds![node])?;
    Ok(parts)
}

/// True when a part of the delivery is not done.
pub(crate) fn parts_open(tx: &mut Tx<'_>, delivery: i64) -> Result<bool> {
    let (first, last) = id_range(delivery);
    let found = tx.query_opt(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM part WHERE state = 0 AND delivery = $1) \
            OR EXISTS (SELECT 1 FROM part WHERE state = 1 AND delivery = $1 AND first_id BETWEEN $2 AND $3)",
        &binds![delivery, first, last],
        |row| row.int(0),
    )?;
    Ok(found.is_some())
}

/// The part that holds a message; consecutive ids mostly share one. `claim`: the number of the claim that took the message out
/// of the retry set; 0: none did.
pub(crate) fn part_of(
    tx: &mut Tx<'_>,
    id: i64,
    claim: i64,
    cache: &mut Option<Arc<Part>>,
) -> Result<Arc<Part>> {
    if let Some(part) = cache.as_ref().filter(|part| (part.first_id..=part.last_id).contains(&id)) {
        return Ok(Arc::clone(part));
    }
    let part = tx.query_one(
        "SELECT first_id, last_id, delivery, snapshot, wave, lane, coalesce(stamp, 0), coalesce(signing, ''), \
                coalesce((SELECT bcc FROM run WHERE run.delivery = part.delivery), 0), \
                CAST($2 AS BIGINT) \
         FROM part WHERE first_id <= $1 ORDER BY first_id DESC LIMIT 1",
        &binds![id, claim],
        |row| read_part(row, 0),
    )?;
    let part = Arc::new(part);
    *cache = Some(Arc::clone(&part));
    Ok(part)
}

pub(crate) fn read_part(row: &Row<'_>, at: usize) -> Result<Part> {
    Ok(Part {
        first_id: row.int(at)?,
        last_id: row.int(at + 1)?,
        delivery: row.int(at + 2)?,
        snapshot: row.str(at + 3)?.into(),
        wave: row.int(at + 4)?,
        lane: row.str(at + 5)?.into(),
        stamp: row.int(at + 6)?,
        signing: row.str(at + 7)?.into(),
        bcc: row.bool(at + 8)?,
        claim: row.int(at + 9)?,
        open: Open::default(),
    })
}

fn read_message(row: &Row<'_>, part: Arc<Part>, past: Past) -> Result<Message> {
    Ok(Message {
        id: row.int(0)?,
        recipient: row.int(1)?,
        domain: row.str(2)?.into(),
        flags: row.int(3)?,
        address: row.text(4)?,
        slots: row.blob(5)?,
        part,
        past,
    })
}

fn read_past(row: &Row<'_>) -> Result<Past> {
    Ok(Past {
        retried: true,
        attempts: row.int(1)?,
        first_try: row.int_opt(2)?,
        last_try: row.int_opt(3)?,
        source: row.text_opt(4)?,
        sticky_until: row.int_opt(5)?,
        unknown: row.bool(6)?,
        reason: row.text_opt(7)?,
        reply: row.text_opt(8)?,
    })
}
