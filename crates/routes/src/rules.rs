//! The rules in force: the shipped table, settings, `shaping.toml` and overrides put together, with sources and warm-ups.
//! They change while the program runs; whoever obeys them watches.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::{Map, Value};
use store::{Lane, Tx, binds};
use tokio::sync::watch;

use crate::changes::{Change, Kind, json, newest, note};
use crate::domains::Routes;
use crate::error::{Error, Result};
use crate::limits::RULE_FILE_BYTES_MAX;
use crate::providers::{Layer, Origin, Providers, Site, Table, check_site_name};
use crate::site_rules::{RuleOverride, SiteRules};
use crate::sources::{Pool, Source, make_first, read_sources};
use crate::warm_up::{WarmUp, read_warm_ups};
use crate::{learned, verdicts};

/// Everything that decides how mail leaves. A new one is published whenever a part changes.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Providers, sites and what holds there.
    pub providers: Arc<Providers>,
    /// All sources, also those of other nodes and disabled ones, by name; EHLO names filled in.
    pub sources: Vec<Source>,
    /// Warm-up plans, by source and provider.
    pub warm_ups: Vec<WarmUp>,
    /// Grows with each publication.
    pub generation: u64,
    /// Why `shaping.toml` as it is now is not used; what it said before holds on.
    pub file_error: Option<String>,
}

/// What lies below the file and the tables.
#[derive(Debug, Clone)]
pub struct RuleBase {
    /// The shipped table with the settings on top.
    pub providers: Providers,
    /// The setting `mta.ehlo`, for sources that say none.
    pub ehlo: String,
    /// `shaping.toml`; it need not exist.
    pub file: Option<PathBuf>,
}

/// A stored override.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredOverride {
    /// Provider, site, `default`, `unknown`, or `SITE@SOURCE`.
    pub name: String,
    /// What differs.
    pub rules: RuleOverride,
    /// Who changed it last.
    pub who: String,
    /// When, microseconds UTC.
    pub at_us: i64,
}

impl Rules {
    /// Rules without file and tables, and the one source of a first start.
    #[must_use]
    pub fn plain(providers: Providers, ehlo: &str) -> Rules {
        Rules {
            providers: Arc::new(providers),
            sources: vec![Source::first(ehlo)],
            warm_ups: Vec::new(),
            generation: 0,
            file_error: None,
        }
    }

    /// The same with `sources`: for whoever has no database.
    #[must_use]
    pub fn fixed(providers: Providers, sources: Vec<Source>) -> Arc<Rules> {
        Arc::new(Rules { sources, ..Rules::plain(providers, "") })
    }

    /// See [`Providers::site`].
    #[must_use]
    pub fn site<S: AsRef<str>>(&self, domain: &str, hosts: &[S]) -> Site {
        self.providers.site(domain, hosts)
    }

    /// See [`Providers::rules_of`].
    #[must_use]
    pub fn rules_of(&self, site: &str) -> Arc<SiteRules> {
        self.providers.rules_of(site)
    }

    /// The public addresses that mail leaves from, as far as sources name them: what SPF and reverse DNS are about. An
    /// address behind a translation is not what receivers see.
    #[must_use]
    pub fn public_addresses(&self) -> Vec<IpAddr> {
        let mut found: Vec<IpAddr> = self
            .sources
            .iter()
            .filter(|one| one.enabled)
            .filter_map(|one| one.address)
            .filter(is_public)
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The pools that sources are in, by name.
    #[must_use]
    pub fn pools(&self) -> Vec<Pool> {
        let mut pools: BTreeMap<&str, Pool> = BTreeMap::new();
        for source in &self.sources {
            for name in &source.pools {
                let pool = pools.entry(name).or_insert_with(|| Pool::empty(name));
                let count = if source.enabled { &mut pool.sources } else { &mut pool.disabled };
                *count += 1;
            }
        }
        pools.into_values().collect()
    }

    /// The plan by which `source` is made known to `provider`.
    #[must_use]
    pub fn warm_up(&self, source: &str, provider: &str) -> Option<&WarmUp> {
        self.warm_ups.iter().find(|plan| plan.source == source && plan.provider == provider)
    }
}

pub(crate) fn is_public(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            // RFC 6598: what carriers translate.
            let carrier = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || carrier)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified())
        }
    }
}

/// Where the rules in force are kept and made.
pub(crate) struct Book {
    sender: watch::Sender<Arc<Rules>>,
    ground: Mutex<Ground>,
    /// Held while rules are read and published: an older reading must not overwrite a newer one.
    publishing: tokio::sync::Mutex<()>,
}

/// What the rules in force were made of.
struct Ground {
    base: RuleBase,
    base_changed: bool,
    file: Option<Table>,
    file_stamp: Option<Stamp>,
    file_error: Option<String>,
    /// Newest change that was read; `None`: the tables are not read yet.
    change: Option<i64>,
}

/// By which a changed file is known.
type Stamp = (SystemTime, u64);

/// The tables as read in one transaction.
struct Stored {
    change: i64,
    sources: Vec<Source>,
    warm_ups: Vec<WarmUp>,
    overrides: Vec<StoredOverride>,
}

impl Book {
    pub(crate) fn new(providers: Providers) -> Book {
        let base = RuleBase { providers: providers.clone(), ehlo: String::new(), file: None };
        Book {
            sender: watch::channel(Arc::new(Rules::plain(providers, ""))).0,
            ground: Mutex::new(Ground {
                base,
                base_changed: false,
                file: None,
                file_stamp: None,
                file_error: None,
                change: None,
            }),
            publishing: tokio::sync::Mutex::new(()),
        }
    }

    fn ground(&self) -> std::sync::MutexGuard<'_, Ground> {
        // Nothing that can panic runs while it is held.
        self.ground.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.sender.borrow())
    }
}

impl Ground {
    /// Reads the file when it changed; a fault is kept beside what was read before. Answers whether anything differs.
    fn look_at_file(&mut self) -> bool {
        let Some(path) = self.base.file.clone() else { return false };
        let stamp = stamp_of(&path);
        if stamp == self.file_stamp {
            return false;
        }
        self.file_stamp = stamp;
        if stamp.is_none() {
            self.file = None;
            self.file_error = None;
            return true;
        }
        match read_table(&path) {
            Ok(table) => {
                self.file = Some(table);
                self.file_error = None;
            }
            Err(error) => self.file_error = Some(error.to_string()),
        }
        true
    }

    fn rules(&mut self, stored: Stored, generation: u64) -> Result<Rules> {
        let mut layers: Vec<Layer> = Vec::new();
        layers.extend(self.file.clone().map(|table| Layer { origin: Origin::File, table }));
        for StoredOverride { name, rules, who, at_us } in stored.overrides {
            let table = Table { site: [(name, rules)].into(), ..Table::default() };
            layers.push(Layer { origin: Origin::Override { who, at_us }, table });
        }
        let providers = self.base.providers.topped(&layers)?;
        let mut sources = stored.sources;
        if sources.is_empty() {
            // A database that nobody opened the rules of: mail leaves as on a first start.
            sources.push(Source::first(""));
        }
        for source in &mut sources {
            if source.ehlo.is_empty() {
                source.ehlo.clone_from(&self.base.ehlo);
            }
        }
        Ok(Rules {
            providers: Arc::new(providers),
            sources,
            warm_ups: stored.warm_ups,
            generation,
            file_error: self.file_error.clone(),
        })
    }
}

fn stamp_of(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len()))
}

fn read_table(path: &Path) -> Result<Table> {
    let fault = |text: String| Error::File(format!("{}: {text}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| fault(error.to_string()))?.len();
    if size > RULE_FILE_BYTES_MAX {
        return Err(fault(format!("larger than {RULE_FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    Table::parse(&text).map_err(|error| fault(error.to_string()))
}

impl Routes {
    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        self.book.rules()
    }

    /// The provider table in force.
    #[must_use]
    pub fn providers(&self) -> Arc<Providers> {
        Arc::clone(&self.rules().providers)
    }

    /// Follows the rules.
    #[must_use]
    pub fn watch_rules(&self) -> watch::Receiver<Arc<Rules>> {
        self.book.sender.subscribe()
    }

    /// Puts file and tables on top of `base`, at the start; an installation without sources gets its first one.
    ///
    /// # Errors
    /// `File` when `shaping.toml` has a fault: starting with other limits than those written there could cost a
    /// reputation. `Rule`; `Store`.
    pub async fn open_rules(&self, base: RuleBase, now_us: i64) -> Result<()> {
        if let Some(file) = base.file.as_deref().filter(|file| file.exists()) {
            read_table(file)?;
        }
        self.store.write(Lane::Urgent, move |tx| make_first(tx, now_us)).await?;
        self.rebase(base);
        self.refresh_rules().await.map(|_| ())
    }

    /// Changes what lies below, after a change of settings; [`Routes::refresh_rules`] makes it hold.
    pub fn rebase(&self, base: RuleBase) {
        let mut ground = self.book.ground();
        if ground.base.file != base.file {
            ground.file_stamp = None;
            ground.file = None;
            ground.file_error = None;
        }
        ground.base = base;
        ground.base_changed = true;
    }

    /// Looks whether the file or the tables changed, also by another node, and publishes the rules when they did. Costs one
    /// small statement; for the wiring to call every few seconds. Answers whether it published.
    ///
    /// # Errors
    /// `Store`; `Rule` when what is stored does not fit together any more: the rules before hold on.
    pub async fn refresh_rules(&self) -> Result<bool> {
        let _one = self.book.publishing.lock().await;
        let change: i64 = self.store.read(newest).await?;
        let dirty = {
            let mut ground = self.book.ground();
            let file = ground.look_at_file();
            file || ground.base_changed || ground.change != Some(change)
        };
        if !dirty {
            return Ok(false);
        }
        let stored = self.store.read(read_stored).await?;
        let generation = self.book.rules().generation + 1;
        let rules = {
            let mut ground = self.book.ground();
            let change = stored.change;
            let rules = ground.rules(stored, generation)?;
            ground.change = Some(change);
            ground.base_changed = false;
            rules
        };
        self.book.sender.send_replace(Arc::new(rules));
        Ok(true)
    }

    /// Deletes what is older than anybody asks for: ceilings, volumes, verdicts. For the wiring to call every hour or so.
    ///
    /// # Errors
    /// `Store`.
    pub async fn clean(&self, now_us: i64) -> Result<()> {
        self.store
            .write(Lane::Bulk, move |tx| -> Result<()> {
                learned::purge(tx, now_us)?;
                verdicts::purge(tx, now_us)
            })
            .await
    }

    /// The stored overrides, by name.
    ///
    /// # Errors
    /// `Store`.
    pub async fn overrides(&self) -> Result<Vec<StoredOverride>> {
        self.store.read(read_overrides).await
    }

    /// Replaces what is changed about one site; an empty override is none. Holds at once.
    ///
    /// # Errors
    /// `Rule` names the field; `Store`.
    pub async fn put_override(&self, name: &str, rules: RuleOverride, who: &str, now_us: i64) -> Result<()> {
        self.change_override(name, who, now_us, move |_| Ok(rules)).await
    }

    /// Changes single fields of an override, as JSON: a value sets the field, null takes the change back.
    ///
    /// # Errors
    /// `Rule` names the field; `Store`.
    pub async fn patch_override(
        &self,
        name: &str,
        patch: Map<String, Value>,
        who: &str,
        now_us: i64,
    ) -> Result<()> {
        let of = name.to_owned();
        self.change_override(name, who, now_us, move |old| {
            let fields = patched(serde_json::to_value(old).unwrap_or_default(), patch);
            serde_json::from_value(Value::Object(fields))
                .map_err(|error| Error::rule(&of, "rule", format!("cannot be read: {error}")))
        })
        .await
    }

    /// Takes back everything that is changed about one site.
    ///
    /// # Errors
    /// `Absent`; `Store`.
    pub async fn remove_override(&self, name: &str, who: &str, now_us: i64) -> Result<()> {
        if !self.overrides().await?.iter().any(|stored| stored.name == name) {
            return Err(Error::Absent { kind: "override", name: name.to_owned() });
        }
        self.put_override(name, RuleOverride::default(), who, now_us).await
    }

    async fn change_override(
        &self,
        name: &str,
        who: &str,
        now_us: i64,
        change: impl FnOnce(&RuleOverride) -> Result<RuleOverride> + Send + 'static,
    ) -> Result<()> {
        let (name, who) = (name.to_owned(), who.to_owned());
        self.store
            .write(Lane::Urgent, move |tx| -> Result<()> {
                let before = read_overrides(tx)?.into_iter().find(|stored| stored.name == name);
                let old = before.as_ref().map(|stored| stored.rules.clone()).unwrap_or_default();
                let new = change(&old)?;
                check_site_name(&name, &new)?;
                if new == old {
                    return Ok(());
                }
                let head = Change { at_us: now_us, who: &who, kind: Kind::Override, name: &name };
                let was = before.map(|stored| json(&stored.rules));
                if new.is_empty() {
                    tx.execute("DELETE FROM rule_override WHERE name = $1", &binds![&name])?;
                    return note(tx, &head, was, None);
                }
                tx.execute(
                    "INSERT INTO rule_override (name, rules, changed_by, changed_at) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (name) DO UPDATE SET rules = excluded.rules, changed_by = excluded.changed_by,
                       changed_at = excluded.changed_at",
                    &binds![&name, json(&new), &who, now_us],
                )?;
                note(tx, &head, was, Some(json(&new)))
            })
            .await?;
        self.refresh_rules().await.map(|_| ())
    }
}

fn read_stored(tx: &mut Tx<'_>) -> Result<Stored> {
    Ok(Stored {
        change: newest(tx)?,
        sources: read_sources(tx)?,
        warm_ups: read_warm_ups(tx)?,
        overrides: read_overrides(tx)?,
    })
}

fn read_overrides(tx: &mut Tx<'_>) -> Result<Vec<StoredOverride>> {
    let sql = "SELECT name, rules, changed_by, changed_at FROM rule_override ORDER BY name";
    tx.query(sql, &[], |row| {
        let rules = serde_json::from_str(row.str(1)?);
        let damaged = |_| Error::rule(row.str(0).unwrap_or_default(), "rules", "are damaged in the database");
        Ok(StoredOverride {
            name: row.text(0)?,
            rules: rules.map_err(damaged)?,
            who: row.text(2)?,
            at_us: row.int(3)?,
        })
    })
}

/// The fields of a JSON object after a change: a value sets a field, null takes it away. What is no object has none.
#[must_use]
pub fn patched(old: Value, patch: Map<String, Value>) -> Map<String, Value> {
    let mut fields = match old {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (field, value) in patch {
        if value.is_null() {
            fields.remove(&field);
        } else {
            fields.insert(field, value);
        }
    }
    fields
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use store::{Store, Vault};

    /// A room with its rules open, over a fresh database.
    pub(crate) async fn room(store: Store) -> Routes {
        store.migrate(&[crate::MIGRATIONS]).await.expect("migrates");
        let dir = tempfile::tempdir().expect("folder");
        let vault = Arc::new(Vault::open(dir.path()).expect("vault"));
        let routes = Routes::new(store, vault, Providers::built_in().clone());
        routes.open_rules(base(None), 1).await.expect("opens");
        routes
    }

    fn base(file: Option<PathBuf>) -> RuleBase {
        RuleBase { providers: Providers::built_in().clone(), ehlo: "mail.shop.example".into(), file }
    }

    fn object(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).expect("an object")
    }

    #[tokio::test]
    async fn overrides_hold_at_once_here_and_soon_on_another_node() {
        store::testing::each(|store| async move {
            let routes = room(store.clone()).await;
            let other = room(store).await;
            let of = |routes: &Routes| routes.rules().providers.rules_of("google");
            routes
                .patch_override("google", object(r#"{"connections": 3, "tls": "none"}"#), "ann", 7)
                .await
                .expect("puts");
            assert_eq!(of(&routes).connections, 3);
            assert_eq!(of(&other).connections, 5);
            assert!(other.refresh_rules().await.expect("looks"));
            assert_eq!(of(&other).connections, 3);
            assert!(!other.refresh_rules().await.expect("looks"));
            routes
                .patch_override("google", object(r#"{"connections": null}"#), "bob", 8)
                .await
                .expect("patches");
            assert_eq!((of(&routes).connections, of(&routes).tls), (5, crate::TlsPolicy::None));
            routes.remove_override("google", "bob", 9).await.expect("removes");
            assert_eq!(of(&routes).tls, crate::TlsPolicy::Required);
            assert!(matches!(routes.remove_override("google", "bob", 9).await, Err(Error::Absent { .. })));
            let told = routes.rule_changes(2, None).await.expect("reads");
            assert_eq!((told[0].after.as_deref(), told[0].who.as_str()), (None, "bob"));
            assert_eq!(told[1].before.as_deref(), Some(r#"{"connections":3,"tls":"none"}"#));
            assert_eq!(routes.rule_changes(9, Some(told[1].id)).await.expect("reads").len(), 1);
        })
        .await;
    }

    #[tokio::test]
    async fn a_refused_override_changes_nothing_and_names_the_field() {
        store::testing::sqlite(|store| async move {
            let routes = room(store).await;
            for (name, patch, word) in [
                ("google", r#"{"connections": 0}"#, "connections"),
                ("google", r#"{"conections": 1}"#, "conections"),
                ("google", r#"{"message_rates": ["fast"]}"#, "fast"),
                ("Goo gle", r#"{"connections": 1}"#, "name"),
            ] {
                let refused =
                    routes.patch_override(name, object(patch), "ann", 7).await.expect_err("refused");
                assert!(refused.to_string().contains(word), "{refused}");
            }
            assert!(routes.overrides().await.expect("reads").is_empty());
            assert!(routes.rule_changes(9, None).await.expect("reads").is_empty());
        })
        .await;
    }

    #[tokio::test]
    async fn a_provider_of_ones_own_can_be_added() {
        store::testing::sqlite(|store| async move {
            let routes = room(store).await;
            let partner = r#"{"label": "Partner", "mx": ["*.partner.example"], "connections": 40}"#;
            routes.patch_override("partner", object(partner), "ann", 7).await.expect("puts");
            let site = routes.rules().providers.site("a.example", &["mx1.partner.example"]);
            assert_eq!((site.label.as_str(), site.known, site.rules.connections), ("Partner", true, 40));
        })
        .await;
    }

    #[tokio::test]
    async fn the_file_is_read_again_when_it_changes_and_a_fault_leaves_what_was() {
        store::testing::sqlite(|store| async move {
            let routes = room(store).await;
            let dir = tempfile::tempdir().expect("folder");
            let file = dir.path().join("shaping.toml");
            routes.open_rules(base(Some(file.clone())), 1).await.expect("a file need not be there");
            let write = |text: &str| std::fs::write(&file, text).expect("writes");
            let google = || routes.rules().providers.rules_of("google").connections;
            write("[site.google]\nconnections = 8\n");
            assert!(routes.refresh_rules().await.expect("looks"));
            assert_eq!(google(), 8);
            write("[site.google]\nconnections = \"many\"\n");
            assert!(routes.refresh_rules().await.expect("looks"));
            assert_eq!(google(), 8);
            let error = routes.rules().file_error.clone().expect("an error");
            assert!(error.contains("shaping.toml") && error.contains("line 2"), "{error}");
            assert!(routes.open_rules(base(Some(file.clone())), 1).await.is_err());
            std::fs::remove_file(&file).expect("removes");
            assert!(routes.refresh_rules().await.expect("looks"));
            assert_eq!((google(), routes.rules().file_error.clone()), (5, None));
        })
        .await;
    }

    #[test]
    fn only_addresses_that_the_world_sees_are_public() {
        let texts =
            ["203.0.113.5", "10.0.0.1", "100.64.0.1", "127.0.0.1", "2001:db8::5", "fd00::1", "203.0.113.5"];
        let of = |(n, text): (usize, &&str)| Source {
            name: format!("s{n}"),
            address: Some(text.parse().expect("an address")),
            enabled: true,
            ..Source::first("")
        };
        let rules = Rules::fixed(Providers::built_in().clone(), texts.iter().enumerate().map(of).collect());
        let found: Vec<String> = rules.public_addresses().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["203.0.113.5", "2001:db8::5"]);
    }

    #[tokio::test]
    async fn settings_lie_below_the_file() {
        store::testing::sqlite(|store| async move {
            let routes = room(store).await;
            let changes =
                [("google".to_owned(), RuleOverride { connections: Some(2), ..Default::default() })];
            let providers = Providers::with(&changes.into()).expect("in range");
            routes.rebase(RuleBase { providers, ehlo: "new.shop.example".into(), file: None });
            assert!(routes.refresh_rules().await.expect("looks"));
            assert_eq!(routes.rules().providers.rules_of("google").connections, 2);
            assert_eq!(routes.rules().sources[0].ehlo, "new.shop.example");
        })
        .await;
    }
}
