//! The part of an analysis that reckons with time: schedule, slots, predictions, and what is frozen of them.

use std::sync::Arc;

use store::{Tx, binds};
use typology::{Finding, Level, PredictionFact, ScheduleFact};

use crate::analyse::{Source, Work};
use crate::numbering::DomainShare;
use crate::schedule::{self, Plan, Timetable};
use crate::slots::Slotted;
use crate::types::{DeliveryId, ProviderPlan, Result, WavePlan};
use crate::words;

/// The rule that speaks of the contact date.
const RULE: &str = "contact_date";

/// What an analysis found out about when.
pub(crate) struct Timing {
    /// By provider.
    pub plans: Vec<ProviderPlan>,
    /// When all should be out (µs).
    pub predicted_end: Option<i64>,
    /// The pool that the messages go from.
    pool: String,
    waves: Vec<WavePlan>,
    table: Option<Timetable>,
}

impl Work<'_> {
    /// The schedule, as it is at the beginning.
    pub fn scheduled(&self, source: &Source) -> Result<Plan> {
        let now_us = self.this.now_us();
        Ok(match source {
            Source::Readers(_) => Plan::at_once(now_us),
            Source::Target => Plan::of(&self.delivery.definition, now_us)?,
        })
    }

    /// When each message is due.
    pub async fn slotted(
        &mut self,
        source: &Source,
        plan: Plan,
        shares: &Arc<Vec<DomainShare>>,
    ) -> Result<Slotted> {
        if let Source::Readers(readers) = source {
            return Ok(Slotted::single(plan, readers.len() as i64));
        }
        let slotted = self.this.slotted(self.delivery, plan, shares).await?;
        let now_us = self.this.now_us();
        let missed = match slotted.slots.plan().contact_us {
            Some(_) if slotted.slots.starts_at() < now_us => slotted.due_before(shares, now_us),
            _ => 0,
        };
        if missed > 0 {
            let text = format!(
                "for {} the hour of the contact date is past in the recipient's time zone: they go out at once",
                words::counted(missed, "message", "messages")
            );
            self.findings.push(Finding::new(RULE, Level::Warning, text).in_part("schedule"));
        }
        Ok(slotted)
    }

    /// When each provider and each wave will be done, and until when all must be.
    pub async fn timing(
        &mut self,
        source: &Source,
        slotted: &Slotted,
        shares: &[DomainShare],
    ) -> Result<Timing> {
        let (slots, plan) = (&slotted.slots, slotted.slots.plan());
        let valid_until_us = plan.sending(&self.delivery.definition)?.valid_until_us;
        let messages = self.facts.messages.unwrap_or_default();
        let pool = self.this.pool_of(&self.delivery.definition).await?.name;
        if let Source::Readers(_) = source {
            self.expect(plan.start_us, valid_until_us, None);
            return Ok(Timing::at_once("proof", messages, pool));
        }
        let config = self.this.config();
        let fleet = self.this.rooms.routes.fleet(&pool, plan.start_us).await?;
        let expected = crate::plan::expected(slotted, shares, &fleet, &config);
        let end = expected.end();
        self.expect(plan.start_us, valid_until_us, end);
        let definition = &self.delivery.definition;
        let in_waves =
            definition.ab.is_some() || definition.waves.as_ref().is_some_and(crate::waves::are_there);
        let last_wave = expected.waves.last().filter(|_| in_waves);
        self.facts.schedule = Some(ScheduleFact {
            last_due_us: slots.last_due(),
            waves: if in_waves { expected.waves.len() as u32 } else { 0 },
            last_wave_us: last_wave.map(|wave| wave.starts_at),
            last_wave_end_us: last_wave.and_then(|wave| wave.ends_at),
            ..first_fact(plan)
        });
        let table = Timetable {
            planned_at: plan.reckoned_at,
            contact_us: plan.contact_us,
            starts_at: slots.starts_at(),
            start_before: slots.start_before(),
        };
        let predicted_end = end.map(|(end, _)| end);
        let (plans, waves) = (expected.providers, expected.waves);
        Ok(Timing { plans, predicted_end, pool, waves, table: Some(table) })
    }

    fn expect(&mut self, start_us: i64, valid_until_us: i64, end: Option<(i64, &str)>) {
        self.facts.prediction = Some(PredictionFact {
            start_us,
            valid_until_us,
            end_us: end.map_or(start_us, |(end, _)| end),
            slowest: end.map(|(_, provider)| provider.to_owned()),
        });
    }
}

/// What is known of the schedule before the target is.
pub(crate) fn first_fact(plan: &Plan) -> ScheduleFact {
    ScheduleFact {
        contact_us: plan.start_us,
        past: plan.past,
        notes: plan.notes.clone(),
        last_due_us: plan.start_us,
        ..ScheduleFact::default()
    }
}

impl Timing {
    /// Everybody at once, right after Confirm: proofs, and the program's own mails.
    pub fn at_once(what: &str, messages: i64, pool: String) -> Timing {
        let plans = vec![ProviderPlan { provider: what.to_owned(), messages, predicted_end: None }];
        Timing { plans, predicted_end: None, pool, waves: Vec::new(), table: None }
    }

    /// Writes the plan, in the transaction that freezes the delivery.
    pub fn keep(&self, tx: &mut Tx<'_>, id: DeliveryId) -> Result<()> {
        tx.execute("UPDATE delivery SET pool = $2 WHERE id = $1", &binds![id, self.pool.as_str()])?;
        for plan in &self.plans {
            tx.execute(
                "INSERT INTO provider_plan (delivery, provider, messages, predicted_end) VALUES ($1, $2, $3, $4)",
                &binds![id, plan.provider.as_str(), plan.messages, plan.predicted_end],
            )?;
        }
        let Some(table) = &self.table else { return Ok(()) };
        schedule::keep(tx, id, table)?;
        tx.execute_many(
            "INSERT INTO wave_plan (delivery, wave, starts_at, ends_at, messages) VALUES ($1, $2, $3, $4, $5)",
            self.waves
                .iter()
                .map(|wave| binds![id, wave.wave, wave.starts_at, wave.ends_at, wave.messages]),
        )?;
        Ok(())
    }
}
