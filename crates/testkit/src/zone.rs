//! What the DNS double answers: names with their records and their faults.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::wire::{Code, Data, kind};

/// Everything known about one name.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Mail exchangers: preference and host. An empty host is a null MX.
    pub mx: Vec<(u16, String)>,
    /// Addresses, both kinds.
    pub addresses: Vec<IpAddr>,
    /// Texts.
    pub txt: Vec<String>,
    /// Reverse names.
    pub ptr: Vec<String>,
    /// Certificate associations: usage, selector, matching type, data.
    pub tlsa: Vec<(u8, u8, u8, Vec<u8>)>,
    /// Answers say that their signatures were checked, as a validating resolver does.
    pub secure: bool,
    /// What goes wrong when somebody asks.
    pub fault: Option<Fault>,
    /// How long the answer takes.
    pub delay: Duration,
}

/// What goes wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SERVFAIL to every question.
    ServFail,
    /// REFUSED to every question.
    Refused,
    /// No answer at all.
    Silent,
    /// NXDOMAIN although the node is there.
    NxDomain,
}

impl Node {
    /// A domain whose mail goes to `hosts`, in this order of preference (10, 20 …).
    #[must_use]
    pub fn mail(hosts: &[&str]) -> Node {
        let mx = hosts.iter().zip(1u16..).map(|(host, n)| (n * 10, (*host).to_owned())).collect();
        Node { mx, ..Node::default() }
    }

    /// A host with one address.
    #[must_use]
    pub fn host(address: IpAddr) -> Node {
        Node { addresses: vec![address], ..Node::default() }
    }

    /// A domain that says it takes no mail (RFC 7505).
    #[must_use]
    pub fn null_mx() -> Node {
        Node { mx: vec![(0, String::new())], ..Node::default() }
    }

    /// A name with a fault.
    #[must_use]
    pub fn broken(fault: Fault) -> Node {
        Node { fault: Some(fault), ..Node::default() }
    }
}

/// Answers for names that are not written down: `tail17.example` and a million like it.
pub type Fallback = Arc<dyn Fn(&str) -> Option<Node> + Send + Sync>;

/// All names of a simulated internet.
#[derive(Clone, Default)]
pub struct Zone {
    names: HashMap<String, Node>,
    fallback: Option<Fallback>,
}

/// How a question is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// None: no answer at all.
    pub code: Option<Code>,
    /// The records.
    pub answers: Vec<(Data, u32)>,
    /// Whether the answer claims to be validated.
    pub secure: bool,
    /// After this time.
    pub delay: Duration,
}

/// How long answers may be remembered, in seconds. Short, because tests change zones.
const TTL_S: u32 = 60;

impl Zone {
    /// An empty internet: every name is NXDOMAIN.
    #[must_use]
    pub fn new() -> Zone {
        Zone::default()
    }

    /// Sets a name, replacing what was known of it.
    pub fn set(&mut self, name: &str, node: Node) {
        self.names.insert(normal(name), node);
    }

    /// The node of a name, made when it is new.
    pub fn node(&mut self, name: &str) -> &mut Node {
        self.names.entry(normal(name)).or_default()
    }

    /// Forgets a name.
    pub fn remove(&mut self, name: &str) {
        self.names.remove(&normal(name));
    }

    /// Publishes a record written as in a DNS form: `TXT`, `MX` (`10 host`), `A` or `AAAA`.
    /// Answers whether it could be read.
    pub fn publish(&mut self, name: &str, kind: &str, value: &str) -> bool {
        let node = self.node(name);
        match kind {
            "TXT" => node.txt.push(value.to_owned()),
            "MX" => {
                let Some((preference, host)) = value.split_once(' ') else { return false };
                let Ok(preference) = preference.parse() else { return false };
                node.mx.push((preference, normal(host.trim())));
            }
            "A" | "AAAA" => match value.parse() {
                Ok(address) => node.addresses.push(address),
                Err(_) => return false,
            },
            _ => return false,
        }
        true
    }

    /// Sets what answers for names that are not written down.
    pub fn set_fallback(&mut self, fallback: Fallback) {
        self.fallback = Some(fallback);
    }

    /// Marks these names as signed and validated, those that exist and those that do not yet.
    pub fn secure(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.node(name).secure = true);
    }

    /// The answer to one question.
    #[must_use]
    pub fn answer(&self, name: &str, asked: u16) -> Reply {
        let name = normal(name);
        let made;
        let node = match self.names.get(&name) {
            Some(node) => node,
            None => match self.fallback.as_ref().and_then(|fallback| fallback(&name)) {
                Some(node) => {
                    made = node;
                    &made
                }
                None => {
                    return Reply {
                        code: Some(Code::NxDomain),
                        answers: Vec::new(),
                        secure: false,
                        delay: Duration::ZERO,
                    };
                }
            },
        };
        let code = match node.fault {
            None => Some(Code::NoError),
            Some(Fault::ServFail) => Some(Code::ServFail),
            Some(Fault::Refused) => Some(Code::Refused),
            Some(Fault::NxDomain) => Some(Code::NxDomain),
            Some(Fault::Silent) => None,
        };
        let answers = if code == Some(Code::NoError) { node.records(asked) } else { Vec::new() };
        Reply { code, answers, secure: node.secure, delay: node.delay }
    }
}

impl Node {
    fn records(&self, asked: u16) -> Vec<(Data, u32)> {
        let data: Vec<Data> = match asked {
            kind::MX => self.mx.iter().map(|(n, host)| Data::Mx(*n, host.clone())).collect(),
            kind::TXT => self.txt.iter().cloned().map(Data::Txt).collect(),
            kind::TLSA => {
                self.tlsa.iter().cloned().map(|(u, s, m, data)| Data::Tlsa(u, s, m, data)).collect()
            }
            kind::PTR => self.ptr.iter().cloned().map(Data::Ptr).collect(),
            kind::A | kind::AAAA => self
                .addresses
                .iter()
                .filter_map(|address| match address {
                    IpAddr::V4(v4) if asked == kind::A => Some(Data::A(*v4)),
                    IpAddr::V6(v6) if asked == kind::AAAA => Some(Data::Aaaa(*v6)),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        };
        data.into_iter().map(|data| (data, TTL_S)).collect()
    }
}

/// Lower case, no final dot.
fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_by_type_and_tells_no_data_from_no_name() {
        let mut zone = Zone::new();
        zone.set("Shop.Example.", Node::mail(&["mx1.shop.example", "mx2.shop.example"]));
        let found = zone.answer("shop.example", kind::MX);
        assert_eq!(found.answers[1].0, Data::Mx(20, "mx2.shop.example".into()));
        let no_data = zone.answer("shop.example", kind::A);
        assert_eq!((no_data.code, no_data.answers.len()), (Some(Code::NoError), 0));
        assert_eq!(zone.answer("other.example", kind::MX).code, Some(Code::NxDomain));
        zone.set("bad.example", Node::broken(Fault::Silent));
        assert_eq!(zone.answer("bad.example", kind::MX).code, None);
    }

    #[test]
    fn publishes_records_as_written_in_a_form() {
        let mut zone = Zone::new();
        assert!(zone.publish("bounce.shop.example", "MX", "10 mail.shop.example."));
        assert!(zone.publish("shop.example", "TXT", "v=spf1 ~all"));
        assert!(!zone.publish("shop.example", "MX", "mail") && !zone.publish("shop.example", "SRV", "x"));
        let mx = zone.answer("bounce.shop.example", kind::MX);
        assert_eq!(mx.answers[0].0, Data::Mx(10, "mail.shop.example".into()));
    }
}
