//! The plan before the button is pressed: how many messages each provider gets, and when it will be done.

use std::collections::{BTreeMap, HashMap};

use routes::{Capacity, Fleet, Load, predict};

use crate::Config;
use crate::numbering::DomainShare;
use crate::slots::{LaneLoad, Slotted};
use crate::types::{ProviderPlan, WavePlan};

/// Messages that one core composes and signs in a second (RSA-2048); the room `routes` states the measurement.
const OWN_PER_CORE_SECOND: f64 = 3_500.0;
/// The name under which the domains of no known provider stand together.
const OTHERS: &str = "other";

/// What is expected of a delivery.
pub(crate) struct Expected {
    /// By provider, largest first.
    pub providers: Vec<ProviderPlan>,
    /// By wave.
    pub waves: Vec<WavePlan>,
}

impl Expected {
    /// When all will be done (µs), and at which provider that is.
    pub fn end(&self) -> Option<(i64, &str)> {
        let slowest = self.providers.iter().max_by_key(|plan| plan.predicted_end)?;
        Some((slowest.predicted_end?, &slowest.provider))
    }
}

/// Reckons slot after slot in the order of their due times: what a provider has not taken of one when the next is due
/// delays that. Through a relay nothing is known of the end.
pub(crate) fn expected(
    slotted: &Slotted,
    shares: &[DomainShare],
    fleet: &Fleet,
    config: &Config,
) -> Expected {
    let capacity = Capacity { own_per_second: OWN_PER_CORE_SECOND * config.analysis_threads.max(1) as f64 };
    let mut waves: Vec<WavePlan> = (0..)
        .zip(slotted.slots.waves())
        .map(|(wave, planned)| WavePlan {
            wave,
            starts_at: i64::MAX,
            ends_at: None,
            messages: planned.messages,
        })
        .collect();
    let mut free_at: HashMap<String, i64> = HashMap::new();
    let mut plans: BTreeMap<String, ProviderPlan> = BTreeMap::new();
    for (slot, lanes) in slotted.loads(shares) {
        let loads: Vec<Load> = lanes.iter().map(load).collect();
        let wave = usize::try_from(slot.wave).ok().and_then(|wave| waves.get_mut(wave));
        let mut slot_end = slot.due_us;
        for prediction in predict(fleet, &loads, capacity) {
            let begins = free_at.get(&prediction.site).map_or(slot.due_us, |free| slot.due_us.max(*free));
            let end = begins.saturating_add((prediction.seconds * 1e6) as i64);
            free_at.insert(prediction.site.clone(), end);
            slot_end = slot_end.max(end);
            let provider = match prediction.site.starts_with(queue::TAIL_LANE) {
                true => OTHERS.to_owned(),
                false => prediction.site,
            };
            let empty = ProviderPlan { provider: provider.clone(), messages: 0, predicted_end: None };
            let plan = plans.entry(provider).or_insert(empty);
            plan.messages += prediction.messages as i64;
            plan.predicted_end = plan.predicted_end.max((!config.relay).then_some(end));
        }
        if let Some(wave) = wave {
            wave.starts_at = wave.starts_at.min(slot.due_us);
            wave.ends_at = wave.ends_at.max((!config.relay).then_some(slot_end));
        }
    }
    // A wave that nobody is in keeps its own start.
    for (wave, planned) in waves.iter_mut().zip(slotted.slots.waves()) {
        wave.starts_at = if wave.starts_at == i64::MAX { planned.start_us } else { wave.starts_at };
    }
    let mut plans: Vec<_> = plans.into_values().collect();
    plans.sort_by(|a, b| b.messages.cmp(&a.messages).then_with(|| a.provider.cmp(&b.provider)));
    Expected { providers: plans, waves }
}

fn load(lane: &LaneLoad<'_>) -> Load {
    Load {
        site: lane.lane.to_owned(),
        messages: lane.messages.unsigned_abs(),
        domains: lane.domains,
        learned_per_second: None,
    }
}
