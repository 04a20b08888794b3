//! A queue with sent messages, an archive over it, and an archive's server on loopback.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use archive::{Archive, Compress, Config, FolderConfig, Keeping, Parts, PostConfig, State};
use mta::{Boxed, Compose, ComposeError, CourierConfig, Internet, Order, Relay, RelayTls, Source};
use net::{Guard, StaticResolver, SystemClock, Tls};
use queue::{
    FinalState, Message, NewMessage, NewPart, NoQuarantine, Priority, Queue, RetryPlan, RunSpec, Settlement,
    Verdict, message_id, plan,
};
use store::{Lane, Store};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

pub const T0: i64 = 1_764_165_600_000_000;

/// The bytes of a message, as they were sent.
pub fn bytes_of(id: i64) -> Vec<u8> {
    format!("Message-ID: <{id}@shop.example>\r\nSubject: {id}\r\n\r\nHello\r\n.a line with a dot\r\n")
        .into_bytes()
}

fn digest_of(bytes: &[u8]) -> [u8; 16] {
    let mut digest = [0; 16];
    for (at, byte) in bytes.iter().enumerate() {
        digest[at % 16] ^= byte.rotate_left(u32::try_from(at % 8).unwrap());
    }
    digest
}

/// Composes [`bytes_of`]; some messages make trouble.
#[derive(Default)]
pub struct Maker {
    /// Composed otherwise now than when they were sent.
    pub changed: Mutex<Vec<i64>>,
    /// Cannot be composed at present.
    pub not_now: AtomicBool,
    pub composed: AtomicUsize,
}

impl Compose for Maker {
    fn prepare<'a>(&'a self, _: &'a Arc<queue::Part>) -> Boxed<'a, Result<(), ComposeError>> {
        let not_now = self.not_now.load(Ordering::SeqCst);
        Box::pin(async move {
            if not_now { Err(ComposeError::NotNow("the key is away".to_owned())) } else { Ok(()) }
        })
    }

    fn compose(&self, order: Order<'_>) -> Result<message::Composed, ComposeError> {
        self.composed.fetch_add(1, Ordering::SeqCst);
        let id = order.message.id;
        let mut bytes = bytes_of(id);
        if self.changed.lock().unwrap().contains(&id) {
            bytes.extend_from_slice(b"changed\r\n");
        }
        Ok(message::Composed {
            return_path: "bounce@shop.example".to_owned(),
            digest: digest_of(&bytes),
            bytes,
            message_id: String::new(),
            smtputf8: false,
        })
    }
}

pub struct Story {
    pub store: Store,
    pub queue: Queue,
    pub maker: Arc<Maker>,
    pub world: Arc<Internet>,
}

impl Story {
    pub async fn begin(store: Store) -> Self {
        store.migrate(&[queue::MIGRATIONS, archive::MIGRATIONS]).await.unwrap();
        let queue = Queue::new(store.clone(), 1);
        queue.recover(T0).await.unwrap();
        let world = Internet {
            resolver: Arc::new(StaticResolver::new()),
            clock: Arc::new(SystemClock),
            tls: Tls::new(&[]).unwrap(),
            guard: Guard::new(vec!["127.0.0.0/8".parse().unwrap()]),
            policies: None,
        };
        Self { store, queue, maker: Arc::new(Maker::default()), world: Arc::new(world) }
    }

    pub fn archive(&self, keeping: Keeping) -> Archive {
        let parts = Parts {
            queue: self.queue.clone(),
            compose: Arc::clone(&self.maker) as Arc<dyn Compose>,
            world: Arc::clone(&self.world) as Arc<dyn mta::World>,
        };
        Archive::start(Config { keeping }, parts).unwrap()
    }

    /// Confirms a delivery with copies; its messages are claimed.
    pub async fn confirm(&self, delivery: i64, count: i64) -> Vec<Message> {
        let spec = RunSpec {
            delivery,
            priority: Priority::Normal,
            pool: "default".to_owned(),
            start_at: T0,
            valid_until: T0 + 120 * queue::HOUR_US,
            retry: RetryPlan::default(),
            test_smtp: false,
            bcc: true,
            signing: String::new(),
            seen: 0,
            services: Vec::new(),
        };
        let messages = (0..count).map(move |n| NewMessage {
            id: message_id(delivery, n),
            recipient: n,
            domain: "a.example".to_owned(),
            flags: 0,
            address: format!("user{n}@a.example"),
            slots: vec![],
        });
        let part = NewPart {
            first_id: message_id(delivery, 0),
            last_id: message_id(delivery, count - 1),
            snapshot: "hash".to_owned(),
            wave: 0,
            lane: "a.example".to_owned(),
            due_us: 0,
            messages: count,
        };
        let run = self
            .store
            .write(Lane::Bulk, move |tx| {
                plan::insert_messages(tx, messages)?;
                plan::insert_parts(tx, delivery, vec![part])?;
                queue::runs::start(tx, &spec, T0)
            })
            .await
            .unwrap();
        let claimed = self.queue.claim(&run, "a.example", 10, T0).await.unwrap();
        claimed.into_iter().flat_map(|(_, messages)| messages).collect()
    }

    /// Settles these messages as sent.
    pub async fn sent(&self, messages: &[Message]) {
        let settled = messages.iter().map(|message| Settlement {
            id: message.id,
            recipient: message.recipient,
            part: Arc::clone(&message.part),
            verdict: Verdict::Final {
                state: FinalState::Sent,
                digest: Some(digest_of(&bytes_of(message.id))),
            },
            attempts: 1,
            first_try: Some(T0),
            last_try: Some(T0),
            site: "a.example".into(),
            source: None,
            reason: None,
            reply: None,
            nonexistent: None,
            octets: 0,
            tls: None,
        });
        self.queue.settle(Arc::new(settled.collect()), vec![], Arc::new(NoQuarantine)).await.unwrap();
    }

    /// Confirms and sends everything at once; answers the message numbers.
    pub async fn campaign(&self, delivery: i64, count: i64) -> Vec<i64> {
        let messages = self.confirm(delivery, count).await;
        self.sent(&messages).await;
        messages.iter().map(|message| message.id).collect()
    }
}

pub fn post(port: u16, connections: u32) -> Keeping {
    Keeping::Post(PostConfig {
        address: "archive@vault.example".to_owned(),
        domain: "vault.example".to_owned(),
        connections,
        courier: CourierConfig {
            source: Source { name: "default".to_owned(), bind: None, ehlo: "out.shop.example".to_owned() },
            relay: Some(Relay {
                host: "127.0.0.1".to_owned(),
                port,
                tls: RelayTls::None,
                login: None,
                connections: 1,
                messages_per_connection: 1,
            }),
            port: 25,
        },
    })
}

pub fn folder(path: &Path, compress: Compress, batch: u32, wait: Duration) -> FolderConfig {
    FolderConfig { path: path.join("archive"), compress, batch, wait, retention: None }
}

/// How long something is waited for. It costs nothing where all is well, and a busy machine may need it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until the archive stands as wanted.
pub async fn until(archive: &Archive, what: &str, enough: impl Fn(&State) -> bool) -> State {
    let begin = Instant::now();
    loop {
        let state = archive.state().await.unwrap();
        if enough(&state) {
            return state;
        }
        assert!(begin.elapsed() < PATIENCE, "never {what}: {state:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What the server says at a step (`mail`, `rcpt`, `dot`); `None`: it takes it. `cut` closes the connection.
type Script = Arc<dyn Fn(&str, &str) -> Option<String> + Send + Sync>;

/// Message → how often it came, and its bytes.
pub type Taken = HashMap<i64, (usize, Vec<u8>)>;

/// A port on which nobody listens, and which nobody else can take.
pub struct Closed(TcpSocket);

impl Closed {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self(socket)
    }

    pub fn number(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }
}

/// The archive's server.
#[derive(Clone)]
pub struct Server {
    pub taken: Arc<Mutex<Taken>>,
    pub envelopes: Arc<Mutex<Vec<String>>>,
    pub connections: Arc<AtomicUsize>,
    script: Script,
}

impl Server {
    pub fn new(script: impl Fn(&str, &str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self {
            taken: Arc::default(),
            envelopes: Arc::default(),
            connections: Arc::default(),
            script: Arc::new(script),
        }
    }

    pub async fn listen(&self) -> u16 {
        let port = Closed::new();
        let number = port.number();
        self.listen_on(port);
        number
    }

    pub fn listen_on(&self, port: Closed) {
        let listener = port.0.listen(1_024).unwrap();
        let me = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                me.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(me.clone().talk(stream));
            }
        });
    }

    pub fn times(&self, id: i64) -> usize {
        self.taken.lock().unwrap().get(&id).map_or(0, |(times, _)| *times)
    }

    async fn talk(self, stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).unwrap();
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        write.write_all(b"220 vault\r\n").await.ok()?;
        let mut line = String::new();
        loop {
            line.clear();
            if read.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let (verb, usual) = match line.get(..4)? {
                "EHLO" => ("ehlo", "250-vault\r\n250 PIPELINING"),
                "MAIL" => ("mail", "250 ok"),
                "RCPT" => ("rcpt", "250 ok"),
                "DATA" => ("data", "354 go"),
                "QUIT" => ("quit", "221 bye"),
                _ => ("rset", "250 ok"),
            };
            if matches!(verb, "mail" | "rcpt") {
                self.envelopes.lock().unwrap().push(line.trim().to_owned());
            }
            let said = (self.script)(verb, &line).unwrap_or_else(|| usual.to_owned());
            if said == "cut" {
                return None;
            }
            write.write_all(format!("{said}\r\n").as_bytes()).await.ok()?;
            if said.starts_with("354") {
                let body = body(&mut read).await?;
                let text = String::from_utf8_lossy(&body).into_owned();
                let id: i64 = text.split_once('<')?.1.split_once('@')?.0.parse().ok()?;
                let said = (self.script)("dot", &text).unwrap_or_else(|| "250 taken".to_owned());
                if said.starts_with('2') || said == "cut" {
                    let mut taken = self.taken.lock().unwrap();
                    let entry = taken.entry(id).or_default();
                    *entry = (entry.0 + 1, body);
                }
                if said == "cut" {
                    return None;
                }
                write.write_all(format!("{said}\r\n").as_bytes()).await.ok()?;
            }
        }
    }
}

/// The message, its dots unstuffed.
async fn body(read: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if read.read_until(b'\n', &mut line).await.ok()? == 0 {
            return None;
        }
        if line == b".\r\n" {
            return Some(body);
        }
        body.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
