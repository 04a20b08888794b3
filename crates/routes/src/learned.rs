//! What survives a restart of the engine: ceilings learned on each path, receivers that demand TLS, and what was sent on
//! each day.

use store::{Lane, Tx, binds};

use crate::domains::Routes;
use crate::error::Result;
use crate::limits::{LEARNED_KEPT_US, LEARNED_MAX, VOLUME_DAYS_KEPT};
use crate::warm_up::day_of;

/// What a site was found to take from a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// The source.
    pub source: String,
    /// The site.
    pub site: String,
    /// Connections at once.
    pub connections: f64,
    /// Messages a second; 0: no limit was met.
    pub rate: f64,
    /// The site said that it takes mail over TLS only.
    pub secure_only: bool,
    /// Microseconds UTC.
    pub at_us: i64,
}

/// What one source sent to one site on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// The source.
    pub source: String,
    /// The site. Only sites that somebody asks by: those of a provider, of a warm-up, and with a limit by the day; all
    /// others together as `other`, or 100,000 one-recipient domains would be as many rows a day.
    pub site: String,
    /// Days since 1970-01-01 UTC.
    pub day: i64,
    /// Messages taken.
    pub messages: i64,
    /// Octets of these.
    pub bytes: i64,
}

impl Routes {
    /// What was learned within the last 30 days.
    ///
    /// # Errors
    /// `Store`.
    pub async fn learned(&self, now_us: i64) -> Result<Vec<Learned>> {
        self.store
            .read(move |tx| {
                let sql =
                    "SELECT source, site, connections, rate, secure_only, at FROM learned WHERE at > $1";
                tx.query(sql, &binds![now_us - LEARNED_KEPT_US], |row| {
                    Ok(Learned {
                        source: row.text(0)?,
                        site: row.text(1)?,
                        connections: row.real(2)?,
                        rate: row.real(3)?,
                        secure_only: row.bool(4)?,
                        at_us: row.int(5)?,
                    })
                })
            })
            .await
    }

    /// Keeps what was learned, in place of what was known of these paths. It is on disk with the next urgent transaction.
    ///
    /// # Errors
    /// `Store`; nothing is kept then.
    pub async fn save_learned(&self, learned: Vec<Learned>) -> Result<()> {
        if learned.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = learned
            .into_iter()
            .map(|one| binds![one.source, one.site, one.connections, one.rate, one.secure_only, one.at_us])
            .collect();
        let sql = "INSERT INTO learned (source, site, connections, rate, secure_only, at) VALUES ($1, $2, $3, $4, $5, $6)
                   ON CONFLICT (source, site) DO UPDATE SET connections = excluded.connections, rate = excluded.rate,
                     secure_only = excluded.secure_only, at = excluded.at";
        self.store.write(Lane::Bulk, move |tx| Ok(tx.execute_many(sql, rows).map(|_| ())?)).await
    }

    /// Forgets what was learned at a site, from one source or from all.
    ///
    /// # Errors
    /// `Store`.
    pub async fn forget_learned(&self, source: Option<&str>, site: &str) -> Result<u64> {
        let (source, site) = (source.map(str::to_owned), site.to_owned());
        let sql = "DELETE FROM learned WHERE site = $1 AND source = coalesce($2, source)";
        self.store.write(Lane::Urgent, move |tx| Ok(tx.execute(sql, &binds![site, source])?)).await
    }

    /// What was sent on `since_day` and later, over all nodes.
    ///
    /// # Errors
    /// `Store`.
    pub async fn volumes(&self, since_day: i64) -> Result<Vec<Volume>> {
        self.store
            .read(move |tx| {
                let sql = "SELECT source, site, day, messages, bytes FROM volume WHERE day >= $1";
                tx.query(sql, &binds![since_day], |row| {
                    Ok(Volume {
                        source: row.text(0)?,
                        site: row.text(1)?,
                        day: row.int(2)?,
                        messages: row.int(3)?,
                        bytes: row.int(4)?,
                    })
                })
            })
            .await
    }

    /// Adds what was sent since the last call, so that nodes do not overwrite each other. It is on disk with the next urgent
    /// transaction; what could not be saved is the caller's to give again.
    ///
    /// # Errors
    /// `Store`; nothing is added then.
    pub async fn save_volumes(&self, sent: Vec<Volume>) -> Result<()> {
        if sent.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = sent
            .into_iter()
            .map(|one| binds![one.source, one.site, one.day, one.messages, one.bytes])
            .collect();
        let sql = "INSERT INTO volume (source, site, day, messages, bytes) VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (source, site, day) DO UPDATE SET messages = volume.messages + excluded.messages,
                     bytes = volume.bytes + excluded.bytes";
        self.store.write(Lane::Bulk, move |tx| Ok(tx.execute_many(sql, rows).map(|_| ())?)).await
    }
}

/// Deletes what nobody asks for any more.
pub(crate) fn purge(tx: &mut Tx<'_>, now_us: i64) -> Result<()> {
    tx.execute("DELETE FROM learned WHERE at <= $1", &binds![now_us - LEARNED_KEPT_US])?;
    tx.execute(
        "DELETE FROM learned WHERE at < (SELECT at FROM learned ORDER BY at DESC LIMIT 1 OFFSET $1)",
        &binds![LEARNED_MAX - 1],
    )?;
    tx.execute("DELETE FROM volume WHERE day < $1", &binds![day_of(now_us) - VOLUME_DAYS_KEPT])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::room;

    fn learned(site: &str, connections: f64, at_us: i64) -> Learned {
        Learned {
            source: "default".into(),
            site: site.into(),
            connections,
            rate: 0.5,
            secure_only: site == "yahoo",
            at_us,
        }
    }

    #[tokio::test]
    async fn what_was_learned_is_replaced_forgotten_and_grows_old() {
        store::testing::each(|store| async move {
            let routes = room(store).await;
            routes.save_learned(vec![]).await.expect("nothing is fine");
            routes
                .save_learned(vec![learned("google", 4.0, 1), learned("yahoo", 2.0, 1)])
                .await
                .expect("saves");
            routes.save_learned(vec![learned("google", 3.5, 9)]).await.expect("saves");
            let mut found = routes.learned(10).await.expect("reads");
            found.sort_by(|a, b| a.site.cmp(&b.site));
            assert_eq!(found, [learned("google", 3.5, 9), learned("yahoo", 2.0, 1)]);
            assert_eq!(routes.learned(LEARNED_KEPT_US + 5).await.expect("reads").len(), 1);
            routes.clean(LEARNED_KEPT_US + 5).await.expect("cleans");
            assert_eq!(routes.learned(10).await.expect("reads").len(), 1);
            assert_eq!(routes.forget_learned(Some("other"), "google").await.expect("forgets"), 0);
            assert_eq!(routes.forget_learned(None, "google").await.expect("forgets"), 1);
        })
        .await;
    }

    #[tokio::test]
    async fn volumes_add_up_by_day() {
        store::testing::each(|store| async move {
            let routes = room(store).await;
            let volume = |day, messages| Volume {
                source: "default".into(),
                site: "google".into(),
                day,
                messages,
                bytes: messages * 10,
            };
            routes.save_volumes(vec![volume(99, 1), volume(100, 2)]).await.expect("saves");
            routes.save_volumes(vec![volume(100, 3)]).await.expect("saves");
            assert_eq!(routes.volumes(100).await.expect("reads"), [volume(100, 5)]);
            assert_eq!(routes.volumes(99).await.expect("reads").len(), 2);
            let later = (100 + VOLUME_DAYS_KEPT) * 86_400 * 1_000_000;
            routes.clean(later).await.expect("cleans");
            assert_eq!(routes.volumes(0).await.expect("reads"), [volume(100, 5)]);
        })
        .await;
    }
}
