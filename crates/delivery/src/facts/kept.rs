//! The facts of past analyses: what a rule of one's own is tried on before it is switched on.
//!
//! Of each delivery those of its last analysis that reached the end of its rules are kept, for as long as the delivery.

use store::{Tx, binds};
use typology::{CustomRule, Facts, Tried};

use crate::Deliveries;
use crate::folder::Refusal;
use crate::types::{DeliveryId, Error, Result};

/// Elements kept of each list: enough for a rule to meet what it looks for, and some 30 KB a delivery at most.
const LIST_MAX: usize = 100;
/// Most deliveries that a rule is tried on.
pub const TRIED_MAX: u32 = 500;

/// What a rule says of a past delivery.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TriedOn {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its label.
    pub label: String,
    /// When it was analysed, microseconds UTC.
    pub at: i64,
    /// What the rule says.
    #[serde(flatten)]
    pub tried: Tried,
}

impl Deliveries {
    /// Runs a rule on the facts of the deliveries that were analysed last, newest first; at most [`TRIED_MAX`]. Nothing
    /// is written.
    ///
    /// # Errors
    /// `Refused`, naming the field, when the rule cannot be read, names what is no fact, or loops.
    pub async fn try_rule(&self, rule: &CustomRule, limit: u32) -> Result<Vec<TriedOn>> {
        rule.check().map_err(|(field, error)| Refusal::new(field, format!("is wrong: {error}")))?;
        let limit = i64::from(limit.clamp(1, TRIED_MAX));
        let past = self
            .store
            .read(move |tx| {
                tx.query(
                    "SELECT f.delivery, d.label, f.at, f.facts FROM analysis_facts f \
                     JOIN delivery d ON d.id = f.delivery ORDER BY f.at DESC, f.delivery DESC LIMIT $1",
                    &binds![limit],
                    |row| Ok::<_, Error>((row.int(0)?, row.text(1)?, row.int(2)?, row.text(3)?)),
                )
            })
            .await?;
        let rule = rule.clone();
        let trying = move || past.into_iter().map(|kept| tried(&rule, kept)).collect();
        tokio::task::spawn_blocking(trying)
            .await
            .map_err(|panic| Error::Internal(format!("trying a rule panicked: {panic}")))
    }
}

fn tried(rule: &CustomRule, (delivery, label, at, facts): (DeliveryId, String, i64, String)) -> TriedOn {
    let tried = match serde_json::from_str::<Facts>(&facts) {
        Ok(facts) => rule.try_on(&facts),
        Err(error) => Tried::Unknown(format!("its facts cannot be read: {error}")),
    };
    TriedOn { delivery, label, at, tried }
}

/// The facts as they are kept.
pub(crate) fn to_json(facts: &Facts) -> Result<String> {
    let mut kept = facts.clone();
    kept.links.truncate(LIST_MAX);
    kept.images.truncate(LIST_MAX);
    kept.headers.truncate(LIST_MAX);
    kept.providers.truncate(LIST_MAX);
    for mobile in &mut kept.mobiles {
        mobile.problems.truncate(LIST_MAX);
    }
    serde_json::to_string(&kept).map_err(|error| Error::Internal(format!("facts as JSON: {error}")))
}

/// Keeps the facts of a delivery's analysis in the place of those before.
pub(crate) fn keep(tx: &mut Tx<'_>, id: DeliveryId, facts: &str, now_us: i64) -> Result<()> {
    tx.execute(
        "INSERT INTO analysis_facts (delivery, at, facts) VALUES ($1, $2, $3) \
         ON CONFLICT (delivery) DO UPDATE SET at = excluded.at, facts = excluded.facts",
        &binds![id, now_us, facts],
    )?;
    Ok(())
}

/// Forgets them, with the delivery.
pub(crate) fn forget(tx: &mut Tx<'_>, id: DeliveryId) -> Result<()> {
    tx.execute("DELETE FROM analysis_facts WHERE delivery = $1", &binds![id])?;
    Ok(())
}
