//! What a simulated provider remembers between connections: who was greylisted, how fast mail came, what was cut.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::behaviour::{Behaviour, stable_hash};
use crate::limits::GREYLIST_MAX;
use crate::reputation::{Standing, Treatment};

/// A provider: its behaviour, which may be changed while it runs, and its memory.
pub struct Provider {
    behaviour: RwLock<Arc<Behaviour>>,
    open: AtomicU32,
    began: Instant,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// When a triplet of address, sender and recipient may pass.
    greylist: HashMap<u64, Instant>,
    /// Recipients whose first try was cut already.
    cut: HashSet<u64>,
    /// Messages that may still come now, and when that was reckoned.
    bucket: Option<(f64, Instant)>,
    /// Open connections by the address that they come from.
    open: HashMap<IpAddr, u32>,
    /// What is thought of each address.
    standings: HashMap<IpAddr, Standing>,
}

/// Counts a connection for as long as it lives.
pub(crate) struct OpenConnection {
    provider: Arc<Provider>,
    peer: IpAddr,
    /// Connections open from this address when this one came, itself included.
    pub(crate) open: u32,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.provider.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(open) = self.provider.memory().open.get_mut(&self.peer) {
            *open = open.saturating_sub(1);
        }
    }
}

impl Provider {
    /// A provider that has seen nobody yet.
    #[must_use]
    pub fn new(behaviour: Behaviour) -> Arc<Provider> {
        Arc::new(Provider {
            behaviour: RwLock::new(Arc::new(behaviour)),
            open: AtomicU32::new(0),
            began: Instant::now(),
            memory: Mutex::default(),
        })
    }

    /// How it behaves now.
    #[must_use]
    pub fn behaviour(&self) -> Arc<Behaviour> {
        Arc::clone(&self.behaviour.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes how it behaves towards connections that come from now on.
    pub fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        let mut held = self.behaviour.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Behaviour::clone(&held);
        change(&mut next);
        *held = Arc::new(next);
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) fn connect(self: &Arc<Provider>, peer: IpAddr) -> OpenConnection {
        self.open.fetch_add(1, Ordering::Relaxed);
        let mut memory = self.memory();
        let open = memory.open.entry(peer).or_default();
        *open += 1;
        OpenConnection { provider: Arc::clone(self), peer, open: *open }
    }

    /// What it thinks of an address that has sent to it: see [`Standing::standing`].
    #[must_use]
    pub fn standing(&self, peer: IpAddr) -> Option<f64> {
        self.memory().standings.get(&peer).map(Standing::standing)
    }

    /// How the next message of an address is received.
    pub(crate) fn treats(&self, peer: IpAddr, now: Instant) -> Treatment {
        let behaviour = self.behaviour();
        let Some(habits) = &behaviour.habits else { return Treatment::Welcome };
        let now_us = now.duration_since(self.began).as_micros() as i64;
        self.memory()
            .standings
            .entry(peer)
            .or_insert_with(|| Standing::new(habits, now_us))
            .ask(habits, now_us)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long this triplet still has to wait; none when it may pass. A first try starts its clock; a try from
    /// another address is a first one.
    pub(crate) fn greylisted(
        &self,
        peer: IpAddr,
        sender: &str,
        recipient: &str,
        wait: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let mut memory = self.memory();
        if memory.greylist.len() >= GREYLIST_MAX {
            memory.greylist.clear();
        }
        // The signed return path names the message, so a retry has the same one; only its domain counts for
        // real greylists that learn, hence the domain is what is remembered.
        let domain = sender.rsplit('@').next().unwrap_or_default();
        let passes_at = *memory
            .greylist
            .entry(stable_hash(&format!("{peer} {domain} {recipient}")))
            .or_insert(now + wait);
        passes_at.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Whether this recipient's message is to be cut: the chosen ones, once.
    pub(crate) fn cuts(&self, recipient: &str, permille: u32) -> bool {
        let hash = stable_hash(&format!("cut {recipient}"));
        permille > 0 && hash % 1000 < u64::from(permille) && self.memory().cut.insert(hash)
    }

    /// Takes one message out of the bucket of `per_second` messages; false when it is empty.
    pub(crate) fn within_rate(&self, per_second: f64, now: Instant) -> bool {
        let mut memory = self.memory();
        let burst = per_second.max(1.0);
        let (left, at) = memory.bucket.unwrap_or((burst, now));
        let left = (left + now.duration_since(at).as_secs_f64() * per_second).min(burst);
        let passes = left >= 1.0;
        memory.bucket = Some((if passes { left - 1.0 } else { left }, now));
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn provider() -> Arc<Provider> {
        Provider::new(Behaviour::accepting("p", "mx.p.example"))
    }

    #[test]
    fn a_greylist_lets_the_second_try_pass_after_its_time() {
        let (provider, now, wait) = (provider(), Instant::now(), Duration::from_secs(60));
        assert_eq!(provider.greylisted(PEER, "b1@bounce.example", "a@p.example", wait, now), Some(wait));
        let later = now + Duration::from_secs(20);
        let left = provider.greylisted(PEER, "b1@bounce.example", "a@p.example", wait, later);
        assert_eq!(left, Some(Duration::from_secs(40)));
        assert_eq!(provider.greylisted(PEER, "b1@bounce.example", "a@p.example", wait, now + wait), None);
        assert!(provider.greylisted(PEER, "b1@bounce.example", "b@p.example", wait, now + wait).is_some());
        let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        assert!(provider.greylisted(other, "b1@bounce.example", "a@p.example", wait, now + wait).is_some());
    }

    #[test]
    fn a_rate_is_kept_over_time() {
        let (provider, start) = (provider(), Instant::now());
        let passed =
            (0..1_000).filter(|n| provider.within_rate(10.0, start + Duration::from_millis(n * 10))).count();
        // 10 s at 10 a second, and the burst of one second.
        assert!((105..=111).contains(&passed), "{passed}");
    }

    #[test]
    fn a_message_is_cut_once() {
        let provider = provider();
        assert!(provider.cuts("a@p.example", 1000));
        assert!(!provider.cuts("a@p.example", 1000));
        assert!(!provider.cuts("b@p.example", 0));
    }
}
