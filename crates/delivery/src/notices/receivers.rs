//! What receivers hold against us, told once to those who can do something about it: the owners of the deliveries that
//! wait, and whoever administers.
//!
//! The engine lies below this room and knows no deliveries' owners; it writes verdicts (`routes::Verdict`), and here they
//! are looked at once a second, as the brake looks at figures. A verdict that ends and is given again within a day is the
//! same one: a receiver that blocks for hours is told of once, not at each try.

use std::collections::HashMap;

use routes::{Action, Providers, Verdict};
use store::{Lane, Row, Tx, binds};

use super::{NoticeKind, instant};
use crate::definition::Definition;
use crate::parameters::SECOND_US;
use crate::types::{DeliveryId, Error, Result};
use crate::{Deliveries, words};

/// A verdict that was not seen in force for so long is another one when it comes back.
const SAME_US: i64 = 24 * 3_600 * SECOND_US;
/// How exactly it is kept when a verdict was last seen.
const SEEN_US: i64 = 3_600 * SECOND_US;
/// While the same verdicts are in force, who waits for them is looked at so often: each look reads what sends.
const LOOK_US: i64 = 30 * SECOND_US;
/// Deliveries that a notice names.
const NAMED_MAX: usize = 10;
/// Answers for which the source itself is to blame and somebody has to act. What is only too fast mends itself.
const BLOCKS: [&str; 4] = ["spam_block", "authentication_failed", "policy_related", "invalid_sender"];

/// A delivery with something under way.
#[derive(Debug, Clone)]
struct Sending {
    id: DeliveryId,
    owner: String,
    label: String,
    pool: String,
    /// Of its sender.
    domain: String,
}

/// A delivery that a verdict keeps from a receiver.
#[derive(Debug, Clone)]
struct Held {
    id: DeliveryId,
    owner: String,
    label: String,
    /// Messages that wait for that receiver.
    waiting: i64,
}

/// Somebody to be told.
#[derive(Debug, PartialEq, Eq)]
struct Reader {
    account: String,
    /// The delivery whose owner it is; 0: whoever administers.
    of: DeliveryId,
}

/// The verdicts of the last look, as identity, provider and rule, and when that was (µs).
#[derive(Debug, Default)]
pub(crate) struct Watched {
    verdicts: Vec<[String; 3]>,
    at_us: i64,
}

impl Watched {
    /// Whether it is time to look who waits for these: there is a new one, or some time went by.
    fn is_due(&mut self, verdicts: &[Verdict], now_us: i64) -> bool {
        let name =
            |verdict: &Verdict| [&verdict.identity, &verdict.provider, &verdict.rule].map(Clone::clone);
        let names: Vec<_> = verdicts.iter().map(name).collect();
        let due = now_us - self.at_us >= LOOK_US || names.iter().any(|name| !self.verdicts.contains(name));
        if due {
            self.at_us = now_us;
        }
        self.verdicts = names;
        due && !verdicts.is_empty()
    }
}

impl Deliveries {
    /// Tells of verdicts of the engine that nobody was told of yet. Called each second.
    pub(crate) async fn watch_receivers(&self, now_us: i64) -> Result<()> {
        let mut verdicts = self.rooms.routes.verdicts(now_us).await?;
        verdicts.retain(|verdict| kind_of(verdict).is_some());
        if !self.lock_watched().is_due(&verdicts, now_us) {
            return Ok(());
        }
        let sending = self.sending().await?;
        if sending.is_empty() {
            return Ok(());
        }
        for verdict in verdicts {
            let held = self.held_by(&verdict, &sending, now_us).await?;
            if !held.is_empty() {
                self.tell_of_verdict(&verdict, &held, now_us).await?;
            }
        }
        Ok(())
    }

    fn lock_watched(&self) -> std::sync::MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Deliveries that send, try again or pause. Proofs and mails of the program are nobody's to be told of.
    async fn sending(&self) -> Result<Vec<Sending>> {
        let rows = self
            .store
            .read(|tx| {
                tx.query(
                    "SELECT id, owner, label, pool, definition FROM delivery WHERE parent IS NULL AND purpose = '' AND \
                     state IN ('in_progress', 'retrying', 'pausing', 'paused')",
                    &[],
                    |row| {
                        let own = (row.int(0)?, row.text(1)?, row.text(2)?, row.text(3)?);
                        Ok::<_, Error>((own, row.text(4)?))
                    },
                )
            })
            .await?;
        let mut found = Vec::new();
        for ((id, owner, label, pool), definition) in rows {
            let Ok(definition) = serde_json::from_str::<Definition>(&definition) else { continue };
            let domain = self.message_id_domain(&definition).await?;
            found.push(Sending { id, owner, label, pool, domain });
        }
        Ok(found)
    }

    /// Which of them a verdict keeps messages of, the most messages first.
    async fn held_by(&self, verdict: &Verdict, sending: &[Sending], now_us: i64) -> Result<Vec<Held>> {
        let rules = self.rooms.routes.rules();
        let uses = |pool: &str, source: &str| {
            let of_pool = |known: &&routes::Source| known.pools.iter().any(|own| own == pool);
            rules.sources.iter().filter(of_pool).any(|known| known.name == source)
        };
        let mut held = Vec::new();
        for one in sending {
            let (kind, name) = verdict.identity.split_once(':').unwrap_or_default();
            let concerned = match kind {
                "delivery" => name.parse() == Ok(one.id),
                "domain" => name == one.domain,
                "source" => uses(&one.pool, name),
                _ => false,
            };
            if !concerned {
                continue;
            }
            let figures = self.rooms.queue.figures(one.id, now_us).await?;
            let there = figures.providers.iter().filter(|figures| figures.provider == verdict.provider);
            let waiting: i64 = there.map(|figures| figures.pending).sum();
            if waiting > 0 {
                let (owner, label) = (one.owner.clone(), one.label.clone());
                held.push(Held { id: one.id, owner, label, waiting });
            }
        }
        held.sort_by_key(|one| (-one.waiting, one.id));
        Ok(held)
    }

    async fn tell_of_verdict(&self, verdict: &Verdict, held: &[Held], now_us: i64) -> Result<()> {
        let Some(kind) = kind_of(verdict) else { return Ok(()) };
        let providers = self.rooms.routes.providers();
        let administrators = match self.accounts.get() {
            Some(accounts) => accounts.administrators().await,
            None => Vec::new(),
        };
        let seen = self.seen(verdict).await?;
        for reader in readers(held, administrators) {
            let last_us = seen.get(&(reader.account.clone(), reader.of)).copied();
            if last_us.is_some_and(|last_us| now_us - last_us < SEEN_US) {
                continue;
            }
            let own: Vec<&Held> = held.iter().filter(|one| reader.of == 0 || one.id == reader.of).collect();
            let Some(first) = own.first() else { continue };
            let text = said(verdict, &own, &providers, &self.config().public_url);
            let told = self.once(verdict, &reader, (first.id, kind, text.clone()), now_us).await?;
            if told {
                self.mail_notice(&reader.account, (first.id, &first.label), kind, &text).await;
            }
        }
        Ok(())
    }

    /// Who was told of a verdict, and when it was last seen in force.
    async fn seen(&self, verdict: &Verdict) -> Result<HashMap<(String, DeliveryId), i64>> {
        let (identity, provider, rule) =
            (verdict.identity.clone(), verdict.provider.clone(), verdict.rule.clone());
        let sql =
            "SELECT account, delivery, seen_at FROM told WHERE identity = $1 AND provider = $2 AND rule = $3";
        let read = |row: &Row<'_>| Ok::<_, Error>(((row.text(0)?, row.int(1)?), row.int(2)?));
        let rows = self.store.read(move |tx| tx.query(sql, &binds![identity, provider, rule], read)).await?;
        Ok(rows.into_iter().collect())
    }

    /// Keeps that a verdict was seen, and its notice where it is new to the reader: in one transaction, so that of two nodes
    /// one tells. Answers whether it was new.
    async fn once(
        &self,
        verdict: &Verdict,
        reader: &Reader,
        (delivery, kind, text): (DeliveryId, NoticeKind, String),
        now_us: i64,
    ) -> Result<bool> {
        let (identity, provider, rule) =
            (verdict.identity.clone(), verdict.provider.clone(), verdict.rule.clone());
        let (account, of) = (reader.account.clone(), reader.of);
        self.store
            .write(Lane::Urgent, move |tx| {
                let key = binds![identity, provider, rule, &account, of, now_us, now_us - SAME_US];
                let new = tx.execute(
                    "INSERT INTO told (identity, provider, rule, account, delivery, seen_at) \
                     VALUES ($1, $2, $3, $4, $5, $6) \
                     ON CONFLICT (identity, provider, rule, account, delivery) \
                     DO UPDATE SET seen_at = excluded.seen_at WHERE told.seen_at < $7",
                    &key,
                )?;
                if new == 0 {
                    tx.execute(
                        "UPDATE told SET seen_at = $6 WHERE identity = $1 AND provider = $2 AND rule = $3 \
                         AND account = $4 AND delivery = $5",
                        &key[..6],
                    )?;
                    return Ok(false);
                }
                super::keep(tx, &account, delivery, kind, &text, now_us)?;
                Ok(true)
            })
            .await
    }
}

/// What kind of notice a verdict is worth; `None`: none. What people set they know of, and what passes by itself (a path that
/// went too fast) is on the page of paths.
fn kind_of(verdict: &Verdict) -> Option<NoticeKind> {
    if !verdict.by.is_empty() || verdict.action != Action::Suspend || verdict.provider.is_empty() {
        return None;
    }
    match verdict.identity.split_once(':')? {
        ("delivery", _) => Some(NoticeKind::ContentHeld),
        ("domain", _) => Some(NoticeKind::DomainHalted),
        ("source", _) if BLOCKS.contains(&verdict.category.as_str()) => Some(NoticeKind::SourceBlocked),
        _ => None,
    }
}

/// Owners, each for their deliveries, and whoever administers and is not told as an owner already.
fn readers(held: &[Held], administrators: Vec<String>) -> Vec<Reader> {
    let owned = held.iter().filter(|one| !one.owner.is_empty());
    let mut readers: Vec<Reader> =
        owned.map(|one| Reader { account: one.owner.clone(), of: one.id }).collect();
    for account in administrators {
        if !readers.iter().any(|reader| reader.account == account) {
            readers.push(Reader { account, of: 0 });
        }
    }
    readers
}

/// The whole text: what is held, in whose words, until when, and what to do. Each sentence is a line of its own, because pages
/// say them in their reader's language.
fn said(verdict: &Verdict, held: &[&Held], providers: &Providers, public_url: &str) -> String {
    let receiver = providers.label_of(&verdict.provider);
    let (kind, name) = verdict.identity.split_once(':').unwrap_or_default();
    let lead = match kind {
        "domain" => format!("No mail from your domain {name} is taken by {receiver} for now."),
        "source" => format!("The source {name} is blocked by {receiver}."),
        _ => {
            let label = held.first().map_or("", |one| one.label.as_str());
            format!("{label} is held at {receiver}, which objects to its content or links.")
        }
    };
    let total = words::number(held.iter().map(|one| one.waiting).sum());
    let mut lines = vec![
        lead,
        String::new(),
        "No recipient is to blame: messages wait, and none fails for it.".to_owned(),
        format!("Waiting there: {total} messages"),
    ];
    lines.extend(
        held.iter().take(NAMED_MAX).map(|one| format!("- {}: {}", one.label, words::number(one.waiting))),
    );
    if held.len() > NAMED_MAX {
        let more = held.len() - NAMED_MAX;
        lines.push(format!("… and {more} more deliveries"));
    }
    lines.push(String::new());
    lines.push(format!("The receiver's words: {}", verdict.reason));
    if !verdict.rule.is_empty() {
        lines.push(format!("Rule: {}", verdict.rule));
    }
    if let Some(until_us) = verdict.until_us {
        let until = instant(until_us);
        lines.push(format!("Until {until}, then it is tried again."));
    }
    lines.push(String::new());
    lines.push(advice(kind, name, &verdict.category));
    lines.push(format!(
        "When it is mended, lift it, and what waits goes at once: {public_url}/sending/verdicts"
    ));
    lines.push(format!("What receivers' answers mean: {public_url}/help/replies"));
    lines.join("\n")
}

/// What to do.
fn advice(kind: &str, name: &str, category: &str) -> String {
    let text = match (kind, category) {
        ("domain", "authentication_failed" | "invalid_sender") => {
            return format!(
                "What to do: look at the domain's SPF, DKIM and DMARC under Domains, or with: mailwright dns check {name}"
            );
        }
        ("domain", "rate_limited") => {
            "What to do: send less from this domain there, and to people who want it; it goes on by itself."
        }
        ("domain", _) => {
            "What to do: look at complaints and at who is written to. A domain's reputation comes back slowly, with mail \
             that is wanted."
        }
        ("source", "authentication_failed" | "invalid_sender") => {
            "What to do: look at the source's reverse name and the name it says in EHLO under Sources, or with: \
             mailwright dns check"
        }
        ("source", _) => {
            "What to do: look at complaints, ask the receiver or the list that it names to take the address off, or let \
             deliveries go from another pool."
        }
        _ => {
            "What to do: look at its text and at each host that it links to. Wait if it stays as it is; else stop it and \
             send a mended copy to those who did not get it."
        }
    };
    text.to_owned()
}

/// Forgets what nobody would take for the same any more.
pub(super) fn purge(tx: &mut Tx<'_>, now_us: i64) -> Result<()> {
    tx.execute("DELETE FROM told WHERE seen_at < $1", &binds![now_us - 2 * SAME_US])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(identity: &str, category: &str) -> Verdict {
        Verdict {
            identity: identity.to_owned(),
            provider: "google".to_owned(),
            action: Action::Suspend,
            until_us: Some(1_790_000_000_000_000),
            reason: "550 5.7.26 unauthenticated".to_owned(),
            rule: "the domain does not authenticate".to_owned(),
            category: category.to_owned(),
            by: String::new(),
            at_us: 0,
        }
    }

    fn held(id: DeliveryId, owner: &str, waiting: i64) -> Held {
        Held { id, owner: owner.to_owned(), label: format!("Sale {id}"), waiting }
    }

    #[test]
    fn what_needs_somebody_is_told_and_what_passes_is_not() {
        assert_eq!(kind_of(&verdict("domain:shop.example", "rate_limited")), Some(NoticeKind::DomainHalted));
        assert_eq!(kind_of(&verdict("delivery:7", "spam_content")), Some(NoticeKind::ContentHeld));
        assert_eq!(kind_of(&verdict("source:default", "spam_block")), Some(NoticeKind::SourceBlocked));
        for category in ["rate_limited", "bad_connection", "transient_failure", ""] {
            assert_eq!(kind_of(&verdict("source:default", category)), None, "{category}");
        }
        let of_a_person = Verdict { by: "ann".to_owned(), ..verdict("domain:shop.example", "") };
        assert_eq!(kind_of(&of_a_person), None);
    }

    #[test]
    fn a_new_verdict_is_looked_at_at_once_and_a_known_one_now_and_then() {
        let (one, two) = (verdict("domain:shop.example", ""), verdict("delivery:7", ""));
        let mut watched = Watched::default();
        let start = 1_790_000_000_000_000;
        assert!(!watched.is_due(&[], start));
        assert!(watched.is_due(std::slice::from_ref(&one), start + 1));
        assert!(!watched.is_due(std::slice::from_ref(&one), start + SECOND_US));
        assert!(watched.is_due(&[one.clone(), two.clone()], start + 2 * SECOND_US));
        assert!(!watched.is_due(&[two], start + 3 * SECOND_US));
        assert!(watched.is_due(&[one], start + 2 * SECOND_US + LOOK_US));
    }

    #[test]
    fn an_owner_hears_of_each_delivery_and_who_administers_once() {
        let held = [held(1, "ann", 5), held(2, "ann", 3), held(3, "", 1)];
        let told = readers(&held, vec!["ann".to_owned(), "root".to_owned()]);
        let told: Vec<_> = told.iter().map(|reader| (reader.account.as_str(), reader.of)).collect();
        assert_eq!(told, [("ann", 1), ("ann", 2), ("root", 0)]);
    }

    #[test]
    fn a_text_says_who_what_how_much_and_what_to_do() {
        let (one, two) = (held(1, "ann", 1_234), held(2, "bob", 6));
        let verdict = verdict("domain:shop.example", "authentication_failed");
        let text = said(&verdict, &[&one, &two], Providers::built_in(), "https://mail.shop.example");
        for part in [
            "No mail from your domain shop.example is taken by Gmail",
            "1,240 messages",
            "- Sale 2: 6",
            "550 5.7.26 unauthenticated",
            "2026-09-21 14:13 UTC",
            "dns check shop.example",
            "https://mail.shop.example/sending/verdicts",
            "/help/replies",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
