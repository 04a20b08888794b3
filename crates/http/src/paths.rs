//! The engine's paths together: by site, and with what waits in the database. Pages, REST and metrics read the same figures,
//! once for each look.
//!
//! A *path* is a source address and a receiving site (a provider, mostly). A site can have several exchanges, sets of
//! MX hosts with a waiting line of their own; they share the site's limits.

use std::collections::BTreeMap;

use mta::{PathFigures, ReplyCount, Suspension, TopReply};

/// What the engine does at this moment.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Every path that has something to tell.
    pub paths: Vec<PathFigures>,
    /// Open connections.
    pub connections: u64,
    /// Messages composed since the engine started.
    pub composed: u64,
    /// Octets of claimed messages in memory.
    pub claimed_bytes: u64,
    /// How often receivers said what kind of "no" since the engine started.
    pub replies: Vec<ReplyCount>,
    /// When all that waits for receivers outside the provider table is through at its present speed; none: nothing waits in
    /// the database, or nothing goes.
    pub others_end: Option<i64>,
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
    pub reply: Option<TopReply>,
    /// The rest that ends last, with its reason.
    pub suspended: Option<Suspension>,
    /// The latest expected end.
    pub expected_end: Option<i64>,
    /// Why a limit is below its rule; the first that is known.
    pub limit_reason: String,
}

impl Standing {
    /// The paths by site: those that rest first, because somebody should look; then those with the most to do.
    pub fn sites(&self) -> Vec<SiteStanding> {
        let mut by_name: BTreeMap<&str, Vec<&PathFigures>> = BTreeMap::new();
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
    /// is not known to be its, so they have an end together.
    pub fn reckon_ends(&mut self, queued: &BTreeMap<String, Queued>, now_us: i64) {
        let waits = |name: &str| queued.get(name).map_or(0, |queued| queued.messages);
        let mut ends: BTreeMap<String, Option<i64>> = BTreeMap::new();
        for path in &self.paths {
            let messages = waits(&path.site);
            if messages > 0 {
                let of_site = || self.paths.iter().filter(|other| other.site == path.site);
                ends.entry(path.site.clone()).or_insert_with(|| end_of(of_site(), messages, now_us));
            }
        }
        let others = self.paths.iter().filter(|path| !path.known);
        self.others_end = (waits(OTHERS) > 0).then(|| end_of(others, waits(OTHERS), now_us)).flatten();
        for path in &mut self.paths {
            if let Some(end) = ends.get(&path.site) {
                path.expected_end = *end;
            }
        }
    }

    /// The paths of one site.
    pub fn of_site<'a>(&'a self, site: &'a str) -> impl Iterator<Item = &'a PathFigures> {
        self.paths.iter().filter(move |path| path.site == site)
    }
}

/// When what these paths have in memory and so many messages more are through at their present speed.
fn end_of<'a>(paths: impl Iterator<Item = &'a PathFigures>, queued: i64, now_us: i64) -> Option<i64> {
    let (mut speed, mut all) = (0.0, queued as f64);
    for path in paths {
        speed += path.accepted_per_second;
        all += path.waiting as f64;
    }
    (speed > 0.0).then(|| now_us.saturating_add((all / speed * 1e6) as i64))
}

impl SiteStanding {
    /// The paths of a site together.
    pub fn of(site: &str, paths: &[&PathFigures]) -> SiteStanding {
        let sum = |of: fn(&PathFigures) -> u64| paths.iter().map(|path| of(path)).sum::<u64>();
        let (accepted, deferred, refused) = (sum(|p| p.accepted), sum(|p| p.deferred), sum(|p| p.refused));
        // A path that says much counts more than one that has been asked twice.
        let weight = |path: &PathFigures| (path.accepted + path.deferred).max(1) as f64;
        let weights: f64 = paths.iter().map(|path| weight(path)).sum();
        let shares: f64 = paths.iter().map(|path| path.deferral_share * weight(path)).sum();
        let mut limits: BTreeMap<&str, u64> = BTreeMap::new();
        for path in paths {
            // Exchanges of a source share its limit.
            let held = limits.entry(&path.source).or_default();
            *held = (*held).max(u64::from(path.connections_limit));
        }
        let rests: Vec<&Suspension> = paths.iter().filter_map(|path| path.suspended.as_ref()).collect();
        let latest = rests.iter().max_by_key(|rest| rest.until_us.unwrap_or(i64::MAX));
        SiteStanding {
            site: site.to_owned(),
            paths: paths.len(),
            resting: paths.iter().filter(|path| path.rests()).count(),
            connections: sum(|path| path.connections as u64),
            connections_limit: (!limits.is_empty()).then(|| limits.values().sum()),
            waiting: sum(|path| path.waiting as u64),
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
pub fn replies(paths: &[&PathFigures]) -> Vec<TopReply> {
    let mut by_text: BTreeMap<&str, TopReply> = BTreeMap::new();
    for reply in paths.iter().flat_map(|path| &path.replies) {
        let sum = by_text.entry(&reply.text).or_insert_with(|| TopReply { count: 0, ..reply.clone() });
        sum.count += reply.count;
        sum.last_us = sum.last_us.max(reply.last_us);
    }
    let mut replies: Vec<TopReply> = by_text.into_values().collect();
    replies.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.text.cmp(&b.text)));
    replies
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(source: &str, site: &str, limit: u32) -> PathFigures {
        PathFigures {
            source: source.into(),
            site: site.into(),
            connections_limit: limit,
            connections: 1,
            ..PathFigures::default()
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
        ends.suspended = Some(Suspension { until_us: Some(9), reason: "first".into(), by: String::new() });
        let mut stays = path("b", "yahoo", 1);
        stays.suspended = Some(Suspension { until_us: None, reason: "second".into(), by: "ann".into() });
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
        (small.waiting, small.accepted_per_second, small.expected_end) = (7, 3.0, Some(9));
        let mut stands = path("a", "yahoo", 1);
        (stands.waiting, stands.expected_end) = (1, Some(9));
        [&mut fast, &mut slow, &mut stands].into_iter().for_each(|path| path.known = true);
        let mut standing = Standing { paths: vec![fast, slow, small, stands], ..Standing::default() };
        let waits = |messages| Queued { messages, ..Queued::default() };
        let queued = [("google", waits(900)), ("yahoo", waits(5)), (OTHERS, waits(44))];
        standing.reckon_ends(&queued.map(|(site, queued)| (site.to_owned(), queued)).into(), 1_000_000);
        let ends: Vec<_> = standing.paths.iter().map(|path| path.expected_end).collect();
        assert_eq!(ends, [Some(101_000_000), Some(101_000_000), Some(9), None]);
        assert_eq!(standing.others_end, Some(18_000_000), "51 messages for small ones, three a second");
        standing.reckon_ends(&BTreeMap::new(), 1_000_000);
        assert_eq!(standing.others_end, None);
    }

    #[test]
    fn the_same_words_from_two_paths_are_one_reply() {
        let say = |text: &str, count| TopReply { text: text.into(), count, ..TopReply::default() };
        let mut one = path("a", "yahoo", 1);
        one.replies = vec![say("250 ok", 5), say("421 later", 4)];
        let mut two = path("b", "yahoo", 1);
        two.replies = vec![say("421 later", 4)];
        assert_eq!(replies(&[&one, &two]), [say("421 later", 8), say("250 ok", 5)]);
    }
}
