//! `mailwright verify`: the rows against the tally.

use serde::Serialize;
use store::Tx;

use crate::{Result, figures, runs};

/// What a recount found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The delivery.
    pub delivery: i64,
    /// True when everything agrees.
    pub agrees: bool,
    /// Messages of the run.
    pub messages: i64,
    /// Counted rows: pending, sent, failed, cancelled.
    pub pending: i64,
    /// Outcome rows `sent`.
    pub sent: i64,
    /// Outcome rows `failed`.
    pub failed: i64,
    /// Outcome rows `cancelled`, and what stop or expiry cancelled.
    pub cancelled: i64,
    /// What differs, in words; empty when everything agrees.
    pub differences: Vec<String>,
}

/// Recounts. Costs a scan of the delivery's rows.
pub(crate) fn verify(tx: &mut Tx<'_>, delivery: i64, now: i64) -> Result<Verification> {
    let run = runs::find(tx, delivery)?;
    let tally = figures::read(tx, delivery, now)?;
    let (rows, seed_rows) = figures::recount(tx, delivery)?;
    let rest = rows.messages - rows.sent - rows.failed - rows.cancelled;
    let cancels = run.control.cancels_rest();
    let (pending, cancelled) = if cancels { (0, rows.cancelled + rest) } else { (rest, rows.cancelled) };
    let mut pairs = vec![
        ("messages", rows.messages, run.messages),
        ("pending", pending, tally.pending),
        ("sent", rows.sent, tally.sent),
        ("failed", rows.failed, tally.failed),
        ("cancelled", cancelled, tally.cancelled),
    ];
    let seeds = tally.seeds;
    let seeds_rest = seed_rows.messages - seed_rows.sent - seed_rows.failed - seed_rows.cancelled;
    let seeds_gone = seed_rows.cancelled + if cancels { seeds_rest } else { 0 };
    pairs.extend([
        ("seeds pending", if cancels { 0 } else { seeds_rest }, seeds.pending),
        ("seeds sent", seed_rows.sent, seeds.sent),
        ("seeds failed", seed_rows.failed, seeds.failed),
        ("seeds cancelled", seeds_gone, seeds.cancelled),
    ]);
    if !cancels {
        pairs.push(("deferred", rows.deferred, tally.deferred));
        pairs.push(("unknown", rows.unknown, tally.unknown));
    }
    let differences: Vec<String> = pairs
        .into_iter()
        .filter(|(_, counted, tallied)| counted != tallied)
        .map(|(name, counted, tallied)| format!("{name}: {counted} rows, {tallied} in the tally"))
        .collect();
    Ok(Verification {
        delivery,
        agrees: differences.is_empty(),
        messages: rows.messages,
        pending,
        sent: rows.sent,
        failed: rows.failed,
        cancelled,
        differences,
    })
}
