//! What receivers hold against a sender is told once, to whoever can mend it.

use std::sync::Arc;
use std::time::Duration;

use routes::{Action, Verdict};

use super::{World, each};
use crate::notices::Pending;
use crate::{Accounts, By, Notice, NoticeKind};

const HOUR_US: i64 = 3_600_000_000;
const WORDS: &str = "550 5.7.26 Unauthenticated email from shop.example is not accepted";

/// Root administers, and nobody has an address.
struct Office;

impl Accounts for Office {
    fn address_of<'a>(&'a self, _account: &'a str) -> Pending<'a, Option<String>> {
        Box::pin(async { Some(String::new()) })
    }

    fn administrators(&self) -> Pending<'_, Vec<String>> {
        Box::pin(async { vec!["root".to_owned()] })
    }
}

impl World {
    /// A delivery of ann's that sends: two messages of eight to Gmail.
    async fn sends(&self) -> i64 {
        self.deliveries.set_accounts(Arc::new(Office));
        self.recipients(8).await;
        let id = self.drafted(|_| {}).await;
        let ann = By { name: "ann".into(), administer: false, start: true };
        let analysis = self.deliveries.start_analysis(id, &ann).await.unwrap().wait().await.unwrap();
        self.deliveries.confirm(id, analysis.snapshot.as_deref(), &ann).await.unwrap();
        self.second().await;
        id
    }

    /// A second goes by.
    async fn second(&self) {
        self.clock.advance(Duration::from_secs(1));
        self.deliveries.tick().await.unwrap();
    }

    async fn halt(&self, identity: &str, provider: &str, category: &str) {
        let now_us = net::Clock::now_us(&*self.clock);
        let verdict = Verdict {
            identity: identity.to_owned(),
            provider: provider.to_owned(),
            action: Action::Suspend,
            until_us: Some(now_us + 2 * HOUR_US),
            reason: WORDS.to_owned(),
            rule: "the domain does not authenticate".to_owned(),
            category: category.to_owned(),
            by: String::new(),
            at_us: now_us,
        };
        self.routes.put_verdict(verdict, now_us).await.unwrap();
        self.second().await;
        self.second().await;
    }

    /// What an account was told of receivers, the oldest first.
    async fn told_of(&self, account: &str) -> Vec<Notice> {
        let mut told = self.deliveries.notices(account, false, None).await.unwrap();
        told.retain(|notice| !matches!(notice.kind, NoticeKind::Analysed | NoticeKind::Started));
        told.reverse();
        told
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_halted_domain_is_told_to_the_owner_and_to_who_administers_once() {
    each(|world| async move {
        let id = world.sends().await;
        world.halt("domain:shop.example", "google", "authentication_failed").await;
        for account in ["ann", "root"] {
            let told = world.told_of(account).await;
            assert_eq!(told.len(), 1, "{account}: {told:?}");
            assert_eq!((told[0].kind, told[0].delivery), (NoticeKind::DomainHalted, Some(id)));
            for part in ["is taken by Gmail", WORDS, "Waiting there: 2 messages", "dns check shop.example"] {
                assert!(told[0].text.contains(part), "{part}: {}", told[0].text);
            }
        }
        // The halt ends, a message tries, hears the same, and so on.
        for _ in 0..4 {
            world.clock.advance(Duration::from_secs(3 * 3_600));
            world.halt("domain:shop.example", "google", "authentication_failed").await;
        }
        assert_eq!((world.told_of("ann").await.len(), world.told_of("root").await.len()), (1, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_after_days_is_told_again() {
    each(|world| async move {
        let id = world.sends().await;
        let identity = format!("delivery:{id}");
        world.halt(&identity, "google", "spam_content").await;
        world.clock.advance(Duration::from_secs(30 * 3_600));
        world.halt(&identity, "google", "spam_content").await;
        let kinds: Vec<_> = world.told_of("ann").await.iter().map(|notice| notice.kind).collect();
        assert_eq!(kinds, [NoticeKind::ContentHeld; 2]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_holds_nothing_of_ours_or_mends_itself_is_not_told() {
    each(|world| async move {
        world.sends().await;
        world.halt("domain:other.example", "google", "authentication_failed").await;
        world.halt("domain:shop.example", "outlook", "authentication_failed").await;
        world.halt("source:elsewhere", "google", "spam_block").await;
        world.halt("delivery:999", "google", "spam_content").await;
        assert!(world.told_of("ann").await.is_empty() && world.told_of("root").await.is_empty());
    })
    .await;
}
