//! The DNS double: a small authority for everything, over UDP and TCP on one loopback port.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use crate::limits::{DNS_MESSAGE_MAX, DNS_UDP_EDNS_MAX, DNS_UDP_MAX, PORT_TRIES_MAX};
use crate::wire::{Question, read_question, write_answer_as};
use crate::zone::{Reply, Zone};

/// A running DNS double. Dropping it ends it.
pub struct DnsDouble {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    zone: RwLock<Zone>,
    questions: AtomicU64,
}

impl Shared {
    fn answer(&self, question: &Question) -> Reply {
        self.questions.fetch_add(1, Ordering::Relaxed);
        self.zone.read().unwrap_or_else(PoisonError::into_inner).answer(&question.name, question.kind)
    }
}

impl DnsDouble {
    /// Starts on `address` (port 0: a free one), UDP and TCP on the same port.
    ///
    /// # Errors
    /// When no port is free or the address is not ours.
    pub async fn start(zone: Zone, address: SocketAddr) -> io::Result<DnsDouble> {
        let (udp, tcp) = bind_both(address).await?;
        let address = udp.local_addr()?;
        let shared = Arc::new(Shared { zone: RwLock::new(zone), questions: AtomicU64::new(0) });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(Arc::new(udp), Arc::clone(&shared)));
        tasks.spawn(serve_tcp(tcp, Arc::clone(&shared)));
        Ok(DnsDouble { address, shared, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many questions were asked so far.
    #[must_use]
    pub fn questions(&self) -> u64 {
        self.shared.questions.load(Ordering::Relaxed)
    }

    /// Changes the zone while it is served.
    pub fn change<T>(&self, change: impl FnOnce(&mut Zone) -> T) -> T {
        change(&mut self.shared.zone.write().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn bind_both(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = None;
    for _ in 0..PORT_TRIES_MAX {
        let udp = UdpSocket::bind(address).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::from(io::ErrorKind::AddrInUse)))
}

async fn serve_udp(socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut buffer = vec![0; DNS_MESSAGE_MAX];
    // Answers that take their time wait in tasks of their own, ended with this one.
    let mut waiting = JoinSet::new();
    loop {
        let Ok((len, peer)) = socket.recv_from(&mut buffer).await else { continue };
        let Some(question) = read_question(&buffer[..len]) else { continue };
        let reply = shared.answer(&question);
        let Some(code) = reply.code else { continue };
        let len_max =
            question.edns.map_or(DNS_UDP_MAX, |size| usize::from(size).clamp(DNS_UDP_MAX, DNS_UDP_EDNS_MAX));
        let octets = write_answer_as(&question, code, &reply.answers, reply.secure, len_max);
        if reply.delay.is_zero() {
            let _ = socket.send_to(&octets, peer).await;
        } else {
            let socket = Arc::clone(&socket);
            waiting.spawn(async move {
                tokio::time::sleep(reply.delay).await;
                let _ = socket.send_to(&octets, peer).await;
            });
        }
        while waiting.try_join_next().is_some() {}
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let mut open = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let shared = Arc::clone(&shared);
            open.spawn(async move {
                let _ = serve_stream(stream, &shared).await;
            });
        }
        while open.try_join_next().is_some() {}
    }
}

async fn serve_stream(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    loop {
        let len = usize::from(stream.read_u16().await?);
        let mut message = vec![0; len];
        stream.read_exact(&mut message).await?;
        let Some(question) = read_question(&message) else { return Ok(()) };
        let reply = shared.answer(&question);
        tokio::time::sleep(reply.delay).await;
        let Some(code) = reply.code else { continue };
        let octets = write_answer_as(&question, code, &reply.answers, reply.secure, DNS_MESSAGE_MAX);
        let mut framed = (octets.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(&octets);
        stream.write_all(&framed).await?;
    }
}
