//! A/B tests: contents that differ by wave, messages that wait for the winner, and what they would say in each variant.
//!
//! A delivery with a test has a wave for each variant's sample and one for the rest. Each part names the snapshot of its
//! variant; those of the rest are due at [`HELD_DUE_US`], which never comes, and have the first variant's. After the
//! choice the messages of the rest get the winner's slots, in short transactions by ranges of ids; then one transaction
//! gives their parts the winner's snapshot and lets them go. Nobody claims a part that is held, so a crash between two of
//! these transactions leaves nothing half sent: the same steps are taken again.

use store::{Tx, Value, binds};

use crate::plan::step_messages;
use crate::{Result, id_range, runs};

/// When parts are due (µs after the start of the run) that wait for the winner of a test: in 142 years.
pub const HELD_DUE_US: i64 = 1 << 52;

/// What a message would say in another variant than the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVariant {
    /// The message.
    pub message: i64,
    /// The variant, from 1.
    pub variant: i64,
    /// As [`crate::NewMessage::flags`].
    pub flags: i64,
    /// As [`crate::NewMessage::slots`].
    pub slots: Vec<u8>,
}

/// Writes variants of messages (COPY on PostgreSQL), beside [`crate::plan::insert_messages`].
///
/// # Errors
/// The database's.
pub fn insert(tx: &mut Tx<'_>, variants: impl IntoIterator<Item = NewVariant>) -> Result<u64> {
    let rows = variants.into_iter().map(|v| {
        vec![Value::Int(v.message), Value::Int(v.variant), Value::Int(v.flags), Value::Blob(v.slots)]
    });
    Ok(tx.copy_in("variant_slots", &["message", "variant", "flags", "slots"], rows)?)
}

/// Gives some messages behind `after` (at first: below the delivery's first id) what they say in the variant that won.
/// Answers the `after` of the next call, which is another transaction; none: all have it. Doing it again changes
/// nothing. Only while their parts are held.
///
/// # Errors
/// The database's.
pub fn apply_some(tx: &mut Tx<'_>, delivery: i64, variant: i64, after: i64) -> Result<Option<i64>> {
    let (first, last) = id_range(delivery);
    let from = first.max(after.saturating_add(1));
    let upto = tx.query_one(
        "SELECT max(s.message) FROM (SELECT v.message FROM variant_slots v WHERE v.message BETWEEN $1 AND $2 \
         AND v.variant = $3 ORDER BY v.message LIMIT $4) s",
        &binds![from, last, variant, step_messages(tx.dialect()) as i64],
        |row| Ok::<_, crate::Error>(row.int_opt(0)?),
    )?;
    let Some(upto) = upto else { return Ok(None) };
    tx.execute(
        "UPDATE message SET flags = v.flags, slots = v.slots FROM variant_slots v \
         WHERE message.id BETWEEN $1 AND $2 AND v.message = message.id AND v.message BETWEEN $1 AND $2 AND v.variant = $3",
        &binds![from, upto, variant],
    )?;
    Ok(Some(upto))
}

/// Lets the held parts of a delivery go at `now`, with this snapshot. Answers how many they are: none, when that was done
/// before. Call [`crate::Queue::changed`] after the commit.
///
/// # Errors
/// [`crate::Error::NotConfirmed`], or the database's.
pub fn release(tx: &mut Tx<'_>, delivery: i64, snapshot: &str, now: i64) -> Result<u64> {
    let (first, last) = id_range(delivery);
    let due = (now - runs::find(tx, delivery)?.spec.start_at).max(0);
    Ok(tx.execute(
        "UPDATE part SET snapshot = $3, due = $4 WHERE first_id BETWEEN $1 AND $2 AND state = 0 AND due >= $5",
        &binds![first, last, snapshot, due, HELD_DUE_US],
    )?)
}

/// Deletes some of what is kept of the variants of a delivery; true: there is more, call again in another transaction.
///
/// # Errors
/// The database's.
pub fn forget_some(tx: &mut Tx<'_>, delivery: i64) -> Result<bool> {
    let (first, last) = id_range(delivery);
    let upto = tx.query_one(
        "SELECT max(s.message) FROM (SELECT v.message FROM variant_slots v WHERE v.message BETWEEN $1 AND $2 \
         ORDER BY v.message LIMIT $3) s",
        &binds![first, last, step_messages(tx.dialect()) as i64],
        |row| Ok::<_, crate::Error>(row.int_opt(0)?),
    )?;
    let Some(upto) = upto else { return Ok(false) };
    tx.execute("DELETE FROM variant_slots WHERE message BETWEEN $1 AND $2", &binds![first, upto])?;
    Ok(true)
}

/// Messages that follow one another and have the same content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// First message id.
    pub first_id: i64,
    /// Last message id.
    pub last_id: i64,
    /// Their wave.
    pub wave: i64,
    /// Hash of their snapshot.
    pub snapshot: String,
}

/// The messages of a delivery by content, in the order of their ids, without those that are held: what they will say is
/// not known yet.
///
/// # Errors
/// The database's.
pub fn spans(tx: &mut Tx<'_>, delivery: i64) -> Result<Vec<Span>> {
    let (first, last) = id_range(delivery);
    let mut spans: Vec<Span> = Vec::new();
    tx.query_each(
        "SELECT first_id, last_id, wave, snapshot, due FROM part WHERE first_id BETWEEN $1 AND $2 ORDER BY first_id",
        &binds![first, last],
        |row| {
            let (first_id, last_id, wave) = (row.int(0)?, row.int(1)?, row.int(2)?);
            if row.int(4)? >= HELD_DUE_US {
                return Ok::<_, crate::Error>(());
            }
            let snapshot = row.str(3)?;
            match spans.last_mut() {
                Some(open) if open.last_id + 1 == first_id && open.wave == wave && open.snapshot == snapshot => {
                    open.last_id = last_id;
                }
                _ => spans.push(Span { first_id, last_id, wave, snapshot: snapshot.to_owned() }),
            }
            Ok(())
        },
    )?;
    Ok(spans)
}

/// The hashes of all contents of a delivery; one, unless it has a test.
///
/// # Errors
/// The database's.
pub fn snapshots(tx: &mut Tx<'_>, delivery: i64) -> Result<Vec<String>> {
    let (first, last) = id_range(delivery);
    tx.query(
        "SELECT DISTINCT snapshot FROM part WHERE first_id BETWEEN $1 AND $2 ORDER BY snapshot",
        &binds![first, last],
        |row| Ok(row.text(0)?),
    )
}

/// How one wave of a confirmed delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaveFigures {
    /// The wave.
    pub wave: i64,
    /// Its messages.
    pub messages: i64,
    /// Taken by the receiver.
    pub sent: i64,
    /// Refused for good.
    pub failed: i64,
    /// Decided not to send.
    pub cancelled: i64,
}

/// The waves of a confirmed delivery from the tally, by number; seeds are none.
///
/// # Errors
/// The database's.
pub fn by_wave(tx: &mut Tx<'_>, delivery: i64) -> Result<Vec<WaveFigures>> {
    tx.query(
        "SELECT wave, CAST(sum(planned) AS BIGINT), CAST(sum(sent) AS BIGINT), CAST(sum(failed) AS BIGINT), \
                CAST(sum(cancelled) AS BIGINT) \
         FROM tally WHERE delivery = $1 AND wave <> $2 GROUP BY wave ORDER BY wave",
        &binds![delivery, crate::SEED_WAVE],
        |row| {
            Ok(WaveFigures {
                wave: row.int(0)?,
                messages: row.int(1)?,
                sent: row.int(2)?,
                failed: row.int(3)?,
                cancelled: row.int(4)?,
            })
        },
    )
}
