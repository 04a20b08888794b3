//! The provider table and the site of a domain: whose limits its mail counts against.
//!
//! A *site* is the set of MX hosts that a domain's mail goes to, rolled up by provider. The path, hence the
//! limits, is always decided by live MX (`site`); the address domain alone only gives a hint (`lane_of`).

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits::{MX_HOSTS_MAX, TAIL_LANES};
use crate::registrable::registrable;

/// The table inside the binary. It is parsed once; its content is fixed at build time, so this holds data
/// and no state.
static BUILT_IN: LazyLock<Providers> = LazyLock::new(|| {
    Providers::parse(include_str!("../data/providers.toml"))
        .expect("the shipped provider table parses (tested)")
});

/// How much may be open to one site at once from one source, and how long a connection is used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SiteLimits {
    /// Open connections at once. At least 1.
    pub connections: u32,
    /// Messages before the connection is closed. At least 1.
    pub messages_per_connection: u32,
    /// Messages a second that one connection is expected to carry; for predictions only.
    pub per_connection_second: f64,
}

/// A change of limits from the settings; what is absent stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitOverride {
    /// Open connections at once, 1 to 1,000.
    pub connections: Option<u32>,
    /// Messages before the connection is closed, 1 to 100,000.
    pub messages_per_connection: Option<u32>,
}

/// One known provider.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Short name, the one used as site, lane and in settings: `google`.
    pub name: String,
    /// Name for people: `Gmail and Google Workspace`.
    pub label: String,
    mx: Vec<String>,
    domains: Vec<String>,
    limits: SiteLimits,
}

/// Where a domain's mail goes, as far as limits and figures are concerned.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Provider name (`google`), or the registrable name that all MX hosts share, or the address domain.
    pub name: String,
    /// Name for people.
    pub label: String,
    /// Whether the site is a provider of the table.
    pub known: bool,
    /// Limits of this site with the settings applied.
    pub limits: SiteLimits,
}

/// The provider table with the settings applied. Cheap to look things up in; built once at start.
#[derive(Debug, Clone)]
pub struct Providers {
    list: Vec<Provider>,
    by_domain: HashMap<String, usize>,
    default: SiteLimits,
    /// Settings for sites that are not in the table, by site name.
    own: BTreeMap<String, LimitOverride>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    default: SiteLimits,
    provider: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    label: String,
    mx: Vec<String>,
    domains: Vec<String>,
    connections: u32,
    messages_per_connection: u32,
    per_connection_second: Option<f64>,
}

impl Providers {
    /// The shipped table as it is.
    #[must_use]
    pub fn built_in() -> &'static Providers {
        &BUILT_IN
    }

    /// The shipped table with limits from the settings. Keys are provider names, site names (the registrable
    /// name of the MX hosts), or `default`.
    ///
    /// # Errors
    /// `Error::Setting` when a limit is out of range.
    pub fn with_limits(limits: &BTreeMap<String, LimitOverride>) -> Result<Providers> {
        let mut table = Providers::built_in().clone();
        for (name, change) in limits {
            change.check(name)?;
            if name == "default" {
                table.default = change.apply(table.default);
            } else if let Some(provider) = table.list.iter_mut().find(|p| p.name == *name) {
                provider.limits = change.apply(provider.limits);
            } else {
                table.own.insert(name.to_ascii_lowercase(), *change);
            }
        }
        Ok(table)
    }

    fn parse(text: &str) -> Result<Providers, toml::de::Error> {
        let table: Table = toml::from_str(text)?;
        let mut list = Vec::with_capacity(table.provider.len());
        let mut by_domain = HashMap::new();
        for entry in table.provider {
            for domain in &entry.domains {
                by_domain.insert(domain.clone(), list.len());
            }
            list.push(Provider {
                name: entry.name,
                label: entry.label,
                mx: entry.mx,
                domains: entry.domains,
                limits: SiteLimits {
                    connections: entry.connections,
                    messages_per_connection: entry.messages_per_connection,
                    per_connection_second: entry
                        .per_connection_second
                        .unwrap_or(table.default.per_connection_second),
                },
            });
        }
        Ok(Providers { list, by_domain, default: table.default, own: BTreeMap::new() })
    }

    /// All known providers, in the order of the table.
    #[must_use]
    pub fn list(&self) -> &[Provider] {
        &self.list
    }

    /// The provider whose suffixes *every* one of these MX hosts matches; none for an empty set.
    /// Hosts in any case, with or without a final dot.
    #[must_use]
    pub fn provider_of_mx<S: AsRef<str>>(&self, hosts: &[S]) -> Option<&Provider> {
        if hosts.is_empty() || hosts.len() > MX_HOSTS_MAX {
            return None;
        }
        let hosts: Vec<String> = hosts.iter().map(|h| normal(h.as_ref())).collect();
        self.list.iter().find(|p| hosts.iter().all(|host| p.takes_mx(host)))
    }

    /// The site of `domain`, whose MX hosts are `hosts` (empty: mail goes to the domain's own address).
    #[must_use]
    pub fn site<S: AsRef<str>>(&self, domain: &str, hosts: &[S]) -> Site {
        if let Some(provider) = self.provider_of_mx(hosts) {
            return Site {
                name: provider.name.clone(),
                label: provider.label.clone(),
                known: true,
                limits: provider.limits,
            };
        }
        let name = shared_registrable(hosts).unwrap_or_else(|| normal(domain));
        let limits = self.own.get(&name).map_or(self.default, |own| own.apply(self.default));
        Site { label: name.clone(), name, known: false, limits }
    }

    /// The lane that an analysis files a domain under before MX are known: a provider's name, or `tail-k`.
    /// The same answer on every machine and in every version, because stored parts carry it.
    #[must_use]
    pub fn lane_of(&self, domain: &str) -> String {
        let domain = normal(domain);
        match self.by_domain.get(&domain) {
            Some(at) => self.list[*at].name.clone(),
            None => format!("tail-{}", stable_hash(&domain) % TAIL_LANES),
        }
    }

    /// The lane of a domain whose MX hosts an analysis has looked up: the provider when there is one, else
    /// as `lane_of`. Small sites stay in the tail, which fans out in memory.
    #[must_use]
    pub fn lane_of_mx<S: AsRef<str>>(&self, domain: &str, hosts: &[S]) -> String {
        self.provider_of_mx(hosts).map_or_else(|| self.lane_of(domain), |p| p.name.clone())
    }

    /// Limits of a site by its name, with the settings applied.
    #[must_use]
    pub fn limits_of(&self, site: &str) -> SiteLimits {
        match self.list.iter().find(|p| p.name == site) {
            Some(provider) => provider.limits,
            None => self.own.get(site).map_or(self.default, |own| own.apply(self.default)),
        }
    }

    /// The name that people know a site by; the site's own name when it is not in the table.
    #[must_use]
    pub fn label_of<'a>(&'a self, site: &'a str) -> &'a str {
        self.list.iter().find(|p| p.name == site).map_or(site, |p| p.label.as_str())
    }
}

impl Provider {
    /// Address domains known to be the provider's without asking DNS.
    #[must_use]
    pub fn domains(&self) -> &[String] {
        &self.domains
    }

    /// Limits with the settings applied.
    #[must_use]
    pub fn limits(&self) -> SiteLimits {
        self.limits
    }

    fn takes_mx(&self, host: &str) -> bool {
        self.mx.iter().any(|suffix| {
            host.ends_with(suffix.as_str()) || suffix.strip_prefix('.').is_some_and(|bare| bare == host)
        })
    }
}

impl LimitOverride {
    fn check(self, name: &str) -> Result<()> {
        if self.connections.is_some_and(|n| !(1..=1_000).contains(&n)) {
            return Err(Error::Setting(format!("connections of site `{name}` must be 1 to 1000")));
        }
        if self.messages_per_connection.is_some_and(|n| !(1..=100_000).contains(&n)) {
            return Err(Error::Setting(format!(
                "messages_per_connection of site `{name}` must be 1 to 100000"
            )));
        }
        Ok(())
    }

    fn apply(self, base: SiteLimits) -> SiteLimits {
        SiteLimits {
            connections: self.connections.unwrap_or(base.connections),
            messages_per_connection: self.messages_per_connection.unwrap_or(base.messages_per_connection),
            per_connection_second: base.per_connection_second,
        }
    }
}

/// Lower case, no final dot.
fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// The registrable name that all hosts share, if they do.
fn shared_registrable<S: AsRef<str>>(hosts: &[S]) -> Option<String> {
    if hosts.len() > MX_HOSTS_MAX {
        return None;
    }
    let first = normal(hosts.first()?.as_ref());
    let shared = registrable(&first);
    hosts.iter().all(|host| registrable(&normal(host.as_ref())) == shared).then(|| shared.to_owned())
}

/// FNV-1a, 64 bits. The standard hasher is not promised to stay the same between releases, and lanes are
/// stored.
fn stable_hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn table() -> &'static Providers {
        Providers::built_in()
    }

    #[test]
    fn every_rule_of_the_table_can_match_and_none_hides_another() {
        let mut names = HashSet::new();
        let mut domains = HashSet::new();
        for provider in table().list() {
            assert!(names.insert(&provider.name), "{} stands twice", provider.name);
            assert!(provider.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            assert!(provider.limits.connections >= 1 && provider.limits.messages_per_connection >= 1);
            for suffix in &provider.mx {
                assert!(suffix.starts_with('.') && !suffix.ends_with('.'), "{suffix}");
                assert_eq!(*suffix, suffix.to_ascii_lowercase());
                let host = format!("mx1{suffix}");
                let found = table().provider_of_mx(&[host.as_str()]).expect("matches its own provider");
                assert_eq!(found.name, provider.name, "{host} is taken by another provider");
            }
            for domain in &provider.domains {
                assert!(domains.insert(domain.clone()), "{domain} stands twice");
                assert_eq!(table().lane_of(domain), provider.name);
            }
        }
    }

    #[test]
    fn every_mx_must_match() {
        let google = ["ASPMX.L.GOOGLE.COM.", "alt1.aspmx.l.google.com"];
        assert_eq!(table().provider_of_mx(&google).expect("google").name, "google");
        let mixed = ["aspmx.l.google.com", "mx.shop.example"];
        assert!(table().provider_of_mx(&mixed).is_none());
        assert_eq!(table().site("shop.example", &mixed).name, "shop.example");
        assert!(table().provider_of_mx::<&str>(&[]).is_none());
        assert!(table().provider_of_mx(&["notgoogle.com"]).is_none());
    }

    #[test]
    fn unknown_hosts_share_their_registrable_name() {
        let site = table().site("shop.example", &["mx1.hoster.example", "mx2.eu.hoster.example"]);
        assert_eq!((site.name.as_str(), site.known), ("hoster.example", false));
        assert_eq!(site.limits, table().default);
        assert_eq!(table().site::<&str>("Shop.Example.", &[]).name, "shop.example");
    }

    #[test]
    fn consumer_and_business_microsoft_are_apart() {
        let consumer = table().site("hotmail.com", &["hotmail-com.olc.protection.outlook.com"]);
        let business = table().site("shop.example", &["shop-example.mail.protection.outlook.com"]);
        assert_eq!((consumer.name.as_str(), business.name.as_str()), ("outlook", "office365"));
    }

    #[test]
    fn lanes_are_stable_and_spread() {
        assert_eq!(table().lane_of("GMAIL.com"), "google");
        assert_eq!(table().lane_of("tail1.example"), table().lane_of("TAIL1.example."));
        let used: HashSet<String> = (0..400).map(|n| table().lane_of(&format!("tail{n}.example"))).collect();
        assert_eq!(used.len() as u64, TAIL_LANES);
        // Stored parts carry this value: a change of the hash would orphan them.
        assert_eq!(stable_hash("tail1.example") % TAIL_LANES, 6);
        assert_eq!(table().lane_of_mx("tail1.example", &["aspmx.l.google.com"]), "google");
    }

    #[test]
    fn settings_change_limits_within_their_range() {
        let change = |connections| LimitOverride { connections: Some(connections), ..Default::default() };
        let limits = BTreeMap::from([
            ("google".to_owned(), change(2)),
            ("hoster.example".to_owned(), change(7)),
            ("default".to_owned(), change(3)),
        ]);
        let table = Providers::with_limits(&limits).expect("in range");
        assert_eq!(table.limits_of("google").connections, 2);
        assert_eq!(table.limits_of("google").messages_per_connection, 50);
        assert_eq!(table.site("shop.example", &["mx.hoster.example"]).limits.connections, 7);
        assert_eq!(table.limits_of("other.example").connections, 3);
        for bad in [0, 1_001] {
            let limits = BTreeMap::from([("google".to_owned(), change(bad))]);
            assert!(Providers::with_limits(&limits).is_err(), "{bad}");
        }
    }
}
