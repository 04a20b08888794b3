//! Fills the engine's `Compose`: the snapshots and keys that claimed parts name, kept ready in memory, so that composing
//! waits for nothing.

use std::{
    any::Any,
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use content::Content;
use message::{Composed, Envelope, Given, Prepared, Slots, Stamp, TokenKeys};
use mta::{Boxed, Compose, ComposeError, Order};
use queue::{Part, Queue};
use routes::{Routes, Signing};
use tracking::Tracking;

/// Snapshots kept ready, besides those that claimed parts name: these stay. Those not used for longest go first.
const SNAPSHOTS_KEPT: usize = 64;
/// Memory of all of them together. Those that claimed parts name may have as much again: one with attachments needs tens of
/// megabytes. Beyond that a part goes back unclaimed, and its delivery waits until another one has less in work.
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

/// Whoever needs an entry, for as long as it lives: a part, which its messages and their results hold.
type User = Weak<dyn Any + Send + Sync>;

/// A small map that forgets what was not used for longest, and nothing that somebody needs.
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
    users: Vec<User>,
}

impl<T> Entry<T> {
    fn is_needed(&self) -> bool {
        self.users.iter().any(|user| user.strong_count() > 0)
    }

    fn needed_by(&mut self, user: User) {
        if self.users.len() == self.users.capacity() {
            self.users.retain(|user| user.strong_count() > 0);
        }
        self.users.push(user);
    }
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

    /// Keeps an entry for as long as `user` lives; false where there is none.
    fn keep_for(&mut self, name: &str, user: User) -> bool {
        self.uses += 1;
        let uses = self.uses;
        let entry = self.entries.get_mut(name);
        entry
            .map(|entry| {
                entry.used = uses;
                entry.needed_by(user);
            })
            .is_some()
    }

    /// False: what others need leaves no room for it.
    fn put(&mut self, name: Arc<str>, value: Arc<T>, bytes: usize, user: User) -> bool {
        self.uses += 1;
        while !self.has_room(bytes) {
            let spare = self.entries.iter().filter(|(_, entry)| !entry.is_needed());
            let oldest = spare.min_by_key(|(_, entry)| entry.used).map(|(name, _)| Arc::clone(name));
            let Some(oldest) = oldest else { break };
            self.entries.remove(&oldest);
        }
        if !self.entries.is_empty() && self.bytes() + bytes > self.bytes_max.saturating_mul(2) {
            return false;
        }
        self.entries.insert(name, Entry { used: self.uses, bytes, value, users: vec![user] });
        true
    }

    fn bytes(&self) -> usize {
        self.entries.values().map(|entry| entry.bytes).sum()
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.entries.len() < self.entries_max && self.bytes() + bytes <= self.bytes_max
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

    async fn ready(&self, part: &Arc<Part>) -> Result<(), ComposeError> {
        let user = || -> User {
            let part: Weak<Part> = Arc::downgrade(part);
            part
        };
        if !open(&self.snapshots).keep_for(&part.snapshot, user()) {
            let bytes = self.queue.snapshot(&part.snapshot).await.map_err(not_now)?;
            let bytes = bytes.ok_or_else(|| not_now("the delivery's snapshot is missing"))?;
            let prepared = http::source::prepared(&self.content, bytes).await.map_err(not_now)?;
            let bytes = prepared.size_hint() * COPIES_OF_A_MESSAGE;
            let name = Arc::clone(&part.snapshot);
            if !open(&self.snapshots).put(name, Arc::new(prepared), bytes, user()) {
                return Err(not_now("other deliveries in work leave no room for its attachments"));
            }
            if let Some(tracking) = &self.tracking {
                // Whether it succeeds or not, the message goes out.
                let _ = tracking.table(part.first_id, part.stamp).await;
            }
        }
        if !open(&self.signings).keep_for(&part.signing, user()) {
            let keys = http::source::key_numbers(&part.signing);
            let keys = keys.ok_or_else(|| not_now("the part's list of signing keys is damaged"))?;
            let signing = self.routes.signing_with(&keys).await.map_err(not_now)?;
            open(&self.signings).put(Arc::clone(&part.signing), signing, 0, user());
        }
        Ok(())
    }
}

impl Compose for Composer {
    fn prepare<'a>(&'a self, part: &'a Arc<Part>) -> Boxed<'a, Result<(), ComposeError>> {
        Box::pin(self.ready(part))
    }

    fn compose(&self, order: Order<'_>) -> Result<Composed, ComposeError> {
        self.compose_in(order, Vec::new())
    }

    fn compose_in(&self, order: Order<'_>, buffer: Vec<u8>) -> Result<Composed, ComposeError> {
        let message = order.message;
        let gone = || not_now("what it is made of is not in memory");
        let prepared = open(&self.snapshots).get(&message.part.snapshot).ok_or_else(gone)?;
        let signing = open(&self.signings).get(&message.part.signing).ok_or_else(gone)?;
        let slots = Slots::from_bytes(&message.slots).map_err(never)?;
        let address = address::parse(&message.address).map_err(never)?.smtp();
        let envelope = Envelope { id: message.id, address: &address, flags: message.flags };
        let stamp = Stamp { time_us: message.part.stamp };
        let given = Given { slots: &slots, envelope, stamp };
        message::compose_in(buffer, &prepared, &given, &signing.signers, &self.tokens).map_err(never)
    }

    fn links_to(&self, order: Order<'_>, host: &str) -> bool {
        let (name, slots) = (&order.message.part.snapshot, &order.message.slots);
        let known = open(&self.hosts).get(name);
        let shared = known.or_else(|| {
            let prepared = open(&self.snapshots).get(name)?;
            let hosts = Arc::new(prepared.snapshot().link_hosts());
            open(&self.hosts).put(Arc::clone(name), Arc::clone(&hosts), 0, Weak::<()>::new());
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

    fn nobody() -> User {
        Weak::<()>::new()
    }

    #[test]
    fn a_listed_host_stands_for_those_below_it() {
        let hosts = BTreeSet::from(["a.bad.example".to_owned(), "good.example".to_owned()]);
        assert!(leads_to(&hosts, "bad.example") && leads_to(&hosts, "a.bad.example"));
        assert!(!leads_to(&hosts, "d.example") && !leads_to(&hosts, "b.bad.example"));
    }

    #[test]
    fn the_least_used_is_forgotten() {
        let mut kept = Kept::new(2, 100).into_inner().unwrap();
        kept.put("a".into(), Arc::new(1), 10, nobody());
        kept.put("b".into(), Arc::new(2), 10, nobody());
        assert_eq!(kept.get("a").as_deref(), Some(&1));
        kept.put("c".into(), Arc::new(3), 10, nobody());
        assert!(kept.get("b").is_none());
        assert!(kept.get("a").is_some() && kept.get("c").is_some());
    }

    #[test]
    fn what_is_kept_stays_within_its_memory() {
        let mut kept = Kept::new(10, 100).into_inner().unwrap();
        for name in ["a", "b", "c"] {
            kept.put(name.into(), Arc::new(0), 40, nobody());
        }
        assert!(kept.get("a").is_none() && kept.get("b").is_some() && kept.get("c").is_some());
        assert!(kept.put("large".into(), Arc::new(0), 1_000, nobody()), "alone it may be of any size");
        assert_eq!(kept.entries.len(), 1);
        assert!(kept.get("large").is_some());
    }

    #[test]
    fn what_claimed_parts_name_stays_however_many_deliveries_are_in_work() {
        let mut kept = Kept::new(2, 100).into_inner().unwrap();
        let parts: Vec<Arc<u8>> = (0..6).map(Arc::new).collect();
        let user = |n: usize| -> User { Arc::<u8>::downgrade(&parts[n]) };
        for n in 0..5 {
            assert!(kept.put(n.to_string().into(), Arc::new(n), 40, user(n)));
        }
        assert!((0..5).all(|n| kept.get(&n.to_string()).is_some()));
        assert!(!kept.put("5".into(), Arc::new(5), 40, user(5)), "twice its memory, and no more");
        // The parts of one are over, and the next has its place.
        let rest = parts.into_iter().skip(1).collect::<Vec<_>>();
        let (second, last) = (Arc::downgrade(&rest[0]), Arc::downgrade(&rest[4]));
        assert!(kept.keep_for("1", second));
        assert!(kept.put("5".into(), Arc::new(5), 40, last));
        assert!(kept.get("0").is_none() && kept.get("1").is_some());
    }
}
