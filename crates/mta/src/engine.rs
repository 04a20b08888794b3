//! What every part of the engine shares: waiting lines, gates, routes and the few counters.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use queue::{FinalState, Queue, Run, Settler};
use routes::SiteRules;
use tokio::sync::{Semaphore, watch};

use crate::compose::Composers;
use crate::config::{Config, LOOKUPS_MAX};
use crate::connect::{BrokenTls, Means};
use crate::exchange::{Exchange, PathFigures, Site, Way};
use crate::gate::Gate;
use crate::load::{Budget, Load};
use crate::result::Attempt;
use crate::route::Routes;
use crate::session;
use crate::world::{Compose, World};

/// Exchanges kept before those without work are forgotten.
const EXCHANGES_KEPT: usize = 10_000;

pub(crate) struct Shared {
    pub config: Config,
    pub queue: Queue,
    pub settler: Settler,
    pub world: Arc<dyn World>,
    pub compose: Arc<dyn Compose>,
    pub composers: Composers,
    pub budget: Arc<Budget>,
    pub routes: Routes,
    pub lookups: Arc<Semaphore>,
    pub closing: AtomicBool,
    closing_sender: watch::Sender<bool>,
    gates: Mutex<HashMap<i64, Arc<Gate>>>,
    exchanges: Mutex<HashMap<Arc<str>, Arc<Exchange>>>,
    sites: Mutex<HashMap<Arc<str>, Arc<Site>>>,
    broken_tls: BrokenTls,
    sources_used: AtomicUsize,
    sessions: AtomicUsize,
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
        Ok(Self {
            config,
            queue,
            settler,
            world,
            compose,
            composers,
            budget: Arc::default(),
            routes: Routes::default(),
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            closing: AtomicBool::new(false),
            closing_sender: watch::channel(false).0,
            gates: Mutex::default(),
            exchanges: Mutex::default(),
            sites: Mutex::default(),
            broken_tls: BrokenTls::default(),
            sources_used: AtomicUsize::new(0),
            sessions: AtomicUsize::new(0),
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

    pub(crate) fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Acquire)
    }

    /// Sources in turn.
    pub(crate) fn next_source(&self) -> usize {
        self.sources_used.fetch_add(1, Ordering::Relaxed) % self.config.sources.len().max(1)
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
            broken_tls: &self.broken_tls,
            closing: &self.closing,
        }
    }

    /// Connections that a site may have, all sources together.
    pub(crate) fn site_limit(&self, site: &Site) -> usize {
        site.limits.connections.max(1) as usize * self.config.sources.len().max(1)
    }

    /// The exchange of a way, made when new.
    pub(crate) fn exchange(&self, way: Way, domain: &str, source: Option<usize>) -> Arc<Exchange> {
        let mut key = match &way {
            Way::Relay => "relay".to_owned(),
            Way::Hosts(hosts) => {
                let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
                names.join(",")
            }
            Way::Unresolved(domain) => format!("dns:{domain}"),
        };
        if let Some(source) = source.and_then(|number| self.config.sources.get(number)) {
            key = format!("{key}@{}", source.name);
        }
        let key: Arc<str> = key.into();
        let mut exchanges = open(&self.exchanges);
        if let Some(exchange) = exchanges.get(&key) {
            return Arc::clone(exchange);
        }
        if exchanges.len() >= EXCHANGES_KEPT {
            // Nobody else holds it, so nobody can put anything in its line.
            exchanges.retain(|_, e| Arc::strong_count(e) > 1 || e.waiting() > 0);
        }
        let site = self.site(&way, domain);
        let exchange = Arc::new(Exchange::new(Arc::clone(&key), way, Arc::clone(&site), source));
        site.join(&exchange);
        exchanges.insert(key, Arc::clone(&exchange));
        exchange
    }

    fn site(&self, way: &Way, domain: &str) -> Arc<Site> {
        let (name, limits, known) = match (way, &self.config.relay) {
            (Way::Relay, Some(relay)) => (
                "relay".to_owned(),
                Arc::new(SiteRules {
                    connections: relay.connections,
                    messages_per_connection: relay.messages_per_connection,
                    ..SiteRules::clone(&self.config.providers.rules_of("relay"))
                }),
                true,
            ),
            (Way::Hosts(hosts), _) => {
                let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
                let site = self.config.providers.site(domain, &names);
                (site.name, site.rules, site.known)
            }
            _ => (domain.to_owned(), self.config.providers.rules_of(domain), false),
        };
        let mut sites = open(&self.sites);
        sites.retain(|_, site| Arc::strong_count(site) > 1);
        Arc::clone(
            sites.entry(name.as_str().into()).or_insert_with(|| Arc::new(Site::new(&name, limits, known))),
        )
    }

    pub(crate) fn exchanges(&self) -> Vec<Arc<Exchange>> {
        open(&self.exchanges).values().cloned().collect()
    }

    pub(crate) fn paths(&self) -> Vec<PathFigures> {
        let now = self.world.now_us();
        let mut paths: Vec<PathFigures> = self
            .exchanges()
            .iter()
            .map(|exchange| exchange.figures(now))
            .filter(|path| path.connections > 0 || path.waiting > 0 || path.resting_until.is_some())
            .collect();
        paths.sort_by(|a, b| (&a.site, &a.exchange).cmp(&(&b.site, &b.exchange)));
        paths
    }

    /// Into the line, and a connection where one is missing.
    pub(crate) fn put(self: &Arc<Self>, exchange: &Arc<Exchange>, load: Load) {
        exchange.put(load);
        self.open_connections(exchange);
    }

    /// Opens the connections that a waiting line deserves, within its site's limit.
    pub(crate) fn open_connections(self: &Arc<Self>, exchange: &Arc<Exchange>) {
        let now = self.world.now_us();
        // Counted, not "while": a runtime that shuts down drops what it is given at once, and would be given more for ever.
        for _ in 0..self.site_limit(&exchange.site) {
            if !self.wants_connection(exchange, now) {
                return;
            }
            let Some(slot) = Slot::take(self, exchange) else { return };
            tokio::spawn(async move {
                let (shared, exchange) = (Arc::clone(&slot.shared), Arc::clone(&slot.exchange));
                session::run(Arc::clone(&shared), Arc::clone(&exchange)).await;
                drop(slot);
                // Here and not in the drop: a runtime that shuts down drops this task, and must not be given new ones.
                for member in exchange.site.members() {
                    shared.open_connections(&member);
                }
            });
        }
    }

    fn wants_connection(&self, exchange: &Exchange, now: i64) -> bool {
        let sessions = exchange.sessions.load(Ordering::Acquire);
        !self.closing.load(Ordering::Acquire)
            && !matches!(exchange.way, Way::Unresolved(_))
            && exchange.idle.load(Ordering::Acquire) == 0
            && sessions < exchange.waiting()
            && exchange.resting_until(now).is_none()
            && (sessions == 0 || !exchange.probing())
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

/// One connection in the books of its exchange and site, whatever way its task ends.
struct Slot {
    shared: Arc<Shared>,
    exchange: Arc<Exchange>,
}

impl Slot {
    /// `None`: the site has all the connections it may have. Counted in one step, because several tasks may ask at once.
    fn take(shared: &Arc<Shared>, exchange: &Arc<Exchange>) -> Option<Self> {
        let limit = shared.site_limit(&exchange.site);
        let counted = |open: usize| (open < limit).then_some(open + 1);
        exchange.site.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, counted).ok()?;
        shared.sessions.fetch_add(1, Ordering::AcqRel);
        exchange.sessions.fetch_add(1, Ordering::AcqRel);
        Some(Self { shared: Arc::clone(shared), exchange: Arc::clone(exchange) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.exchange.site.open.fetch_sub(1, Ordering::AcqRel);
        self.exchange.sessions.fetch_sub(1, Ordering::AcqRel);
        self.shared.sessions.fetch_sub(1, Ordering::AcqRel);
    }
}
