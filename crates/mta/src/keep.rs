//! What outlives the engine and what all nodes share, kept in the rooms of `routes`: rules that change, learned limits,
//! messages of each day, verdicts. One task follows and writes; connections never wait for it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use routes::{Routes, Verdict, Volume, WarmUp, day_of};

use crate::config::{SAVE, us};
use crate::engine::Shared;
use crate::exchange::Path;
use crate::shape::{Learned, Suspension};

/// How often verdicts are read: one that another node or a person puts acts within this time.
const LOOK_US: i64 = 1_000_000;
/// Days of volumes that warm-up plans look back on.
const DAYS_BACK: i64 = 62;
/// Verdicts waiting to be written; more are dropped, and found again by the next answer of their kind.
const VERDICTS_WAITING_MAX: usize = 1_000;
/// Paths of which what was learned is kept in memory, as many as the database keeps.
const LEARNED_KEPT: usize = 50_000;
const DAY_US: i64 = 86_400 * 1_000_000;
/// The site under which the volumes of all unknown sites stand.
const OTHER_SITE: &str = "other";

/// Source and site.
type Key = (Arc<str>, Arc<str>);

/// What is remembered in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    learned: Mutex<HashMap<(String, String), Learned>>,
    /// Sites that take mail over TLS only, as they said to some source.
    secure_only: Mutex<HashSet<String>>,
    /// Messages by day, as far as they are written down.
    sent: Mutex<HashMap<Key, HashMap<i64, i64>>>,
    verdicts: Mutex<Vec<Verdict>>,
    /// Verdicts of ours that are not written yet.
    new: Mutex<Vec<Verdict>>,
}

/// What a warm-up allows today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Messages left; `None`: the plan is over.
    pub left: Option<i64>,
    /// Of so many; -1: no limit.
    pub of: i64,
    /// The next day begins (UTC microseconds).
    pub ends_us: i64,
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(path: &Path) -> Key {
    (Arc::clone(&path.source.name), Arc::clone(&path.site.name))
}

impl Memory {
    /// What was learned of a path before.
    pub(crate) fn learned(&self, source: &str, site: &str) -> Option<Learned> {
        open(&self.learned).get(&(source.to_owned(), site.to_owned())).copied()
    }

    /// True where a site said before that it takes mail over TLS only.
    pub(crate) fn demands_tls(&self, site: &str) -> bool {
        open(&self.secure_only).contains(site)
    }

    pub(crate) fn forget(&self, source: &str, site: &str) {
        open(&self.learned).remove(&(source.to_owned(), site.to_owned()));
    }

    /// What a plan allows today, less what was sent.
    pub(crate) fn allowance(&self, plan: &WarmUp, path: &Path, now_us: i64) -> Allowance {
        let day = day_of(now_us);
        let sent = open(&self.sent);
        let days = sent.get(&key(path));
        let used: Vec<i64> = days.map(|days| days.keys().copied().collect()).unwrap_or_default();
        let today = days.and_then(|days| days.get(&day)).copied().unwrap_or(0) + path.unwritten().0;
        let allowed = plan.allowance(day, &used).map(|of| i64::try_from(of).unwrap_or(i64::MAX));
        Allowance {
            left: allowed.map(|of| (of - today).max(0)),
            of: allowed.unwrap_or(-1),
            ends_us: (day + 1) * DAY_US,
        }
    }

    /// Lets the verdicts in force act on a path that is new.
    pub(crate) fn judge(&self, path: &Path, now_us: i64) {
        for verdict in open(&self.verdicts).iter().filter(|verdict| verdict.holds(now_us)) {
            apply(verdict, path, now_us);
        }
    }

    /// Whether a verdict in force wants the path empty.
    pub(crate) fn drains(&self, path: &Path, now_us: i64) -> bool {
        open(&self.verdicts).iter().any(|verdict| {
            verdict.action == routes::Action::Drain && verdict.holds(now_us) && is_about(verdict, path)
        })
    }

    /// A verdict of ours: it acts already, and is written within a second.
    pub(crate) fn put(&self, verdict: Verdict) {
        let mut new = open(&self.new);
        if new.len() < VERDICTS_WAITING_MAX {
            new.push(verdict);
        }
    }

    /// A verdict that is written already: paths that are made from here on know it.
    pub(crate) fn learn(&self, verdict: Verdict) {
        let mut known = open(&self.verdicts);
        known.retain(|old| old.identity != verdict.identity || old.provider != verdict.provider);
        known.push(verdict);
    }

    /// A verdict that was lifted.
    pub(crate) fn unlearn(&self, verdict: &Verdict) {
        open(&self.verdicts)
            .retain(|old| old.identity != verdict.identity || old.provider != verdict.provider);
    }

    /// Takes the verdicts in force as read; answers those that are new and those that were lifted.
    fn replace_verdicts(&self, read: Vec<Verdict>, now_us: i64) -> (Vec<Verdict>, Vec<Verdict>) {
        let mut known = open(&self.verdicts);
        let ours: HashSet<(String, String)> =
            open(&self.new).iter().map(|v| (v.identity.clone(), v.provider.clone())).collect();
        let same = |a: &Verdict, b: &Verdict| a.identity == b.identity && a.provider == b.provider;
        let lifted = known
            .iter()
            .filter(|old| old.holds(now_us) && !read.iter().any(|new| same(old, new)))
            .filter(|old| !ours.contains(&(old.identity.clone(), old.provider.clone())))
            .cloned()
            .collect();
        let new = read.iter().filter(|new| !known.contains(new)).cloned().collect();
        *known = read;
        (new, lifted)
    }
}

/// The verdict's suspension.
fn suspension(verdict: &Verdict) -> Suspension {
    Suspension { until_us: verdict.until_us, reason: verdict.reason.clone(), by: verdict.by.clone() }
}

/// True when a verdict is about this path as a whole.
fn is_about(verdict: &Verdict, path: &Path) -> bool {
    let (kind, name) = verdict.identity.split_once(':').unwrap_or_default();
    let at_site = verdict.provider.is_empty() || *verdict.provider == *path.site.name;
    match kind {
        "source" => *name == *path.source.name && at_site,
        "site" => *name == *path.site.name && at_site,
        _ => false,
    }
}

/// Lets a verdict act on a path, or on what may not go there.
fn apply(verdict: &Verdict, path: &Path, now_us: i64) {
    let (kind, _) = verdict.identity.split_once(':').unwrap_or_default();
    if is_about(verdict, path) {
        match verdict.action {
            // An engine's verdict is a rest that the path would have begun itself.
            routes::Action::Suspend if verdict.by.is_empty() => path.shaper.suspend(&suspension(verdict)),
            routes::Action::Suspend => path.shaper.hold(&key_of(verdict), &suspension(verdict)),
            routes::Action::Drain => {
                path.shaper.release(&key_of(verdict));
                path.draining.store(true, Ordering::Release);
            }
            routes::Action::Slow(percent) => {
                path.shaper.slow(&key_of(verdict), percent, &verdict.reason, verdict.until_us, now_us);
            }
        }
    } else if matches!(kind, "delivery" | "domain" | "url")
        && (verdict.provider.is_empty() || *verdict.provider == *path.site.name)
    {
        path.site.block(&verdict.identity, suspension(verdict));
    }
}

/// What a verdict holds a path by.
pub(crate) fn key_of(verdict: &Verdict) -> String {
    format!("{}|{}", verdict.identity, verdict.provider)
}

/// A verdict no longer holds, and is no longer among those of `memory`. What others hold goes on.
pub(crate) fn lift(memory: &Memory, verdict: &Verdict, path: &Path, now_us: i64) {
    if is_about(verdict, path) {
        match verdict.action {
            routes::Action::Drain => path.draining.store(memory.drains(path, now_us), Ordering::Release),
            routes::Action::Suspend if verdict.by.is_empty() => path.shaper.resume(),
            routes::Action::Suspend | routes::Action::Slow(_) => path.shaper.release(&key_of(verdict)),
        }
    } else if verdict.provider.is_empty() || *verdict.provider == *path.site.name {
        path.site.unblock(&verdict.identity);
    }
}

/// Follows and writes until the engine ends, and once more then.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    routes: Routes,
    saved_us: i64,
    day: i64,
    saved: HashMap<Key, (Learned, bool)>,
}

impl Keeper {
    /// Reads what is remembered; the engine begins after that.
    pub(crate) async fn begin(shared: Arc<Shared>, routes: Routes) -> Self {
        let now = shared.world.now_us();
        let mut keeper = Self { shared, routes, saved_us: now, day: day_of(now), saved: HashMap::new() };
        if let Err(error) = keeper.read(now).await {
            tracing::warn!(%error, "what was learned of receivers could not be read; every path begins by its rule");
        }
        keeper
    }

    async fn read(&mut self, now: i64) -> routes::Result<()> {
        let memory = &self.shared.memory;
        let learned = self.routes.learned(now).await?;
        let secure_only = learned.iter().filter(|one| one.secure_only).map(|one| one.site.clone());
        open(&memory.secure_only).extend(secure_only);
        open(&memory.learned).extend(
            learned.into_iter().map(|one| {
                ((one.source, one.site), Learned { rate: one.rate, connections: one.connections })
            }),
        );
        for volume in self.routes.volumes(day_of(now) - DAYS_BACK).await? {
            let key = (volume.source.into(), volume.site.into());
            open(&memory.sent).entry(key).or_default().insert(volume.day, volume.messages);
        }
        self.recount(now).await?;
        *open(&memory.verdicts) = self.routes.verdicts(now).await?;
        Ok(())
    }

    /// What was accepted today and was not written down before a crash counts all the same, where a warm-up asks: volumes are
    /// written each few seconds, outcomes at once.
    async fn recount(&self, now: i64) -> routes::Result<()> {
        let (rules, day) = (self.routes.rules(), day_of(now));
        if rules.warm_ups.is_empty() {
            return Ok(());
        }
        let counted = match self.shared.queue.accepted_since(day * DAY_US).await {
            Ok(counted) => counted,
            Err(error) => {
                tracing::warn!(%error, "today's messages could not be counted again; a warm-up may allow a few too many");
                return Ok(());
            }
        };
        let mut missing = Vec::new();
        for (source, site, messages) in counted {
            if rules.warm_up(&source, &site).is_none() {
                continue;
            }
            let mut sent = open(&self.shared.memory.sent);
            let today = sent
                .entry((source.as_str().into(), site.as_str().into()))
                .or_default()
                .entry(day)
                .or_default();
            if messages > *today {
                missing.push(Volume { source, site, day, messages: messages - *today, bytes: 0 });
                *today = messages;
            }
        }
        self.routes.save_volumes(missing).await
    }

    pub(crate) async fn run(mut self) {
        let mut rules = self.routes.watch_rules();
        rules.mark_changed();
        loop {
            let world = &self.shared.world;
            let wake = world.sleep_until_mono(world.mono_us() + LOOK_US);
            tokio::select! {
                () = self.shared.keep.notified() => {}
                changed = rules.changed() => {
                    // The room of the rules lives as long as we hold it, so this does not fail.
                    if changed.is_ok() {
                        let rules = Arc::clone(&rules.borrow_and_update());
                        self.shared.adopt(rules);
                    }
                }
                () = wake => {}
            }
            let ending = self.shared.is_drained();
            let now = self.shared.world.now_us();
            if let Err(error) = self.work(now, ending).await {
                tracing::warn!(%error, "what was learned of receivers could not be written, trying again");
            }
            if ending {
                return;
            }
        }
    }

    async fn work(&mut self, now: i64, ending: bool) -> routes::Result<()> {
        if day_of(now) != self.day {
            // What came since the last time counts as yesterday's: seconds at most.
            self.save(now).await?;
            self.day = day_of(now);
            let standing = self.shared.standing();
            self.shared.all_paths().iter().for_each(|path| self.shared.allow(&standing, path));
        }
        self.write_verdicts(now).await?;
        let read = self.routes.verdicts(now).await?;
        self.obey(read, now).await;
        if ending || now - self.saved_us >= us(SAVE) || now < self.saved_us {
            self.save(now).await?;
        }
        Ok(())
    }

    async fn write_verdicts(&self, now: i64) -> routes::Result<()> {
        let new = std::mem::take(&mut *open(&self.shared.memory.new));
        for (at, verdict) in new.iter().enumerate() {
            if let Err(error) = self.routes.put_verdict(verdict.clone(), now).await {
                open(&self.shared.memory.new).extend_from_slice(&new[at..]);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Lets verdicts act that others put, and ends those that others lifted.
    async fn obey(&self, read: Vec<Verdict>, now: i64) {
        let (new, lifted) = self.shared.memory.replace_verdicts(read, now);
        if new.is_empty() && lifted.is_empty() {
            return;
        }
        for path in self.shared.all_paths() {
            lifted.iter().for_each(|verdict| lift(&self.shared.memory, verdict, &path, now));
            new.iter().for_each(|verdict| apply(verdict, &path, now));
            // A verdict that was changed drains no longer.
            path.draining.store(self.shared.memory.drains(&path, now), Ordering::Release);
        }
        self.go_on(lifted, now).await;
        self.shared.look_again();
    }

    /// What waited for the end of verdicts that were lifted is due now.
    async fn go_on(&self, lifted: Vec<Verdict>, now: i64) {
        let mut sites: Vec<Arc<str>> = Vec::new();
        for path in self.shared.all_paths() {
            let touched = |verdict: &Verdict| {
                verdict.provider.is_empty() && is_about(verdict, &path)
                    || *verdict.provider == *path.site.name
                    || verdict.provider.is_empty() && !verdict.identity.starts_with("site:")
            };
            if lifted.iter().any(touched) && !sites.contains(&path.site.name) {
                sites.push(Arc::clone(&path.site.name));
            }
        }
        for site in sites {
            if let Err(error) = crate::actions::due_again(&self.shared, &site, now).await {
                tracing::warn!(%error, "what waited for a verdict's end keeps its due time");
            }
        }
    }

    async fn save(&mut self, now: i64) -> routes::Result<()> {
        self.saved_us = now;
        let paths = self.shared.all_paths();
        self.save_learned(&paths, now).await?;
        self.save_volumes(&paths).await
    }

    async fn save_learned(&mut self, paths: &[Arc<Path>], now: i64) -> routes::Result<()> {
        let mut rows = Vec::new();
        let mut new = Vec::new();
        for path in paths.iter().filter(|path| !path.source.name.is_empty()) {
            let key = key(path);
            // What the rule says again is written as "nothing", so that a restart does not bring back the old limit.
            let learned = path.shaper.learned().unwrap_or(Learned { rate: 0.0, connections: 0.0 });
            let secure_only = path.site.secure_only.load(Ordering::Acquire);
            let memory = &self.shared.memory;
            let nothing = Learned { rate: 0.0, connections: 0.0 };
            let before = self.saved.get(&key).copied().unwrap_or_else(|| {
                (memory.learned(&key.0, &key.1).unwrap_or(nothing), memory.demands_tls(&key.1))
            });
            if before == (learned, secure_only) {
                continue;
            }
            rows.push(routes::Learned {
                source: key.0.to_string(),
                site: key.1.to_string(),
                connections: learned.connections,
                rate: learned.rate,
                secure_only,
                at_us: now,
            });
            new.push((key, learned, secure_only));
        }
        self.routes.save_learned(rows).await?;
        let mut kept = open(&self.shared.memory.learned);
        for (key, learned, secure_only) in new {
            kept.insert((key.0.to_string(), key.1.to_string()), learned);
            self.saved.insert(key, (learned, secure_only));
        }
        trim(&mut self.saved, &mut kept, paths);
        Ok(())
    }

    async fn save_volumes(&self, paths: &[Arc<Path>]) -> routes::Result<()> {
        let memory = &self.shared.memory;
        let mut rows: HashMap<Key, (i64, i64)> = HashMap::new();
        let mut told = Vec::new();
        for path in paths.iter().filter(|path| !path.source.name.is_empty()) {
            let (messages, bytes) = path.unwritten();
            if messages > 0 {
                let site = if self.is_named(path) { Arc::clone(&path.site.name) } else { OTHER_SITE.into() };
                let row = rows.entry((Arc::clone(&path.source.name), site)).or_default();
                *row = (row.0 + messages, row.1 + bytes);
                told.push((path, messages, bytes));
            }
        }
        let volumes = rows
            .iter()
            .map(|((source, site), (messages, bytes))| Volume {
                source: source.to_string(),
                site: site.to_string(),
                day: self.day,
                messages: *messages,
                bytes: *bytes,
            })
            .collect();
        self.routes.save_volumes(volumes).await?;
        for (key, (messages, _)) in rows {
            *open(&memory.sent).entry(key).or_default().entry(self.day).or_default() += messages;
        }
        told.into_iter().for_each(|(path, messages, bytes)| path.wrote(messages, bytes));
        Ok(())
    }

    /// Whose days are asked for: providers', and where a plan or a limit by the day counts.
    fn is_named(&self, path: &Path) -> bool {
        path.site.is_known() || self.shared.standing().warm_up(&path.source.name, &path.site.name).is_some()
    }
}

/// Forgets what is remembered of paths that are gone, where there are many: it is on disk, as far as that keeps it.
fn trim(
    saved: &mut HashMap<Key, (Learned, bool)>,
    kept: &mut HashMap<(String, String), Learned>,
    paths: &[Arc<Path>],
) {
    if saved.len() <= LEARNED_KEPT && kept.len() <= LEARNED_KEPT {
        return;
    }
    let live: HashSet<Key> = paths.iter().map(|path| key(path)).collect();
    saved.retain(|key, _| live.contains(key));
    // What says that nothing was learned is as good as nothing.
    kept.retain(|_, learned| learned.rate > 0.0 || learned.connections > 0.0);
    if kept.len() > LEARNED_KEPT {
        kept.retain(|(source, site), _| live.contains(&(source.as_str().into(), site.as_str().into())));
    }
}

/// What an engine's verdict rests on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Because<'a> {
    /// The rule of reply classification, or what else found it.
    pub rule: &'a str,
    /// The kind of answer; empty: there was none.
    pub category: &'static str,
}

impl<'a> Because<'a> {
    pub(crate) fn said(verdict: &'a smtp::Verdict) -> Self {
        Self { rule: &verdict.rule, category: verdict.category.name() }
    }
}

/// Stays an engine's verdict while nobody lifts it.
pub(crate) fn of_engine(
    identity: String,
    site: &str,
    rest: &Suspension,
    because: Because<'_>,
    now_us: i64,
) -> Verdict {
    Verdict {
        identity,
        provider: site.to_owned(),
        action: routes::Action::Suspend,
        until_us: rest.until_us,
        reason: rest.reason.clone(),
        rule: because.rule.to_owned(),
        category: because.category.to_owned(),
        by: String::new(),
        at_us: now_us,
    }
}
