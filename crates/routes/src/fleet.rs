//! What the sources of a pool can do at each site, with their warm-ups: what predictions reckon with.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domains::Routes;
use crate::error::Result;
use crate::learned::{Learned, Volume};
use crate::providers::Providers;
use crate::rules::Rules;
use crate::site_rules::SiteRules;
use crate::sources::Source;
use crate::warm_up::{IDLE_DAYS_COLD, WarmUp, day_of};

/// Seconds of a day.
const DAY_S: f64 = 86_400.0;

/// The sources of one pool, as they stand at a moment.
#[derive(Debug, Clone)]
pub struct Fleet {
    rules: Arc<Rules>,
    pool: String,
    now_us: i64,
    /// Days of use and what went today, by source and site.
    used: HashMap<(String, String), (Vec<i64>, u64)>,
    /// Messages a second that a path was found to take, by source and site.
    learned: HashMap<(String, String), f64>,
}

/// What one source may do at a site.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PathForce {
    pub(crate) rules: Arc<SiteRules>,
    /// Messages a second that the site was found to take from it; `None`: no limit was met.
    pub(crate) learned: Option<f64>,
}

/// What a pool can do at one site.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Force {
    /// Paths whose source is warm there.
    pub(crate) warm: Vec<PathForce>,
    /// Plans of the sources that are not, with what is left of each day from today on.
    pub(crate) warming: Vec<Vec<u64>>,
    /// Seconds from the moment until midnight UTC, when the next day's allowance begins.
    pub(crate) midnight_s: f64,
}

impl Routes {
    /// The sources of `pool` as they stand now, for predictions.
    ///
    /// # Errors
    /// `Store`.
    pub async fn fleet(&self, pool: &str, now_us: i64) -> Result<Fleet> {
        let rules = self.rules();
        let volumes = match rules.warm_ups.is_empty() {
            true => Vec::new(),
            false => self.volumes(day_of(now_us) - 2 * IDLE_DAYS_COLD).await?,
        };
        let learned = self.learned(now_us).await?;
        Ok(Fleet::new(rules, pool, &volumes, now_us).knowing(&learned))
    }
}

impl Fleet {
    /// The sources of `pool` under `rules`; `volumes` say how far warm-ups are.
    #[must_use]
    pub fn new(rules: Arc<Rules>, pool: &str, volumes: &[Volume], now_us: i64) -> Fleet {
        let mut used: HashMap<(String, String), (Vec<i64>, u64)> = HashMap::new();
        for volume in volumes.iter().filter(|volume| volume.messages > 0) {
            let entry = used.entry((volume.source.clone(), volume.site.clone())).or_default();
            entry.0.push(volume.day);
            if volume.day == day_of(now_us) {
                entry.1 += volume.messages.unsigned_abs();
            }
        }
        Fleet { rules, pool: pool.to_owned(), now_us, used, learned: HashMap::new() }
    }

    /// The same, with what sites were found to take.
    #[must_use]
    pub fn knowing(mut self, learned: &[Learned]) -> Fleet {
        let met = learned.iter().filter(|one| one.rate > 0.0);
        self.learned = met.map(|one| ((one.source.clone(), one.site.clone()), one.rate)).collect();
        self
    }

    /// One source without warm-ups, for whoever has no rules.
    #[must_use]
    pub fn plain(providers: Providers) -> Fleet {
        Fleet::new(Arc::new(Rules::plain(providers, "")), crate::DEFAULT_POOL, &[], 0)
    }

    /// The provider table in force.
    #[must_use]
    pub fn providers(&self) -> &Providers {
        &self.rules.providers
    }

    /// Whether any source is in the pool at all; if not, everything stays pending.
    #[must_use]
    pub fn has_sources(&self) -> bool {
        self.sources().next().is_some()
    }

    /// Sites that some source of the pool is being made known to.
    #[must_use]
    pub fn warming(&self) -> Vec<&str> {
        let in_pool = |plan: &&WarmUp| self.sources().any(|source| source.name == plan.source);
        let plans = self.rules.warm_ups.iter().filter(in_pool).filter(|plan| self.left(plan).is_some());
        let mut sites: Vec<&str> = plans.map(|plan| plan.provider.as_str()).collect();
        sites.sort_unstable();
        sites.dedup();
        sites
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        // A domain is not looked at: which domains of a lane a source serves is decided at sending.
        self.rules.sources.iter().filter(|source| source.enabled && source.pools.contains(&self.pool))
    }

    pub(crate) fn force(&self, site: &str) -> Force {
        let since_midnight = self.now_us.rem_euclid(86_400 * 1_000_000) as f64 / 1e6;
        let mut force = Force { warm: Vec::new(), warming: Vec::new(), midnight_s: DAY_S - since_midnight };
        for source in self.sources() {
            let left = self.rules.warm_up(&source.name, site).and_then(|plan| self.left(plan));
            match left {
                Some(days) => force.warming.push(days),
                None => force.warm.push(PathForce {
                    rules: self.rules.providers.rules_from(site, &source.name),
                    learned: self.learned.get(&(source.name.clone(), site.to_owned())).copied(),
                }),
            }
        }
        force
    }

    /// What is left of each day of a plan from today on; `None`: it is over, the source is warm.
    fn left(&self, plan: &WarmUp) -> Option<Vec<u64>> {
        let today = day_of(self.now_us);
        let key = (plan.source.clone(), plan.provider.clone());
        let none = (Vec::new(), 0);
        let (used, sent) = self.used.get(&key).unwrap_or(&none);
        plan.allowance(today, used)?;
        let wait = usize::try_from(plan.start_day - today).unwrap_or(0);
        let days = plan.days.iter().skip(plan.position(today, used)).map(|messages| u64::from(*messages));
        let mut left: Vec<u64> = std::iter::repeat_n(0, wait).chain(days).collect();
        if let (0, Some(first)) = (wait, left.first_mut()) {
            *first = first.saturating_sub(*sent);
        }
        Some(left)
    }
}

impl Force {
    /// Seconds until `messages` are gone over sources that are all being made known: whole days of allowance, the last one
    /// at `per_second`. After its plan a source counts as warm, at `per_second`.
    pub(crate) fn warm_up_seconds(&self, messages: u64, per_second: f64) -> f64 {
        let mut left = messages;
        let days = self.warming.iter().map(Vec::len).max().unwrap_or(0);
        for day in 0..days {
            let allowed: u64 = self.warming.iter().filter_map(|plan| plan.get(day)).sum();
            // Where one plan is over before another, its source takes the rest.
            let over = self.warming.iter().any(|plan| plan.len() <= day);
            if left <= allowed || over {
                return self.begins(day) + left as f64 / per_second;
            }
            left -= allowed;
        }
        self.begins(days) + left as f64 / per_second
    }

    fn begins(&self, day: usize) -> f64 {
        if day == 0 { 0.0 } else { self.midnight_s + (day - 1) as f64 * DAY_S }
    }
}
