//! Questions to name servers, over UDP and (for long answers) TCP.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as WireError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver as Hickory, TokioResolver};

use super::{
    DnsError, LOOKUP_TIMEOUT, LOOKUP_TRIES, LOOKUPS_MAX, Mx, RECORDS_MAX, Record, RecordKind, Records,
    Resolver, TTL_MIN_S, canonical,
};
use crate::Pending;

/// Where the system lists its name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Name servers taken from a list; the C library takes three.
const NAME_SERVERS_MAX: usize = 8;

/// Wait for a whole look-up: each try, and a TCP one after a cut answer.
const WHOLE_TIMEOUT: Duration = LOOKUP_TIMEOUT.saturating_mul(LOOKUP_TRIES as u32 + 1);

/// Asks name servers anew each time. The program uses it behind [`super::CachedResolver`].
pub struct DnsResolver {
    hickory: TokioResolver,
}

impl DnsResolver {
    /// Asks the given servers (`ip` or `ip:port`), or the system's when there is none. An error is a slip in the list.
    pub fn open(name_servers: &[String]) -> Result<DnsResolver, DnsError> {
        let servers = if name_servers.is_empty() { system_servers() } else { read_servers(name_servers)? };
        let config = ResolverConfig::from_name_servers(servers.into_iter().map(name_server).collect());
        let mut builder = Hickory::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = LOOKUP_TIMEOUT;
        // Hickory counts the tries after the first.
        options.attempts = LOOKUP_TRIES - 1;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.edns0 = true;
        options.max_active_requests = LOOKUPS_MAX * 2;
        let hickory = builder.build().map_err(|error| DnsError::Defer(error.to_string()))?;
        Ok(DnsResolver { hickory })
    }

    async fn ask(&self, name: &str, kind: RecordKind) -> Result<Records, DnsError> {
        let record_type = record_type(kind);
        let question = match Name::from_ascii(format!("{}.", canonical(name))) {
            Ok(question) => question,
            // Such as a label of 64 octets: no zone can hold it.
            Err(_) => return Err(DnsError::NoSuchName { ttl_s: TTL_MIN_S }),
        };
        let lookup = tokio::time::timeout(WHOLE_TIMEOUT, self.hickory.lookup(question, record_type))
            .await
            .map_err(|_| DnsError::Defer("time-out".to_owned()))?
            .map_err(|error| read_error(&error))?;
        let mut ttl_s = u32::MAX;
        let mut records = Vec::new();
        // An alias's own records come with the answer (RFC 1034 section 3.6.2): its life is the shortest of them.
        for record in lookup.answers() {
            ttl_s = ttl_s.min(record.ttl);
            if record.record_type() == record_type && records.len() < RECORDS_MAX {
                records.extend(read_record(&record.data));
            }
        }
        if records.is_empty() {
            return Err(DnsError::NoRecord { ttl_s });
        }
        Ok(Records { records: records.into(), ttl_s })
    }
}

impl Resolver for DnsResolver {
    fn lookup<'a>(&'a self, name: &'a str, kind: RecordKind) -> Pending<'a, Result<Records, DnsError>> {
        Box::pin(self.ask(name, kind))
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = address.port();
    }
    NameServerConfig::new(address.ip(), true, connections)
}

fn read_servers(texts: &[String]) -> Result<Vec<SocketAddr>, DnsError> {
    let read = |text: &String| {
        let plain = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        plain
            .or_else(|_| text.parse())
            .map_err(|_| DnsError::Defer(format!("{text:?} is not the address of a name server")))
    };
    texts.iter().take(NAME_SERVERS_MAX).map(read).collect()
}

/// As the C library does: the listed servers, or the machine itself.
fn system_servers() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
    let mut servers = listed_servers(&text);
    if servers.is_empty() {
        servers.push(SocketAddr::from(([127, 0, 0, 1], 53)));
    }
    servers
}

fn listed_servers(text: &str) -> Vec<SocketAddr> {
    let listed = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        // A zone ("fe80::1%eth0") cannot be dialled by number; such a server is passed over.
        address.parse().ok().map(|ip| SocketAddr::new(ip, 53))
    });
    listed.take(NAME_SERVERS_MAX).collect()
}

fn record_type(kind: RecordKind) -> RecordType {
    match kind {
        RecordKind::Mx => RecordType::MX,
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
        RecordKind::Txt => RecordType::TXT,
        RecordKind::Ptr => RecordType::PTR,
    }
}

fn read_record(data: &RData) -> Option<Record> {
    match data {
        RData::MX(mx) => Some(Record::Mx(Mx { preference: mx.preference, host: host(&mx.exchange) })),
        RData::A(a) => Some(Record::Address(IpAddr::V4(a.0))),
        RData::AAAA(aaaa) => Some(Record::Address(IpAddr::V6(aaaa.0))),
        RData::TXT(txt) => Some(Record::Txt(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned())),
        RData::PTR(ptr) => Some(Record::Ptr(host(&ptr.0))),
        _ => None,
    }
}

fn host(name: &Name) -> String {
    canonical(&name.to_ascii())
}

/// Only an answer that says "none" is one. Everything else is not known.
fn read_error(error: &NetError) -> DnsError {
    match error {
        NetError::Dns(WireError::NoRecordsFound(none)) => {
            let ttl_s = none.negative_ttl.unwrap_or(TTL_MIN_S);
            match none.response_code {
                ResponseCode::NXDomain => DnsError::NoSuchName { ttl_s },
                ResponseCode::NoError => DnsError::NoRecord { ttl_s },
                code => DnsError::Defer(code.to_string()),
            }
        }
        other => DnsError::Defer(other.to_string()),
    }
}
