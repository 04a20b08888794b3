//! Figures of a run, from the tally: what pages and `status` show. Messages are never counted for them.

use serde::Serialize;
use store::{Row, Tx, binds};

use crate::types::{Control, Run, SEED_WAVE};
use crate::{Result, claim, hold, id_range, plan, runs};

/// The state of a run as people see it (the contract's words).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Confirmed, its start lies ahead.
    Pending,
    /// Messages go out.
    InProgress,
    /// Only retries remain.
    Retrying,
    /// Pause is being carried out.
    Pausing,
    /// Nothing goes out until resumed.
    Paused,
    /// Stop is being carried out.
    Stopping,
    /// Stopped for good.
    Stopped,
    /// Every message has its outcome.
    Finished,
}

impl RunState {
    /// The contract's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Retrying => "retrying",
            Self::Pausing => "pausing",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Finished => "finished",
        }
    }
}

/// One provider's share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProviderFigures {
    /// Site name, or `other` for what analysis did not resolve and was not tried yet.
    pub provider: String,
    /// Not over; includes the deferred.
    pub pending: i64,
    /// Pending and tried.
    pub deferred: i64,
    /// Pending, answer after the dot lost.
    pub unknown: i64,
    /// Taken by the receiver.
    pub sent: i64,
    /// Refused for good.
    pub failed: i64,
    /// Decided not to send.
    pub cancelled: i64,
    /// Sent per second over the last ten seconds, on this node.
    pub per_second: f64,
    /// Accepted, and came back later as an address that does not exist.
    pub bounced: i64,
    /// Called spam by their recipients.
    pub complaints: i64,
    /// On hold: nothing goes there until an operator resumes.
    pub held: bool,
}

/// Seeds' messages, which are in no other figure. Their sum is the number of seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
pub struct SeedFigures {
    /// Not over.
    pub pending: i64,
    /// Taken by the receiver.
    pub sent: i64,
    /// Refused for good.
    pub failed: i64,
    /// Decided not to send.
    pub cancelled: i64,
}

/// The whole run, without its seeds. `messages = pending + sent + failed + cancelled`, always.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunFigures {
    /// The delivery.
    pub delivery: i64,
    /// State for people.
    pub state: RunState,
    /// True when what remained was cancelled because the validity ended.
    pub expired: bool,
    /// All messages of the run.
    pub messages: i64,
    /// Not over; includes `deferred` and `unknown`.
    pub pending: i64,
    /// Taken by the receiver.
    pub sent: i64,
    /// Refused for good.
    pub failed: i64,
    /// Decided not to send: suppressed, stopped, validity.
    pub cancelled: i64,
    /// Pending and tried.
    pub deferred: i64,
    /// Pending, answer after the dot lost.
    pub unknown: i64,
    /// Sent per second over the last ten seconds, on this node.
    pub per_second: f64,
    /// Accepted, and came back later as an address that does not exist.
    pub bounced: i64,
    /// Called spam by their recipients.
    pub complaints: i64,
    /// Seeds, apart.
    pub seeds: SeedFigures,
    /// By provider, most messages first.
    pub providers: Vec<ProviderFigures>,
    /// Why nothing goes out from this node, where something keeps it ([`crate::Queue::set_blocked`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
    /// When it was confirmed (UTC microseconds).
    pub started_at: i64,
    /// When it ended (UTC microseconds).
    pub ended_at: Option<i64>,
}

/// Reads the figures; speeds are filled by the service.
pub(crate) fn read(tx: &mut Tx<'_>, delivery: i64, now: i64) -> Result<RunFigures> {
    let run = runs::find(tx, delivery)?;
    let mut seeds = SeedFigures::default();
    let mut providers = Vec::new();
    tx.query_each(
        "SELECT site, CASE WHEN wave = $2 THEN 1 ELSE 0 END, CAST(sum(planned) AS BIGINT), CAST(sum(sent) AS BIGINT), \
                CAST(sum(failed) AS BIGINT), CAST(sum(cancelled) AS BIGINT), CAST(sum(deferred) AS BIGINT), \
                CAST(sum(unknown) AS BIGINT) \
         FROM tally WHERE delivery = $1 GROUP BY site, CASE WHEN wave = $2 THEN 1 ELSE 0 END",
        &binds![delivery, SEED_WAVE],
        |row| {
            let one = read_site(row)?;
            if row.bool(1)? {
                seeds.add(&one);
            } else {
                providers.push(one);
            }
            Ok::<_, crate::Error>(())
        },
    )?;
    if run.control.cancels_rest() {
        for p in &mut providers {
            p.cancelled += p.pending;
            (p.pending, p.deferred, p.unknown) = (0, 0, 0);
        }
        seeds.cancelled += seeds.pending;
        seeds.pending = 0;
    }
    providers.retain(|p| p.pending + p.sent + p.failed + p.cancelled != 0);
    add_returned(tx, delivery, &mut providers)?;
    for hold in hold::read(tx, delivery)? {
        providers.iter_mut().filter(|p| p.provider == hold.lane).for_each(|p| p.held = true);
    }
    providers.sort_by(|a, b| {
        let total = |p: &ProviderFigures| p.pending + p.sent + p.failed + p.cancelled;
        total(b).cmp(&total(a)).then_with(|| a.provider.cmp(&b.provider))
    });
    let sum = |get: fn(&ProviderFigures) -> i64| providers.iter().map(get).sum::<i64>();
    let pending = sum(|p| p.pending);
    Ok(RunFigures {
        delivery,
        state: state(tx, &run, pending + seeds.pending, now)?,
        expired: run.control == Control::Expired,
        messages: run.messages,
        pending,
        sent: sum(|p| p.sent),
        failed: sum(|p| p.failed),
        cancelled: sum(|p| p.cancelled),
        deferred: sum(|p| p.deferred),
        unknown: sum(|p| p.unknown),
        per_second: 0.0,
        bounced: sum(|p| p.bounced),
        complaints: sum(|p| p.complaints),
        seeds,
        providers,
        blocked: None,
        started_at: run.started_at,
        ended_at: run.ended_at,
    })
}

fn read_site(row: &Row<'_>) -> Result<ProviderFigures> {
    let (planned, sent, failed, cancelled) = (row.int(2)?, row.int(3)?, row.int(4)?, row.int(5)?);
    Ok(ProviderFigures {
        provider: row.text(0)?,
        pending: planned - sent - failed - cancelled,
        deferred: row.int(6)?,
        unknown: row.int(7)?,
        sent,
        failed,
        cancelled,
        per_second: 0.0,
        bounced: 0,
        complaints: 0,
        held: false,
    })
}

impl SeedFigures {
    fn add(&mut self, site: &ProviderFigures) {
        self.pending += site.pending;
        self.sent += site.sent;
        self.failed += site.failed;
        self.cancelled += site.cancelled;
    }
}

/// What came back later, at the sites that took it.
fn add_returned(tx: &mut Tx<'_>, delivery: i64, providers: &mut [ProviderFigures]) -> Result<()> {
    tx.query_each(
        "SELECT site, hard, complaints FROM returned WHERE delivery = $1",
        &binds![delivery],
        |row| {
            let site = row.str(0)?;
            if let Some(p) = providers.iter_mut().find(|p| p.provider == site) {
                (p.bounced, p.complaints) = (row.int(1)?, row.int(2)?);
            }
            Ok(())
        },
    )
}

fn state(tx: &mut Tx<'_>, run: &Run, pending: i64, now: i64) -> Result<RunState> {
    Ok(match run.control {
        Control::Running if pending == 0 => RunState::Finished,
        Control::Running if run.spec.start_at > now => RunState::Pending,
        Control::Running if !claim::parts_open(tx, run.spec.delivery)? => RunState::Retrying,
        Control::Running => RunState::InProgress,
        Control::Pausing => RunState::Pausing,
        Control::Paused => RunState::Paused,
        Control::Stopping => RunState::Stopping,
        Control::Stopped => RunState::Stopped,
        Control::Finished | Control::Expired => RunState::Finished,
    })
}

/// True when every message has its outcome.
pub(crate) fn all_over(tx: &mut Tx<'_>, delivery: i64) -> Result<bool> {
    let open = tx.query_one(
        "SELECT CAST(coalesce(sum(planned - sent - failed - cancelled), 0) AS BIGINT) FROM tally WHERE delivery = $1",
        &binds![delivery],
        |row| Ok::<_, crate::Error>(row.int(0)?),
    )?;
    Ok(open == 0)
}

/// What a recount of the rows says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Recount {
    pub messages: i64,
    pub sent: i64,
    pub failed: i64,
    pub cancelled: i64,
    pub deferred: i64,
    pub unknown: i64,
}

/// Counts rows of recipients, and of seeds: slow, for `verify` only.
pub(crate) fn recount(tx: &mut Tx<'_>, delivery: i64) -> Result<(Recount, Recount)> {
    let (first, last) = id_range(delivery);
    match plan::seeds_from(tx, delivery)? {
        None => Ok((recount_range(tx, first, last)?, Recount::default())),
        Some(seeds) => Ok((recount_range(tx, first, seeds - 1)?, recount_range(tx, seeds, last)?)),
    }
}

fn recount_range(tx: &mut Tx<'_>, first: i64, last: i64) -> Result<Recount> {
    let mut count = Recount {
        messages: tx.query_one(
            "SELECT count(*) FROM message WHERE id BETWEEN $1 AND $2",
            &binds![first, last],
            |row| Ok::<_, crate::Error>(row.int(0)?),
        )?,
        ..Recount::default()
    };
    tx.query_each(
        "SELECT state, count(*) FROM outcome WHERE id BETWEEN $1 AND $2 GROUP BY state",
        &binds![first, last],
        |row| {
            match row.int(0)? {
                1 => count.sent = row.int(1)?,
                2 => count.failed = row.int(1)?,
                _ => count.cancelled = row.int(1)?,
            }
            Ok::<_, crate::Error>(())
        },
    )?;
    tx.query_each(
        "SELECT CASE WHEN first_try IS NULL THEN 0 ELSE 1 END, unknown, count(*) FROM retry \
         WHERE id BETWEEN $1 AND $2 GROUP BY 1, 2",
        &binds![first, last],
        |row| {
            let (tried, unknown, rows) = (row.bool(0)?, row.bool(1)?, row.int(2)?);
            count.deferred += if tried { rows } else { 0 };
            count.unknown += if unknown { rows } else { 0 };
            Ok::<_, crate::Error>(())
        },
    )?;
    Ok(count)
}
