//! The feeder: looks at runs, claims parts and due retries fairly, and takes back what cannot go out now.
//!
//! Claims follow the lines: a lane of a delivery is filled when it runs low, highest priority first and with a turning
//! start among equals, within a bound on memory. What waits for a resting path is given back to the database.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use queue::{Control, Run};

use crate::claimed::{Back, Claims};
use crate::config::{BLOCK, LANE_MESSAGES, PART_HOLD_MAX, PATH_REST, PATH_REST_MAX, TICK, us};
use crate::engine::Shared;
use crate::exchange::{Exchange, Way};
use crate::fill::{Filling, Lane};
use crate::load::{LaneMeter, Load};
use crate::result::Attempt;
use crate::route::{other_way, send_off};
use crate::standing::Standing;

/// How old the list of a run's lanes may be while nothing announced a change.
const LANES_AGE_MAX_US: i64 = 1_000_000;
/// How often resting paths are swept.
const SWEEP_US: i64 = 1_000_000;
/// How often what is claimed on disk is compared with what is in memory …
const COMPARE_US: i64 = 60_000_000;
/// … and how soon after a claim that failed.
const DOUBT_US: i64 = 2_000_000;

/// One run, as the feeder knows it.
#[derive(Default)]
pub(crate) struct Fed {
    pub lanes: HashMap<Arc<str>, Lane>,
    looked_us: i64,
    claims: Claims,
    /// When the claims were last compared with those on disk.
    compared_us: i64,
    /// The database failed in the middle of a claim: it may stand on disk.
    doubtful: bool,
}

pub(crate) struct Feeder {
    pub shared: Arc<Shared>,
    pub runs: HashMap<i64, Fed>,
    /// What has left memory and is not given back yet.
    back: Back,
    turn: usize,
    swept_us: i64,
}

impl Feeder {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, runs: HashMap::new(), back: Back::default(), turn: 0, swept_us: 0 }
    }

    pub(crate) async fn run(mut self) {
        while !self.shared.closing.load(Ordering::Acquire) {
            if let Err(error) = self.tick().await {
                tracing::warn!(%error, "the queue could not be read, trying again");
                tokio::time::sleep(TICK).await;
            }
            let world = &self.shared.world;
            tokio::select! {
                () = self.shared.queue.wait_for_change() => {
                    self.runs.values_mut().for_each(|fed| fed.looked_us = i64::MIN);
                }
                () = self.shared.budget.refill.notified() => {}
                () = world.sleep_until_mono(world.mono_us() + us(TICK)) => {}
            }
        }
    }

    async fn tick(&mut self) -> queue::Result<()> {
        let now = self.shared.world.now_us();
        let runs: Vec<Arc<Run>> = self.shared.queue.active_runs().await?.into_iter().map(Arc::new).collect();
        self.expire(&runs, now).await?;
        self.obey(&runs, now).await?;
        if self.shared.take_lifted() {
            let lanes = self.runs.values_mut().flat_map(|fed| fed.lanes.values_mut());
            lanes.for_each(|lane| lane.rest_until_us = 0);
        }
        if now - self.swept_us >= SWEEP_US || now < self.swept_us {
            self.swept_us = now;
            self.sweep(now);
        }
        let mut running: Vec<&Arc<Run>> = runs
            .iter()
            .filter(|run| run.control == Control::Running)
            .filter(|run| run.spec.start_at <= now && run.spec.valid_until > now)
            .collect();
        if !running.is_empty() {
            self.turn = (self.turn + 1) % running.len();
            running.rotate_left(self.turn);
            running.sort_by_key(|run| std::cmp::Reverse(run.spec.priority));
        }
        // Before new claims: a part that is given back must not be claimed again while that is not known to be done.
        let held = self.give_back().await;
        for run in running.iter().filter(|run| !held.contains(&run.spec.delivery)) {
            self.feed(run, now).await?;
            self.compare(run.spec.delivery, now).await?;
        }
        self.shared.open_all(now);
        Ok(())
    }

    /// Gives back what left memory. While the database is away it is kept; answers the deliveries of which something is left.
    async fn give_back(&mut self) -> HashSet<i64> {
        if let Err(error) = self.back.write(&self.shared).await {
            tracing::warn!(%error, "claims could not be given back, trying again");
        }
        self.back.deliveries()
    }

    /// Validity ends: the gate closes first, so that nothing begins after the row says cancelled.
    async fn expire(&self, runs: &[Arc<Run>], now: i64) -> queue::Result<()> {
        let mut any = false;
        for run in runs.iter().filter(|run| run.spec.valid_until <= now) {
            any |= run.control != Control::Stopping;
            if let Some(gate) = self.shared.gate(run.spec.delivery) {
                gate.close();
            }
        }
        if any {
            self.shared.queue.expire(now).await?;
        }
        Ok(())
    }

    /// Opens and closes gates as the controls say, and acknowledges pauses and stops once nothing is inside.
    async fn obey(&mut self, runs: &[Arc<Run>], now: i64) -> queue::Result<()> {
        for run in runs {
            let gate = self.shared.gate_for(run);
            let older = gate.run().epoch < run.epoch;
            let quiet = if older { gate.close() } else { gate.inside() }.is_empty();
            if older {
                if !quiet {
                    continue;
                }
                // What an earlier epoch claimed is refused at the gate from here on, so it can be claimed again.
                self.forget(run.spec.delivery);
                self.shared.queue.release_delivery(run.spec.delivery).await?;
                gate.refresh(Arc::clone(run), run.control == Control::Running);
            }
            match run.control {
                Control::Pausing if quiet => {
                    self.forget(run.spec.delivery);
                    self.shared.queue.release_delivery(run.spec.delivery).await?;
                    acknowledged(self.shared.queue.paused(run.spec.delivery, now).await)?;
                }
                Control::Stopping if quiet => {
                    self.forget(run.spec.delivery);
                    acknowledged(self.shared.queue.stopped(run.spec.delivery, now).await)?;
                }
                _ => {}
            }
        }
        for (delivery, gate) in self.shared.gates() {
            if !runs.iter().any(|run| run.spec.delivery == delivery) {
                gate.close();
                self.forget(delivery);
                if gate.inside().is_empty() {
                    self.shared.forget_gate(delivery);
                }
            }
        }
        Ok(())
    }

    /// Takes a delivery's messages out of memory.
    fn forget(&mut self, delivery: i64) {
        self.runs.remove(&delivery);
        // All its claims are released with one statement, and may be claimed again before ours would be written.
        self.back.forget(delivery);
        for exchange in self.shared.exchanges() {
            for load in exchange.take_where(|load| load.message().delivery() == delivery) {
                load.finish();
            }
        }
    }

    async fn feed(&mut self, run: &Arc<Run>, now: i64) -> queue::Result<()> {
        let gate = self.shared.gate_for(run);
        if !gate.admits(run.epoch) {
            return Ok(());
        }
        let delivery = run.spec.delivery;
        if !self.has_source(run) {
            return Ok(());
        }
        let fed = self.runs.entry(delivery).or_default();
        if now.saturating_sub(fed.looked_us) >= LANES_AGE_MAX_US || now < fed.looked_us {
            fed.look(&self.shared, delivery, now).await?;
        }
        let Fed { lanes, claims, doubtful, .. } = fed;
        let mut idle = true;
        let mut filling =
            Filling { shared: &self.shared, run, gate: &gate, claims, back: &mut self.back, now };
        for (name, lane) in lanes {
            idle &= lane.is_empty();
            if lane.rest_until_us > now {
                continue;
            }
            if let Err(error) = filling.fill(name, lane).await {
                *doubtful = true;
                return Err(error);
            }
        }
        if idle && gate.inside().is_empty() && self.shared.settler.unsettled() == 0 {
            self.shared.queue.finish_if_over(delivery, now).await?;
        }
        Ok(())
    }

    /// Looks whether something is claimed on disk that nobody has: the answer to a claim was lost, or a task of ours failed.
    async fn compare(&mut self, delivery: i64, now: i64) -> queue::Result<()> {
        let Some(fed) = self.runs.get_mut(&delivery) else { return Ok(()) };
        let wait = if fed.doubtful { DOUBT_US } else { COMPARE_US };
        if (0..wait).contains(&(now - fed.compared_us)) || self.back.deliveries().contains(&delivery) {
            return Ok(());
        }
        let lost = fed.claims.lost(self.shared.queue.claimed(delivery).await?);
        (fed.compared_us, fed.doubtful) = (now, false);
        if !lost.is_empty() {
            let (parts, retries) = (lost.parts.len(), lost.retries.len());
            tracing::warn!(delivery, parts, retries, "claims that nobody holds are given back");
            self.back.take(lost, now);
            // What was given back is looked for at once.
            fed.looked_us = i64::MIN;
        }
        Ok(())
    }

    /// A pool that this node has no source of leaves its messages pending, with the reason shown.
    fn has_source(&self, run: &Run) -> bool {
        let (delivery, pool) = (run.spec.delivery, &run.spec.pool);
        let has = self.shared.standing().has_pool(pool);
        if has != self.shared.queue.blocked(delivery).is_none() {
            let reason = (!has).then(|| format!("this node has no source of the pool \"{pool}\""));
            self.shared.queue.set_blocked(delivery, reason);
        }
        has
    }

    /// Once a second: lets the control of each path look at what was answered, and the breaker open.
    fn tick_paths(&self, now: i64) {
        for path in self.shared.all_paths() {
            if let Some(rest) = path.shaper.tick(now) {
                let because = crate::keep::Because { rule: "breaker", category: "" };
                crate::blame::record(&self.shared, &path, &rest, because, now);
            }
        }
        self.shared.all_sites().iter().for_each(|site| site.tidy_blocks(now));
        self.shared.tidy(now);
    }

    /// Gives back what waits for resting paths, and parks the slow rest of tail parts.
    fn sweep(&mut self, now: i64) {
        self.tick_paths(now);
        let relay = self.shared.config.relay.is_some();
        let exchanges = self.shared.exchanges();
        let standing = self.shared.standing();
        let mut fresh: HashMap<i64, Vec<Stuck>> = HashMap::new();
        for exchange in &exchanges {
            for stuck in self.stuck(&standing, exchange, now) {
                if stuck.load.message().past.retried {
                    let site = Arc::clone(stuck.exchange.site());
                    self.back.retry(stuck.until, Some(site), stuck.load.message().claim());
                    stuck.load.finish();
                } else {
                    fresh.entry(stuck.load.message().part.first_id).or_default().push(stuck);
                }
            }
        }
        for stuck in fresh.into_values() {
            self.settle_stuck(stuck, relay, now);
        }
        if !relay {
            self.park_slow(&exchanges, now);
        }
        self.reask(&exchanges, now);
    }

    /// Takes out of an exchange's line what cannot go out for a while. What another source can carry goes there.
    fn stuck(&self, standing: &Standing, exchange: &Arc<Exchange>, now: i64) -> Vec<Stuck> {
        let mut found = Vec::new();
        if exchange.waiting() == 0 {
            return found;
        }
        let site = &exchange.path.site;
        if site.any_blocked() {
            let blocked = site.blocked_deliveries(now);
            let held = exchange.take_where(|load| blocked.contains_key(&load.message().delivery()));
            for load in Load::wanted(held) {
                let block = blocked.get(&load.message().delivery());
                let until = block.and_then(|block| block.until_us).unwrap_or(now + us(BLOCK));
                let reason = block.map(|block| block.reason.clone()).unwrap_or_default();
                found.push(Stuck { load, exchange: Arc::clone(exchange), until, reason, whole: false });
            }
        }
        let rest = match exchange.rest(now) {
            // A rest without an end is looked at again and again.
            Some((i64::MAX, reason)) => Some((now + us(PATH_REST_MAX), reason)),
            Some(rest) => Some(rest),
            None if exchange.path.is_draining() => {
                Some((now + us(PATH_REST), "the path is drained".to_owned()))
            }
            None => None,
        };
        let Some((until, reason)) = rest.filter(|(until, _)| *until > now + SWEEP_US) else { return found };
        // Out of the line first, so that no connection can have in its hands what is released below.
        for load in Load::wanted(exchange.take_where(|_| true)) {
            match other_way(&self.shared, standing, exchange, &load, now) {
                Some(other) => self.shared.put(&other, load),
                None => {
                    let whole = exchange.path.keeps_waiting();
                    let reason = reason.clone();
                    found.push(Stuck { load, exchange: Arc::clone(exchange), until, reason, whole });
                }
            }
        }
        found
    }

    /// New messages of one part that wait for resting paths: the whole part goes back when all of it is here. The rest of
    /// a tail part, whose other messages went elsewhere, is parked when it has waited long enough.
    fn settle_stuck(&mut self, stuck: Vec<Stuck>, relay: bool, now: i64) {
        let Some(one) = stuck.first() else { return };
        let part = Arc::clone(&one.load.message().part);
        let tail = part.lane.starts_with(queue::TAIL_LANE);
        let silent = stuck.iter().all(|s| !s.exchange.leads_somewhere());
        let all_here = i64::try_from(stuck.len()).is_ok_and(|count| count == part.open());
        if all_here && (relay || silent || !tail) {
            let until = stuck.iter().map(|s| s.until).min().unwrap_or(now);
            if stuck.iter().all(|s| s.whole) {
                // Its source waits for tomorrow while others of the pool go on: this part alone is put off.
                self.back.postpone(until, part.claim());
            } else {
                if let Some(lane) =
                    self.runs.get_mut(&part.delivery).and_then(|fed| fed.lanes.get_mut(&part.lane))
                {
                    lane.rest_until_us = lane.rest_until_us.max(until);
                }
                self.back.part(part.claim());
            }
            stuck.into_iter().for_each(|s| s.load.finish());
            return;
        }
        for s in stuck {
            // A provider's part is split only where some of it went out before its path rested: the rest is parked too, or it
            // would hold up what other sources could carry.
            if now - s.load.since_us() >= us(PART_HOLD_MAX) {
                self.park(s.load, s.until, &s.reason, s.exchange.site());
            } else {
                s.exchange.put_front(s.load);
            }
        }
    }

    /// Messages of tail parts that wait for a slow receiver leave memory, so that their part does not hold others up. They
    /// come back when it is their turn at the receiver's rate, as far as there is one.
    fn park_slow(&mut self, exchanges: &[Arc<Exchange>], now: i64) {
        for exchange in exchanges.iter().filter(|e| e.waiting() > 0 && e.resting_until(now).is_none()) {
            let taken = exchange.take_where(|load| {
                load.message().part.lane.starts_with(queue::TAIL_LANE)
                    && now - load.since_us() >= us(PART_HOLD_MAX)
            });
            let taken = Load::wanted(taken);
            let each_us = match exchange.path.shaper.rate() {
                Some(rate) if !taken.is_empty() => (1_000_000.0 / rate) as i64,
                _ => 0,
            };
            for (place, load) in taken.into_iter().enumerate() {
                let place = i64::try_from(place).unwrap_or(i64::MAX);
                // Steps of a minute, so that a give-back is a few statements.
                let turns = place.saturating_mul(each_us) / us(PATH_REST);
                let due = now + us(PATH_REST) * (1 + turns.min(24 * 60));
                if load.message().past.retried {
                    self.back.retry(due, None, load.message().claim());
                    load.finish();
                } else {
                    self.park(load, due, "the receiver is slow", exchange.site());
                }
            }
        }
    }

    fn park(&self, load: Load, until: i64, reason: &str, site: &Arc<str>) {
        let run = load.gate().run();
        let attempt = Attempt {
            message: load.message(),
            run: &run.spec,
            source: None,
            site,
            now_us: self.shared.world.now_us(),
        };
        let settlement = attempt.parked(until, "unreachable", Some(reason));
        load.finish();
        self.shared.settler.submit(settlement, None, None);
    }

    /// Asks the DNS again for domains that it did not answer for, and the rules for sources.
    fn reask(&self, exchanges: &[Arc<Exchange>], now: i64) {
        for exchange in exchanges.iter().filter(|exchange| !exchange.leads_somewhere()) {
            if let Way::Unresolved(domain) | Way::NoSource(domain) = exchange.way()
                && exchange.resting_until(now).is_none()
            {
                let loads = exchange.take_where(|_| true);
                if !loads.is_empty() {
                    send_off(&self.shared, domain, loads);
                }
            }
        }
    }
}

/// A message whose path rests.
struct Stuck {
    load: Load,
    exchange: Arc<Exchange>,
    until: i64,
    reason: String,
    /// Its path's messages wait for its end, whatever other sources do.
    whole: bool,
}

impl Fed {
    async fn look(&mut self, shared: &Shared, delivery: i64, now: i64) -> queue::Result<()> {
        let found = shared.queue.lanes(delivery).await?;
        self.looked_us = now;
        for lane in self.lanes.values_mut() {
            (lane.part_due_us, lane.retry_due) = (None, None);
        }
        for work in found {
            let lane = self.lanes.entry(work.lane.into()).or_insert_with(|| Lane {
                meter: Arc::new(LaneMeter::new(LANE_MESSAGES / 2)),
                rest_until_us: 0,
                part_due_us: None,
                retry_due: None,
                part_size: 0,
            });
            lane.part_due_us = work.part_due_us;
            lane.retry_due = work.retry_due;
        }
        Ok(())
    }
}

/// An acknowledgement that no longer fits (someone stopped what was pausing) is no failure.
fn acknowledged(done: queue::Result<Run>) -> queue::Result<()> {
    match done {
        Ok(_) | Err(queue::Error::Refused { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
