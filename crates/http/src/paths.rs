//! The engine's paths as the doors show them: pages, REST and metrics read the same figures, once for each look.
//!
//! A *path* is a source address and a receiving site (a provider, mostly). A site can have several exchanges, sets of
//! MX hosts with a waiting line of their own; they share the site's limits.

use std::collections::BTreeMap;

use serde::Serialize;

/// What the engine does at this moment.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Every path that has something to tell.
    pub paths: Vec<PathStanding>,
    /// Open connections.
    pub connections: u64,
    /// Messages composed since the engine started.
    pub composed: u64,
    /// Octets of claimed messages in memory.
    pub claimed_bytes: u64,
}

/// One path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PathStanding {
    /// Name of the source; empty: any.
    pub source: String,
    /// The site: a provider's name, or a registrable domain.
    pub site: String,
    /// Its hosts, or `relay`.
    pub exchange: String,
    /// Open connections.
    pub connections: u64,
    /// How many there may be now.
    pub connections_limit: Option<u32>,
    /// Why not more, in words; empty: the rule says so.
    pub limit_reason: String,
    /// Messages before a connection is closed.
    pub messages_per_connection: Option<u32>,
    /// Messages a second that are allowed now.
    pub rate: Option<f64>,
    /// Why not faster, in words; empty: the rule says so.
    pub rate_reason: String,
    /// The receiver wants TLS, so it is never spoken to in clear.
    pub secure_only: bool,
    /// Messages that wait for it in memory.
    pub waiting: u64,
    /// Messages taken a second, over the last ten seconds.
    pub accepted_per_second: f64,
    /// Share of answers of the last minutes that were "not now", 0 to 1.
    pub deferral_share: f64,
    /// Messages taken since the start.
    pub accepted: u64,
    /// Answers "not now" since the start.
    pub deferred: u64,
    /// Messages refused for good since the start.
    pub refused: u64,
    /// What the receiver says most, with what varies left out; the most frequent first.
    pub replies: Vec<Reply>,
    /// It rests, and why.
    pub suspended: Option<Suspension>,
    /// Nothing new begins until an operator resumes.
    pub draining: bool,
    /// When what waits will be through at the present speed, microseconds UTC.
    pub expected_end: Option<i64>,
    /// What a warm-up plan allows today, and what is left of it.
    pub warm_up: Option<Allowance>,
}

/// A reply with what varies left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reply {
    /// The words.
    pub text: String,
    /// How often.
    pub count: u64,
}

/// A path at rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspension {
    /// Until then (microseconds UTC); none: until somebody resumes.
    pub until: Option<i64>,
    /// Why: the receiver's words, or an operator's.
    pub reason: String,
    /// Who suspended it; empty: the engine.
    pub by: String,
}

/// Today's messages of a warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Allowance {
    /// What is left.
    pub left: u64,
    /// Of so many.
    pub of: u64,
}

/// All paths of one site together.
#[derive(Clone, Debug, Default)]
pub struct SiteStanding {
    /// The site.
    pub site: String,
    /// How many paths.
    pub paths: usize,
    /// How many of them rest or drain.
    pub resting: usize,
    /// Sum of the open connections.
    pub connections: u64,
    /// Sum of the limits, once for each source; none where nothing limits.
    pub connections_limit: Option<u64>,
    /// Sum of what waits.
    pub waiting: u64,
    /// Sum of the speeds.
    pub accepted_per_second: f64,
    /// Share of "not now", weighted by what is said.
    pub deferral_share: f64,
    /// Sums since the start.
    pub accepted: u64,
    /// Sums since the start.
    pub deferred: u64,
    /// Sums since the start.
    pub refused: u64,
    /// The reply that is heard most.
    pub reply: Option<Reply>,
    /// The rest that ends last, with its reason.
    pub suspended: Option<Suspension>,
    /// The latest expected end.
    pub expected_end: Option<i64>,
    /// Why a limit is below its rule; the first that is known.
    pub limit_reason: String,
}

impl PathStanding {
    /// Whether it takes nothing now.
    pub fn rests(&self) -> bool {
        self.suspended.is_some() || self.draining
    }
}

impl Standing {
    /// The paths by site: those that rest first, because somebody should look; then those with the most to do.
    pub fn sites(&self) -> Vec<SiteStanding> {
        let mut by_name: BTreeMap<&str, Vec<&PathStanding>> = BTreeMap::new();
        for path in &self.paths {
            by_name.entry(&path.site).or_default().push(path);
        }
        let mut sites: Vec<SiteStanding> =
            by_name.into_iter().map(|(site, paths)| SiteStanding::of(site, &paths)).collect();
        let work = |site: &SiteStanding| (site.resting > 0, site.waiting, site.connections, site.accepted);
        sites.sort_by(|a, b| work(b).cmp(&work(a)).then_with(|| a.site.cmp(&b.site)));
        sites
    }

    /// Reckons when all that waits for each provider is through at its present speed: what is in memory and what waits in
    /// the database (counted at most once a second, for all together). Of a receiver outside the table what is in the database
    /// is not known to be its.
    pub fn reckon_ends(&mut self, queued: &BTreeMap<String, Queued>, now_us: i64) {
        let mut ends: BTreeMap<String, Option<i64>> = BTreeMap::new();
        for path in &self.paths {
            let Some(queued) = queued.get(&path.site).filter(|queued| queued.messages > 0) else { continue };
            ends.entry(path.site.clone()).or_insert_with(|| {
                let of_site = || self.paths.iter().filter(|other| other.site == path.site);
                let speed: f64 = of_site().map(|path| path.accepted_per_second).sum();
                let waiting: u64 = of_site().map(|path| path.waiting).sum();
                let all = waiting as f64 + queued.messages as f64;
                (speed > 0.0).then(|| now_us.saturating_add((all / speed * 1e6) as i64))
            });
        }
        for path in &mut self.paths {
            if let Some(end) = ends.get(&path.site) {
                path.expected_end = *end;
            }
        }
    }

    /// The paths of one site.
    pub fn of_site<'a>(&'a self, site: &'a str) -> impl Iterator<Item = &'a PathStanding> {
        self.paths.iter().filter(move |path| path.site == site)
    }
}

impl SiteStanding {
    /// The paths of a site together.
    pub fn of(site: &str, paths: &[&PathStanding]) -> SiteStanding {
        let sum = |of: fn(&PathStanding) -> u64| paths.iter().map(|path| of(path)).sum::<u64>();
        let (accepted, deferred, refused) = (sum(|p| p.accepted), sum(|p| p.deferred), sum(|p| p.refused));
        // A path that says much counts more than one that has been asked twice.
        let weight = |path: &PathStanding| (path.accepted + path.deferred).max(1) as f64;
        let weights: f64 = paths.iter().map(|path| weight(path)).sum();
        let shares: f64 = paths.iter().map(|path| path.deferral_share * weight(path)).sum();
        let mut limits: BTreeMap<&str, u64> = BTreeMap::new();
        for path in paths {
            if let Some(limit) = path.connections_limit {
                // Exchanges of a source share its limit.
                let held = limits.entry(&path.source).or_default();
                *held = (*held).max(u64::from(limit));
            }
        }
        let rests: Vec<&Suspension> = paths.iter().filter_map(|path| path.suspended.as_ref()).collect();
        let latest = rests.iter().max_by_key(|rest| rest.until.unwrap_or(i64::MAX));
        SiteStanding {
            site: site.to_owned(),
            paths: paths.len(),
            resting: paths.iter().filter(|path| path.rests()).count(),
            connections: sum(|path| path.connections),
            connections_limit: (!limits.is_empty()).then(|| limits.values().sum()),
            waiting: sum(|path| path.waiting),
            accepted_per_second: paths.iter().map(|path| path.accepted_per_second).sum(),
            deferral_share: if weights > 0.0 { shares / weights } else { 0.0 },
            accepted,
            deferred,
            refused,
            reply: replies(paths).into_iter().next(),
            suspended: latest.map(|rest| (*rest).clone()),
            expected_end: paths.iter().filter_map(|path| path.expected_end).max(),
            limit_reason: paths
                .iter()
                .find(|path| !path.limit_reason.is_empty())
                .map(|path| path.limit_reason.clone())
                .unwrap_or_default(),
        }
    }
}

/// What waits in the database for a provider, over all active deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// Messages that wait: not tried yet, and those to be tried again.
    pub messages: i64,
    /// Since when the oldest waits that was due (microseconds UTC).
    pub oldest: Option<i64>,
    /// The earliest next try (microseconds UTC).
    pub next_try: Option<i64>,
    /// Why nothing goes out, where somebody said.
    pub reason: String,
}

/// The name under which lanes of small domains stand together.
pub const OTHERS: &str = "other";

/// What waits, by provider; the lanes of small domains are [`OTHERS`].
pub fn queued(lanes: &[queue::LaneWaiting], known: impl Fn(&str) -> bool) -> BTreeMap<String, Queued> {
    let mut queued: BTreeMap<String, Queued> = BTreeMap::new();
    let earlier = |a: Option<i64>, b: Option<i64>| a.into_iter().chain(b).min();
    for lane in lanes.iter().filter(|lane| lane.length() > 0) {
        let name = if known(&lane.lane) { lane.lane.as_str() } else { OTHERS };
        let sum = queued.entry(name.to_owned()).or_default();
        sum.messages += lane.length();
        sum.oldest = earlier(sum.oldest, lane.oldest);
        sum.next_try = earlier(sum.next_try, lane.next_try);
        if let (true, Some(reason)) = (sum.reason.is_empty(), &lane.reason) {
            sum.reason.clone_from(reason);
        }
    }
    queued
}

/// The replies of some paths together, the most frequent first.
pub fn replies(paths: &[&PathStanding]) -> Vec<Reply> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for reply in paths.iter().flat_map(|path| &path.replies) {
        *counts.entry(&reply.text).or_default() += reply.count;
    }
    let mut replies: Vec<Reply> =
        counts.into_iter().map(|(text, count)| Reply { text: text.to_owned(), count }).collect();
    replies.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.text.cmp(&b.text)));
    replies
}

impl From<mta::PathFigures> for PathStanding {
    fn from(figures: mta::PathFigures) -> Self {
        let reply = |reply: mta::TopReply| Reply { text: reply.text, count: reply.count };
        PathStanding {
            source: figures.source,
            site: figures.site,
            exchange: figures.exchange.replace(',', ", "),
            connections: figures.connections as u64,
            connections_limit: Some(figures.connections_limit),
            limit_reason: figures.limit_reason,
            messages_per_connection: Some(figures.messages_per_connection),
            rate: figures.rate,
            rate_reason: figures.rate_reason,
            secure_only: figures.secure_only,
            waiting: figures.waiting as u64,
            accepted_per_second: figures.accepted_per_second,
            deferral_share: figures.deferral_share,
            accepted: figures.accepted,
            deferred: figures.deferred,
            refused: figures.refused,
            replies: figures.replies.into_iter().map(reply).collect(),
            suspended: figures.suspended.map(|rest| Suspension {
                until: rest.until_us,
                reason: rest.reason,
                by: rest.by,
            }),
            draining: figures.draining,
            expected_end: figures.expected_end,
            warm_up: figures.warm_up.map(|(left, of)| Allowance { left, of }),
        }
    }
}

impl From<Order> for mta::Action {
    fn from(order: Order) -> Self {
        let Order { source, site, deed, by } = order;
        match deed {
            Deed::Suspend { until, reason } => Self::Suspend { source, site, until_us: until, reason, by },
            Deed::Resume => Self::Resume { source, site, by },
            Deed::Drain { reason } => Self::Drain { source, site, reason, by },
            Deed::RetryNow => Self::RetryNow { site },
            Deed::Forget => Self::Forget { source, site },
        }
    }
}

impl From<mta::TraceLine> for TraceLine {
    fn from(line: mta::TraceLine) -> Self {
        let kind = match line.kind {
            mta::TraceKind::Out => "out",
            mta::TraceKind::In => "in",
            mta::TraceKind::Note => "note",
        };
        Self { at_us: line.at_us, connection: line.connection, kind, text: line.text }
    }
}

/// What an operator does to the paths of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Only from this source; none: from all.
    pub source: Option<String>,
    /// The site.
    pub site: String,
    /// What.
    pub deed: Deed,
    /// Who.
    pub by: String,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Nothing more begins.
    Suspend {
        /// Until then (microseconds UTC); none: until somebody resumes.
        until: Option<i64>,
        /// Why.
        reason: String,
    },
    /// Ends rests, drains and back-offs.
    Resume,
    /// What has begun ends, nothing new begins, until somebody resumes; what waits goes another way.
    Drain {
        /// Why.
        reason: String,
    },
    /// Rests and back-offs of the site are forgotten; suspensions by people stay.
    RetryNow,
    /// What was learned is forgotten: the rule holds again.
    Forget,
}

/// A line of a traced connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TraceLine {
    /// When (microseconds UTC).
    pub at_us: i64,
    /// Number of the connection within the trace, from 1.
    pub connection: u32,
    /// `out`, `in` or `note`.
    pub kind: &'static str,
    /// The line. Logins, local parts of addresses and bodies are not in it.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(source: &str, site: &str, limit: u32) -> PathStanding {
        PathStanding {
            source: source.into(),
            site: site.into(),
            connections_limit: Some(limit),
            connections: 1,
            ..PathStanding::default()
        }
    }

    #[test]
    fn exchanges_of_a_source_share_its_limit_and_sources_add_theirs() {
        let mut second = path("a", "google", 5);
        second.exchange = "other hosts".into();
        let standing = Standing {
            paths: vec![path("a", "google", 5), second, path("b", "google", 3)],
            ..Standing::default()
        };
        let sites = standing.sites();
        assert_eq!(sites.len(), 1);
        assert_eq!((sites[0].connections, sites[0].connections_limit), (3, Some(8)));
    }

    #[test]
    fn a_rest_without_an_end_is_the_last_to_end() {
        let mut ends = path("a", "yahoo", 1);
        ends.suspended = Some(Suspension { until: Some(9), reason: "first".into(), by: String::new() });
        let mut stays = path("b", "yahoo", 1);
        stays.suspended = Some(Suspension { until: None, reason: "second".into(), by: "ann".into() });
        let both = SiteStanding::of("yahoo", &[&ends, &stays]);
        assert_eq!(both.resting, 2);
        assert_eq!(both.suspended.unwrap().reason, "second");
    }

    #[test]
    fn what_waits_most_comes_first_and_shares_are_weighted() {
        let mut busy = path("a", "yahoo", 1);
        (busy.waiting, busy.accepted, busy.deferral_share) = (7, 99, 0.1);
        let mut other = path("b", "yahoo", 1);
        (other.accepted, other.deferral_share) = (1, 1.0);
        let standing = Standing { paths: vec![path("a", "google", 5), busy, other], ..Standing::default() };
        let sites = standing.sites();
        assert_eq!(sites[0].site, "yahoo");
        assert!((sites[0].deferral_share - 0.109).abs() < 1e-9, "{}", sites[0].deferral_share);
    }

    #[test]
    fn what_waits_is_told_by_provider_and_small_domains_stand_together() {
        let lane = |lane: &str, fresh, oldest| queue::LaneWaiting {
            delivery: 1,
            lane: lane.into(),
            priority: queue::Priority::default(),
            pool: String::new(),
            fresh,
            retries: 1,
            due: fresh,
            claimed: 0,
            oldest,
            next_try: Some(50),
            reason: (fresh == 7).then(|| "on hold".to_owned()),
        };
        let lanes = [
            lane("google", 5, Some(30)),
            lane("google", 7, Some(20)),
            lane("tail-1", 1, None),
            lane("tail-2", 2, Some(9)),
        ];
        let queued = queued(&lanes, |name| name == "google");
        let google = &queued["google"];
        assert_eq!((google.messages, google.oldest, google.next_try), (14, Some(20), Some(50)));
        assert_eq!(google.reason, "on hold");
        assert_eq!((queued[OTHERS].messages, queued[OTHERS].oldest), (5, Some(9)));
    }

    #[test]
    fn the_end_reckons_with_what_waits_in_the_database() {
        let mut fast = path("a", "google", 1);
        (fast.waiting, fast.accepted_per_second, fast.expected_end) = (100, 8.0, Some(5));
        let mut slow = path("b", "google", 1);
        slow.accepted_per_second = 2.0;
        let mut small = path("a", "small.example", 1);
        (small.waiting, small.expected_end) = (7, Some(9));
        let mut stands = path("a", "yahoo", 1);
        (stands.waiting, stands.expected_end) = (1, Some(9));
        let mut standing = Standing { paths: vec![fast, slow, small, stands], ..Standing::default() };
        let waits = |messages| Queued { messages, ..Queued::default() };
        let queued = [("google", waits(900)), ("yahoo", waits(5)), (OTHERS, waits(44))];
        standing.reckon_ends(&queued.map(|(site, queued)| (site.to_owned(), queued)).into(), 1_000_000);
        let ends: Vec<_> = standing.paths.iter().map(|path| path.expected_end).collect();
        assert_eq!(ends, [Some(101_000_000), Some(101_000_000), Some(9), None]);
    }

    #[test]
    fn the_same_words_from_two_paths_are_one_reply() {
        let say = |text: &str, count| Reply { text: text.into(), count };
        let mut one = path("a", "yahoo", 1);
        one.replies = vec![say("250 ok", 5), say("421 later", 4)];
        let mut two = path("b", "yahoo", 1);
        two.replies = vec![say("421 later", 4)];
        assert_eq!(replies(&[&one, &two]), [say("421 later", 8), say("250 ok", 5)]);
    }
}
