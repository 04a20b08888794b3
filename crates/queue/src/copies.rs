//! Copies for the archive: which sent messages still owe one. Written by the settling transaction, read and deleted by the
//! archive through these functions, inside its own transactions.

use std::sync::Arc;

use store::{Dialect, Row, Tx, Value, binds};

use crate::claim::part_of;
use crate::limits::{COPIES_PAGE_MAX, REPLY_LEN_MAX};
use crate::settle::among;
use crate::types::{Message, Part, Past};
use crate::{Error, Result, delivery_of, id_range};

/// A copy that is owed.
#[derive(Debug)]
pub struct Copy {
    /// What was sent.
    pub message: Message,
    /// Digest of the bytes that the receiver got; none: it was not kept.
    pub digest: Option<[u8; 16]>,
    /// When it was sent (UTC microseconds).
    pub sent_at: i64,
    /// When this copy was to be tried (UTC microseconds).
    pub due: i64,
    /// Tries so far.
    pub tries: i64,
}

impl Copy {
    /// Where the next page of [`due`] begins.
    #[must_use]
    pub fn place(&self) -> (i64, i64) {
        (self.due, self.message.id)
    }
}

/// A copy that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untaken {
    /// The message.
    pub id: i64,
    /// Next try (UTC microseconds); none: it is held until an operator has looked.
    pub due: Option<i64>,
    /// In words, cut at [`crate::limits::REPLY_LEN_MAX`].
    pub error: String,
    /// Whether it was a try: whoever has it saw the copy.
    pub counts: bool,
}

/// How many copies are owed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owed {
    /// Waiting for their turn or their next try.
    pub waiting: i64,
    /// Held until an operator has looked.
    pub held: i64,
    /// When the oldest of both was sent (UTC microseconds).
    pub oldest: Option<i64>,
    /// Why one of the waiting was put off; none: all wait for their first try.
    pub put_off: Option<String>,
}

/// One held copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The message.
    pub id: i64,
    /// Its delivery.
    pub delivery: i64,
    /// The recipient's address as written.
    pub address: String,
    /// When it was sent (UTC microseconds).
    pub sent_at: i64,
    /// Why the copy is held.
    pub error: String,
}

/// Notes that these messages (id, sent at) owe a copy. Writing the same one again does nothing.
pub(crate) fn want(tx: &mut Tx<'_>, sent: &[(i64, i64)]) -> Result<()> {
    if sent.is_empty() {
        return Ok(());
    }
    match tx.dialect() {
        Dialect::Sqlite => tx.execute_many(
            "INSERT INTO bcc (id, sent_at, due, tries, held) VALUES ($1, $2, $2, 0, 0) ON CONFLICT (id) DO NOTHING",
            sent.iter().map(|(id, at)| binds![*id, *at]),
        )?,
        Dialect::Postgres => tx.execute(
            "INSERT INTO bcc (id, sent_at, due, tries, held) \
             SELECT id, at, at, 0, 0 FROM unnest($1::bigint[], $2::bigint[]) AS t(id, at) ON CONFLICT (id) DO NOTHING",
            &[
                Value::IntArray(sent.iter().map(|(id, _)| *id).collect()),
                Value::IntArray(sent.iter().map(|(_, at)| *at).collect()),
            ],
        )?,
    };
    Ok(())
}

/// Copies that are due, those waiting longest first, at most [`COPIES_PAGE_MAX`]. `after` is [`Copy::place`] of the last
/// one of the page before.
///
/// # Errors
/// The database's.
pub fn due(tx: &mut Tx<'_>, now: i64, after: Option<(i64, i64)>, limit: i64) -> Result<Vec<Copy>> {
    struct Found {
        due: i64,
        tries: i64,
        sent_at: i64,
        digest: Option<[u8; 16]>,
        message: (i64, i64, String, i64, String, Vec<u8>),
    }
    let (after_due, after_id) = after.unwrap_or((i64::MIN, i64::MIN));
    // The page is cut first: without statistics PostgreSQL would hash all messages for it.
    let found = tx.query(
        "SELECT b.due, b.tries, b.sent_at, o.digest, m.id, m.recipient, m.domain, m.flags, m.address, m.slots \
         FROM (SELECT id, due, tries, sent_at FROM bcc WHERE held = 0 AND due <= $1 AND (due, id) > ($2, $3) \
               ORDER BY due, id LIMIT $4) b \
         JOIN message m ON m.id = b.id JOIN outcome o ON o.id = b.id ORDER BY b.due, b.id",
        &binds![now, after_due, after_id, limit.clamp(1, COPIES_PAGE_MAX)],
        |row| {
            Ok::<_, Error>(Found {
                due: row.int(0)?,
                tries: row.int(1)?,
                sent_at: row.int(2)?,
                digest: row.blob_opt(3)?.and_then(|digest| digest.try_into().ok()),
                message: (row.int(4)?, row.int(5)?, row.text(6)?, row.int(7)?, row.text(8)?, row.blob(9)?),
            })
        },
    )?;
    let mut part: Option<Arc<Part>> = None;
    let mut copies = Vec::with_capacity(found.len());
    for Found { due, tries, sent_at, digest, message } in found {
        let (id, recipient, domain, flags, address, slots) = message;
        let part = part_of(tx, id, 0, &mut part)?;
        let past = Past::default();
        let domain = domain.into();
        let message = Message { id, recipient, domain, flags, address, slots, part, past };
        copies.push(Copy { message, digest, sent_at, due, tries });
    }
    Ok(copies)
}

/// How many copies are due now, counted no further than `limit`, and when the first of them became due.
///
/// # Errors
/// The database's.
pub fn due_count(tx: &mut Tx<'_>, now: i64, limit: i64) -> Result<(i64, Option<i64>)> {
    tx.query_one(
        "SELECT count(*), min(due) FROM (SELECT due FROM bcc WHERE held = 0 AND due <= $1 ORDER BY due LIMIT $2) b",
        &binds![now, limit],
        |row| Ok((row.int(0)?, row.int_opt(1)?)),
    )
}

/// The archive has these copies. Answers how many it still owed: the others were taken before.
///
/// # Errors
/// The database's.
pub fn taken(tx: &mut Tx<'_>, ids: &[i64]) -> Result<u64> {
    if ids.is_empty() {
        return Ok(0);
    }
    let sql = format!("DELETE FROM bcc WHERE {}", among(tx, "id", 1));
    Ok(tx.execute(&sql, &binds![ids.to_vec()])?)
}

/// These copies were not taken.
///
/// # Errors
/// The database's.
pub fn untaken(tx: &mut Tx<'_>, copies: &[Untaken]) -> Result<()> {
    tx.execute_many(
        "UPDATE bcc SET tries = tries + $5, due = coalesce($2, due), held = $3, error = $4 WHERE id = $1",
        copies.iter().map(|copy| {
            let error = &copy.error[..copy.error.floor_char_boundary(REPLY_LEN_MAX)];
            binds![copy.id, copy.due, copy.due.is_none(), error, copy.counts]
        }),
    )?;
    Ok(())
}

/// How many copies are owed, of all deliveries or of one.
///
/// # Errors
/// The database's.
pub fn owed(tx: &mut Tx<'_>, delivery: Option<i64>) -> Result<Owed> {
    let (first, last) = delivery.map_or((i64::MIN, i64::MAX), id_range);
    tx.query_one(
        "SELECT count(*), coalesce(CAST(sum(held) AS BIGINT), 0), min(sent_at), \
                max(CASE WHEN held = 0 THEN error END) FROM bcc WHERE id BETWEEN $1 AND $2",
        &binds![first, last],
        |row| {
            let (all, held) = (row.int(0)?, row.int(1)?);
            Ok(Owed { waiting: all - held, held, oldest: row.int_opt(2)?, put_off: row.text_opt(3)? })
        },
    )
}

/// Held copies by message, after `after`.
///
/// # Errors
/// The database's.
pub fn held(tx: &mut Tx<'_>, after: i64, limit: i64) -> Result<Vec<Held>> {
    tx.query(
        "SELECT b.id, m.address, b.sent_at, b.error FROM bcc b JOIN message m ON m.id = b.id \
         WHERE b.held = 1 AND b.id > $1 ORDER BY b.id LIMIT $2",
        &binds![after, limit.clamp(1, COPIES_PAGE_MAX)],
        read_held,
    )
}

fn read_held(row: &Row<'_>) -> Result<Held> {
    let id = row.int(0)?;
    Ok(Held {
        id,
        delivery: delivery_of(id),
        address: row.text(1)?,
        sent_at: row.int(2)?,
        error: row.text_opt(3)?.unwrap_or_default(),
    })
}

/// Held and waiting copies are due now. Answers how many were held.
///
/// # Errors
/// The database's.
pub fn try_again(tx: &mut Tx<'_>, now: i64) -> Result<u64> {
    let held = tx.execute("UPDATE bcc SET held = 0, tries = 0, due = $1 WHERE held = 1", &binds![now])?;
    tx.execute("UPDATE bcc SET due = $1 WHERE held = 0 AND due > $1", &binds![now])?;
    Ok(held)
}

/// The operator gives up these held copies. Answers how many there were.
///
/// # Errors
/// The database's.
pub fn give_up(tx: &mut Tx<'_>, ids: &[i64]) -> Result<u64> {
    let sql = format!("DELETE FROM bcc WHERE held = 1 AND {}", among(tx, "id", 1));
    Ok(tx.execute(&sql, &binds![ids.to_vec()])?)
}
