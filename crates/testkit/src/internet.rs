//! A world brought to life: its name server and its receivers, on free loopback ports.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::ahead::Ahead;
use crate::certificates::{Authority, KeyKind};
use crate::dns::DnsDouble;
use crate::limits::PORT_TRIES_MAX;
use crate::log::Log;
use crate::mailboxes::Mailboxes;
use crate::provider::Provider;
use crate::receiver::{Receiver, Shared};
use crate::tls::Tls;
use crate::world::{Place, World};
use crate::zone::Zone;

/// How an internet is started.
#[derive(Clone, Default)]
pub struct InternetOptions {
    /// The receivers' port; 0: one that is free on all addresses.
    pub port: u16,
    /// The receivers' log; none: one in memory.
    pub log: Option<Arc<Log>>,
    /// Forget accepted mail instead of keeping it for the mailbox page.
    pub forget_mail: bool,
    /// The receivers' clock.
    pub clock: Ahead,
    /// Who signs good certificates; none: a new authority.
    pub authority: Option<Arc<Authority>>,
}

/// A running internet. Dropping it ends it.
pub struct Internet {
    dns: DnsDouble,
    receivers: Vec<Receiver>,
    port: u16,
    log: Arc<Log>,
    mailboxes: Arc<Mailboxes>,
    authority: Arc<Authority>,
    certificates: HashMap<String, Tls>,
}

impl Internet {
    /// Starts the name server and all receivers of a world.
    ///
    /// # Errors
    /// When no port is free on all addresses, or a certificate cannot be made.
    pub async fn start(world: &World, options: InternetOptions) -> io::Result<Internet> {
        let log = options.log.unwrap_or_else(Log::new);
        let mailboxes = Arc::new(Mailboxes::default());
        let authority = match options.authority {
            Some(authority) => authority,
            None => Arc::new(Authority::new()?),
        };
        let kept = (!options.forget_mail).then(|| Arc::clone(&mailboxes));
        let mut shared = Shared::new(Arc::clone(&log), kept, None);
        shared.clock = options.clock;
        let mut certificates = HashMap::new();
        let (port, sockets) = bind_all(world, options.port).await?;
        let mut receivers = Vec::new();
        for (place, listeners) in world.places.iter().zip(sockets) {
            let provider = Provider::new(place.behaviour.clone());
            let identity = authority.issue(&place.hosts(), place.behaviour.certificate, KeyKind::Ecdsa)?;
            let tls = Tls::of(identity)?;
            shared.tls = Some(tls.clone());
            certificates.insert(place.behaviour.name.clone(), tls);
            for listener in listeners {
                receivers.push(Receiver::on(listener, Arc::clone(&provider), shared.clone())?);
            }
        }
        let dns = DnsDouble::start(world.zone(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        Ok(Internet { dns, receivers, port, log, mailboxes, authority, certificates })
    }

    /// The name server: goes into `mta.nameservers`.
    #[must_use]
    pub fn nameserver(&self) -> SocketAddr {
        self.dns.address()
    }

    /// The port of all receivers: goes into `mta.port`.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The ranges that must be dialled: goes into `net.allow`.
    #[must_use]
    pub fn allow(&self) -> Vec<String> {
        vec!["127.0.0.0/8".to_owned()]
    }

    /// The settings that point a server at this internet, as TOML.
    #[must_use]
    pub fn settings(&self) -> String {
        format!(
            "[mta]\nnameservers = [\"{}\"]\nport = {}\n\n[net]\nallow = [\"127.0.0.0/8\"]\n",
            self.nameserver(),
            self.port
        )
    }

    /// Publishes a DNS record, such as those that `domain add` prints. Answers whether it could be read.
    pub fn publish(&self, name: &str, kind: &str, value: &str) -> bool {
        self.dns.change(|zone| zone.publish(name, kind, value))
    }

    /// Changes the zone.
    pub fn change_zone<T>(&self, change: impl FnOnce(&mut Zone) -> T) -> T {
        self.dns.change(change)
    }

    /// The provider of this name.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.receivers.iter().map(Receiver::provider).find(|provider| provider.behaviour().name == name)
    }

    /// All addresses that listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.receivers.iter().map(Receiver::address).collect()
    }

    /// What the receivers saw.
    #[must_use]
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// The mail that arrived.
    #[must_use]
    pub fn mailboxes(&self) -> &Arc<Mailboxes> {
        &self.mailboxes
    }

    /// The certificate of the provider of this name.
    #[must_use]
    pub fn certificate(&self, provider: &str) -> Option<&Tls> {
        self.certificates.get(provider)
    }

    /// Who signed the good certificates.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Questions asked of the name server so far.
    #[must_use]
    pub fn questions(&self) -> u64 {
        self.dns.questions()
    }
}

/// All addresses of all places on one port.
async fn bind_all(world: &World, port: u16) -> io::Result<(u16, Vec<Vec<TcpListener>>)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..if port == 0 { PORT_TRIES_MAX } else { 1 } {
        let port = if port == 0 { free_port().await? } else { port };
        match bind_places(&world.places, port).await {
            Ok(sockets) => return Ok((port, sockets)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?.port())
}

async fn bind_places(places: &[Place], port: u16) -> io::Result<Vec<Vec<TcpListener>>> {
    let mut sockets = Vec::with_capacity(places.len());
    for place in places {
        let mut listeners = Vec::with_capacity(place.addresses.len());
        for address in &place.addresses {
            listeners.push(TcpListener::bind((IpAddr::V4(*address), port)).await?);
        }
        sockets.push(listeners);
    }
    Ok(sockets)
}
