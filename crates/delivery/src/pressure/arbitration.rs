//! Who comes first among planned deliveries may change after an analysis: another one is analysed, confirmed or given up.
//!
//! What an analysis counted is kept as a fingerprint. Before it is frozen it is compared once more, so that of two analyses
//! at the same time the one that ends later knows of the other; and each night for what waits for Confirm. Where it is
//! another one, the target is reckoned anew. What was confirmed stays as it is: nothing is sent that was not analysed.

use jiff::tz::TimeZone;
use store::{Lane, Tx, binds};
use typology::Level;

use super::Pressure;
use crate::schedule::{DayHours, Plan};
use crate::states::By;
use crate::types::{Delivery, DeliveryId, Error, Result};
use crate::typologies::facts_of;
use crate::{Deliveries, journal};

/// When the night's comparison begins, in UTC, where the instance has no hours of low activity.
const NIGHT: &str = "01:00-02:00";

/// What planned deliveries count for these rules; `None`: no rule looks at planned ones, or the delivery has no date, so that
/// the next analysis looks at another time anyway.
pub(crate) fn fingerprint(rules: &[Pressure], plan: &Plan) -> Option<String> {
    plan.contact_us?;
    let mut text = String::new();
    for rule in rules.iter().filter(|rule| rule.planned) {
        let mut counted: Vec<String> = rule
            .counted
            .iter()
            .map(|of| format!("{}-{}:{}:{}", of.first_id, of.last_id, of.sent_only, of.weight))
            .collect();
        counted.sort_unstable();
        text.push_str(&format!("{} {} {} {}\n", rule.id, rule.own, rule.limit, counted.join(" ")));
    }
    (!text.is_empty()).then(|| message::Snapshot::hash_of(text.as_bytes()))
}

/// Keeps it, in the transaction that freezes the delivery.
pub(crate) fn keep(tx: &mut Tx<'_>, id: DeliveryId, counted: Option<&str>, now_us: i64) -> Result<()> {
    tx.execute("DELETE FROM arbitrated WHERE delivery = $1", &binds![id])?;
    if let Some(counted) = counted {
        tx.execute(
            "INSERT INTO arbitrated (delivery, counted, looked_at) VALUES ($1, $2, $3)",
            &binds![id, counted, now_us],
        )?;
    }
    Ok(())
}

impl Deliveries {
    /// What an analysis would count now.
    pub(crate) async fn fingerprint_now(&self, delivery: &Delivery) -> Result<Option<String>> {
        let definition = &delivery.definition;
        let plan = Plan::of(definition, self.now_us())?;
        let force = self.in_force(definition, &facts_of(definition), plan.start_us).await?;
        let rules = self.pressures(delivery.id, &force, plan.start_us).await?;
        Ok(fingerprint(&rules, &plan))
    }

    /// Once a night: what waits for Confirm is analysed again where other deliveries changed what its pressure rules count. One
    /// delivery each second.
    pub(crate) async fn rearbitrate(&self, now_us: i64) -> Result<()> {
        let night_us = match &self.config().low_activity {
            Some(low) => low.last_begin(now_us),
            None => DayHours::parse(NIGHT).map_or(now_us, |hours| hours.last_begin(now_us, &TimeZone::UTC)),
        };
        let next = self.store.read(move |tx| due(tx, night_us)).await?;
        let Some((id, counted)) = next else { return Ok(()) };
        self.store
            .write(Lane::Bulk, move |tx| {
                let sql = "UPDATE arbitrated SET looked_at = $2 WHERE delivery = $1";
                tx.execute(sql, &binds![id, now_us]).map_err(Error::from)
            })
            .await?;
        // A rule that cannot be kept any more is told by the next analysis that somebody asks for.
        let Ok(found) = self.fingerprint_now(&self.get(id).await?).await else { return Ok(()) };
        if found.as_deref() == Some(counted.as_str()) {
            return Ok(());
        }
        match self.start_analysis(id, &By::system()).await {
            Ok(_) => self.say_arbitrated(id).await,
            // Somebody edited, confirmed or deleted it in the same second.
            Err(Error::State { .. } | Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn say_arbitrated(&self, id: DeliveryId) -> Result<()> {
        let now_us = self.now_us();
        let text =
            "Analysed again by itself, because other planned deliveries changed what pressure rules count.";
        self.store.write(Lane::Urgent, move |tx| journal::note(tx, id, now_us, Level::Info, text)).await
    }
}

/// A delivery that waits for Confirm, whose date is to come, and that nobody looked at since the night began.
fn due(tx: &mut Tx<'_>, night_us: i64) -> Result<Option<(DeliveryId, String)>> {
    tx.query_opt(
        "SELECT a.delivery, a.counted FROM arbitrated a JOIN delivery d ON d.id = a.delivery \
         JOIN timetable t ON t.delivery = a.delivery \
         WHERE d.state = 'ready' AND a.looked_at < $1 AND t.contact_us > $1 ORDER BY a.looked_at, a.delivery LIMIT 1",
        &binds![night_us],
        |row| Ok((row.int(0)?, row.text(1)?)),
    )
}
