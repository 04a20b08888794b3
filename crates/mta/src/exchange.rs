//! Receivers: a *site* is a provider or a single receiver; a *path* is a source and a site, and has the limits; an
//! *exchange* is the set of hosts of a site that mail is handed to over the same connections of one path, and has the
//! waiting line.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use routes::SiteRules;
use tokio::sync::Notify;

use crate::fair::{FLOOR, FairQueue, Rank};
use crate::load::Load;
use crate::shape::shaper::Limits;
use crate::shape::{Rest, Shaper, Suspension};
use crate::standing::Origin;
use crate::turns::Turns;
use crate::unsettled::Allowances;
use crate::world::{Host, way_name};

/// Hosts named in one path's figures.
const HOSTS_SHOWN: usize = 6;

/// Begins the identity of a listed link; its host follows.
pub(crate) const LINK: &str = "url:";

/// How mail gets to an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// MX hosts, most preferred first.
    Hosts(Arc<[Host]>),
    /// The configured relay.
    Relay,
    /// The DNS did not answer for this domain.
    Unresolved(Arc<str>),
    /// No source of the pool may carry mail to this domain here.
    NoSource(Arc<str>),
}

impl Way {
    /// True where there is somebody to connect to.
    pub(crate) fn leads_somewhere(&self) -> bool {
        matches!(self, Self::Hosts(_) | Self::Relay)
    }

    /// What tells one exchange of a path from another.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Relay => "relay".to_owned(),
            Self::Hosts(hosts) => way_name(hosts),
            Self::Unresolved(domain) => format!("dns:{domain}"),
            Self::NoSource(domain) => format!("source:{domain}"),
        }
    }
}

/// What holds on a path now. Read when a connection begins and when rules change, not for each message.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    pub rules: Arc<SiteRules>,
    pub limits: Arc<Limits>,
    /// Of the rules that this comes from.
    pub generation: u64,
}

/// A provider or a single receiver.
#[derive(Debug)]
pub(crate) struct Site {
    pub name: Arc<str>,
    known: AtomicBool,
    /// Open connections over all sources, and how many there may be.
    pub open: AtomicU32,
    pub open_max: AtomicU32,
    /// Exchanges that wait for one of them.
    pub turns: Turns,
    /// The receiver takes mail over TLS only.
    pub secure_only: AtomicBool,
    /// Something may not go here: see [`Site::is_blocked`].
    any_blocked: AtomicBool,
    blocked: Mutex<HashMap<String, Block>>,
    paths: Mutex<Vec<Weak<Path>>>,
}

/// What may not go to a site, until when and why.
#[derive(Debug, Clone)]
struct Block {
    rest: Suspension,
    /// The identity that it was found by: a delivery is blocked with its domain, or with a link in it, and goes on with them.
    because: Option<String>,
}

impl Block {
    fn holds(&self, now_us: i64) -> bool {
        self.rest.until_us.is_none_or(|until| until > now_us)
    }
}

/// A source and a site.
#[derive(Debug)]
pub(crate) struct Path {
    pub source: Arc<Origin>,
    pub site: Arc<Site>,
    pub shaper: Shaper,
    /// An operator wants it empty.
    pub draining: AtomicBool,
    /// Its source is not used any more.
    pub gone: AtomicBool,
    /// Its rest is one that messages wait for, instead of going by another source (a warm-up's).
    pub keeps: AtomicBool,
    /// Connections that wait for the rate with a message in hand.
    pub paced: Paced,
    /// What its ended connections left unsettled.
    pub allowances: Arc<Allowances>,
    /// It rests because its warm-up's messages of today are sent.
    pub warm_rest: AtomicBool,
    /// What a warm-up allows today (-1: there is none), and when today ends.
    allowed: Mutex<(i64, i64)>,
    /// Messages and octets that are written down as this day's.
    written: Mutex<(i64, i64)>,
    generation: AtomicU64,
    in_force: RwLock<InForce>,
    members: Mutex<Vec<Weak<Exchange>>>,
    /// Exchanges that wait for one of its connections.
    pub turns: Turns,
}

/// Connections that wait for a path's rate, by the level of the message in their hands.
#[derive(Debug, Default)]
pub(crate) struct Paced {
    all: AtomicUsize,
    /// How often a lower level was told to wait.
    told: AtomicU64,
    by_level: [AtomicUsize; 6],
}

impl Paced {
    pub(crate) fn enter(&self, level: u8) {
        self.by_level[usize::from(level)].fetch_add(1, Ordering::AcqRel);
        self.all.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn leave(&self, level: u8) {
        self.all.fetch_sub(1, Ordering::AcqRel);
        self.by_level[usize::from(level)].fetch_sub(1, Ordering::AcqRel);
    }

    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.all.load(Ordering::Acquire) > 0
    }

    /// True when a message of a higher level waits for the rate.
    pub(crate) fn any_above(&self, level: u8) -> bool {
        self.by_level.iter().skip(usize::from(level) + 1).any(|waiting| waiting.load(Ordering::Acquire) > 0)
    }

    /// True when the next turn at this rate is that of a higher level, but for the floor's.
    #[inline]
    pub(crate) fn goes_before(&self, level: impl FnOnce() -> u8) -> bool {
        self.any()
            && self.any_above(level())
            && !(self.told.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(FLOOR)
    }
}

/// Where an exchange stands in the lines for connections: see [`Turns`].
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub path: AtomicU8,
    pub site: AtomicU8,
    pub node: AtomicU8,
}

/// A waiting line and the connections that empty it.
pub(crate) struct Exchange {
    /// Replaced when the DNS says something else of hosts by the same names: a preference, a policy of TLS.
    way: RwLock<Way>,
    leads: bool,
    pub path: Arc<Path>,
    line: Mutex<FairQueue<Load>>,
    waiting: AtomicUsize,
    /// The highest priority that waits, from 1; 0: nothing waits.
    level: AtomicU8,
    /// Rung when something arrives.
    pub arrived: Notify,
    rest: Mutex<Rest>,
    resting_us: AtomicI64,
    troubled: AtomicBool,
    pub sessions: AtomicUsize,
    /// Connections that stand: hosts were reached.
    pub standing: AtomicUsize,
    failures: AtomicU32,
    /// Connections with nothing to do.
    pub idle: AtomicUsize,
    pub places: Places,
}

/// One in a count as long as it lives, whatever way its task ends.
pub(crate) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    pub(crate) fn in_count(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Site {
    pub(crate) fn new(name: &str, known: bool, rules: &SiteRules) -> Self {
        let site = Self {
            name: name.into(),
            known: AtomicBool::new(known),
            open: AtomicU32::new(0),
            open_max: AtomicU32::new(u32::MAX),
            turns: Turns::new(|exchange| &exchange.places.site),
            secure_only: AtomicBool::new(false),
            any_blocked: AtomicBool::new(false),
            blocked: Mutex::default(),
            paths: Mutex::default(),
        };
        site.adopt(known, rules);
        site
    }

    /// A rule names it: what it says about our source holds for all its exchanges.
    #[inline]
    pub(crate) fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    /// Every connection that may be open over all sources is open.
    pub(crate) fn is_full(&self) -> bool {
        self.open.load(Ordering::Acquire) >= self.open_max.load(Ordering::Relaxed)
    }

    pub(crate) fn adopt(&self, known: bool, rules: &SiteRules) {
        self.known.store(known, Ordering::Relaxed);
        self.open_max.store(rules.connections_all.unwrap_or(u32::MAX).max(1), Ordering::Relaxed);
    }

    pub(crate) fn join(&self, path: &Arc<Path>) {
        let mut paths = open(&self.paths);
        paths.retain(|path| path.strong_count() > 0);
        paths.push(Arc::downgrade(path));
    }

    pub(crate) fn paths(&self) -> Vec<Arc<Path>> {
        open(&self.paths).iter().filter_map(Weak::upgrade).collect()
    }

    /// Nothing of `identity` (`delivery:7`, `domain:shop.example`) goes here until the suspension ends.
    pub(crate) fn block(&self, identity: &str, suspension: Suspension) {
        self.insert(identity, Block { rest: suspension, because: None });
    }

    /// The same as long as `because` is blocked: what it was found by.
    pub(crate) fn block_with(&self, identity: &str, suspension: Suspension, because: &str) {
        self.insert(identity, Block { rest: suspension, because: Some(because.to_owned()) });
    }

    fn insert(&self, identity: &str, block: Block) {
        open(&self.blocked).insert(identity.to_owned(), block);
        self.any_blocked.store(true, Ordering::Release);
    }

    pub(crate) fn unblock(&self, identity: &str) {
        let mut blocked = open(&self.blocked);
        blocked.retain(|own, block| own != identity && block.because.as_deref() != Some(identity));
        self.any_blocked.store(!blocked.is_empty(), Ordering::Release);
    }

    /// Everything may go here again.
    pub(crate) fn unblock_all(&self) {
        open(&self.blocked).clear();
        self.any_blocked.store(false, Ordering::Release);
    }

    /// Forgets blocks that have ended.
    pub(crate) fn tidy_blocks(&self, now_us: i64) {
        if self.any_blocked() {
            let mut blocked = open(&self.blocked);
            blocked.retain(|_, block| block.holds(now_us));
            self.any_blocked.store(!blocked.is_empty(), Ordering::Release);
        }
    }

    /// One atomic look: true while anything at all is blocked.
    #[inline]
    pub(crate) fn any_blocked(&self) -> bool {
        self.any_blocked.load(Ordering::Acquire)
    }

    /// The block of `identity`, while it holds.
    pub(crate) fn block_of(&self, identity: &str, now_us: i64) -> Option<Suspension> {
        let blocked = open(&self.blocked);
        blocked.get(identity).filter(|block| block.holds(now_us)).map(|block| block.rest.clone())
    }

    /// Hosts that messages may not link to here, with the identity and the rest.
    pub(crate) fn blocked_links(&self, now_us: i64) -> Vec<(String, Suspension)> {
        let blocked = open(&self.blocked);
        let links =
            blocked.iter().filter(|(identity, block)| identity.starts_with(LINK) && block.holds(now_us));
        links.map(|(identity, block)| (identity.clone(), block.rest.clone())).collect()
    }

    /// Deliveries that are blocked here now.
    pub(crate) fn blocked_deliveries(&self, now_us: i64) -> HashMap<i64, Suspension> {
        let blocked = open(&self.blocked);
        let held = blocked.iter().filter(|(_, block)| block.holds(now_us));
        held.filter_map(|(identity, block)| {
            Some((identity.strip_prefix("delivery:")?.parse().ok()?, block.rest.clone()))
        })
        .collect()
    }
}

impl Path {
    pub(crate) fn new(source: Arc<Origin>, site: Arc<Site>, shaper: Shaper, in_force: InForce) -> Self {
        Self {
            source,
            site,
            shaper,
            draining: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            keeps: AtomicBool::new(false),
            paced: Paced::default(),
            allowances: Arc::default(),
            warm_rest: AtomicBool::new(false),
            allowed: Mutex::new((-1, i64::MAX)),
            generation: AtomicU64::new(in_force.generation),
            written: Mutex::default(),
            in_force: RwLock::new(in_force),
            members: Mutex::default(),
            turns: Turns::new(|exchange| &exchange.places.path),
        }
    }

    pub(crate) fn in_force(&self) -> InForce {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Of the rules in force: one atomic look.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn set_in_force(&self, in_force: InForce) {
        let generation = in_force.generation;
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = in_force;
        self.generation.store(generation, Ordering::Release);
    }

    /// Takes today's allowance; false when it is the one that holds already.
    pub(crate) fn allows_anew(&self, of: i64, ends_us: i64) -> bool {
        let mut allowed = open(&self.allowed);
        let anew = *allowed != (of, ends_us);
        *allowed = (of, ends_us);
        anew
    }

    /// What a warm-up allows today, of which some may be gone.
    pub(crate) fn allowed(&self) -> Option<u64> {
        u64::try_from(open(&self.allowed).0).ok()
    }

    /// Accepted messages and octets that are not written down yet.
    pub(crate) fn unwritten(&self) -> (i64, i64) {
        let (messages, bytes) = *open(&self.written);
        let total = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        (total(self.shaper.counted().accepted) - messages, total(self.shaper.bytes()) - bytes)
    }

    /// So many were written down.
    pub(crate) fn wrote(&self, messages: i64, bytes: i64) {
        let mut written = open(&self.written);
        *written = (written.0 + messages, written.1 + bytes);
    }

    pub(crate) fn join(&self, exchange: &Arc<Exchange>) {
        let mut members = open(&self.members);
        // Looked through each time that it would grow, so that joining stays cheap for a provider of thousands of hosts.
        if members.len() == members.capacity() {
            members.retain(|member| member.strong_count() > 0);
        }
        members.push(Arc::downgrade(exchange));
    }

    /// Its exchanges.
    pub(crate) fn members(&self) -> Vec<Arc<Exchange>> {
        open(&self.members).iter().filter_map(Weak::upgrade).collect()
    }

    /// True while begun messages end and nothing more begins.
    #[inline]
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire) || self.gone.load(Ordering::Acquire)
    }

    /// True where messages wait for the end of its rest, instead of going by another source.
    pub(crate) fn keeps_waiting(&self) -> bool {
        self.keeps.load(Ordering::Acquire)
    }

    /// Messages that wait in its lines.
    pub(crate) fn waiting(&self) -> usize {
        open(&self.members).iter().filter_map(Weak::upgrade).map(|member| member.waiting()).sum()
    }

    /// Its hosts, as far as messages wait for them.
    pub(crate) fn hosts(&self) -> String {
        let members: Vec<Arc<Exchange>> = open(&self.members).iter().filter_map(Weak::upgrade).collect();
        let mut shown: Vec<String> =
            members.iter().take(HOSTS_SHOWN).map(|one| one.way().key().replace(',', ", ")).collect();
        if members.len() > HOSTS_SHOWN {
            shown.push(format!("and {} more", members.len() - HOSTS_SHOWN));
        }
        shown.join("; ")
    }

    /// The rest of the path, or that of its exchanges when all of them rest.
    pub(crate) fn suspension(&self, now_us: i64) -> Option<Suspension> {
        if let Some(suspension) = self.shaper.suspension(now_us) {
            return Some(suspension);
        }
        let members: Vec<Arc<Exchange>> = open(&self.members).iter().filter_map(Weak::upgrade).collect();
        let rests: Vec<Suspension> =
            members.iter().filter_map(|member| open(&member.rest).suspension(now_us)).collect();
        if rests.is_empty() || rests.len() < members.len() {
            return None;
        }
        rests.into_iter().min_by_key(|rest| rest.until_us.unwrap_or(i64::MAX))
    }
}

impl Exchange {
    pub(crate) fn new(way: Way, path: Arc<Path>) -> Self {
        Self {
            leads: way.leads_somewhere(),
            way: RwLock::new(way),
            path,
            line: Mutex::default(),
            waiting: AtomicUsize::new(0),
            level: AtomicU8::new(0),
            arrived: Notify::new(),
            rest: Mutex::default(),
            resting_us: AtomicI64::new(i64::MIN),
            troubled: AtomicBool::new(false),
            sessions: AtomicUsize::new(0),
            standing: AtomicUsize::new(0),
            failures: AtomicU32::new(0),
            idle: AtomicUsize::new(0),
            places: Places::default(),
        }
    }

    /// True where there is somebody to connect to.
    #[inline]
    pub(crate) fn leads_somewhere(&self) -> bool {
        self.leads
    }

    pub(crate) fn way(&self) -> Way {
        self.way.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a newer answer of the DNS over, for the connections to come.
    pub(crate) fn renew(&self, way: &Way) {
        if *self.way.read().unwrap_or_else(PoisonError::into_inner) != *way {
            self.way.write().unwrap_or_else(PoisonError::into_inner).clone_from(way);
        }
    }

    /// The site's name.
    pub(crate) fn site(&self) -> &Arc<str> {
        &self.path.site.name
    }

    pub(crate) fn put(self: &Arc<Self>, mut load: Load) {
        load.set_line(self);
        let mut line = open(&self.line);
        line.push(load.rank(), load);
        self.publish(&line);
        drop(line);
        self.arrived.notify_one();
    }

    pub(crate) fn put_front(self: &Arc<Self>, mut load: Load) {
        load.set_line(self);
        let mut line = open(&self.line);
        line.push_front(load.rank(), load);
        self.publish(&line);
        drop(line);
        self.arrived.notify_one();
    }

    /// The next message; of the deliveries that are `blocked` none.
    pub(crate) fn pop(&self, blocked: Option<&HashMap<i64, Suspension>>) -> Option<Load> {
        let mut line = open(&self.line);
        let load = match blocked {
            None => line.pop(),
            Some(blocked) => line.pop_unless(|delivery| blocked.contains_key(&delivery)),
        };
        self.publish(&line);
        load
    }

    /// What others read of its line without its lock.
    fn publish(&self, line: &FairQueue<Load>) {
        self.waiting.store(line.len(), Ordering::Release);
        self.level.store(line.top().map_or(0, |rank| rank.priority as u8 + 1), Ordering::Release);
    }

    /// The rank of what goes next.
    pub(crate) fn rank(&self) -> Option<Rank> {
        open(&self.line).top()
    }

    /// The highest priority that waits in its line, from 1; 0: nothing waits.
    #[inline]
    pub(crate) fn level(&self) -> u8 {
        self.level.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    pub(crate) fn take_where(&self, wanted: impl FnMut(&Load) -> bool) -> Vec<Load> {
        if self.waiting() == 0 {
            return Vec::new();
        }
        let mut line = open(&self.line);
        let taken = line.take_where(wanted);
        self.publish(&line);
        taken
    }

    /// Until when neither it nor its path may be spoken to.
    #[inline]
    pub(crate) fn resting_until(&self, now_us: i64) -> Option<i64> {
        let mine = self.resting_us.load(Ordering::Acquire);
        let path = self.path.shaper.resting_until(now_us).unwrap_or(i64::MIN);
        Some(mine.max(path)).filter(|until| *until > now_us)
    }

    /// Until when its hosts may not be spoken to, whatever its path may.
    pub(crate) fn hosts_resting_until(&self, now_us: i64) -> Option<i64> {
        Some(self.resting_us.load(Ordering::Acquire)).filter(|until| *until > now_us)
    }

    /// The same with the reason.
    pub(crate) fn rest(&self, now_us: i64) -> Option<(i64, String)> {
        let until = self.resting_until(now_us)?;
        let mine = open(&self.rest);
        if mine.until(now_us) == Some(until) {
            return Some((until, mine.reason().to_owned()));
        }
        drop(mine);
        Some((until, self.path.shaper.suspension(now_us).map(|rest| rest.reason).unwrap_or_default()))
    }

    /// After a failure until the next success: one connection tries.
    pub(crate) fn probing(&self) -> bool {
        self.troubled.load(Ordering::Acquire) && open(&self.rest).probing()
    }

    fn change(&self, change: impl FnOnce(&mut Rest)) {
        let mut rest = open(&self.rest);
        change(&mut rest);
        self.resting_us.store(rest.until(i64::MIN).unwrap_or(i64::MIN), Ordering::Release);
        self.troubled.store(true, Ordering::Release);
    }

    /// No connection to any host. It rests at once while nothing stands, else after the rule's number of failures in a row.
    pub(crate) fn failed(&self, reason: &str, named_s: Option<u32>, failures_max: u32, now_us: i64) {
        let failures = self.failures.fetch_add(1, Ordering::AcqRel) + 1;
        if named_s.is_some() || failures >= failures_max || self.standing.load(Ordering::Acquire) == 0 {
            self.change(|rest| {
                rest.fail(reason, named_s, now_us);
            });
        }
    }

    /// Rests for a while with a reason that is nobody's failure.
    pub(crate) fn waits(&self, reason: &str, now_us: i64) {
        self.change(|rest| {
            rest.fail(reason, None, now_us);
        });
    }

    /// A host was reached.
    pub(crate) fn reached(&self) {
        self.failures.store(0, Ordering::Release);
    }

    /// What a receiver said about the path, where it is no provider that says it for all its hosts.
    pub(crate) fn suspended(&self, reason: &str, named_s: Option<u32>, now_us: i64) {
        self.change(|rest| {
            rest.fail(reason, named_s, now_us);
        });
    }

    pub(crate) fn broke(&self, reason: &str, now_us: i64) {
        self.change(|rest| rest.broke(reason, now_us));
    }

    /// A receiver answered about a message: the path works. One atomic look while nothing had gone wrong.
    #[inline]
    pub(crate) fn worked(&self, now_us: i64) {
        if self.troubled.load(Ordering::Acquire) {
            let mut rest = open(&self.rest);
            rest.worked(now_us);
            self.resting_us.store(rest.until(i64::MIN).unwrap_or(i64::MIN), Ordering::Release);
            self.troubled.store(rest.probing(), Ordering::Release);
        }
        self.path.shaper.worked(now_us);
    }

    /// Forgets its rest.
    pub(crate) fn lift(&self) {
        self.failures.store(0, Ordering::Release);
        self.change(Rest::lift);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_holds_in_a_panic() {
        let count = AtomicUsize::new(0);
        let panicked = std::panic::catch_unwind(|| {
            let _one = Counted::in_count(&count);
            assert_eq!(count.load(Ordering::Acquire), 1);
            panic!("as a session would");
        });
        assert!(panicked.is_err());
        assert_eq!(count.load(Ordering::Acquire), 0);
    }
}
