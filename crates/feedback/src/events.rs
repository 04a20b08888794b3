//! Bounces and complaints that come after a message was accepted, told by somebody who read the report.
//!
//! A hard bounce puts the address in quarantine; a complaint puts the person on the denylist. Both cancel what is pending
//! for the address, in every delivery. A soft bounce is counted. All in one transaction with the event's row, which makes
//! a repeated report one that changes nothing.

use audience::{Audience, denylist, quarantine};
use message::{Snapshot, TokenKeys};
use queue::{MessageRow, Queue, Returned, SEED_WAVE, Suppression, returned_in, suppress_in};
use store::{Lane, Tx, binds};

use crate::Error;
use crate::unsubscribe::gate_key;

/// Octets of the reporter's words that are kept.
pub const SAID_LEN_MAX: usize = 512;
/// Octets of a reason.
pub const REASON_LEN_MAX: usize = 64;

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The address does not exist, or never will again.
    HardBounce,
    /// It did not arrive this time.
    SoftBounce,
    /// The recipient called it spam.
    Complaint,
}

impl Kind {
    /// The word in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::HardBounce => "hard",
            Kind::SoftBounce => "soft",
            Kind::Complaint => "complaint",
        }
    }

    /// Hard or soft, by the words of a reply: hard where they say that the address does not exist. Whose words they are is
    /// found from themselves, because a report seldom says which provider spoke.
    #[must_use]
    pub fn of_words(words: &str) -> Kind {
        let judged = smtp::Reply::from_text(words).map(|reply| {
            let provider = smtp::speaker(&reply).unwrap_or_default();
            smtp::classify_for(provider, &reply, smtp::Stage::Rcpt)
        });
        match judged {
            Some(verdict) if verdict.quarantine => Kind::HardBounce,
            _ => Kind::SoftBounce,
        }
    }

    const fn returned(self) -> Returned {
        match self {
            Kind::HardBounce => Returned::Hard,
            Kind::SoftBounce => Returned::Soft,
            Kind::Complaint => Returned::Complaint,
        }
    }
}

/// Which message it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// The Message-ID, with or without angle brackets.
    MessageId(String),
    /// The message of a delivery to this address.
    Address {
        /// The delivery.
        delivery: i64,
        /// The address that the message went to.
        address: String,
    },
}

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What came back.
    pub kind: Kind,
    /// Of which message.
    pub about: About,
    /// A word for the cause; empty: `reported`.
    pub reason: String,
    /// The words of the report; may be empty.
    pub said: String,
    /// When it happened (UTC microseconds).
    pub at_us: i64,
}

/// What a report did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Taken {
    /// It was counted, and did to the address what its kind does.
    Counted,
    /// The same was reported before: nothing changed.
    Already,
    /// The message was a proof, a preview or a seed's: nobody is changed, nothing is counted.
    Inert,
    /// No message of ours, or one that is no longer kept.
    Unknown,
}

impl Taken {
    /// The word in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Taken::Counted => "counted",
            Taken::Already => "already",
            Taken::Inert => "inert",
            Taken::Unknown => "unknown",
        }
    }
}

/// Takes reports. Cloning is cheap.
#[derive(Clone)]
pub struct Events {
    audience: Audience,
    queue: Queue,
    keys: TokenKeys,
}

impl Events {
    /// Events about the messages in `queue`, which shares its store with `audience`.
    #[must_use]
    pub fn new(audience: Audience, queue: Queue, keys: TokenKeys) -> Events {
        Events { audience, queue, keys }
    }

    /// Takes one report.
    ///
    /// # Errors
    /// The database's; then nothing was changed and the caller may try again.
    pub async fn take(&self, report: Report, now_us: i64) -> Result<Taken, Error> {
        let Some((message, inert)) = self.find(&report.about).await? else { return Ok(Taken::Unknown) };
        if inert {
            return Ok(Taken::Inert);
        }
        let written =
            self.audience.store().write(Lane::Urgent, move |tx| write(tx, &report, &message, now_us)).await?;
        if let Some(recorded) = written.recorded {
            self.queue.remember(recorded);
        }
        Ok(written.taken)
    }

    /// The message, and whether it acts on nobody.
    async fn find(&self, about: &About) -> Result<Option<(MessageRow, bool)>, Error> {
        let (id, inert) = match about {
            About::MessageId(text) => {
                let text = text.trim().trim_start_matches('<').trim_end_matches('>');
                let Some(token) = self.keys.verify_message_id(text) else { return Ok(None) };
                (Some(token.message), token.inert)
            }
            About::Address { delivery, address } => {
                let recipient = self.audience.recipient_by_address(address).await?.map(|found| found.id);
                (self.queue.message_of(*delivery, recipient, address).await?, false)
            }
        };
        let Some(id) = id else { return Ok(None) };
        let Some(message) = self.queue.message(id).await? else { return Ok(None) };
        let inert = inert || self.is_of_a_proof(&message).await?;
        Ok(Some((message, inert)))
    }

    async fn is_of_a_proof(&self, message: &MessageRow) -> Result<bool, Error> {
        let bytes = self.queue.snapshot(&message.snapshot).await?;
        Ok(bytes.is_some_and(|bytes| Snapshot::from_bytes(&bytes).is_ok_and(|snapshot| snapshot.inert)))
    }
}

struct Written {
    taken: Taken,
    recorded: Option<queue::Recorded>,
}

fn write(tx: &mut Tx<'_>, report: &Report, message: &MessageRow, now_us: i64) -> Result<Written, Error> {
    if message.wave == SEED_WAVE {
        return Ok(Written { taken: Taken::Inert, recorded: None });
    }
    let reason = if report.reason.trim().is_empty() { "reported" } else { report.reason.trim() };
    let new = tx.execute(
        "INSERT INTO feedback_event (message, kind, recipient, reason, said, at, received_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (message, kind) DO NOTHING",
        &binds![
            message.id,
            report.kind.name(),
            message.recipient,
            cut(reason, REASON_LEN_MAX),
            cut(&report.said, SAID_LEN_MAX),
            report.at_us,
            now_us
        ],
    )?;
    if new == 0 {
        return Ok(Written { taken: Taken::Already, recorded: None });
    }
    returned_in(tx, message.id, report.kind.returned())?;
    let mut keys = vec![gate_key(&message.address)];
    let why = match report.kind {
        Kind::SoftBounce => return Ok(Written { taken: Taken::Counted, recorded: None }),
        Kind::HardBounce => {
            quarantine::add(tx, &message.address, reason, &report.said, now_us)?;
            "quarantined"
        }
        Kind::Complaint => {
            let person = denylist::set(tx, message.recipient, &message.address, now_us)?;
            keys.extend(person.map(|person| person.email_key));
            "complained"
        }
    };
    keys.dedup();
    let entries: Vec<Suppression> =
        keys.into_iter().map(|address_key| Suppression::of_all(address_key, why, now_us)).collect();
    Ok(Written { taken: Taken::Counted, recorded: Some(suppress_in(tx, &entries)?) })
}

/// One line of at most `max` octets.
fn cut(text: &str, max: usize) -> String {
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line[..line.floor_char_boundary(max)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use message::Token;
    use queue::{NewMessage, NewPart, Priority, RetryPlan, RunSpec, message_id, plan};
    use store::Store;

    const T0: i64 = 1_700_000_000_000_000;

    struct Rig {
        audience: Audience,
        queue: Queue,
        keys: TokenKeys,
        events: Events,
    }

    impl Rig {
        /// Delivery 1 went to `user0@shop.example` …, its last message to a seed.
        async fn new(store: Store) -> Rig {
            store.migrate(&[audience::MIGRATIONS, queue::MIGRATIONS, crate::MIGRATIONS]).await.unwrap();
            let (audience, queue) = (Audience::new(store.clone()), Queue::new(store.clone(), 1));
            let mut people = Vec::new();
            for n in 0..3 {
                let email = format!("User{n}@shop.example");
                let new = audience::NewRecipient { email, ..Default::default() };
                people.push(audience.create_recipient(new, T0).await.unwrap().id);
            }
            people.push(-7);
            store.write(Lane::Bulk, move |tx| sent(tx, &people)).await.unwrap();
            let keys = TokenKeys::derive(&[7; 32]);
            let events = Events::new(audience.clone(), queue.clone(), keys.clone());
            Rig { audience, queue, keys, events }
        }

        fn about(&self, n: i64, inert: bool) -> About {
            let token = Token { message: message_id(1, n), inert };
            About::MessageId(format!("<{}>", self.keys.message_id("shop.example", token)))
        }

        async fn take(&self, kind: Kind, about: About) -> Taken {
            let said = "550 5.1.1 no such user\r\nreally".to_owned();
            let report = Report { kind, about, reason: "user_unknown".into(), said, at_us: T0 + 5 };
            self.events.take(report, T0 + 9).await.unwrap()
        }

        async fn counts(&self) -> (i64, i64) {
            let figures = self.queue.fresh_figures(1, T0).await.unwrap();
            (figures.bounced, figures.complaints)
        }
    }

    fn sent(tx: &mut Tx<'_>, people: &[i64]) -> Result<(), queue::Error> {
        let spec = RunSpec {
            delivery: 1,
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
        plan::write_snapshot(tx, "hash", b"frozen")?;
        plan::insert_messages(
            tx,
            (0..).zip(people).map(|(n, recipient)| NewMessage {
                id: message_id(1, n),
                recipient: *recipient,
                domain: "shop.example".to_owned(),
                flags: 0,
                address: format!("User{n}@shop.example"),
                slots: vec![1],
            }),
        )?;
        let part = |first: i64, last: i64, wave: i64| NewPart {
            first_id: message_id(1, first),
            last_id: message_id(1, last),
            snapshot: "hash".to_owned(),
            wave,
            lane: "tail-1".to_owned(),
            due_us: 0,
            messages: last - first + 1,
        };
        plan::insert_parts(tx, 1, [part(0, 2, 0), part(3, 3, SEED_WAVE)])?;
        plan::insert_contacts(tx, (0..3).map(|n| (people[n as usize], message_id(1, n))))?;
        queue::runs::start(tx, &spec, T0)?;
        Ok(())
    }

    #[tokio::test]
    async fn a_hard_bounce_counts_once_and_quarantines_the_address() {
        store::testing::each(|store| async move {
            let rig = Rig::new(store).await;
            assert_eq!(rig.take(Kind::HardBounce, rig.about(1, false)).await, Taken::Counted);
            assert_eq!(rig.take(Kind::HardBounce, rig.about(1, false)).await, Taken::Already);
            let page = rig.audience.quarantined_page("", "", 10).await.unwrap();
            assert_eq!((page.len(), page[0].email_key.as_str()), (1, "user1@shop.example"));
            assert_eq!(rig.counts().await, (1, 0));
            let run = rig.queue.run(1).await.unwrap();
            let parts = rig.queue.claim(&run, "tail-1", 9, T0 + 10).await.unwrap();
            let held: Vec<bool> = parts
                .iter()
                .flat_map(|(_, messages)| messages)
                .map(|message| rig.queue.is_suppressed(message, &run.spec))
                .collect();
            assert_eq!(held, [false, true, false, false], "what is pending for it is cancelled");
        })
        .await;
    }

    #[tokio::test]
    async fn a_complaint_takes_the_person_off_and_a_soft_bounce_only_counts() {
        store::testing::each(|store| async move {
            let rig = Rig::new(store).await;
            let by_address = About::Address { delivery: 1, address: "user2@SHOP.example".into() };
            assert_eq!(rig.take(Kind::Complaint, by_address).await, Taken::Counted);
            let person = rig.audience.recipient_by_address("user2@shop.example").await.unwrap().unwrap();
            assert!(person.denylisted);
            assert_eq!(rig.take(Kind::SoftBounce, rig.about(0, false)).await, Taken::Counted);
            let person = rig.audience.recipient_by_address("user0@shop.example").await.unwrap().unwrap();
            assert!(!person.denylisted && !rig.audience.is_quarantined("user0@shop.example").await.unwrap());
            assert_eq!(rig.counts().await, (0, 1));
        })
        .await;
    }

    #[tokio::test]
    async fn proofs_seeds_and_strangers_change_nobody() {
        store::testing::each(|store| async move {
            let rig = Rig::new(store).await;
            assert_eq!(rig.take(Kind::HardBounce, rig.about(0, true)).await, Taken::Inert);
            assert_eq!(rig.take(Kind::Complaint, rig.about(3, false)).await, Taken::Inert, "a seed's");
            let other = TokenKeys::derive(&[8; 32]);
            let forged = other.message_id("shop.example", Token { message: message_id(1, 0), inert: false });
            for unknown in [forged, "<1@shop.example>".into(), String::new(), "x".repeat(5_000)] {
                assert_eq!(rig.take(Kind::HardBounce, About::MessageId(unknown)).await, Taken::Unknown);
            }
            let nobody = About::Address { delivery: 1, address: "nobody@shop.example".into() };
            assert_eq!(rig.take(Kind::HardBounce, nobody).await, Taken::Unknown);
            let other = About::Address { delivery: 2, address: "user0@shop.example".into() };
            assert_eq!(rig.take(Kind::HardBounce, other).await, Taken::Unknown);
            assert_eq!(rig.counts().await, (0, 0));
        })
        .await;
    }

    #[test]
    fn words_of_a_reply_say_whether_it_is_for_good() {
        assert_eq!(Kind::of_words("550 5.1.1 user unknown"), Kind::HardBounce);
        assert_eq!(Kind::of_words("452 4.2.2 mailbox full"), Kind::SoftBounce);
        assert_eq!(
            Kind::of_words("550 5.7.1 blocked"),
            Kind::SoftBounce,
            "a block is not the recipient's fault"
        );
        assert_eq!(
            Kind::of_words(
                "554 delivery error: dd This user doesn't have a yahoo.com account - mta1.mail.bf1.yahoo.com"
            ),
            Kind::HardBounce,
            "a provider's own words for it"
        );
        assert_eq!(Kind::of_words("nonsense"), Kind::SoftBounce);
        assert_eq!(cut("a\r\nbé", 5), "a  b");
    }
}
