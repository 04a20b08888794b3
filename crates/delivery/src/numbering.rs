//! Which message gets which number: by lane, then by domain, then by recipient, so that id order is part order.
//!
//! The recipients' domains are the only thing held in memory (a count and two short names each); recipients are
//! read page by page in number order through the index on (delivery, domain, recipient).

use std::collections::HashMap;

use audience::{RecipientColumns, RecipientRow};
use queue::NewPart;
use store::{Dialect, Tx, Value, binds};

use crate::types::{DeliveryId, Error, Result};

/// Recipients of one page: small enough for a short transaction, large enough to hide its cost.
pub(crate) const PAGE_ROWS: usize = 2_000;

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
    shares.sort_by(|a, b| (&a.lane, &a.domain).cmp(&(&b.lane, &b.domain)));
    Ok(shares)
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
    let sql = format!(
        "SELECT {} FROM target t JOIN recipient r ON r.id = t.recipient \
         WHERE t.delivery = $1 AND t.domain {among} AND t.reason IS NULL",
        columns.sql("r")
    );
    let mut rows = tx.query(&sql, &[id.into(), Value::TextArray(names)], |row| {
        let row = columns.read(row)?;
        let place = places.get(row.domain()).copied();
        Ok::<_, Error>((place.ok_or_else(|| Error::Internal("a domain outside its page".into()))?, row))
    })?;
    // The order of a page is ours: the database reads by whichever index it likes.
    rows.sort_unstable_by_key(|(place, row)| (*place, row.id));
    Ok(rows)
}

/// The inner select stops at its limit along the index; joined first, a database may sort the whole rest each time.
fn read_stretch(
    tx: &mut Tx<'_>,
    id: DeliveryId,
    domain: &str,
    after: i64,
    columns: &RecipientColumns,
) -> Result<Vec<RecipientRow>> {
    let sql = format!(
        "SELECT {} FROM (SELECT recipient FROM target WHERE delivery = $1 AND domain = $2 AND recipient > $3 \
         AND reason IS NULL ORDER BY delivery, domain, recipient LIMIT $4) t \
         JOIN recipient r ON r.id = t.recipient ORDER BY r.id",
        columns.sql("r")
    );
    tx.query(&sql, &binds![id, domain, after, PAGE_ROWS as i64], |row| Ok(columns.read(row)?))
}

/// Gathers numbered messages into parts: a part ends where the lane changes, or when it is full.
pub(crate) struct Parts {
    snapshot: String,
    size: i64,
    open: Option<NewPart>,
    closed: Vec<NewPart>,
}

impl Parts {
    pub fn new(snapshot: String, size: i64) -> Parts {
        Parts { snapshot, size, open: None, closed: Vec::new() }
    }

    pub fn add(&mut self, id: i64, lane: &str) {
        match &mut self.open {
            Some(part) if part.lane == lane && part.messages < self.size => {
                part.last_id = id;
                part.messages += 1;
            }
            open => {
                let next = NewPart {
                    first_id: id,
                    last_id: id,
                    snapshot: self.snapshot.clone(),
                    wave: 0,
                    lane: lane.to_owned(),
                    due_us: 0,
                    messages: 1,
                };
                self.closed.extend(open.replace(next));
            }
        }
    }

    pub fn finish(mut self) -> Vec<NewPart> {
        self.closed.extend(self.open.take());
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

    #[test]
    fn parts_end_at_a_lane_and_when_full() {
        let mut parts = Parts::new("hash".into(), 2);
        for (id, lane) in [(0, "a"), (1, "a"), (2, "a"), (3, "b"), (4, "b")] {
            parts.add(id, lane);
        }
        let found: Vec<_> =
            parts.finish().iter().map(|part| (part.first_id, part.last_id, part.messages)).collect();
        assert_eq!(found, [(0, 1, 2), (2, 2, 1), (3, 4, 2)]);
    }
}
