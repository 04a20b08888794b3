//! The journal: what an analysis found, and what happened to the delivery after.

use store::{Dialect, Tx, binds};
use typology::{Finding, Level};

use crate::types::{DeliveryId, Error, JournalLine, Result};

/// Most lines of one delivery's journal; what comes after is counted by its caller, not kept.
pub(crate) const LINES_MAX: usize = 5_000;

/// Appends lines without a rule.
pub(crate) fn note(tx: &mut Tx<'_>, id: DeliveryId, now_us: i64, level: Level, text: &str) -> Result<()> {
    append(tx, id, now_us, &[Finding::new("", level, text)])
}

/// Appends findings.
pub(crate) fn append(tx: &mut Tx<'_>, id: DeliveryId, now_us: i64, findings: &[Finding]) -> Result<()> {
    // Of two who append at once the second waits, and numbers its lines behind the first one's. SQLite has one writer.
    if tx.dialect() == Dialect::Postgres {
        let lock = "SELECT 1 FROM delivery WHERE id = $1 FOR UPDATE";
        tx.query_opt(lock, &binds![id], |row| row.int(0).map_err(Error::from))?;
    }
    let last: i64 =
        tx.query_one("SELECT coalesce(max(seq), 0) FROM journal WHERE delivery = $1", &binds![id], |row| {
            row.int(0).map_err(Error::from)
        })?;
    let room = LINES_MAX.saturating_sub(usize::try_from(last).unwrap_or(LINES_MAX));
    let rows: Vec<_> = findings
        .iter()
        .take(room)
        .enumerate()
        .map(|(index, finding)| {
            binds![
                id,
                last + 1 + index as i64,
                now_us,
                finding.level.as_str(),
                finding.rule.as_str(),
                finding.text.as_str(),
                finding.part.as_deref(),
                finding.line.map(i64::from),
                finding.column.map(i64::from),
                finding.hint.as_deref()
            ]
            .to_vec()
        })
        .collect();
    tx.execute_many(
        "INSERT INTO journal (delivery, seq, at, level, rule, message, part, line, col, hint) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        rows,
    )?;
    Ok(())
}

/// Empties the journal, when a new analysis begins.
pub(crate) fn clear(tx: &mut Tx<'_>, id: DeliveryId) -> Result<()> {
    tx.execute("DELETE FROM journal WHERE delivery = $1", &binds![id])?;
    Ok(())
}

/// All lines, oldest first.
pub(crate) fn lines(tx: &mut Tx<'_>, id: DeliveryId) -> Result<Vec<JournalLine>> {
    tx.query(
        "SELECT at, level, rule, message, part, line, col, hint FROM journal WHERE delivery = $1 ORDER BY seq",
        &binds![id],
        |row| {
            let level = row.text(1)?;
            let number =
                |index| row.int_opt(index).map(|value| value.and_then(|value| u32::try_from(value).ok()));
            Ok(JournalLine {
                at: row.int(0)?,
                level: Level::parse(&level)
                    .ok_or_else(|| Error::Internal(format!("stored level {level:?}")))?,
                rule: row.text(2)?,
                text: row.text(3)?,
                part: row.text_opt(4)?,
                line: number(5)?,
                column: number(6)?,
                hint: row.text_opt(7)?,
            })
        },
    )
}

/// The findings among the lines: those that a rule said.
pub(crate) fn findings(lines: Vec<JournalLine>) -> Vec<Finding> {
    lines
        .into_iter()
        .filter(|line| !line.rule.is_empty())
        .map(|line| Finding {
            rule: line.rule,
            level: line.level,
            text: line.text,
            part: line.part,
            line: line.line,
            column: line.column,
            hint: line.hint,
            nature: typology::Nature::Plain,
        })
        .collect()
}
