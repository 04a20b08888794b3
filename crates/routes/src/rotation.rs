//! Rotation of DKIM keys with an overlap: a new pair is made and shown, seen in DNS, and only then signs; the old pair is
//! kept published until nothing that it signed is on its way, and kept sealed for ever, because a message of an old claim is
//! composed with the keys of its first try.

use std::collections::HashSet;

use message::KeyKind;
use net::Resolver;
use serde::Serialize;
use store::{Lane, Row, Tx, binds};

use crate::check::dkim_is_published;
use crate::dkim::{VAULT_PURPOSE, generate_pair, kind_of, selector};
use crate::domains::{Routes, ascii, free_generation};
use crate::error::{Error, Result};
use crate::limits::{KEY_OVERLAP_US, ROTATIONS_LOOKED_AT};

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyStage {
    /// Made; signs once its record is seen in DNS.
    Pending,
    /// Signs.
    Active,
    /// Signs no more; its record must stay while mail that it signed may be checked.
    Retiring,
    /// Its record may be removed from DNS.
    Retired,
}

/// A signing key, without its private half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DomainKey {
    /// Its number, as stamps name it.
    pub id: i64,
    /// The `s=` tag.
    pub selector: String,
    /// `rsa` or `ed25519`.
    pub algorithm: String,
    /// Where it is in its life.
    pub stage: KeyStage,
    /// Microseconds UTC.
    pub created_at: i64,
    /// Since when it signed; `None`: not yet.
    pub activated_at: Option<i64>,
    /// Since when it signs no more; `None`: it still does, or never did.
    pub replaced_at: Option<i64>,
}

/// What became of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// There are no new keys.
    None,
    /// The new keys are not (all) seen in DNS: the old ones sign.
    NotPublished,
    /// DNS did not answer: the old ones sign.
    Unknown,
    /// The new keys sign from now on.
    Activated,
}

impl KeyStage {
    const ALL: [KeyStage; 4] = [KeyStage::Pending, KeyStage::Active, KeyStage::Retiring, KeyStage::Retired];

    /// The word in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            KeyStage::Pending => "pending",
            KeyStage::Active => "active",
            KeyStage::Retiring => "retiring",
            KeyStage::Retired => "retired",
        }
    }

    pub(crate) fn of(word: &str) -> Option<KeyStage> {
        KeyStage::ALL.into_iter().find(|stage| stage.as_str() == word)
    }
}

/// A pending key and what has to be seen in DNS.
struct Awaited {
    selector: String,
    txt: String,
}

impl Routes {
    /// All keys of a sending domain, the newest first.
    ///
    /// # Errors
    /// `NotADomain`; `Store`.
    pub async fn keys(&self, domain: &str) -> Result<Vec<DomainKey>> {
        let domain = ascii(domain)?;
        self.store.read(move |tx| read_keys(tx, &domain)).await
    }

    /// Keys that replace others or are replaced, of all domains: domain and stage, each once, by domain.
    ///
    /// # Errors
    /// `Store`; `Key` for a damaged row.
    pub async fn rotations(&self) -> Result<Vec<(String, KeyStage)>> {
        let sql = "SELECT DISTINCT domain, state FROM dkim_key WHERE state IN ('pending', 'retiring') ORDER BY 1, 2";
        self.store
            .read(|tx| {
                tx.query(sql, &[], |row| {
                    let domain = row.text(0)?;
                    let damaged =
                        || Error::Key { id: 0, domain: domain.clone(), reason: "unknown state".to_owned() };
                    let stage = KeyStage::of(row.str(1)?).ok_or_else(damaged)?;
                    Ok((domain, stage))
                })
            })
            .await
    }

    /// Makes a new pair of keys for a domain, which waits until it is seen in DNS. When one waits already, nothing is made.
    ///
    /// # Errors
    /// `UnknownDomain`; `NotADomain`; `KeyGeneration`; `Selectors`; `Store`.
    pub async fn start_rotation(&self, domain: &str, now_us: i64) -> Result<()> {
        let known = self.domain(domain).await?.ok_or_else(|| Error::UnknownDomain(domain.to_owned()))?;
        let keys = tokio::task::spawn_blocking(generate_pair).await.map_err(|_| Error::Stopped)??;
        let mut sealed = Vec::with_capacity(keys.len());
        for key in keys {
            sealed.push((key.kind, self.vault.seal(VAULT_PURPOSE, &key.private)?, key.txt));
        }
        self.store
            .write(Lane::Urgent, move |tx| -> Result<()> {
                if awaited(tx, &known.domain)?.is_empty() {
                    insert_pending(tx, &known.domain, &sealed, now_us)?;
                }
                Ok(())
            })
            .await
    }

    /// Gives up a pending pair. Its selectors are not used again. Answers whether there was one.
    ///
    /// # Errors
    /// `NotADomain`; `Store`.
    pub async fn cancel_rotation(&self, domain: &str) -> Result<bool> {
        let domain = ascii(domain)?;
        let sql = "UPDATE dkim_key SET state = 'retired' WHERE domain = $1 AND state = 'pending'";
        let given_up =
            self.store.write(Lane::Urgent, move |tx| Ok::<_, Error>(tx.execute(sql, &binds![domain])?));
        Ok(given_up.await? > 0)
    }

    /// Looks whether the new keys of a domain are published, and lets them sign when all of them are. The caller bounds the
    /// time.
    ///
    /// # Errors
    /// `NotADomain`; `Store`; DNS trouble is in the answer.
    pub async fn turn_keys(&self, domain: &str, dns: &dyn Resolver, now_us: i64) -> Result<Turn> {
        let domain = ascii(domain)?;
        let asked = domain.clone();
        let awaited = self.store.read(move |tx| awaited(tx, &asked)).await?;
        if awaited.is_empty() {
            return Ok(Turn::None);
        }
        for key in &awaited {
            let name = format!("{}._domainkey.{domain}", key.selector);
            match dkim_is_published(dns, &name, &key.txt).await {
                Some(true) => {}
                Some(false) => return Ok(Turn::NotPublished),
                None => return Ok(Turn::Unknown),
            }
        }
        let selectors: Vec<String> = awaited.into_iter().map(|key| key.selector).collect();
        let turned =
            self.store.write(Lane::Urgent, move |tx| activate(tx, &domain, &selectors, now_us)).await?;
        self.cache.forget_all();
        Ok(if turned { Turn::Activated } else { Turn::None })
    }

    /// Lets new keys sign wherever they are published now, and ends the overlap of replaced ones: `in_use` are the keys that
    /// unexpired deliveries were stamped with. For the wiring to call every few minutes. Answers the domains whose keys
    /// turned.
    ///
    /// # Errors
    /// `Store`.
    pub async fn look_at_rotations(
        &self,
        dns: &dyn Resolver,
        in_use: &HashSet<i64>,
        now_us: i64,
    ) -> Result<Vec<String>> {
        let waiting: Vec<String> = self
            .store
            .read(|tx| -> Result<Vec<String>> {
                let sql =
                    "SELECT DISTINCT domain FROM dkim_key WHERE state = 'pending' ORDER BY domain LIMIT $1";
                tx.query(sql, &binds![ROTATIONS_LOOKED_AT], |row| Ok(row.text(0)?))
            })
            .await?;
        let mut turned = Vec::new();
        for domain in waiting {
            if self.turn_keys(&domain, dns, now_us).await? == Turn::Activated {
                turned.push(domain);
            }
        }
        let in_use = in_use.clone();
        self.store.write(Lane::Urgent, move |tx| retire(tx, &in_use, now_us)).await?;
        Ok(turned)
    }

    /// Lets mail of `domain` be signed by another sending domain too, or (`None`) only by its own keys again.
    ///
    /// # Errors
    /// `UnknownDomain` for either; `Rule` when they are the same; `Store`.
    pub async fn sign_also(&self, domain: &str, also: Option<&str>) -> Result<()> {
        let known = self.domain(domain).await?.ok_or_else(|| Error::UnknownDomain(domain.to_owned()))?;
        let also = match also {
            None => None,
            Some(other) => {
                let other =
                    self.domain(other).await?.ok_or_else(|| Error::UnknownDomain(other.to_owned()))?;
                if other.domain == known.domain {
                    return Err(Error::rule(&known.domain, "also", "must be another sending domain"));
                }
                Some(other.domain)
            }
        };
        let sql = "UPDATE domain SET also = $1 WHERE domain = $2";
        self.store
            .write(Lane::Urgent, move |tx| Ok::<_, Error>(tx.execute(sql, &binds![also, known.domain])?))
            .await?;
        self.cache.forget_all();
        Ok(())
    }
}

fn awaited(tx: &mut Tx<'_>, domain: &str) -> Result<Vec<Awaited>> {
    let sql = "SELECT selector, public FROM dkim_key WHERE domain = $1 AND state = 'pending' ORDER BY id";
    tx.query(sql, &binds![domain], |row| Ok(Awaited { selector: row.text(0)?, txt: row.text(1)? }))
}

fn insert_pending(
    tx: &mut Tx<'_>,
    domain: &str,
    sealed: &[(KeyKind, Vec<u8>, String)],
    now_us: i64,
) -> Result<()> {
    let generation = free_generation(tx, domain)?;
    for (kind, private, txt) in sealed {
        tx.execute(
            "INSERT INTO dkim_key (domain, selector, algorithm, private, public, state, created_at)
             VALUES ($1, $2, $3, $4, $5, 'pending', $6)",
            &binds![
                domain,
                selector(*kind, generation),
                kind.as_str(),
                private.clone(),
                txt.as_str(),
                now_us
            ],
        )?;
    }
    Ok(())
}

/// Only what was looked up signs: a rotation that was given up and begun anew meanwhile is another one.
fn activate(tx: &mut Tx<'_>, domain: &str, selectors: &[String], now_us: i64) -> Result<bool> {
    let pending: Vec<String> = awaited(tx, domain)?.into_iter().map(|key| key.selector).collect();
    if pending != selectors {
        return Ok(false);
    }
    let replace =
        "UPDATE dkim_key SET state = 'retiring', replaced_at = $1 WHERE domain = $2 AND state = 'active'";
    tx.execute(replace, &binds![now_us, domain])?;
    let sign =
        "UPDATE dkim_key SET state = 'active', activated_at = $1 WHERE domain = $2 AND state = 'pending'";
    tx.execute(sign, &binds![now_us, domain])?;
    tx.execute(
        "UPDATE domain SET selector = (SELECT min(selector) FROM dkim_key
           WHERE domain = $1 AND state = 'active' AND algorithm = 'rsa') WHERE domain = $1",
        &binds![domain],
    )?;
    Ok(true)
}

/// Ends the overlap of keys that were replaced long enough ago and that no unexpired delivery was stamped with.
fn retire(tx: &mut Tx<'_>, in_use: &HashSet<i64>, now_us: i64) -> Result<()> {
    let sql = "SELECT id FROM dkim_key WHERE state = 'retiring' AND replaced_at <= $1";
    let over: Vec<i64> =
        tx.query::<_, Error>(sql, &binds![now_us - KEY_OVERLAP_US], |row| Ok(row.int(0)?))?;
    for id in over.into_iter().filter(|id| !in_use.contains(id)) {
        tx.execute("UPDATE dkim_key SET state = 'retired' WHERE id = $1", &binds![id])?;
    }
    Ok(())
}

fn read_keys(tx: &mut Tx<'_>, domain: &str) -> Result<Vec<DomainKey>> {
    let sql = "SELECT id, selector, algorithm, state, created_at, activated_at, replaced_at FROM dkim_key
               WHERE domain = $1 ORDER BY id DESC";
    tx.query(sql, &binds![domain], |row| read_key(row, domain))
}

fn read_key(row: &Row<'_>, domain: &str) -> Result<DomainKey> {
    let stage = KeyStage::of(row.str(3)?).filter(|_| row.str(2).is_ok_and(|word| kind_of(word).is_some()));
    let id = row.int(0)?;
    let damaged = || Error::Key { id, domain: domain.to_owned(), reason: "unknown state".to_owned() };
    Ok(DomainKey {
        id,
        selector: row.text(1)?,
        algorithm: row.text(2)?,
        stage: stage.ok_or_else(damaged)?,
        created_at: row.int(4)?,
        activated_at: row.int_opt(5)?,
        replaced_at: row.int_opt(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::room;
    use crate::{Facts, Purpose};
    use net::{RecordKind, StaticResolver};

    const DAY: i64 = 86_400 * 1_000_000;

    fn stages(keys: &[DomainKey]) -> Vec<(&str, KeyStage)> {
        keys.iter().map(|key| (key.selector.as_str(), key.stage)).collect()
    }

    async fn publish(routes: &Routes, dns: &StaticResolver) {
        let records = routes.records("shop.example", &Facts::default()).await.expect("records").records;
        for record in records.iter().filter(|r| matches!(r.purpose, Purpose::DkimRsa | Purpose::DkimEd25519))
        {
            dns.txt(&record.name, &[&record.value]);
        }
    }

    async fn selectors(routes: &Routes) -> Vec<String> {
        let signing = routes.signing_for("shop.example").await.expect("signs");
        signing.signers.iter().map(|signer| signer.selector().to_owned()).collect()
    }

    #[tokio::test]
    async fn new_keys_sign_once_they_are_seen_and_old_ones_stay_while_something_needs_them() {
        store::testing::each(|store| async move {
            use KeyStage::{Active, Pending, Retired, Retiring};
            let routes = room(store).await;
            let dns = StaticResolver::new();
            routes.add_domain("shop.example", 1).await.expect("adds");
            let old: HashSet<i64> =
                routes.signing_for("shop.example").await.expect("signs").keys.iter().copied().collect();
            publish(&routes, &dns).await;
            assert_eq!(routes.turn_keys("shop.example", &dns, 2).await.expect("looks"), Turn::None);
            routes.start_rotation("Shop.example", 2).await.expect("starts");
            routes.start_rotation("shop.example", 3).await.expect("one at a time");
            let keys = routes.keys("shop.example").await.expect("reads");
            assert_eq!(
                stages(&keys),
                [("mw2e", Pending), ("mw2", Pending), ("mw1e", Active), ("mw1", Active)]
            );
            // Half published is not published; silence is not absence.
            assert_eq!(routes.turn_keys("shop.example", &dns, 4).await.expect("looks"), Turn::NotPublished);
            dns.fails("mw2._domainkey.shop.example", RecordKind::Txt);
            assert_eq!(routes.turn_keys("shop.example", &dns, 4).await.expect("looks"), Turn::Unknown);
            assert_eq!(selectors(&routes).await, ["mw1", "mw1e"]);
            let dns = StaticResolver::new();
            publish(&routes, &dns).await;
            assert_eq!(routes.look_at_rotations(&dns, &old, 5).await.expect("looks"), ["shop.example"]);
            assert_eq!(selectors(&routes).await, ["mw2", "mw2e"]);
            assert_eq!(
                routes.domain("shop.example").await.expect("reads").expect("is there").selector,
                "mw2"
            );
            // The records of the old pair stay wanted until nothing needs them.
            assert_eq!(
                routes.records("shop.example", &Facts::default()).await.expect("records").records.len(),
                8
            );
            routes.look_at_rotations(&dns, &HashSet::new(), 6 * DAY).await.expect("looks");
            assert_eq!(routes.keys("shop.example").await.expect("reads")[2].stage, Retiring, "too soon");
            routes.look_at_rotations(&dns, &old, 8 * DAY).await.expect("looks");
            assert_eq!(routes.keys("shop.example").await.expect("reads")[2].stage, Retiring, "in use");
            routes.look_at_rotations(&dns, &HashSet::new(), 8 * DAY).await.expect("looks");
            let keys = routes.keys("shop.example").await.expect("reads");
            assert_eq!(stages(&keys)[2..], [("mw1e", Retired), ("mw1", Retired)]);
            assert_eq!(
                routes.records("shop.example", &Facts::default()).await.expect("records").records.len(),
                6
            );
            // Still there for what was stamped with them.
            let mut old: Vec<i64> = old.into_iter().collect();
            old.sort_unstable();
            assert_eq!(routes.signing_with(&old).await.expect("finds").signers.len(), 2);
        })
        .await;
    }

    #[tokio::test]
    async fn a_rotation_can_be_given_up_and_its_selectors_are_not_used_again() {
        store::testing::sqlite(|store| async move {
            let routes = room(store).await;
            routes.add_domain("shop.example", 1).await.expect("adds");
            assert!(!routes.cancel_rotation("shop.example").await.expect("asks"));
            assert!(routes.rotations().await.expect("reads").is_empty());
            routes.start_rotation("shop.example", 2).await.expect("starts");
            let rotations = routes.rotations().await.expect("reads");
            assert_eq!(rotations, [("shop.example".to_owned(), KeyStage::Pending)], "two keys, one line");
            assert!(routes.cancel_rotation("shop.example").await.expect("gives up"));
            routes.start_rotation("shop.example", 3).await.expect("starts");
            let keys = routes.keys("shop.example").await.expect("reads");
            assert_eq!(stages(&keys)[..2], [("mw3e", KeyStage::Pending), ("mw3", KeyStage::Pending)]);
            assert!(matches!(routes.start_rotation("other.example", 3).await, Err(Error::UnknownDomain(_))));
        })
        .await;
    }

    #[tokio::test]
    async fn a_second_domain_signs_too() {
        store::testing::each(|store| async move {
            let routes = room(store).await;
            routes.add_domain("shop.example", 1).await.expect("adds");
            routes.add_domain("group.example", 1).await.expect("adds");
            routes.sign_also("shop.example", Some("Group.example")).await.expect("changes");
            let known = routes.domains().await.expect("reads");
            let also: Vec<_> = known.iter().map(|one| (one.domain.as_str(), one.also.as_deref())).collect();
            assert_eq!(also, [("group.example", None), ("shop.example", Some("group.example"))]);
            let signing = routes.signing_for("news.shop.example").await.expect("signs");
            let domains: Vec<&str> = signing.signers.iter().map(|signer| signer.domain()).collect();
            assert_eq!(domains, ["shop.example", "shop.example", "group.example", "group.example"]);
            assert!(matches!(
                routes.sign_also("shop.example", Some("shop.example")).await,
                Err(Error::Rule { .. })
            ));
            assert!(routes.sign_also("shop.example", Some("none.example")).await.is_err());
            routes.sign_also("shop.example", None).await.expect("changes");
            assert_eq!(routes.signing_for("shop.example").await.expect("signs").signers.len(), 2);
        })
        .await;
    }
}
