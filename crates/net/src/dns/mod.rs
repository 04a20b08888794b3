//! DNS: what can be asked, what an answer is, and who answers.

mod cache;
mod hosts;
mod keys;
mod mail_host_tlsa;
mod servers;
mod statics;
mod wildcards;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::Pending;
use crate::clock::Clock;

pub use cache::CachedResolver;
pub use hosts::{MailHost, MailHosts, mail_hosts};
pub use mail_host_tlsa::{HostTlsa, mail_host_tlsa};
pub use servers::{DnsResolver, Dnssec};
pub use statics::StaticResolver;

/// Answers that the cache keeps, of all kinds together.
pub const CACHE_ENTRIES_MAX: usize = 200_000;

/// Least time that an answer is kept: a TTL of 0 would ask once a message.
pub const TTL_MIN_S: u32 = 30;

/// Longest time that an answer is kept.
pub const TTL_MAX_S: u32 = 24 * 3_600;

/// Longest time that "no such name" is kept (RFC 2308 section 5 suggests one to three hours).
pub const NEGATIVE_TTL_MAX_S: u32 = 3_600;

/// Time that a failed look-up is kept, so that a dead name server is not asked once a message (RFC 2308 section 7
/// allows up to five minutes).
pub const FAILURE_TTL_S: u32 = 30;

/// Wait for one answer of a name server, where nobody set another.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Times that a question is sent before the look-up fails, where nobody set another.
pub const LOOKUP_TRIES: usize = 4;

/// Look-ups under way at once; more wait.
pub const LOOKUPS_MAX: usize = 500;

/// Records kept of one answer.
pub const RECORDS_MAX: usize = 100;

/// Hosts of a domain that are tried.
pub const MAIL_HOSTS_MAX: usize = 20;

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// Mail exchangers of a domain.
    Mx,
    /// IPv4 addresses of a host.
    A,
    /// IPv6 addresses of a host.
    Aaaa,
    /// Texts.
    Txt,
    /// The name of an address; asked with the address's reverse name.
    Ptr,
    /// Certificates of a service (RFC 6698); asked with [`tlsa_name`].
    Tlsa,
    /// What a name is an alias of, by itself: every other kind is answered with what is at the end.
    Cname,
}

impl RecordKind {
    /// Whether somebody asks how sure the answer is: what DANE builds on (RFC 7672 section 2). Texts are policies and
    /// keys that are read the same from an unsigned zone, so proving them would only cost questions.
    pub fn is_proven(self) -> bool {
        !matches!(self, RecordKind::Txt | RecordKind::Ptr)
    }
}

/// A mail exchanger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mx {
    /// The lower, the earlier it is tried.
    pub preference: u16,
    /// Lower-case host name without the root dot; empty for the root itself (RFC 7505).
    pub host: String,
}

/// What a service's certificate must be (RFC 6698 section 2.1), as it stands in the DNS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tlsa {
    /// 0 PKIX-TA, 1 PKIX-EE, 2 DANE-TA, 3 DANE-EE.
    pub usage: u8,
    /// 0 the certificate, 1 its public key.
    pub selector: u8,
    /// 0 in full, 1 SHA-256, 2 SHA-512.
    pub matching: u8,
    /// What is compared.
    pub data: Vec<u8>,
}

impl std::fmt::Display for Tlsa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} ", self.usage, self.selector, self.matching)?;
        self.data.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// One record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A mail exchanger.
    Mx(Mx),
    /// An address.
    Address(IpAddr),
    /// A text, its strings joined (RFC 7208 section 3.3); octets outside UTF-8 are replaced.
    Txt(String),
    /// A name, lower-case without the root dot.
    Ptr(String),
    /// What a certificate must be.
    Tlsa(Tlsa),
    /// What the name is an alias of, lower-case without the root dot.
    Cname(String),
}

/// A positive answer: at least one record of the kind that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    /// At most [`RECORDS_MAX`].
    pub records: Arc<[Record]>,
    /// Seconds that it may be kept.
    pub ttl_s: u32,
    /// The whole answer, aliases and all, is proven by DNSSEC (RFC 4035). False is the ordinary case: an unsigned zone,
    /// a kind that is not proven, or name servers without DNSSEC. An answer that is *wrong* is none: it is deferred.
    pub secure: bool,
    /// The name at the end of the aliases, where the one that was asked about is an alias.
    pub alias: Option<Arc<str>>,
}

/// Why there is no record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DnsError {
    /// The name does not exist (NXDOMAIN).
    #[error("the name does not exist")]
    NoSuchName {
        /// Seconds that this may be kept.
        ttl_s: u32,
    },
    /// The name exists and has no record of this kind.
    #[error("there is no such record")]
    NoRecord {
        /// Seconds that this may be kept.
        ttl_s: u32,
    },
    /// No answer, or one that says nothing (time-out, SERVFAIL, REFUSED): ask again later.
    #[error("no answer from the name servers: {0}")]
    Defer(String),
}

impl DnsError {
    /// Whether it is known that there is none, as opposed to not known.
    pub fn is_negative(&self) -> bool {
        !matches!(self, DnsError::Defer(_))
    }
}

/// Somebody who answers DNS questions.
pub trait Resolver: Send + Sync {
    /// The records of a kind under a name, which may be in any case, with or without the root dot. No search list is
    /// applied.
    fn lookup<'a>(&'a self, name: &'a str, kind: RecordKind) -> Pending<'a, Result<Records, DnsError>>;

    /// The mail exchangers of a domain, unordered. [`mail_hosts`] says what follows from them.
    fn mx<'a>(&'a self, domain: &'a str) -> Pending<'a, Result<Vec<Mx>, DnsError>> {
        Box::pin(async move { Ok(exchangers(&self.lookup(domain, RecordKind::Mx).await?)) })
    }

    /// The IPv4 addresses of a host.
    fn a<'a>(&'a self, host: &'a str) -> Pending<'a, Result<Vec<IpAddr>, DnsError>> {
        Box::pin(async move { Ok(addresses(&self.lookup(host, RecordKind::A).await?)) })
    }

    /// The IPv6 addresses of a host.
    fn aaaa<'a>(&'a self, host: &'a str) -> Pending<'a, Result<Vec<IpAddr>, DnsError>> {
        Box::pin(async move { Ok(addresses(&self.lookup(host, RecordKind::Aaaa).await?)) })
    }

    /// All addresses of a host, IPv4 first. An error only when there is no address at all: then *deferred* if either
    /// kind could not be had.
    fn addresses<'a>(&'a self, host: &'a str) -> Pending<'a, Result<Vec<IpAddr>, DnsError>> {
        Box::pin(async move { self.proven_addresses(host).await.map(|(addresses, _)| addresses) })
    }

    /// All addresses of a host, IPv4 first, and whether each of them is proven. As [`Resolver::addresses`] otherwise.
    fn proven_addresses<'a>(&'a self, host: &'a str) -> Pending<'a, Result<(Vec<IpAddr>, bool), DnsError>> {
        Box::pin(async move {
            let asked = tokio::join!(self.lookup(host, RecordKind::A), self.lookup(host, RecordKind::Aaaa));
            match asked {
                (Ok(v4), Ok(v6)) => Ok(([addresses(&v4), addresses(&v6)].concat(), v4.secure && v6.secure)),
                (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok((addresses(&one), one.secure)),
                (Err(error), Err(other)) => Err(if error.is_negative() { other } else { error }),
            }
        })
    }

    /// What the certificate of a host's TCP service must be, and whether that is proven. Nothing published: empty, false.
    /// *Deferred* must not be read as nothing (RFC 7672 section 2.1.1): that is what a downgrade looks like.
    fn tlsa<'a>(&'a self, host: &'a str, port: u16) -> Pending<'a, Result<(Vec<Tlsa>, bool), DnsError>> {
        Box::pin(async move {
            let found = match self.lookup(&tlsa_name(host, port), RecordKind::Tlsa).await {
                Err(error) if error.is_negative() => return Ok((Vec::new(), false)),
                found => found?,
            };
            let records = found.records.iter().filter_map(|record| match record {
                Record::Tlsa(tlsa) => Some(tlsa.clone()),
                _ => None,
            });
            Ok((records.collect(), found.secure))
        })
    }

    /// The texts under a name.
    fn txt<'a>(&'a self, name: &'a str) -> Pending<'a, Result<Vec<String>, DnsError>> {
        Box::pin(async move {
            let found = self.lookup(name, RecordKind::Txt).await?;
            let texts = found.records.iter().filter_map(|record| match record {
                Record::Txt(text) => Some(text.clone()),
                _ => None,
            });
            Ok(texts.collect())
        })
    }

    /// The names of an address.
    fn ptr(&self, address: IpAddr) -> Pending<'_, Result<Vec<String>, DnsError>> {
        Box::pin(async move {
            let found = self.lookup(&reverse_name(address), RecordKind::Ptr).await?;
            let names = found.records.iter().filter_map(|record| match record {
                Record::Ptr(name) => Some(name.clone()),
                _ => None,
            });
            Ok(names.collect())
        })
    }
}

/// How long a name server is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Wait for one answer.
    pub timeout: Duration,
    /// Times that a question is sent before the look-up fails; at least 1.
    pub tries: usize,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { timeout: LOOKUP_TIMEOUT, tries: LOOKUP_TRIES }
    }
}

/// The resolver that the program runs on: the given name servers (`ip` or `ip:port`, port 53 by default), or the
/// system's when there is none, behind the cache. `dnssec` says who proves answers.
pub fn open_resolver(
    name_servers: &[String],
    dnssec: Dnssec,
    patience: Patience,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Resolver>, DnsError> {
    Ok(Arc::new(CachedResolver::new(DnsResolver::open(name_servers, dnssec, patience)?, clock)))
}

/// Where the TLSA records of a host's TCP service stand (RFC 6698 section 3).
pub fn tlsa_name(host: &str, port: u16) -> String {
    format!("_{port}._tcp.{}", canonical(host))
}

fn exchangers(found: &Records) -> Vec<Mx> {
    let exchangers = found.records.iter().filter_map(|record| match record {
        Record::Mx(mx) => Some(mx.clone()),
        _ => None,
    });
    exchangers.collect()
}

fn addresses(found: &Records) -> Vec<IpAddr> {
    let addresses = found.records.iter().filter_map(|record| match record {
        Record::Address(address) => Some(*address),
        _ => None,
    });
    addresses.collect()
}

/// The form under which a name is kept: lower case, without the root dot.
fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// RFC 1035 section 3.5 and RFC 3596 section 2.5.
fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => reverse_v4(v4),
        IpAddr::V6(v6) => reverse_v6(v6),
    }
}

fn reverse_v4(v4: Ipv4Addr) -> String {
    let [a, b, c, d] = v4.octets();
    format!("{d}.{c}.{b}.{a}.in-addr.arpa")
}

fn reverse_v6(v6: Ipv6Addr) -> String {
    let nibbles = v6.octets().into_iter().rev().map(|octet| format!("{:x}.{:x}.", octet & 15, octet >> 4));
    nibbles.collect::<String>() + "ip6.arpa"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverse_names() {
        assert_eq!(reverse_name("192.0.2.1".parse().expect("valid")), "1.2.0.192.in-addr.arpa");
        assert_eq!(
            reverse_name("2001:db8::567:89ab".parse().expect("valid")),
            "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }

    #[tokio::test]
    async fn addresses_are_of_both_kinds_and_deferred_when_none_is_sure() {
        let resolver = StaticResolver::new();
        resolver.a("both.example", &["192.0.2.1"]);
        resolver.aaaa("both.example", &["2001:db8::1"]);
        resolver.aaaa("six.example", &["2001:db8::2"]);
        resolver.fails("half.example", RecordKind::Aaaa);
        resolver.a("half.example", &["192.0.2.2"]);
        resolver.fails("dark.example", RecordKind::A);
        let shown = |found: Result<Vec<IpAddr>, DnsError>| {
            found.map(|list| list.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(shown(resolver.addresses("both.example").await), Ok("192.0.2.1 2001:db8::1".to_owned()));
        assert_eq!(shown(resolver.addresses("six.example").await), Ok("2001:db8::2".to_owned()));
        assert_eq!(shown(resolver.addresses("half.example").await), Ok("192.0.2.2".to_owned()));
        assert!(matches!(resolver.addresses("dark.example").await, Err(DnsError::Defer(_))));
        assert!(matches!(resolver.addresses("none.example").await, Err(DnsError::NoSuchName { .. })));
    }
}
