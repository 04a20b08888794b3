//! What every part of the engine shares: waiting lines, paths, gates, routes and the few counters.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use queue::{FinalState, Queue, Run, Settler};
use tokio::sync::{Notify, watch};

use crate::compose::Composers;
use crate::config::{Config, EARLY, us};
use crate::connect::{FalseOffers, Means};
use crate::exchange::{Exchange, InForce, Path, Site, Way};
use crate::gate::Gate;
use crate::heard::Heard;
use crate::keep::{Allowance, Memory};
use crate::load::{Budget, Load};
use crate::result::Attempt;
use crate::route::{Lookups, Routes};
use crate::session;
use crate::shape::Shaper;
use crate::shape::shaper::{Limits, WARM_UP};
use crate::standing::{Origin, RELAY_SITE, Standing, plain_rules};
use crate::trace::Traces;
use crate::turns::Turns;
use crate::world::{Compose, World};

/// Exchanges, paths and sites kept before those without work are forgotten.
const KEPT: usize = 10_000;

/// Paths by site and source.
type Paths = HashMap<(Arc<str>, Arc<str>), Arc<Path>>;

pub(crate) struct Shared {
    pub config: Config,
    pub queue: Queue,
    pub settler: Settler,
    pub world: Arc<dyn World>,
    pub compose: Arc<dyn Compose>,
    pub composers: Composers,
    pub budget: Arc<Budget>,
    pub routes: Routes,
    pub lookups: Lookups,
    pub closing: AtomicBool,
    pub memory: Memory,
    pub traces: Traces,
    pub heard: Heard,
    /// Wakes whoever keeps what must outlive the engine.
    pub keep: Notify,
    closing_sender: watch::Sender<bool>,
    standing: RwLock<Arc<Standing>>,
    gates: Mutex<HashMap<i64, Arc<Gate>>>,
    exchanges: Mutex<HashMap<Arc<str>, Arc<Exchange>>>,
    paths: Mutex<Paths>,
    sites: Mutex<HashMap<Arc<str>, Arc<Site>>>,
    false_offers: FalseOffers,
    sessions: AtomicUsize,
    /// Exchanges that wait for one of the node's connections.
    pub turns: Turns,
    drained: AtomicBool,
    leaving_behind: AtomicBool,
    /// Rests were lifted: lanes that wait for them are looked at again.
    lifted: AtomicBool,
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        queue: Queue,
        settler: Settler,
        world: Arc<dyn World>,
        compose: Arc<dyn Compose>,
    ) -> std::io::Result<Self> {
        let composers = Composers::start(config.compose_threads, &compose)?;
        let connections_max = within_descriptors(config.connections_max);
        let config = Config { connections_max, ..config };
        let rules = match &config.routes {
            Some(routes) => routes.rules(),
            None => plain_rules(&config),
        };
        let standing = RwLock::new(Arc::new(Standing::new(&config, rules, None)));
        Ok(Self {
            config,
            queue,
            settler,
            world,
            compose,
            composers,
            budget: Arc::default(),
            routes: Routes::default(),
            lookups: Lookups::default(),
            closing: AtomicBool::new(false),
            memory: Memory::default(),
            traces: Traces::default(),
            heard: Heard::default(),
            keep: Notify::new(),
            closing_sender: watch::channel(false).0,
            standing,
            gates: Mutex::default(),
            exchanges: Mutex::default(),
            paths: Mutex::default(),
            sites: Mutex::default(),
            false_offers: FalseOffers::default(),
            sessions: AtomicUsize::new(0),
            turns: Turns::new(|exchange| &exchange.places.node),
            drained: AtomicBool::new(false),
            leaving_behind: AtomicBool::new(false),
            lifted: AtomicBool::new(false),
        })
    }

    pub(crate) fn closing_signal(&self) -> watch::Receiver<bool> {
        self.closing_sender.subscribe()
    }

    /// No new transaction from here on; connections finish what they began.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.closing_sender.send_replace(true);
        self.budget.refill.notify_one();
    }

    /// The time for draining is over: what is not past its dot is given up, and for what is a retry is written down.
    pub(crate) fn leave_behind(&self) {
        self.leaving_behind.store(true, Ordering::Release);
        self.gates().iter().for_each(|(_, gate)| gate.cut());
    }

    pub(crate) fn is_leaving_behind(&self) -> bool {
        self.leaving_behind.load(Ordering::Acquire)
    }

    /// No connection works any more: what is kept is written for the last time.
    pub(crate) fn drained(&self) {
        self.drained.store(true, Ordering::Release);
        self.keep.notify_one();
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Acquire)
    }

    pub(crate) fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Acquire)
    }

    pub(crate) fn standing(&self) -> Arc<Standing> {
        Arc::clone(&self.standing.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other rules in force, at once and on all paths.
    pub(crate) fn adopt(&self, rules: Arc<routes::Rules>) {
        let before = self.standing();
        let standing = Arc::new(Standing::new(&self.config, rules, Some(&before)));
        *self.standing.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&standing);
        for site in open(&self.sites).values() {
            let rules = standing.rules_from(&site.name, "").0;
            site.adopt(standing.knows(&site.name), &rules);
        }
        for path in self.all_paths() {
            let used = standing.origins.iter().any(|origin| origin.tag == path.source.tag);
            path.gone.store(!used && !path.source.name.is_empty(), Ordering::Release);
            let in_force = self.in_force(&standing, &path.site, &path.source);
            let (_, bounded) = standing.rules_from(&path.site.name, &path.source.name);
            path.shaper.adopt(&in_force.rules, bounded, Arc::clone(&in_force.limits));
            path.set_in_force(in_force);
            self.allow(&standing, &path);
        }
        // What found no source may find one now.
        self.exchanges().iter().filter(|exchange| !exchange.leads_somewhere()).for_each(|e| e.lift());
        self.look_again();
    }

    /// Something that rested may go on before its time: what waits for it is looked at now.
    pub(crate) fn look_again(&self) {
        self.lifted.store(true, Ordering::Release);
        self.budget.refill.notify_one();
    }

    /// True once after [`Shared::look_again`].
    pub(crate) fn take_lifted(&self) -> bool {
        self.lifted.swap(false, Ordering::AcqRel)
    }

    /// What holds on a path. Rates that count over all sources are those of a path that the site has already.
    fn in_force(&self, standing: &Standing, site: &Site, origin: &Origin) -> InForce {
        let (rules, bounded) = standing.rules_from(&site.name, &origin.name);
        let generation = standing.rules.generation;
        let of_site = || {
            let paths = site.paths();
            let held = paths.iter().map(|path| path.in_force());
            held.filter(|held| held.generation == generation && held.rules.shared)
                .map(|held| held.limits)
                .next()
        };
        let limits = if rules.shared { of_site() } else { None };
        let limits = limits.unwrap_or_else(|| Arc::new(Limits::of(&rules, bounded)));
        InForce { rules, limits, generation }
    }

    pub(crate) fn gate(&self, delivery: i64) -> Option<Arc<Gate>> {
        open(&self.gates).get(&delivery).cloned()
    }

    /// The gate of a run; a new one is open when the run is running.
    pub(crate) fn gate_for(&self, run: &Arc<Run>) -> Arc<Gate> {
        let mut gates = open(&self.gates);
        let gate = gates.entry(run.spec.delivery).or_insert_with(|| {
            let gate = Gate::new(Arc::clone(run));
            if run.control != queue::Control::Running {
                gate.close();
            }
            Arc::new(gate)
        });
        Arc::clone(gate)
    }

    pub(crate) fn gates(&self) -> Vec<(i64, Arc<Gate>)> {
        open(&self.gates).iter().map(|(delivery, gate)| (*delivery, Arc::clone(gate))).collect()
    }

    pub(crate) fn forget_gate(&self, delivery: i64) {
        open(&self.gates).remove(&delivery);
    }

    pub(crate) fn means(&self) -> Means<'_> {
        Means {
            world: &*self.world,
            relay: self.config.relay.as_ref(),
            port: self.config.port,
            false_offers: &self.false_offers,
            closing: &self.closing,
            trace: Mutex::new(None),
        }
    }

    /// The site of a way, made when new.
    pub(crate) fn site(&self, standing: &Standing, way: &Way, domain: &str) -> Arc<Site> {
        let found = standing.site(way, domain);
        let mut sites = open(&self.sites);
        if let Some(site) = sites.get(found.name.as_str()) {
            return Arc::clone(site);
        }
        let site = Arc::new(Site::new(&found.name, found.known, &found.rules));
        site.secure_only.store(self.memory.demands_tls(&found.name), Ordering::Release);
        sites.insert(Arc::clone(&site.name), Arc::clone(&site));
        site
    }

    /// The path from a source to a site, made when new.
    fn path(&self, standing: &Standing, site: &Arc<Site>, origin: &Arc<Origin>) -> Arc<Path> {
        let key = (Arc::clone(&site.name), Arc::clone(&origin.tag));
        let mut paths = open(&self.paths);
        if let Some(path) = paths.get(&key) {
            return Arc::clone(path);
        }
        let in_force = self.in_force(standing, site, origin);
        let (_, bounded) = standing.rules_from(&site.name, &origin.name);
        let learned = self.memory.learned(&origin.name, &site.name);
        let shaper = Shaper::new(&in_force.rules, bounded, Arc::clone(&in_force.limits), learned);
        let path = Arc::new(Path::new(Arc::clone(origin), Arc::clone(site), shaper, in_force));
        site.join(&path);
        self.allow(standing, &path);
        self.memory.judge(&path, self.world.now_us());
        paths.insert(key, Arc::clone(&path));
        path
    }

    /// Tells a path what its warm-up allows today. The same plan on the same day is not told again: messages under way are in
    /// no total yet.
    pub(crate) fn allow(&self, standing: &Standing, path: &Path) {
        let (source, site) = (&path.source.name, &path.site.name);
        path.keeps.store(standing.overflow_waits(source, site), Ordering::Release);
        let allowance = match standing.warm_up(source, site) {
            None => Allowance { left: None, of: -1, ends_us: i64::MAX },
            Some(plan) => self.memory.allowance(plan, path, self.world.now_us()),
        };
        if !path.allows_anew(allowance.of, allowance.ends_us) {
            return;
        }
        path.shaper.allow(allowance.left, allowance.ends_us);
        if path.warm_rest.swap(false, Ordering::AcqRel) {
            path.shaper.release(WARM_UP);
        }
    }

    /// The exchange of a way from a source, made when new.
    pub(crate) fn exchange(
        &self,
        standing: &Standing,
        way: &Way,
        site: &Arc<Site>,
        origin: &Arc<Origin>,
    ) -> Arc<Exchange> {
        let key = exchange_key(site, way, origin);
        let known = open(&self.exchanges).get(key.as_str()).cloned();
        if let Some(exchange) = known {
            exchange.renew(way);
            return exchange;
        }
        let path = self.path(standing, site, origin);
        let mut exchanges = open(&self.exchanges);
        let made = exchanges.entry(key.as_str().into()).or_insert_with(|| {
            let exchange = Arc::new(Exchange::new(way.clone(), Arc::clone(&path)));
            path.join(&exchange);
            exchange
        });
        Arc::clone(made)
    }

    /// The exchange of a way from a source, if there is one.
    pub(crate) fn exchange_there_is(&self, site: &Site, way: &Way, origin: &Origin) -> Option<Arc<Exchange>> {
        open(&self.exchanges).get(exchange_key(site, way, origin).as_str()).cloned()
    }

    pub(crate) fn exchanges(&self) -> Vec<Arc<Exchange>> {
        open(&self.exchanges).values().cloned().collect()
    }

    pub(crate) fn all_paths(&self) -> Vec<Arc<Path>> {
        open(&self.paths).values().cloned().collect()
    }

    pub(crate) fn all_sites(&self) -> Vec<Arc<Site>> {
        open(&self.sites).values().cloned().collect()
    }

    /// Forgets exchanges, paths and sites that nothing depends on, where there are many.
    pub(crate) fn tidy(&self, now: i64) {
        let mut exchanges = open(&self.exchanges);
        if exchanges.len() > KEPT {
            // Nobody else holds it, so nobody can put anything in its line.
            exchanges
                .retain(|_, e| Arc::strong_count(e) > 1 || e.waiting() > 0 || e.resting_until(now).is_some());
        }
        drop(exchanges);
        let mut paths = open(&self.paths);
        if paths.len() > KEPT {
            paths.retain(|_, path| {
                Arc::strong_count(path) > 1 || !path.shaper.is_plain(now) || path.unwritten().0 > 0
            });
        }
        drop(paths);
        let mut sites = open(&self.sites);
        if sites.len() > KEPT {
            sites.retain(|_, site| Arc::strong_count(site) > 1 || site.any_blocked());
        }
    }

    /// Judges a reply by the rules of its site. What a relay says is no provider's word.
    pub(crate) fn judge(&self, site: &str, reply: &smtp::Reply, stage: smtp::Stage) -> smtp::Verdict {
        let site = if site == RELAY_SITE { "" } else { site };
        self.config.replies.classify_for(site, reply, stage)
    }

    /// Into the line, and a connection where one is missing.
    pub(crate) fn put(self: &Arc<Self>, exchange: &Arc<Exchange>, load: Load) {
        exchange.put(load);
        self.open_connections(exchange, self.world.now_us());
    }

    /// Lets a waiting line have the connections that it deserves, when its turn comes.
    pub(crate) fn open_connections(self: &Arc<Self>, exchange: &Arc<Exchange>, now: i64) {
        if self.wants_connection(exchange, now) {
            exchange.path.turns.join(exchange);
            self.offer(&exchange.path, now);
        }
    }

    /// Lets everybody who waits have what is to be had: all join their lines before the first is served.
    pub(crate) fn open_all(self: &Arc<Self>, now: i64) {
        for exchange in self.exchanges() {
            if exchange.waiting() > 0 && self.wants_connection(&exchange, now) {
                exchange.path.turns.join(&exchange);
            }
        }
        let mut paths = self.all_paths();
        paths.retain(|path| !path.turns.is_empty());
        paths.sort_by_key(|path| std::cmp::Reverse(path.turns.top()));
        paths.iter().for_each(|path| self.offer(path, now));
        for site in self.all_sites().iter().filter(|site| !site.turns.is_empty()) {
            self.offer_of_site(site, now);
        }
        self.offer_of_node(now);
    }

    /// Gives a path's free connections to whoever's turn it is there.
    fn offer(self: &Arc<Self>, path: &Arc<Path>, now: i64) {
        // Counted, not "while": a runtime that shuts down drops what it is given at once, and would be given more for ever.
        for _ in 0..path.shaper.connections_limit() {
            if path.turns.is_empty() || path.shaper.is_full() {
                return;
            }
            let mut next = std::iter::from_fn(|| path.turns.next());
            let Some(exchange) = next.find(|exchange| self.wants_connection(exchange, now)) else { return };
            if !has_room(&exchange, now) {
                path.turns.rejoin(&exchange);
                return;
            }
            if !self.admit(&exchange, Line::Path, now) {
                return;
            }
        }
    }

    /// The same for a site whose sources have a number of connections together.
    fn offer_of_site(self: &Arc<Self>, site: &Site, now: i64) {
        for _ in 0..site.turns.len() {
            if site.is_full() {
                return;
            }
            let Some(exchange) = site.turns.next() else { return };
            self.admit_from(&exchange, Line::Site, now);
        }
    }

    /// The same for the node.
    fn offer_of_node(self: &Arc<Self>, now: i64) {
        for _ in 0..self.turns.len() {
            if self.sessions() >= self.config.connections_max {
                return;
            }
            let Some(exchange) = self.turns.next() else { return };
            self.admit_from(&exchange, Line::Node, now);
        }
    }

    fn admit_from(self: &Arc<Self>, exchange: &Arc<Exchange>, line: Line, now: i64) {
        if !self.wants_connection(exchange, now) {
            return;
        }
        if has_room(exchange, now) {
            self.admit(exchange, line, now);
        } else {
            exchange.path.turns.rejoin(exchange);
        }
    }

    /// Opens a connection for an exchange whose turn came in `line`, unless it has to wait in another one. False: its path
    /// opens none now.
    fn admit(self: &Arc<Self>, exchange: &Arc<Exchange>, line: Line, now: i64) -> bool {
        match Slot::take(self, exchange, line, now) {
            Ok(slot) => {
                self.open(slot);
                // One at a time, so that others have theirs in between.
                if self.wants_connection(exchange, now) {
                    exchange.path.turns.join(exchange);
                }
                true
            }
            Err(Line::Path) => {
                exchange.path.turns.rejoin(exchange);
                false
            }
            Err(Line::Site) => {
                exchange.path.site.turns.join(exchange);
                true
            }
            Err(Line::Node) => {
                self.turns.join(exchange);
                true
            }
        }
    }

    fn open(self: &Arc<Self>, slot: Slot) {
        tokio::spawn(async move {
            let (shared, exchange) = (Arc::clone(&slot.shared), Arc::clone(&slot.exchange));
            session::run(Arc::clone(&shared), Arc::clone(&exchange)).await;
            drop(slot);
            // Here and not in the drop: a runtime that shuts down drops this task, and must not be given new ones.
            shared.hand_on(&exchange);
        });
    }

    /// A connection has ended: whoever's turn it is gets one. The exchange that had it waits like everybody else.
    fn hand_on(self: &Arc<Self>, ended: &Arc<Exchange>) {
        let now = self.world.now_us();
        let (path, site) = (&ended.path, &ended.path.site);
        [&path.turns, &site.turns, &self.turns].into_iter().for_each(Turns::ended);
        if self.wants_connection(ended, now) {
            path.turns.join(ended);
        }
        self.offer(path, now);
        self.offer_of_site(site, now);
        self.offer_of_node(now);
    }

    fn wants_connection(&self, exchange: &Exchange, now: i64) -> bool {
        let sessions = exchange.sessions.load(Ordering::Acquire);
        exchange.waiting() > sessions
            && exchange.idle.load(Ordering::Acquire) == 0
            && exchange.leads_somewhere()
            && !exchange.path.is_draining()
            && exchange.resting_until(now).is_none()
            // Where a connection waits for the rate, another one of the same exchange would wait too.
            && (sessions == 0 || !exchange.probing() && !exchange.path.paced.any())
            && !self.closing.load(Ordering::Acquire)
    }

    /// A message whose address was suppressed after the analysis.
    pub(crate) fn settle_suppressed(&self, load: Load, site: &Arc<str>) {
        self.settle_decided(load, site, "suppressed", FinalState::Cancelled, None);
    }

    pub(crate) fn settle_decided(
        &self,
        load: Load,
        site: &Arc<str>,
        reason: &str,
        state: FinalState,
        words: Option<&str>,
    ) {
        let run = load.gate().run();
        let attempt = Attempt {
            message: load.message(),
            run: &run.spec,
            source: None,
            site,
            now_us: self.world.now_us(),
        };
        let settlement = attempt.decided(state, reason, words);
        load.finish();
        self.settler.submit(settlement, None, None);
    }
}

/// A connection is a file descriptor, and the database, the pages and the logs need some too: a quarter is left to them. The
/// process may raise its own limit to the one that its administrator set.
fn within_descriptors(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let held = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    // No limit at all is enough for whatever is wanted.
    let descriptors = held.map_or(usize::MAX, |held| usize::try_from(held).unwrap_or(usize::MAX));
    wanted.min(descriptors / 4 * 3).max(1)
}

/// One more connection of this exchange's path would have something to do. The first one of an exchange may wait for the rate
/// beside those of others, because whose turn it is is decided there too; not where all that waits goes before it.
fn has_room(exchange: &Exchange, now: i64) -> bool {
    let path = &exchange.path;
    if path.shaper.is_full() {
        return false;
    }
    let in_force = path.in_force();
    let wait = path.shaper.next_at(&in_force.limits, now) - now;
    if exchange.sessions.load(Ordering::Acquire) > 0 {
        return wait <= 0;
    }
    // It would end again where it had nothing to do for longer than it may be idle.
    let idle_us = i64::from(in_force.rules.idle_s) * 1_000_000;
    wait <= us(EARLY).min(idle_us / 2) && !path.paced.any_above(exchange.level())
}

/// The site is part of it: where a rule goes by address domains, the same hosts belong to several.
fn exchange_key(site: &Site, way: &Way, origin: &Origin) -> String {
    format!("{}|{}@{}", site.name, way.key(), origin.tag)
}

/// One connection in the books of its exchange, path, site and node, whatever way its task ends.
struct Slot {
    shared: Arc<Shared>,
    exchange: Arc<Exchange>,
}

/// A line for connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Path,
    Site,
    Node,
}

impl Slot {
    /// `line` is the one in which the exchange's turn came. An error is the line in which it has to wait first. Each connection
    /// is counted in one step, because several tasks may ask at once.
    fn take(shared: &Arc<Shared>, exchange: &Arc<Exchange>, line: Line, now: i64) -> Result<Self, Line> {
        let site = &exchange.path.site;
        // Nobody goes past those who wait already.
        if line == Line::Path && !site.turns.is_empty() {
            return Err(Line::Site);
        }
        if line != Line::Node && !shared.turns.is_empty() {
            return Err(Line::Node);
        }
        let node_max = shared.config.connections_max.max(1);
        let site_max = site.open_max.load(Ordering::Relaxed);
        let counted = |open: usize| (open < node_max).then_some(open + 1);
        if shared.sessions.fetch_update(Ordering::AcqRel, Ordering::Acquire, counted).is_err() {
            return Err(Line::Node);
        }
        let counted = |open: u32| (open < site_max).then_some(open + 1);
        if site.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, counted).is_err() {
            shared.sessions.fetch_sub(1, Ordering::AcqRel);
            return Err(Line::Site);
        }
        if exchange.path.shaper.begin_connection(&exchange.path.in_force().limits, now).is_err() {
            site.open.fetch_sub(1, Ordering::AcqRel);
            shared.sessions.fetch_sub(1, Ordering::AcqRel);
            return Err(Line::Path);
        }
        exchange.sessions.fetch_add(1, Ordering::AcqRel);
        Ok(Self { shared: Arc::clone(shared), exchange: Arc::clone(exchange) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.exchange.path.shaper.connection_ended();
        self.exchange.path.site.open.fetch_sub(1, Ordering::AcqRel);
        self.exchange.sessions.fetch_sub(1, Ordering::AcqRel);
        self.shared.sessions.fetch_sub(1, Ordering::AcqRel);
    }
}
