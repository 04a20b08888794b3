//! Receivers: an *exchange* is a set of hosts that mail is handed to over the same connections; a *site* is the exchanges
//! that share limits (a provider, mostly). Each exchange has its waiting line.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use routes::SiteRules;
use serde::Serialize;
use tokio::sync::Notify;

use crate::config::{BREAKS_MAX, PATH_REST, PATH_REST_MAX, us};
use crate::fair::FairQueue;
use crate::load::Load;
use crate::world::Host;

/// How mail gets to an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// MX hosts, most preferred first.
    Hosts(Arc<[Host]>),
    /// The configured relay.
    Relay,
    /// The DNS did not answer for this domain.
    Unresolved(Arc<str>),
}

/// A provider or a single receiver, whose exchanges share limits.
#[derive(Debug)]
pub(crate) struct Site {
    pub name: Arc<str>,
    pub limits: Arc<SiteRules>,
    /// A provider of the table: what it says about our source holds for all its exchanges.
    pub known: bool,
    /// Open connections.
    pub open: AtomicUsize,
    pub rest: Mutex<Rest>,
    members: Mutex<Vec<Weak<Exchange>>>,
    turn: AtomicUsize,
}

/// A path that rests, and how its failures went on.
#[derive(Debug, Default, Clone)]
pub(crate) struct Rest {
    pub until_us: i64,
    step_us: i64,
    breaks: u32,
    pub reason: String,
}

/// A waiting line and the connections that empty it.
pub(crate) struct Exchange {
    pub key: Arc<str>,
    pub way: Way,
    pub site: Arc<Site>,
    /// Index of the source that must be used; `None`: any.
    pub source: Option<usize>,
    line: Mutex<FairQueue<Load>>,
    /// Rung when something arrives.
    pub arrived: Notify,
    pub rest: Mutex<Rest>,
    pub sessions: AtomicUsize,
    /// Connections with nothing to do.
    pub idle: AtomicUsize,
}

/// A path as pages show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathFigures {
    /// The site.
    pub site: String,
    /// The exchange: its hosts, or `relay`.
    pub exchange: String,
    /// Open connections.
    pub connections: usize,
    /// Messages that wait in memory.
    pub waiting: usize,
    /// It rests until then (UTC microseconds).
    pub resting_until: Option<i64>,
    /// Why.
    pub reason: String,
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rest {
    /// The path failed as a whole. `named_s`: the receiver named the wait.
    pub(crate) fn fail(&mut self, reason: &str, named_s: Option<u32>, now_us: i64) {
        self.breaks = 0;
        if self.until_us > now_us {
            // Connections opened before the failure report it one after another: it is one failure.
            return;
        }
        self.step_us = (self.step_us * 2).clamp(us(PATH_REST), us(PATH_REST_MAX));
        let rest = named_s.map_or(self.step_us, |seconds| i64::from(seconds) * 1_000_000);
        self.until_us = now_us + rest.max(us(PATH_REST));
        self.reason = reason.to_owned();
    }

    /// A connection broke under a message.
    pub(crate) fn broke(&mut self, reason: &str, now_us: i64) {
        self.breaks += 1;
        if self.breaks >= BREAKS_MAX {
            self.fail(reason, None, now_us);
        }
    }

    /// A receiver answered about a message: the path works.
    pub(crate) fn worked(&mut self) {
        if self.step_us != 0 || self.breaks != 0 {
            *self = Self::default();
        }
    }

    /// True after a failure until the next success: one connection tries.
    pub(crate) fn probing(&self) -> bool {
        self.step_us != 0
    }
}

impl Site {
    pub(crate) fn new(name: &str, limits: Arc<SiteRules>, known: bool) -> Self {
        Self {
            name: name.into(),
            limits,
            known,
            open: AtomicUsize::new(0),
            rest: Mutex::default(),
            members: Mutex::default(),
            turn: AtomicUsize::new(0),
        }
    }

    pub(crate) fn join(&self, exchange: &Arc<Exchange>) {
        let mut members = open(&self.members);
        members.retain(|member| member.strong_count() > 0);
        members.push(Arc::downgrade(exchange));
    }

    /// Its exchanges, each time starting with another one.
    pub(crate) fn members(&self) -> Vec<Arc<Exchange>> {
        let members = open(&self.members);
        let start = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = members.len();
        (0..count).filter_map(|n| members[(start + n) % count].upgrade()).collect()
    }

    /// True when another exchange waits for one of the site's connections.
    pub(crate) fn is_wanted_by_another(&self, me: &Exchange, now_us: i64) -> bool {
        let members = open(&self.members);
        members.len() > 1
            && members.iter().filter_map(Weak::upgrade).any(|other| {
                other.key != me.key && other.waiting() > 0 && other.resting_until(now_us).is_none()
            })
    }
}

impl Exchange {
    pub(crate) fn new(key: Arc<str>, way: Way, site: Arc<Site>, source: Option<usize>) -> Self {
        Self {
            key,
            way,
            site,
            source,
            line: Mutex::default(),
            arrived: Notify::new(),
            rest: Mutex::default(),
            sessions: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
        }
    }

    pub(crate) fn put(self: &Arc<Self>, mut load: Load) {
        load.set_line(self);
        open(&self.line).push(load.rank(), load);
        self.arrived.notify_one();
    }

    pub(crate) fn put_front(self: &Arc<Self>, mut load: Load) {
        load.set_line(self);
        open(&self.line).push_front(load.rank(), load);
        self.arrived.notify_one();
    }

    pub(crate) fn pop(&self) -> Option<Load> {
        open(&self.line).pop()
    }

    pub(crate) fn waiting(&self) -> usize {
        open(&self.line).len()
    }

    pub(crate) fn take_where(&self, wanted: impl FnMut(&Load) -> bool) -> Vec<Load> {
        open(&self.line).take_where(wanted)
    }

    /// Until when neither it nor its site may be spoken to, and why.
    pub(crate) fn resting_until(&self, now_us: i64) -> Option<(i64, String)> {
        let (mine, site) = (open(&self.rest), open(&self.site.rest));
        let later = if mine.until_us >= site.until_us { &*mine } else { &*site };
        (later.until_us > now_us).then(|| (later.until_us, later.reason.clone()))
    }

    pub(crate) fn probing(&self) -> bool {
        open(&self.rest).probing() || open(&self.site.rest).probing()
    }

    /// No connection to any host.
    pub(crate) fn failed(&self, reason: &str, named_s: Option<u32>, now_us: i64) {
        open(&self.rest).fail(reason, named_s, now_us);
    }

    /// The receiver asks us to let the path rest.
    pub(crate) fn suspended(&self, reason: &str, named_s: Option<u32>, now_us: i64) {
        let rest = if self.site.known { &self.site.rest } else { &self.rest };
        open(rest).fail(reason, named_s, now_us);
    }

    pub(crate) fn broke(&self, reason: &str, now_us: i64) {
        open(&self.rest).broke(reason, now_us);
    }

    pub(crate) fn worked(&self) {
        open(&self.rest).worked();
        if self.site.known {
            open(&self.site.rest).worked();
        }
    }

    pub(crate) fn figures(&self, now_us: i64) -> PathFigures {
        let rest = self.resting_until(now_us);
        PathFigures {
            site: self.site.name.to_string(),
            exchange: self.key.to_string(),
            connections: self.sessions.load(Ordering::Relaxed),
            waiting: self.waiting(),
            resting_until: rest.as_ref().map(|(until, _)| *until),
            reason: rest.map(|(_, reason)| reason).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    #[test]
    fn rests_double_to_half_an_hour_and_a_success_forgets_them() {
        let mut rest = Rest::default();
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..7 {
            rest.fail("refused", None, now);
            waits.push((rest.until_us - now) / MINUTE);
            now = rest.until_us;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        rest.worked();
        rest.fail("refused", None, now);
        assert_eq!(rest.until_us, now + MINUTE);
    }

    #[test]
    fn one_failure_reported_by_five_connections_is_one_failure() {
        let mut rest = Rest::default();
        for _ in 0..5 {
            rest.fail("refused", None, 7);
        }
        assert_eq!(rest.until_us, 7 + MINUTE);
    }

    #[test]
    fn a_named_wait_replaces_the_step() {
        let mut rest = Rest::default();
        rest.fail("421 come back in 10 minutes", Some(600), 0);
        assert_eq!(rest.until_us, 10 * MINUTE);
    }

    #[test]
    fn single_breaks_do_not_rest_a_path() {
        let mut rest = Rest::default();
        rest.broke("eof", 0);
        rest.broke("eof", 0);
        rest.worked();
        rest.broke("eof", 0);
        rest.broke("eof", 0);
        assert_eq!(rest.until_us, 0);
        rest.broke("eof", 0);
        assert_eq!(rest.until_us, MINUTE);
    }
}
