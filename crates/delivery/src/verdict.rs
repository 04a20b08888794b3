//! How an analysis ends: what is frozen, what the journal says, and the state that the delivery is left in.

use queue::plan;
use store::{Lane, Tx, binds};
use typology::{Finding, Level};

use crate::ab::{self, FrozenContent};
use crate::analysis::AnalysisHandle;
use crate::history::{self, Ended};
use crate::members::Members;
use crate::quiet::{self, QuietPart};
use crate::states::{self, By, Event};
use crate::timing::Timing;
use crate::types::{Delivery, DeliveryId, Result, StepTaken};
use crate::{Deliveries, journal, pressure, records, words};

/// How long the files of an analysis wait for its Confirm, which keeps them for longer.
const HELD_US: i64 = 30 * 86_400 * crate::parameters::SECOND_US;

/// What the frozen delivery consists of, once every step went well.
pub(crate) struct Frozen {
    /// What is approved and confirmed: the hash of the content, or one over those of a test's variants.
    pub snapshot: String,
    /// One, but for a test.
    pub contents: Vec<FrozenContent>,
    pub ab: Option<ab::Planned>,
    pub parts: Vec<queue::NewPart>,
    /// With quiet hours: whose they are, part by part.
    pub quiet: Vec<QuietPart>,
    /// What planned deliveries counted for its pressure rules.
    pub arbitrated: Option<String>,
    pub timing: Timing,
}

impl Frozen {
    /// Messages to recipients; seeds count nowhere.
    fn messages(&self) -> i64 {
        self.parts.iter().filter(|part| part.wave != queue::SEED_WAVE).map(|part| part.messages).sum()
    }
}

/// How the steps ended.
pub(crate) enum Verdict {
    Frozen(Box<Frozen>),
    Errors,
    Stopped,
}

impl Verdict {
    fn snapshot(&self) -> Option<&str> {
        match self {
            Verdict::Frozen(frozen) => Some(&frozen.snapshot),
            Verdict::Errors | Verdict::Stopped => None,
        }
    }
}

impl Deliveries {
    /// Writes the verdict, the journal and, when all is well, what Confirm starts.
    pub(crate) async fn conclude(
        &self,
        delivery: &Delivery,
        verdict: Verdict,
        findings: Vec<Finding>,
        handle: &AnalysisHandle,
        members: &Members,
    ) -> Result<()> {
        let (id, revision, now_us) = (delivery.id, delivery.revision, self.now_us());
        let took_ms = handle.progress().elapsed_ms;
        let words = verdict_words(&verdict, &findings, took_ms);
        let steps = handle.steps_taken();
        let frozen = matches!(verdict, Verdict::Frozen(_));
        let members = if frozen { members.to_bytes() } else { None };
        let delivery = delivery.clone();
        self.store
            .write(Lane::Urgent, move |tx| {
                journal::append(tx, id, now_us, &findings)?;
                if let Some(words) = step_words(&steps) {
                    journal::note(tx, id, now_us, Level::Info, &words)?;
                }
                let snapshot = verdict.snapshot().map(str::to_owned);
                let level = if matches!(verdict, Verdict::Errors) { Level::Error } else { Level::Info };
                match verdict {
                    Verdict::Frozen(frozen) => freeze(tx, id, revision, *frozen, now_us)?,
                    Verdict::Errors => reset(tx, id, Event::AnalysisFailed, now_us)?,
                    Verdict::Stopped => reset(tx, id, Event::AnalysisStopped, now_us)?,
                }
                if delivery.parent.is_none() {
                    let left = records::get(tx, id)?;
                    let ended = Ended {
                        delivery: &delivery,
                        state: left.state,
                        took_ms,
                        snapshot: snapshot.as_deref(),
                        to_deliver: left.to_deliver,
                        excluded: &plan::excluded_counts(tx, id)?.into_iter().collect(),
                        steps: &steps,
                        members,
                    };
                    history::keep(tx, &ended, now_us)?;
                }
                journal::note(tx, id, now_us, level, &words)
            })
            .await
    }
}

pub(crate) fn freeze(
    tx: &mut Tx<'_>,
    id: DeliveryId,
    revision: i64,
    frozen: Frozen,
    now_us: i64,
) -> Result<()> {
    states::change(tx, id, Event::AnalysisPassed, &By::system(), "", now_us)?;
    ab::write_contents(tx, id, &frozen, now_us + HELD_US)?;
    if let Some(test) = &frozen.ab {
        ab::keep(tx, id, test)?;
    }
    let messages = frozen.messages();
    plan::insert_parts(tx, id, frozen.parts)?;
    quiet::keep(tx, id, &frozen.quiet)?;
    pressure::keep(tx, id, frozen.arbitrated.as_deref(), now_us)?;
    frozen.timing.keep(tx, id)?;
    let excluded: i64 = plan::excluded_counts(tx, id)?.iter().map(|(_, count)| count).sum();
    tx.execute(
        "UPDATE delivery SET analysed_revision = $2, snapshot = $3, target = $4, to_deliver = $5, \
         predicted_end = $6, analysed_at = $7, updated_at = $7 WHERE id = $1",
        &binds![
            id,
            revision,
            frozen.snapshot,
            messages + excluded,
            messages,
            frozen.timing.predicted_end,
            now_us
        ],
    )?;
    Ok(())
}

fn reset(tx: &mut Tx<'_>, id: DeliveryId, event: Event, now_us: i64) -> Result<()> {
    states::change(tx, id, event, &By::system(), "", now_us)?;
    let excluded: i64 = plan::excluded_counts(tx, id)?.iter().map(|(_, count)| count).sum();
    tx.execute(
        "UPDATE delivery SET analysed_revision = NULL, snapshot = NULL, target = $2, to_deliver = 0, \
         predicted_end = NULL, analysed_at = $3, updated_at = $3 WHERE id = $1",
        &binds![id, excluded, now_us],
    )?;
    Ok(())
}

/// `Time: target 2.3 s (1,000,000), personalisation 5.1 s (988,000)`; nothing where no step took a tenth of a second.
fn step_words(steps: &[StepTaken]) -> Option<String> {
    let long = steps.iter().filter(|step| step.took_ms >= 100);
    let words: Vec<_> = long
        .map(|step| {
            let count = match i64::try_from(step.count) {
                Ok(count) if count > 0 => format!(" ({})", words::number(count)),
                _ => String::new(),
            };
            format!("{} {:.1} s{count}", step.step, step.took_ms as f64 / 1e3)
        })
        .collect();
    (!words.is_empty()).then(|| format!("Time by step: {}", words.join(", ")))
}

fn verdict_words(verdict: &Verdict, findings: &[Finding], took_ms: i64) -> String {
    let seconds = took_ms as f64 / 1e3;
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    match verdict {
        Verdict::Stopped => "Analysis stopped. Nothing was sent.".to_owned(),
        Verdict::Errors => {
            format!("Analysis failed after {seconds:.1} s with {} error(s)", count(Level::Error))
        }
        Verdict::Frozen(frozen) => {
            let messages = frozen.messages();
            let warnings = match count(Level::Warning) {
                0 => String::new(),
                n => format!(" with {n} warning(s)"),
            };
            format!(
                "Analysis completed in {seconds:.1} s{warnings}: {} waiting for Confirm",
                words::counted(messages, "message", "messages")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_steps_that_took_time_are_said() {
        let step = |step: &str, took_ms, count| StepTaken { step: step.into(), took_ms, count };
        let steps = [step("content", 3, 0), step("target", 2_340, 1_000_000), step("index", 150, 0)];
        assert_eq!(step_words(&steps).unwrap(), "Time by step: target 2.3 s (1,000,000), index 0.1 s");
        assert_eq!(step_words(&steps[..1]), None);
    }
}
