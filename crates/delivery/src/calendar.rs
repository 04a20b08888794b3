//! The calendar: which deliveries and waves go out in a stretch of time, and what that adds up to by the hour.

use serde::Serialize;
use store::{Tx, binds};

use crate::Deliveries;
use crate::types::{DeliveryId, Error, Result, State, WavePlan};

/// Longest stretch of time that is looked at: a year and a day.
pub const CALENDAR_DAYS_MAX: i64 = 366;
/// Most entries of one answer.
pub const CALENDAR_ENTRIES_MAX: usize = 5_000;

const HOUR_US: i64 = 3_600 * crate::parameters::SECOND_US;

/// What goes out at a time: a wave, or the analysis of a provisional delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CalendarEntry {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its label.
    pub label: String,
    /// Where it stands.
    pub state: State,
    /// The wave, from 0; absent: on this date it is analysed, not sent.
    pub wave: Option<i64>,
    /// Waves of the delivery.
    pub waves: i64,
    /// When it begins (µs).
    pub starts_at: i64,
    /// When it should be out (µs); absent where nothing is known of it.
    pub ends_at: Option<i64>,
    /// Messages; of a provisional delivery those of its last analysis, if it had one.
    pub messages: i64,
    /// Nothing of it was confirmed yet: it happens only when somebody does.
    pub tentative: bool,
}

/// Messages expected to go out in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HourLoad {
    /// When the hour begins (µs, whole hours of UTC).
    pub hour: i64,
    /// Messages of confirmed deliveries.
    pub confirmed: i64,
    /// Messages of others.
    pub tentative: i64,
}

/// A stretch of the calendar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Calendar {
    /// In the order of their beginnings.
    pub entries: Vec<CalendarEntry>,
    /// Hours in which something goes out, in order.
    pub load: Vec<HourLoad>,
    /// There are more entries than one answer holds; ask for a shorter stretch.
    pub more: bool,
}

impl Deliveries {
    /// What goes out from `from_us` until before `to_us`. A stretch longer than [`CALENDAR_DAYS_MAX`] is cut.
    pub async fn calendar(&self, from_us: i64, to_us: i64) -> Result<Calendar> {
        let to_us = to_us.min(from_us.saturating_add(CALENDAR_DAYS_MAX * 24 * HOUR_US));
        let mut entries = self.store.read(move |tx| entries(tx, from_us, to_us)).await?;
        entries.sort_by_key(|entry| (entry.starts_at, entry.delivery, entry.wave));
        let more = entries.len() > CALENDAR_ENTRIES_MAX;
        entries.truncate(CALENDAR_ENTRIES_MAX);
        for entry in &mut entries {
            entry.state = self.live_state(entry.delivery, entry.state).await?;
        }
        let load = load(&entries, from_us, to_us);
        entries.retain(|entry| entry.starts_at >= from_us);
        Ok(Calendar { entries, load, more })
    }

    /// The waves of a delivery as its last analysis planned them; one when it has none, nothing before an analysis.
    pub async fn waves(&self, id: DeliveryId) -> Result<Vec<WavePlan>> {
        self.store
            .read(move |tx| {
                tx.query(
                    &format!(
                        "SELECT w.wave, w.starts_at + {SHIFT}, w.ends_at + {SHIFT}, w.messages \
                         FROM wave_plan w JOIN timetable t ON t.delivery = w.delivery \
                         JOIN delivery d ON d.id = w.delivery WHERE w.delivery = $1 ORDER BY w.wave"
                    ),
                    &binds![id],
                    |row| {
                        Ok::<_, Error>(WavePlan {
                            wave: row.int(0)?,
                            starts_at: row.int(1)?,
                            ends_at: row.int_opt(2)?,
                            messages: row.int(3)?,
                        })
                    },
                )
            })
            .await
    }
}

/// Without a contact date a plan is as of its analysis: once confirmed, it moves by the time until Confirm.
const SHIFT: &str = "CASE WHEN t.contact_us IS NULL AND d.confirmed_at IS NOT NULL THEN d.confirmed_at - t.planned_at ELSE 0 END";

/// Waves that are under way in the stretch, and provisional dates in it. Waves that began up to a day before may reach into it.
fn entries(tx: &mut Tx<'_>, from_us: i64, to_us: i64) -> Result<Vec<CalendarEntry>> {
    let limit = CALENDAR_ENTRIES_MAX + 1;
    let mut found = tx.query(
        &format!(
            "SELECT s.id, s.label, s.state, s.wave, s.waves, s.starts_at, s.ends_at, s.messages, s.tentative FROM ( \
               SELECT d.id, d.label, d.state, w.wave, w.starts_at + {SHIFT} AS starts_at, w.ends_at + {SHIFT} AS ends_at, \
                 w.messages, CASE WHEN d.confirmed_at IS NULL THEN 1 ELSE 0 END AS tentative, \
                 (SELECT count(*) FROM wave_plan o WHERE o.delivery = d.id) AS waves \
               FROM wave_plan w JOIN timetable t ON t.delivery = w.delivery JOIN delivery d ON d.id = w.delivery \
               WHERE d.state NOT IN ('deleted', 'cancelled', 'draft', 'failed', 'analysing', 'targeting_pending') \
             ) s WHERE s.starts_at < $2 AND coalesce(s.ends_at, s.starts_at) >= $1 ORDER BY s.starts_at LIMIT $3"
        ),
        &binds![from_us, to_us, limit],
        read,
    )?;
    found.extend(tx.query(
        "SELECT d.id, d.label, d.state, CAST(NULL AS BIGINT), 0, p.at, CAST(NULL AS BIGINT), d.to_deliver, 1 \
         FROM provisional p JOIN delivery d ON d.id = p.delivery \
         WHERE p.at >= $1 AND p.at < $2 AND d.state = 'targeting_pending' ORDER BY p.at LIMIT $3",
        &binds![from_us, to_us, limit],
        read,
    )?);
    Ok(found)
}

fn read(row: &store::Row<'_>) -> Result<CalendarEntry> {
    let state = row.text(2)?;
    Ok(CalendarEntry {
        delivery: row.int(0)?,
        label: row.text(1)?,
        state: State::parse(&state).ok_or_else(|| Error::Internal(format!("stored state {state:?}")))?,
        wave: row.int_opt(3)?,
        waves: row.int(4)?,
        starts_at: row.int(5)?,
        ends_at: row.int_opt(6)?,
        messages: row.int(7)?,
        tentative: row.bool(8)?,
    })
}

/// Spreads each wave evenly from its beginning to its predicted end, hour by hour.
fn load(entries: &[CalendarEntry], from_us: i64, to_us: i64) -> Vec<HourLoad> {
    let mut hours: std::collections::BTreeMap<i64, HourLoad> = std::collections::BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.wave.is_some() && entry.messages > 0) {
        let end = entry.ends_at.unwrap_or(entry.starts_at).max(entry.starts_at + 1);
        // What a wave has sent by a moment, so that the hours add up to all of it.
        let by = |at: i64| {
            let passed = i128::from(at.clamp(entry.starts_at, end) - entry.starts_at);
            (i128::from(entry.messages) * passed / i128::from(end - entry.starts_at)) as i64
        };
        let mut hour = entry.starts_at.max(from_us).div_euclid(HOUR_US) * HOUR_US;
        while hour < end.min(to_us) {
            let messages = by(hour + HOUR_US) - by(hour);
            let sum = hours.entry(hour).or_insert(HourLoad { hour, confirmed: 0, tentative: 0 });
            if entry.tentative {
                sum.tentative += messages
            } else {
                sum.confirmed += messages
            }
            hour += HOUR_US;
        }
    }
    hours.into_values().filter(|hour| hour.confirmed + hour.tentative > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(starts_at: i64, ends_at: Option<i64>, messages: i64, tentative: bool) -> CalendarEntry {
        CalendarEntry {
            delivery: 1,
            label: "x".into(),
            state: State::Pending,
            wave: Some(0),
            waves: 1,
            starts_at,
            ends_at,
            messages,
            tentative,
        }
    }

    #[test]
    fn a_wave_is_spread_over_its_hours_and_adds_up() {
        let wave = entry(HOUR_US / 2, Some(2 * HOUR_US), 100, false);
        let other = entry(HOUR_US, None, 7, true);
        let hours = load(&[wave, other], 0, 10 * HOUR_US);
        let found: Vec<_> = hours.iter().map(|h| (h.hour / HOUR_US, h.confirmed, h.tentative)).collect();
        assert_eq!(found, [(0, 33, 0), (1, 67, 7)]);
    }

    #[test]
    fn only_hours_of_the_stretch_are_shown() {
        let wave = entry(0, Some(4 * HOUR_US), 400, false);
        let hours = load(&[wave], 2 * HOUR_US, 3 * HOUR_US);
        assert_eq!(hours, [HourLoad { hour: 2 * HOUR_US, confirmed: 100, tentative: 0 }]);
    }
}
