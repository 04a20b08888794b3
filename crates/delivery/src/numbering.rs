//! Which message gets which number: by lane, then by slot (a due time of a wave), then by domain, then by recipient, so
//! that id order is part order within a lane. Seeds come behind all others.
//!
//! The recipients' domains are the only thing held in memory (a count and two short names each); recipients are
//! read page by page in number order through the index on (delivery, domain, recipient).

use std::collections::HashMap;

use audience::{RecipientColumns, RecipientRow};
use queue::NewPart;
use store::{Dialect, Tx, Value, binds};

use crate::slots::{Slot, Slotted};
use crate::types::{DeliveryId, Error, Result};

/// Recipients of one page: small enough for a short transaction, large enough to hide its cost.
pub(crate) const PAGE_ROWS: usize = 2_000;

/// Messages from which a domain has a lane of its own: the brake judges from a hundred on.
const OWN_LANE_MESSAGES: i64 = 1_000;
/// Most domains of one delivery that have one: the engine looks at each lane.
const OWN_LANES_MAX: usize = 64;

/// Messages of one domain, in number order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DomainShare {
    pub domain: String,
    pub lane: String,
    pub messages: i64,
}

/// Reads how many messages each domain gets, and sorts them into number order.
pub(crate) fn domain_shares(
    tx: &mut Tx<'_>,
    id: DeliveryId,
    lane_of: &dyn Fn(&str) -> String,
) -> Result<Vec<DomainShare>> {
    let mut shares = tx.query(
        "SELECT domain, count(*) FROM target WHERE delivery = $1 AND reason IS NULL GROUP BY domain",
        &binds![id],
        |row| {
            let domain = row.text(0)?;
            Ok::<_, Error>(DomainShare { lane: lane_of(&domain), domain, messages: row.int(1)? })
        },
    )?;
    own_lanes(&mut shares);
    shares.sort_by(|a, b| (&a.lane, &a.domain).cmp(&(&b.lane, &b.domain)));
    Ok(shares)
}

/// Gives the largest domains of the shared lanes a lane of their own: the brake can hold what has a lane, and one that takes
/// nothing for a while keeps no other waiting.
fn own_lanes(shares: &mut [DomainShare]) {
    let mut large: Vec<&mut DomainShare> = shares
        .iter_mut()
        .filter(|share| share.messages >= OWN_LANE_MESSAGES && share.lane.starts_with(queue::TAIL_LANE))
        // A name that looks like a shared lane would be taken for one.
        .filter(|share| !share.domain.starts_with(queue::TAIL_LANE))
        .collect();
    large.sort_by(|a, b| b.messages.cmp(&a.messages).then_with(|| a.domain.cmp(&b.domain)));
    for share in large.into_iter().take(OWN_LANES_MAX) {
        share.lane = share.domain.clone();
    }
}

/// What one page reads: some small domains together, or a stretch of one large one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Page {
    /// Domains `from ..= to` (places in number order), whole.
    Domains { from: usize, to: usize },
    /// Recipients of one domain behind `after`.
    Stretch { at: usize, after: i64 },
}

/// Cuts the shares into pages. A stretch's `after` is only known once the page before it was read, so stretches are
/// asked for one by one with [`Cutter::next`].
pub(crate) struct Cutter {
    counts: Vec<i64>,
    at: usize,
    left: i64,
    after: i64,
}

impl Cutter {
    pub fn new(shares: &[DomainShare]) -> Cutter {
        Cutter { counts: shares.iter().map(|share| share.messages).collect(), at: 0, left: 0, after: 0 }
    }

    /// The next page; `last` is the recipient that the page before ended with.
    pub fn next(&mut self, last: i64) -> Option<Page> {
        if self.left > 0 {
            self.after = last;
            self.left -= PAGE_ROWS as i64;
            let page = Page::Stretch { at: self.at, after: self.after };
            if self.left <= 0 {
                self.at += 1;
            }
            return Some(page);
        }
        let from = self.at;
        let mut rows = 0;
        while self.at < self.counts.len() && (rows == 0 || rows + self.counts[self.at] <= PAGE_ROWS as i64) {
            if rows == 0 && self.counts[self.at] > PAGE_ROWS as i64 {
                self.left = self.counts[self.at] - PAGE_ROWS as i64;
                return Some(Page::Stretch { at: self.at, after: i64::MIN });
            }
            rows += self.counts[self.at];
            self.at += 1;
        }
        (rows > 0).then(|| Page::Domains { from, to: self.at - 1 })
    }
}

/// The recipients of a page in number order, each with the place of its domain in `shares`.
pub(crate) fn read_page(
    tx: &mut Tx<'_>,
    id: DeliveryId,
    page: &Page,
    shares: &[DomainShare],
    columns: &RecipientColumns,
) -> Result<Vec<(usize, RecipientRow)>> {
    match page {
        Page::Domains { from, to } => {
            read_domains(tx, id, *from, shares.get(*from..=*to).unwrap_or_default(), columns)
        }
        Page::Stretch { at, after } => {
            let domain = shares.get(*at).map(|share| share.domain.as_str()).unwrap_or_default();
            let rows = read_stretch(tx, id, domain, *after, columns)?;
            Ok(rows.into_iter().map(|row| (*at, row)).collect())
        }
    }
}

fn read_domains(
    tx: &mut Tx<'_>,
    id: DeliveryId,
    first: usize,
    shares: &[DomainShare],
    columns: &RecipientColumns,
) -> Result<Vec<(usize, RecipientRow)>> {
    let places: HashMap<&str, usize> =
        shares.iter().enumerate().map(|(index, share)| (share.domain.as_str(), first + index)).collect();
    let names = shares.iter().map(|share| Some(share.domain.clone())).collect();
    let among = match tx.dialect() {
        Dialect::Sqlite => "IN (SELECT value FROM json_each($2))",
        Dialect::Postgres => "= ANY($2)",
    };
    let expected: i64 = shares.iter().map(|share| share.messages).sum();
    let binds = [id.into(), Value::TextArray(names)];
    let mut rows = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    for table in PEOPLE {
        // Guests are looked for where somebody is missing.
        if rows.len() as i64 == expected {
            break;
        }
        let sql = format!(
            "SELECT {} FROM target t JOIN {table} r ON r.id = t.recipient \
             WHERE t.delivery = $1 AND t.domain {among} AND t.reason IS NULL",
            columns.sql("r")
        );
        rows.extend(tx.query(&sql, &binds, |row| {
            let row = columns.read(row)?;
            let place = places.get(row.domain()).copied();
            Ok::<_, Error>((place.ok_or_else(|| Error::Internal("a domain outside its page".into()))?, row))
        })?);
    }
    // The order of a page is ours: the database reads by whichever index it likes.
    rows.sort_unstable_by_key(|(place, row)| (*place, row.id));
    Ok(rows)
}

/// Where the people of a target stand: guests' ids are above all recipients'.
const PEOPLE: [&str; 2] = ["recipient", "guest"];

/// The inner select stops at its limit along the index; joined first, a database may sort the whole rest each time.
fn read_stretch(
    tx: &mut Tx<'_>,
    id: DeliveryId,
    domain: &str,
    after: i64,
    columns: &RecipientColumns,
) -> Result<Vec<RecipientRow>> {
    let mut rows = Vec::with_capacity(PAGE_ROWS);
    for table in PEOPLE {
        if rows.len() == PAGE_ROWS {
            break;
        }
        let sql = format!(
            "SELECT {} FROM (SELECT recipient FROM target WHERE delivery = $1 AND domain = $2 AND recipient > $3 \
             AND reason IS NULL ORDER BY delivery, domain, recipient LIMIT $4) t \
             JOIN {table} r ON r.id = t.recipient ORDER BY r.id",
            columns.sql("r")
        );
        let found = tx.query(&sql, &binds![id, domain, after, PAGE_ROWS as i64], |row| {
            columns.read(row).map_err(Error::from)
        })?;
        rows.extend(found);
    }
    rest_of_last(tx, id, domain, columns, &mut rows)?;
    Ok(rows)
}

/// Somebody who gets several messages has them all in one page, because the next one begins behind the recipient.
fn rest_of_last(
    tx: &mut Tx<'_>,
    id: DeliveryId,
    domain: &str,
    columns: &RecipientColumns,
    rows: &mut Vec<RecipientRow>,
) -> Result<()> {
    let Some(last) = rows.last().filter(|_| rows.len() == PAGE_ROWS).cloned() else { return Ok(()) };
    let here = rows.iter().rev().take_while(|row| row.id == last.id).count() as i64;
    let table = PEOPLE[usize::from(last.id >= audience::GUEST_FIRST)];
    let sql = format!(
        "SELECT {} FROM (SELECT recipient FROM target WHERE delivery = $1 AND domain = $2 AND recipient = $3 \
         AND reason IS NULL ORDER BY copy LIMIT $4 OFFSET $5) t JOIN {table} r ON r.id = t.recipient",
        columns.sql("r")
    );
    let more = binds![id, domain, last.id, crate::checks::TARGET_ITEMS_MAX as i64, here];
    rows.extend(tx.query(&sql, &more, |row| columns.read(row).map_err(Error::from))?);
    Ok(())
}

/// Hands out numbers while recipients are read by lane, domain and recipient.
pub(crate) struct Numbers {
    /// Next free number and end, by places of domain and slot; empty: one slot takes everybody, in the order of reading.
    ranges: HashMap<(u32, u32), (i64, i64)>,
    end: i64,
}

impl Numbers {
    pub fn new(shares: &[DomainShare], slotted: &Slotted) -> Numbers {
        if slotted.slots.is_single() {
            return Numbers { ranges: HashMap::new(), end: 0 };
        }
        // Slots are numbered in their order, so sorting by (lane, slot, domain) is sorting by these three.
        let mut order: Vec<(u32, u32)> = slotted.counts.keys().copied().collect();
        let lane = |place: u32| shares.get(place as usize).map(|share| share.lane.as_str());
        order.sort_unstable_by_key(|(place, slot)| (lane(*place), *slot, *place));
        let mut end = 0;
        let ranges = order.into_iter().map(|key| {
            let first = end;
            end += i64::from(slotted.counts[&key]);
            (key, (first, end))
        });
        Numbers { ranges: ranges.collect(), end }
    }

    /// The number of the next recipient of a domain and slot. Somebody whose zone changed after the count stands behind
    /// all others, alone: `true`.
    pub fn next(&mut self, place: usize, slot: usize) -> (i64, bool) {
        if self.ranges.is_empty() {
            self.end += 1;
            return (self.end - 1, false);
        }
        match self.ranges.get_mut(&(place as u32, slot as u32)) {
            Some((next, end)) if *next < *end => {
                *next += 1;
                (*next - 1, false)
            }
            _ => {
                self.end += 1;
                (self.end - 1, true)
            }
        }
    }
}

/// Gathers numbered messages into parts: a part ends where the lane changes, or when it is full; each slot has its own.
pub(crate) struct Parts {
    /// Of wave n; the first one is that of all others.
    snapshots: Vec<String>,
    /// The wave that waits for the winner of a test.
    held: Option<i64>,
    size: i64,
    /// What the parts' due times count from (µs).
    starts_at: i64,
    lane: String,
    open: HashMap<Slot, NewPart>,
    closed: Vec<NewPart>,
    /// The slot of each part, by its first id.
    slots: Vec<(i64, Slot)>,
    last_id: Option<i64>,
}

impl Parts {
    pub fn new(snapshot: String, size: i64, starts_at: i64) -> Parts {
        let (open, closed, slots) = (HashMap::new(), Vec::new(), Vec::new());
        let (snapshots, lane) = (vec![snapshot], String::new());
        Parts { snapshots, held: None, size, starts_at, lane, open, closed, slots, last_id: None }
    }

    /// The same with a content for each of the first waves; the wave `held` waits until it is known which is its.
    pub fn by_wave(self, snapshots: Vec<String>, held: Option<i64>) -> Parts {
        Parts { snapshots, held, ..self }
    }

    /// The slot of a delivery that sends to everybody at once.
    pub fn at_once(&self) -> Slot {
        Slot { wave: 0, due_us: self.starts_at, behind: false, zone: 0 }
    }

    /// The number (not the id) that the first seed gets, once everybody else has theirs.
    pub fn seeds_from(&self) -> i64 {
        self.last_id.map_or(0, |id| (id & (queue::MESSAGES_MAX - 1)) + 1)
    }

    /// Adds a message; lanes come one after another, and ids rise within a lane's slot.
    pub fn add(&mut self, id: i64, lane: &str, slot: Slot) {
        self.last_id = self.last_id.max(Some(id));
        if self.lane != lane {
            self.close();
            lane.clone_into(&mut self.lane);
        }
        match self.open.get_mut(&slot) {
            Some(part) if part.messages < self.size => {
                part.last_id = id;
                part.messages += 1;
            }
            _ => {
                let next = self.part(id, lane, slot);
                self.closed.extend(self.open.insert(slot, next));
            }
        }
    }

    /// Adds a message that stands behind all others.
    pub fn add_alone(&mut self, id: i64, lane: &str, slot: Slot) {
        self.last_id = self.last_id.max(Some(id));
        let part = self.part(id, lane, slot);
        self.closed.push(part);
    }

    /// Adds a seed's message: due at the start, counted apart. After everybody else, lanes sorted.
    pub fn add_seed(&mut self, id: i64, lane: &str) {
        self.add(id, lane, Slot { wave: queue::SEED_WAVE, ..self.at_once() });
    }

    /// The slot of each part, by its first id.
    pub fn slots(&self) -> &[(i64, Slot)] {
        &self.slots
    }

    fn part(&mut self, id: i64, lane: &str, slot: Slot) -> NewPart {
        self.slots.push((id, slot));
        let own = usize::try_from(slot.wave).ok().and_then(|wave| self.snapshots.get(wave));
        let due_us = match self.held == Some(slot.wave) {
            true => queue::variants::HELD_DUE_US,
            false => slot.due_us - self.starts_at,
        };
        NewPart {
            first_id: id,
            last_id: id,
            snapshot: own.or(self.snapshots.first()).cloned().unwrap_or_default(),
            wave: slot.wave,
            lane: lane.to_owned(),
            due_us,
            messages: 1,
        }
    }

    fn close(&mut self) {
        self.closed.extend(self.open.drain().map(|(_, part)| part));
    }

    pub fn finish(mut self) -> Vec<NewPart> {
        self.close();
        self.closed.sort_unstable_by_key(|part| part.first_id);
        self.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(counts: &[i64]) -> Vec<DomainShare> {
        counts
            .iter()
            .map(|messages| DomainShare { domain: "d.example".into(), lane: "l".into(), messages: *messages })
            .collect()
    }

    #[test]
    fn large_domains_have_a_lane_of_their_own() {
        let share = |domain: &str, lane: &str, messages| DomainShare {
            domain: domain.into(),
            lane: lane.into(),
            messages,
        };
        let mut shares = vec![
            share("big.example", "tail-3", OWN_LANE_MESSAGES),
            share("gmail.com", "google", 9_000),
            share("small.example", "tail-3", OWN_LANE_MESSAGES - 1),
            share("tail-1.example", "tail-7", 5_000),
        ];
        own_lanes(&mut shares);
        let lanes: Vec<&str> = shares.iter().map(|share| share.lane.as_str()).collect();
        assert_eq!(lanes, ["big.example", "google", "tail-3", "tail-7"]);
        let mut many: Vec<_> =
            (0..100).map(|n| share(&format!("d{n}.example"), "tail-1", 1_000 + n)).collect();
        own_lanes(&mut many);
        assert_eq!(many.iter().filter(|share| share.lane == share.domain).count(), OWN_LANES_MAX);
        assert_eq!(many[99].lane, "d99.example", "the largest first");
    }

    #[test]
    fn pages_cover_every_domain_once() {
        let page = PAGE_ROWS as i64;
        let mut cutter = Cutter::new(&shares(&[3, page - 3, 1, 2 * page + 1, 5, 0, 7]));
        let mut pages = Vec::new();
        let mut last = 10;
        while let Some(next) = cutter.next(last) {
            last += 10;
            pages.push(next);
        }
        assert_eq!(
            pages,
            [
                Page::Domains { from: 0, to: 1 },
                Page::Domains { from: 2, to: 2 },
                Page::Stretch { at: 3, after: i64::MIN },
                Page::Stretch { at: 3, after: 40 },
                Page::Stretch { at: 3, after: 50 },
                Page::Domains { from: 4, to: 6 },
            ]
        );
    }

    fn at(wave: i64) -> Slot {
        Slot { wave, due_us: wave * 10, behind: false, zone: 0 }
    }

    #[test]
    fn parts_end_at_a_lane_and_when_full() {
        let mut parts = Parts::new("hash".into(), 2, 0);
        for (id, lane) in [(0, "a"), (1, "a"), (2, "a"), (3, "b"), (4, "b")] {
            parts.add(id, lane, at(0));
        }
        let found: Vec<_> =
            parts.finish().iter().map(|part| (part.first_id, part.last_id, part.messages)).collect();
        assert_eq!(found, [(0, 1, 2), (2, 2, 1), (3, 4, 2)]);
    }

    #[test]
    fn slots_of_a_lane_have_parts_of_their_own_and_seeds_come_last() {
        let mut parts = Parts::new("hash".into(), 8, 10);
        for (id, wave) in [(0, 1), (5, 2), (1, 1), (6, 2), (2, 1)] {
            parts.add(id, "a", at(wave));
        }
        parts.add_alone(7, "a", at(3));
        assert_eq!(parts.seeds_from(), 8);
        parts.add_seed(8, "a");
        parts.add_seed(9, "b");
        let found: Vec<_> = parts
            .finish()
            .into_iter()
            .map(|part| (part.first_id, part.last_id, part.wave, part.due_us, part.messages, part.lane))
            .collect();
        let part = |first, last, wave, due, messages, lane: &str| {
            (first, last, wave, due, messages, lane.to_owned())
        };
        assert_eq!(
            found,
            [
                part(0, 2, 1, 0, 3, "a"),
                part(5, 6, 2, 10, 2, "a"),
                part(7, 7, 3, 20, 1, "a"),
                part(8, 8, queue::SEED_WAVE, 0, 1, "a"),
                part(9, 9, queue::SEED_WAVE, 0, 1, "b"),
            ]
        );
    }

    #[test]
    fn numbers_rise_by_lane_slot_and_domain_and_nobody_gets_anothers() {
        let mut shares = shares(&[3, 2, 2]);
        shares[2].lane = "m".into();
        let mut slotted = Slotted::single(crate::schedule::Plan::at_once(0), 7);
        let mut single = Numbers::new(&shares, &slotted);
        let plain: Vec<_> = (0..3).map(|place| single.next(place, 0)).collect();
        assert_eq!(plain, [(0, false), (1, false), (2, false)]);
        slotted = Slotted::with_waves(2);
        slotted.counts = [((0, 0), 1), ((0, 1), 2), ((1, 0), 2), ((2, 0), 1), ((2, 1), 1)].into();
        let mut numbers = Numbers::new(&shares, &slotted);
        let asked = [(0, 1), (0, 0), (0, 1), (1, 0), (1, 0), (2, 1), (2, 0)];
        let found: Vec<_> = asked.iter().map(|(place, slot)| numbers.next(*place, *slot).0).collect();
        assert_eq!(found, [3, 0, 4, 1, 2, 6, 5]);
        assert_eq!((numbers.next(1, 1), numbers.next(0, 0)), ((7, true), (8, true)));
    }
}
