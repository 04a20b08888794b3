//! A bounded memory of answers, and one question at a time for each name.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OnceCell, Semaphore};

use super::{
    CACHE_ENTRIES_MAX, DnsError, FAILURE_TTL_S, LOOKUPS_MAX, NEGATIVE_TTL_MAX_S, RecordKind, Records,
    Resolver, TTL_MAX_S, TTL_MIN_S, canonical,
};
use crate::Pending;
use crate::clock::Clock;

type Key = (String, RecordKind);
type Answer = Result<Records, DnsError>;

/// Keeps what another resolver answers for as long as the answer says (between [`TTL_MIN_S`] and [`TTL_MAX_S`]), and
/// failures for [`FAILURE_TTL_S`]. A question that is under way is not asked again: the others wait for its answer.
pub struct CachedResolver<R> {
    inner: R,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    permits: Semaphore,
}

/// Answers live in two generations. When the young one holds half of the limit it becomes the old one, whose answers
/// go unless they were asked for meanwhile. So the bound holds, what is used stays, and nothing ever walks the table.
struct State {
    half_max: usize,
    young: HashMap<Key, Kept>,
    old: HashMap<Key, Kept>,
    under_way: HashMap<Key, Arc<OnceCell<Answer>>>,
}

#[derive(Clone)]
struct Kept {
    answer: Answer,
    until_us: i64,
}

impl<R: Resolver> CachedResolver<R> {
    /// A cache of [`CACHE_ENTRIES_MAX`] answers in front of `inner`.
    pub fn new(inner: R, clock: Arc<dyn Clock>) -> CachedResolver<R> {
        CachedResolver::with_entries(inner, clock, CACHE_ENTRIES_MAX)
    }

    /// A cache of another size.
    pub fn with_entries(inner: R, clock: Arc<dyn Clock>, entries_max: usize) -> CachedResolver<R> {
        let (young, old, under_way) = (HashMap::new(), HashMap::new(), HashMap::new());
        let state = State { half_max: (entries_max / 2).max(1), young, old, under_way };
        CachedResolver { inner, clock, state: Mutex::new(state), permits: Semaphore::new(LOOKUPS_MAX) }
    }

    /// Answers kept now, fresh or not.
    pub fn entries(&self) -> usize {
        self.locked(|state| state.young.len() + state.old.len())
    }

    fn locked<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn ask(&self, key: Key) -> Answer {
        let now_us = self.clock.now_us();
        let found = self.locked(|state| match state.fresh(&key, now_us) {
            Some(answer) => Ok(answer),
            None => Err(state.under_way.entry(key.clone()).or_default().clone()),
        });
        let cell = match found {
            Ok(answer) => return answer,
            Err(cell) => cell,
        };
        // When the asker is dropped half-way, the next waiter takes the question over.
        let answer = cell.get_or_init(|| self.ask_inner(&key)).await.clone();
        let now_us = self.clock.now_us();
        self.locked(|state| state.settle(key, &cell, &answer, now_us));
        answer
    }

    async fn ask_inner(&self, key: &Key) -> Answer {
        // The semaphore is never closed; were it, look-ups would go on unbounded rather than fail.
        let _permit = self.permits.acquire().await.ok();
        self.inner.lookup(&key.0, key.1).await
    }
}

impl State {
    fn fresh(&mut self, key: &Key, now_us: i64) -> Option<Answer> {
        if let Some(kept) = self.young.get(key) {
            return (now_us < kept.until_us).then(|| kept.answer.clone());
        }
        let kept = self.old.remove(key).filter(|kept| now_us < kept.until_us)?;
        self.keep(key.clone(), kept.clone());
        Some(kept.answer)
    }

    fn keep(&mut self, key: Key, kept: Kept) {
        if self.young.len() >= self.half_max && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, kept);
    }

    /// The first waiter to come keeps the answer and ends the question; for the others there is nothing left to do.
    fn settle(&mut self, key: Key, cell: &Arc<OnceCell<Answer>>, answer: &Answer, now_us: i64) {
        if let Entry::Occupied(entry) = self.under_way.entry(key.clone())
            && Arc::ptr_eq(entry.get(), cell)
        {
            entry.remove();
            let until_us = now_us.saturating_add(i64::from(ttl_s(answer)) * 1_000_000);
            self.keep(key, Kept { answer: answer.clone(), until_us });
        }
    }
}

fn ttl_s(answer: &Answer) -> u32 {
    match answer {
        Ok(records) => records.ttl_s.clamp(TTL_MIN_S, TTL_MAX_S),
        Err(DnsError::NoSuchName { ttl_s } | DnsError::NoRecord { ttl_s }) => {
            (*ttl_s).clamp(TTL_MIN_S, NEGATIVE_TTL_MAX_S)
        }
        Err(DnsError::Defer(_)) => FAILURE_TTL_S,
    }
}

impl<R: Resolver> Resolver for CachedResolver<R> {
    fn lookup<'a>(&'a self, name: &'a str, kind: RecordKind) -> Pending<'a, Answer> {
        Box::pin(self.ask((canonical(name), kind)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Record, StaticResolver};
    use super::*;
    use crate::clock::FakeClock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;
    use tokio::sync::Notify;

    fn cached(resolver: StaticResolver, entries_max: usize) -> (CachedResolver<StaticResolver>, FakeClock) {
        let clock = FakeClock::new(0);
        (CachedResolver::with_entries(resolver, Arc::new(clock.clone()), entries_max), clock)
    }

    #[tokio::test]
    async fn answers_of_every_sort_are_kept_for_their_time() {
        let inner = StaticResolver::new();
        inner.a("a.example", &["192.0.2.1"]);
        inner.fails("dark.example", RecordKind::A);
        let (resolver, clock) = cached(inner, 100);
        for round in [3, 3, 6] {
            if round == 6 {
                clock.advance(Duration::from_secs(u64::from(TTL_MIN_S)));
            }
            assert!(resolver.a("a.example").await.is_ok());
            assert!(resolver.a("A.example.").await.is_ok(), "one name in every way of writing it");
            assert!(matches!(resolver.a("none.example").await, Err(DnsError::NoSuchName { .. })));
            assert!(matches!(resolver.a("dark.example").await, Err(DnsError::Defer(_))));
            assert_eq!(resolver.inner.lookups(), round);
        }
        clock.advance(Duration::from_secs(u64::from(TTL_MIN_S) - 1));
        assert!(resolver.a("a.example").await.is_ok());
        assert_eq!(resolver.inner.lookups(), 6);
    }

    #[tokio::test]
    async fn a_failure_is_forgotten_soon() {
        let inner = StaticResolver::new();
        inner.a("a.example", &["192.0.2.1"]);
        inner.fails("a.example", RecordKind::A);
        let (resolver, clock) = cached(inner, 100);
        assert!(resolver.a("a.example").await.is_err());
        resolver.inner.recovers("a.example", RecordKind::A);
        assert!(resolver.a("a.example").await.is_err());
        clock.advance(Duration::from_secs(u64::from(FAILURE_TTL_S)));
        assert!(resolver.a("a.example").await.is_ok());
    }

    #[test]
    fn times_are_bounded() {
        let records = |ttl_s| {
            Ok(Records {
                records: Arc::from([Record::Txt(String::new())]),
                ttl_s,
                secure: false,
                alias: None,
            })
        };
        assert_eq!([0, 3_600, u32::MAX].map(|ttl| ttl_s(&records(ttl))), [TTL_MIN_S, 3_600, TTL_MAX_S]);
        let negative = |ttl| ttl_s(&Err(DnsError::NoSuchName { ttl_s: ttl }));
        assert_eq!([0, 600, u32::MAX].map(negative), [TTL_MIN_S, 600, NEGATIVE_TTL_MAX_S]);
    }

    #[tokio::test]
    async fn the_bound_holds_and_what_is_used_stays() {
        let (resolver, _clock) = cached(StaticResolver::new(), 10);
        let _ = resolver.a("used.example").await;
        for n in 0..100_u64 {
            let _ = resolver.a(&format!("n{n}.example")).await;
            let _ = resolver.a("used.example").await;
            assert!(resolver.entries() <= 10);
            assert_eq!(resolver.inner.lookups(), n + 2, "used.example was asked once");
        }
        assert!(resolver.locked(|state| state.under_way.is_empty()));
    }

    /// Answers only when told to.
    #[derive(Default)]
    struct Slow {
        asked: AtomicU64,
        go: Notify,
    }

    impl Resolver for Arc<Slow> {
        fn lookup<'a>(&'a self, _name: &'a str, _kind: RecordKind) -> Pending<'a, Answer> {
            Box::pin(async move {
                self.asked.fetch_add(1, Ordering::SeqCst);
                self.go.notified().await;
                Err(DnsError::NoRecord { ttl_s: 60 })
            })
        }
    }

    #[tokio::test]
    async fn a_question_under_way_is_asked_once_also_when_its_asker_leaves() {
        let slow = Arc::new(Slow::default());
        let resolver = Arc::new(CachedResolver::new(slow.clone(), Arc::new(FakeClock::new(0))));
        let ask = |resolver: Arc<CachedResolver<Arc<Slow>>>| {
            tokio::spawn(async move { resolver.a("a.example").await })
        };
        let askers: Vec<_> = (0..10).map(|_| ask(resolver.clone())).collect();
        tokio::task::yield_now().await;
        assert_eq!(slow.asked.load(Ordering::SeqCst), 1);
        askers[0].abort();
        while slow.asked.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        slow.go.notify_one();
        for asker in askers.into_iter().skip(1) {
            assert_eq!(asker.await.expect("runs"), Err(DnsError::NoRecord { ttl_s: 60 }));
        }
        assert_eq!(slow.asked.load(Ordering::SeqCst), 2);
    }
}
