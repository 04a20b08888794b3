//! Holds: lanes of a run that send nothing until an operator resumes, while its other lanes go on.

use store::{Tx, binds};

use crate::Result;
use crate::types::Control;

/// A lane on hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The lane: a provider's name.
    pub lane: String,
    /// Why, in words.
    pub reason: String,
    /// Since when (UTC microseconds).
    pub at: i64,
}

/// Puts lanes on hold; answers how many were not before. The epoch rises with them: the engine then lets what it has
/// begun end, gives back what it had claimed, and claims anew.
pub(crate) fn set(tx: &mut Tx<'_>, delivery: i64, lanes: &[Hold]) -> Result<u64> {
    let before = read(tx, delivery)?.len();
    tx.execute_many(
        "INSERT INTO hold (delivery, lane, reason, at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (delivery, lane) DO NOTHING",
        lanes.iter().map(|hold| binds![delivery, &hold.lane, &hold.reason, hold.at]),
    )?;
    let new = read(tx, delivery)?.len().saturating_sub(before) as u64;
    if new > 0 {
        tx.execute(
            "UPDATE run SET epoch = epoch + 1 WHERE delivery = $1 AND control = $2",
            &binds![delivery, Control::Running as i64],
        )?;
    }
    Ok(new)
}

/// Lifts the holds of a delivery, or of one lane; answers how many.
pub(crate) fn lift(tx: &mut Tx<'_>, delivery: i64, lane: Option<&str>) -> Result<u64> {
    Ok(match lane {
        None => tx.execute("DELETE FROM hold WHERE delivery = $1", &binds![delivery])?,
        Some(lane) => {
            tx.execute("DELETE FROM hold WHERE delivery = $1 AND lane = $2", &binds![delivery, lane])?
        }
    })
}

pub(crate) fn read(tx: &mut Tx<'_>, delivery: i64) -> Result<Vec<Hold>> {
    tx.query(
        "SELECT lane, reason, at FROM hold WHERE delivery = $1 ORDER BY lane",
        &binds![delivery],
        |row| Ok(Hold { lane: row.text(0)?, reason: row.text(1)?, at: row.int(2)? }),
    )
}
