//! When each provider will be done, reckoned before the button is pressed.
//!
//! The reckoning is stated, not clever: a site takes `connections x per_connection_second` messages a second,
//! or the speed that was last seen there; a lane of many small sites takes that of each, up to the number of
//! connections this node opens; and this node cannot compose and sign faster than `own_per_second`, which all
//! share by their number of messages. Retries are not reckoned: who is refused for now comes later.

use serde::Serialize;

use crate::limits::PREDICT_CONNECTIONS_MAX;
use crate::providers::Providers;

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
    /// Source addresses that send at once; each has its own connections. At least 1.
    pub sources: u32,
}

/// Where a predicted speed comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Connections times the usual speed of one connection.
    Limits,
    /// The speed last seen at this site.
    Learned,
    /// This node's own speed is the narrow place.
    Own,
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
pub fn predict(providers: &Providers, loads: &[Load], capacity: Capacity) -> Vec<Prediction> {
    let total: u64 = loads.iter().map(|load| load.messages).sum();
    loads.iter().map(|load| predict_one(providers, load, capacity, total)).collect()
}

fn predict_one(providers: &Providers, load: &Load, capacity: Capacity, total: u64) -> Prediction {
    let (mut per_second, mut basis) = match load.learned_per_second.filter(|speed| *speed > 0.0) {
        Some(speed) => (speed, Basis::Learned),
        None => (speed_by_limits(providers, load, capacity.sources), Basis::Limits),
    };
    // All loads share the node by their number: a load gets that share of the node's speed at least until
    // the others are done, which makes the estimate a careful one.
    if total > 0 {
        let share = capacity.own_per_second * load.messages as f64 / total as f64;
        if share < per_second {
            (per_second, basis) = (share, Basis::Own);
        }
    }
    let seconds = if load.messages == 0 { 0.0 } else { load.messages as f64 / per_second.max(0.001) };
    Prediction { site: load.site.clone(), messages: load.messages, per_second, seconds, basis }
}

fn speed_by_limits(providers: &Providers, load: &Load, sources: u32) -> f64 {
    let rules = providers.rules_of(&load.site);
    let sources = f64::from(sources.max(1));
    let sites = if load.site.starts_with("tail-") { load.domains.max(1) as f64 } else { 1.0 };
    let all = rules.connections_all.map_or(f64::MAX, f64::from);
    let connections =
        ((f64::from(rules.connections) * sources).min(all) * sites).min(PREDICT_CONNECTIONS_MAX);
    let counted = if rules.shared { 1.0 } else { sources };
    let by_rate = rules.messages_per_second().map_or(f64::MAX, |rate| rate * counted * sites);
    (connections * rules.per_connection_second).min(by_rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: Capacity = Capacity { own_per_second: 5_000.0, sources: 1 };

    fn load(site: &str, messages: u64) -> Load {
        Load { site: site.to_owned(), messages, domains: 1, learned_per_second: None }
    }

    #[test]
    fn a_million_to_google_over_one_address_takes_about_eighteen_hours() {
        let found = predict(Providers::built_in(), &[load("google", 1_000_000)], CAPACITY);
        assert_eq!(found[0].per_second, 15.0);
        assert_eq!((found[0].seconds / 3600.0).round(), 19.0);
        assert_eq!(found[0].basis, Basis::Limits);
    }

    #[test]
    fn learned_speed_and_more_sources_count() {
        let mut google = load("google", 1_000);
        google.learned_per_second = Some(100.0);
        let found = predict(Providers::built_in(), &[google], CAPACITY);
        assert_eq!((found[0].seconds, found[0].basis), (10.0, Basis::Learned));
        let two =
            predict(Providers::built_in(), &[load("google", 1_000)], Capacity { sources: 2, ..CAPACITY });
        assert_eq!(two[0].per_second, 30.0);
    }

    #[test]
    fn the_node_itself_is_a_limit_and_nothing_takes_no_time() {
        let mut tail = load("tail-3", 90_000);
        tail.domains = 1_000;
        let found = predict(
            Providers::built_in(),
            &[tail, load("google", 0)],
            Capacity { own_per_second: 500.0, sources: 1 },
        );
        assert_eq!((found[0].per_second, found[0].basis), (500.0, Basis::Own));
        assert_eq!(found[1].seconds, 0.0);
    }
}
