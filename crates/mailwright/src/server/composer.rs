//! Fills the engine's `Compose`: the snapshots and keys that claimed parts name, kept ready in memory, so that composing
//! waits for nothing.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use content::Content;
use message::{Composed, Envelope, Prepared, Slots, Stamp, TokenKeys};
use mta::{Boxed, Compose, ComposeError, Order};
use queue::{Part, Queue};
use routes::{Routes, Signing};
use tracking::Tracking;

/// Snapshots kept ready; those not used for longest go first.
const SNAPSHOTS_KEPT: usize = 64;
/// Memory of all of them together. One with attachments may need tens of megabytes; the one in use is kept at any size.
const SNAPSHOTS_BYTES_MAX: usize = 128 << 20;
/// A snapshot is held as it was written, and encoded for each variant that is in use: about three times a message.
const COPIES_OF_A_MESSAGE: usize = 3;
/// Sets of signing keys kept ready.
const SIGNINGS_KEPT: usize = 1_024;

/// Composes for the engine.
pub struct Composer {
    queue: Queue,
    routes: Routes,
    tokens: Arc<TokenKeys>,
    content: Content,
    tracking: Option<Tracking>,
    snapshots: Mutex<Kept<Prepared>>,
    signings: Mutex<Kept<Signing>>,
    /// What snapshots link to, by their names; only of those that were asked about.
    hosts: Mutex<Kept<BTreeSet<String>>>,
}

/// A small map that forgets what was not used for longest.
struct Kept<T> {
    entries: HashMap<Arc<str>, Entry<T>>,
    uses: u64,
    entries_max: usize,
    bytes_max: usize,
}

struct Entry<T> {
    used: u64,
    bytes: usize,
    value: Arc<T>,
}

impl<T> Kept<T> {
    fn new(entries_max: usize, bytes_max: usize) -> Mutex<Self> {
        Mutex::new(Self { entries: HashMap::new(), uses: 0, entries_max, bytes_max })
    }

    fn get(&mut self, name: &str) -> Option<Arc<T>> {
        self.uses += 1;
        let uses = self.uses;
        self.entries.get_mut(name).map(|entry| {
            entry.used = uses;
            Arc::clone(&entry.value)
        })
    }

    fn put(&mut self, name: Arc<str>, value: Arc<T>, bytes: usize) {
        self.uses += 1;
        while !self.has_room(bytes) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(name, _)| Arc::clone(name)) else { break };
            self.entries.remove(&oldest);
        }
        self.entries.insert(name, Entry { used: self.uses, bytes, value });
    }

    fn has_room(&self, bytes: usize) -> bool {
        let kept: usize = self.entries.values().map(|entry| entry.bytes).sum();
        self.entries.len() < self.entries_max && kept + bytes <= self.bytes_max
    }
}

fn open<T>(kept: &Mutex<Kept<T>>) -> std::sync::MutexGuard<'_, Kept<T>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_now(error: impl std::fmt::Display) -> ComposeError {
    ComposeError::NotNow(error.to_string())
}

fn never(error: impl std::fmt::Display) -> ComposeError {
    ComposeError::Message(error.to_string())
}

impl Composer {
    /// Over the rooms that keep snapshots and keys.
    pub fn new(queue: Queue, routes: Routes, tokens: Arc<TokenKeys>) -> Self {
        let content = Content::new(queue.store().clone());
        Self {
            queue,
            routes,
            tokens,
            content,
            tracking: None,
            snapshots: Kept::new(SNAPSHOTS_KEPT, SNAPSHOTS_BYTES_MAX),
            signings: Kept::new(SIGNINGS_KEPT, usize::MAX),
            hosts: Kept::new(SNAPSHOTS_KEPT, usize::MAX),
        }
    }

    /// Looks up the links of what is made ready, so that they lead on though the database goes away before the first
    /// click.
    #[must_use]
    pub fn warming(self, tracking: Tracking) -> Self {
        Self { tracking: Some(tracking), ..self }
    }

    async fn ready(&self, part: &Part) -> Result<(), ComposeError> {
        let known = open(&self.snapshots).get(&part.snapshot).is_some();
        if !known {
            let bytes = self.queue.snapshot(&part.snapshot).await.map_err(not_now)?;
            let bytes = bytes.ok_or_else(|| not_now("the delivery's snapshot is missing"))?;
            let prepared = http::source::prepared(&self.content, bytes).await.map_err(not_now)?;
            let bytes = prepared.size_hint() * COPIES_OF_A_MESSAGE;
            open(&self.snapshots).put(Arc::clone(&part.snapshot), Arc::new(prepared), bytes);
            if let Some(tracking) = &self.tracking {
                // Whether it succeeds or not, the message goes out.
                let _ = tracking.table(part.first_id, part.stamp).await;
            }
        }
        let known = open(&self.signings).get(&part.signing).is_some();
        if !known {
            let keys = http::source::key_numbers(&part.signing);
            let keys = keys.ok_or_else(|| not_now("the part's list of signing keys is damaged"))?;
            let signing = self.routes.signing_with(&keys).await.map_err(not_now)?;
            open(&self.signings).put(Arc::clone(&part.signing), signing, 0);
        }
        Ok(())
    }
}

impl Compose for Composer {
    fn prepare<'a>(&'a self, part: &'a Arc<Part>) -> Boxed<'a, Result<(), ComposeError>> {
        Box::pin(self.ready(part))
    }

    fn compose(&self, order: Order<'_>) -> Result<Composed, ComposeError> {
        let message = order.message;
        let gone = || not_now("more deliveries are in work than are kept ready");
        let prepared = open(&self.snapshots).get(&message.part.snapshot).ok_or_else(gone)?;
        let signing = open(&self.signings).get(&message.part.signing).ok_or_else(gone)?;
        let slots = Slots::from_bytes(&message.slots).map_err(never)?;
        let address = address::parse(&message.address).map_err(never)?.smtp();
        let envelope = Envelope { id: message.id, address: &address, flags: message.flags };
        let stamp = Stamp { time_us: message.part.stamp };
        message::compose(&prepared, &slots, &envelope, &stamp, &signing.signers, &self.tokens).map_err(never)
    }

    fn links_to(&self, order: Order<'_>, host: &str) -> bool {
        let (name, slots) = (&order.message.part.snapshot, &order.message.slots);
        let known = open(&self.hosts).get(name);
        let shared = known.or_else(|| {
            let prepared = open(&self.snapshots).get(name)?;
            let hosts = Arc::new(prepared.snapshot().link_hosts());
            open(&self.hosts).put(Arc::clone(name), Arc::clone(&hosts), 0);
            Some(hosts)
        });
        if shared.is_some_and(|hosts| leads_to(&hosts, host)) {
            return true;
        }
        // What cannot be read is refused when it is composed.
        Slots::from_bytes(slots).is_ok_and(|slots| leads_to(&slots.link_hosts(), host))
    }
}

/// Whether one of the hosts is `host` or lies below it.
fn leads_to(hosts: &BTreeSet<String>, host: &str) -> bool {
    hosts.iter().any(|own| own.strip_suffix(host).is_some_and(|head| head.is_empty() || head.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_host_stands_for_those_below_it() {
        let hosts = BTreeSet::from(["a.bad.example".to_owned(), "good.example".to_owned()]);
        assert!(leads_to(&hosts, "bad.example") && leads_to(&hosts, "a.bad.example"));
        assert!(!leads_to(&hosts, "d.example") && !leads_to(&hosts, "b.bad.example"));
    }

    #[test]
    fn the_least_used_is_forgotten() {
        let mut kept = Kept::new(2, 100).into_inner().unwrap();
        kept.put("a".into(), Arc::new(1), 10);
        kept.put("b".into(), Arc::new(2), 10);
        assert_eq!(kept.get("a").as_deref(), Some(&1));
        kept.put("c".into(), Arc::new(3), 10);
        assert!(kept.get("b").is_none());
        assert!(kept.get("a").is_some() && kept.get("c").is_some());
    }

    #[test]
    fn what_is_kept_stays_within_its_memory() {
        let mut kept = Kept::new(10, 100).into_inner().unwrap();
        for name in ["a", "b", "c"] {
            kept.put(name.into(), Arc::new(0), 40);
        }
        assert!(kept.get("a").is_none() && kept.get("b").is_some() && kept.get("c").is_some());
        kept.put("large".into(), Arc::new(0), 1_000);
        assert_eq!(kept.entries.len(), 1);
        assert!(kept.get("large").is_some());
    }
}
