//! A server in this process.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use ::access::{Access, Fixed};
use ::delivery::{Config, Deliveries, Rooms, StopReport};
use http::{
    imports::Imports,
    paths::Standing,
    problem::Problem,
    state::{AppState, EngineControl, Pending, Services},
};
use message::TokenKeys;
use mta::{Action, TraceKind, TraceLine};
use net::{Clock, StaticResolver, SystemClock};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use store::{Store, Vault};
use tokio::sync::mpsc;

/// An engine that sends nothing: it only carries controls to the queue, and stands as a test says.
struct NoEngine {
    queue: queue::Queue,
    standing: Arc<Mutex<Standing>>,
    orders: Arc<Mutex<Vec<Action>>>,
}

impl EngineControl for NoEngine {
    fn stop<'a>(&'a self, delivery: i64) -> Pending<'a, Result<StopReport, Problem>> {
        Box::pin(async move {
            let now_us = SystemClock.now_us();
            self.queue.stop(delivery, now_us).await?;
            self.queue.stopped(delivery, now_us).await?;
            let figures = self.queue.fresh_figures(delivery, now_us).await?;
            let state = ::delivery::State::Stopped;
            Ok(StopReport { state, sent: figures.sent, in_flight: 0, cancelled: figures.cancelled })
        })
    }

    fn pause<'a>(&'a self, delivery: i64) -> Pending<'a, Result<(), Problem>> {
        Box::pin(async move {
            self.queue.paused(delivery, SystemClock.now_us()).await?;
            Ok(())
        })
    }

    fn send_test<'a>(&'a self, _from: &'a str, _to: &'a str) -> Pending<'a, Result<String, String>> {
        Box::pin(async { Err("no engine".to_owned()) })
    }

    fn standing(&self) -> Pending<'_, Standing> {
        Box::pin(async { self.standing.lock().unwrap().clone() })
    }

    fn act(&self, action: Action) -> Pending<'_, Result<(), Problem>> {
        Box::pin(async {
            self.orders.lock().unwrap().push(action);
            Ok(())
        })
    }

    fn trace<'a>(&'a self, site: &'a str, connections: u32) -> Pending<'a, mpsc::Receiver<TraceLine>> {
        let (says, hears) = mpsc::channel(8);
        let line = |kind, text: String| TraceLine { at_us: 1, connection: connections, kind, text };
        let lines = [
            line(TraceKind::Note, format!("connected to mx.{site}")),
            line(TraceKind::Out, "EHLO <b>".to_owned()),
        ];
        lines.into_iter().for_each(|line| says.try_send(line).unwrap());
        Box::pin(async { hears })
    }
}

/// The server, and who talks to it.
pub struct House {
    pub state: AppState,
    pub address: SocketAddr,
    pub public: SocketAddr,
    /// The first administrator's one-time password.
    pub password: String,
    /// What the engine says it does.
    pub standing: Arc<Mutex<Standing>>,
    /// What the engine was told to do.
    pub orders: Arc<Mutex<Vec<Action>>>,
    token: String,
    client: reqwest::Client,
    _dir: tempfile::TempDir,
}

/// The password of [`House::user`].
pub const USER_PASSWORD: &str = "four unrelated words";

const ROOMS: &[store::RoomMigrations] = &[
    ::access::MIGRATIONS,
    ::audience::MIGRATIONS,
    content::MIGRATIONS,
    routes::MIGRATIONS,
    queue::MIGRATIONS,
    feedback::MIGRATIONS,
    archive::MIGRATIONS,
    tracking::MIGRATIONS,
    ::delivery::MIGRATIONS,
];

impl House {
    /// Builds the rooms over `store` and serves both doors.
    pub async fn build(store: Store) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        store.migrate(ROOMS).await.unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let tokens = Arc::new(TokenKeys::derive(&vault.derive_key("tokens")));
        let (access, first) =
            Access::open(store.clone(), vault.clone(), Fixed::default(), clock.now_us()).await.unwrap();
        access.write_local_token(dir.path()).unwrap();
        let token = std::fs::read_to_string(dir.path().join("local-token")).unwrap();
        let tracking =
            tracking::Tracking::open(store.clone(), &dir.path().join("events"), [5; 32], 1).unwrap();
        let rooms = rooms(&store, vault, &clock, &tokens);
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let public_socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, public) = (socket.local_addr().unwrap(), public_socket.local_addr().unwrap());
        let deliveries = Deliveries::new(store, rooms.clone(), config(address));
        let Rooms { audience, content, routes, queue, .. } = rooms;
        let standing = Arc::new(Mutex::new(Standing::default()));
        let orders = Arc::new(Mutex::new(Vec::new()));
        let state = AppState::new(Services {
            unsubscriptions: feedback::Unsubscriptions::new(
                audience.clone(),
                queue.clone(),
                TokenKeys::clone(&tokens),
            ),
            deliveries,
            content,
            audience,
            engine: Arc::new(NoEngine {
                queue: queue.clone(),
                standing: Arc::clone(&standing),
                orders: Arc::clone(&orders),
            }),
            archive: idle_archive(&queue),
            tracking,
            door: http::public::Door::new(content::CodeKey::new([3; 32])),
            queue,
            routes,
            settings: access.watch(),
            access,
            imports: Imports::default(),
            dns: Arc::new(StaticResolver::new()),
            policies: None,
            tokens,
            clock,
            listen: address,
            work_dir: dir.path().to_path_buf(),
            backup_files: vec![("master.key".to_owned(), dir.path().join("master.key"))],
            demo: None,
        });
        let admin = http::admin_router(&state, false);
        let public_door = http::public_router(&state);
        tokio::spawn(http::listener::serve(socket, admin, std::future::pending()));
        tokio::spawn(http::listener::serve(public_socket, public_door, std::future::pending()));
        let password = first.unwrap().password;
        Self {
            state,
            address,
            public,
            password,
            standing,
            orders,
            token,
            client: reqwest::Client::new(),
            _dir: dir,
        }
    }

    /// A request with the local token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.token)
    }

    /// A request without any sign-in.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// A request to the public door.
    pub fn public(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.public))
    }

    /// A user with these rights and a password of their own: the cookie of a session, and a token.
    pub async fn user(&self, name: &str, rights: ::access::Rights) -> (String, String) {
        let (access, now_us) = (&self.state.access, self.state.clock.now_us());
        let link = access.invite("test", name, "", rights, now_us).await.unwrap();
        let browser = ::access::Browser { peer: [127, 0, 0, 1].into(), agent: "test".to_owned() };
        let entry = access.use_link(&link.token, USER_PASSWORD, &browser, now_us).await.unwrap();
        let ::access::SignIn::Done(signed_in) = entry else { panic!("a second factor") };
        let (_, token) = access.create_token(&signed_in.caller, "test", now_us).await.unwrap();
        (format!("{}={}", ::access::SESSION_COOKIE, signed_in.cookie), token)
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(Method::GET, &format!("/api/v1{path}"))).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        answer(self.request(Method::POST, &format!("/api/v1{path}")).json(&body)).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        answer(self.request(method, &format!("/api/v1{path}")).json(&body)).await
    }

    /// Imports a CSV text and waits for its end.
    pub async fn import(&self, query: &str, csv: impl Into<reqwest::Body>) -> Value {
        let upload = self.request(Method::POST, &format!("/api/v1/imports?{query}")).body(csv);
        let (status, started) = answer(upload).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{started}");
        let path = format!("/imports/{}", started["id"].as_str().unwrap());
        loop {
            let (_, import) = self.get(&path).await;
            if import["state"] != "running" {
                return import;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Analyses a delivery and waits for the verdict.
    pub async fn analyse(&self, delivery: &str) -> Value {
        let path = format!("/deliveries/{delivery}/analysis");
        let (status, started) = self.post(&path, serde_json::json!({})).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{started}");
        loop {
            let (_, analysis) = self.get(&path).await;
            if analysis["state"] != "analysing" {
                return analysis;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

/// The rooms below deliveries.
fn rooms(store: &Store, vault: Vault, clock: &Arc<dyn Clock>, tokens: &Arc<TokenKeys>) -> Rooms {
    let providers = routes::Providers::built_in().clone();
    Rooms {
        audience: ::audience::Audience::new(store.clone()),
        content: content::Content::new(store.clone()),
        routes: routes::Routes::new(store.clone(), Arc::new(vault), providers),
        queue: queue::Queue::new(store.clone(), 1),
        clock: Arc::clone(clock),
        tokens: Arc::clone(tokens),
        fetcher: Arc::new(net::Fetcher::new(
            Arc::new(StaticResolver::new()),
            net::Tls::new(&[]).unwrap(),
            net::Guard::default(),
        )),
        code_key: content::CodeKey::new([3; 32]),
    }
}

/// An archive that has nowhere to go: copies wait in it.
fn idle_archive(queue: &queue::Queue) -> archive::Archive {
    struct Nothing;
    impl mta::Compose for Nothing {
        fn prepare<'a>(&'a self, _: &'a Arc<queue::Part>) -> mta::Boxed<'a, Result<(), mta::ComposeError>> {
            Box::pin(async { Ok(()) })
        }

        fn compose(&self, _: mta::Order<'_>) -> Result<message::Composed, mta::ComposeError> {
            Err(mta::ComposeError::NotNow("nothing is composed here".to_owned()))
        }
    }
    let world = mta::Internet {
        resolver: Arc::new(StaticResolver::new()),
        clock: Arc::new(SystemClock),
        tls: net::Tls::new(&[]).unwrap(),
        guard: net::Guard::new(Vec::new()),
        policies: None,
    };
    let parts = archive::Parts { queue: queue.clone(), compose: Arc::new(Nothing), world: Arc::new(world) };
    archive::Archive::start(archive::Config::nowhere(), parts).unwrap()
}

fn config(address: SocketAddr) -> Config {
    Config {
        public_url: format!("http://{address}"),
        from_name: String::new(),
        from_address: String::new(),
        reply_to: String::new(),
        error_address: String::new(),
        from_masks: Vec::new(),
        error_masks: Vec::new(),
        bounce_domain: String::new(),
        relay: false,
        tls: true,
        ehlo: "out.shop.example".into(),
        sources: Vec::new(),
        archive_problem: None,
        analysis_threads: 2,
        analyses_at_once: 2,
        low_activity: None,
    }
}

/// Sends a request; the body is JSON, or null when it is empty or not JSON.
pub async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let bytes = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}
