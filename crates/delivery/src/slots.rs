//! Which message is due when: a *slot* is a due time of a wave, and each recipient has one.
//!
//! Slots are reckoned, not stored: the wave follows from the recipient's scattered rank, the due time from wave and zone.
//! The work table is read once more to count (twice with waves), which costs a tenth of what moving its rows into slots
//! would. In memory there are the ranks at which waves begin, the zones met, and a count for each domain and slot.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use store::{Tx, binds};

use crate::numbering::DomainShare;
use crate::schedule::{Plan, zone_named};
use crate::types::{Delivery, DeliveryId, Error, Result};
use crate::waves::{self, Wave};
use crate::{Deliveries, ab};

/// Ranks are counted in so many buckets, to find where a wave begins without sorting them.
const BUCKETS: usize = 1 << 16;
/// Names of zones that are remembered; more than the world has, for names that are none.
const ZONE_NAMES_MAX: usize = 10_000;

/// A due time of a wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot {
    /// Wave, from 0; [`queue::SEED_WAVE`] for seeds.
    pub wave: i64,
    /// When it is due (µs); as of the reckoning where there is no contact date.
    pub due_us: i64,
    /// Where some go ahead ([`crate::ahead`]): this is the slot of the others, which are due at the same time.
    pub behind: bool,
    /// With quiet hours: the place of its recipients' zone, because the hours begin there when they do. Else 0.
    pub zone: u16,
}

/// The slots of one delivery, in the order (wave, due).
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    plan: Plan,
    salt: u64,
    waves: Vec<Wave>,
    /// The ranks at which waves 1, 2 … begin.
    begins: Vec<u64>,
    zones: Zones,
    slots: Vec<Slot>,
    known: HashMap<(usize, usize, bool), usize>,
    /// Recipients who go ahead of all others; empty: nobody does.
    ahead: Arc<HashSet<i64>>,
}

impl Slots {
    /// Everybody at once.
    pub fn single(plan: Plan, messages: i64) -> Slots {
        let waves = vec![Wave { start_us: plan.start_us, messages }];
        Slots::new(plan, waves, 0, Arc::default())
    }

    fn new(plan: Plan, waves: Vec<Wave>, id: DeliveryId, ahead: Arc<HashSet<i64>>) -> Slots {
        let zones = Zones { names: HashMap::new(), zones: vec![plan.zone.clone()] };
        let mut slots = Slots {
            salt: scattered(id.unsigned_abs()),
            begins: Vec::new(),
            slots: Vec::new(),
            known: HashMap::new(),
            ahead,
            zones,
            plan,
            waves,
        };
        if slots.is_single() {
            slots.place(0, 0, false);
        }
        slots
    }

    /// One slot takes everybody.
    pub fn is_single(&self) -> bool {
        self.waves.len() == 1 && !self.plan.wants_zones() && self.ahead.is_empty()
    }

    /// The schedule that they were reckoned by.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The delivery's waves.
    pub fn waves(&self) -> &[Wave] {
        &self.waves
    }

    /// Slots met so far.
    pub fn all(&self) -> &[Slot] {
        &self.slots
    }

    /// What the due times of parts count from (µs): with a contact date the earliest of them, which the run then starts
    /// at; without one the moment of reckoning, which Confirm's stands for.
    pub fn starts_at(&self) -> i64 {
        let dated = self.slots.iter().filter(|_| self.plan.contact_us.is_some());
        dated.map(|slot| slot.due_us).min().unwrap_or(self.plan.start_us)
    }

    /// The latest due time (µs).
    pub fn last_due(&self) -> i64 {
        self.slots.iter().map(|slot| slot.due_us).max().unwrap_or(self.plan.start_us)
    }

    /// The place of a recipient's slot in [`Slots::all`]; one that was not met before is added at its end.
    pub fn of(&mut self, recipient: i64, zone: &str) -> usize {
        if self.is_single() {
            return 0;
        }
        let wave = self.wave_of(self.rank(recipient));
        let zone = self.zones.number(zone);
        self.place(wave, zone, self.is_behind(recipient))
    }

    fn is_behind(&self, recipient: i64) -> bool {
        !self.ahead.is_empty() && !self.ahead.contains(&recipient)
    }

    /// Until when a start may be put off (µs) without a message coming into somebody's quiet hours, for slots that were
    /// reckoned for a start at once. `None`: for good.
    pub fn start_before(&self) -> Option<i64> {
        let quiet = self.plan.quiet.filter(|_| self.plan.contact_us.is_none())?;
        let room = self.known.iter().map(|((_, zone, _), slot)| {
            let due_us = self.slots[*slot].due_us;
            quiet.next_inside(due_us, &self.zones.zones[*zone]) - due_us
        });
        let room = room.min().unwrap_or(i64::MAX).min(crate::schedule::START_DELAY_MAX_US);
        Some(self.plan.start_us.saturating_add(room))
    }

    /// The name of a slot's zone; `None`: no hours are quiet.
    pub fn quiet_zone(&self, slot: Slot) -> Option<&str> {
        self.plan.quiet?;
        let zone = self.zones.zones.get(usize::from(slot.zone))?;
        Some(zone.iana_name().unwrap_or("UTC"))
    }

    fn rank(&self, recipient: i64) -> u64 {
        scattered(recipient.cast_unsigned().wrapping_add(self.salt))
    }

    fn wave_of(&self, rank: u64) -> usize {
        self.begins.partition_point(|begin| *begin <= rank)
    }

    fn place(&mut self, wave: usize, zone: usize, behind: bool) -> usize {
        if let Some(slot) = self.known.get(&(wave, zone, behind)) {
            return *slot;
        }
        let start_us = self.waves.get(wave).map_or(self.plan.start_us, |wave| wave.start_us);
        let due_us = self.plan.due_us(start_us, &self.zones.zones[zone]);
        let apart = if self.plan.quiet.is_some() { u16::try_from(zone).unwrap_or(0) } else { 0 };
        let slot = Slot { wave: wave as i64, due_us, behind, zone: apart };
        let at = self.slots.iter().position(|known| *known == slot).unwrap_or_else(|| {
            self.slots.push(slot);
            self.slots.len() - 1
        });
        self.known.insert((wave, zone, behind), at);
        at
    }

    /// Puts the slots into their order; answers where each one went.
    fn sort(&mut self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.slots.len()).collect();
        order.sort_by_key(|at| self.slots[*at]);
        let mut moved = vec![0; order.len()];
        for (to, from) in order.iter().enumerate() {
            moved[*from] = to;
        }
        self.slots = order.iter().map(|from| self.slots[*from]).collect();
        self.known.values_mut().for_each(|slot| *slot = moved[*slot]);
        moved
    }
}

/// Zones by name. Number 0 is the delivery's own, which stands for names that are none.
#[derive(Debug, Clone)]
struct Zones {
    names: HashMap<String, usize>,
    zones: Vec<TimeZone>,
}

impl Zones {
    fn number(&mut self, name: &str) -> usize {
        let name = name.trim();
        if name.is_empty() {
            return 0;
        }
        if let Some(number) = self.names.get(name) {
            return *number;
        }
        let number = match zone_named(name) {
            None => 0,
            Some(zone) => self.zones.iter().position(|known| *known == zone).unwrap_or_else(|| {
                self.zones.push(zone);
                self.zones.len() - 1
            }),
        };
        if self.names.len() < ZONE_NAMES_MAX {
            self.names.insert(name.to_owned(), number);
        }
        number
    }
}

/// A number that looks like none of its neighbours'. Each input has its own output (the last step of SplitMix64), so that
/// no two recipients share a rank.
pub(crate) fn scattered(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// A delivery's slots, and how many messages each domain has in each.
#[derive(Debug, Clone)]
pub(crate) struct Slotted {
    pub slots: Slots,
    /// By place of the domain and of the slot; empty where one slot takes everybody.
    pub counts: HashMap<(u32, u32), u32>,
}

/// What a slot sends through one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LaneLoad<'a> {
    pub lane: &'a str,
    pub messages: i64,
    pub domains: u64,
}

impl Slotted {
    /// Everybody at once.
    pub fn single(plan: Plan, messages: i64) -> Slotted {
        Slotted { slots: Slots::single(plan, messages), counts: HashMap::new() }
    }

    /// Two or more slots without a target, for tests of numbering.
    #[cfg(test)]
    pub fn with_waves(waves: i64) -> Slotted {
        let waves = (0..waves).map(|k| Wave { start_us: k, messages: 1 }).collect();
        Slotted { slots: Slots::new(Plan::at_once(0), waves, 1, Arc::default()), counts: HashMap::new() }
    }

    /// What each slot sends, the earliest due first.
    pub fn loads<'a>(&self, shares: &'a [DomainShare]) -> Vec<(Slot, Vec<LaneLoad<'a>>)> {
        // Who goes ahead and who follows are one load: they are due together.
        let merged = self.merged();
        let mut by_slot: Vec<HashMap<&str, (i64, u64)>> = vec![HashMap::new(); self.slots.all().len()];
        let mut add = |place: usize, slot: usize, messages: i64| {
            let load = by_slot[slot].entry(shares[place].lane.as_str()).or_default();
            *load = (load.0 + messages, load.1 + 1);
        };
        if self.slots.is_single() {
            (0..shares.len()).for_each(|place| add(place, 0, shares[place].messages));
        } else {
            let mut counts: HashMap<(u32, usize), i64> = HashMap::new();
            for ((place, slot), n) in &self.counts {
                *counts.entry((*place, merged[*slot as usize])).or_default() += i64::from(*n);
            }
            counts.iter().for_each(|((place, slot), n)| add(*place as usize, *slot, *n));
        }
        let lanes = |lanes: HashMap<&'a str, (i64, u64)>| {
            lanes
                .into_iter()
                .map(|(lane, (messages, domains))| LaneLoad { lane, messages, domains })
                .collect()
        };
        let mut loads: Vec<(Slot, Vec<LaneLoad<'a>>)> =
            self.slots.all().iter().copied().zip(by_slot.into_iter().map(lanes)).collect();
        loads.retain(|(slot, lanes)| !slot.behind || !lanes.is_empty());
        loads.sort_by_key(|(slot, _)| (slot.due_us, slot.wave));
        loads
    }

    /// For each slot the place of the one that it is reckoned with.
    fn merged(&self) -> Vec<usize> {
        let all = self.slots.all();
        let first = |(at, slot): (usize, &Slot)| match slot.behind {
            false => at,
            true => all.iter().position(|one| *one == Slot { behind: false, ..*slot }).unwrap_or(at),
        };
        all.iter().enumerate().map(first).collect()
    }

    /// Messages that are due before `at_us`.
    pub fn due_before(&self, shares: &[DomainShare], at_us: i64) -> i64 {
        let early = self.loads(shares).into_iter().filter(|(slot, _)| slot.due_us < at_us);
        early.flat_map(|(_, lanes)| lanes).map(|lane| lane.messages).sum()
    }
}

impl Deliveries {
    /// Reckons the slots of a target that is computed.
    pub(crate) async fn slotted(
        &self,
        delivery: &Delivery,
        plan: Plan,
        shares: &Arc<Vec<DomainShare>>,
    ) -> Result<Slotted> {
        let id = delivery.id;
        let messages = shares.iter().map(|share| share.messages).sum();
        let waves = match ab::waves(&delivery.definition, &plan, messages)? {
            Some(samples) => samples,
            None => waves::starts(&delivery.definition, &plan, messages)?,
        };
        let ahead = self.ahead(delivery, plan.start_us, shares).await?;
        let slots = Slots::new(plan, waves, id, ahead);
        if slots.is_single() {
            return Ok(Slotted { slots, counts: HashMap::new() });
        }
        let shares = Arc::clone(shares);
        self.store.read(move |tx| count(tx, id, slots, &shares)).await
    }
}

fn count(tx: &mut Tx<'_>, id: DeliveryId, slots: Slots, shares: &[DomainShare]) -> Result<Slotted> {
    let mut ranks = Ranks::default();
    if slots.waves.len() > 1 {
        ranks = Ranks::of(&slots.waves);
        tx.query_each(
            "SELECT recipient FROM target WHERE delivery = $1 AND reason IS NULL",
            &binds![id],
            |row| {
                ranks.add(slots.rank(row.int(0)?));
                Ok::<_, Error>(())
            },
        )?;
        ranks.cut();
    }
    let places: HashMap<&str, u32> =
        (0..).zip(shares).map(|(at, share)| (share.domain.as_str(), at)).collect();
    let mut counting = Counting { slots, ranks, counts: HashMap::new(), held: Vec::new() };
    tx.query_each(&rows_sql(&counting.slots.plan), &binds![id], |row| {
        let place = places.get(row.str(0)?).copied();
        let place = place.ok_or_else(|| Error::Internal("a domain that was not counted".into()))?;
        let zone = counting.slots.zones.number(row.str(2)?);
        counting.add(row.int(1)?, place, zone);
        Ok::<_, Error>(())
    })?;
    Ok(counting.finish())
}

/// Domain, recipient and the name of the zone of everybody who gets a message.
fn rows_sql(plan: &Plan) -> String {
    let (zone, joins) = match plan.wants_zones() {
        false => ("''", ""),
        true => (
            "coalesce(r.time_zone, g.time_zone, '')",
            "LEFT JOIN recipient r ON r.id = t.recipient LEFT JOIN guest g ON g.id = t.recipient ",
        ),
    };
    format!(
        "SELECT t.domain, t.recipient, {zone} FROM target t {joins}WHERE t.delivery = $1 AND t.reason IS NULL"
    )
}

/// Where waves begin, found by counting ranks in buckets: first all, then the members of the few buckets that a wave
/// begins in are looked at one by one.
#[derive(Debug, Default)]
struct Ranks {
    /// Members before each wave but the first.
    before: Vec<u64>,
    buckets: Vec<u32>,
    /// For each wave but the first: the bucket that it begins in, and how many of its members come before.
    begins: Vec<(usize, u64)>,
    /// By bucket: its wave, or none when a wave begins in it.
    waves: Vec<Option<u16>>,
}

impl Ranks {
    fn of(waves: &[Wave]) -> Ranks {
        let mut sum = 0;
        let before = waves[..waves.len() - 1].iter().map(|wave| {
            sum += wave.messages.unsigned_abs();
            sum
        });
        Ranks { before: before.collect(), buckets: vec![0; BUCKETS], ..Ranks::default() }
    }

    fn bucket(rank: u64) -> usize {
        (rank >> (64 - BUCKETS.trailing_zeros())) as usize
    }

    fn add(&mut self, rank: u64) {
        self.buckets[Self::bucket(rank)] += 1;
    }

    fn cut(&mut self) {
        let (mut sum, mut wave) = (0_u64, 0_usize);
        self.waves = Vec::with_capacity(BUCKETS);
        for (bucket, members) in self.buckets.iter().enumerate() {
            let end = sum + u64::from(*members);
            let first = wave;
            while self.before.get(wave).is_some_and(|before| *before < end) {
                self.begins.push((bucket, self.before[wave] - sum));
                wave += 1;
            }
            self.waves.push((first == wave).then_some(wave as u16));
            sum = end;
        }
    }

    /// The wave of a rank; `None`: its bucket has members of several.
    fn wave_of(&self, rank: u64) -> Option<usize> {
        match self.waves.get(Self::bucket(rank)) {
            None => Some(0),
            Some(wave) => wave.map(usize::from),
        }
    }

    /// The ranks at which waves begin, from the members of the buckets that they begin in.
    fn thresholds(&self, mut held: Vec<u64>) -> Vec<u64> {
        held.sort_unstable();
        let begin = |(bucket, skip): &(usize, u64)| {
            let from = held.partition_point(|rank| Self::bucket(*rank) < *bucket);
            held.get(from + *skip as usize).copied().unwrap_or(u64::MAX)
        };
        self.begins.iter().map(begin).collect()
    }
}

struct Counting {
    slots: Slots,
    ranks: Ranks,
    counts: HashMap<(u32, u32), u32>,
    /// Rank, domain, zone and whether others go ahead, of those whose wave is not known yet.
    held: Vec<(u64, u32, usize, bool)>,
}

impl Counting {
    fn add(&mut self, recipient: i64, place: u32, zone: usize) {
        let (rank, behind) = (self.slots.rank(recipient), self.slots.is_behind(recipient));
        match self.ranks.wave_of(rank) {
            Some(wave) => self.count(place, wave, zone, behind),
            None => self.held.push((rank, place, zone, behind)),
        }
    }

    fn count(&mut self, place: u32, wave: usize, zone: usize, behind: bool) {
        let slot = self.slots.place(wave, zone, behind);
        *self.counts.entry((place, slot as u32)).or_default() += 1;
    }

    fn finish(mut self) -> Slotted {
        let held = std::mem::take(&mut self.held);
        self.slots.begins = self.ranks.thresholds(held.iter().map(|(rank, ..)| *rank).collect());
        for (rank, place, zone, behind) in held {
            let wave = self.slots.wave_of(rank);
            self.count(place, wave, zone, behind);
        }
        let moved = self.slots.sort();
        let counts = self
            .counts
            .into_iter()
            .map(|((place, slot), n)| ((place, moved[slot as usize] as u32), n))
            .collect();
        Slotted { slots: self.slots, counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Definition;

    const HOUR_US: i64 = 3_600_000_000;

    fn waves(start_us: i64, sizes: &[i64]) -> Vec<Wave> {
        (0..).zip(sizes).map(|(k, n)| Wave { start_us: start_us + k * HOUR_US, messages: *n }).collect()
    }

    /// Counts these recipients as the two passes over the table do.
    fn counted(plan: Plan, sizes: &[i64], people: &[(i64, &str)]) -> Slotted {
        let waves = waves(plan.start_us, sizes);
        let slots = Slots::new(plan, waves, 7, Arc::default());
        let mut ranks = Ranks::default();
        if sizes.len() > 1 {
            ranks = Ranks::of(&slots.waves);
            people.iter().for_each(|(id, _)| ranks.add(slots.rank(*id)));
            ranks.cut();
        }
        let mut counting = Counting { slots, ranks, counts: HashMap::new(), held: Vec::new() };
        for (id, zone) in people {
            let zone = counting.slots.zones.number(zone);
            counting.add(*id, 0, zone);
        }
        counting.finish()
    }

    #[test]
    fn waves_have_exactly_their_size_and_everybody_keeps_the_slot_that_was_counted() {
        let people: Vec<(i64, &str)> = (1..=10_000).map(|id| (id, "")).collect();
        for sizes in [vec![2_500, 2_500, 2_500, 2_500], vec![1, 9_998, 1], vec![3_333; 3], vec![10; 1_000]] {
            let mut sizes = sizes;
            let rest = 10_000 - sizes.iter().sum::<i64>();
            *sizes.last_mut().unwrap() += rest;
            let slotted = counted(Plan::at_once(0), &sizes, &people);
            let found: Vec<i64> =
                (0..sizes.len() as u32).map(|slot| i64::from(slotted.counts[&(0, slot)])).collect();
            assert_eq!(found, sizes);
            let mut slots = slotted.slots.clone();
            let mut again = vec![0; sizes.len()];
            people.iter().for_each(|(id, zone)| again[slots.of(*id, zone)] += 1);
            assert_eq!(again, sizes);
        }
    }

    #[test]
    fn members_of_a_wave_are_scattered() {
        let people: Vec<(i64, &str)> = (1..=10_000).map(|id| (id, "")).collect();
        let mut slots = counted(Plan::at_once(0), &[5_000, 5_000], &people).slots;
        let early = (1..=1_000).filter(|id| slots.of(*id, "") == 0).count();
        assert!((400..600).contains(&early), "{early} of the first thousand are in the first half");
    }

    #[test]
    fn zones_of_the_same_hour_share_a_slot_and_names_that_are_none_have_the_deliverys() {
        let mut definition = Definition::new("x");
        definition.schedule.contact_date = "2026-12-01T08:00".into();
        definition.schedule.time_zone = "Europe/Berlin".into();
        definition.schedule.recipient_time_zone = true;
        let plan = Plan::of(&definition, 0).unwrap();
        let start_us = plan.start_us;
        let names =
            ["Europe/Paris", "Asia/Tokyo", "Mars/Base", "", "Europe/Berlin", "local", "America/New_York"];
        let people: Vec<(i64, &str)> = (1..).zip(names).collect();
        let mut slots = Slots::new(plan, vec![Wave { start_us, messages: 7 }], 7, Arc::default());
        let found: Vec<usize> = people.iter().map(|(id, zone)| slots.of(*id, zone)).collect();
        assert_eq!(slots.all().len(), 3);
        assert_eq!(
            (found[0], found[2], found[3], found[4], found[5]),
            (found[3], found[3], found[3], found[3], found[3])
        );
        assert_eq!(slots.starts_at(), start_us - 8 * HOUR_US, "Tokyo is eight hours before Berlin");
        assert_eq!(slots.last_due(), start_us + 6 * HOUR_US, "New York is six hours behind");
        let moved = slots.sort();
        let dues: Vec<i64> = slots.all().iter().map(|slot| slot.due_us).collect();
        assert!(dues.is_sorted() && moved.len() == 3);
        assert_eq!(slots.of(2, "Asia/Tokyo"), 0);
    }

    #[test]
    fn a_start_at_once_may_wait_until_somebodys_night_begins() {
        let mut definition = Definition::new("x");
        definition.schedule.quiet_hours = "21:00-08:00".into();
        let at = |hour: i64| 20_000 * 24 * HOUR_US + hour * HOUR_US;
        let before = |hour: i64, zones: &[&str]| {
            let plan = Plan::of(&definition, at(hour)).unwrap();
            let people: Vec<(i64, &str)> = (1..).zip(zones.iter().copied()).collect();
            let slots = counted(plan, &[people.len() as i64], &people).slots;
            (slots.start_before().unwrap() - at(hour), slots.last_due() - at(hour))
        };
        assert_eq!(before(12, &["UTC"]), (HOUR_US, 0), "an hour at most");
        assert_eq!(before(20, &["UTC"]), (HOUR_US, 0));
        assert_eq!(before(22, &["UTC"]), (HOUR_US, 10 * HOUR_US), "it waits for the morning");
        let half = 20 * HOUR_US + HOUR_US / 2;
        let plan = Plan::of(&definition, at(0) + half).unwrap();
        let slots = counted(plan, &[1], &[(1, "UTC")]).slots;
        assert_eq!(slots.start_before(), Some(at(21)), "half an hour until the night begins");
        assert_eq!(Slots::single(Plan::at_once(0), 1).start_before(), None);
    }

    #[test]
    fn who_goes_ahead_has_the_lower_numbers_and_is_due_with_the_others() {
        let ahead = Arc::new(HashSet::from([3, 7]));
        let plan = Plan::at_once(5);
        let slots = Slots::new(plan, waves(5, &[10]), 7, ahead);
        let mut counting =
            Counting { slots, ranks: Ranks::default(), counts: HashMap::new(), held: Vec::new() };
        (1..=10).for_each(|id| counting.add(id, 0, 0));
        let slotted = counting.finish();
        let mut slots = slotted.slots.clone();
        let first: Vec<i64> = (1..=10).filter(|id| slots.of(*id, "") == 0).collect();
        assert_eq!(first, [3, 7]);
        assert!(slots.all().iter().all(|slot| slot.due_us == 5));
        let shares = [DomainShare { domain: "a.example".into(), lane: "google".into(), messages: 10 }];
        let loads = slotted.loads(&shares);
        assert_eq!((loads.len(), loads[0].1[0].messages, loads[0].1[0].domains), (1, 10, 1));
        let mut numbers = crate::numbering::Numbers::new(&shares, &slotted);
        assert_eq!((numbers.next(0, 1).0, numbers.next(0, 0).0, numbers.next(0, 0).0), (2, 0, 1));
    }

    #[test]
    fn loads_come_in_the_order_of_their_due_times() {
        let people: Vec<(i64, &str)> = (1..=100).map(|id| (id, "")).collect();
        let slotted = counted(Plan::at_once(0), &[40, 60], &people);
        let shares = [DomainShare { domain: "a.example".into(), lane: "tail-1".into(), messages: 100 }];
        let loads = slotted.loads(&shares);
        let found: Vec<(i64, i64)> =
            loads.iter().map(|(slot, lanes)| (slot.due_us, lanes[0].messages)).collect();
        assert_eq!(found, [(0, 40), (HOUR_US, 60)]);
        assert_eq!(slotted.due_before(&shares, 1), 40);
        assert_eq!(Slotted::single(Plan::at_once(0), 100).loads(&shares)[0].1[0].messages, 100);
    }
}
