//! Builds the rooms over one store, in the order of the mail's journey, and keeps them at one with the settings.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use access::{Access, OneTime, Settings};
use http::{
    imports::Imports,
    state::{AppState, DemoMailbox, EngineControl, Services},
};
use message::TokenKeys;
use net::{Clock, ShiftedClock, SystemClock};
use store::{Options, Store};
use tokio::{runtime::Handle, sync::watch, task::AbortHandle};

use super::{
    Prepared, ROOMS, configure, copies,
    engine::{EngineSeat, Supplies},
    rules,
    swap::SwapResolver,
    transport,
};
use crate::output::Failure;

/// This node's number; one node is all there is in this version.
const NODE: i64 = 1;
/// Folder of the event segments inside the data directory.
const EVENTS_DIR: &str = "events";
/// How often runs are looked at: expiry and end.
const TICK: std::time::Duration = std::time::Duration::from_secs(1);

/// Names the file of a [`ShiftedClock`].
const TEST_CLOCK: &str = "MAILWRIGHT_TEST_CLOCK";

/// Everything that runs, for serving and for ending.
pub struct House {
    /// For the doors.
    pub state: AppState,
    /// For the end.
    pub engine: Arc<EngineSeat>,
    /// For the end.
    pub store: Store,
    /// The first administrator, on the first start.
    pub first: Option<OneTime>,
    /// Tasks that look and follow; ended before the store is closed.
    pub tasks: Vec<AbortHandle>,
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::refused(error.to_string())
}

/// The rooms below the engine.
struct Ground {
    store: Store,
    access: Access,
    first: Option<OneTime>,
    rooms: delivery::Rooms,
    providers: routes::Providers,
    resolver: Arc<SwapResolver>,
}

/// The machine's clock; for whole-system tests one that a file sets forward.
fn clock() -> Arc<dyn Clock> {
    match std::env::var_os(TEST_CLOCK) {
        Some(file) => Arc::new(ShiftedClock::following(file.into())),
        None => Arc::new(SystemClock),
    }
}

/// Opens the store, migrates it, and builds the rooms that need no engine.
async fn ground(prepared: &Prepared) -> Result<Ground, Failure> {
    let clock = clock();
    let now_us = clock.now_us();
    let store = open_store(prepared).await?;
    let vault = prepared.vault.clone();
    let fixed = prepared.fixed.clone();
    let (access, first) = Access::open(store.clone(), vault.clone(), fixed, now_us).await.map_err(refused)?;
    access.write_local_token(&prepared.data).map_err(refused)?;
    let settings = access.settings();

    let audience = audience::Audience::new(store.clone());
    audience.mark_interrupted_imports(now_us).await.map_err(refused)?;
    let queue = queue::Queue::new(store.clone(), NODE);
    queue.recover(now_us).await.map_err(refused)?;
    let providers = configure::providers(&settings)?;
    let resolver = Arc::new(SwapResolver::new(open_resolver(&settings, &clock)?));
    let fetcher = net::Fetcher::new(
        Arc::clone(&resolver) as Arc<dyn net::Resolver>,
        configure::tls(&settings)?,
        configure::guard(&settings),
    );
    let rooms = delivery::Rooms {
        audience,
        content: content::Content::new(store.clone()),
        tokens: Arc::new(TokenKeys::derive(&vault.derive_key("tokens"))),
        code_key: content::CodeKey::new(vault.derive_key("content.codes")),
        routes: routes::Routes::new(store.clone(), Arc::new(vault), providers.clone()),
        queue,
        clock,
        fetcher: Arc::new(fetcher),
    };
    Ok(Ground { store, access, first, rooms, providers, resolver })
}

/// Opens the store, migrates it, and builds all rooms. `listen` is the address that was bound.
pub async fn build(
    prepared: &Prepared,
    listen: SocketAddr,
    demo: Option<Arc<dyn DemoMailbox>>,
    io: Handle,
) -> Result<House, Failure> {
    let Ground { store, access, first, rooms, providers, resolver } = ground(prepared).await?;
    let settings = access.settings();
    let tracking = open_tracking(prepared, &store)?;
    let config = configure::delivery(&settings, listen);
    rules::open(&rooms, &settings, listen, &prepared.data).await?;
    let deliveries = delivery::Deliveries::new(store.clone(), rooms.clone(), config);
    deliveries.set_accounts(Arc::new(super::accounts::Known(access.clone())));
    deliveries.recover().await.map_err(refused)?;
    let policies = transport::policies(&store, &rooms.fetcher, &settings);
    let supplies = supplies(prepared, &rooms, &tracking, &resolver, &policies, &access)?;
    let delivery::Rooms { audience, content, routes, queue, clock, tokens, fetcher, code_key } = rooms;

    let looker = rules::Looker::of(&supplies, &prepared.data);
    let keeping = copies::config(&settings, listen);
    let archive =
        copies::start(&supplies, &io, keeping, configure::guard(&settings)).await.map_err(refused)?;
    let config = configure::engine(&settings, listen, providers);
    let engine = EngineSeat::start(supplies, io.clone(), config, configure::guard(&settings)).await;
    let engine = Arc::new(engine.map_err(refused)?);

    let follower = Follower {
        deliveries: deliveries.clone(),
        routes: routes.clone(),
        engine: Arc::clone(&engine),
        archive: archive.clone(),
        fetcher,
        resolver: Arc::clone(&resolver),
        policies: policies.clone(),
        clock: Arc::clone(&clock),
        listen,
        data: prepared.data.clone(),
    };
    let following = io.spawn(follower.run(access.watch())).abort_handle();
    let looked = Looked { deliveries: &deliveries, tracking: &tracking, access: &access };
    let mut tasks = looks(&io, &looked, looker, &clock);
    tasks.push(following);
    let reporting =
        transport::follow(policies.clone(), Arc::clone(&engine), Arc::clone(&clock), access.watch());
    tasks.push(io.spawn(reporting).abort_handle());

    let unsubscriptions =
        feedback::Unsubscriptions::new(audience.clone(), queue.clone(), TokenKeys::clone(&tokens));
    let state = AppState::new(Services {
        unsubscriptions,
        archive,
        tracking,
        door: http::public::Door::new(code_key),
        deliveries,
        content,
        audience,
        queue,
        routes,
        settings: access.watch(),
        access,
        imports: Imports::default(),
        engine: Arc::clone(&engine) as Arc<dyn EngineControl>,
        dns: resolver,
        policies: Some(policies),
        tokens,
        clock,
        listen,
        work_dir: prepared.work_dir.clone(),
        backup_files: backup_files(prepared),
        demo,
    });
    Ok(House { state, engine, store, first, tasks })
}

/// What engines are built from.
fn supplies(
    prepared: &Prepared,
    rooms: &delivery::Rooms,
    tracking: &tracking::Tracking,
    resolver: &Arc<SwapResolver>,
    policies: &routes::TransportPolicies,
    access: &Access,
) -> Result<Supplies, Failure> {
    Ok(Supplies {
        tracking: tracking.clone(),
        queue: rooms.queue.clone(),
        routes: rooms.routes.clone(),
        replies: rules::replies(&prepared.data)?,
        tokens: Arc::clone(&rooms.tokens),
        clock: Arc::clone(&rooms.clock),
        resolver: Arc::clone(resolver) as Arc<dyn net::Resolver>,
        tls: configure::tls(&access.settings())?,
        policies: policies.clone(),
        settings: access.watch(),
    })
}

/// What is looked after while it runs.
struct Looked<'a> {
    deliveries: &'a delivery::Deliveries,
    tracking: &'a tracking::Tracking,
    access: &'a Access,
}

/// Starts the tasks that look after it.
fn looks(io: &Handle, of: &Looked<'_>, looker: rules::Looker, clock: &Arc<dyn Clock>) -> Vec<AbortHandle> {
    vec![
        io.spawn(tick(of.deliveries.clone())).abort_handle(),
        io.spawn(looker.run()).abort_handle(),
        io.spawn(fold(of.tracking.clone(), Arc::clone(clock), of.access.watch())).abort_handle(),
        io.spawn(clean(of.access.clone(), Arc::clone(clock))).abort_handle(),
    ]
}

/// Opens the database and brings it up to this program, after a backup when it held data.
async fn open_store(prepared: &Prepared) -> Result<Store, Failure> {
    let options = Options { backup_dir: Some(prepared.backup_dir.clone()) };
    let store = Store::open(&prepared.database_url(), options).await.map_err(refused)?;
    let report = store.migrate(ROOMS).await.map_err(refused)?;
    if let Some(backup) = &report.backup {
        tracing::info!(backup = %backup.display(), steps = report.applied.len(), "database migrated");
    }
    Ok(store)
}

/// Opens and clicks wait for the database in a folder of their own.
fn open_tracking(prepared: &Prepared, store: &Store) -> Result<tracking::Tracking, Failure> {
    let key = prepared.vault.derive_key("tracking clients");
    tracking::Tracking::open(store.clone(), &prepared.data.join(EVENTS_DIR), key, NODE).map_err(refused)
}

async fn fold(tracking: tracking::Tracking, clock: Arc<dyn Clock>, settings: watch::Receiver<Arc<Settings>>) {
    tracking.follow(|| clock.now_us(), || settings.borrow().events_kept().us()).await;
}

/// Audit lines, sessions and links that have expired are deleted.
async fn clean(access: access::Access, clock: Arc<dyn Clock>) {
    access.keep_clean(|| clock.now_us()).await;
}

fn backup_files(prepared: &Prepared) -> Vec<(String, PathBuf)> {
    let key = store::MASTER_KEY_FILE;
    vec![(key.to_owned(), prepared.data.join(key))]
}

fn open_resolver(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Arc<dyn net::Resolver>, Failure> {
    let servers = configure::name_servers(settings);
    let (dnssec, patience) = (configure::dnssec(settings), configure::patience(settings));
    net::open_resolver(&servers, dnssec, patience, Arc::clone(clock)).map_err(refused)
}

/// Ends and expires runs. An error is the database's; the next tick tries again.
async fn tick(deliveries: delivery::Deliveries) {
    let mut failing = false;
    loop {
        tokio::time::sleep(TICK).await;
        match deliveries.tick().await {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                tracing::warn!(%error, "runs cannot be looked at; trying on");
                failing = true;
            }
            Err(_) => {}
        }
    }
}

/// Hands changed settings to the rooms.
struct Follower {
    deliveries: delivery::Deliveries,
    routes: routes::Routes,
    engine: Arc<EngineSeat>,
    archive: archive::Archive,
    fetcher: Arc<net::Fetcher>,
    resolver: Arc<SwapResolver>,
    policies: routes::TransportPolicies,
    clock: Arc<dyn Clock>,
    listen: SocketAddr,
    data: PathBuf,
}

impl Follower {
    async fn run(self, mut settings: watch::Receiver<Arc<Settings>>) {
        let mut before = Arc::clone(&settings.borrow_and_update());
        while settings.changed().await.is_ok() {
            let now = Arc::clone(&settings.borrow_and_update());
            if now == before {
                continue;
            }
            self.deliveries.configure(configure::delivery(&now, self.listen));
            self.policies.set_reporting(now.tls_reports().is_some());
            let asking =
                |of: &Settings| (configure::name_servers(of), configure::dnssec(of), configure::patience(of));
            if asking(&now) != asking(&before) {
                match open_resolver(&now, &self.clock) {
                    Ok(resolver) => self.resolver.replace(resolver),
                    Err(failure) => tracing::error!(?failure, "the new name servers cannot be used"),
                }
            }
            self.fetcher.replace_guard(configure::guard(&now));
            let keeping = copies::config(&now, self.listen);
            if keeping != copies::config(&before, self.listen) || now.net_allow() != before.net_allow() {
                self.archive.configure(keeping, self.engine.world(configure::guard(&now)));
            }
            self.rule(&now).await;
            if sends_differently(&before, &now) {
                match configure::providers(&now) {
                    Ok(providers) => {
                        let config = configure::engine(&now, self.listen, providers);
                        self.engine.replace(config, configure::guard(&now)).await;
                    }
                    Err(failure) => tracing::error!(?failure, "the new limits cannot be used"),
                }
            }
            before = now;
        }
    }

    /// Puts the settings under the rules of sites.
    async fn rule(&self, now: &Settings) {
        match rules::base(now, self.listen, &self.data) {
            Ok(base) => self.routes.rebase(base),
            Err(failure) => tracing::error!(?failure, "the new limits cannot be used"),
        }
        if let Err(error) = self.routes.refresh_rules().await {
            tracing::error!(%error, "the new limits do not hold yet; the next look tries again");
        }
    }
}

/// Whether the engine has to be replaced. Bounds of sites and the name in EHLO are rules, which hold without that; only the
/// bounds of a relay are the engine's own.
fn sends_differently(before: &Settings, now: &Settings) -> bool {
    let bounds = |settings: &Settings| {
        let bounds = (settings.connections_per_site(), settings.messages_per_connection());
        settings.relay().is_some().then_some(bounds)
    };
    before.relay() != now.relay()
        || before.smtp_port() != now.smtp_port()
        || before.net_allow() != now.net_allow()
        || bounds(before) != bounds(now)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn only_what_cannot_change_under_way_replaces_the_engine() {
        let settings =
            |toml: &str| Settings::resolve(&access::Fixed::read(Some(toml), []).unwrap(), &BTreeMap::new());
        let differs = |one: &str, other: &str| sends_differently(&settings(one), &settings(other));
        assert!(!differs("mta.ehlo = \"a.example\"", "mta.ehlo = \"b.example\""));
        assert!(!differs("", "public_url = \"https://mail.shop.example\""));
        assert!(!differs("", "mta.connections_per_site = 3\nmta.messages_per_connection = 7"));
        assert!(differs("", "mta.port = 2525"));
        assert!(differs("", "net.allow = [\"10.0.0.0/8\"]"));
        let relay = "mta.relay = \"smtp://relay.example:587\"\n";
        assert!(differs("", relay));
        assert!(
            differs(relay, &format!("{relay}mta.connections_per_site = 3")),
            "a relay's bounds are its own"
        );
    }
}
