//! The provider table and the site of a domain: whose limits its mail counts against.
//!
//! A *site* is the set of MX hosts that a domain's mail goes to, rolled up by provider. The path, hence the
//! limits, is decided by live MX (`site`), except for a provider without MX masks, whose address domains decide; the
//! address domain alone otherwise only gives a hint (`lane_of`). The first provider that fits wins.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use address::matches_mask;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits::{MX_HOSTS_MAX, PROVIDERS_MAX, TAIL_LANES};
use crate::registrable::registrable;
use crate::site_rules::{RuleOverride, SiteRules};

/// The table inside the binary. It is parsed once; its content is fixed at build time, so this holds data
/// and no state.
static BUILT_IN: LazyLock<Providers> =
    LazyLock::new(|| Providers::build(&[]).expect("the shipped provider table is good (tested)"));

/// The shipped table: also what a file of one's own may start from.
pub const SHIPPED: &str = include_str!("../data/providers.toml");

/// The name under which rules for every known provider stand.
const DEFAULT: &str = "default";
/// The name under which rules for sites that are in no table stand.
const UNKNOWN: &str = "unknown";

/// Where a rule comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Origin {
    /// The table in the program.
    Shipped,
    /// The settings `mta.connections_per_site` and `mta.messages_per_connection`.
    Setting,
    /// `shaping.toml`.
    File,
    /// A person, by the web or REST.
    Override {
        /// Who.
        who: String,
        /// When, microseconds UTC.
        at_us: i64,
    },
}

/// A table of rules: the shipped one, a file, or an override.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Table {
    /// For every known provider.
    #[serde(rename = "default")]
    pub base: RuleOverride,
    /// For sites in no table, on top of `base`.
    pub unknown: RuleOverride,
    /// Providers in their order; those that are new here come before those of the layers below.
    pub provider: Vec<RuleOverride>,
    /// By name: a provider, a site (the registrable name of its MX hosts), `default`, `unknown`, or `SITE@SOURCE` with
    /// masks on both sides for what holds from some sources only.
    pub site: BTreeMap<String, RuleOverride>,
}

/// One layer of rules; later ones lie on top.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Where it comes from.
    pub origin: Origin,
    /// What it says.
    pub table: Table,
}

/// A field of a site's rules, and who set it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// The field's name in the table.
    pub field: String,
    /// Who set the value that holds.
    pub origin: Origin,
}

type Chain = Vec<(Origin, RuleOverride)>;

/// One known provider.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Short name, the one used as site, lane and in settings: `google`.
    pub name: String,
    /// Name for people: `Gmail and Google Workspace`.
    pub label: String,
    mx: Vec<String>,
    domains: Vec<String>,
    rules: Arc<SiteRules>,
    chain: Chain,
}

/// Where a domain's mail goes, as far as limits and figures are concerned.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Provider name (`google`), or the registrable name that all MX hosts share, or the address domain.
    pub name: String,
    /// Name for people.
    pub label: String,
    /// Whether somebody wrote rules for it: a provider, or a site with rules of its own. For the others the rules are only
    /// where to begin.
    pub known: bool,
    /// What holds there from every source; see [`Providers::rules_from`].
    pub rules: Arc<SiteRules>,
}

/// The provider table with every layer applied. Cheap to look things up in; built when a layer changes.
#[derive(Debug, Clone)]
pub struct Providers {
    /// What lies on top of the shipped table.
    layers: Vec<Layer>,
    list: Vec<Provider>,
    by_domain: HashMap<String, usize>,
    /// Masks of address domains that hold a `*` or `?`, with their provider.
    domain_masks: Vec<(String, usize)>,
    /// Whether an address domain can decide a site.
    domains_decide: bool,
    base: SiteRules,
    unknown: Arc<SiteRules>,
    base_chain: Chain,
    unknown_chain: Chain,
    /// Sites that are in no table, by name.
    own: BTreeMap<String, (Arc<SiteRules>, Chain)>,
    /// What holds from some sources only: masks of site and source.
    by_source: Vec<(String, String, Origin, RuleOverride)>,
}

impl Table {
    /// Reads a table in the form of the shipped one, and checks it.
    ///
    /// # Errors
    /// `File` with line and column; `Rule`.
    pub fn parse(text: &str) -> Result<Table> {
        let table: Table =
            toml::from_str(text).map_err(|error| Error::File(error.to_string().trim().to_owned()))?;
        table.check()?;
        Ok(table)
    }

    fn check(&self) -> Result<()> {
        self.base.check(DEFAULT)?;
        self.unknown.check(UNKNOWN)?;
        for entry in &self.provider {
            let name = entry.name.as_deref().unwrap_or_default();
            check_name(name)?;
            entry.check(name)?;
        }
        for (name, change) in &self.site {
            check_site_name(name, change)?;
        }
        if self.provider.len() > PROVIDERS_MAX {
            return Err(Error::rule(DEFAULT, "provider", format!("may stand {PROVIDERS_MAX} times")));
        }
        Ok(())
    }
}

/// A name for rows, lanes and pages: lower-case letters, digits and underscores; never one with a meaning of its own.
fn check_name(name: &str) -> Result<()> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let reserved = [DEFAULT, UNKNOWN, "relay", "other"];
    if name.is_empty() || name.len() > 40 || !name.bytes().all(fits) || reserved.contains(&name) {
        return Err(Error::rule(name, "name", "must be 1 to 40 lower-case letters, digits or underscores"));
    }
    Ok(())
}

/// Refuses an override that could not be stored under `name`.
pub(crate) fn check_site_name(name: &str, change: &RuleOverride) -> Result<()> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.*?@".contains(c);
    let (site, source) = name.split_once('@').unwrap_or((name, "*"));
    if site.is_empty()
        || source.is_empty()
        || name.len() > 253
        || !name.chars().all(fits)
        || source.contains('@')
    {
        return Err(Error::rule(name, "name", "must be a provider, a site in lower case, or SITE@SOURCE"));
    }
    if change.name.is_some() {
        return Err(Error::rule(name, "name", "stands before the rule and not in it"));
    }
    if change.names_sites() {
        if name.contains('@') || name.contains('.') {
            return Err(Error::rule(name, "mx", "can only be given for a provider"));
        }
        check_name(name)?;
    } else if site.contains(['*', '?']) && !name.contains('@') {
        return Err(Error::rule(name, "name", "may hold masks only before and behind an @"));
    }
    change.check(name)
}

impl Providers {
    /// The shipped table as it is.
    #[must_use]
    pub fn built_in() -> &'static Providers {
        &BUILT_IN
    }

    /// The shipped table with changes by site name on top.
    ///
    /// # Errors
    /// `Rule` when one is out of range.
    pub fn with(changes: &BTreeMap<String, RuleOverride>) -> Result<Providers> {
        let table = Table { site: changes.clone(), ..Table::default() };
        Providers::build(&[Layer { origin: Origin::Setting, table }])
    }

    /// The shipped table with `layers` on top, the last one uppermost.
    ///
    /// # Errors
    /// `Rule` when a layer is out of range.
    pub fn build(layers: &[Layer]) -> Result<Providers> {
        let shipped = Layer { origin: Origin::Shipped, table: Table::parse(SHIPPED)? };
        let upper = layers.to_vec();
        let layers: Vec<&Layer> = std::iter::once(&shipped).chain(layers).collect();
        for layer in &layers {
            layer.table.check()?;
        }
        let base_chain = chain(&layers, DEFAULT);
        let base = layered(&SiteRules::default(), &base_chain);
        let unknown_chain = chain(&layers, UNKNOWN);
        let unknown = Arc::new(layered(&base, &unknown_chain));
        let list: Vec<Provider> =
            provider_names(&layers).into_iter().map(|name| provider(name, &layers, &base)).collect();
        let mut table = Providers {
            layers: upper,
            by_domain: HashMap::new(),
            domain_masks: Vec::new(),
            domains_decide: list.iter().any(|p| p.mx.is_empty()),
            base,
            unknown,
            base_chain,
            unknown_chain,
            own: BTreeMap::new(),
            by_source: Vec::new(),
            list,
        };
        table.index_domains();
        table.add_own(&layers);
        Ok(table)
    }

    /// The same with more layers on top.
    ///
    /// # Errors
    /// As [`Providers::build`].
    pub fn topped(&self, layers: &[Layer]) -> Result<Providers> {
        Providers::build(&[&self.layers, layers].concat())
    }

    fn index_domains(&mut self) {
        for (at, provider) in self.list.iter().enumerate() {
            for domain in &provider.domains {
                if domain.contains(['*', '?']) {
                    self.domain_masks.push((domain.clone(), at));
                } else {
                    self.by_domain.entry(domain.clone()).or_insert(at);
                }
            }
        }
    }

    fn add_own(&mut self, layers: &[&Layer]) {
        let mut own: BTreeMap<String, Chain> = BTreeMap::new();
        for layer in layers {
            for (name, change) in &layer.table.site {
                if let Some((site, source)) = name.split_once('@') {
                    let rule = (site.to_owned(), source.to_owned(), layer.origin.clone(), change.clone());
                    self.by_source.push(rule);
                } else if name != DEFAULT && name != UNKNOWN && self.by_name(name).is_none() {
                    own.entry(name.clone()).or_default().push((layer.origin.clone(), change.clone()));
                }
            }
        }
        for (name, chain) in own {
            let rules = Arc::new(layered(&self.unknown, &chain));
            self.own.insert(name, (rules, chain));
        }
    }

    /// All known providers, in the order of the table.
    #[must_use]
    pub fn list(&self) -> &[Provider] {
        &self.list
    }

    /// A provider by its short name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Provider> {
        self.list.iter().find(|p| p.name == name)
    }

    /// What every known provider begins with.
    #[must_use]
    pub fn default_rules(&self) -> &SiteRules {
        &self.base
    }

    /// What sites in no table begin with.
    #[must_use]
    pub fn unknown_rules(&self) -> Arc<SiteRules> {
        Arc::clone(&self.unknown)
    }

    /// Sites in no table that have rules of their own, with these.
    pub fn own_sites(&self) -> impl Iterator<Item = (&str, &SiteRules)> {
        self.own.iter().map(|(name, (rules, _))| (name.as_str(), &**rules))
    }

    /// The provider whose masks *every* one of these MX hosts matches; none for an empty set.
    /// Hosts in any case, with or without a final dot.
    #[must_use]
    pub fn provider_of_mx<S: AsRef<str>>(&self, hosts: &[S]) -> Option<&Provider> {
        self.position_of_mx(hosts).map(|at| &self.list[at])
    }

    fn position_of_mx<S: AsRef<str>>(&self, hosts: &[S]) -> Option<usize> {
        if hosts.is_empty() || hosts.len() > MX_HOSTS_MAX {
            return None;
        }
        let hosts: Vec<String> = hosts.iter().map(|h| normal(h.as_ref())).collect();
        self.list.iter().position(|p| hosts.iter().all(|host| p.takes_mx(host)))
    }

    /// The provider of `domain`, whose MX hosts are `hosts`: by MX, or by address domain where a provider has no MX masks.
    #[must_use]
    pub fn provider<S: AsRef<str>>(&self, domain: &str, hosts: &[S]) -> Option<&Provider> {
        let by_mx = self.position_of_mx(hosts);
        let by_domain = || {
            let domain = normal(domain);
            self.list.iter().position(|p| p.mx.is_empty() && p.takes_domain(&domain))
        };
        let by_domain = if self.domains_decide { by_domain() } else { None };
        let first = by_mx.into_iter().chain(by_domain).min();
        first.map(|at| &self.list[at])
    }

    /// The site of `domain`, whose MX hosts are `hosts` (empty: mail goes to the domain's own address).
    #[must_use]
    pub fn site<S: AsRef<str>>(&self, domain: &str, hosts: &[S]) -> Site {
        if let Some(provider) = self.provider(domain, hosts) {
            return Site {
                name: provider.name.clone(),
                label: provider.label.clone(),
                known: true,
                rules: Arc::clone(&provider.rules),
            };
        }
        let name = shared_registrable(hosts).unwrap_or_else(|| normal(domain));
        let own = self.own.get(&name).map(|(rules, _)| rules);
        let rules = Arc::clone(own.unwrap_or(&self.unknown));
        Site { label: name.clone(), rules, known: own.is_some(), name }
    }

    /// The lane that an analysis files a domain under before MX are known: a provider's name, or `tail-k`.
    /// The same answer on every machine and in every version, because stored parts carry it.
    #[must_use]
    pub fn lane_of(&self, domain: &str) -> String {
        let domain = normal(domain);
        let exact = self.by_domain.get(&domain).copied();
        let masked =
            self.domain_masks.iter().find(|(mask, _)| matches_mask(mask, &domain)).map(|(_, at)| *at);
        match exact.into_iter().chain(masked).min() {
            Some(at) => self.list[at].name.clone(),
            None => format!("tail-{}", stable_hash(&domain) % TAIL_LANES),
        }
    }

    /// The lane of a domain whose MX hosts an analysis has looked up: the provider when there is one, else
    /// as `lane_of`. Small sites stay in the tail, which fans out in memory.
    #[must_use]
    pub fn lane_of_mx<S: AsRef<str>>(&self, domain: &str, hosts: &[S]) -> String {
        self.provider(domain, hosts).map_or_else(|| self.lane_of(domain), |p| p.name.clone())
    }

    /// What holds at a site by its name, from every source.
    #[must_use]
    pub fn rules_of(&self, site: &str) -> Arc<SiteRules> {
        match self.by_name(site) {
            Some(provider) => Arc::clone(&provider.rules),
            None => Arc::clone(self.own.get(site).map_or(&self.unknown, |(rules, _)| rules)),
        }
    }

    /// What holds on one path: at a site from a source.
    #[must_use]
    pub fn rules_from(&self, site: &str, source: &str) -> Arc<SiteRules> {
        let rules = self.rules_of(site);
        let mut changes = self.of_path(site, source).map(|(_, change)| change).peekable();
        if changes.peek().is_none() {
            return rules;
        }
        Arc::new(SiteRules::layered(&rules, changes))
    }

    /// Whether a rule names the site: a provider, a rule of its own, or one for the site from `source`. A mask for many sites
    /// names none of them, or a word about one source would make every receiver of the internet a known one.
    #[must_use]
    pub fn names(&self, site: &str, source: Option<&str>) -> bool {
        let plain = |mask: &str| !mask.contains(['*', '?']);
        self.by_name(site).is_some()
            || self.own.contains_key(site)
            || source.is_some_and(|source| {
                self.by_source.iter().any(|(of_site, of_source, _, _)| {
                    plain(of_site) && matches_mask(of_site, site) && matches_mask(of_source, source)
                })
            })
    }

    fn of_path<'a>(
        &'a self,
        site: &'a str,
        source: &'a str,
    ) -> impl Iterator<Item = (&'a Origin, &'a RuleOverride)> {
        self.by_source
            .iter()
            .filter(move |(of_site, of_source, _, _)| {
                matches_mask(of_site, site) && matches_mask(of_source, source)
            })
            .map(|(_, _, origin, change)| (origin, change))
    }

    /// Who set each field of a site's rules, from `source` when one is named; fields that nobody set are left out.
    #[must_use]
    pub fn explained(&self, site: &str, source: Option<&str>) -> Vec<Explained> {
        let unknown = || self.own.get(site).map(|(_, chain)| chain);
        let own: Vec<&Chain> = match self.by_name(site) {
            Some(provider) => vec![&self.base_chain, &provider.chain],
            None => std::iter::once(&self.base_chain).chain([&self.unknown_chain]).chain(unknown()).collect(),
        };
        let of_path = source.map(|source| self.of_path(site, source)).into_iter().flatten();
        let all = own.into_iter().flatten().map(|(origin, change)| (origin, change)).chain(of_path);
        let mut found: BTreeMap<String, Origin> = BTreeMap::new();
        for (origin, change) in all {
            // A struct of plain fields always becomes an object.
            let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(change) else { continue };
            found.extend(fields.into_iter().map(|(field, _)| (field, origin.clone())));
        }
        found.remove("name");
        found.into_iter().map(|(field, origin)| Explained { field, origin }).collect()
    }

    /// The name that people know a site by; the site's own name when it is not in the table.
    #[must_use]
    pub fn label_of<'a>(&'a self, site: &'a str) -> &'a str {
        self.by_name(site).map_or(site, |p| p.label.as_str())
    }
}

impl Provider {
    /// Masks of the provider's MX hosts.
    #[must_use]
    pub fn mx(&self) -> &[String] {
        &self.mx
    }

    /// Masks of address domains known to be the provider's without asking DNS.
    #[must_use]
    pub fn domains(&self) -> &[String] {
        &self.domains
    }

    /// What holds there, with every layer applied.
    #[must_use]
    pub fn rules(&self) -> &Arc<SiteRules> {
        &self.rules
    }

    fn takes_mx(&self, host: &str) -> bool {
        self.mx.iter().any(|mask| matches_mask(mask, host))
    }

    fn takes_domain(&self, domain: &str) -> bool {
        self.domains.iter().any(|mask| matches_mask(mask, domain))
    }
}

/// Names of all providers, first match first: what an upper layer adds stands before what lies below.
fn provider_names<'a>(layers: &[&'a Layer]) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for layer in layers {
        let listed = layer.table.provider.iter().filter_map(|entry| entry.name.as_deref());
        let by_name = layer.table.site.iter().filter(|(_, change)| change.names_sites());
        let mut new: Vec<&str> = Vec::new();
        for name in listed.chain(by_name.map(|(name, _)| name.as_str())) {
            if !names.contains(&name) && !new.contains(&name) {
                new.push(name);
            }
        }
        new.append(&mut names);
        names = new;
    }
    names
}

/// What the layers say under one name, the lowest first.
fn chain(layers: &[&Layer], name: &str) -> Chain {
    let mut chain = Chain::new();
    for layer in layers {
        let table = &layer.table;
        let own = match name {
            DEFAULT => Some(&table.base),
            UNKNOWN => Some(&table.unknown),
            _ => table.provider.iter().find(|entry| entry.name.as_deref() == Some(name)),
        };
        for change in own.into_iter().chain(table.site.get(name)).filter(|change| !change.is_empty()) {
            chain.push((layer.origin.clone(), change.clone()));
        }
    }
    chain
}

fn layered(base: &SiteRules, chain: &Chain) -> SiteRules {
    SiteRules::layered(base, chain.iter().map(|(_, change)| change))
}

fn provider(name: &str, layers: &[&Layer], base: &SiteRules) -> Provider {
    let chain = chain(layers, name);
    let last = |part: fn(&RuleOverride) -> Option<&Vec<String>>| {
        let masks = chain.iter().rev().find_map(|(_, change)| part(change));
        masks.into_iter().flatten().map(|mask| normal(mask)).collect::<Vec<String>>()
    };
    let label = chain.iter().rev().find_map(|(_, change)| change.label.clone());
    Provider {
        name: name.to_owned(),
        label: label.unwrap_or_else(|| name.to_owned()),
        mx: last(|change| change.mx.as_ref()),
        domains: last(|change| change.domains.as_ref()),
        rules: Arc::new(layered(base, &chain)),
        chain,
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
            assert!(!provider.label.is_empty() && provider.label != provider.name);
            for mask in &provider.mx {
                assert!(!mask.ends_with('.') && *mask == mask.to_ascii_lowercase(), "{mask}");
                let host = mask.replace('*', "mx1");
                let found = table().provider_of_mx(&[host.as_str()]).expect("matches its own provider");
                assert_eq!(found.name, provider.name, "{host} is taken by another provider");
            }
            for domain in &provider.domains {
                assert!(domains.insert(domain.clone()), "{domain} stands twice");
                assert_eq!(table().lane_of(&domain.replace('*', "x")), provider.name);
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
        assert_eq!(site.rules, table().unknown);
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

    fn connections(n: u32) -> RuleOverride {
        RuleOverride { connections: Some(n), ..Default::default() }
    }

    #[test]
    fn changes_by_name_reach_providers_sites_and_the_rest() {
        let changes = BTreeMap::from([
            ("google".to_owned(), connections(2)),
            ("hoster.example".to_owned(), connections(7)),
            ("unknown".to_owned(), connections(3)),
        ]);
        let table = Providers::with(&changes).expect("in range");
        assert_eq!(table.rules_of("google").connections, 2);
        assert_eq!(table.rules_of("google").messages_per_connection, 50);
        assert_eq!(table.site("shop.example", &["mx.hoster.example"]).rules.connections, 7);
        assert_eq!(table.rules_of("other.example").connections, 3);
        for bad in [0, 1_001] {
            assert!(Providers::with(&BTreeMap::from([("google".to_owned(), connections(bad))])).is_err());
        }
        for bad in ["", "Google", "a b", "a@", "@b", "a@b@c", "goo*"] {
            let refused = Providers::with(&BTreeMap::from([(bad.to_owned(), connections(1))]));
            assert!(refused.is_err(), "{bad}");
        }
    }

    #[test]
    fn an_unknown_site_begins_slowly_and_a_known_one_as_shipped() {
        let unknown = table().rules_of("shop.example");
        let rates: Vec<String> = unknown.message_rates.iter().map(ToString::to_string).collect();
        assert_eq!((unknown.connections, unknown.messages_per_connection), (2, 20));
        assert_eq!((rates, unknown.adaptive), (vec!["2/s".to_owned()], true));
        let google = table().rules_of("google");
        assert_eq!((google.connections, google.messages_per_connection), (5, 50));
        assert_eq!((google.tls, google.failures_before_rest), (crate::TlsPolicy::Required, 5));
    }

    #[test]
    fn the_table_begins_with_what_is_in_common_use() {
        use crate::TlsPolicy::{Opportunistic, Required};
        // Connections, messages on each, TLS, failed connections before a rest.
        for (provider, connections, messages, tls, failures) in [
            ("google", 5, 50, Required, 5),
            ("yahoo", 10, 20, Opportunistic, 3),
            ("outlook", 5, 50, Opportunistic, 3),
            ("office365", 5, 50, Opportunistic, 3),
            ("apple", 10, 5, Opportunistic, 3),
            ("comcast", 25, 1_000, Required, 24),
            ("mimecast", 10, 100, Opportunistic, 3),
            ("orange", 2, 100, Required, 3),
            ("gmx", 4, 20, Required, 5),
            ("yahoo_jp", 2, 20, Opportunistic, 3),
            ("barracuda", 10, 15, Required, 3),
            ("netvigator", 5, 10, Required, 3),
            ("kpn", 10, 10, Required, 3),
            ("qq", 4, 8, Required, 3),
            ("netease", 4, 7, Required, 3),
        ] {
            let rules = table().rules_of(provider);
            assert!(table().by_name(provider).is_some(), "{provider}");
            assert_eq!(
                (rules.connections, rules.messages_per_connection, rules.tls, rules.failures_before_rest),
                (connections, messages, tls, failures),
                "{provider}"
            );
        }
    }

    #[test]
    fn a_mask_names_no_site() {
        let overrides = layer(
            Origin::File,
            "[site.\"*@cold\"]\nidle_s = 20\n[site.\"small.example@*\"]\nidle_s = 9\n[site.\"own.example\"]\nidle_s = 8",
        );
        let providers = Providers::build(&[overrides]).expect("builds");
        assert!(providers.names("google", None) && providers.names("own.example", None));
        assert!(!providers.names("small.example", None) && providers.names("small.example", Some("cold")));
        assert!(
            !providers.names("other.example", Some("cold")),
            "a word about a source is none about a site"
        );
        assert_eq!(providers.rules_from("other.example", "cold").idle_s, 20, "and holds all the same");
    }

    fn layer(origin: Origin, text: &str) -> Layer {
        Layer { origin, table: Table::parse(text).expect("a table") }
    }

    #[test]
    fn the_first_provider_that_fits_wins_and_own_ones_come_first() {
        let file = layer(
            Origin::File,
            "[[provider]]\nname = \"edge\"\nmx = [\"edge?.google.com\"]\n\
             [[provider]]\nname = \"partner\"\ndomains = [\"*.partner.example\", \"gmail.com\"]\nconnections = 40\n\
             [[provider]]\nname = \"google\"\nconnections = 9\n",
        );
        let table = Providers::build(&[file]).expect("builds");
        assert_eq!(table.site("x.example", &["edge1.google.com"]).name, "edge");
        assert_eq!(table.site("x.example", &["edge11.google.com"]).name, "google");
        assert_eq!(table.rules_of("google").connections, 9);
        // An address domain decides where the provider has no MX masks, and only there.
        let site = table.site("eu.partner.example", &["mx.elsewhere.example"]);
        assert_eq!((site.name.as_str(), site.known, site.rules.connections), ("partner", true, 40));
        assert_eq!(table.site("gmail.com", &["aspmx.l.google.com"]).name, "partner");
        assert_eq!(table.lane_of("eu.partner.example"), "partner");
        assert_eq!(table.site("yahoo.com", &["mx.elsewhere.example"]).name, "elsewhere.example");
    }

    #[test]
    fn sources_may_have_rules_of_their_own() {
        let table = Providers::with(&BTreeMap::from([
            ("google@cold*".to_owned(), connections(1)),
            ("*@slow".to_owned(), connections(2)),
        ]))
        .expect("builds");
        assert_eq!(table.rules_from("google", "cold-1").connections, 1);
        assert_eq!(table.rules_from("google", "warm").connections, 5);
        assert_eq!(table.rules_from("any.example", "slow").connections, 2);
        assert_eq!(table.rules_of("google").connections, 5);
    }

    #[test]
    fn each_field_says_who_set_it() {
        let who = Origin::Override { who: "ann".into(), at_us: 7 };
        let file = layer(Origin::File, "[default]\nidle_s = 20\n[site.google]\nconnections = 4\n");
        let table = Table { site: BTreeMap::from([("google".into(), connections(3))]), ..Table::default() };
        let built = Providers::build(&[file, Layer { origin: who.clone(), table }]).expect("builds");
        let of = |field: &str| {
            let all = built.explained("google", None);
            all.into_iter().find(|one| one.field == field).map(|one| one.origin)
        };
        assert_eq!(of("connections"), Some(who));
        assert_eq!(of("idle_s"), Some(Origin::File));
        assert_eq!(of("messages_per_connection"), Some(Origin::Shipped));
        assert_eq!(built.rules_of("google").connections, 3);
    }

    #[test]
    fn a_table_with_a_fault_is_refused_with_its_line() {
        let refused = |text: &str| Table::parse(text).expect_err("refused").to_string();
        assert!(
            refused("[default]\nconnection = 3\n").contains("line 2"),
            "{}",
            refused("[default]\nconnection = 3\n")
        );
        assert!(refused("[[provider]]\nname = \"unknown\"\n").contains("name"));
        assert!(refused("[[provider]]\nname = \"a\"\nmessage_rates = [\"9/week\"]\n").contains("9/week"));
        assert!(refused("[site.\"a.example\"]\nmx = [\"*.b.example\"]\n").contains("provider"));
    }
}
