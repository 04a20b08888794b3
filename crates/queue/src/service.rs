//! `Queue`: the asynchronous face of the room.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::{Dialect, Lane, Store};
use tokio::sync::{Notify, broadcast};

use crate::claim::{self, Wish};
use crate::limits::{AWAKE_US, EVENTS_WAITING_MAX, FIGURES_AGE_MAX_US, FIGURES_KEPT_MAX, TALLY_SITES_MAX};
use crate::meter::Meter;
use crate::runs::{self, Change};
use crate::settle::{self, Settled};
use crate::suppress::{self, Reach, Recorded, Set};
use crate::types::{
    Claim, Control, Message, OTHER_SITE, Part, Quarantine, Run, RunEvent, RunSpec, Settlement,
};
use crate::{
    Counters, Error, Hold, LaneWaiting, LaneWork, LogCursor, LogFilter, LogPage, MessageRow, Result,
    RunFigures, Suppression, Verification, counters, figures, hold, log, plan, secured, verify,
};

/// The queue of one node. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    node: i64,
    suppressed: Set,
    /// What of the suppressions is in memory; held while runs are listed, so that a list read earlier forgets nothing later.
    reach: tokio::sync::Mutex<Reach>,
    meter: Meter,
    figures: Mutex<HashMap<i64, (i64, Arc<RunFigures>)>>,
    /// Names that the tally uses, per delivery: bounded, see [`TALLY_SITES_MAX`].
    sites: Mutex<HashMap<i64, HashSet<Arc<str>>>>,
    changed: Notify,
    copies: Notify,
    known_tls: secured::Known,
    live: counters::Live,
    waiting: Mutex<Kept>,
    /// The number of the last claim.
    claims: AtomicI64,
    /// When the clock was last looked at (µs); 0: nobody does.
    awake_at: AtomicI64,
    /// Why nothing of a delivery goes out here, as the engine says: its pool has no source on this node, for instance.
    blocked: Mutex<HashMap<i64, String>>,
    events: broadcast::Sender<RunEvent>,
}

/// What waits, and when it was counted.
type Kept = Option<(i64, Arc<Vec<LaneWaiting>>)>;

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("node", &self.inner.node).finish_non_exhaustive()
    }
}

impl Queue {
    /// The queue over a migrated store. `node` tells this node's claims from another's (1 while there is one).
    #[must_use]
    pub fn new(store: Store, node: i64) -> Self {
        let (events, _) = broadcast::channel(EVENTS_WAITING_MAX);
        Self {
            inner: Arc::new(Inner {
                store,
                node,
                suppressed: Set::default(),
                reach: tokio::sync::Mutex::default(),
                meter: Meter::default(),
                figures: Mutex::default(),
                sites: Mutex::default(),
                changed: Notify::new(),
                copies: Notify::new(),
                known_tls: secured::Known::default(),
                live: counters::Live::default(),
                waiting: Mutex::default(),
                claims: AtomicI64::new(0),
                awake_at: AtomicI64::new(0),
                blocked: Mutex::default(),
                events,
            }),
        }
    }

    pub(crate) fn node(&self) -> i64 {
        self.inner.node
    }

    pub(crate) fn known_tls(&self) -> &secured::Known {
        &self.inner.known_tls
    }

    pub(crate) fn live(&self) -> &counters::Live {
        &self.inner.live
    }

    /// What this node has settled since its start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.inner.live.look()
    }

    pub(crate) fn kept_waiting(&self) -> MutexGuard<'_, Kept> {
        self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn forget_waiting(&self) {
        *self.kept_waiting() = None;
    }

    /// Why nothing of this delivery goes out from here, as [`Queue::set_blocked`] was told.
    #[must_use]
    pub fn blocked(&self, delivery: i64) -> Option<String> {
        self.inner.blocked.lock().unwrap_or_else(PoisonError::into_inner).get(&delivery).cloned()
    }

    /// Tells pages why nothing of a running delivery goes out from this node (its pool has no source here); `None`: it
    /// does. The messages stay pending. Kept in memory only: the engine says it again after a start.
    pub fn set_blocked(&self, delivery: i64, reason: Option<String>) {
        let mut blocked = self.inner.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = match reason {
            Some(reason) => blocked.insert(delivery, reason.clone()).is_none_or(|old| old != reason),
            None => blocked.remove(&delivery).is_some(),
        };
        drop(blocked);
        if changed {
            self.lock_figures().remove(&delivery);
            self.forget_waiting();
        }
    }

    /// The store below, for transactions over several rooms.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// After a start: releases what this node had claimed, finishes interrupted pauses and stops (no connection has
    /// survived), and loads the suppressions that can still matter.
    ///
    /// # Errors
    /// The database's.
    pub async fn recover(&self, now: i64) -> Result<()> {
        let node = self.inner.node;
        self.inner
            .store
            .write(Lane::Urgent, move |tx| {
                claim::recover(tx, node)?;
                for run in runs::with_control(tx, &[Control::Pausing, Control::Stopping])? {
                    let change =
                        if run.control == Control::Stopping { Change::Stopped } else { Change::Paused };
                    runs::change(tx, run.spec.delivery, change, now)?;
                }
                Ok::<_, Error>(())
            })
            .await?;
        self.active_runs().await?;
        Ok(())
    }

    /// Tells the engine that runs, parts or controls changed (after a confirm, for instance).
    pub fn changed(&self) {
        self.inner.changed.notify_one();
    }

    /// Waits for [`Queue::changed`]; for the engine, which is the only waiter.
    pub async fn wait_for_change(&self) {
        self.inner.changed.notified().await;
    }

    /// What happens to runs from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<RunEvent> {
        self.inner.events.subscribe()
    }

    /// Runs that may send, or whose pause or stop is being carried out. Whoever got a run from here may ask for it at the gate:
    /// every suppression that its analysis did not see is in memory, also those that another process wrote, or whose caller
    /// went away between the commit and [`Queue::remember`].
    ///
    /// # Errors
    /// The database's.
    pub async fn active_runs(&self) -> Result<Vec<Run>> {
        let active = [Control::Running, Control::Pausing, Control::Paused, Control::Stopping];
        let mut known = self.inner.reach.lock().await;
        let before = *known;
        let (found, missed, reach) = self
            .inner
            .store
            .read(move |tx| {
                let found = runs::with_control(tx, &active)?;
                let (missed, reach) = suppress::missing(tx, &found, before)?;
                Ok::<_, Error>((found, missed, reach))
            })
            .await?;
        let suppressed = &self.inner.suppressed;
        suppressed.add(missed);
        if reach.forgets_after(before) && !suppressed.is_empty() {
            suppressed.keep(reach);
        }
        *known = reach;
        Ok(found)
    }

    /// The run of a delivery.
    ///
    /// # Errors
    /// [`Error::NotConfirmed`], or the database's.
    pub async fn run(&self, delivery: i64) -> Result<Run> {
        self.inner.store.read(move |tx| runs::find(tx, delivery)).await
    }

    /// Confirms in a transaction of its own (delivery confirms in its own transaction with [`runs::start`]).
    ///
    /// # Errors
    /// As [`runs::start`].
    pub async fn start(&self, spec: RunSpec, now: i64) -> Result<Run> {
        let run = self.inner.store.write(Lane::Urgent, move |tx| runs::start(tx, &spec, now)).await?;
        self.announce(&run);
        Ok(run)
    }

    /// Asks for a pause. The engine empties the connections and acknowledges.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::NotConfirmed`], or the database's.
    pub async fn pause(&self, delivery: i64, now: i64) -> Result<Run> {
        self.change(delivery, Change::Pause, now).await
    }

    /// The engine's acknowledgement of a pause.
    ///
    /// # Errors
    /// As [`Queue::pause`].
    pub async fn paused(&self, delivery: i64, now: i64) -> Result<Run> {
        self.change(delivery, Change::Paused, now).await
    }

    /// Sends again.
    ///
    /// # Errors
    /// As [`Queue::pause`].
    pub async fn resume(&self, delivery: i64, now: i64) -> Result<Run> {
        self.change(delivery, Change::Resume, now).await
    }

    /// Writes the stop. From the commit on everything without an outcome counts as cancelled. Use the engine's `stop`,
    /// which also cuts connections and acknowledges.
    ///
    /// # Errors
    /// As [`Queue::pause`].
    pub async fn stop(&self, delivery: i64, now: i64) -> Result<Run> {
        self.change(delivery, Change::Stop, now).await
    }

    /// The engine's acknowledgement of a stop.
    ///
    /// # Errors
    /// As [`Queue::pause`].
    pub async fn stopped(&self, delivery: i64, now: i64) -> Result<Run> {
        self.change(delivery, Change::Stopped, now).await
    }

    /// Ends runs whose validity is over: one small row each.
    ///
    /// # Errors
    /// The database's.
    pub async fn expire(&self, now: i64) -> Result<Vec<Run>> {
        let expired = self
            .inner
            .store
            .write(Lane::Urgent, move |tx| {
                let active = [Control::Running, Control::Pausing, Control::Paused];
                let mut ended = Vec::new();
                for run in runs::with_control(tx, &active)? {
                    if run.spec.valid_until <= now {
                        let over = figures::all_over(tx, run.spec.delivery)?;
                        let change = if over { Change::Finish } else { Change::Expire };
                        match runs::change(tx, run.spec.delivery, change, now) {
                            Ok(run) => ended.push(run),
                            // Somebody stopped it since the list was read.
                            Err(Error::Refused { .. }) => {}
                            Err(error) => return Err(error),
                        }
                    }
                }
                Ok::<_, Error>(ended)
            })
            .await?;
        expired.iter().for_each(|run| self.announce(run));
        Ok(expired)
    }

    /// Marks the run finished when every message has its outcome. Returns whether it has ended.
    ///
    /// # Errors
    /// The database's.
    pub async fn finish_if_over(&self, delivery: i64, now: i64) -> Result<bool> {
        let over = self.inner.store.read(move |tx| figures::all_over(tx, delivery)).await?;
        if over {
            match self.change(delivery, Change::Finish, now).await {
                Ok(_) | Err(Error::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(over)
    }

    /// Puts lanes of a running delivery on hold: what was begun there ends, nothing more begins; its other lanes go on.
    /// Answers how many lanes were not on hold before.
    ///
    /// # Errors
    /// The database's.
    pub async fn hold(&self, delivery: i64, lanes: Vec<Hold>) -> Result<u64> {
        let new = self.inner.store.write(Lane::Urgent, move |tx| hold::set(tx, delivery, &lanes)).await?;
        self.lock_figures().remove(&delivery);
        self.changed();
        Ok(new)
    }

    /// Lifts the hold of one lane, or all of a delivery; answers how many there were.
    ///
    /// # Errors
    /// The database's.
    pub async fn lift(&self, delivery: i64, lane: Option<&str>) -> Result<u64> {
        let lane = lane.map(str::to_owned);
        let lifted =
            self.inner.store.write(Lane::Urgent, move |tx| hold::lift(tx, delivery, lane.as_deref())).await?;
        self.lock_figures().remove(&delivery);
        self.changed();
        Ok(lifted)
    }

    /// The lanes of a delivery that are on hold.
    ///
    /// # Errors
    /// The database's.
    pub async fn holds(&self, delivery: i64) -> Result<Vec<Hold>> {
        self.inner.store.read(move |tx| hold::read(tx, delivery)).await
    }

    async fn change(&self, delivery: i64, change: Change, now: i64) -> Result<Run> {
        let run =
            self.inner.store.write(Lane::Urgent, move |tx| runs::change(tx, delivery, change, now)).await?;
        self.announce(&run);
        Ok(run)
    }

    /// Drops cached figures and tells the subscribers and the engine.
    fn announce(&self, run: &Run) {
        self.lock_figures().remove(&run.spec.delivery);
        if run.control.ended() {
            self.inner.meter.forget(run.spec.delivery);
            self.inner.sites.lock().unwrap_or_else(PoisonError::into_inner).remove(&run.spec.delivery);
            self.set_blocked(run.spec.delivery, None);
        }
        // No subscriber is no error.
        let _ = self.inner.events.send(RunEvent { delivery: run.spec.delivery, control: run.control });
        self.changed();
    }

    /// Lanes of a delivery that hold work.
    ///
    /// # Errors
    /// The database's.
    pub async fn lanes(&self, delivery: i64) -> Result<Vec<LaneWork>> {
        self.inner.store.read(move |tx| claim::lanes(tx, delivery)).await
    }

    /// Says that the clock is looked at, each second. Once it was said, nothing is claimed unless it was said within
    /// [`AWAKE_US`]: after a standstill of the machine somebody judges first what is late. Answers for how long nobody looked
    /// (µs); 0 at first.
    pub fn awake(&self, now: i64) -> i64 {
        match self.inner.awake_at.swap(now, Ordering::AcqRel) {
            0 => 0,
            before => now - before,
        }
    }

    fn is_asleep(&self, now: i64) -> bool {
        let awake_at = self.inner.awake_at.load(Ordering::Acquire);
        awake_at != 0 && now - awake_at > AWAKE_US
    }

    /// Claims up to `limit` due parts of one lane, and loads what remains of each. Nothing when `run` is not what it was: its
    /// epoch is another by now, or it does not send.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim(
        &self,
        run: &Run,
        lane: &str,
        limit: i64,
        now: i64,
    ) -> Result<Vec<(Arc<Part>, Vec<Message>)>> {
        if self.is_asleep(now) {
            return Ok(Vec::new());
        }
        let wish = self.wish(run, lane, limit, now, now - run.spec.start_at);
        self.inner.store.write(Lane::Urgent, move |tx| claim::claim(tx, &wish)).await
    }

    fn wish(&self, run: &Run, lane: &str, limit: i64, now: i64, due_max: i64) -> Wish {
        // The clock's time, so that a process does not use numbers of the one before it; rising where it stands still.
        let next = |last: i64| now.max(last.saturating_add(1));
        let last =
            self.inner.claims.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)));
        Wish {
            delivery: run.spec.delivery,
            epoch: run.epoch,
            lane: lane.to_owned(),
            limit,
            due_max,
            node: self.inner.node,
            number: next(last.unwrap_or_default()),
            now,
            signing: run.spec.signing.clone(),
            bcc: run.spec.bcc,
        }
    }

    /// Makes claimed parts ready again. None of their messages may be on a connection or unsettled. A claim that does not hold
    /// its part any more does nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn release(&self, parts: Vec<Claim>) -> Result<()> {
        self.inner.store.write(Lane::Urgent, move |tx| claim::release(tx, &parts)).await
    }

    /// Makes claimed parts ready again, not due before `until` (UTC microseconds): a row per part, none per message. As
    /// [`Queue::release`].
    ///
    /// # Errors
    /// The database's.
    pub async fn postpone(&self, parts: Vec<Claim>, until: i64) -> Result<()> {
        self.inner.store.write(Lane::Urgent, move |tx| claim::postpone(tx, &parts, until)).await
    }

    /// Makes everything of one delivery that this node holds ready again, when nothing of it is under way.
    ///
    /// # Errors
    /// The database's.
    pub async fn release_delivery(&self, delivery: i64) -> Result<()> {
        let node = self.inner.node;
        self.inner.store.write(Lane::Urgent, move |tx| claim::release_delivery(tx, node, delivery)).await
    }

    /// What of one delivery stands in the database as claimed by this node: an engine that compares it with what it holds
    /// finds claims whose answer was lost.
    ///
    /// # Errors
    /// The database's.
    pub async fn claimed(&self, delivery: i64) -> Result<claim::Claimed> {
        let node = self.inner.node;
        self.inner.store.read(move |tx| claim::claimed(tx, node, delivery)).await
    }

    /// Takes up to `limit` retries of one lane that are due. As [`Queue::claim`], nothing when `run` is not what it was.
    ///
    /// # Errors
    /// The database's.
    pub async fn take_retries(&self, run: &Run, lane: &str, limit: i64, now: i64) -> Result<Vec<Message>> {
        if self.is_asleep(now) {
            return Ok(Vec::new());
        }
        let wish = self.wish(run, lane, limit, now, now);
        self.inner.store.write(Lane::Urgent, move |tx| claim::take_retries(tx, &wish)).await
    }

    /// Gives taken retries back untouched, due at `due` at the earliest. `site`: whose path they wait for, so that
    /// [`Queue::resume_waiting`] finds them. A claim that does not hold its message any more does nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn give_back(&self, taken: Vec<Claim>, due: i64, site: Option<Arc<str>>) -> Result<()> {
        let give_back = move |tx: &mut store::Tx<'_>| claim::give_back(tx, &taken, due, site.as_deref());
        self.inner.store.write(Lane::Urgent, give_back).await
    }

    /// Settles one batch in one transaction. The [`crate::Settler`] does this for the engine.
    ///
    /// # Errors
    /// The database's; the same batch may then be tried again.
    pub async fn settle(
        &self,
        batch: Arc<Vec<Settlement>>,
        done_parts: Vec<i64>,
        quarantine: Arc<dyn Quarantine>,
    ) -> Result<()> {
        let node = self.inner.node;
        let now = batch.iter().filter_map(|s| s.last_try).max().unwrap_or_default();
        let settled: Settled = self
            .inner
            .store
            .write(Lane::Urgent, move |tx| settle::settle(tx, node, &batch, &done_parts, &*quarantine))
            .await?;
        settled.suppressed.into_iter().for_each(|recorded| self.inner.suppressed.add(recorded));
        self.inner.meter.add(&settled.sent, now);
        if settled.copies {
            self.inner.copies.notify_one();
        }
        Ok(())
    }

    /// Makes PostgreSQL's four connections that settle ready for it, all at once; SQLite's writer prepares in no time. Best
    /// effort: without it the first batches are only slower.
    pub(crate) async fn rehearse(&self) {
        let store = &self.inner.store;
        if store.dialect() == Dialect::Sqlite {
            return;
        }
        let once = || store.write(Lane::Urgent, settle::rehearse);
        let done = tokio::join!(once(), once(), once(), once());
        if let Err(error) = done.0.and(done.1).and(done.2).and(done.3) {
            tracing::debug!(%error, "the settling connections could not be made ready");
        }
    }

    /// Waits until a settled message wants a copy in the archive; for the archive, which is the only waiter.
    pub async fn wait_for_copies(&self) {
        self.inner.copies.notified().await;
    }

    /// The name under which the tally counts a site: the same, or `other` beyond the largest number of names.
    #[must_use]
    pub fn tally_site(&self, delivery: i64, site: &Arc<str>) -> Arc<str> {
        let mut sites = self.inner.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sites.entry(delivery).or_default();
        if known.contains(site) {
            Arc::clone(site)
        } else if known.len() < TALLY_SITES_MAX {
            known.insert(Arc::clone(site));
            Arc::clone(site)
        } else {
            OTHER_SITE.into()
        }
    }

    /// Appends suppressions in a transaction of their own. They act at once here.
    ///
    /// # Errors
    /// The database's.
    pub async fn suppress(&self, entries: Vec<Suppression>) -> Result<()> {
        let recorded =
            self.inner.store.write(Lane::Urgent, move |tx| suppress::suppress_in(tx, &entries)).await?;
        self.remember(recorded);
        Ok(())
    }

    /// Lets suppressions act that [`crate::suppress_in`] wrote, once their transaction has committed.
    pub fn remember(&self, recorded: Recorded) {
        self.inner.suppressed.add(recorded);
    }

    /// True when this message must not be sent any more: asked at the gate.
    #[must_use]
    pub fn is_suppressed(&self, message: &Message, run: &RunSpec) -> bool {
        !self.inner.suppressed.is_empty() && self.inner.suppressed.holds(&message.address_key(), run)
    }

    /// Figures of a run, at most a quarter of a second old.
    ///
    /// # Errors
    /// [`Error::NotConfirmed`], or the database's.
    pub async fn figures(&self, delivery: i64, now: i64) -> Result<Arc<RunFigures>> {
        if let Some((at, figures)) = self.lock_figures().get(&delivery)
            && (0..FIGURES_AGE_MAX_US).contains(&(now - at))
        {
            return Ok(Arc::clone(figures));
        }
        self.fresh_figures(delivery, now).await
    }

    /// Figures of a run as they stand in the database now.
    ///
    /// # Errors
    /// As [`Queue::figures`].
    pub async fn fresh_figures(&self, delivery: i64, now: i64) -> Result<Arc<RunFigures>> {
        let mut figures = self.inner.store.read(move |tx| figures::read(tx, delivery, now)).await?;
        for provider in &mut figures.providers {
            provider.per_second = self.inner.meter.per_second(delivery, &provider.provider, now);
        }
        figures.blocked = self.blocked(delivery);
        figures.per_second = figures.providers.iter().map(|p| p.per_second).sum();
        let figures = Arc::new(figures);
        let mut kept = self.lock_figures();
        if kept.len() >= FIGURES_KEPT_MAX {
            kept.clear();
        }
        kept.insert(delivery, (now, Arc::clone(&figures)));
        drop(kept);
        Ok(figures)
    }

    fn lock_figures(&self) -> MutexGuard<'_, HashMap<i64, (i64, Arc<RunFigures>)>> {
        self.inner.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One page of the message log.
    ///
    /// # Errors
    /// The database's.
    pub async fn log(
        &self,
        delivery: i64,
        filter: LogFilter,
        cursor: Option<LogCursor>,
        limit: usize,
    ) -> Result<LogPage> {
        self.inner.store.read(move |tx| log::page(tx, delivery, &filter, cursor, limit)).await
    }

    /// Recounts the rows against the tally.
    ///
    /// # Errors
    /// [`Error::NotConfirmed`], or the database's.
    pub async fn verify(&self, delivery: i64, now: i64) -> Result<Verification> {
        self.inner.store.read(move |tx| verify::verify(tx, delivery, now)).await
    }

    /// What composing one message again needs.
    ///
    /// # Errors
    /// The database's.
    pub async fn message(&self, id: i64) -> Result<Option<MessageRow>> {
        self.inner.store.read(move |tx| log::message(tx, id)).await
    }

    /// The number of a recipient's message. `recipient` is quick; the address alone costs a scan of the delivery.
    ///
    /// # Errors
    /// The database's.
    pub async fn message_of(
        &self,
        delivery: i64,
        recipient: Option<i64>,
        address: &str,
    ) -> Result<Option<i64>> {
        let address = address.to_owned();
        self.inner.store.read(move |tx| log::message_of(tx, delivery, recipient, &address)).await
    }

    /// The bytes of a snapshot.
    ///
    /// # Errors
    /// The database's.
    pub async fn snapshot(&self, hash: &str) -> Result<Option<Vec<u8>>> {
        let hash = hash.to_owned();
        self.inner.store.read(move |tx| plan::snapshot(tx, &hash)).await
    }
}
