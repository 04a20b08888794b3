//! A confirmed delivery with links, and a tracking room over it.

use std::path::Path;

use message::{Link, LinkMode, Part, PartName, Piece, Snapshot, Transfer};
use queue::{NewMessage, NewPart, Priority, Queue, RetryPlan, RunSpec, message_id, plan};
use store::{Lane, Store, Tx};
use tracking::{Client, Event, EventKind, Tracking, resources};

pub const T0: i64 = 1_700_000_000_000_000;
pub const DAY: i64 = 24 * 3_600 * 1_000_000;
/// End of the resource validity.
pub const UNTIL: i64 = T0 + 60 * DAY;

pub async fn migrate(store: &Store) {
    store.migrate(&[audience::MIGRATIONS, queue::MIGRATIONS, tracking::MIGRATIONS]).await.unwrap();
}

pub fn open(store: &Store, dir: &Path) -> Tracking {
    Tracking::open(store.clone(), dir, [7; 32], 1).unwrap()
}

pub fn snapshot(delivery: i64) -> Snapshot {
    let part = |name, text: &str| Part {
        name,
        segments: vec![text.to_owned()],
        usual: vec![Piece::Static(0)],
        transfer: Transfer::QuotedPrintable,
    };
    let link = |url: &str, kind| Link { url: url.into(), label: "a".into(), category: String::new(), kind };
    Snapshot {
        delivery,
        parts: vec![
            part(PartName::FromAddress, "news@shop.example"),
            part(PartName::Subject, "Hello"),
            part(PartName::Text, "Hello\n"),
        ],
        public_url: "https://t.shop.example".into(),
        bounce_domain: "bounce.shop.example".into(),
        message_id_domain: "shop.example".into(),
        links: vec![
            link("https://shop.example/a?c={p1}", LinkMode::Tracked),
            link("https://shop.example/leave", LinkMode::OptOut),
            link("https://{p1}/", LinkMode::Tracked),
        ],
        ..Snapshot::default()
    }
}

/// Confirms a delivery to recipients 1 to `messages`; everybody's message was sent.
pub async fn confirm(store: &Store, delivery: i64, messages: i64, with_resource: bool) {
    let snapshot = snapshot(delivery);
    let (hash, bytes) = (snapshot.hash(), snapshot.to_bytes());
    let spec = RunSpec {
        delivery,
        priority: Priority::Normal,
        pool: "default".to_owned(),
        start_at: T0,
        valid_until: T0 + 5 * DAY,
        retry: RetryPlan::default(),
        test_smtp: false,
        bcc: false,
        signing: String::new(),
        seen: 0,
        services: Vec::new(),
    };
    let work = move |tx: &mut Tx<'_>| -> Result<(), queue::Error> {
        plan::write_snapshot(tx, &hash, &bytes)?;
        let message = |n| NewMessage {
            id: message_id(delivery, n),
            recipient: n + 1,
            domain: "shop.example".to_owned(),
            flags: 0,
            address: format!("user{n}@shop.example"),
            slots: vec![1],
        };
        plan::insert_messages(tx, (0..messages).map(message))?;
        let part = NewPart {
            first_id: message_id(delivery, 0),
            last_id: message_id(delivery, messages - 1),
            snapshot: hash.clone(),
            wave: 0,
            lane: "tail-1".to_owned(),
            due_us: 0,
            messages,
        };
        plan::insert_parts(tx, delivery, [part])?;
        plan::insert_contacts(tx, (0..messages).map(|n| (n + 1, message_id(delivery, n))))?;
        queue::runs::start(tx, &spec, T0)?;
        if with_resource {
            resources::open(tx, delivery, &hash, UNTIL)?;
        }
        Ok(())
    };
    store.write(Lane::Urgent, work).await.unwrap();
    settle(store, delivery).await;
}

async fn settle(store: &Store, delivery: i64) {
    let queue = Queue::new(store.clone(), 1);
    let run = queue.run(delivery).await.unwrap();
    let parts = queue.claim(&run, "tail-1", 9, T0).await.unwrap();
    let settled = |message: &queue::Message| queue::Settlement {
        id: message.id,
        recipient: message.recipient,
        part: message.part.clone(),
        verdict: queue::Verdict::Final { state: queue::FinalState::Sent, digest: None },
        attempts: 1,
        first_try: Some(T0),
        last_try: Some(T0),
        site: "shop.example".into(),
        source: None,
        reason: None,
        reply: None,
        nonexistent: None,
        octets: 0,
        tls: None,
    };
    let batch: Vec<_> = parts.iter().flat_map(|(_, messages)| messages).map(settled).collect();
    queue.settle(batch.into(), vec![], std::sync::Arc::new(queue::NoQuarantine)).await.unwrap();
}

/// Folds until so many events came, and no more are there: where the disk takes its time, an event may be late in its file.
pub async fn folds(tracking: &Tracking, now: i64, events: u64) {
    let begin = std::time::Instant::now();
    let mut folded = 0;
    while folded < events {
        folded += tracking.fold(now).await.unwrap();
        assert!(begin.elapsed().as_secs() < 120, "{folded} of {events}");
    }
    assert_eq!(folded + tracking.fold(now).await.unwrap(), events);
}

/// An event of a person.
pub fn event(message: i64, kind: EventKind, link: Option<u16>, at: i64) -> Event {
    Event { message, kind, link, at, client: Client::new("Mozilla/5.0", "0123456789abcdef".into(), false) }
}
