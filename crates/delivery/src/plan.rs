//! The plan before the button is pressed: how many messages each provider gets, and when it will be done.

use std::collections::BTreeMap;

use routes::{Capacity, Load, Routes, predict};

use crate::Config;
use crate::numbering::DomainShare;
use crate::types::ProviderPlan;

/// Messages that one core composes and signs in a second (RSA-2048); the room `routes` states the measurement.
const OWN_PER_CORE_SECOND: f64 = 3_500.0;
/// The name under which the domains of no known provider stand together.
const OTHERS: &str = "other";

/// By provider, with the end predicted from `start_us`. Through a relay nothing is known of the end.
pub(crate) fn providers(
    shares: &[DomainShare],
    routes: &Routes,
    config: &Config,
    start_us: i64,
) -> Vec<ProviderPlan> {
    let mut lanes: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for share in shares {
        let lane = lanes.entry(&share.lane).or_default();
        lane.0 += share.messages.unsigned_abs();
        lane.1 += 1;
    }
    let loads: Vec<_> = lanes
        .iter()
        .map(|(lane, (messages, domains))| Load {
            site: (*lane).to_owned(),
            messages: *messages,
            domains: *domains,
            learned_per_second: None,
        })
        .collect();
    let capacity =
        Capacity { own_per_second: OWN_PER_CORE_SECOND * config.analysis_threads.max(1) as f64, sources: 1 };
    let mut plans: BTreeMap<String, ProviderPlan> = BTreeMap::new();
    for prediction in predict(routes.providers(), &loads, capacity) {
        let provider = match prediction.site.starts_with("tail-") {
            true => OTHERS.to_owned(),
            false => prediction.site.clone(),
        };
        let end = (!config.relay).then(|| start_us + (prediction.seconds * 1e6) as i64);
        let plan = plans.entry(provider.clone()).or_insert(ProviderPlan {
            provider,
            messages: 0,
            predicted_end: None,
        });
        plan.messages += prediction.messages as i64;
        plan.predicted_end = plan.predicted_end.max(end);
    }
    let mut plans: Vec<_> = plans.into_values().collect();
    plans.sort_by(|a, b| b.messages.cmp(&a.messages).then_with(|| a.provider.cmp(&b.provider)));
    plans
}
