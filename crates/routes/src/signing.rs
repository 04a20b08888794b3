//! Signers in memory: which keys sign for a domain now, and which signed a message then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use message::Signer;
use store::binds;

use crate::dkim::{VAULT_PURPOSE, kind_of, signer};
use crate::domains::Routes;
use crate::error::{Error, Result};
use crate::limits::{KEY_CACHE_MAX, SIGNING_CACHE_MAX};

/// Keys that sign together, with the numbers that a stamp keeps.
#[derive(Default)]
pub struct Signing {
    /// Rows of the keys, ascending; what goes into a part's `keys`.
    pub keys: Vec<i64>,
    /// The signers, in the same order.
    pub signers: Vec<Signer>,
}

/// What is kept in memory. Both maps are emptied whole when full or when domains change: parsing a key again
/// takes about 50 us, and there are rarely more than a few.
#[derive(Default)]
pub(crate) struct Cache {
    by_domain: Mutex<HashMap<String, Arc<Signing>>>,
    by_keys: Mutex<HashMap<Vec<i64>, Arc<Signing>>>,
}

impl Cache {
    pub(crate) fn of_domain(&self, domain: &str) -> Option<Arc<Signing>> {
        open(&self.by_domain).get(domain).cloned()
    }

    pub(crate) fn remember(&self, domain: String, signing: Arc<Signing>) {
        let mut map = open(&self.by_domain);
        if map.len() >= SIGNING_CACHE_MAX {
            map.clear();
        }
        map.insert(domain, signing);
    }

    /// Keys never change, so only the answer to "which keys now" is forgotten.
    pub(crate) fn forget_all(&self) {
        open(&self.by_domain).clear();
    }
}

/// A panic while a map was held cannot leave it half changed, so a poisoned lock is entered all the same.
fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stored key as read.
struct Stored {
    id: i64,
    domain: String,
    selector: String,
    algorithm: String,
    sealed: Vec<u8>,
}

impl Routes {
    /// The signers with exactly these key numbers, active or retired: how a message of an earlier claim is
    /// composed again. From memory after the first call.
    ///
    /// # Errors
    /// `Key` when one is absent or cannot be unsealed; `Store`.
    pub async fn signing_with(&self, keys: &[i64]) -> Result<Arc<Signing>> {
        if keys.is_empty() {
            return Ok(Arc::default());
        }
        if let Some(known) = open(&self.cache.by_keys).get(keys).cloned() {
            return Ok(known);
        }
        let mut signing = Signing::default();
        for &id in keys {
            let stored = self.stored_key(id).await?;
            signing.signers.push(self.open_key(stored)?);
            signing.keys.push(id);
        }
        let signing = Arc::new(signing);
        let mut map = open(&self.cache.by_keys);
        if map.len() >= KEY_CACHE_MAX {
            map.clear();
        }
        map.insert(keys.to_vec(), Arc::clone(&signing));
        Ok(signing)
    }

    /// Forgets which keys sign for which domain, so that what another node changed is seen. For the wiring to
    /// call every few seconds: it costs one small query per domain in use, less than a protocol between nodes.
    pub fn refresh(&self) {
        self.cache.forget_all();
    }

    async fn stored_key(&self, id: i64) -> Result<Stored> {
        let found = self
            .store
            .read(move |tx| -> Result<Option<Stored>> {
                let sql = "SELECT id, domain, selector, algorithm, private FROM dkim_key WHERE id = $1";
                tx.query_opt(sql, &binds![id], |row| {
                    Ok(Stored {
                        id: row.int(0)?,
                        domain: row.text(1)?,
                        selector: row.text(2)?,
                        algorithm: row.text(3)?,
                        sealed: row.blob(4)?,
                    })
                })
            })
            .await?;
        found.ok_or_else(|| Error::Key { id, domain: String::new(), reason: "it is not stored".to_owned() })
    }

    fn open_key(&self, stored: Stored) -> Result<Signer> {
        let Stored { id, domain, selector, algorithm, sealed } = stored;
        let bad = |reason: String| Error::Key { id, domain: domain.clone(), reason };
        let private = self.vault.unseal(VAULT_PURPOSE, &sealed).map_err(|error| bad(error.to_string()))?;
        let kind = kind_of(&algorithm).ok_or_else(|| bad("unknown algorithm".to_owned()))?;
        signer(kind, &domain, &selector, &private).map_err(|error| bad(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use store::{Lane, Trace, Value};

    use super::*;
    use crate::rules::tests::room;

    /// Sending domains of a large installation.
    const DOMAINS: usize = 10_000;
    /// For all of them, from memory. An operation of a map takes well below a microsecond; the bound is that of a slow,
    /// busy machine in a debug build.
    const FROM_MEMORY_MAX: Duration = Duration::from_secs(2);

    /// The keys of one domain under the names of many: making 10,000 RSA keys would take an hour.
    async fn many_domains(routes: &Routes) {
        routes.add_domain("d0.example", 1).await.expect("adds");
        let copied = routes
            .store
            .write(Lane::Urgent, |tx| -> Result<()> {
                let sql = "SELECT selector, algorithm, private, public FROM dkim_key ORDER BY id";
                let keys = tx.query::<_, Error>(sql, &[], |row| {
                    Ok((row.text(0)?, row.text(1)?, row.blob(2)?, row.text(3)?))
                })?;
                let domains = (1..DOMAINS).map(|n| binds![format!("d{n}.example"), "mw1", 1_i64]);
                tx.copy_in("domain", &["domain", "selector", "created_at"], domains)?;
                let columns = ["domain", "selector", "algorithm", "private", "public", "state", "created_at"];
                let rows = (1..DOMAINS).flat_map(|n| {
                    keys.iter().map(move |(selector, algorithm, private, public)| {
                        binds![format!("d{n}.example"), selector, algorithm, private, public, "active", 1_i64]
                    })
                });
                let rows: Vec<Vec<Value>> = rows.collect();
                tx.copy_in("dkim_key", &columns, rows.into_iter())?;
                Ok(())
            })
            .await;
        copied.expect("copies");
    }

    #[tokio::test]
    async fn ten_thousand_domains_sign_from_memory() {
        store::testing::sqlite(|store| async move {
            let plain = room(store).await;
            many_domains(&plain).await;
            let trace = Trace::default();
            let routes = Routes { store: plain.store.traced(trace.clone()), ..plain };
            let first = Instant::now();
            for n in 0..DOMAINS {
                let signing = routes.signing_for(&format!("d{n}.example")).await.expect("signs");
                assert_eq!(signing.signers.len(), 2);
            }
            let first = first.elapsed();
            let counted = |trace: &Trace| trace.statements().iter().map(|one| one.runs).sum::<u64>();
            let before = counted(&trace);
            let again = Instant::now();
            for n in 0..DOMAINS {
                routes.signing_for(&format!("d{n}.example")).await.expect("signs");
            }
            let again = again.elapsed();
            assert_eq!(counted(&trace), before, "the database was asked again");
            assert!(again < FROM_MEMORY_MAX, "first {first:?}, from memory {again:?}");
        })
        .await;
    }
}
