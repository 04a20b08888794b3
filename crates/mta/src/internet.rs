//! The real world: `net`'s resolver, guard, dial and TLS behind [`World`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use net::{Clock, Demand, Guard, Resolver, Secured, Tls};
use routes::{Session, TransportPolicies};
use smtp::Stage;
use tokio::io::AsyncWriteExt;

use crate::world::{Boxed, DaneAnswer, Dialled, Host, MailHosts, Stream, Target, TlsSeen, World};

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
    /// What recipients' domains say about TLS; `None`: nobody is asked.
    pub policies: Option<TransportPolicies>,
}

impl World for Internet {
    fn now_us(&self) -> i64 {
        self.clock.now_us()
    }

    fn sleep_until(&self, at_us: i64) -> Boxed<'static, ()> {
        let clock = Arc::clone(&self.clock);
        Box::pin(async move { clock.sleep_until(at_us).await })
    }

    fn mono_us(&self) -> i64 {
        self.clock.mono_us()
    }

    fn sleep_until_mono(&self, at_us: i64) -> Boxed<'static, ()> {
        let clock = Arc::clone(&self.clock);
        Box::pin(async move { clock.sleep_until_mono(at_us).await })
    }

    fn mail_hosts<'a>(&'a self, domain: &'a str) -> Boxed<'a, MailHosts> {
        Box::pin(async move {
            match net::mail_hosts(&*self.resolver, domain).await {
                net::MailHosts::Hosts { hosts, secure } => {
                    let policy = match &self.policies {
                        Some(policies) => policies.of(domain, self.clock.now_us()).await,
                        None => None,
                    };
                    let host = |host: net::MailHost| Host {
                        preference: host.preference,
                        name: host.name,
                        secure,
                        policy: policy.clone(),
                    };
                    MailHosts::Hosts(hosts.into_iter().map(host).collect())
                }
                net::MailHosts::NullMx => MailHosts::NullMx,
                net::MailHosts::NoSuchDomain | net::MailHosts::NoHost => MailHosts::NoDomain,
                net::MailHosts::Defer(why) => MailHosts::Unanswered(why),
            }
        })
    }

    fn dial<'a>(&'a self, target: Target<'a>) -> Boxed<'a, io::Result<Dialled>> {
        Box::pin(async move {
            let exempt = Guard::exempt();
            let guard = if target.configured { &exempt } else { &self.guard };
            let addresses = self.addresses(target.host).await?;
            let mut last = no_address(target.bind.filter(|_| !addresses.is_empty()));
            for address in addresses {
                // A source address of the other family cannot reach it.
                if target.bind.is_some_and(|bind| bind.is_ipv4() != address.is_ipv4()) {
                    continue;
                }
                let to = SocketAddr::new(address, target.port);
                let timeout = target.timeout / 3;
                let dialled = match target.proxy {
                    Some(proxy) => by_proxy(guard, proxy, target.bind, to, timeout).await,
                    None => net::dial(guard, to, target.bind, timeout).await.map_err(io::Error::other),
                };
                match dialled {
                    Ok(stream) => return Ok(Dialled { stream: Box::new(stream), address }),
                    Err(error) => last = error,
                }
            }
            Err(last)
        })
    }

    fn dane<'a>(&'a self, host: &'a str, port: u16) -> Boxed<'a, DaneAnswer> {
        Box::pin(async move {
            match net::mail_host_tlsa(&*self.resolver, host, port).await {
                Ok(Some(found)) => {
                    let usable = net::dane_usable(&found.records);
                    if usable.is_empty() {
                        DaneAnswer::Unusable
                    } else {
                        DaneAnswer::Records { base: found.base, records: usable.into() }
                    }
                }
                Ok(None) => DaneAnswer::Absent,
                Err(error) => DaneAnswer::Unknown(error.to_string()),
            }
        })
    }

    fn secure<'a>(
        &'a self,
        stream: Box<dyn Stream>,
        host: &'a str,
        demand: &'a Demand,
    ) -> Boxed<'a, io::Result<(Box<dyn Stream>, Secured)>> {
        Box::pin(async move {
            match self.tls.connect(demand, host, stream, Stage::Handshake.timeout()).await {
                Ok((stream, secured)) => Ok((Box::new(stream) as Box<dyn Stream>, secured)),
                Err(error) => Err(io::Error::other(error)),
            }
        })
    }

    fn tls_seen(&self, seen: TlsSeen<'_>) {
        if let Some(policies) = &self.policies {
            let session =
                Session { host: seen.host, from: seen.from, to: seen.to, dane: seen.dane, fault: seen.fault };
            policies.count(seen.policy, &session, self.clock.now_us());
        }
    }
}

/// Why nothing was dialled: `bind` is the source's address where it is of another family than all of the host's.
fn no_address(bind: Option<IpAddr>) -> io::Error {
    let words = match bind {
        None => "the host has no address".to_owned(),
        Some(bind) => {
            let (ours, theirs) = if bind.is_ipv4() { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
            format!("the host has {theirs} addresses only, and our source address {bind} is {ours}")
        }
    };
    io::Error::new(io::ErrorKind::AddrNotAvailable, words)
}

/// Asks a proxy of ours to dial. The guard looks at whom it will dial; the proxy itself is configured.
async fn by_proxy(
    guard: &Guard,
    proxy: SocketAddr,
    source: Option<IpAddr>,
    to: SocketAddr,
    timeout: Duration,
) -> io::Result<tokio::net::TcpStream> {
    guard.check(to.ip()).map_err(io::Error::other)?;
    let dialled = net::dial(&Guard::exempt(), proxy, None, timeout).await;
    let named = |error: &dyn std::fmt::Display| io::Error::other(format!("the proxy {proxy}: {error}"));
    let mut stream = dialled.map_err(|error| named(&error))?;
    stream.write_all(&net::proxy_header(source, to)).await.map_err(|error| named(&error))?;
    Ok(stream)
}

/// One of each family by turns, IPv4 first: a family that leads nowhere on this machine costs one try.
fn by_turns(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(IpAddr::is_ipv4);
    let (mut v4, mut v6) = (v4.into_iter(), v6.into_iter());
    let mut turns = Vec::with_capacity(v4.len() + v6.len());
    loop {
        match (v4.next(), v6.next()) {
            (None, None) => return turns,
            (one, other) => turns.extend(one.into_iter().chain(other)),
        }
    }
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
        self.resolver.addresses(host).await.map(by_turns).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let read = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let all = read(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"]);
        assert_eq!(by_turns(all), read(&["192.0.2.1", "2001:db8::1", "192.0.2.2", "192.0.2.3"]));
        assert_eq!(by_turns(read(&["2001:db8::1"])), read(&["2001:db8::1"]));
    }
}
