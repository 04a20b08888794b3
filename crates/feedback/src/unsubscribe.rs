//! Unsubscribing by the link or the one-click POST of a message.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use audience::{Audience, denylist};
use message::{Purpose, Token, TokenKeys};
use queue::{MessageRow, Queue, Suppression, suppress_in};
use store::{Lane, Tx};
use thiserror::Error;

/// Addresses whose last unsubscription is remembered, so that a repeated POST writes nothing.
const RECENT_MAX: usize = 10_000;

/// How long a repeated unsubscription of an address writes nothing. It is short, because the flag may have been
/// cleared by hand and the person asked for mail again in between.
const REPEAT_US: i64 = 60_000_000;

/// The reason that stands with the messages which are no longer sent.
const REASON: &str = "unsubscribed";

/// What went wrong; it says nothing about the person.
#[derive(Debug, Error)]
pub enum Error {
    /// The database said no.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The recipient could not be changed.
    #[error(transparent)]
    Audience(#[from] audience::Error),
    /// The queue could not be asked or changed.
    #[error(transparent)]
    Queue(#[from] queue::Error),
}

/// What an unsubscription did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// The person gets nothing more.
    Done,
    /// That was so before.
    Already,
    /// The message was a proof or a preview: nobody was changed.
    Inert,
    /// No token of ours, or of a message that is no longer kept.
    Unknown,
}

/// What the page of a link shows before anybody acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The message went to this address.
    Address(String),
    /// The message was a proof or a preview.
    Inert,
    /// No token of ours, or of a message that is no longer kept.
    Unknown,
}

/// The unsubscription of addresses by tokens. Cloning is cheap.
#[derive(Clone)]
pub struct Unsubscriptions {
    audience: Audience,
    queue: Queue,
    keys: TokenKeys,
    recent: Arc<Mutex<HashMap<String, i64>>>,
}

/// What was changed, to be told to the queue once it is committed.
struct Written {
    recorded: queue::Recorded,
    newly: bool,
}

impl Unsubscriptions {
    /// Unsubscriptions from the people in `audience` and the messages in `queue`, which share one store.
    #[must_use]
    pub fn new(audience: Audience, queue: Queue, keys: TokenKeys) -> Unsubscriptions {
        Unsubscriptions { audience, queue, keys, recent: Arc::default() }
    }

    /// What the page of a link shows. Changes nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn look(&self, token: &str) -> Result<Look, Error> {
        match self.keys.verify_link(Purpose::Unsubscribe, token) {
            None => Ok(Look::Unknown),
            Some(token) if token.inert => Ok(Look::Inert),
            Some(token) => {
                let found = self.queue.message(token.message).await?;
                Ok(found.map_or(Look::Unknown, |message| Look::Address(message.address)))
            }
        }
    }

    /// Takes the person whom the token's message was sent to off everything, and cancels what is pending for the
    /// address. The button of the page and the one-click POST both come here.
    ///
    /// # Errors
    /// The database's; then nothing was changed and the caller may try again.
    pub async fn unsubscribe(&self, token: &str, now_us: i64) -> Result<Outcome, Error> {
        match self.keys.verify_link(Purpose::Unsubscribe, token) {
            Some(token) => self.unsubscribe_by(token, now_us).await,
            None => Ok(Outcome::Unknown),
        }
    }

    /// The same with a token that was verified for [`Purpose::Unsubscribe`] already.
    ///
    /// # Errors
    /// The database's; then nothing was changed and the caller may try again.
    pub async fn unsubscribe_by(&self, token: Token, now_us: i64) -> Result<Outcome, Error> {
        if token.inert {
            return Ok(Outcome::Inert);
        }
        // Message rows never change, so this one may be read ahead of the transaction.
        let Some(message) = self.queue.message(token.message).await? else {
            return Ok(Outcome::Unknown);
        };
        let key = gate_key(&message.address);
        if self.is_repeated(&key, now_us) {
            return Ok(Outcome::Already);
        }
        let written =
            self.audience.store().write(Lane::Urgent, move |tx| write(tx, &message, now_us)).await?;
        self.queue.remember(written.recorded);
        self.note(key, now_us);
        Ok(if written.newly { Outcome::Done } else { Outcome::Already })
    }

    fn is_repeated(&self, key: &str, now_us: i64) -> bool {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.get(key).is_some_and(|at| (0..REPEAT_US).contains(&(now_us - at)))
    }

    fn note(&self, key: String, now_us: i64) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= RECENT_MAX {
            recent.clear();
        }
        recent.insert(key, now_us);
    }
}

/// Flag and suppressions in one transaction: a crash in between would leave a person who is told "done" and still gets
/// mail. The address that the message went to and the one that the person has now are both suppressed.
fn write(tx: &mut Tx<'_>, message: &MessageRow, now_us: i64) -> Result<Written, Error> {
    let person = denylist::set(tx, message.recipient, &message.address, now_us)?;
    let mut keys = vec![gate_key(&message.address)];
    let mut newly = false;
    if let Some(person) = person {
        newly = person.newly;
        if !keys.contains(&person.email_key) {
            keys.push(person.email_key);
        }
    }
    let entries: Vec<Suppression> =
        keys.into_iter().map(|address_key| Suppression::of_all(address_key, REASON, now_us)).collect();
    Ok(Written { recorded: suppress_in(tx, &entries)?, newly })
}

/// The key that the gate compares with. A stored address always parses; were it not so, its lower-cased text is the
/// best there is.
pub(crate) fn gate_key(address: &str) -> String {
    match address::parse(address) {
        Ok(mailbox) => queue::address_key(address, mailbox.domain_ascii()),
        Err(_) => address.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use queue::{NewMessage, NewPart, Priority, RetryPlan, Run, RunSpec, message_id, plan};
    use store::Store;

    const T0: i64 = 1_700_000_000_000_000;

    struct Rig {
        audience: Audience,
        queue: Queue,
        keys: TokenKeys,
        door: Unsubscriptions,
        people: Vec<i64>,
    }

    impl Rig {
        async fn new(store: Store) -> Rig {
            store.migrate(&[audience::MIGRATIONS, queue::MIGRATIONS]).await.unwrap();
            let (audience, queue) = (Audience::new(store.clone()), Queue::new(store, 1));
            let keys = TokenKeys::derive(&[7; 32]);
            let mut people = Vec::new();
            for n in 0..3 {
                let email = format!("User{n}@shop.example");
                let new = audience::NewRecipient { email, ..Default::default() };
                people.push(audience.create_recipient(new, T0).await.unwrap().id);
            }
            let door = Unsubscriptions::new(audience.clone(), queue.clone(), keys.clone());
            Rig { audience, queue, keys, door, people }
        }

        async fn send(&self, delivery: i64) -> Run {
            let people = self.people.clone();
            let spec = RunSpec {
                delivery,
                priority: Priority::Normal,
                pool: "default".to_owned(),
                start_at: T0,
                valid_until: T0 + 120 * queue::HOUR_US,
                retry: RetryPlan::default(),
                test_smtp: false,
                bcc: false,
                signing: String::new(),
                seen: 0,
                services: Vec::new(),
            };
            let work = move |tx: &mut Tx<'_>| {
                plan::write_snapshot(tx, "hash", b"frozen")?;
                plan::insert_messages(
                    tx,
                    people.iter().enumerate().map(|(n, recipient)| NewMessage {
                        id: message_id(delivery, n as i64),
                        recipient: *recipient,
                        domain: "shop.example".to_owned(),
                        flags: 0,
                        address: format!("User{n}@shop.example"),
                        slots: vec![1],
                    }),
                )?;
                let part = NewPart {
                    first_id: message_id(delivery, 0),
                    last_id: message_id(delivery, people.len() as i64 - 1),
                    snapshot: "hash".to_owned(),
                    wave: 0,
                    lane: "tail-1".to_owned(),
                    due_us: 0,
                    messages: people.len() as i64,
                };
                plan::insert_parts(tx, delivery, [part])?;
                let contacts =
                    people.iter().enumerate().map(|(n, who)| (*who, message_id(delivery, n as i64)));
                plan::insert_contacts(tx, contacts)?;
                queue::runs::start(tx, &spec, T0)
            };
            self.audience.store().write(Lane::Bulk, work).await.unwrap()
        }

        fn token(&self, delivery: i64, n: i64, inert: bool) -> String {
            let token = Token { message: message_id(delivery, n), inert };
            self.keys.link_token(Purpose::Unsubscribe, token)
        }

        async fn flagged(&self, n: usize) -> bool {
            self.audience.recipient(self.people[n]).await.unwrap().unwrap().denylisted
        }

        /// Which of the three messages the gate would hold back.
        async fn held_back(&self, queue: &Queue, run: &Run) -> Vec<bool> {
            let parts = queue.claim(run, "tail-1", 9, T0 + 5_000_000).await.unwrap();
            parts
                .iter()
                .flat_map(|(_, messages)| messages)
                .map(|message| queue.is_suppressed(message, &run.spec))
                .collect()
        }
    }

    #[tokio::test]
    async fn a_link_takes_one_person_off_every_delivery_and_again_is_the_same() {
        store::testing::each(|store| async move {
            let rig = Rig::new(store.clone()).await;
            let (one, two) = (rig.send(1).await, rig.send(2).await);
            let token = rig.token(1, 1, false);
            assert_eq!(rig.door.look(&token).await.unwrap(), Look::Address("User1@shop.example".into()));
            assert!(!rig.flagged(1).await, "looking changes nothing");
            assert_eq!(rig.door.unsubscribe(&token, T0 + 9).await.unwrap(), Outcome::Done);
            assert!(rig.flagged(1).await && !rig.flagged(0).await);
            assert_eq!(rig.door.unsubscribe(&token, T0 + 10).await.unwrap(), Outcome::Already);
            assert_eq!(
                rig.door.unsubscribe(&rig.token(2, 1, false), T0 + REPEAT_US * 2).await.unwrap(),
                Outcome::Already
            );
            assert_eq!(rig.held_back(&rig.queue, &one).await, [false, true, false]);
            // A program that starts anew holds back the same.
            let anew = Queue::new(store, 1);
            anew.recover(T0 + 1_000).await.unwrap();
            assert_eq!(rig.held_back(&anew, &two).await, [false, true, false]);
        })
        .await;
    }

    #[tokio::test]
    async fn proofs_strangers_and_forgotten_messages_change_nobody() {
        store::testing::each(|store| async move {
            let rig = Rig::new(store).await;
            let run = rig.send(1).await;
            let inert = rig.token(1, 0, true);
            assert_eq!(rig.door.look(&inert).await.unwrap(), Look::Inert);
            assert_eq!(rig.door.unsubscribe(&inert, T0 + 9).await.unwrap(), Outcome::Inert);
            let other = TokenKeys::derive(&[8; 32]);
            let forged =
                other.link_token(Purpose::Unsubscribe, Token { message: message_id(1, 0), inert: false });
            let mirror =
                rig.keys.link_token(Purpose::Mirror, Token { message: message_id(1, 0), inert: false });
            for unknown in [forged, mirror, rig.token(7, 0, false), String::new(), "x".repeat(5_000)] {
                assert_eq!(rig.door.unsubscribe(&unknown, T0 + 9).await.unwrap(), Outcome::Unknown);
                assert_eq!(rig.door.look(&unknown).await.unwrap(), Look::Unknown);
            }
            assert!(!rig.flagged(0).await);
            assert_eq!(rig.held_back(&rig.queue, &run).await, [false; 3]);
        })
        .await;
    }

    #[tokio::test]
    async fn who_changed_address_or_was_deleted_gets_nothing_more_either() {
        store::testing::sqlite(|store| async move {
            let rig = Rig::new(store).await;
            let run = rig.send(1).await;
            rig.audience.delete_recipients(vec![rig.people[0]]).await.unwrap();
            assert_eq!(
                rig.door.unsubscribe(&rig.token(1, 0, false), T0 + 9).await.unwrap(),
                Outcome::Already
            );
            // The same address, imported again under a new number.
            rig.audience.delete_recipients(vec![rig.people[2]]).await.unwrap();
            let new = audience::NewRecipient { email: "user2@Shop.example".into(), ..Default::default() };
            let again = rig.audience.create_recipient(new, T0 + 5).await.unwrap().id;
            assert_eq!(rig.door.unsubscribe(&rig.token(1, 2, false), T0 + 9).await.unwrap(), Outcome::Done);
            assert!(rig.audience.recipient(again).await.unwrap().unwrap().denylisted);
            assert_eq!(rig.held_back(&rig.queue, &run).await, [true, false, true]);
        })
        .await;
    }
}
