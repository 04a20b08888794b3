//! Answers from memory, for tests.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::{
    DnsError, Mx, Record, RecordKind, Records, Resolver, TTL_MIN_S, Tlsa, canonical, reverse_name, tlsa_name,
};
use crate::Pending;

/// Answers what it was told. A name that was told of in some way exists; any other does not. It can be told more
/// while it is in use.
#[derive(Debug, Default)]
pub struct StaticResolver {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    names: HashSet<String>,
    records: HashMap<(String, RecordKind), Vec<Record>>,
    failing: HashSet<(String, RecordKind)>,
    secure: HashSet<String>,
    lookups: u64,
}

impl StaticResolver {
    /// One that knows no name.
    pub fn new() -> StaticResolver {
        StaticResolver::default()
    }

    /// Mail exchangers of a domain; the host "." is the null MX.
    pub fn mx(&self, domain: &str, exchangers: &[(u16, &str)]) {
        let exchangers =
            exchangers.iter().map(|(preference, host)| Mx { preference: *preference, host: canonical(host) });
        self.put(domain, RecordKind::Mx, exchangers.map(Record::Mx).collect());
    }

    /// IPv4 addresses of a host.
    pub fn a(&self, host: &str, addresses: &[&str]) {
        self.put(host, RecordKind::A, parsed(addresses));
    }

    /// IPv6 addresses of a host.
    pub fn aaaa(&self, host: &str, addresses: &[&str]) {
        self.put(host, RecordKind::Aaaa, parsed(addresses));
    }

    /// The name is an alias: every kind is answered with what the other name has. What is asked of the alias itself is
    /// proven as [`StaticResolver::secure`] says of it, and the rest only when both are.
    pub fn alias(&self, name: &str, target: &str) {
        self.put(name, RecordKind::Cname, vec![Record::Cname(canonical(target))]);
    }

    /// Texts under a name.
    pub fn txt(&self, name: &str, texts: &[&str]) {
        self.put(name, RecordKind::Txt, texts.iter().map(|text| Record::Txt((*text).to_owned())).collect());
    }

    /// The name of an address.
    pub fn ptr(&self, address: IpAddr, name: &str) {
        self.put(&reverse_name(address), RecordKind::Ptr, vec![Record::Ptr(canonical(name))]);
    }

    /// What the certificate of a host's TCP service must be.
    pub fn tlsa(&self, host: &str, port: u16, records: &[Tlsa]) {
        let name = tlsa_name(host, port);
        self.put(&name, RecordKind::Tlsa, records.iter().cloned().map(Record::Tlsa).collect());
    }

    /// What stands under this name is proven, as in a signed zone.
    pub fn secure(&self, name: &str) {
        self.locked(|state| state.secure.insert(canonical(name)));
    }

    /// It is not any more.
    pub fn unproven(&self, name: &str) {
        self.locked(|state| state.secure.remove(&canonical(name)));
    }

    /// A name that exists without any record.
    pub fn exists(&self, name: &str) {
        self.locked(|state| state.names.insert(canonical(name)));
    }

    /// Questions of this kind about this name get no answer.
    pub fn fails(&self, name: &str, kind: RecordKind) {
        self.locked(|state| state.failing.insert((canonical(name), kind)));
    }

    /// They do again.
    pub fn recovers(&self, name: &str, kind: RecordKind) {
        self.locked(|state| state.failing.remove(&(canonical(name), kind)));
    }

    /// Questions answered so far.
    pub fn lookups(&self) -> u64 {
        self.locked(|state| state.lookups)
    }

    fn put(&self, name: &str, kind: RecordKind, records: Vec<Record>) {
        self.locked(|state| {
            state.names.insert(canonical(name));
            state.records.insert((canonical(name), kind), records);
        });
    }

    fn locked<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn answer(&self, name: &str, kind: RecordKind) -> Result<Records, DnsError> {
        let key = (canonical(name), kind);
        self.locked(|state| {
            state.lookups += 1;
            if state.failing.contains(&key) {
                return Err(DnsError::Defer("SERVFAIL".to_owned()));
            }
            let target = match state.records.get(&(key.0.clone(), RecordKind::Cname)).map(Vec::as_slice) {
                Some([Record::Cname(target)]) if kind != RecordKind::Cname => Some(target.clone()),
                _ => None,
            };
            let secure = kind.is_proven()
                && std::iter::once(&key.0).chain(&target).all(|name| state.secure.contains(name));
            let at = target.clone().unwrap_or(key.0);
            if state.failing.contains(&(at.clone(), kind)) {
                return Err(DnsError::Defer("SERVFAIL".to_owned()));
            }
            match state.records.get(&(at.clone(), kind)).filter(|records| !records.is_empty()) {
                Some(records) => Ok(Records {
                    records: Arc::from(records.as_slice()),
                    ttl_s: TTL_MIN_S,
                    secure,
                    alias: target.map(Arc::from),
                }),
                None if state.names.contains(&at) => Err(DnsError::NoRecord { ttl_s: TTL_MIN_S }),
                None => Err(DnsError::NoSuchName { ttl_s: TTL_MIN_S }),
            }
        })
    }
}

impl Resolver for StaticResolver {
    fn lookup<'a>(&'a self, name: &'a str, kind: RecordKind) -> Pending<'a, Result<Records, DnsError>> {
        Box::pin(async move { self.answer(name, kind) })
    }
}

/// Texts that are no address are left out: a test that relies on one fails.
fn parsed(addresses: &[&str]) -> Vec<Record> {
    addresses.iter().filter_map(|text| text.parse().ok()).map(Record::Address).collect()
}
