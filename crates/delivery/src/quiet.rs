//! Quiet hours while sending: what is not out when the evening comes waits for the morning, first tries and retries alike.
//!
//! The analysis moves each message's due time out of its recipient's quiet hours; but a slow provider, a retry or a pause can
//! bring it back into them. So each part knows the zone of its recipients, and when the hours begin there, everything of that
//! zone that is due before their end is put off until it. The engine looks at due times only, and learned nothing new.

use std::collections::HashMap;

use store::{Lane, Tx, binds};
use typology::Level;

use crate::definition::Definition;
use crate::parameters::SECOND_US;
use crate::schedule::{self, DayHours, zone_named};
use crate::types::{DeliveryId, Error, Result};
use crate::{Deliveries, journal};

/// The hours are taken to begin so much earlier: what is on a connection then has ended when they do.
const LEAD_US: i64 = 2 * SECOND_US;

/// A part and the zone of its recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QuietPart {
    pub first_id: i64,
    pub zone: String,
}

/// Keeps the parts of an analysis, in the transaction that freezes the delivery.
pub(crate) fn keep(tx: &mut Tx<'_>, id: DeliveryId, parts: &[QuietPart]) -> Result<()> {
    forget(tx, id)?;
    tx.execute_many(
        "INSERT INTO quiet_part (delivery, zone, first_id) VALUES ($1, $2, $3)",
        parts.iter().map(|part| binds![id, part.zone.as_str(), part.first_id]),
    )?;
    Ok(())
}

/// Forgets them, when a new analysis begins and when the run is over.
pub(crate) fn forget(tx: &mut Tx<'_>, id: DeliveryId) -> Result<()> {
    tx.execute("DELETE FROM quiet_part WHERE delivery = $1", &binds![id])?;
    Ok(())
}

/// A zone whose recipients have quiet hours now.
struct Closed {
    id: DeliveryId,
    zone: String,
    until_us: i64,
}

impl Deliveries {
    /// Puts off what would go out in somebody's quiet hours. Called each second.
    pub(crate) async fn watch_quiet(&self, now_us: i64) -> Result<()> {
        let closed = self.store.read(move |tx| closed(tx, now_us + LEAD_US)).await?;
        for Closed { id, zone, until_us } in closed {
            let moved = self
                .store
                .write(Lane::Urgent, move |tx| {
                    let parts = parts_of(tx, id, &zone)?;
                    let moved = queue::runs::put_off(tx, id, parts, until_us)?;
                    if moved {
                        note(tx, id, &zone, (now_us, until_us))?;
                    }
                    Ok::<_, Error>(moved)
                })
                .await?;
            if moved {
                self.rooms.queue.changed();
            }
        }
        Ok(())
    }
}

/// Says once an evening why nothing goes out.
fn note(tx: &mut Tx<'_>, id: DeliveryId, zone: &str, (now_us, until_us): (i64, i64)) -> Result<()> {
    let until = zone_named(zone).map(|zone| schedule::shown(until_us, &zone)).unwrap_or_default();
    let text = format!("Quiet hours: what is not out there waits until {until}");
    let known = tx.query_opt(
        "SELECT 1 FROM journal WHERE delivery = $1 AND message = $2 LIMIT 1",
        &binds![id, text.as_str()],
        |row| row.int(0).map_err(Error::from),
    )?;
    if known.is_some() { Ok(()) } else { journal::note(tx, id, now_us, Level::Info, &text) }
}

fn closed(tx: &mut Tx<'_>, at_us: i64) -> Result<Vec<Closed>> {
    let zones = tx.query(
        "SELECT DISTINCT q.delivery, q.zone FROM quiet_part q JOIN delivery d ON d.id = q.delivery \
         WHERE d.state IN ('pending', 'in_progress', 'retrying') ORDER BY q.delivery, q.zone",
        &[],
        |row| Ok::<_, Error>((row.int(0)?, row.text(1)?)),
    )?;
    let mut hours: HashMap<DeliveryId, Option<DayHours>> = HashMap::new();
    let mut found = Vec::new();
    for (id, name) in zones {
        let quiet = match hours.get(&id) {
            Some(known) => *known,
            None => {
                let quiet = hours_of(tx, id)?;
                hours.insert(id, quiet);
                quiet
            }
        };
        let (Some(quiet), Some(zone)) = (quiet, zone_named(&name)) else { continue };
        if quiet.contains(at_us, &zone) {
            found.push(Closed { id, zone: name, until_us: quiet.end_of(at_us, &zone) });
        }
    }
    Ok(found)
}

fn hours_of(tx: &mut Tx<'_>, id: DeliveryId) -> Result<Option<DayHours>> {
    let text = tx.query_opt("SELECT definition FROM delivery WHERE id = $1", &binds![id], |row| {
        row.text(0).map_err(Error::from)
    })?;
    let definition = text.and_then(|text| serde_json::from_str::<Definition>(&text).ok());
    Ok(definition.and_then(|definition| DayHours::parse(definition.schedule.quiet_hours.trim())))
}

fn parts_of(tx: &mut Tx<'_>, id: DeliveryId, zone: &str) -> Result<Vec<i64>> {
    tx.query(
        "SELECT first_id FROM quiet_part WHERE delivery = $1 AND zone = $2 ORDER BY first_id",
        &binds![id, zone],
        |row| row.int(0).map_err(Error::from),
    )
}
