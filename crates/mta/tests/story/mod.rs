//! A whole engine over a fresh SQLite queue, a turned clock, a DNS from memory and receivers on loopback.

// Each binary of tests uses what it needs.
#![allow(dead_code, unused_imports)]

pub mod receiver;
pub mod resolver;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mta::{Boxed, Compose, ComposeError, Config, Engine, Internet, Order, Parts};
use net::{FakeClock, Guard, StaticResolver, Tls};
use queue::{
    LogFilter, LogRow, NewMessage, NewPart, Nonexistent, Priority, Quarantine, Queue, RetryPlan, Run,
    RunFigures, RunSpec, message_id, plan,
};
use routes::Routes;
use store::{Lane, Options, Store};

pub use receiver::{Act, Moment, Receiver, say};
pub use resolver::Scripted;

/// Name of a node whose rules come from the database.
pub const WITH_ROUTES: &str = "here";

/// When every story begins.
pub const T0: i64 = 1_700_000_000_000_000;

/// How long something is waited for. It costs nothing where all is well, and a busy machine may need it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The shipped table, but unknown sites are given what they can take, and receivers on loopback have no TLS; with changes
/// by name on top.
pub fn providers(changes: impl IntoIterator<Item = (String, routes::RuleOverride)>) -> routes::Providers {
    let free = routes::RuleOverride {
        connections: Some(10),
        messages_per_connection: Some(100),
        message_rates: Some(Vec::new()),
        connection_rates: Some(Vec::new()),
        ..routes::RuleOverride::default()
    };
    let clear = routes::RuleOverride {
        tls: Some(routes::TlsPolicy::Opportunistic),
        message_rates: Some(Vec::new()),
        connection_rates: Some(Vec::new()),
        ..routes::RuleOverride::default()
    };
    let known = ["google", "outlook", "gmx"].map(|name| (name.to_owned(), clear.clone()));
    let base = known.into_iter().chain([("unknown".to_owned(), free)]);
    routes::Providers::with(&base.chain(changes).collect()).unwrap()
}

pub struct Story {
    pub engine: Engine,
    pub queue: Queue,
    /// Rules, sources and what is remembered; obeyed where the node is called [`WITH_ROUTES`].
    pub routes: Routes,
    pub clock: FakeClock,
    pub resolver: Arc<StaticResolver>,
    /// Asked before it.
    pub dns: Arc<Scripted>,
    pub quarantined: Arc<Noted>,
    pub port: u16,
    settings: Config,
    #[expect(dead_code, reason = "the database lives in it")]
    folder: tempfile::TempDir,
    turner: tokio::task::JoinHandle<()>,
    stands: Arc<AtomicBool>,
}

fn internet(dns: &Arc<Scripted>, clock: &FakeClock) -> Internet {
    Internet {
        resolver: dns.clone(),
        clock: Arc::new(clock.clone()),
        tls: Tls::new(&[]).unwrap(),
        guard: Guard::new(["127.0.0.0/8", "::1/128"].map(|range| range.parse().unwrap()).into()),
        policies: None,
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        self.turner.abort();
    }
}

#[derive(Default)]
pub struct Noted(pub Mutex<Vec<Nonexistent>>);

impl Quarantine for Noted {
    fn quarantine(&self, _: &mut store::Tx<'_>, found: &[Nonexistent]) -> Result<(), store::Error> {
        self.0.lock().unwrap().extend_from_slice(found);
        Ok(())
    }
}

/// Makes small messages that name their number.
struct Plain;

impl Compose for Plain {
    fn prepare<'a>(&'a self, _: &'a Arc<queue::Part>) -> Boxed<'a, Result<(), ComposeError>> {
        Box::pin(async { Ok(()) })
    }

    fn compose(&self, order: Order<'_>) -> Result<message::Composed, ComposeError> {
        let id = order.message.id;
        if order.message.slots == b"never" {
            return Err(ComposeError::Message("a slot cannot be read".to_owned()));
        }
        if order.message.slots == b"panic" {
            panic!("composing panics");
        }
        let filler = if order.message.slots == b"large" { "x".repeat(70) + "\r\n" } else { String::new() };
        Ok(message::Composed {
            return_path: format!("bounce-{id}@bounce.shop.example"),
            bytes: format!(
                "Message-ID: <{id}@shop.example>\r\n\r\nHello {}\r\n{}",
                order.message.address,
                filler.repeat(300_000)
            )
            .into_bytes(),
            digest: [1; 16],
            message_id: format!("{id}@shop.example"),
            smtputf8: false,
        })
    }

    fn links_to(&self, order: Order<'_>, host: &str) -> bool {
        order.message.slots.starts_with(host.as_bytes())
    }
}

impl Story {
    /// Receivers listen on `port`; `config` may change what it likes.
    pub async fn begin(port: u16, config: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("queue.sqlite").display());
        let store = Store::open(&url, Options::default()).await.unwrap();
        store.migrate(&[routes::MIGRATIONS, queue::MIGRATIONS]).await.unwrap();
        let queue = Queue::new(store.clone(), 1);
        queue.recover(T0).await.unwrap();
        let clock = FakeClock::new(T0);
        let resolver = Arc::new(StaticResolver::new());
        let quarantined = Arc::new(Noted::default());
        let mut settings = Config::direct("mail.shop.example");
        settings.port = port;
        settings.compose_threads = 2;
        settings.providers = providers([]);
        config(&mut settings);
        let vault = Arc::new(store::Vault::open(folder.path()).unwrap());
        let routes = Routes::new(store, vault, settings.providers.clone());
        if settings.node == WITH_ROUTES {
            let base = routes::RuleBase {
                providers: settings.providers.clone(),
                ehlo: "mail.shop.example".to_owned(),
                file: None,
            };
            routes.open_rules(base, T0).await.unwrap();
            settings.routes = Some(routes.clone());
        }
        let dns = Arc::new(Scripted::over(resolver.clone()));
        let internet = internet(&dns, &clock);
        let again = settings.clone();
        let parts = Parts {
            queue: queue.clone(),
            quarantine: quarantined.clone(),
            world: Arc::new(internet),
            compose: Arc::new(Plain),
        };
        let engine = Engine::start(settings, parts).unwrap();
        let turned = clock.clone();
        let stands = Arc::new(AtomicBool::new(false));
        let stood = Arc::clone(&stands);
        // A second of the story passes in 20 ms.
        let turner = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(5)).await;
                if !stood.load(Ordering::SeqCst) {
                    turned.advance(Duration::from_millis(250));
                }
            }
        });
        Self {
            engine,
            queue,
            routes,
            clock,
            resolver,
            dns,
            quarantined,
            port,
            settings: again,
            folder,
            turner,
            stands,
        }
    }

    pub async fn with(receiver: &Receiver) -> Self {
        let port = receiver.listen("127.0.0.1:0").await;
        let story = Self::begin(port, |_| {}).await;
        story.domain("a.example", "127.0.0.1");
        story
    }

    /// Ends the engine in order and starts another one.
    pub async fn restart(&mut self) {
        self.engine.shutdown().await.unwrap();
        let parts = Parts {
            queue: self.queue.clone(),
            quarantine: self.quarantined.clone(),
            world: self.world(),
            compose: Arc::new(Plain),
        };
        self.engine = Engine::start(self.settings.clone(), parts).unwrap();
    }

    /// The paths of a site.
    pub fn paths_of(&self, site: &str) -> Vec<mta::PathFigures> {
        self.engine.paths().into_iter().filter(|path| path.site == site).collect()
    }

    /// A provider of the table, with a host on `address`.
    pub fn provider(&self, domain: &str, host: &str, address: &str) {
        self.resolver.mx(domain, &[(5, host)]);
        self.resolver.a(host, &[address]);
    }

    /// Lets the clock stand still but for leaps, or run again.
    pub fn stand_still(&self, stands: bool) {
        self.stands.store(stands, Ordering::SeqCst);
    }

    /// Waits until no connection is open. Before a leap of the clock: in the middle of a dialogue it would be as long a silence
    /// of the receiver, after which the engine gives the connection up.
    pub async fn quiet(&self) {
        self.wait_for("quiet", || self.engine.connections() == 0).await;
    }

    /// As [`Story::over`], while the clock goes on by `step` whenever no connection is open.
    pub async fn over_in_leaps(&self, delivery: i64, step: Duration) -> Arc<RunFigures> {
        let begin = Instant::now();
        while self.figures(delivery).await.pending > 0 {
            assert!(begin.elapsed() < PATIENCE, "never over: {:#?}", self.engine.paths());
            if self.engine.connections() == 0 {
                self.clock.advance(step);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.over(delivery).await
    }

    /// Waits until something holds.
    pub async fn wait_for(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !holds() {
            assert!(begin.elapsed() < PATIENCE, "never {what}: {:#?}", self.engine.paths());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The engine's network and clock, for somebody beside it.
    pub fn world(&self) -> Arc<Internet> {
        Arc::new(internet(&self.dns, &self.clock))
    }

    pub fn domain(&self, domain: &str, address: &str) {
        let host = format!("mx.{domain}");
        self.resolver.mx(domain, &[(10, &host)]);
        self.resolver.a(&host, &[address]);
    }

    /// Does something to the database behind everybody's back.
    pub async fn sql(&self, statements: &'static str) {
        let done = self.queue.store().write(Lane::Urgent, move |tx| tx.batch(statements)).await;
        done.unwrap();
    }

    pub async fn confirm(&self, delivery: i64, addresses: &[&str]) -> Run {
        self.confirm_with(delivery, addresses, |_| {}).await
    }

    pub async fn many(&self, delivery: i64, count: usize, domain: &str) -> Run {
        let addresses: Vec<String> = (0..count).map(|n| format!("user{n}@{domain}")).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        self.confirm(delivery, &addresses).await
    }

    pub async fn confirm_with(
        &self,
        delivery: i64,
        addresses: &[&str],
        change: impl FnOnce(&mut RunSpec),
    ) -> Run {
        let now = net::Clock::now_us(&self.clock);
        let mut spec = RunSpec {
            delivery,
            priority: Priority::Normal,
            pool: "default".to_owned(),
            start_at: now,
            valid_until: now + 120 * queue::HOUR_US,
            retry: RetryPlan::default(),
            test_smtp: false,
            bcc: false,
            signing: String::new(),
            seen: 0,
            services: Vec::new(),
        };
        change(&mut spec);
        let messages: Vec<NewMessage> = addresses
            .iter()
            .enumerate()
            .map(|(n, address)| NewMessage {
                id: message_id(delivery, n as i64),
                recipient: n as i64,
                domain: address.rsplit('@').next().unwrap().to_owned(),
                flags: 0,
                address: (*address).to_owned(),
                slots: address.split('@').next().unwrap().as_bytes().to_vec(),
            })
            .collect();
        let parts: Vec<NewPart> = messages
            .chunk_by(|a, b| a.domain == b.domain)
            .flat_map(|same| same.chunks(32))
            .map(|chunk| NewPart {
                first_id: chunk[0].id,
                last_id: chunk[chunk.len() - 1].id,
                snapshot: "hash".to_owned(),
                wave: 0,
                lane: routes::Providers::built_in().lane_of(&chunk[0].domain),
                due_us: 0,
                messages: chunk.len() as i64,
            })
            .collect();
        let run = self
            .queue
            .store()
            .write(Lane::Bulk, move |tx| {
                plan::insert_contacts(tx, messages.iter().map(|message| (message.recipient, message.id)))?;
                plan::insert_messages(tx, messages)?;
                plan::insert_parts(tx, delivery, parts)?;
                queue::runs::start(tx, &spec, now)
            })
            .await
            .unwrap();
        self.queue.changed();
        run
    }

    pub async fn figures(&self, delivery: i64) -> Arc<RunFigures> {
        let now = net::Clock::now_us(&self.clock);
        let figures = self.queue.fresh_figures(delivery, now).await.unwrap();
        assert_eq!(
            figures.messages,
            figures.pending + figures.sent + figures.failed + figures.cancelled,
            "the sum holds at any moment"
        );
        figures
    }

    /// Waits until the figures are as wanted.
    pub async fn until(
        &self,
        delivery: i64,
        what: &str,
        enough: impl Fn(&RunFigures) -> bool,
    ) -> Arc<RunFigures> {
        let begin = Instant::now();
        loop {
            let figures = self.figures(delivery).await;
            if enough(&figures) {
                return figures;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "never {what}: {figures:?}\npaths {:?}\nlog {:#?}",
                self.engine.paths(),
                self.log(delivery).await
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn over(&self, delivery: i64) -> Arc<RunFigures> {
        let figures = self.until(delivery, "over", |f| f.pending == 0).await;
        let now = net::Clock::now_us(&self.clock);
        let verification = self.queue.verify(delivery, now).await.unwrap();
        assert!(verification.agrees, "{:?}", verification.differences);
        figures
    }

    pub async fn log(&self, delivery: i64) -> Vec<LogRow> {
        self.queue.log(delivery, LogFilter::default(), None, 5_000).await.unwrap().rows
    }
}
