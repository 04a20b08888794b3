//! Verdicts: an identity (a source, a domain, a URL, a delivery) that is held back at a provider, until when and why.

use serde::{Deserialize, Serialize};
use store::{Lane, Row, Tx, binds};

use crate::changes::{Change, Kind, json, note};
use crate::domains::Routes;
use crate::error::{Error, Result};
use crate::limits::VERDICT_SHOWN_US;

/// What a verdict does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing goes; what waits, waits.
    Suspend,
    /// Everything goes, at so many per cent of the rate. 1 to 99.
    Slow(u8),
    /// What has begun ends, nothing new begins. What waits may go another way.
    Drain,
}

/// One verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// `source:NAME`, `domain:D`, `url:HOST`, `delivery:N` or `site:NAME`.
    pub identity: String,
    /// A site's name; empty: everywhere.
    pub provider: String,
    /// What it does.
    pub action: Action,
    /// Its end, microseconds UTC; `None`: until somebody lifts it.
    pub until_us: Option<i64>,
    /// Why, in words; often the receiver's.
    pub reason: String,
    /// The rule of reply classification behind it; empty: none.
    pub rule: String,
    /// What kind of answer that was, by a name of `smtp::Category`; empty: none.
    pub category: String,
    /// Who; empty: the engine.
    pub by: String,
    /// Since when, microseconds UTC.
    pub at_us: i64,
}

impl Verdict {
    /// Whether it holds at a moment.
    #[must_use]
    pub fn holds(&self, now_us: i64) -> bool {
        self.until_us.is_none_or(|until| until > now_us)
    }

    fn name(&self) -> String {
        format!("{} {}", self.identity, self.provider).trim_end().to_owned()
    }
}

impl Routes {
    /// The verdicts in force, the newest first.
    ///
    /// # Errors
    /// `Store`.
    pub async fn verdicts(&self, now_us: i64) -> Result<Vec<Verdict>> {
        let all = self.store.read(read).await?;
        Ok(all.into_iter().filter(|verdict| verdict.holds(now_us)).collect())
    }

    /// The verdicts in force and those that ended within the last week, the newest first.
    ///
    /// # Errors
    /// `Store`.
    pub async fn recent_verdicts(&self, now_us: i64) -> Result<Vec<Verdict>> {
        let all = self.store.read(read).await?;
        Ok(all.into_iter().filter(|verdict| verdict.holds(now_us - VERDICT_SHOWN_US)).collect())
    }

    /// Sets a verdict, in place of the one on the same identity and provider. A person's stands in the history of rules; the
    /// engine's does not replace a person's that is in force. Answers whether it was set.
    ///
    /// # Errors
    /// `Rule` when identity or factor are none; `Store`.
    pub async fn put_verdict(&self, verdict: Verdict, now_us: i64) -> Result<bool> {
        check(&verdict)?;
        self.store
            .write(Lane::Urgent, move |tx| -> Result<bool> {
                let old = find(tx, &verdict.identity, &verdict.provider)?;
                if verdict.by.is_empty()
                    && old.as_ref().is_some_and(|old| !old.by.is_empty() && old.holds(now_us))
                {
                    return Ok(false);
                }
                write(tx, &verdict)?;
                if !verdict.by.is_empty() {
                    let change = Change {
                        at_us: now_us,
                        who: &verdict.by,
                        kind: Kind::Verdict,
                        name: &verdict.name(),
                    };
                    note(tx, &change, old.as_ref().map(json), Some(json(&verdict)))?;
                }
                Ok(true)
            })
            .await
    }

    /// Lifts a verdict before its end. Answers whether there was one in force.
    ///
    /// # Errors
    /// `Store`.
    pub async fn lift_verdict(&self, identity: &str, provider: &str, who: &str, now_us: i64) -> Result<bool> {
        let (identity, provider, who) = (identity.to_owned(), provider.to_owned(), who.to_owned());
        self.store
            .write(Lane::Urgent, move |tx| -> Result<bool> {
                let Some(old) = find(tx, &identity, &provider)?.filter(|old| old.holds(now_us)) else {
                    return Ok(false);
                };
                let sql = "DELETE FROM verdict WHERE identity = $1 AND provider = $2";
                tx.execute(sql, &binds![&identity, &provider])?;
                if !who.is_empty() {
                    let change = Change { at_us: now_us, who: &who, kind: Kind::Verdict, name: &old.name() };
                    note(tx, &change, Some(json(&old)), None)?;
                }
                Ok(true)
            })
            .await
    }
}

/// Deletes verdicts that ended long ago.
pub(crate) fn purge(tx: &mut Tx<'_>, now_us: i64) -> Result<()> {
    tx.execute("DELETE FROM verdict WHERE until_at <= $1", &binds![now_us - VERDICT_SHOWN_US])?;
    Ok(())
}

fn check(verdict: &Verdict) -> Result<()> {
    let kinds = ["source", "domain", "url", "delivery", "site"];
    let known = verdict
        .identity
        .split_once(':')
        .is_some_and(|(kind, name)| kinds.contains(&kind) && !name.is_empty());
    if !known || verdict.identity.len() > 300 {
        return Err(Error::rule(
            &verdict.identity,
            "identity",
            "must be source:, domain:, url:, delivery: or site: and a name",
        ));
    }
    if let Some(host) = verdict.identity.strip_prefix("url:")
        && (host != host.to_lowercase() || address::Domain::parse(host).is_err())
    {
        return Err(Error::rule(
            &verdict.identity,
            "identity",
            "must name the link's host alone, in lower case, as url:shop.example",
        ));
    }
    if verdict.action != Action::Suspend
        && ["domain:", "url:", "delivery:"].iter().any(|kind| verdict.identity.starts_with(kind))
    {
        // Rates are those of paths.
        return Err(Error::rule(
            &verdict.identity,
            "action",
            "must be to suspend: only sources and sites are slowed down or drained",
        ));
    }
    if matches!(verdict.action, Action::Slow(factor) if !(1..=99).contains(&factor)) {
        return Err(Error::rule(&verdict.identity, "factor", "must be 1 to 99 per cent"));
    }
    Ok(())
}

fn write(tx: &mut Tx<'_>, verdict: &Verdict) -> Result<()> {
    let (action, factor) = match verdict.action {
        Action::Suspend => ("suspend", 0),
        Action::Slow(factor) => ("slow", factor),
        Action::Drain => ("drain", 0),
    };
    tx.execute(
        "INSERT INTO verdict (identity, provider, action, factor, until_at, reason, rule, category, set_by, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (identity, provider) DO UPDATE SET action = excluded.action, factor = excluded.factor,
           until_at = excluded.until_at, reason = excluded.reason, rule = excluded.rule, category = excluded.category,
           set_by = excluded.set_by, at = excluded.at",
        &binds![
            &verdict.identity,
            &verdict.provider,
            action,
            factor,
            verdict.until_us,
            &verdict.reason,
            &verdict.rule,
            &verdict.category,
            &verdict.by,
            verdict.at_us
        ],
    )?;
    Ok(())
}

const COLUMNS: &str = "identity, provider, action, factor, until_at, reason, rule, category, set_by, at";

fn row(row: &Row<'_>) -> Result<Verdict> {
    let damaged = || Error::rule(row.str(0).unwrap_or_default(), "action", "is damaged in the database");
    Ok(Verdict {
        identity: row.text(0)?,
        provider: row.text(1)?,
        action: match row.str(2)? {
            "suspend" => Action::Suspend,
            "slow" => Action::Slow(u8::try_from(row.int(3)?).map_err(|_| damaged())?),
            "drain" => Action::Drain,
            _ => return Err(damaged()),
        },
        until_us: row.int_opt(4)?,
        reason: row.text(5)?,
        rule: row.text(6)?,
        category: row.text(7)?,
        by: row.text(8)?,
        at_us: row.int(9)?,
    })
}

fn read(tx: &mut Tx<'_>) -> Result<Vec<Verdict>> {
    tx.query(&format!("SELECT {COLUMNS} FROM verdict ORDER BY at DESC, identity, provider"), &[], row)
}

fn find(tx: &mut Tx<'_>, identity: &str, provider: &str) -> Result<Option<Verdict>> {
    let sql = format!("SELECT {COLUMNS} FROM verdict WHERE identity = $1 AND provider = $2");
    tx.query_opt(&sql, &binds![identity, provider], row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::room;

    fn verdict(by: &str, until_us: Option<i64>) -> Verdict {
        Verdict {
            identity: "source:default".into(),
            provider: "yahoo".into(),
            action: Action::Slow(50),
            until_us,
            reason: "421 4.7.0 [TSS04] temporarily deferred".into(),
            rule: "yahoo-tss04".into(),
            category: "spam_block".into(),
            by: by.into(),
            at_us: 5,
        }
    }

    #[tokio::test]
    async fn a_verdict_holds_until_its_end_and_is_shown_for_a_week_more() {
        store::testing::each(|store| async move {
            let routes = room(store).await;
            assert!(routes.put_verdict(verdict("", Some(100)), 5).await.expect("puts"));
            assert_eq!(routes.verdicts(99).await.expect("reads"), [verdict("", Some(100))]);
            assert!(routes.verdicts(100).await.expect("reads").is_empty());
            assert_eq!(routes.recent_verdicts(100).await.expect("reads").len(), 1);
            assert!(!routes.lift_verdict("source:default", "yahoo", "ann", 100).await.expect("lifts"));
            routes.clean(101 + VERDICT_SHOWN_US).await.expect("cleans");
            assert!(routes.recent_verdicts(100).await.expect("reads").is_empty());
            assert!(routes.rule_changes(9, None).await.expect("reads").is_empty());
        })
        .await;
    }

    #[tokio::test]
    async fn a_persons_verdict_stands_until_it_is_lifted() {
        store::testing::each(|store| async move {
            let routes = room(store).await;
            let suspended = Verdict { action: Action::Suspend, ..verdict("ann", None) };
            routes.put_verdict(verdict("", Some(100)), 5).await.expect("puts");
            assert!(routes.put_verdict(suspended.clone(), 6).await.expect("puts"));
            assert!(!routes.put_verdict(verdict("", Some(200)), 7).await.expect("asks"));
            assert_eq!(routes.verdicts(1_000).await.expect("reads"), [suspended]);
            assert!(routes.lift_verdict("source:default", "yahoo", "bob", 8).await.expect("lifts"));
            assert!(routes.verdicts(9).await.expect("reads").is_empty());
            let told = routes.rule_changes(9, None).await.expect("reads");
            assert_eq!((told[0].who.as_str(), told[0].name.as_str()), ("bob", "source:default yahoo"));
            assert_eq!(told.len(), 2);
        })
        .await;
    }

    #[tokio::test]
    async fn identities_are_of_a_known_kind() {
        store::testing::sqlite(|store| async move {
            let routes = room(store).await;
            for identity in ["default", "source:", "people:x", "url:https://a.example/x", "url:A.example"] {
                let bad = Verdict { identity: identity.into(), ..verdict("", None) };
                assert!(routes.put_verdict(bad, 5).await.is_err(), "{identity}");
            }
            let slow = Verdict { identity: "domain:shop.example".into(), ..verdict("ann", None) };
            assert!(matches!(routes.put_verdict(slow, 5).await, Err(Error::Rule { field: "action", .. })));
            let bad = Verdict { action: Action::Slow(100), ..verdict("", None) };
            assert!(routes.put_verdict(bad, 5).await.is_err());
        })
        .await;
    }
}
