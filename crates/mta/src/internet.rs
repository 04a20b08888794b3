//! The real world: `net`'s resolver, guard, dial and TLS behind [`World`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use net::{Clock, Guard, Resolver, Tls, TlsMode};
use smtp::Stage;

use crate::world::{Boxed, Host, MailHosts, Stream, Target, World};

/// The internet as `net` shows it.
#[derive(Clone)]
pub struct Internet {
    /// Names.
    pub resolver: Arc<dyn Resolver>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// TLS.
    pub tls: Tls,
    /// Which addresses may be dialled.
    pub guard: Guard,
}

impl World for Internet {
    fn now_us(&self) -> i64 {
        self.clock.now_us()
    }

    fn sleep_until(&self, at_us: i64) -> Boxed<'static, ()> {
        let clock = Arc::clone(&self.clock);
        Box::pin(async move { clock.sleep_until(at_us).await })
    }

    fn mail_hosts<'a>(&'a self, domain: &'a str) -> Boxed<'a, MailHosts> {
        Box::pin(async move {
            match net::mail_hosts(&*self.resolver, domain).await {
                net::MailHosts::Hosts(hosts) => MailHosts::Hosts(
                    hosts
                        .into_iter()
                        .map(|host| Host { preference: host.preference, name: host.name })
                        .collect(),
                ),
                net::MailHosts::NullMx => MailHosts::NullMx,
                net::MailHosts::NoSuchDomain | net::MailHosts::NoHost => MailHosts::NoDomain,
                net::MailHosts::Defer(why) => MailHosts::Unanswered(why),
            }
        })
    }

    fn dial<'a>(&'a self, target: Target<'a>) -> Boxed<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let exempt = Guard::exempt();
            let guard = if target.configured { &exempt } else { &self.guard };
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
            for address in self.addresses(target.host).await? {
                // A source address of the other family cannot reach it.
                if target.bind.is_some_and(|bind| bind.is_ipv4() != address.is_ipv4()) {
                    continue;
                }
                let to = SocketAddr::new(address, target.port);
                match net::dial(guard, to, target.bind, address_timeout()).await {
                    Ok(stream) => return Ok(Box::new(stream) as Box<dyn Stream>),
                    Err(error) => last = io::Error::other(error),
                }
            }
            Err(last)
        })
    }

    fn secure<'a>(
        &'a self,
        stream: Box<dyn Stream>,
        host: &'a str,
        verify: bool,
    ) -> Boxed<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let mode = if verify { TlsMode::Verified } else { TlsMode::Opportunistic };
            match self.tls.connect(mode, host, stream, Stage::Handshake.timeout()).await {
                Ok(stream) => Ok(Box::new(stream) as Box<dyn Stream>),
                Err(error) => Err(io::Error::other(error)),
            }
        })
    }
}

/// A third of what the whole connection may take, so that one address that swallows packets does not hide the next
/// (RFC 5321 section 5.1: at least two are tried).
fn address_timeout() -> Duration {
    Stage::Connect.timeout() / 3
}

impl Internet {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        if host == "localhost" {
            // RFC 6761 section 6.3: never asked of the DNS. Only a configured relay gets past the guard with it.
            return Ok(vec![IpAddr::from([127, 0, 0, 1])]);
        }
        self.resolver.addresses(host).await.map_err(io::Error::other)
    }
}
