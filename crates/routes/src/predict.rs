//! When each provider will be done, reckoned before the button is pressed.
//!
//! The reckoning is stated, not clever: a site takes `connections x per_connection_second` messages a second from each
//! source of the pool, or what its rates allow, or the speed that was last seen there; a lane of many small sites takes that
//! of each, up to the number of connections this node opens; this node cannot compose and sign faster than
//! `own_per_second`, which all share by their number of messages; and sources that are being made known to a provider send
//! what their plans allow on each day. Retries are not reckoned: who is refused for now comes later.

use std::sync::Arc;

use serde::Serialize;

use crate::fleet::{Fleet, Force, PathForce};
use crate::limits::PREDICT_CONNECTIONS_MAX;

/// What is to be sent to one provider, site or tail lane.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Site name, provider name or `tail-k`.
    pub site: String,
    /// Messages.
    pub messages: u64,
    /// Distinct receiving domains among them; at least 1. Only counts for tail lanes, where each domain is
    /// taken to be a site of its own.
    pub domains: u64,
    /// Messages a second last seen at this site, when it is known.
    pub learned_per_second: Option<f64>,
}

/// Assumptions about this side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Capacity {
    /// Messages a second that this node composes and signs: `cores x 3,500` with RSA-2048 signatures.
    pub own_per_second: f64,
}

/// Where a predicted speed comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Connections times the usual speed of one connection.
    Limits,
    /// The rates of the site's rules.
    Rates,
    /// The speed last seen at this site.
    Learned,
    /// This node's own speed is the narrow place.
    Own,
    /// What warm-up plans allow.
    WarmUp,
}

/// What is expected of one site.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// Site name as given.
    pub site: String,
    /// Messages as given.
    pub messages: u64,
    /// Expected messages a second.
    pub per_second: f64,
    /// Expected seconds from the start until the last first try.
    pub seconds: f64,
    /// What decides it.
    pub basis: Basis,
}

/// The expected end of each load, in the order given. Sites are served side by side.
#[must_use]
pub fn predict(fleet: &Fleet, loads: &[Load], capacity: Capacity) -> Vec<Prediction> {
    let total: u64 = loads.iter().map(|load| load.messages).sum();
    loads.iter().map(|load| predict_one(fleet, load, capacity, total)).collect()
}

fn predict_one(fleet: &Fleet, load: &Load, capacity: Capacity, total: u64) -> Prediction {
    let force = fleet.force(&load.site);
    let (mut per_second, mut basis) = match load.learned_per_second.filter(|speed| *speed > 0.0) {
        Some(speed) => (speed, Basis::Learned),
        None => speed_by_rules(fleet, load, &force),
    };
    // All loads share the node by their number: a load gets that share of the node's speed at least until
    // the others are done, which makes the estimate a careful one.
    if total > 0 {
        let share = capacity.own_per_second * load.messages as f64 / total as f64;
        if share < per_second {
            (per_second, basis) = (share, Basis::Own);
        }
    }
    let speed = per_second.max(0.001);
    let mut seconds = if load.messages == 0 { 0.0 } else { load.messages as f64 / speed };
    if load.messages > 0 && force.warm.is_empty() && !force.warming.is_empty() {
        let by_plan = force.warm_up_seconds(load.messages, speed);
        if by_plan > seconds {
            (seconds, basis) = (by_plan, Basis::WarmUp);
            per_second = load.messages as f64 / seconds;
        }
    }
    Prediction { site: load.site.clone(), messages: load.messages, per_second, seconds, basis }
}

/// The speed of all warm sources together; of sources that are all being made known, that of one.
fn speed_by_rules(fleet: &Fleet, load: &Load, force: &Force) -> (f64, Basis) {
    let rules = fleet.providers().rules_of(&load.site);
    let sites = if load.site.starts_with("tail-") { load.domains.max(1) as f64 } else { 1.0 };
    let one = [PathForce { rules: Arc::clone(&rules), learned: None }];
    let paths = if force.warm.is_empty() { &one[..] } else { &force.warm };
    let mut total = 0.0;
    let mut basis = Basis::Limits;
    for path in paths {
        let by_limits = f64::from(path.rules.connections) * path.rules.per_connection_second * sites;
        let by_rates = path.rules.messages_per_second().map_or(f64::MAX, |rate| rate * sites);
        let by_learned = path.learned.unwrap_or(f64::MAX);
        let (speed, why) =
            least([(by_limits, Basis::Limits), (by_rates, Basis::Rates), (by_learned, Basis::Learned)]);
        total += speed;
        basis = why;
    }
    let connections_max = rules.connections_all.map_or(PREDICT_CONNECTIONS_MAX, |all| f64::from(all) * sites);
    let by_connections = connections_max.min(PREDICT_CONNECTIONS_MAX) * rules.per_connection_second;
    let shared = rules.messages_per_second().filter(|_| rules.shared).map_or(f64::MAX, |rate| rate * sites);
    least([(total, basis), (by_connections, Basis::Limits), (shared, Basis::Rates)])
}

fn least(of: [(f64, Basis); 3]) -> (f64, Basis) {
    of.into_iter().fold((f64::MAX, Basis::Limits), |least, one| if one.0 < least.0 { one } else { least })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Learned, Overflow, Providers, Rules, Source, Volume, WarmUp};

    const CAPACITY: Capacity = Capacity { own_per_second: 5_000.0 };
    const DAY_US: i64 = 86_400 * 1_000_000;

    fn plain() -> Fleet {
        Fleet::plain(Providers::built_in().clone())
    }

    fn load(site: &str, messages: u64) -> Load {
        Load { site: site.to_owned(), messages, domains: 1, learned_per_second: None }
    }

    fn fleet(names: &[&str], warm_ups: Vec<WarmUp>, volumes: &[Volume], now_us: i64) -> Fleet {
        let sources =
            names.iter().map(|name| Source { name: (*name).to_owned(), ..Source::first("") }).collect();
        let rules = Rules { sources, warm_ups, ..Rules::plain(Providers::built_in().clone(), "") };
        Fleet::new(Arc::new(rules), "default", volumes, now_us)
    }

    fn plan(source: &str, days: &[u32]) -> WarmUp {
        WarmUp {
            source: source.to_owned(),
            provider: "google".to_owned(),
            start_day: 10,
            days: days.to_vec(),
            overflow: Overflow::Wait,
        }
    }

    #[test]
    fn a_million_to_google_over_one_address_takes_about_eighteen_hours() {
        let found = predict(&plain(), &[load("google", 1_000_000)], CAPACITY);
        assert_eq!(found[0].per_second, 15.0);
        assert_eq!((found[0].seconds / 3600.0).round(), 19.0);
        assert_eq!(found[0].basis, Basis::Limits);
    }

    #[test]
    fn learned_speed_and_more_sources_count() {
        let mut google = load("google", 1_000);
        google.learned_per_second = Some(100.0);
        let found = predict(&plain(), &[google], CAPACITY);
        assert_eq!((found[0].seconds, found[0].basis), (10.0, Basis::Learned));
        let two = fleet(&["a", "b"], vec![], &[], 0);
        assert_eq!(predict(&two, &[load("google", 1_000)], CAPACITY)[0].per_second, 30.0);
        let learned = Learned {
            source: "a".into(),
            site: "google".into(),
            connections: 2.0,
            rate: 4.0,
            secure_only: false,
            at_us: 0,
        };
        let two = two.knowing(&[learned]);
        assert_eq!(predict(&two, &[load("google", 1_000)], CAPACITY)[0].per_second, 19.0);
    }

    #[test]
    fn the_node_itself_is_a_limit_and_nothing_takes_no_time() {
        let mut tail = load("tail-3", 90_000);
        tail.domains = 1_000;
        let capacity = Capacity { own_per_second: 500.0 };
        let found = predict(&plain(), &[tail, load("google", 0)], capacity);
        assert_eq!((found[0].per_second, found[0].basis), (500.0, Basis::Own));
        assert_eq!(found[1].seconds, 0.0);
    }

    #[test]
    fn a_site_that_nobody_knows_is_bound_by_its_rate() {
        let found = predict(&plain(), &[load("shop.example", 600)], CAPACITY);
        assert_eq!((found[0].seconds, found[0].basis), (300.0, Basis::Rates));
    }

    #[test]
    fn a_cold_source_takes_as_many_days_as_its_plan_says() {
        let noon = 10 * DAY_US + DAY_US / 2;
        let cold = fleet(&["cold"], vec![plan("cold", &[50, 100, 200])], &[], noon);
        let found = &predict(&cold, &[load("google", 150)], CAPACITY)[0];
        assert_eq!(found.basis, Basis::WarmUp);
        assert_eq!(cold.warming(), ["google"]);
        assert!((found.seconds - 43_200.0 - 100.0 / 15.0).abs() < 0.001, "{}", found.seconds);
        // 20 of today's are gone: ten of the rest go on the third day.
        let sent =
            |day, messages| Volume { source: "cold".into(), site: "google".into(), day, messages, bytes: 1 };
        let begun = fleet(&["cold"], vec![plan("cold", &[50, 100, 200])], &[sent(10, 20)], noon);
        let found = &predict(&begun, &[load("google", 140)], CAPACITY)[0];
        assert!(found.seconds > 43_200.0 + 86_400.0 && found.seconds < 43_200.0 + 86_401.0);
        // What a day allows at once is bound by the site's speed alone.
        assert_eq!(predict(&cold, &[load("google", 30)], CAPACITY)[0].basis, Basis::Limits);
        // After its plan it is warm.
        let used = [sent(10, 5), sent(11, 5), sent(12, 5)];
        let warm = fleet(&["cold"], vec![plan("cold", &[50, 100, 200])], &used, 13 * DAY_US);
        assert_eq!(predict(&warm, &[load("google", 1_500)], CAPACITY)[0].basis, Basis::Limits);
        assert!(warm.warming().is_empty());
    }

    #[test]
    fn a_warm_source_beside_takes_the_rest() {
        let both = fleet(&["cold", "warm"], vec![plan("cold", &[50])], &[], 10 * DAY_US);
        let found = &predict(&both, &[load("google", 1_500)], CAPACITY)[0];
        assert_eq!((found.per_second, found.basis), (15.0, Basis::Limits));
        assert!(!fleet(&[], vec![], &[], 0).has_sources());
    }
}
