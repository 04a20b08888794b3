//! Receivers: providers that listen on loopback addresses, take mail, and write down what they saw.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::ahead::Ahead;
use crate::behaviour::{Behaviour, Stage};
use crate::limits::READ_LEN;
use crate::log::{Event, Log, What};
use crate::mailboxes::{Mail, Mailboxes};
use crate::provider::Provider;
use crate::session::{Input, Reply, Session, Step, Taken};
use crate::tls::Tls;

/// What all receivers of an internet share.
#[derive(Clone)]
pub struct Shared {
    /// Where they write down what they saw.
    pub log: Arc<Log>,
    /// Where accepted mail goes; none: it is counted and forgotten.
    pub mailboxes: Option<Arc<Mailboxes>>,
    /// Their certificate; none: STARTTLS fails.
    pub tls: Option<Tls>,
    /// Their clock, where a story sets it forward.
    pub clock: Ahead,
    connections: Arc<AtomicU64>,
}

impl Shared {
    /// Receivers that write to `log`, keep mail in `mailboxes` and shake hands with `tls`.
    #[must_use]
    pub fn new(log: Arc<Log>, mailboxes: Option<Arc<Mailboxes>>, tls: Option<Tls>) -> Shared {
        Shared { log, mailboxes, tls, clock: Ahead::default(), connections: Arc::default() }
    }
}

/// One provider listening on one address. Dropping it closes all its connections.
pub struct Receiver {
    address: SocketAddr,
    provider: Arc<Provider>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    /// Starts a provider on `address` (port 0: a free one).
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(address: SocketAddr, behaviour: Behaviour, shared: Shared) -> io::Result<Receiver> {
        let listener = TcpListener::bind(address).await?;
        Receiver::on(listener, Provider::new(behaviour), shared)
    }

    /// Starts a provider on a socket that is bound already; several addresses may share one provider.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn on(listener: TcpListener, provider: Arc<Provider>, shared: Shared) -> io::Result<Receiver> {
        let address = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&provider), shared));
        Ok(Receiver { address, provider, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The provider it plays.
    #[must_use]
    pub fn provider(&self) -> &Arc<Provider> {
        &self.provider
    }
}

async fn accept(listener: TcpListener, provider: Arc<Provider>, shared: Shared) {
    let mut open = JoinSet::new();
    loop {
        if let Ok((stream, peer)) = listener.accept().await {
            let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
            open.spawn(serve(stream, peer.ip(), Arc::clone(&provider), shared.clone(), number));
        }
        while open.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, peer: IpAddr, provider: Arc<Provider>, shared: Shared, number: u64) {
    let _ = stream.set_nodelay(true);
    let held = provider.connect(peer);
    let behaviour = provider.behaviour();
    let mut connection = Connection {
        session: Session::new(Arc::clone(&provider), peer, held.open),
        input: Input::default(),
        output: Vec::new(),
        accepted: Vec::new(),
        provider: behaviour.name.as_str().into(),
        peer,
        shared,
        number,
    };
    connection.note(What::Open, "", "");
    let _ = connection.talk(stream, behaviour.implicit_tls).await;
    connection.note(What::Close, "", "");
}

/// How a part of the dialogue ended.
enum End {
    Closed,
    StartTls,
}

/// One connection's state beside its socket.
struct Connection {
    session: Session,
    input: Input,
    output: Vec<u8>,
    /// Messages whose 250 stands in `output`.
    accepted: Vec<Pending>,
    provider: Arc<str>,
    peer: IpAddr,
    shared: Shared,
    number: u64,
}

/// A message between its dot and its 250.
struct Pending {
    taken: Taken,
    message_id: String,
    digest: String,
}

impl Pending {
    fn of(taken: Taken) -> Pending {
        let digest = blake3::hash(&taken.octets).to_hex().to_string();
        Pending { message_id: message_id(&taken.octets), digest, taken }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

impl Connection {
    async fn talk(&mut self, mut stream: TcpStream, implicit_tls: bool) -> io::Result<()> {
        if !implicit_tls {
            match self.converse(&mut stream).await? {
                End::Closed => return Ok(()),
                End::StartTls => self.input.clear(),
            }
        }
        let Some(tls) = self.shared.tls.clone() else { return Ok(()) };
        let mut stream = tls.acceptor.accept(stream).await?;
        self.note(What::Secured, "", "");
        if !implicit_tls {
            self.session.secured();
        }
        self.converse(&mut stream).await?;
        stream.shutdown().await
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> io::Result<End> {
        loop {
            match self.session.step(&mut self.input, self.shared.clock.now()) {
                Step::NeedInput => {
                    self.flush(stream).await?;
                    if !self.read(stream).await? {
                        return Ok(End::Closed);
                    }
                }
                Step::Reply(reply) => self.say(stream, reply).await?,
                Step::Close(reply) => {
                    self.say(stream, reply).await?;
                    self.flush(stream).await?;
                    return Ok(End::Closed);
                }
                Step::StartTls(reply) => {
                    self.say(stream, reply).await?;
                    self.flush(stream).await?;
                    return Ok(End::StartTls);
                }
                Step::Cut => {
                    self.flush(stream).await?;
                    self.note(What::Fault, "", "cut");
                    return Ok(End::Closed);
                }
                Step::Hang => {
                    self.flush(stream).await?;
                    self.note(What::Fault, "", "hang");
                    // What still comes is read and forgotten, so that the sender is not told by a full window.
                    while stream.read(&mut [0; 4096]).await? > 0 {}
                    return Ok(End::Closed);
                }
            }
        }
    }

    async fn read<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> io::Result<bool> {
        self.input.compact();
        self.input.octets.reserve(READ_LEN);
        Ok(stream.read_buf(&mut self.input.octets).await? > 0)
    }

    /// Replies are gathered until input runs out, as a pipelining server does, unless one has to wait.
    async fn say<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, reply: Reply) -> io::Result<()> {
        let Reply { text, delay, stage, accepts } = reply;
        let pending = accepts.map(Pending::of);
        match (&pending, stage) {
            (Some(pending), _) => self.shared.log.record([self.event_of(What::DotRead, pending)]),
            (None, Stage::Dot) => self.note(What::Refused, "", first_line(&text)),
            (None, _) => self.note(What::Command, "", first_line(&text)),
        }
        if !delay.is_zero() {
            self.flush(stream).await?;
            sleep(delay).await;
        }
        self.output.extend_from_slice(text.as_bytes());
        self.accepted.extend(pending);
        if !delay.is_zero() {
            self.flush(stream).await?;
        }
        Ok(())
    }

    async fn flush<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> io::Result<()> {
        if !self.output.is_empty() {
            stream.write_all(&self.output).await?;
            stream.flush().await?;
            self.output.clear();
        }
        let accepted = std::mem::take(&mut self.accepted);
        if accepted.is_empty() {
            return Ok(());
        }
        let events: Vec<Event> = accepted.iter().map(|one| self.event_of(What::Accepted, one)).collect();
        self.shared.log.record(events);
        for pending in accepted {
            self.deliver(pending.taken);
        }
        Ok(())
    }

    fn deliver(&self, taken: Taken) {
        let Some(mailboxes) = &self.shared.mailboxes else { return };
        let octets: Arc<[u8]> = taken.octets.into();
        for recipient in taken.recipients {
            mailboxes.put(Mail {
                id: 0,
                provider: Arc::clone(&self.provider),
                recipient,
                sender: taken.sender.clone(),
                at_us: self.shared.log.now().0,
                tls: taken.tls,
                octets: Arc::clone(&octets),
            });
        }
    }

    fn note(&self, what: What, recipient: &str, text: &str) {
        self.shared.log.record([self.event(what, recipient, text)]);
    }

    fn event_of(&self, what: What, pending: &Pending) -> Event {
        let recipient = pending.taken.recipients.first().map_or("", String::as_str);
        let mut event = self.event(what, recipient, "");
        event.message_id.clone_from(&pending.message_id);
        event.digest.clone_from(&pending.digest);
        event.octets = pending.taken.octets.len();
        event
    }

    fn event(&self, what: What, recipient: &str, text: &str) -> Event {
        let (wall_us, mono_us) = self.shared.log.now();
        Event {
            wall_us,
            mono_us,
            connection: self.number,
            provider: self.provider.to_string(),
            peer: Some(self.peer),
            what,
            recipient: recipient.to_owned(),
            message_id: String::new(),
            digest: String::new(),
            octets: 0,
            text: text.to_owned(),
        }
    }
}

/// The Message-ID field's value, with its angle brackets; empty when there is none.
fn message_id(octets: &[u8]) -> String {
    let head = memchr::memmem::find(octets, b"\r\n\r\n").map_or(octets, |end| &octets[..end]);
    head.split(|octet| *octet == b'\n')
        .find_map(|line| {
            let name = line.get(..11)?;
            name.eq_ignore_ascii_case(b"message-id:")
                .then(|| String::from_utf8_lossy(&line[11..]).trim().to_owned())
        })
        .unwrap_or_default()
}
