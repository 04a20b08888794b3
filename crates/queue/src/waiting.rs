//! What waits, lane by lane, and what operators do to it: drop it, retry it now, send it from another pool.
//!
//! Work on rows goes in steps of a few thousand on the bulk lane, so that settling passes between them whatever waits.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use store::{Dialect, Lane, Tx, Value, binds};

use crate::limits::{AGED_MAX, DROP_STEP_MAX, WAITING_AGE_MAX_US};
use crate::types::{Control, FinalState, Message, Priority, Run, Settlement, Verdict, lane_site};
use crate::{Hold, NoQuarantine, Queue, Result, claim, hold, id_range, runs, settle};

/// The reason of messages that an operator dropped.
pub const DROPPED_REASON: &str = "dropped";

/// What is due again is spread by steps that the path takes in about so long (seconds) …
const RESUME_STEP_S: f64 = 30.0;
/// … and of so many messages at least, so that a slow path with a long line costs few statements.
const RESUME_STEP_MIN: i64 = 100;

/// How often a drop looks whether everything was given back.
const LOOK: Duration = Duration::from_millis(20);

/// Which waiting messages are meant. What is not said is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiters {
    /// Only this delivery's; otherwise every active run's.
    pub delivery: Option<i64>,
    /// Only this lane's: a provider's name, or a tail lane's.
    pub lane: Option<String>,
    /// Only messages for this receiver. Without a lane this reads every waiting message.
    pub receiver: Option<Receiver>,
}

/// A receiver outside the table of providers: the domains that share its mail hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receiver {
    /// Its name as a site: messages that wait for its path, or were answered by it, are meant whatever their domain is.
    pub site: String,
    /// Domains that are known to lead to it (ASCII, lower case).
    pub domains: Vec<String>,
}

/// What a drop did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Dropped {
    /// Messages that are cancelled now, reason [`DROPPED_REASON`].
    pub messages: u64,
    /// Parts and retries that an engine still had in its hands when patience ended: nothing was done to them.
    pub under_way: i64,
}

/// What waits in one lane of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneWaiting {
    /// The delivery.
    pub delivery: i64,
    /// The lane.
    pub lane: String,
    /// The run's rank.
    pub priority: Priority,
    /// The run's pool.
    pub pool: String,
    /// Messages of unclaimed parts: not tried yet (of a part that was given back, those that are over count too).
    pub fresh: i64,
    /// Messages that wait for another try.
    pub retries: i64,
    /// Of both, those whose time has come.
    pub due: i64,
    /// Messages of parts that an engine works on, those of them that are over included.
    pub claimed: i64,
    /// Since when the oldest waits (UTC microseconds): when its part was due, or its first try among the first
    /// [`AGED_MAX`] retries by due time. `None`: nothing waits that was due.
    pub oldest: Option<i64>,
    /// The earliest next try (UTC microseconds).
    pub next_try: Option<i64>,
    /// Why nothing goes out, where somebody said: a hold, a pause, or a pool that no node serves.
    pub reason: Option<String>,
}

impl LaneWaiting {
    /// Messages that wait.
    #[must_use]
    pub fn length(&self) -> i64 {
        self.fresh + self.retries
    }
}

impl Queue {
    /// What waits in each lane of each active run, at most a second old. Costs an index scan of parts and retries.
    ///
    /// # Errors
    /// The database's.
    pub async fn waiting_by_lane(&self, now: i64) -> Result<Arc<Vec<LaneWaiting>>> {
        if let Some((at, found)) = &*self.kept_waiting()
            && (0..WAITING_AGE_MAX_US).contains(&(now - at))
        {
            return Ok(Arc::clone(found));
        }
        let mut found = self.store().read(move |tx| by_lane(tx, now)).await?;
        for lane in &mut found {
            lane.reason = lane.reason.take().or_else(|| self.blocked(lane.delivery));
        }
        let found = Arc::new(found);
        *self.kept_waiting() = Some((now, Arc::clone(&found)));
        Ok(found)
    }

    /// Cancels what waits. Its lanes are put on hold first, so that an engine gives back what it had claimed; they are
    /// lifted again afterwards, unless they had been on hold before. What an engine does not give back within `patience`
    /// is left as it is and counted.
    ///
    /// # Errors
    /// The database's. Then some may be dropped, and the lanes stay on hold until the next drop or a resume.
    pub async fn drop_waiting(&self, which: Waiters, now: i64, patience: Duration) -> Result<Dropped> {
        let mut dropped = Dropped::default();
        let (delivery, lane) = (which.delivery, which.lane.clone());
        let runs = self.store().read(move |tx| runs_of(tx, delivery)).await?;
        for run in runs {
            let id = run.spec.delivery;
            let wanted = lane.clone();
            let mut lanes = self.store().read(move |tx| lanes_of(tx, id)).await?;
            lanes.retain(|name| wanted.as_ref().is_none_or(|wanted| wanted == name));
            if lanes.is_empty() {
                continue;
            }
            let before = self.holds(id).await?;
            let mut new: Vec<Hold> = Vec::new();
            for lane in lanes.iter().filter(|lane| before.iter().all(|hold| hold.lane != **lane)) {
                new.push(Hold { lane: lane.clone(), reason: "an operator drops what waits".into(), at: now });
            }
            self.hold(id, new.clone()).await?;
            dropped.under_way += self.given_back(id, &lanes, patience).await?;
            for lane in &lanes {
                dropped.messages += self.drop_lane(&run, lane, which.receiver.as_ref(), now).await?;
            }
            // An urgent commit: from here on the drop is on disk.
            for hold in new {
                self.lift(id, Some(&hold.lane)).await?;
            }
        }
        self.forget_waiting();
        self.changed();
        Ok(dropped)
    }

    /// Waits until no engine holds anything of these lanes; answers what is still held when patience ends.
    async fn given_back(&self, delivery: i64, lanes: &[String], patience: Duration) -> Result<i64> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let wanted = lanes.to_vec();
            let held = self.store().read(move |tx| held(tx, delivery, &wanted)).await?;
            if held == 0 || tokio::time::Instant::now() >= deadline {
                return Ok(held);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn drop_lane(&self, run: &Run, lane: &str, receiver: Option<&Receiver>, now: i64) -> Result<u64> {
        let (node, delivery) = (self.node(), run.spec.delivery);
        let mut messages = 0;
        for retries in [false, true] {
            let mut after = (i64::MIN, i64::MIN);
            loop {
                let wish = Drop { delivery, lane: lane.into(), receiver: receiver.cloned(), after, now };
                let (dropped, next) = self
                    .store()
                    .write(Lane::Bulk, move |tx| {
                        if retries { drop_retries(tx, node, &wish) } else { drop_parts(tx, node, &wish) }
                    })
                    .await?;
                messages += dropped;
                match next {
                    Some(next) => after = next,
                    None => break,
                }
            }
        }
        Ok(messages)
    }

    /// Makes waiting retries due now; answers how many. What an engine has in its hands is being tried already.
    ///
    /// # Errors
    /// The database's; some may be due then.
    pub async fn retry_now(&self, which: Waiters, now: i64) -> Result<u64> {
        let delivery = which.delivery;
        let runs = self.store().read(move |tx| runs_of(tx, delivery)).await?;
        let mut hurried = 0;
        for run in runs {
            let id = run.spec.delivery;
            for lane in self.store().read(move |tx| lanes_of(tx, id)).await? {
                if which.lane.as_ref().is_some_and(|wanted| *wanted != lane) {
                    continue;
                }
                loop {
                    let (lane, receiver) = (lane.clone(), which.receiver.clone());
                    let step = self
                        .store()
                        .write(Lane::Bulk, move |tx| hurry(tx, id, &lane, receiver.as_ref(), now))
                        .await?;
                    hurried += step;
                    if step == 0 {
                        break;
                    }
                }
            }
        }
        self.forget_waiting();
        self.changed();
        Ok(hurried)
    }

    /// Makes due again what was given back because the path to `site` did not take it, in the order in which it would have
    /// come; answers how many. `per_second`: what the path takes, over which they are spread; `None`: no limit is known.
    ///
    /// # Errors
    /// The database's; some may be due then.
    pub async fn resume_waiting(&self, site: &str, per_second: Option<f64>, now: i64) -> Result<u64> {
        let (mut resumed, mut due) = (0, now);
        let step = match per_second {
            Some(rate) => ((rate * RESUME_STEP_S) as i64).clamp(RESUME_STEP_MIN, DROP_STEP_MAX),
            None => DROP_STEP_MAX,
        };
        loop {
            let site = site.to_owned();
            let moved = self.store().write(Lane::Bulk, move |tx| due_again(tx, &site, due, step)).await?;
            resumed += moved;
            if moved < step.unsigned_abs() {
                break;
            }
            due += per_second.map_or(0, |rate| (step as f64 / rate * 1e6) as i64);
        }
        if resumed > 0 {
            self.forget_waiting();
            self.changed();
        }
        Ok(resumed)
    }

    /// Sends what a run still has to send from another pool. What was claimed is given back and claimed again.
    ///
    /// # Errors
    /// [`crate::Error::NotConfirmed`], [`crate::Error::Refused`] when the run is over, or the database's.
    pub async fn set_pool(&self, delivery: i64, pool: &str) -> Result<Run> {
        let pool = pool.to_owned();
        let run = self.store().write(Lane::Urgent, move |tx| runs::set_pool(tx, delivery, &pool)).await?;
        self.set_blocked(delivery, None);
        self.forget_waiting();
        self.changed();
        Ok(run)
    }

    /// Signing keys, in the wiring's own words, that an unexpired run uses, or a copy for the archive still needs.
    ///
    /// # Errors
    /// The database's.
    pub async fn signing_in_use(&self, now: i64) -> Result<Vec<String>> {
        self.store().read(move |tx| signing_in_use(tx, now)).await
    }
}

fn signing_in_use(tx: &mut Tx<'_>, now: i64) -> Result<Vec<String>> {
    tx.query(
        "SELECT DISTINCT signing FROM run WHERE (control IN ($2, $3, $4, $5) AND valid_until > $1) \
            OR EXISTS (SELECT 1 FROM bcc b WHERE b.id BETWEEN run.delivery * 268435456 \
                                                         AND run.delivery * 268435456 + 268435455) ORDER BY signing",
        &binds![
            now,
            Control::Running as i64,
            Control::Pausing as i64,
            Control::Paused as i64,
            Control::Stopping as i64
        ],
        |row| Ok(row.text(0)?),
    )
}

fn runs_of(tx: &mut Tx<'_>, delivery: Option<i64>) -> Result<Vec<Run>> {
    let active = [Control::Running, Control::Pausing, Control::Paused];
    let mut runs = runs::with_control(tx, &active)?;
    runs.retain(|run| delivery.is_none_or(|wanted| wanted == run.spec.delivery));
    Ok(runs)
}

/// Every lane of a run in which something may wait or be claimed.
fn lanes_of(tx: &mut Tx<'_>, delivery: i64) -> Result<Vec<String>> {
    let (first, last) = id_range(delivery);
    tx.query(
        "SELECT lane FROM part WHERE first_id BETWEEN $1 AND $2 AND state <> 2 \
         UNION SELECT lane FROM retry WHERE id BETWEEN $1 AND $2 ORDER BY 1",
        &binds![first, last],
        |row| Ok(row.text(0)?),
    )
}

/// Parts and retries of these lanes that are claimed.
fn held(tx: &mut Tx<'_>, delivery: i64, lanes: &[String]) -> Result<i64> {
    let (first, last) = id_range(delivery);
    let mut held = 0;
    for lane in lanes {
        held += tx.query_one(
            "SELECT (SELECT count(*) FROM part WHERE state = 1 AND first_id BETWEEN $1 AND $2 AND lane = $3) \
                  + (SELECT count(*) FROM retry WHERE node IS NOT NULL AND id BETWEEN $1 AND $2 AND lane = $3)",
            &binds![first, last, lane],
            |row| Ok::<_, crate::Error>(row.int(0)?),
        )?;
    }
    Ok(held)
}

/// One step of a drop.
struct Drop {
    delivery: i64,
    lane: String,
    receiver: Option<Receiver>,
    /// Keyset: the due time and id of the last row that was looked at.
    after: (i64, i64),
    now: i64,
}

impl Drop {
    fn takes(&self, message: &Message) -> bool {
        self.receiver.as_ref().is_none_or(|one| one.domains.iter().any(|domain| **domain == *message.domain))
    }

    fn settlement(&self, message: &Message) -> Settlement {
        let past = &message.past;
        Settlement {
            id: message.id,
            recipient: message.recipient,
            part: Arc::clone(&message.part),
            verdict: Verdict::Final { state: FinalState::Cancelled, digest: None },
            attempts: past.attempts,
            first_try: past.first_try,
            last_try: past.last_try.or(Some(self.now)),
            site: lane_site(&message.part.lane).into(),
            source: past.source.as_deref().map(Into::into),
            reason: Some(DROPPED_REASON.to_owned()),
            reply: past.reply.clone(),
            nonexistent: None,
            octets: 0,
            tls: None,
        }
    }

    fn settle(&self, tx: &mut Tx<'_>, node: i64, dropped: &[Message], done: &[i64]) -> Result<u64> {
        let batch: Vec<Settlement> = dropped.iter().map(|message| self.settlement(message)).collect();
        settle::settle(tx, node, &batch, done, &NoQuarantine)?;
        Ok(batch.len() as u64)
    }
}

type Step = (u64, Option<(i64, i64)>);

/// What is dropped is locked, so that it cannot be claimed before the drop is written; SQLite has one writer.
fn lock(tx: &Tx<'_>) -> &'static str {
    match tx.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => "FOR UPDATE",
    }
}

/// Drops what remains of the next unclaimed part.
fn drop_parts(tx: &mut Tx<'_>, node: i64, wish: &Drop) -> Result<Step> {
    let sql = format!(
        "SELECT first_id, last_id, delivery, snapshot, wave, lane, coalesce(stamp, 0), coalesce(signing, ''), 0, 0, due \
         FROM part WHERE state = 0 AND delivery = $1 AND lane = $2 AND (due > $3 OR due = $3 AND first_id > $4) \
         ORDER BY due, first_id LIMIT 1 {}",
        lock(tx)
    );
    let part = tx.query_opt(&sql, &binds![wish.delivery, &wish.lane, wish.after.0, wish.after.1], |row| {
        Ok::<_, crate::Error>((claim::read_part(row, 0)?, row.int(10)?))
    })?;
    let Some((part, due)) = part else { return Ok((0, None)) };
    let part = Arc::new(part);
    let next = Some((due, part.first_id));
    let mut waiting = claim::load(tx, &part)?;
    let all = waiting.len();
    waiting.retain(|message| wish.takes(message));
    // A part is done when each of its messages has an outcome or a retry row.
    let done: &[i64] = if waiting.len() == all { &[part.first_id] } else { &[] };
    Ok((wish.settle(tx, node, &waiting, done)?, next))
}

/// Drops the next waiting retries.
fn drop_retries(tx: &mut Tx<'_>, node: i64, wish: &Drop) -> Result<Step> {
    let site = wish.receiver.as_ref().map(|receiver| receiver.site.as_str());
    let sql = format!(
        "SELECT due, id, CASE WHEN site = $6 OR waits = $6 THEN 1 ELSE 0 END FROM retry WHERE node IS NULL AND delivery = $1 AND lane = $2 \
            AND (due > $3 OR due = $3 AND id > $4) ORDER BY due, id LIMIT $5 {}",
        lock(tx)
    );
    let rows: Vec<(i64, i64, bool)> = tx.query(
        &sql,
        &binds![wish.delivery, &wish.lane, wish.after.0, wish.after.1, DROP_STEP_MAX, site],
        |row| Ok::<_, crate::Error>((row.int(0)?, row.int(1)?, row.int(2)? == 1)),
    )?;
    let Some((due, last, _)) = rows.last().copied() else { return Ok((0, None)) };
    let ids: Vec<i64> = rows.iter().map(|(_, id, _)| *id).collect();
    let of_site: HashSet<i64> = rows.iter().filter(|(_, _, fits)| *fits).map(|(_, id, _)| *id).collect();
    let mut messages = claim::load_retries(tx, &ids)?;
    messages.retain(|message| of_site.contains(&message.id) || wish.takes(message));
    Ok((wish.settle(tx, node, &messages, &[])?, Some((due, last))))
}

fn hurry(tx: &mut Tx<'_>, delivery: i64, lane: &str, receiver: Option<&Receiver>, now: i64) -> Result<u64> {
    let mut binds: Vec<Value> = binds![delivery, lane, now, DROP_STEP_MAX].to_vec();
    let mut of_receiver = String::new();
    if let Some(receiver) = receiver {
        binds.push(Value::Text(receiver.site.clone()));
        binds.push(Value::TextArray(receiver.domains.iter().cloned().map(Some).collect()));
        let among = match tx.dialect() {
            Dialect::Sqlite => "IN (SELECT value FROM json_each($6))",
            Dialect::Postgres => "= ANY($6)",
        };
        of_receiver = format!(
            "AND (r.site = $5 OR r.waits = $5 \
               OR EXISTS (SELECT 1 FROM message m WHERE m.id = r.id AND m.domain {among}))"
        );
    }
    let sql = format!(
        "UPDATE retry SET due = $3, waits = NULL WHERE id IN (SELECT r.id FROM retry r WHERE r.node IS NULL \
           AND r.delivery = $1 AND r.lane = $2 AND r.due > $3 {of_receiver} ORDER BY r.due, r.id LIMIT $4)"
    );
    Ok(tx.execute(&sql, &binds)?)
}

/// Makes the next rows that wait for a site due, and theirs again.
fn due_again(tx: &mut Tx<'_>, site: &str, due: i64, limit: i64) -> Result<u64> {
    Ok(tx.execute(
        "UPDATE retry SET due = CASE WHEN due > $2 THEN $2 ELSE due END, waits = NULL \
         WHERE id IN (SELECT id FROM retry WHERE waits = $1 AND node IS NULL ORDER BY due, id LIMIT $3)",
        &binds![site, due, limit],
    )?)
}

fn by_lane(tx: &mut Tx<'_>, now: i64) -> Result<Vec<LaneWaiting>> {
    let mut all = Vec::new();
    for run in runs_of(tx, None)? {
        let mut lanes: Vec<LaneWaiting> = Vec::new();
        let holds = hold::read(tx, run.spec.delivery)?;
        for name in lanes_of(tx, run.spec.delivery)? {
            let reason = holds.iter().find(|hold| hold.lane == name).map(|hold| hold.reason.clone());
            let reason = reason.or_else(|| (run.control != Control::Running).then(|| "paused".to_owned()));
            lanes.push(LaneWaiting {
                delivery: run.spec.delivery,
                lane: name,
                priority: run.spec.priority,
                pool: run.spec.pool.clone(),
                fresh: 0,
                retries: 0,
                due: 0,
                claimed: 0,
                oldest: None,
                next_try: None,
                reason,
            });
        }
        count_parts(tx, &run, now, &mut lanes)?;
        count_retries(tx, run.spec.delivery, now, &mut lanes)?;
        all.extend(lanes);
    }
    Ok(all)
}

fn count_parts(tx: &mut Tx<'_>, run: &Run, now: i64, lanes: &mut [LaneWaiting]) -> Result<()> {
    let (first, last) = id_range(run.spec.delivery);
    tx.query_each(
        "SELECT lane, state, CAST(sum(messages) AS BIGINT), min(due), \
                CAST(sum(CASE WHEN due <= $3 THEN messages ELSE 0 END) AS BIGINT) FROM part \
         WHERE first_id BETWEEN $1 AND $2 AND state <> 2 GROUP BY lane, state",
        &binds![first, last, now.saturating_sub(run.spec.start_at)],
        |row| {
            let (name, messages) = (row.str(0)?, row.int(2)?);
            let Some(lane) = lanes.iter_mut().find(|lane| lane.lane == name) else { return Ok(()) };
            if row.int(1)? == 0 {
                let due = run.spec.start_at.saturating_add(row.int(3)?);
                (lane.fresh, lane.due) = (messages, row.int(4)?);
                lane.next_try = Some(due);
                lane.oldest = (due <= now).then_some(due);
            } else {
                lane.claimed = messages;
            }
            Ok::<_, crate::Error>(())
        },
    )
}

fn count_retries(tx: &mut Tx<'_>, delivery: i64, now: i64, lanes: &mut [LaneWaiting]) -> Result<()> {
    tx.query_each(
        "SELECT lane, count(*), min(due), CAST(sum(CASE WHEN due <= $2 THEN 1 ELSE 0 END) AS BIGINT) FROM retry \
         WHERE node IS NULL AND delivery = $1 GROUP BY lane",
        &binds![delivery, now],
        |row| {
            let name = row.str(0)?;
            let Some(lane) = lanes.iter_mut().find(|lane| lane.lane == name) else { return Ok(()) };
            lane.retries = row.int(1)?;
            lane.due += row.int(3)?;
            let due = row.int(2)?;
            lane.next_try = Some(lane.next_try.map_or(due, |other| other.min(due)));
            Ok::<_, crate::Error>(())
        },
    )?;
    for lane in lanes.iter_mut().filter(|lane| lane.retries > 0) {
        let first = tx.query_one(
            "SELECT min(first_try) FROM (SELECT first_try FROM retry WHERE node IS NULL AND delivery = $1 AND lane = $2 \
                                         ORDER BY due LIMIT $3) s",
            &binds![delivery, &lane.lane, AGED_MAX],
            |row| Ok::<_, crate::Error>(row.int_opt(0)?),
        )?;
        lane.oldest = match (lane.oldest, first) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    Ok(())
}
