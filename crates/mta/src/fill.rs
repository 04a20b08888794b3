//! Filling one lane of a delivery: due retries for up to half of it, then parts. What is claimed is in a register from the
//! claim on, and what cannot be composed goes back.

use std::collections::HashMap;
use std::sync::Arc;

use queue::{Message, Part, Run};

use crate::claimed::{Back, Claims};
use crate::config::{
    CLAIM_PARTS_MAX, CLAIMED_BYTES_MAX, LANE_MESSAGES, LANE_PARTS, PATH_REST, RETRIES_MAX, us,
};
use crate::engine::Shared;
use crate::gate::Gate;
use crate::load::{LaneMeter, Load};
use crate::route::send_off;

/// One lane of one delivery, as the feeder knows it.
pub(crate) struct Lane {
    pub meter: Arc<LaneMeter>,
    /// Nothing is claimed before (its path rests).
    pub rest_until_us: i64,
    pub part_due_us: Option<i64>,
    pub retry_due: Option<i64>,
    /// Messages of the last claimed part.
    pub part_size: i64,
}

impl Lane {
    /// Nothing is in memory, and nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.meter.held() == 0 && self.part_due_us.is_none() && self.retry_due.is_none()
    }
}

/// The filling of one delivery's lanes.
pub(crate) struct Filling<'a> {
    pub shared: &'a Arc<Shared>,
    pub run: &'a Arc<Run>,
    pub gate: &'a Arc<Gate>,
    pub claims: &'a mut Claims,
    pub back: &'a mut Back,
    pub now: i64,
}

impl Filling<'_> {
    /// Fills one lane where it runs low.
    pub(crate) async fn fill(&mut self, name: &Arc<str>, lane: &mut Lane) -> queue::Result<()> {
        if lane.meter.held() >= lane.meter.low {
            return Ok(());
        }
        // A lane with nothing in memory may always have something: no delivery is locked out by others' memory.
        if self.shared.budget.bytes() >= CLAIMED_BYTES_MAX && lane.meter.held() > 0 {
            return Ok(());
        }
        if lane.retry_due.is_some_and(|due| due <= self.now) {
            self.take_retries(name, lane).await?;
        }
        while lane.part_due_us.is_some_and(|due| due <= self.now - self.run.spec.start_at)
            && lane.meter.held() < LANE_MESSAGES
        {
            self.claim(name, lane).await?;
        }
        Ok(())
    }

    async fn take_retries(&mut self, name: &Arc<str>, lane: &mut Lane) -> queue::Result<()> {
        let messages = self.shared.queue.take_retries(self.run, name, RETRIES_MAX, self.now).await?;
        self.claims.retries(&messages);
        if i64::try_from(messages.len()).unwrap_or(0) < RETRIES_MAX {
            lane.retry_due = None;
        }
        // Messages of one part stand together, and each part is asked for: it may have a snapshot of its own.
        let mut ready = Vec::with_capacity(messages.len());
        let mut last: Option<(Arc<Part>, bool)> = None;
        for message in messages {
            let known = last.as_ref().filter(|(part, _)| Arc::ptr_eq(part, &message.part));
            let prepared = match known {
                Some((_, prepared)) => *prepared,
                None => self.is_prepared(&message.part).await,
            };
            last = Some((Arc::clone(&message.part), prepared));
            if prepared {
                ready.push(message);
            } else {
                self.back.retry(self.now + us(PATH_REST), None, message.claim());
            }
        }
        self.admit(lane, ready);
        Ok(())
    }

    async fn claim(&mut self, name: &Arc<str>, lane: &mut Lane) -> queue::Result<()> {
        let room = i64::try_from(LANE_MESSAGES.saturating_sub(lane.meter.held())).unwrap_or(0);
        let limit =
            if lane.part_size == 0 { LANE_PARTS } else { (room / lane.part_size).clamp(1, CLAIM_PARTS_MAX) };
        let parts = self.shared.queue.claim(self.run, name, limit, self.now).await?;
        if parts.is_empty() {
            lane.part_due_us = None;
        }
        parts.iter().for_each(|(part, _)| self.claims.part(part));
        for (part, messages) in parts {
            lane.part_size = part.last_id - part.first_id + 1;
            if self.is_prepared(&part).await {
                self.admit(lane, messages);
            } else {
                // The part goes back, and its lane rests.
                lane.rest_until_us = self.now + us(PATH_REST);
                lane.part_due_us = None;
                self.back.part(part.claim());
            }
        }
        Ok(())
    }

    /// Loads what composing needs.
    async fn is_prepared(&self, part: &Arc<Part>) -> bool {
        let Err(error) = self.shared.compose.prepare(part).await else { return true };
        tracing::warn!(delivery = part.delivery, %error, "messages cannot be composed now");
        false
    }

    /// Sends claimed messages off, domain by domain.
    fn admit(&self, lane: &Lane, messages: Vec<Message>) {
        let (shared, run) = (self.shared, self.run);
        let mut by_domain: Vec<(Arc<str>, Vec<Load>)> = Vec::new();
        let mut places: HashMap<Arc<str>, usize> = HashMap::new();
        for message in messages {
            let suppressed = shared.queue.is_suppressed(&message, &run.spec);
            let domain = Arc::clone(&message.domain);
            let (meter, budget) = (Arc::clone(&lane.meter), Arc::clone(&shared.budget));
            let load = Load::new(message, (Arc::clone(self.gate), run.epoch), meter, budget, self.now);
            if suppressed {
                let site: Arc<str> = queue::lane_site(&load.message().part.lane).into();
                shared.settle_suppressed(load, &site);
                continue;
            }
            let place = *places.entry(Arc::clone(&domain)).or_insert_with(|| {
                by_domain.push((domain, Vec::new()));
                by_domain.len() - 1
            });
            by_domain[place].1.push(load);
        }
        for (domain, loads) in by_domain {
            send_off(shared, domain, loads);
        }
    }
}
