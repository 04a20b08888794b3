//! One path's shaping, as the engine holds it: shared by all its connections. Asking and counting for a message are a few
//! atomic numbers; the lock is taken once a second ([`Shaper::tick`]) and when something went wrong.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use routes::SiteRules;
use smtp::{Category, PathAction};

use super::SECOND_US;
use super::bucket::{Bucket, take_all};
use super::control::{Bounds, Control, Learned, is_long};
use super::figures::{Counted, Replies, TopReply, Windows};
use super::rest::{Breaker, Escalation, Rest, Suspension};

/// With so many answers in the last minutes …
const ENOUGH_ANSWERS: u64 = 200;
/// … a smaller share of failures (per thousand) is noise: a large receiver has a bad host at any time.
const NOISE_PER_MILLE: u64 = 5;
/// The share of "not now" for no reason that we know, per cent, that slows a path down …
const DEFERRED_PERCENT: u64 = 30;
/// … and by how much.
const DEFERRED_FACTOR: f64 = 0.7;

/// The key of a warm-up's rest until midnight.
pub const WARM_UP: &str = "warm-up";

/// Limits that hold whatever happens: a rule's rates. Of one path, or of a site over all sources.
#[derive(Debug, Default)]
pub struct Limits {
    messages: Vec<Bucket>,
    connections: Vec<Bucket>,
}

impl Limits {
    /// The rates of a rule. Where the control grows from them, those of a second and a minute are only where it begins.
    #[must_use]
    pub fn of(rules: &SiteRules, bounded: bool) -> Self {
        let grows = rules.adaptive && !bounded;
        let held = rules.message_rates.iter().filter(|rate| !grows || is_long(rate.per));
        Self {
            messages: held.map(|rate| Bucket::of(*rate)).collect(),
            connections: rules.connection_rates.iter().map(|rate| Bucket::of(*rate)).collect(),
        }
    }
}

/// What an answer was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// Taken.
    Accepted,
    /// Not now; `true`: for no reason that is the recipient's.
    Deferred(bool),
    /// Not ever; `true`: for no reason that is the recipient's or the content's.
    Refused(bool),
}

/// One path's shaping.
#[derive(Debug)]
pub struct Shaper {
    /// What the control allows a second.
    pace: Bucket,
    open: AtomicU32,
    connections: AtomicU32,
    messages: AtomicU32,
    /// Messages that a warm-up allows today, less those that were accepted and those under way; `i64::MAX`: no plan.
    allowance: AtomicI64,
    /// Messages begun and not answered yet: they may be accepted, and are reserved.
    under_way: AtomicI64,
    allowance_ends_us: AtomicI64,
    /// Somebody waited for the rate, or for a connection, since the last tick.
    limited: AtomicBool,
    crowded: AtomicBool,
    accepted: AtomicU64,
    deferred: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
    resting_until_us: AtomicI64,
    probing: AtomicBool,
    state: Mutex<State>,
}

/// The key of a time with one connection.
const NARROW: &str = "one connection";

/// What somebody said about a path: it holds until it ends or is taken back, whatever else is said meanwhile.
#[derive(Debug)]
struct Hold {
    /// Whose it is: a verdict's identity and provider, or [`WARM_UP`].
    key: String,
    until_us: Option<i64>,
    what: Held,
}

#[derive(Debug)]
enum Held {
    /// Nothing goes.
    Rest(Suspension),
    /// No more messages a second than this, with the reason.
    Cap(f64, String),
    /// No more than one connection, with the reason.
    One(String),
}

impl Hold {
    fn in_force(&self, now_us: i64) -> bool {
        self.until_us.is_none_or(|until| until > now_us)
    }
}

#[derive(Debug)]
struct State {
    limits: Arc<Limits>,
    control: Control,
    rest: Rest,
    /// A handful at most: of warm-ups and verdicts.
    holds: Vec<Hold>,
    breaker: Breaker,
    escalation: Escalation,
    rolled: Counted,
    /// Made with the first answer: most paths of a long tail have one message.
    heard: Option<Box<Heard>>,
}

#[derive(Debug)]
struct Heard {
    windows: Windows,
    replies: Replies,
    slowed_us: i64,
}

impl Shaper {
    /// The shaping of a path under these rules. `bounded`: see [`Bounds::of`]. `limits` are shared where the rule counts
    /// over all sources.
    #[must_use]
    pub fn new(rules: &SiteRules, bounded: bool, limits: Arc<Limits>, learned: Option<Learned>) -> Self {
        let control = Control::new(Bounds::of(rules, bounded), learned);
        let shaper = Self {
            pace: Bucket::unlimited(),
            open: AtomicU32::new(0),
            connections: AtomicU32::new(0),
            messages: AtomicU32::new(0),
            allowance: AtomicI64::new(i64::MAX),
            under_way: AtomicI64::new(0),
            allowance_ends_us: AtomicI64::new(i64::MAX),
            limited: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            deferred: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            resting_until_us: AtomicI64::new(i64::MIN),
            probing: AtomicBool::new(false),
            state: Mutex::new(State {
                limits,
                control,
                rest: Rest::default(),
                holds: Vec::new(),
                breaker: Breaker::new(rules.breaker_messages, rules.breaker_percent, rules.breaker_s),
                escalation: Escalation::default(),
                rolled: Counted::default(),
                heard: None,
            }),
        };
        shaper.publish(&shaper.state());
        shaper
    }

    /// The same, with limits of its own: for a single path.
    #[must_use]
    pub fn alone(rules: &SiteRules, bounded: bool) -> Self {
        Self::new(rules, bounded, Arc::new(Limits::of(rules, bounded)), None)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the control says, where connections read it.
    fn publish(&self, state: &State) {
        self.pace.set_per_second(state.control.rate().min(state.cap()));
        self.connections.store(state.connections(), Ordering::Relaxed);
        self.messages.store(state.control.messages(), Ordering::Relaxed);
        self.resting_until_us.store(state.resting_until(), Ordering::Release);
        self.probing.store(state.rest.probing(), Ordering::Release);
    }

    /// Other rules from now on.
    pub fn adopt(&self, rules: &SiteRules, bounded: bool, limits: Arc<Limits>) {
        let mut state = self.state();
        state.control.adopt(Bounds::of(rules, bounded));
        let breaker = Breaker::new(rules.breaker_messages, rules.breaker_percent, rules.breaker_s);
        state.breaker.adjust(&breaker);
        state.limits = limits;
        self.publish(&state);
    }

    /// The limits in force, for a connection to hold.
    #[must_use]
    pub fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.state().limits)
    }

    /// May a connection be opened? It counts as open from here on, until [`Shaper::connection_ended`].
    ///
    /// # Errors
    /// When to ask again; `i64::MAX`: when one has ended.
    pub fn begin_connection(&self, limits: &Limits, now_us: i64) -> Result<(), i64> {
        if let Some(until) = self.resting_until(now_us) {
            return Err(until);
        }
        let limit = if self.is_probing() { 1 } else { self.connections_limit() };
        let counted = |open: u32| (open < limit).then_some(open + 1);
        if self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, counted).is_err() {
            self.crowded.store(true, Ordering::Relaxed);
            return Err(i64::MAX);
        }
        if !limits.connections.is_empty()
            && let Err(at) = take_all(limits.connections.iter(), now_us)
        {
            self.open.fetch_sub(1, Ordering::AcqRel);
            return Err(at);
        }
        Ok(())
    }

    /// Every connection that may be open is open. Somebody asks because messages wait.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        let full = self.open() >= self.connections_limit();
        if full && !self.crowded.load(Ordering::Relaxed) {
            self.crowded.store(true, Ordering::Relaxed);
        }
        full
    }

    /// A connection has ended, whatever way.
    pub fn connection_ended(&self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
    }

    /// May a message begin? It counts from here on, until [`Shaper::not_begun`], [`Shaper::accepted`] or
    /// [`Shaper::not_accepted`].
    ///
    /// # Errors
    /// When to ask again.
    #[inline]
    pub fn begin_message(&self, limits: &Limits, now_us: i64) -> Result<(), i64> {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        if self.allowance.load(Ordering::Acquire) != i64::MAX
            && let Err(ends) = self.take_allowance()
        {
            self.under_way.fetch_sub(1, Ordering::AcqRel);
            return Err(ends);
        }
        let taken = if limits.messages.is_empty() {
            self.pace.take(now_us)
        } else {
            self.pace.take(now_us).and_then(|()| {
                take_all(limits.messages.iter(), now_us).inspect_err(|_| self.pace.give_back())
            })
        };
        if taken.is_err() {
            self.limited.store(true, Ordering::Relaxed);
            self.not_accepted();
        }
        taken
    }

    /// What [`Shaper::begin_message`] counted and nothing was sent for.
    pub fn not_begun(&self) {
        self.pace.give_back();
        self.not_accepted();
    }

    /// A message that had begun was accepted, or may have been: it is gone from a warm-up's allowance.
    #[inline]
    pub fn accepted(&self) {
        self.under_way.fetch_sub(1, Ordering::AcqRel);
    }

    /// A message that had begun was not accepted: another one may go in its place, because reputation comes of mail that was
    /// delivered.
    pub fn not_accepted(&self) {
        self.under_way.fetch_sub(1, Ordering::AcqRel);
        let back = |left: i64| (left != i64::MAX).then_some(left.saturating_add(1));
        // Without a plan there is nothing to return.
        let _ = self.allowance.fetch_update(Ordering::AcqRel, Ordering::Acquire, back);
    }

    fn take_allowance(&self) -> Result<(), i64> {
        let one = |left: i64| match left {
            i64::MAX => Some(left),
            left => (left > 0).then(|| left - 1),
        };
        let taken = self.allowance.fetch_update(Ordering::AcqRel, Ordering::Acquire, one);
        taken.map(|_| ()).map_err(|_| self.allowance_ends_us.load(Ordering::Acquire))
    }

    /// A warm-up allows so many acceptances more until `ends_us`, messages under way included; `None`: no plan.
    pub fn allow(&self, left: Option<i64>, ends_us: i64) {
        self.allowance_ends_us.store(ends_us, Ordering::Release);
        let Some(left) = left else { return self.allowance.store(i64::MAX, Ordering::Release) };
        // Nothing begins between the two looks, or it would be in neither.
        self.allowance.store(0, Ordering::Release);
        let under_way = self.under_way.load(Ordering::Acquire);
        self.allowance.store(left.max(0) - under_way, Ordering::Release);
    }

    /// What is left of today's allowance, when a warm-up is under way.
    #[must_use]
    pub fn allowance(&self) -> Option<i64> {
        Some(self.allowance.load(Ordering::Acquire)).filter(|left| *left != i64::MAX).map(|left| left.max(0))
    }

    /// Messages that have begun and have no answer yet.
    #[must_use]
    pub fn under_way(&self) -> i64 {
        self.under_way.load(Ordering::Acquire)
    }

    /// An answer came. Costs one atomic addition, or two.
    #[inline]
    pub fn answered(&self, what: Answered, bytes: u64) {
        let (total, failed) = match what {
            Answered::Accepted => (&self.accepted, false),
            Answered::Deferred(failed) => (&self.deferred, failed),
            Answered::Refused(failed) => (&self.refused, failed),
        };
        total.fetch_add(1, Ordering::Relaxed);
        if bytes > 0 {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        if failed {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A receiver answered about a message: the path works.
    #[inline]
    pub fn worked(&self, now_us: i64) {
        if self.is_probing() && self.resting_until(now_us).is_none() {
            let mut state = self.state();
            state.rest.worked(now_us);
            self.publish(&state);
        }
    }

    /// The words of an answer that was no "yes", normalised, with its code (0: there was no reply) and what kind it is of.
    pub fn heard(&self, text: &str, what: (u16, Category), now_us: i64) {
        self.state().heard().replies.add(text, what, now_us);
    }

    /// What the receiver said about the path. `seen`: messages begun on that connection. Answers the rest that this began.
    pub fn pushed_back(&self, action: PathAction, words: &str, seen: u32, now_us: i64) -> Option<Suspension> {
        let mut state = self.state();
        self.roll(&mut state, now_us);
        let offered = state.heard().windows.offered_per_second(now_us);
        let noise = state.is_noise(now_us);
        let mut begun = false;
        let action = match action {
            PathAction::Suspend { after_s: None } | PathAction::Slow { .. } if noise => PathAction::None,
            action => state.waiting(action, words, now_us),
        };
        match action {
            PathAction::Suspend { after_s } => {
                state.control.cut(0.5, after_s, offered, words, now_us);
                begun = state.rest.fail(words, after_s, now_us);
            }
            PathAction::Slow { factor_percent, after_s, one_connection } => {
                state.control.cut(f64::from(factor_percent) / 100.0, after_s, offered, words, now_us);
                if let Some(seconds) = after_s.filter(|_| one_connection) {
                    state.narrow(seconds, words, now_us);
                }
            }
            PathAction::FewerConnections => {
                let open = self.open.load(Ordering::Acquire);
                state.control.fewer_connections(open, words, now_us);
            }
            PathAction::FewerMessages => state.control.fewer_messages(seen, now_us),
            PathAction::None | PathAction::SecureOnly => {}
        }
        self.publish(&state);
        begun.then(|| state.rest.suspension(now_us)).flatten()
    }

    /// Rests because another node, or this one before a restart, found that the path does not work. As a rest of its own: the
    /// first success ends the story.
    pub fn suspend(&self, suspension: &Suspension) {
        let mut state = self.state();
        state.rest.put(suspension);
        self.publish(&state);
    }

    /// Rests because of `key`, until its end or until that is released. Rests of other keys, and those that the path began
    /// itself, go on beside it.
    pub fn hold(&self, key: &str, suspension: &Suspension) {
        let (until_us, what) = (suspension.until_us, Held::Rest(suspension.clone()));
        self.put_hold(Hold { key: key.to_owned(), until_us, what });
    }

    /// Goes on at so many per cent of its rate, or of what is sent now where it has none, because of `key`; until its end or
    /// until that is released.
    pub fn slow(&self, key: &str, percent: u8, reason: &str, until_us: Option<i64>, now_us: i64) {
        self.release(key);
        let offered = {
            let mut state = self.state();
            self.roll(&mut state, now_us);
            state.heard().windows.offered_per_second(now_us).max(1.0)
        };
        let cap = self.rate().unwrap_or(offered) * f64::from(percent) / 100.0;
        let what = Held::Cap(cap, reason.to_owned());
        self.put_hold(Hold { key: key.to_owned(), until_us, what });
    }

    fn put_hold(&self, hold: Hold) {
        let mut state = self.state();
        state.holds.retain(|old| old.key != hold.key);
        state.holds.push(hold);
        self.publish(&state);
    }

    /// What `key` said no longer holds; everything else does.
    pub fn release(&self, key: &str) {
        let mut state = self.state();
        state.holds.retain(|hold| hold.key != key);
        self.publish(&state);
    }

    /// Ends the rest that the path began itself.
    pub fn resume(&self) {
        let mut state = self.state();
        state.rest.lift();
        state.holds.retain(|hold| hold.key != NARROW);
        self.publish(&state);
    }

    /// Forgets what was learned; the rule holds again.
    pub fn forget(&self, rules: &SiteRules, bounded: bool) {
        let mut state = self.state();
        state.control = Control::new(Bounds::of(rules, bounded), None);
        state.holds.retain(|hold| hold.key != NARROW);
        self.publish(&state);
    }

    /// Once a second: counts what came, moves the control up, opens the breaker. Answers the rest that the breaker began.
    pub fn tick(&self, now_us: i64) -> Option<Suspension> {
        if self.counted() == Counted::default() {
            return None;
        }
        let mut state = self.state();
        state.holds.retain(|hold| hold.in_force(now_us));
        let new = self.roll(&mut state, now_us);
        let (limited, crowded) =
            (self.limited.swap(false, Ordering::Relaxed), self.crowded.swap(false, Ordering::Relaxed));
        state.control.accepted(new.accepted, limited, crowded, now_us);
        state.slow_down(new, now_us);
        let opened = match state.breaker.count(new.answers(), new.failed.min(new.answers())) {
            Some(percent) => {
                let words = format!("{percent} % of the last answers were failures of the path");
                // Bounded by the rule: at most a week.
                let seconds = u32::try_from(state.breaker.open.as_secs()).unwrap_or(u32::MAX);
                state.rest.fail(&words, Some(seconds), now_us)
            }
            None => false,
        };
        self.publish(&state);
        opened.then(|| state.rest.suspension(now_us)).flatten()
    }

    /// Moves the totals into the windows; answers what was new.
    fn roll(&self, state: &mut State, now_us: i64) -> Counted {
        let total = self.counted();
        let new = total.since(state.rolled);
        state.rolled = total;
        if new != Counted::default() {
            state.heard().windows.add(new, now_us);
        }
        new
    }

    /// Totals since the start.
    #[must_use]
    pub fn counted(&self) -> Counted {
        Counted {
            accepted: self.accepted.load(Ordering::Relaxed),
            deferred: self.deferred.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// Octets accepted since the start.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Open connections.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Acquire)
    }

    /// Connections that may be open now.
    #[must_use]
    pub fn connections_limit(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Messages that one connection may carry now.
    #[must_use]
    pub fn messages_limit(&self) -> u32 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Until when it rests.
    #[inline]
    #[must_use]
    pub fn resting_until(&self, now_us: i64) -> Option<i64> {
        Some(self.resting_until_us.load(Ordering::Acquire)).filter(|until| *until > now_us)
    }

    /// The rest, in words.
    #[must_use]
    pub fn suspension(&self, now_us: i64) -> Option<Suspension> {
        let state = self.state();
        let held =
            state.holds.iter().filter(|hold| hold.in_force(now_us)).filter_map(|hold| match &hold.what {
                Held::Rest(rest) => Some(rest.clone()),
                Held::Cap(..) | Held::One(_) => None,
            });
        // Where several rest it, the one that ends last is why.
        held.chain(state.rest.suspension(now_us)).max_by_key(|rest| rest.until_us.unwrap_or(i64::MAX))
    }

    /// After a rest until the next success: one connection tries.
    #[inline]
    #[must_use]
    pub fn is_probing(&self) -> bool {
        self.probing.load(Ordering::Acquire)
    }

    /// When the next message could begin by the rate.
    #[must_use]
    pub fn next_at(&self, limits: &Limits, now_us: i64) -> i64 {
        let held = limits.messages.iter().map(|bucket| bucket.ready_at(now_us)).max().unwrap_or(now_us);
        held.max(self.pace.ready_at(now_us))
    }

    /// By the rates of connections one more could be opened now.
    #[inline]
    #[must_use]
    pub fn may_connect(&self, limits: &Limits, now_us: i64) -> bool {
        limits.connections.iter().all(|bucket| bucket.ready_at(now_us) <= now_us)
    }

    /// Messages a second that are allowed now; `None`: no limit.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        let state = self.state();
        let held = state.limits.messages.iter().map(Bucket::per_second).fold(f64::INFINITY, f64::min);
        Some(held.min(state.control.rate()).min(state.cap())).filter(|rate| rate.is_finite())
    }

    /// Why not faster, and why not over more connections; empty: the rule says so.
    #[must_use]
    pub fn reasons(&self) -> (String, String) {
        let state = self.state();
        let capped = state.holds.iter().find_map(|hold| match &hold.what {
            Held::Cap(cap, why) if *cap < state.control.rate() => Some(why.clone()),
            _ => None,
        });
        let why = capped.unwrap_or_else(|| state.control.rate_why().to_owned());
        let narrowed = state.holds.iter().find_map(|hold| match &hold.what {
            Held::One(why) => Some(why.clone()),
            _ => None,
        });
        (why, narrowed.unwrap_or_else(|| state.control.connections_why().to_owned()))
    }

    /// Accepted a second lately, and the answers of the last minutes.
    #[must_use]
    pub fn lately(&self, now_us: i64) -> (f64, Counted) {
        match &self.state().heard {
            Some(heard) => (heard.windows.accepted_per_second(now_us), heard.windows.minutes(now_us)),
            None => (0.0, Counted::default()),
        }
    }

    /// What the receiver says most, the most frequent first.
    #[must_use]
    pub fn top_replies(&self) -> Vec<TopReply> {
        self.state().heard.as_ref().map(|heard| heard.replies.top()).unwrap_or_default()
    }

    /// What is worth remembering over a restart.
    #[must_use]
    pub fn learned(&self) -> Option<Learned> {
        self.state().control.learned()
    }

    /// Nothing would be lost with it: no connection, no rest, nothing learned.
    #[must_use]
    pub fn is_plain(&self, now_us: i64) -> bool {
        self.open() == 0
            && self.resting_until(now_us).is_none()
            && !self.is_probing()
            && self.state().holds.is_empty()
            && self.state().control.learned().is_none()
    }
}

impl State {
    /// Messages a second that somebody bound it to; infinity: nobody did.
    fn cap(&self) -> f64 {
        let caps = self.holds.iter().filter_map(|hold| match hold.what {
            Held::Cap(cap, _) => Some(cap),
            Held::Rest(_) | Held::One(_) => None,
        });
        caps.fold(f64::INFINITY, f64::min)
    }

    /// Connections that are allowed now.
    fn connections(&self) -> u32 {
        let narrowed = self.holds.iter().any(|hold| matches!(hold.what, Held::One(_)));
        if narrowed { 1 } else { self.control.connections() }
    }

    /// At most one connection for so long: the receiver complains of how much comes at once from one address.
    fn narrow(&mut self, seconds: u32, words: &str, now_us: i64) {
        if !self.control.is_adaptive() {
            return;
        }
        self.holds.retain(|old| old.key != NARROW);
        self.holds.push(Hold {
            key: NARROW.to_owned(),
            until_us: Some(now_us + i64::from(seconds) * SECOND_US),
            what: Held::One(format!("one connection after: {words}")),
        });
    }

    /// The end of the longest rest, whether it is over or not.
    fn resting_until(&self) -> i64 {
        let held = self.holds.iter().filter(|hold| matches!(hold.what, Held::Rest(_)));
        let held = held.map(|hold| hold.until_us.unwrap_or(i64::MAX)).max().unwrap_or(i64::MIN);
        held.max(self.rest.until(i64::MIN).unwrap_or(i64::MIN))
    }

    /// The action with the wait that it has this time: what the receiver names holds to the second, and so does a rule for a
    /// "not ever"; the wait of a rule for a "not now" is reached by and by.
    fn waiting(&mut self, action: PathAction, words: &str, now_us: i64) -> PathAction {
        let by_rule = words.starts_with('4') && smtp::named_delay(words).is_none();
        match action {
            PathAction::Suspend { after_s: Some(rule_s) } if by_rule => {
                // Other connections hear the same while it rests already.
                let resting = self.rest.until(now_us).is_some();
                let after_s = if resting { None } else { Some(self.escalation.next(rule_s, now_us)) };
                PathAction::Suspend { after_s }
            }
            PathAction::Slow { factor_percent, after_s: Some(rule_s), one_connection } if by_rule => {
                let after_s = (!self.control.reacts(now_us)).then(|| self.escalation.next(rule_s, now_us));
                PathAction::Slow { factor_percent, after_s, one_connection }
            }
            action => action,
        }
    }

    fn heard(&mut self) -> &mut Heard {
        self.heard.get_or_insert_with(|| {
            Box::new(Heard { windows: Windows::new(), replies: Replies::default(), slowed_us: i64::MIN })
        })
    }

    /// One bad answer among thousands says nothing about the path.
    fn is_noise(&mut self, now_us: i64) -> bool {
        let lately = self.heard().windows.minutes(now_us);
        lately.answers() >= ENOUGH_ANSWERS && lately.failed * 1_000 < lately.answers() * NOISE_PER_MILLE
    }

    /// A large share of "not now" that no rule explains is push-back too, once a minute.
    fn slow_down(&mut self, new: Counted, now_us: i64) {
        if new.deferred == 0 {
            return;
        }
        let lately = self.heard().windows.minutes(now_us);
        // Refusals for good are among the failures, and not what this is about.
        let unexplained = lately.failed.saturating_sub(lately.refused).min(lately.deferred);
        if lately.answers() < ENOUGH_ANSWERS / 4
            || unexplained * 100 < lately.answers() * DEFERRED_PERCENT
            || now_us < self.heard().slowed_us.saturating_add(60 * SECOND_US)
        {
            return;
        }
        self.heard().slowed_us = now_us;
        let offered = self.heard().windows.offered_per_second(now_us);
        let words = format!("{} % of the answers were \"not now\"", unexplained * 100 / lately.answers());
        self.control.cut(DEFERRED_FACTOR, None, offered, &words, now_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(change: impl FnOnce(&mut SiteRules)) -> SiteRules {
        let mut rules = SiteRules { connections: 4, messages_per_connection: 50, ..SiteRules::default() };
        change(&mut rules);
        rules
    }

    fn accept(shaper: &Shaper, count: usize) {
        (0..count).for_each(|_| shaper.answered(Answered::Accepted, 100));
    }

    #[test]
    fn connections_are_counted_in_one_step_and_the_rate_of_new_ones_holds() {
        let rules = rules(|r| r.connection_rates = vec!["2/min".parse().unwrap()]);
        let shaper = Shaper::alone(&rules, true);
        let limits = shaper.limits();
        assert_eq!(shaper.begin_connection(&limits, 0), Ok(()));
        assert_eq!(shaper.begin_connection(&limits, 0), Err(30 * SECOND_US));
        assert_eq!(shaper.open(), 1);
        for at in [30, 60, 90] {
            assert_eq!(shaper.begin_connection(&limits, at * SECOND_US), Ok(()));
        }
        assert_eq!(shaper.begin_connection(&limits, 900 * SECOND_US), Err(i64::MAX));
        shaper.connection_ended();
        assert_eq!(shaper.begin_connection(&limits, 900 * SECOND_US), Ok(()));
    }

    #[test]
    fn a_named_suspension_rests_then_one_connection_tries_at_half_the_rate() {
        let shaper = Shaper::alone(&rules(|_| ()), true);
        let limits = shaper.limits();
        for second in 0..10 {
            accept(&shaper, 20);
            shaper.tick(second * SECOND_US);
        }
        let now = 10 * SECOND_US;
        let words = "421 4.7.0 try again in 2 hours";
        let begun = shaper.pushed_back(PathAction::Suspend { after_s: Some(7_200) }, words, 3, now);
        assert_eq!(begun.unwrap().until_us, Some(now + 7_200 * SECOND_US));
        assert_eq!(
            shaper.pushed_back(PathAction::Suspend { after_s: Some(60) }, "421 [TSS04]", 3, now),
            None
        );
        assert_eq!(shaper.begin_connection(&limits, now), Err(now + 7_200 * SECOND_US));
        let later = now + 7_200 * SECOND_US;
        assert_eq!(shaper.begin_connection(&limits, later), Ok(()));
        assert_eq!(shaper.begin_connection(&limits, later), Err(i64::MAX), "one tries");
        assert!((9.0..=11.0).contains(&shaper.rate().unwrap()), "{:?}", shaper.rate());
        shaper.worked(later + 1);
        assert_eq!(shaper.begin_connection(&limits, later + 1), Ok(()));
    }

    #[test]
    fn a_rules_wait_is_reached_by_and_by_and_that_of_a_block_at_once() {
        let wait = |words: &str| {
            let shaper = Shaper::alone(&rules(|_| ()), true);
            shaper.pushed_back(PathAction::Suspend { after_s: Some(7_200) }, words, 1, 0);
            shaper.resting_until(0).unwrap() / SECOND_US
        };
        assert_eq!(wait("421 4.7.0 [TSS04] temporarily deferred"), 600);
        assert_eq!(wait("550 5.7.1 on our block list (S3150)"), 7_200);
        assert_eq!(wait("421 4.7.0 try again in 2 hours"), 7_200);
    }

    #[test]
    fn one_421_in_a_thousand_is_noise_and_a_named_one_is_not() {
        let shaper = Shaper::alone(&rules(|_| ()), true);
        accept(&shaper, 1_000);
        shaper.answered(Answered::Deferred(true), 0);
        shaper.pushed_back(PathAction::Suspend { after_s: None }, "421 4.3.2 bad host", 1, SECOND_US);
        assert_eq!((shaper.resting_until(SECOND_US), shaper.rate()), (None, None));
        shaper.pushed_back(
            PathAction::Suspend { after_s: Some(600) },
            "421 try again in 10 minutes",
            1,
            SECOND_US,
        );
        assert!(shaper.resting_until(SECOND_US).is_some());
    }

    #[test]
    fn unexplained_deferrals_slow_a_path_and_recipients_own_do_not() {
        for (of_path, slower) in [(true, true), (false, false)] {
            let shaper = Shaper::alone(&rules(|_| ()), true);
            for second in 0..30 {
                (0..10).for_each(|_| shaper.answered(Answered::Deferred(of_path), 0));
                accept(&shaper, 10);
                shaper.tick(second * SECOND_US);
            }
            assert_eq!(shaper.rate().is_some(), slower, "{of_path}");
        }
    }

    #[test]
    fn the_breaker_opens_for_hours_when_almost_nothing_gets_through() {
        let shaper = Shaper::alone(&rules(|r| r.adaptive = false), true);
        (0..400).for_each(|_| shaper.answered(Answered::Refused(true), 0));
        let opened = shaper.tick(SECOND_US).unwrap();
        assert_eq!(opened.until_us, Some(SECOND_US + 10_800 * SECOND_US));
        assert!(opened.reason.contains("100 %"));
    }

    #[test]
    fn a_warm_up_ends_for_today_to_the_message() {
        let shaper = Shaper::alone(&rules(|_| ()), true);
        let limits = shaper.limits();
        shaper.allow(Some(50), 86_400 * SECOND_US);
        let begun = (0..80).filter(|_| shaper.begin_message(&limits, 5).is_ok()).count();
        assert_eq!((begun, shaper.allowance()), (50, Some(0)));
        assert_eq!(shaper.begin_message(&limits, 5), Err(86_400 * SECOND_US));
        shaper.not_begun();
        assert_eq!(shaper.begin_message(&limits, 5), Ok(()));
        shaper.allow(None, 0);
        assert!((0..1_000).all(|_| shaper.begin_message(&limits, 6).is_ok()));
    }

    #[test]
    fn a_warm_up_counts_what_was_accepted_and_reserves_what_is_under_way() {
        let shaper = Shaper::alone(&rules(|_| ()), true);
        let limits = shaper.limits();
        shaper.allow(Some(3), 86_400 * SECOND_US);
        let begin = || shaper.begin_message(&limits, 5).is_ok();
        assert!(begin() && begin() && begin() && !begin(), "three are under way");
        shaper.not_accepted();
        assert!(begin() && !begin(), "one was greylisted");
        (0..3).for_each(|_| shaper.accepted());
        assert!(!begin() && shaper.allowance() == Some(0) && shaper.under_way() == 0);
        // Midnight with two under way: they will count as tomorrow's.
        shaper.allow(Some(2), 86_400 * SECOND_US);
        assert!(begin() && begin());
        shaper.allow(Some(10), 2 * 86_400 * SECOND_US);
        assert_eq!(shaper.allowance(), Some(8));
        shaper.not_accepted();
        shaper.accepted();
        assert_eq!((shaper.allowance(), shaper.under_way()), (Some(9), 0));
    }

    #[test]
    fn whoever_suspends_ends_only_what_he_began() {
        let shaper = Shaper::alone(&rules(|_| ()), true);
        let rest =
            |until_us, by: &str| Suspension { until_us, reason: format!("{by} said so"), by: by.into() };
        shaper.hold("site:google|", &rest(None, "ann"));
        shaper.hold(WARM_UP, &rest(Some(100), ""));
        shaper.pushed_back(
            PathAction::Suspend { after_s: Some(7_200) },
            "421 4.7.0 try again in 2 hours",
            1,
            0,
        );
        shaper.release(WARM_UP);
        assert_eq!(
            shaper.suspension(0).unwrap().by,
            "ann",
            "midnight ends a warm-up's rest and nothing else"
        );
        shaper.hold("source:default|google", &rest(Some(50), "bob"));
        shaper.release("site:google|");
        let left = shaper.suspension(0).unwrap();
        assert_eq!(left.until_us, Some(7_200 * SECOND_US), "what the receiver said holds");
        shaper.resume();
        assert_eq!(shaper.suspension(0).unwrap().by, "bob");
        assert_eq!(
            (shaper.resting_until(49), shaper.resting_until(50)),
            (Some(50), None),
            "and ends by itself"
        );
    }

    #[test]
    fn slow_is_a_cap_that_ends_with_whoever_put_it() {
        for adaptive in [true, false] {
            let shaper = Shaper::alone(
                &rules(|r| {
                    r.adaptive = adaptive;
                    r.message_rates = vec!["40/s".parse().unwrap()];
                }),
                true,
            );
            let full = shaper.rate().unwrap();
            shaper.slow("source:default|google", 25, "a question", None, 0);
            assert!((shaper.rate().unwrap() - full / 4.0).abs() < 1e-6, "{:?}", shaper.rate());
            assert_eq!(shaper.reasons().0, "a question");
            shaper.slow("site:google|", 50, "for a while", Some(10 * SECOND_US), 0);
            assert!((shaper.rate().unwrap() - full / 8.0).abs() < 1e-6, "of what it may now");
            accept(&shaper, 1);
            shaper.tick(11 * SECOND_US);
            assert!((shaper.rate().unwrap() - full / 4.0).abs() < 1e-6, "the second is over");
            shaper.release("source:default|google");
            assert!((shaper.rate().unwrap() - full).abs() < 1e-6);
        }
    }

    #[test]
    fn rules_change_under_way() {
        let slow = rules(|r| r.message_rates = vec!["60/min".parse().unwrap()]);
        let shaper = Shaper::alone(&slow, true);
        let limits = shaper.limits();
        assert_eq!((shaper.rate(), shaper.begin_message(&limits, 0)), (Some(1.0), Ok(())));
        assert_eq!(shaper.begin_message(&limits, 1), Err(SECOND_US));
        let free = rules(|r| r.connections = 7);
        shaper.adopt(&free, true, Arc::new(Limits::of(&free, true)));
        let limits = shaper.limits();
        assert_eq!((shaper.rate(), shaper.connections_limit()), (None, 7));
        assert!((0..9).all(|_| shaper.begin_message(&limits, 1).is_ok()));
    }

    #[test]
    fn an_unknown_site_keeps_its_daily_limit_while_it_grows() {
        let rules = rules(|r| {
            r.connections = 2;
            r.message_rates = vec!["2/s".parse().unwrap(), "1000/d".parse().unwrap()];
        });
        let shaper = Shaper::alone(&rules, false);
        let limits = shaper.limits();
        assert_eq!(shaper.begin_message(&limits, 0), Ok(()));
        assert_eq!(shaper.begin_message(&limits, 600_000).map_err(|at| at > 80 * SECOND_US), Err(true));
        accept(&shaper, 500);
        shaper.tick(SECOND_US);
        assert_eq!(shaper.connections_limit(), 4);
        assert!(shaper.rate().unwrap() < 1.0, "the day's limit binds");
    }

    #[test]
    fn too_much_from_one_address_is_half_the_rate_over_one_connection_while_it_lasts() {
        let shaper = Shaper::alone(&rules(|_| ()), true);
        for second in 0..10 {
            accept(&shaper, 15);
            shaper.tick(second * SECOND_US);
        }
        let said = |words: &str, after_s, now_us| {
            let slower = PathAction::Slow { factor_percent: 50, after_s, one_connection: true };
            assert_eq!(shaper.pushed_back(slower, words, 3, now_us), None, "the path does not rest");
        };
        let now = 10 * SECOND_US;
        said("421 4.7.28 unusual rate", Some(1_800), now);
        let rate = shaper.rate().unwrap();
        assert!((5.0..11.0).contains(&rate), "{rate}");
        assert_eq!(shaper.connections_limit(), 1);
        assert!(shaper.reasons().1.contains("unusual rate"), "{:?}", shaper.reasons());
        // Said again about what was under way: neither cut again nor prolonged.
        said("421 4.7.28 unusual rate", Some(1_800), now + SECOND_US);
        assert_eq!(shaper.rate(), Some(rate));
        for second in (11..609).step_by(10) {
            accept(&shaper, 1);
            shaper.tick(second * SECOND_US);
        }
        assert_eq!(shaper.connections_limit(), 1, "ten minutes the first time");
        accept(&shaper, 1);
        shaper.tick(611 * SECOND_US);
        assert_eq!((shaper.connections_limit(), shaper.reasons().1.as_str()), (4, ""));
        // A "not ever" has the rule's time.
        said("550 5.7.28 unusual rate", Some(1_800), 700 * SECOND_US);
        accept(&shaper, 1);
        shaper.tick(2_400 * SECOND_US);
        assert_eq!(shaper.connections_limit(), 1);
        shaper.resume();
        assert_eq!(shaper.connections_limit(), 4, "an operator's word ends it");
    }
}
