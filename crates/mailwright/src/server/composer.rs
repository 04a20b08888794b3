//! Fills the engine's `Compose`: the snapshots and keys that claimed parts name, kept ready in memory, so that composing
//! waits for nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use content::Content;
use message::{Composed, Envelope, Prepared, Slots, Stamp, TokenKeys};
use mta::{Boxed, Compose, ComposeError, Order};
use queue::{Part, Queue};
use routes::{Routes, Signing};
use tracking::Tracking;

/// Snapshots kept ready. One is about as large as the newsletter; those not used for longest go first.
const SNAPSHOTS_KEPT: usize = 64;
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
}

/// A small map that forgets what was not used for longest.
struct Kept<T> {
    entries: HashMap<Arc<str>, (u64, Arc<T>)>,
    uses: u64,
    entries_max: usize,
}

impl<T> Kept<T> {
    fn new(entries_max: usize) -> Mutex<Self> {
        Mutex::new(Self { entries: HashMap::new(), uses: 0, entries_max })
    }

    fn get(&mut self, name: &str) -> Option<Arc<T>> {
        self.uses += 1;
        let uses = self.uses;
        self.entries.get_mut(name).map(|(used, value)| {
            *used = uses;
            Arc::clone(value)
        })
    }

    fn put(&mut self, name: Arc<str>, value: Arc<T>) {
        self.uses += 1;
        if self.entries.len() >= self.entries_max
            && let Some(oldest) =
                self.entries.iter().min_by_key(|(_, (used, _))| *used).map(|(name, _)| Arc::clone(name))
        {
            self.entries.remove(&oldest);
        }
        self.entries.insert(name, (self.uses, value));
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
            snapshots: Kept::new(SNAPSHOTS_KEPT),
            signings: Kept::new(SIGNINGS_KEPT),
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
            open(&self.snapshots).put(Arc::clone(&part.snapshot), Arc::new(prepared));
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
            open(&self.signings).put(Arc::clone(&part.signing), signing);
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_used_is_forgotten() {
        let kept = Kept::new(2);
        let mut kept = kept.into_inner().unwrap();
        kept.put("a".into(), Arc::new(1));
        kept.put("b".into(), Arc::new(2));
        assert_eq!(kept.get("a").as_deref(), Some(&1));
        kept.put("c".into(), Arc::new(3));
        assert!(kept.get("b").is_none());
        assert!(kept.get("a").is_some() && kept.get("c").is_some());
    }
}
