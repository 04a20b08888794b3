//! What the links, the mirror page and the pictures of a confirmed delivery need: its snapshot, and until when they
//! live. Written by `delivery` in the transaction that confirms.

use queue::delivery_of;
use store::{Tx, binds};

use crate::limits::RESOURCE_VALIDITY_US;
use crate::{Error, Result};

/// Opens the resources of a delivery until `until` (UTC microseconds). Calling it again moves the end.
///
/// # Errors
/// The database's.
pub fn open(tx: &mut Tx<'_>, delivery: i64, snapshot: &str, until: i64) -> store::Result<()> {
    tx.execute(
        "INSERT INTO resource (delivery, snapshot, until) VALUES ($1, $2, $3) \
         ON CONFLICT (delivery) DO UPDATE SET snapshot = excluded.snapshot, until = excluded.until",
        &binds![delivery, snapshot, until],
    )?;
    Ok(())
}

/// What stands in the place of the snapshot where messages have several: each has that of its part.
const BY_PART: &str = "";

/// [`open`] for a delivery whose messages do not all say the same (an A/B test): each has the links of its part's
/// snapshot.
///
/// # Errors
/// The database's.
pub fn open_by_part(tx: &mut Tx<'_>, delivery: i64, until: i64) -> store::Result<()> {
    open(tx, delivery, BY_PART, until)
}

/// The contents of a delivery.
pub(crate) struct Contents {
    /// End of the resource validity.
    pub until: i64,
    /// Hash and bytes of each; one, unless there are spans.
    pub contents: Vec<(String, Vec<u8>)>,
    /// Which messages have which; empty: all have the same.
    pub spans: Vec<queue::variants::Span>,
}

/// What the links of a delivery are read from; none: it was not confirmed, or is no longer kept.
pub(crate) fn contents(tx: &mut Tx<'_>, delivery: i64) -> Result<Option<Contents>> {
    let Some((hash, until)) = find(tx, queue::message_id(delivery, 0))? else { return Ok(None) };
    let spans = if hash == BY_PART { queue::variants::spans(tx, delivery)? } else { Vec::new() };
    let mut hashes: Vec<String> = spans.iter().map(|span| span.snapshot.clone()).collect();
    hashes.sort();
    hashes.dedup();
    if hash != BY_PART {
        hashes.push(hash);
    }
    let mut contents = Vec::with_capacity(hashes.len());
    for hash in hashes {
        let bytes = queue::plan::snapshot(tx, &hash)?;
        contents.extend(bytes.map(|bytes| (hash, bytes)));
    }
    Ok((!contents.is_empty()).then_some(Contents { until, contents, spans }))
}

/// End of the resource validity of a delivery; none: it was not confirmed.
///
/// # Errors
/// The database's.
pub fn until(tx: &mut Tx<'_>, delivery: i64) -> Result<Option<i64>> {
    Ok(find(tx, queue::message_id(delivery, 0))?.map(|(_, until)| until))
}

/// Snapshot and end for a message's delivery. A delivery that was confirmed by a version without this table has the
/// default validity.
pub(crate) fn find(tx: &mut Tx<'_>, message: i64) -> Result<Option<(String, i64)>> {
    let delivery = delivery_of(message);
    let kept =
        tx.query_opt("SELECT snapshot, until FROM resource WHERE delivery = $1", &binds![delivery], |row| {
            Ok::<_, Error>((row.text(0)?, row.int(1)?))
        })?;
    if kept.is_some() {
        return Ok(kept);
    }
    let run = match queue::runs::find(tx, delivery) {
        Ok(run) => run,
        Err(queue::Error::NotConfirmed(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let snapshot = queue::plan::snapshot_of(tx, delivery)?;
    Ok(snapshot.map(|snapshot| (snapshot, run.spec.start_at + RESOURCE_VALIDITY_US)))
}
