//! Sending domains: added, listed, removed; and the room's door, [`Routes`].

use std::sync::Arc;

use address::Domain;
use message::KeyKind;
use serde::Serialize;
use store::{Lane, RoomMigrations, Step, Store, Tx, Vault, binds};

use crate::check::{DomainCheck, compare};
use crate::dkim::{KINDS, PublicKey, VAULT_PURPOSE, generate_pair, kind_of, selector};
use crate::error::{Error, Result};
use crate::limits::KEY_GENERATIONS_MAX;
use crate::providers::Providers;
use crate::records::{DomainRecords, Facts, records_of};
use crate::rotation::KeyStage;
use crate::rules::Book;
use crate::signing::{Cache, Signing};

/// The tables of this room.
pub const MIGRATIONS: RoomMigrations = RoomMigrations {
    room: "routes",
    steps: &[
        Step { number: 1, name: "start", sql: include_str!("../migrations/001_start.sql") },
        Step { number: 2, name: "rules", sql: include_str!("../migrations/002_rules.sql") },
        Step {
            number: 3,
            name: "transport security",
            sql: include_str!("../migrations/003_transport_security.sql"),
        },
        Step { number: 4, name: "rotation", sql: include_str!("../migrations/004_rotation.sql") },
        Step { number: 5, name: "receiving ip", sql: include_str!("../migrations/005_receiving_ip.sql") },
        Step { number: 6, name: "secure only", sql: include_str!("../migrations/006_secure_only.sql") },
        Step {
            number: 7,
            name: "verdict category",
            sql: include_str!("../migrations/007_verdict_category.sql"),
        },
    ],
};

/// The room's door. Cloning is cheap; all clones share the keys in memory.
#[derive(Clone)]
pub struct Routes {
    pub(crate) store: Store,
    pub(crate) vault: Arc<Vault>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) book: Arc<Book>,
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes").finish_non_exhaustive()
    }
}

/// A domain that senders may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SendingDomain {
    /// IDNA ASCII, lower case.
    pub domain: String,
    /// Selector of the RSA key in use.
    pub selector: String,
    /// Microseconds UTC.
    pub created_at: i64,
    /// Another sending domain whose keys sign its mail too ([`Routes::sign_also`]).
    pub also: Option<String>,
}

/// The columns of [`read_domain`].
const DOMAIN: &str = "SELECT domain, selector, created_at, also FROM domain";

impl Routes {
    /// The room over `store`, its keys sealed by `vault`. Until [`Routes::open_rules`] its rules are `providers` and one
    /// source.
    #[must_use]
    pub fn new(store: Store, vault: Arc<Vault>, providers: Providers) -> Routes {
        Routes { store, vault, cache: Arc::default(), book: Arc::new(Book::new(providers)) }
    }

    /// Makes a domain a sending domain, with new keys. Adding it again changes nothing and answers the same.
    ///
    /// # Errors
    /// `NotADomain`; `Store`; `KeyGeneration`; `Selectors`.
    pub async fn add_domain(&self, domain: &str, now_us: i64) -> Result<SendingDomain> {
        let domain = ascii(domain)?;
        if let Some(found) = self.domain(&domain).await? {
            return Ok(found);
        }
        let keys = tokio::task::spawn_blocking(generate_pair).await.map_err(|_| Error::Stopped)??;
        let mut sealed = Vec::with_capacity(keys.len());
        for key in keys {
            let private = self.vault.seal(VAULT_PURPOSE, &key.private)?;
            sealed.push(SealedKey { kind: key.kind, private, txt: key.txt });
        }
        let added =
            self.store.write(Lane::Urgent, move |tx| insert_domain(tx, &domain, &sealed, now_us)).await?;
        self.cache.forget_all();
        Ok(added)
    }

    /// All sending domains, by name.
    ///
    /// # Errors
    /// `Store`.
    pub async fn domains(&self) -> Result<Vec<SendingDomain>> {
        self.store.read(|tx| tx.query(&format!("{DOMAIN} ORDER BY domain"), &[], read_domain)).await
    }

    /// One sending domain, by exact name in any spelling.
    ///
    /// # Errors
    /// `NotADomain`; `Store`.
    pub async fn domain(&self, domain: &str) -> Result<Option<SendingDomain>> {
        let domain = ascii(domain)?;
        self.store.read(move |tx| find_domain(tx, &domain)).await
    }

    /// The sending domain that an address of `domain` may use: itself, or the nearest parent that is one of
    /// ours (DKIM aligned with a parent satisfies relaxed DMARC).
    ///
    /// # Errors
    /// `Store`.
    pub async fn covering(&self, domain: &str) -> Result<Option<SendingDomain>> {
        let Ok(domain) = ascii(domain) else { return Ok(None) };
        self.store.read(move |tx| find_covering(tx, &domain)).await
    }

    /// Takes a domain out of use. Its keys are kept as retired: messages already sent can still be composed.
    /// Answers whether it was there.
    ///
    /// # Errors
    /// `NotADomain`; `Store`.
    pub async fn remove_domain(&self, domain: &str) -> Result<bool> {
        let domain = ascii(domain)?;
        let removed = self
            .store
            .write(Lane::Urgent, move |tx| -> Result<bool> {
                tx.execute(
                    "UPDATE dkim_key SET state = 'retired' WHERE domain = $1",
                    &binds![domain.as_str()],
                )?;
                tx.execute("UPDATE domain SET also = NULL WHERE also = $1", &binds![domain.as_str()])?;
                Ok(tx.execute("DELETE FROM domain WHERE domain = $1", &binds![domain.as_str()])? > 0)
            })
            .await?;
        self.cache.forget_all();
        Ok(removed)
    }

    /// The DNS records to publish for a sending domain.
    ///
    /// # Errors
    /// `UnknownDomain`; `NotADomain`; `Store`.
    pub async fn records(&self, domain: &str, facts: &Facts) -> Result<DomainRecords> {
        let found = self.domain(domain).await?.ok_or_else(|| Error::UnknownDomain(domain.to_owned()))?;
        let name = found.domain.clone();
        let keys = self.store.read(move |tx| published(tx, &name)).await?;
        let records = records_of(&found.domain, &keys, facts);
        Ok(DomainRecords { domain: found.domain, selector: found.selector, records })
    }

    /// Compares the records of a sending domain with what DNS answers. `web` fetches its MTA-STS policy, if it has one;
    /// `None`: its DNS record alone is looked at. The caller bounds the time.
    ///
    /// # Errors
    /// As [`Routes::records`]; DNS trouble is in the answer.
    pub async fn check(
        &self,
        domain: &str,
        facts: &Facts,
        dns: &dyn net::Resolver,
        web: Option<&crate::TransportPolicies>,
    ) -> Result<DomainCheck> {
        let wanted = self.records(domain, facts).await?;
        Ok(compare(dns, &wanted.domain, wanted.records, facts, web).await)
    }

    /// The signers of mail from `domain` (or of the nearest parent that is ours), with their key numbers for
    /// the stamp. Empty when no domain of ours covers it. From memory after the first call.
    ///
    /// # Errors
    /// `Store`; `Key` when a key cannot be unsealed.
    pub async fn signing_for(&self, domain: &str) -> Result<Arc<Signing>> {
        let Ok(domain) = ascii(domain) else { return Ok(Arc::default()) };
        if let Some(known) = self.cache.of_domain(&domain) {
            return Ok(known);
        }
        let asked = domain.clone();
        let keys: Vec<i64> = self
            .store
            .read(move |tx| -> Result<Vec<i64>> {
                match find_covering(tx, &asked)? {
                    Some(found) => signing_ids(tx, &found.domain),
                    None => Ok(Vec::new()),
                }
            })
            .await?;
        let signing = self.signing_with(&keys).await?;
        if !keys.is_empty() {
            // "Not ours" is not remembered: another node may add the domain at any time.
            self.cache.remember(domain, Arc::clone(&signing));
        }
        Ok(signing)
    }
}

/// A new key, ready for its row.
struct SealedKey {
    kind: KeyKind,
    private: Vec<u8>,
    txt: String,
}

pub(crate) fn ascii(domain: &str) -> Result<String> {
    let parsed = Domain::parse(domain.trim().trim_end_matches('.'));
    parsed.map(|d| d.ascii().to_owned()).map_err(|_| Error::NotADomain(domain.to_owned()))
}

fn read_domain(row: &store::Row<'_>) -> Result<SendingDomain> {
    Ok(SendingDomain {
        domain: row.text(0)?,
        selector: row.text(1)?,
        created_at: row.int(2)?,
        also: row.text_opt(3)?,
    })
}

fn find_domain(tx: &mut Tx<'_>, domain: &str) -> Result<Option<SendingDomain>> {
    tx.query_opt(&format!("{DOMAIN} WHERE domain = $1"), &binds![domain], read_domain)
}

fn find_covering(tx: &mut Tx<'_>, domain: &str) -> Result<Option<SendingDomain>> {
    let mut at = domain;
    loop {
        if let Some(found) = find_domain(tx, at)? {
            return Ok(Some(found));
        }
        match at.split_once('.') {
            Some((_, parent)) if parent.contains('.') => at = parent,
            _ => return Ok(None),
        }
    }
}

/// The active keys of a domain, then those of the domain that signs beside it.
fn signing_ids(tx: &mut Tx<'_>, domain: &str) -> Result<Vec<i64>> {
    let also = "SELECT also FROM domain WHERE domain = $1";
    let also = tx.query_opt::<_, Error>(also, &binds![domain], |row| Ok(row.text_opt(0)?))?.flatten();
    let mut ids = Vec::new();
    for domain in std::iter::once(domain).chain(also.as_deref()) {
        let sql = "SELECT id FROM dkim_key WHERE domain = $1 AND state = 'active' ORDER BY id";
        ids.extend(tx.query::<i64, Error>(sql, &binds![domain], |row| Ok(row.int(0)?))?);
    }
    Ok(ids)
}

/// The keys whose records are to be published: those that sign first, then those that shall, then those that did.
fn published(tx: &mut Tx<'_>, domain: &str) -> Result<Vec<PublicKey>> {
    let sql = "SELECT id, selector, algorithm, public, state FROM dkim_key
               WHERE domain = $1 AND state IN ('active', 'pending', 'retiring') ORDER BY state, id";
    let mut keys = tx.query::<_, Error>(sql, &binds![domain], |row| {
        let (kind, stage) = (kind_of(row.str(2)?), KeyStage::of(row.str(4)?));
        let (Some(kind), Some(stage)) = (kind, stage) else {
            return Err(Error::Key {
                id: row.int(0).unwrap_or_default(),
                domain: domain.to_owned(),
                reason: "unknown algorithm or state".to_owned(),
            });
        };
        Ok(PublicKey { selector: row.text(1)?, kind, txt: row.text(3)?, stage })
    })?;
    keys.sort_by_key(|key| key.stage != KeyStage::Active);
    Ok(keys)
}

/// Two who add the same domain at once get the same answer: the second insert does nothing.
fn insert_domain(tx: &mut Tx<'_>, domain: &str, keys: &[SealedKey], now_us: i64) -> Result<SendingDomain> {
    let generation = free_generation(tx, domain)?;
    let shown = selector(KeyKind::Rsa, generation);
    let inserted = tx.execute(
        "INSERT INTO domain (domain, selector, created_at) VALUES ($1, $2, $3) ON CONFLICT (domain) DO NOTHING",
        &binds![domain, shown, now_us],
    )?;
    if inserted > 0 {
        for key in keys {
            tx.execute(
                "INSERT INTO dkim_key (domain, selector, algorithm, private, public, state, created_at, activated_at)
                 VALUES ($1, $2, $3, $4, $5, 'active', $6, $6)",
                &binds![
                    domain,
                    selector(key.kind, generation),
                    key.kind.as_str(),
                    key.private.clone(),
                    key.txt.as_str(),
                    now_us
                ],
            )?;
        }
    }
    find_domain(tx, domain)?.ok_or_else(|| Error::UnknownDomain(domain.to_owned()))
}

/// A selector once published is not used again with another key: receivers and DNS caches still hold it.
pub(crate) fn free_generation(tx: &mut Tx<'_>, domain: &str) -> Result<u32> {
    let sql = "SELECT selector FROM dkim_key WHERE domain = $1";
    let used: Vec<String> = tx.query::<_, Error>(sql, &binds![domain], |row| Ok(row.text(0)?))?;
    (1..=KEY_GENERATIONS_MAX)
        .find(|n| KINDS.iter().all(|kind| !used.contains(&selector(*kind, *n))))
        .ok_or_else(|| Error::Selectors(domain.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    async fn room(store: Store, dir: &std::path::Path) -> Routes {
        store.migrate(&[MIGRATIONS]).await.expect("migrates");
        let vault = Arc::new(Vault::open(dir).expect("vault"));
        Routes::new(store, vault, Providers::built_in().clone())
    }

    #[tokio::test]
    async fn a_domain_is_added_once_and_signs() {
        store::testing::each(|store| async move {
            let dir = tempfile::tempdir().expect("folder");
            let routes = room(store, dir.path()).await;
            let added = routes.add_domain("Shop.Example.", 7).await.expect("adds");
            assert_eq!((added.domain.as_str(), added.selector.as_str()), ("shop.example", "mw1"));
            assert_eq!(routes.add_domain("shop.example", 9).await.expect("again"), added);
            let signing = routes.signing_for("shop.example").await.expect("signs");
            let selectors: Vec<&str> = signing.signers.iter().map(|s| s.selector()).collect();
            assert_eq!(selectors, ["mw1", "mw1e"]);
            // A subdomain signs with its parent's keys; a stranger does not sign.
            let below = routes.signing_for("news.shop.example").await.expect("signs");
            assert_eq!(below.keys, signing.keys);
            assert!(routes.signing_for("other.example").await.expect("asks").signers.is_empty());
            assert!(routes.add_domain("no domain", 7).await.is_err());
            let records = routes.records("SHOP.example", &Facts::default()).await.expect("records");
            assert_eq!(records.records.len(), 6);
            assert!(matches!(
                routes.records("other.example", &Facts::default()).await,
                Err(Error::UnknownDomain(_))
            ));
        })
        .await;
    }

    #[tokio::test]
    async fn removing_keeps_the_keys_of_what_was_sent_and_a_new_start_gets_new_selectors() {
        store::testing::each(|store| async move {
            let dir = tempfile::tempdir().expect("folder");
            let routes = room(store.clone(), dir.path()).await;
            routes.add_domain("shop.example", 7).await.expect("adds");
            let old = routes.signing_for("shop.example").await.expect("signs").keys.clone();
            assert!(routes.remove_domain("shop.example").await.expect("removes"));
            assert!(!routes.remove_domain("shop.example").await.expect("again"));
            assert!(routes.domains().await.expect("lists").is_empty());
            assert!(routes.signing_for("shop.example").await.expect("asks").keys.is_empty());
            // A program started anew finds the retired keys by number.
            let anew = room(store, dir.path()).await;
            assert_eq!(anew.signing_with(&old).await.expect("finds").signers.len(), 2);
            assert_eq!(anew.add_domain("shop.example", 9).await.expect("adds").selector, "mw2");
            assert!(matches!(anew.signing_with(&[999_999]).await, Err(Error::Key { .. })));
        })
        .await;
    }

    #[tokio::test]
    async fn another_master_key_is_told_from_a_missing_key() {
        store::testing::sqlite(|store| async move {
            let (one, two) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
            room(store.clone(), one.path()).await.add_domain("shop.example", 7).await.expect("adds");
            let stranger = room(store, two.path()).await;
            let refused = stranger.signing_for("shop.example").await;
            assert!(matches!(refused, Err(Error::Key { id, .. }) if id > 0));
        })
        .await;
    }
}
