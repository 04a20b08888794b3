//! Runs: confirm, pause, resume, stop, expiry, end. Each is one small row, whatever the size of the delivery.

use store::{Dialect, Row, Tx, binds};

use crate::plan::refuse_confirmed;
use crate::suppress::{numbers, written};
use crate::types::{Control, OTHER_SITE, Priority, Run, RunSpec, SEED_WAVE, TAIL_LANE};
use crate::{Error, Result, RetryPlan};

const COLUMNS: &str = "delivery, control, epoch, priority, pool, start_at, valid_until, retries, retry_period, \
                       retry_later, test_smtp, bcc, signing, seen, services, messages, started_at, ended_at";

/// Confirms: from the commit on, the delivery's parts may be claimed. Call [`crate::Queue::changed`] afterwards.
///
/// # Errors
/// [`Error::AlreadyConfirmed`], [`Error::Empty`], or the database's.
pub fn start(tx: &mut Tx<'_>, spec: &RunSpec, now: i64) -> Result<Run> {
    refuse_confirmed(tx, spec.delivery)?;
    let messages = tx.query_one(
        "SELECT coalesce(CAST(sum(messages) AS BIGINT), 0) FROM part \
         WHERE delivery = $1 AND state = 0 AND wave <> $2",
        &binds![spec.delivery, SEED_WAVE],
        |row| Ok::<_, Error>(row.int(0)?),
    )?;
    if messages == 0 {
        return Err(Error::Empty(spec.delivery));
    }
    tx.execute(
        &format!(
            "INSERT INTO run ({COLUMNS}) VALUES ($1,$2,1,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,NULL)"
        ),
        &binds![
            spec.delivery,
            Control::Running as i64,
            spec.priority as i64,
            &spec.pool,
            spec.start_at,
            spec.valid_until,
            spec.retry.first_day,
            spec.retry.period_us,
            spec.retry.later_us,
            spec.test_smtp,
            spec.bcc,
            &spec.signing,
            spec.seen,
            written(&spec.services),
            messages,
            now
        ],
    )?;
    tx.execute(
        "INSERT INTO tally (delivery, wave, site, node, planned, sent, failed, cancelled, deferred, unknown) \
         SELECT delivery, wave, CASE WHEN lane LIKE $2 THEN $3 ELSE lane END, 0, \
                CAST(sum(messages) AS BIGINT), 0, 0, 0, 0, 0 \
         FROM part WHERE delivery = $1 AND state = 0 \
         GROUP BY delivery, wave, CASE WHEN lane LIKE $2 THEN $3 ELSE lane END",
        &binds![spec.delivery, format!("{TAIL_LANE}%"), OTHER_SITE],
    )?;
    find(tx, spec.delivery)
}

/// The run of a delivery.
///
/// # Errors
/// [`Error::NotConfirmed`], or the database's.
pub fn find(tx: &mut Tx<'_>, delivery: i64) -> Result<Run> {
    tx.query_opt(&format!("SELECT {COLUMNS} FROM run WHERE delivery = $1"), &binds![delivery], read)?
        .ok_or(Error::NotConfirmed(delivery))
}

/// The run for somebody who changes it. On PostgreSQL others who change it wait for the end of this transaction, and so do
/// claims: what was decided by the run's state still holds when it is written. SQLite has one writer.
fn find_locked(tx: &mut Tx<'_>, delivery: i64) -> Result<Run> {
    if tx.dialect() == Dialect::Postgres {
        tx.query_opt("SELECT 1 FROM run WHERE delivery = $1 FOR UPDATE", &binds![delivery], |row| {
            Ok::<_, Error>(row.int(0)?)
        })?;
    }
    find(tx, delivery)
}

/// True while the run sends, in this epoch. On PostgreSQL that stays so until this transaction ends.
pub(crate) fn sends(tx: &mut Tx<'_>, delivery: i64, epoch: i64) -> Result<bool> {
    let lock = if tx.dialect() == Dialect::Postgres { "FOR SHARE" } else { "" };
    let sql = format!("SELECT 1 FROM run WHERE delivery = $1 AND epoch = $2 AND control = $3 {lock}");
    let wanted = binds![delivery, epoch, Control::Running as i64];
    Ok(tx.query_opt(&sql, &wanted, |row| Ok::<_, Error>(row.int(0)?))?.is_some())
}

/// Moves the start of a run that has not begun: its parts' due times count from there. The end of validity stays.
/// False: a part was claimed already, and nothing is changed.
///
/// # Errors
/// [`Error::NotConfirmed`], or the database's.
pub fn move_start(tx: &mut Tx<'_>, delivery: i64, start_at: i64) -> Result<bool> {
    find_locked(tx, delivery)?;
    if has_begun(tx, delivery)? {
        return Ok(false);
    }
    tx.execute(
        "UPDATE run SET start_at = $2, epoch = epoch + 1 WHERE delivery = $1",
        &binds![delivery, start_at],
    )?;
    Ok(true)
}

/// Puts off what a confirmed delivery holds in these parts (by their first ids): nothing of them is due before `until` (UTC
/// microseconds) any more, neither first tries nor retries, and what was claimed is given back as for a hold. Answers whether
/// anything changed; call [`crate::Queue::changed`] then, after the commit. What waits for the winner of a test stays.
///
/// # Errors
/// [`Error::NotConfirmed`], or the database's.
pub fn put_off(tx: &mut Tx<'_>, delivery: i64, parts: Vec<i64>, until: i64) -> Result<bool> {
    let due = until - find_locked(tx, delivery)?.spec.start_at;
    let among = crate::settle::among(tx, "first_id", 1);
    let early = format!("FROM part WHERE {among} AND state < 2 AND due < $2");
    let parts = store::Value::IntArray(parts);
    let by_part = [parts.clone(), due.into()];
    let count = |row: &Row<'_>| Ok::<_, Error>((row.int(0)?, row.int(1)?));
    let (waiting, claimed) = tx.query_one(
        &format!("SELECT count(*), coalesce(sum(CASE WHEN state = 1 THEN 1 ELSE 0 END), 0) {early}"),
        &by_part,
        count,
    )?;
    let inside = crate::settle::among(
        tx,
        "(SELECT p.first_id FROM part p WHERE p.first_id <= retry.id ORDER BY p.first_id DESC LIMIT 1)",
        1,
    );
    let retries = [parts, until.into(), delivery.into()];
    let (tried, taken) = tx.query_one(
        &format!(
            "SELECT count(*), coalesce(sum(CASE WHEN node IS NULL THEN 0 ELSE 1 END), 0) FROM retry \
             WHERE delivery = $3 AND due < $2 AND {inside}"
        ),
        &retries,
        count,
    )?;
    if waiting > 0 {
        tx.execute(&format!("UPDATE part SET due = $2 WHERE {among} AND state < 2 AND due < $2"), &by_part)?;
    }
    if tried > 0 {
        tx.execute(
            &format!("UPDATE retry SET due = $2 WHERE delivery = $3 AND due < $2 AND {inside}"),
            &retries,
        )?;
    }
    if claimed + taken > 0 {
        tx.execute(
            "UPDATE run SET epoch = epoch + 1 WHERE delivery = $1 AND control = $2",
            &binds![delivery, Control::Running as i64],
        )?;
    }
    Ok(waiting + tried > 0)
}

/// Recipients' messages that failed for one of these reasons, by site: seeds are nobody's.
///
/// # Errors
/// The database's.
pub fn failed_because(tx: &mut Tx<'_>, delivery: i64, reasons: &[&str]) -> Result<Vec<(String, i64)>> {
    let (first, last) = crate::id_range(delivery);
    let last = crate::plan::seeds_from(tx, delivery)?.map_or(last, |seeds| seeds - 1);
    // Not sent is the exception, and has an index of its own, which SQLite must be told to take.
    let index = match tx.dialect() {
        store::Dialect::Sqlite => " INDEXED BY outcome_other",
        store::Dialect::Postgres => "",
    };
    let known: Vec<String> = (4..).zip(reasons).map(|(n, _)| format!("${n}")).collect();
    let mut binds = binds![first, last, OTHER_SITE].to_vec();
    binds.extend(reasons.iter().map(|reason| (*reason).into()));
    tx.query(
        &format!(
            "SELECT coalesce(o.site, $3), count(*) FROM outcome o{index} \
             WHERE o.id BETWEEN $1 AND $2 AND o.state <> 1 AND o.state = 2 AND o.reason IN ({}) GROUP BY 1 ORDER BY 1",
            known.join(", ")
        ),
        &binds,
        |row| Ok((row.text(0)?, row.int(1)?)),
    )
}

/// True once a part of the delivery was claimed.
///
/// # Errors
/// The database's.
pub fn has_begun(tx: &mut Tx<'_>, delivery: i64) -> Result<bool> {
    let (first, last) = crate::id_range(delivery);
    let found = tx.query_opt(
        "SELECT 1 FROM part WHERE first_id BETWEEN $1 AND $2 AND stamp IS NOT NULL LIMIT 1",
        &binds![first, last],
        |row| row.int(0),
    )?;
    Ok(found.is_some())
}

/// Sends the rest from another pool. The epoch rises, so that what was claimed is given back and claimed again.
pub(crate) fn set_pool(tx: &mut Tx<'_>, delivery: i64, pool: &str) -> Result<Run> {
    let run = find_locked(tx, delivery)?;
    if run.control.cancels_rest() || run.control.ended() {
        return Err(Error::Refused { delivery, state: run.control.name(), wish: "change its pool" });
    }
    if run.spec.pool != pool {
        tx.execute(
            "UPDATE run SET pool = $2, epoch = epoch + 1 WHERE delivery = $1",
            &binds![delivery, pool],
        )?;
    }
    find(tx, delivery)
}

/// Runs with one of these controls, by delivery.
pub(crate) fn with_control(tx: &mut Tx<'_>, controls: &[Control]) -> Result<Vec<Run>> {
    // Control numbers come from the enum, so they can stand in the text.
    let list: Vec<String> = controls.iter().map(|c| (*c as i64).to_string()).collect();
    tx.query(
        &format!("SELECT {COLUMNS} FROM run WHERE control IN ({}) ORDER BY delivery", list.join(",")),
        &[],
        read,
    )
}

/// A change of control that someone asks for or the engine acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Pause,
    Paused,
    Resume,
    Stop,
    Stopped,
    Expire,
    Finish,
}

impl Change {
    const fn verb(self) -> &'static str {
        match self {
            Self::Pause | Self::Paused => "be paused",
            Self::Resume => "be resumed",
            Self::Stop | Self::Stopped => "be stopped",
            Self::Expire => "expire",
            Self::Finish => "finish",
        }
    }

    /// The control that follows, `None` when the change does not fit.
    const fn from(self, control: Control) -> Option<Control> {
        use Control::{Expired, Finished, Paused, Pausing, Running, Stopped, Stopping};
        match (self, control) {
            (Self::Pause, Running | Pausing) => Some(Pausing),
            (Self::Pause | Self::Paused, Paused) | (Self::Paused, Pausing) => Some(Paused),
            (Self::Resume, Running | Pausing | Paused) => Some(Running),
            (Self::Stop, Running | Pausing | Paused | Stopping) => Some(Stopping),
            (Self::Stop | Self::Stopped, Stopped) | (Self::Stopped, Stopping) => Some(Stopped),
            (Self::Expire, Running | Pausing | Paused) => Some(Expired),
            (Self::Finish, Running | Pausing | Paused) => Some(Finished),
            _ => None,
        }
    }
}

/// Writes a change of control and raises the epoch. Asking for what is already so changes nothing.
pub(crate) fn change(tx: &mut Tx<'_>, delivery: i64, change: Change, now: i64) -> Result<Run> {
    let run = find_locked(tx, delivery)?;
    let Some(next) = change.from(run.control) else {
        return Err(Error::Refused { delivery, state: run.control.name(), wish: change.verb() });
    };
    if next != run.control {
        let ended = (next.ended() || next == Control::Stopping).then_some(now);
        tx.execute(
            "UPDATE run SET control = $2, epoch = epoch + 1, ended_at = coalesce(ended_at, $3) WHERE delivery = $1",
            &binds![delivery, next as i64, ended],
        )?;
    }
    find(tx, delivery)
}

fn read(row: &Row<'_>) -> Result<Run> {
    Ok(Run {
        spec: RunSpec {
            delivery: row.int(0)?,
            priority: Priority::from_row(row.int(3)?)?,
            pool: row.text(4)?,
            start_at: row.int(5)?,
            valid_until: row.int(6)?,
            retry: RetryPlan { first_day: row.int(7)?, period_us: row.int(8)?, later_us: row.int(9)? },
            test_smtp: row.bool(10)?,
            bcc: row.bool(11)?,
            signing: row.text(12)?,
            seen: row.int(13)?,
            services: numbers(row.text_opt(14)?.as_deref())?,
        },
        control: Control::from_row(row.int(1)?)?,
        epoch: row.int(2)?,
        messages: row.int(15)?,
        started_at: row.int(16)?,
        ended_at: row.int_opt(17)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_is_for_good() {
        for change in [Change::Pause, Change::Resume, Change::Expire, Change::Finish] {
            assert_eq!(change.from(Control::Stopped), None, "{change:?}");
            assert_eq!(change.from(Control::Stopping), None, "{change:?}");
        }
        assert_eq!(Change::Stop.from(Control::Paused), Some(Control::Stopping));
        assert_eq!(Change::Stop.from(Control::Finished), None);
        assert_eq!(Change::Resume.from(Control::Paused), Some(Control::Running));
    }
}
