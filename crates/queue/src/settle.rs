//! One settlement batch in one transaction: outcomes, retries, tallies, finished parts, quarantine. Idempotent: the same
//! batch twice leaves the same rows and the same tallies.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use store::{Dialect, Tx, Value, binds};

use crate::claim::finish_parts;
use crate::suppress::{Recorded, suppress_in};
use crate::types::{FinalState, Nonexistent, Quarantine, Settlement, Verdict, lane_site};
use crate::{Result, Suppression, copies, delivery_of, hourly};

/// Settled and rehearsed by the same text, which is what a connection knows a prepared statement by.
const FORGET_RETRY: &str = "DELETE FROM retry WHERE id = $1";

/// What a batch did, for the in-memory side after the commit.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Suppressions to remember.
    pub suppressed: Option<Recorded>,
    /// Newly sent messages by (delivery, site).
    pub sent: Vec<(i64, Arc<str>)>,
    /// Copies wait for the archive.
    pub copies: bool,
}

/// Which row of the tally, and by how much it changes.
type Deltas = BTreeMap<(i64, i64, Arc<str>), Delta>;

#[derive(Debug, Default, Clone, Copy)]
struct Delta {
    planned: i64,
    sent: i64,
    failed: i64,
    cancelled: i64,
    deferred: i64,
    unknown: i64,
}

/// Where the tally counts a message at present.
#[derive(Debug, Clone)]
struct Standing {
    site: Arc<str>,
    deferred: i64,
    unknown: i64,
}

/// Settles a batch. `done_parts` are parts whose last open message is in it.
pub(crate) fn settle(
    tx: &mut Tx<'_>,
    node: i64,
    batch: &[Settlement],
    done_parts: &[i64],
    quarantine: &dyn Quarantine,
) -> Result<Settled> {
    let ids: Vec<i64> = batch.iter().map(|s| s.id).collect();
    let (standing, over) = look(tx, &ids)?;
    let fresh: Vec<&Settlement> = batch.iter().filter(|s| !over.contains(&s.id)).collect();

    let written = insert_outcomes(tx, &fresh)?;
    upsert_retries(tx, &fresh)?;
    let mut deltas = Deltas::new();
    let mut hours = hourly::Hours::new();
    let mut settled = Settled::default();
    let mut copies = Vec::new();
    for settlement in &fresh {
        let is_final = matches!(settlement.verdict, Verdict::Final { .. });
        if is_final && !written.contains(&settlement.id) {
            continue;
        }
        count(&mut deltas, settlement, standing.get(&settlement.id));
        hourly::count(&mut hours, settlement);
        if let Verdict::Final { state: FinalState::Sent, .. } = settlement.verdict {
            settled.sent.push((settlement.part.delivery, Arc::clone(&settlement.site)));
            if settlement.part.bcc {
                copies.push((settlement.id, settlement.last_try.unwrap_or_default()));
            }
        }
    }
    settled.copies = !copies.is_empty();
    copies::want(tx, &copies)?;
    // Also for messages that were over before: a replayed batch must not leave their retry row.
    let leaving: Vec<i64> = batch
        .iter()
        .filter(|s| matches!(s.verdict, Verdict::Final { .. }) && standing.contains_key(&s.id))
        .map(|s| s.id)
        .collect();
    tx.execute_many(FORGET_RETRY, leaving.iter().map(|id| binds![*id]))?;
    finish_parts(tx, done_parts)?;
    settled.suppressed = quarantine_found(tx, &fresh, quarantine)?;
    // Last, and sorted: two nodes never wait for each other's rows, and own rows are locked shortest.
    write_tally(tx, node, &deltas)?;
    hourly::write(tx, node, &hours)?;
    Ok(settled)
}

/// `column IN (the ids of parameter $n)` in this dialect.
pub(crate) fn among(tx: &Tx<'_>, column: &str, n: usize) -> String {
    match tx.dialect() {
        Dialect::Sqlite => format!("{column} IN (SELECT value FROM json_each(${n}))"),
        Dialect::Postgres => format!("{column} = ANY(${n})"),
    }
}

/// PostgreSQL: runs the statements of a settlement for no message. A connection that meets them first in a real batch prepares each
/// while answers wait, and a crash in that time sends twice what was accepted. Changes nothing.
pub(crate) fn rehearse(tx: &mut Tx<'_>) -> Result<()> {
    look(tx, &[])?;
    insert_outcomes_unnest(tx, &[])?;
    // No message and no part has a negative number.
    tx.execute_many(FORGET_RETRY, [binds![-1]])?;
    finish_parts(tx, &[-1])
}

/// Where these messages stand: their retry rows, and those that are over already. One question, because on PostgreSQL
/// each costs a round trip of the commit that a crash may undo.
fn look(tx: &mut Tx<'_>, ids: &[i64]) -> Result<(HashMap<i64, Standing>, HashSet<i64>)> {
    let among = among(tx, "id", 1);
    let sql = format!(
        "SELECT id, site, CASE WHEN first_try IS NULL THEN 0 ELSE 1 END, unknown, 0 FROM retry WHERE {among} \
         UNION ALL SELECT id, '', 0, 0, 1 FROM outcome WHERE {among}"
    );
    let (mut standings, mut over) = (HashMap::new(), HashSet::new());
    tx.query_each(&sql, &binds![ids.to_vec()], |row| {
        if row.bool(4)? {
            over.insert(row.int(0)?);
        } else {
            let standing = Standing { site: row.str(1)?.into(), deferred: row.int(2)?, unknown: row.int(3)? };
            standings.insert(row.int(0)?, standing);
        }
        Ok::<_, crate::Error>(())
    })?;
    Ok((standings, over))
}

/// Inserts the final ones and returns those that were really new. On PostgreSQL another node may have been faster
/// between our look and the insert; SQLite has one writer.
fn insert_outcomes(tx: &mut Tx<'_>, fresh: &[&Settlement]) -> Result<HashSet<i64>> {
    let mut seen = HashSet::new();
    let finals: Vec<(&Settlement, FinalState, Option<[u8; 16]>)> = fresh
        .iter()
        .filter_map(|s| match s.verdict {
            Verdict::Final { state, digest } => seen.insert(s.id).then_some((*s, state, digest)),
            Verdict::Deferred { .. } => None,
        })
        .collect();
    if finals.is_empty() {
        return Ok(HashSet::new());
    }
    match tx.dialect() {
        Dialect::Sqlite => {
            let sql = "INSERT INTO outcome (id, state, attempts, first_try, last_try, site, source, reason, reply, \
                       digest, tls) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11) ON CONFLICT (id) DO NOTHING";
            let rows = finals.iter().map(|(s, state, digest)| {
                binds![
                    s.id,
                    *state as i64,
                    s.attempts,
                    s.first_try,
                    s.last_try,
                    &*s.site,
                    s.source.as_deref(),
                    s.reason.as_ref(),
                    s.reply.as_ref(),
                    digest.as_ref(),
                    s.tls
                ]
            });
            tx.execute_many(sql, rows)?;
            Ok(seen)
        }
        Dialect::Postgres => insert_outcomes_unnest(tx, &finals),
    }
}

fn insert_outcomes_unnest(
    tx: &mut Tx<'_>,
    finals: &[(&Settlement, FinalState, Option<[u8; 16]>)],
) -> Result<HashSet<i64>> {
    // Absent numbers travel as -1: a bigint[] parameter has no NULLs here.
    let ints = |get: &dyn Fn(&Settlement) -> i64| -> Value {
        Value::IntArray(finals.iter().map(|(s, ..)| get(s)).collect())
    };
    let texts = |get: &dyn Fn(&Settlement) -> Option<String>| -> Value {
        Value::TextArray(finals.iter().map(|(s, ..)| get(s)).collect())
    };
    let rows = tx.query(
        "INSERT INTO outcome (id, state, attempts, first_try, last_try, site, source, reason, reply, digest, tls) \
         SELECT id, state, attempts, nullif(first_try, -1), nullif(last_try, -1), site, source, reason, reply, digest, \
                nullif(tls, -1) \
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], \
                     $8::text[], $9::text[], $10::bytea[], $11::bigint[]) \
              AS t(id, state, attempts, first_try, last_try, site, source, reason, reply, digest, tls) \
         ON CONFLICT (id) DO NOTHING RETURNING id",
        &[
            ints(&|s| s.id),
            Value::IntArray(finals.iter().map(|(_, state, _)| *state as i64).collect()),
            ints(&|s| s.attempts),
            ints(&|s| s.first_try.unwrap_or(-1)),
            ints(&|s| s.last_try.unwrap_or(-1)),
            texts(&|s| Some(s.site.to_string())),
            texts(&|s| s.source.as_deref().map(str::to_owned)),
            texts(&|s| s.reason.clone()),
            texts(&|s| s.reply.clone()),
            Value::BlobArray(finals.iter().map(|(.., digest)| digest.map(Vec::from)).collect()),
            ints(&|s| s.tls.unwrap_or(-1)),
        ],
        |row| Ok::<_, crate::Error>(row.int(0)?),
    )?;
    Ok(rows.into_iter().collect())
}

fn upsert_retries(tx: &mut Tx<'_>, fresh: &[&Settlement]) -> Result<()> {
    let rows = fresh.iter().filter_map(|s| match s.verdict {
        Verdict::Final { .. } => None,
        Verdict::Deferred { due, sticky_until, unknown } => Some(binds![
            s.id,
            s.part.delivery,
            s.part.wave,
            &*s.part.lane,
            due,
            s.attempts,
            s.first_try,
            s.last_try,
            &*s.site,
            sticky_until.and(s.source.as_deref()),
            sticky_until,
            s.reason.as_ref(),
            s.reply.as_ref(),
            unknown,
            // Never tried: it was parked because its path rests, or is slow.
            s.first_try.is_none().then_some(&*s.site)
        ]),
    });
    tx.execute_many(
        "INSERT INTO retry (id, delivery, wave, lane, due, attempts, first_try, last_try, site, source, sticky_until, \
                            reason, reply, unknown, node, waits) \
         VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,NULL, $15) \
         ON CONFLICT (id) DO UPDATE SET due = excluded.due, attempts = excluded.attempts, \
           first_try = excluded.first_try, last_try = excluded.last_try, site = excluded.site, \
           source = excluded.source, sticky_until = excluded.sticky_until, reason = excluded.reason, \
           reply = excluded.reply, unknown = excluded.unknown, node = NULL, waits = excluded.waits",
        rows,
    )?;
    Ok(())
}

/// Moves one message in the tally from where it stood to where it stands now.
fn count(deltas: &mut Deltas, settlement: &Settlement, standing: Option<&Standing>) {
    let (delivery, wave) = (delivery_of(settlement.id), settlement.part.wave);
    let before =
        standing.map_or_else(|| Arc::from(lane_site(&settlement.part.lane)), |s| Arc::clone(&s.site));
    let old = deltas.entry((delivery, wave, before)).or_default();
    old.planned -= 1;
    if let Some(standing) = standing {
        old.deferred -= standing.deferred;
        old.unknown -= standing.unknown;
    }
    let new = deltas.entry((delivery, wave, Arc::clone(&settlement.site))).or_default();
    new.planned += 1;
    match settlement.verdict {
        Verdict::Final { state: FinalState::Sent, .. } => new.sent += 1,
        Verdict::Final { state: FinalState::Failed, .. } => new.failed += 1,
        Verdict::Final { state: FinalState::Cancelled, .. } => new.cancelled += 1,
        Verdict::Deferred { unknown, .. } => {
            // Tried, also where the receiver named the wait and the try did not count.
            new.deferred += i64::from(settlement.first_try.is_some());
            new.unknown += i64::from(unknown);
        }
    }
}

fn write_tally(tx: &mut Tx<'_>, node: i64, deltas: &Deltas) -> Result<()> {
    let rows = deltas.iter().map(|((delivery, wave, site), d)| {
        binds![
            *delivery,
            *wave,
            &**site,
            node,
            d.planned,
            d.sent,
            d.failed,
            d.cancelled,
            d.deferred,
            d.unknown
        ]
    });
    tx.execute_many(
        "INSERT INTO tally (delivery, wave, site, node, planned, sent, failed, cancelled, deferred, unknown) \
         VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10) \
         ON CONFLICT (delivery, wave, site, node) DO UPDATE SET planned = tally.planned + excluded.planned, \
           sent = tally.sent + excluded.sent, failed = tally.failed + excluded.failed, \
           cancelled = tally.cancelled + excluded.cancelled, deferred = tally.deferred + excluded.deferred, \
           unknown = tally.unknown + excluded.unknown",
        rows,
    )?;
    Ok(())
}

fn quarantine_found(
    tx: &mut Tx<'_>,
    fresh: &[&Settlement],
    quarantine: &dyn Quarantine,
) -> Result<Option<Recorded>> {
    let found: Vec<Nonexistent> = fresh
        .iter()
        .filter_map(|s| {
            s.nonexistent.as_ref().map(|key| Nonexistent {
                address_key: key.clone(),
                recipient: s.recipient,
                message: s.id,
                reason: s.reason.clone().unwrap_or_default(),
                reply: s.reply.clone().unwrap_or_default(),
                at: s.last_try.unwrap_or_default(),
            })
        })
        .collect();
    if found.is_empty() {
        return Ok(None);
    }
    quarantine.quarantine(tx, &found)?;
    let entries: Vec<Suppression> =
        found.iter().map(|n| Suppression::of_all(n.address_key.clone(), "quarantined", n.at)).collect();
    Ok(Some(suppress_in(tx, &entries)?))
}
