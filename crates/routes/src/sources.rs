//! Sources: the addresses mail leaves from, kept in a table with their history.

use std::net::{IpAddr, SocketAddr};

use address::{Domain, matches_mask};
use serde::{Deserialize, Serialize};
use store::{Lane, Tx, binds};

use crate::changes::{Change, Kind, json, note};
use crate::domains::Routes;
use crate::error::{Error, Result};
use crate::limits::SOURCES_MAX;
use crate::site_rules::check_masks;

/// The pool of deliveries that choose none, and of the first source.
pub const DEFAULT_POOL: &str = "default";
/// The source that a first start makes.
pub const DEFAULT_SOURCE: &str = "default";
/// Largest weight of a source.
const WEIGHT_MAX: u32 = 1_000;
/// Pools that one source may be in.
const POOLS_MAX: usize = 32;

/// An address to send from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name, as rows and pages show it: 1 to 40 lower-case letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The address to bind, or with `proxy` the one that the proxy binds; `None`: what the system chooses.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// The name said in EHLO. Stored empty for the setting `mta.ehlo`, which [`crate::Rules`] has filled in.
    #[serde(default)]
    pub ehlo: String,
    /// Its share among the sources that may be used: weight over the sum of weights. 1 to 1,000.
    #[serde(default = "one")]
    pub weight: u32,
    /// Masks of the address domains it serves; empty: all.
    #[serde(default)]
    pub include: Vec<String>,
    /// Masks of address domains it does not serve, looked at after `include`.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Pools it is in; deliveries choose a pool. At least one.
    #[serde(default = "default_pools")]
    pub pools: Vec<String>,
    /// A proxy that speaks PROXY protocol version 2, on the host that has `address`.
    #[serde(default)]
    pub proxy: Option<SocketAddr>,
    /// Whether it is used.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The only node that has it; `None`: every node.
    #[serde(default)]
    pub node: Option<String>,
}

/// A name by which deliveries and typologies choose sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Sources in it that are used.
    pub sources: usize,
    /// Sources in it that are switched off.
    pub disabled: usize,
}

impl Pool {
    /// A pool that no source is in.
    #[must_use]
    pub fn empty(name: &str) -> Pool {
        Pool { name: name.to_owned(), sources: 0, disabled: 0 }
    }
}

/// Whether `name` may be the name of a pool or a source.
#[must_use]
pub fn is_pool_name(name: &str) -> bool {
    is_name(name)
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

fn default_pools() -> Vec<String> {
    vec![DEFAULT_POOL.to_owned()]
}

impl Source {
    /// The one that a first start makes: any address, every domain, the pool `default`. An empty `ehlo` is the setting.
    #[must_use]
    pub fn first(ehlo: &str) -> Source {
        Source {
            name: DEFAULT_SOURCE.to_owned(),
            address: None,
            ehlo: ehlo.to_owned(),
            weight: 1,
            include: Vec::new(),
            exclude: Vec::new(),
            pools: default_pools(),
            proxy: None,
            enabled: true,
            node: None,
        }
    }

    /// Whether it may carry mail of `pool` to `domain` (lower-case ASCII).
    #[must_use]
    pub fn serves(&self, pool: &str, domain: &str) -> bool {
        let any = |masks: &[String]| masks.iter().any(|mask| matches_mask(mask, domain));
        self.enabled
            && self.pools.iter().any(|own| own == pool)
            && (self.include.is_empty() || any(&self.include))
            && !any(&self.exclude)
    }

    /// Lower case where it is compared so, and refused when something is out of range.
    fn checked(mut self) -> Result<Source> {
        let refused = |field, reason: &str| Err(Error::rule(&self.name, field, reason));
        if !is_name(&self.name) {
            return refused(
                "name",
                "must be 1 to 40 lower-case letters, digits, hyphens, underscores or dots",
            );
        }
        if !(1..=WEIGHT_MAX).contains(&self.weight) {
            return refused("weight", "must be 1 to 1000; a source that is not to be used is disabled");
        }
        if self.pools.is_empty() || self.pools.len() > POOLS_MAX || !self.pools.iter().all(|p| is_name(p)) {
            return refused(
                "pools",
                "must be 1 to 32 names of lower-case letters, digits, hyphens, underscores or dots",
            );
        }
        if !self.ehlo.is_empty() && Domain::parse(&self.ehlo).is_err() {
            return refused("ehlo", "must be a host name");
        }
        if self.proxy.is_some() && self.address.is_none() {
            return refused("proxy", "needs the address that the proxy binds");
        }
        if self.node.as_ref().is_some_and(|node| !is_name(node)) {
            return refused("node", "must be the name of a node");
        }
        for (field, masks) in [("include", &self.include), ("exclude", &self.exclude)] {
            check_masks(&self.name, field, masks)?;
        }
        for mask in self.include.iter_mut().chain(&mut self.exclude) {
            mask.make_ascii_lowercase();
        }
        Ok(self)
    }
}

fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    (1..=40).contains(&name.len()) && name.bytes().all(fits)
}

impl Routes {
    /// Makes a source, or replaces the one of that name. Holds at once.
    ///
    /// # Errors
    /// `Rule` names the field; `Store`.
    pub async fn put_source(&self, source: Source, who: &str, now_us: i64) -> Result<()> {
        let source = source.checked()?;
        let who = who.to_owned();
        self.store
            .write(Lane::Urgent, move |tx| -> Result<()> {
                let before = read_sources(tx)?;
                let old = before.iter().find(|one| one.name == source.name);
                if old == Some(&source) {
                    return Ok(());
                }
                if old.is_none() && before.len() >= SOURCES_MAX {
                    return Err(Error::rule(
                        &source.name,
                        "name",
                        format!("is one more than the {SOURCES_MAX} there may be"),
                    ));
                }
                write_source(tx, &source, now_us)?;
                let change = Change { at_us: now_us, who: &who, kind: Kind::Source, name: &source.name };
                note(tx, &change, old.map(json), Some(json(&source)))
            })
            .await?;
        self.refresh_rules().await.map(|_| ())
    }

    /// Removes a source. What waits for it goes by the other sources of its pool, or stays pending. The last one cannot be
    /// removed.
    ///
    /// # Errors
    /// `Absent`; `Rule` for the last one; `Store`.
    pub async fn remove_source(&self, name: &str, who: &str, now_us: i64) -> Result<()> {
        let (name, who) = (name.to_owned(), who.to_owned());
        self.store
            .write(Lane::Urgent, move |tx| -> Result<()> {
                let before = read_sources(tx)?;
                let Some(old) = before.iter().find(|one| one.name == name) else {
                    return Err(Error::Absent { kind: "source", name });
                };
                if before.len() == 1 {
                    return Err(Error::rule(
                        &name,
                        "name",
                        "is the only source: mail has to leave from somewhere",
                    ));
                }
                tx.execute("DELETE FROM warm_up WHERE source = $1", &binds![&name])?;
                tx.execute("DELETE FROM source WHERE name = $1", &binds![&name])?;
                let change = Change { at_us: now_us, who: &who, kind: Kind::Source, name: &name };
                note(tx, &change, Some(json(old)), None)
            })
            .await?;
        self.refresh_rules().await.map(|_| ())
    }

    /// The sources as stored, by name: an empty `ehlo` is the setting's.
    ///
    /// # Errors
    /// `Store`.
    pub async fn sources(&self) -> Result<Vec<Source>> {
        self.store.read(read_sources).await
    }
}

/// Makes the first source of an installation that has none.
pub(crate) fn make_first(tx: &mut Tx<'_>, now_us: i64) -> Result<()> {
    let some: Option<i64> =
        tx.query_opt::<_, Error>("SELECT 1 FROM source LIMIT 1", &[], |row| Ok(row.int(0)?))?;
    match some {
        Some(_) => Ok(()),
        None => write_source(tx, &Source::first(""), now_us),
    }
}

/// Two nodes that start at once both make the first source: the second changes nothing of the first.
fn write_source(tx: &mut Tx<'_>, source: &Source, now_us: i64) -> Result<()> {
    tx.execute(
        "INSERT INTO source (name, address, ehlo, weight, includes, excludes, pools, proxy, enabled, node, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (name) DO UPDATE SET address = excluded.address, ehlo = excluded.ehlo, weight = excluded.weight,
           includes = excluded.includes, excludes = excluded.excludes, pools = excluded.pools,
           proxy = excluded.proxy, enabled = excluded.enabled, node = excluded.node, changed_at = excluded.changed_at",
        &binds![
            source.name.as_str(),
            source.address.map(|address| address.to_string()),
            source.ehlo.as_str(),
            source.weight,
            json(&source.include),
            json(&source.exclude),
            json(&source.pools),
            source.proxy.map(|proxy| proxy.to_string()),
            source.enabled,
            source.node.as_deref(),
            now_us
        ],
    )?;
    Ok(())
}

pub(crate) fn read_sources(tx: &mut Tx<'_>) -> Result<Vec<Source>> {
    let sql = "SELECT name, address, ehlo, weight, includes, excludes, pools, proxy, enabled, node
               FROM source ORDER BY name";
    tx.query(sql, &[], |row| {
        let damaged =
            |field| Error::rule(row.str(0).unwrap_or_default(), field, "is damaged in the database");
        let list = |at, field| serde_json::from_str(row.str(at)?).map_err(|_| damaged(field));
        Ok(Source {
            name: row.text(0)?,
            address: row.str_opt(1)?.map(|text| text.parse().map_err(|_| damaged("address"))).transpose()?,
            ehlo: row.text(2)?,
            weight: u32::try_from(row.int(3)?).map_err(|_| damaged("weight"))?,
            include: list(4, "include")?,
            exclude: list(5, "exclude")?,
            pools: list(6, "pools")?,
            proxy: row.str_opt(7)?.map(|text| text.parse().map_err(|_| damaged("proxy"))).transpose()?,
            enabled: row.bool(8)?,
            node: row.text_opt(9)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::room;

    fn source(name: &str) -> Source {
        Source { name: name.to_owned(), ..Source::first("out.shop.example") }
    }

    #[test]
    fn a_source_serves_its_pools_and_domains() {
        let mut one = source("a");
        assert!(one.serves("default", "shop.example") && !one.serves("news", "shop.example"));
        one.include = vec!["*.example".into()];
        one.exclude = vec!["slow.example".into()];
        assert!(one.serves("default", "shop.example"));
        assert!(!one.serves("default", "slow.example") && !one.serves("default", "shop.test"));
        one.enabled = false;
        assert!(!one.serves("default", "shop.example"));
    }

    #[test]
    fn what_a_source_cannot_be_is_named() {
        let field = |change: fn(&mut Source)| {
            let mut one = source("a");
            change(&mut one);
            match one.checked() {
                Err(Error::Rule { field, .. }) => field,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(field(|s| s.name = "A b".into()), "name");
        assert_eq!(field(|s| s.name = "a".repeat(41)), "name");
        assert_eq!(field(|s| s.weight = 0), "weight");
        assert_eq!(field(|s| s.weight = 1_001), "weight");
        assert_eq!(field(|s| s.pools.clear()), "pools");
        assert_eq!(field(|s| s.ehlo = "a b".into()), "ehlo");
        assert_eq!(field(|s| s.proxy = Some("192.0.2.1:1080".parse().expect("an address"))), "proxy");
        assert_eq!(field(|s| s.include = vec!["ä".into()]), "include");
        assert_eq!(field(|s| s.node = Some(String::new())), "node");
    }

    #[tokio::test]
    async fn sources_are_kept_with_their_history_and_hold_at_once() {
        store::testing::each(|store| async move {
            let routes = room(store).await;
            let names =
                |rules: &crate::Rules| rules.sources.iter().map(|s| s.name.clone()).collect::<Vec<_>>();
            assert_eq!(names(&routes.rules()), ["default"]);
            assert_eq!(routes.rules().sources[0].ehlo, "mail.shop.example");
            let mut watching = routes.watch_rules();
            watching.borrow_and_update();
            let mut cold = source("cold");
            cold.address = Some("2001:db8::5".parse().expect("an address"));
            cold.proxy = Some("[2001:db8::1]:1080".parse().expect("an address"));
            cold.include = vec!["*.Example".into()];
            routes.put_source(cold.clone(), "ann", 7).await.expect("puts");
            assert!(watching.has_changed().expect("the room lives"));
            cold.include = vec!["*.example".into()];
            assert_eq!(routes.rules().sources[0], cold);
            // The same again is no change.
            routes.put_source(cold.clone(), "ann", 8).await.expect("puts");
            assert!(matches!(routes.remove_source("none", "bob", 9).await, Err(Error::Absent { .. })));
            routes.remove_source("default", "bob", 9).await.expect("removes");
            assert!(matches!(routes.remove_source("cold", "bob", 9).await, Err(Error::Rule { .. })));
            let told: Vec<(String, bool)> = routes
                .rule_changes(10, None)
                .await
                .expect("reads")
                .into_iter()
                .map(|change| {
                    (
                        format!("{} {} {}", change.who, change.kind.as_str(), change.name),
                        change.after.is_some(),
                    )
                })
                .collect();
            assert_eq!(
                told,
                [("bob source default".to_owned(), false), ("ann source cold".to_owned(), true)]
            );
        })
        .await;
    }
}
