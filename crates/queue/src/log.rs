//! The message log: one row a recipient, by keyset page. Messages by id first, then who was excluded.

use serde::Serialize;
use store::{Row, Tx, Value, binds};

use crate::limits::LOG_PAGE_MAX;
use crate::{Result, Tls, id_range, plan, runs, secured};

/// Message states of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogState {
    /// Not over.
    Pending,
    /// Taken by the receiver.
    Sent,
    /// Refused for good.
    Failed,
    /// Decided not to send.
    Cancelled,
    /// Never had a message.
    Excluded,
}

impl LogState {
    /// The contract's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Excluded => "excluded",
        }
    }

    /// The state of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Sent, Self::Failed, Self::Cancelled, Self::Excluded]
            .into_iter()
            .find(|state| state.name() == word)
    }

    const fn from_row(state: i64) -> Self {
        match state {
            0 => Self::Pending,
            1 => Self::Sent,
            2 => Self::Failed,
            _ => Self::Cancelled,
        }
    }
}

/// What to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Only this state.
    pub state: Option<LogState>,
    /// Only addresses that contain this (ASCII letters in any case).
    pub address: Option<String>,
    /// Only pending ones that were tried.
    pub deferred: bool,
    /// Seeds' messages instead of recipients'; the log of recipients never shows them.
    pub seeds: bool,
}

/// Where the next page starts: after this row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LogCursor {
    /// True in the excluded part of the log.
    pub excluded: bool,
    /// Message id, or recipient in the excluded part.
    pub after: i64,
}

impl LogCursor {
    /// Its text form for URLs.
    #[must_use]
    pub fn encode(self) -> String {
        format!("{}{}", if self.excluded { 'x' } else { 'm' }, self.after)
    }

    /// Reads [`LogCursor::encode`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let after = text.get(1..)?.parse().ok()?;
        match text.as_bytes().first()? {
            b'm' => Some(Self { excluded: false, after }),
            b'x' => Some(Self { excluded: true, after }),
            _ => None,
        }
    }
}

/// One recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogRow {
    /// The address as written.
    pub address: String,
    /// The recipient's number.
    pub recipient: i64,
    /// State.
    pub state: LogState,
    /// Tries that count.
    pub attempts: i64,
    /// First try (UTC microseconds).
    pub first_try: Option<i64>,
    /// Latest try (UTC microseconds).
    pub last_try: Option<i64>,
    /// The next try (UTC microseconds), while one is waiting.
    pub next_try: Option<i64>,
    /// The receiver's own words.
    pub reply: Option<String>,
    /// Our word for it.
    pub reason: Option<String>,
    /// Receiving site.
    pub site: Option<String>,
    /// Source it went from, or that is wanted again.
    pub source: Option<String>,
    /// How its connection was secured; `None`: in clear, or not sent.
    pub tls: Option<Tls>,
    /// Message number; `None` for the excluded.
    pub message: Option<i64>,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// Rows in order.
    pub rows: Vec<LogRow>,
    /// Where the next page starts; `None`: this was the last.
    pub next: Option<LogCursor>,
}

/// What composing one message again needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRow {
    /// Message number.
    pub id: i64,
    /// The recipient's number.
    pub recipient: i64,
    /// The address as written.
    pub address: String,
    /// Number of the `message::Variant`, and further bits.
    pub flags: i64,
    /// `message::Slots`.
    pub slots: Vec<u8>,
    /// Wave of its part; [`crate::SEED_WAVE`] for a seed's.
    pub wave: i64,
    /// Hash of its snapshot.
    pub snapshot: String,
    /// Time of the stamp, once its part was claimed (UTC microseconds).
    pub stamp: Option<i64>,
    /// Signing keys of the stamp.
    pub signing: Option<String>,
    /// Digest of the bytes that were sent.
    pub digest: Option<Vec<u8>>,
}

const MESSAGE_COLUMNS: &str = "m.address, m.recipient, \
    coalesce(o.state, $3), coalesce(o.attempts, r.attempts, 0), \
    coalesce(o.first_try, r.first_try), coalesce(o.last_try, r.last_try), \
    CASE WHEN o.id IS NULL AND $3 = 0 THEN r.due END, \
    CASE WHEN o.id IS NULL THEN r.reply ELSE o.reply END, \
    CASE WHEN o.id IS NOT NULL THEN o.reason WHEN $3 <> 0 THEN $4 ELSE r.reason END, \
    coalesce(o.site, r.site), m.id, coalesce(o.source, r.source), \
    t.protocol, t.cipher, t.certificate, t.proof";

/// Reads one page of at most `limit` rows.
pub(crate) fn page(
    tx: &mut Tx<'_>,
    delivery: i64,
    filter: &LogFilter,
    cursor: Option<LogCursor>,
    limit: usize,
) -> Result<LogPage> {
    let limit = limit.clamp(1, LOG_PAGE_MAX);
    let mut rows = Vec::new();
    let in_excluded = cursor.is_some_and(|c| c.excluded);
    if !in_excluded && filter.state != Some(LogState::Excluded) {
        messages(tx, delivery, filter, cursor.map(|c| c.after), limit + 1, &mut rows)?;
    }
    let wants_excluded =
        matches!(filter.state, None | Some(LogState::Excluded)) && !filter.deferred && !filter.seeds;
    if rows.len() <= limit && wants_excluded {
        let after = cursor.filter(|c| c.excluded).map(|c| c.after);
        let room = limit + 1 - rows.len();
        excluded(tx, delivery, filter, after, room, &mut rows)?;
    }
    let next = if rows.len() > limit {
        rows.truncate(limit);
        rows.last().map(|row| match row.message {
            Some(id) => LogCursor { excluded: false, after: id },
            None => LogCursor { excluded: true, after: row.recipient },
        })
    } else {
        None
    };
    Ok(LogPage { rows, next })
}

fn messages(
    tx: &mut Tx<'_>,
    delivery: i64,
    filter: &LogFilter,
    after: Option<i64>,
    limit: usize,
    rows: &mut Vec<LogRow>,
) -> Result<()> {
    let Some((first, last)) = shown_ids(tx, delivery, filter.seeds)? else { return Ok(()) };
    // An analysed but unconfirmed delivery has messages too: all pending.
    let control = match runs::find(tx, delivery) {
        Ok(run) => Some(run.control),
        Err(crate::Error::NotConfirmed(_)) => None,
        Err(error) => return Err(error),
    };
    let rest = if control.is_some_and(super::types::Control::cancels_rest) { 3_i64 } else { 0 };
    let why = if control == Some(crate::Control::Expired) { "validity" } else { "stopped" };
    let start = after.map_or(first, |after| after + 1);
    let mut values = binds![start, last, rest, why, limit];
    let mut wheres = String::new();
    // Starting from the small or the exact table where the filter allows, so that a page costs a page.
    let from = match filter.state {
        Some(LogState::Sent) => {
            wheres.push_str(" AND o.state = 1");
            "outcome o JOIN message m ON m.id = o.id LEFT JOIN retry r ON r.id = o.id LEFT JOIN secured t ON t.id = o.tls WHERE o.id"
        }
        Some(LogState::Failed) => {
            wheres.push_str(" AND o.state <> 1 AND o.state = 2");
            "outcome o JOIN message m ON m.id = o.id LEFT JOIN retry r ON r.id = o.id LEFT JOIN secured t ON t.id = o.tls WHERE o.id"
        }
        Some(LogState::Cancelled) if rest == 0 => {
            wheres.push_str(" AND o.state <> 1 AND o.state = 3");
            "outcome o JOIN message m ON m.id = o.id LEFT JOIN retry r ON r.id = o.id LEFT JOIN secured t ON t.id = o.tls WHERE o.id"
        }
        _ if filter.deferred => {
            wheres.push_str(" AND o.id IS NULL AND r.first_try IS NOT NULL");
            "retry r JOIN message m ON m.id = r.id LEFT JOIN outcome o ON o.id = r.id LEFT JOIN secured t ON t.id = o.tls WHERE r.id"
        }
        state => {
            match state {
                Some(LogState::Pending) => wheres.push_str(" AND coalesce(o.state, $3) = 0"),
                Some(LogState::Cancelled) => wheres.push_str(" AND coalesce(o.state, $3) = 3"),
                _ => {}
            }
            "message m LEFT JOIN outcome o ON o.id = m.id LEFT JOIN retry r ON r.id = m.id LEFT JOIN secured t ON t.id = o.tls WHERE m.id"
        }
    };
    let order = from.rsplit(' ').next().unwrap_or("m.id");
    if let Some(part) = &filter.address {
        values.push(Value::Text(like(part)));
        wheres.push_str(" AND lower(m.address) LIKE $6 ESCAPE '!'");
    }
    let sql =
        format!("SELECT {MESSAGE_COLUMNS} FROM {from} BETWEEN $1 AND $2{wheres} ORDER BY {order} LIMIT $5");
    tx.query_each(&sql, &values, |row| {
        rows.push(read_row(row)?);
        Ok::<(), crate::Error>(())
    })
}

/// The ids that a log shows: those of recipients, or those of seeds, which stand behind them. `None`: nothing.
fn shown_ids(tx: &mut Tx<'_>, delivery: i64, seeds: bool) -> Result<Option<(i64, i64)>> {
    let (first, last) = id_range(delivery);
    Ok(match (plan::seeds_from(tx, delivery)?, seeds) {
        (None, false) => Some((first, last)),
        (None, true) => None,
        (Some(from), false) => Some((first, from - 1)),
        (Some(from), true) => Some((from, last)),
    })
}

fn excluded(
    tx: &mut Tx<'_>,
    delivery: i64,
    filter: &LogFilter,
    after: Option<i64>,
    limit: usize,
    rows: &mut Vec<LogRow>,
) -> Result<()> {
    let mut values = binds![delivery, after.unwrap_or(i64::MIN), limit];
    let mut wheres = String::new();
    if let Some(part) = &filter.address {
        values.push(Value::Text(like(part)));
        wheres.push_str(" AND lower(address) LIKE $4 ESCAPE '!'");
    }
    let sql = format!(
        "SELECT address, recipient, reason FROM excluded WHERE delivery = $1 AND recipient > $2{wheres} \
         ORDER BY recipient LIMIT $3"
    );
    tx.query_each(&sql, &values, |row| {
        rows.push(LogRow {
            address: row.text(0)?,
            recipient: row.int(1)?,
            state: LogState::Excluded,
            attempts: 0,
            first_try: None,
            last_try: None,
            next_try: None,
            reply: None,
            reason: row.text_opt(2)?,
            site: None,
            source: None,
            tls: None,
            message: None,
        });
        Ok::<(), crate::Error>(())
    })
}

fn read_row(row: &Row<'_>) -> Result<LogRow> {
    Ok(LogRow {
        address: row.text(0)?,
        recipient: row.int(1)?,
        state: LogState::from_row(row.int(2)?),
        attempts: row.int(3)?,
        first_try: row.int_opt(4)?,
        last_try: row.int_opt(5)?,
        next_try: row.int_opt(6)?,
        reply: row.text_opt(7)?,
        reason: row.text_opt(8)?,
        site: row.text_opt(9)?,
        message: Some(row.int(10)?),
        source: row.text_opt(11)?,
        tls: secured::read(row, 12)?,
    })
}

/// A LIKE pattern that finds `part` anywhere, its own wildcards escaped with '!'.
fn like(part: &str) -> String {
    let mut pattern = String::from("%");
    for c in part.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

const COMPOSE_COLUMNS: &str =
    "m.id, m.recipient, m.address, m.flags, m.slots, p.snapshot, p.stamp, p.signing, o.digest, p.wave";

/// One message by its number.
pub(crate) fn message(tx: &mut Tx<'_>, id: i64) -> Result<Option<MessageRow>> {
    tx.query_opt(
        &format!(
            "SELECT {COMPOSE_COLUMNS} FROM message m LEFT JOIN outcome o ON o.id = m.id \
             JOIN part p ON p.first_id = (SELECT max(first_id) FROM part WHERE first_id <= $1) WHERE m.id = $1"
        ),
        &binds![id],
        |row| {
            Ok(MessageRow {
                id: row.int(0)?,
                recipient: row.int(1)?,
                address: row.text(2)?,
                flags: row.int(3)?,
                slots: row.blob(4)?,
                snapshot: row.text(5)?,
                stamp: row.int_opt(6)?,
                signing: row.text_opt(7)?,
                digest: row.blob_opt(8)?,
                wave: row.int(9)?,
            })
        },
    )
}

/// The number of a recipient's message in a delivery: by the recipient where known, else by the address (a scan).
pub(crate) fn message_of(
    tx: &mut Tx<'_>,
    delivery: i64,
    recipient: Option<i64>,
    address: &str,
) -> Result<Option<i64>> {
    let (first, last) = id_range(delivery);
    if let Some(recipient) = recipient {
        let found = tx.query_opt(
            "SELECT message FROM contact WHERE recipient = $1 AND message BETWEEN $2 AND $3",
            &binds![recipient, first, last],
            |row| Ok::<_, crate::Error>(row.int(0)?),
        )?;
        if found.is_some() {
            return Ok(found);
        }
    }
    tx.query_opt(
        "SELECT id FROM message WHERE id BETWEEN $1 AND $2 AND lower(address) = lower($3) ORDER BY id LIMIT 1",
        &binds![first, last, address],
        |row| Ok(row.int(0)?),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_a_url() {
        for cursor in [LogCursor { excluded: false, after: 77 }, LogCursor { excluded: true, after: 3 }] {
            assert_eq!(LogCursor::parse(&cursor.encode()), Some(cursor));
        }
        assert_eq!(LogCursor::parse("q1"), None);
        assert_eq!(LogCursor::parse(""), None);
        assert_eq!(LogCursor::parse("é"), None);
    }

    #[test]
    fn wildcards_of_the_seeker_are_plain_text() {
        assert_eq!(like("A_b%!"), "%a!_b!%!!%");
    }
}
