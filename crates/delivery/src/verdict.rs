//! How an analysis ends: what is frozen, what the journal says, and the state that the delivery is left in.

use queue::plan;
use store::{Lane, Tx, binds};
use typology::{Finding, Level};

use crate::types::{Delivery, DeliveryId, ProviderPlan, Result, State};
use crate::{Deliveries, journal, words};

/// How long the files of an analysis wait for its Confirm, which keeps them for longer.
const HELD_US: i64 = 30 * 86_400 * crate::parameters::SECOND_US;

/// What the frozen delivery consists of, once every step went well.
pub(crate) struct Frozen {
    pub snapshot: String,
    pub bytes: Vec<u8>,
    /// The same, readable.
    pub content: message::Snapshot,
    pub parts: Vec<queue::NewPart>,
    pub plans: Vec<ProviderPlan>,
    pub predicted_end: Option<i64>,
}

/// How the steps ended.
pub(crate) enum Verdict {
    Frozen(Box<Frozen>),
    Errors,
    Stopped,
}

impl Deliveries {
    /// Writes the verdict, the journal and, when all is well, what Confirm starts.
    pub(crate) async fn conclude(
        &self,
        delivery: &Delivery,
        verdict: Verdict,
        findings: Vec<Finding>,
        started_us: i64,
    ) -> Result<()> {
        let (id, revision, now_us) = (delivery.id, delivery.revision, self.now_us());
        let words = verdict_words(&verdict, &findings, now_us - started_us);
        self.store
            .write(Lane::Urgent, move |tx| {
                journal::append(tx, id, now_us, &findings)?;
                let level = if matches!(verdict, Verdict::Errors) { Level::Error } else { Level::Info };
                match verdict {
                    Verdict::Frozen(frozen) => freeze(tx, id, revision, *frozen, now_us)?,
                    Verdict::Errors => reset(tx, id, State::Failed, now_us)?,
                    Verdict::Stopped => reset(tx, id, State::Draft, now_us)?,
                }
                journal::note(tx, id, now_us, level, &words)
            })
            .await
    }
}

fn freeze(tx: &mut Tx<'_>, id: DeliveryId, revision: i64, frozen: Frozen, now_us: i64) -> Result<()> {
    plan::write_snapshot(tx, &frozen.snapshot, &frozen.bytes)?;
    crate::files::hold(tx, id, &frozen.content, now_us + HELD_US)?;
    let messages: i64 = frozen.parts.iter().map(|part| part.messages).sum();
    plan::insert_parts(tx, id, frozen.parts)?;
    for plan in &frozen.plans {
        tx.execute(
            "INSERT INTO provider_plan (delivery, provider, messages, predicted_end) VALUES ($1, $2, $3, $4)",
            &binds![id, plan.provider.as_str(), plan.messages, plan.predicted_end],
        )?;
    }
    let excluded: i64 = plan::excluded_counts(tx, id)?.iter().map(|(_, count)| count).sum();
    tx.execute(
        "UPDATE delivery SET state = 'ready', analysed_revision = $2, snapshot = $3, target = $4, to_deliver = $5, \
         predicted_end = $6, analysed_at = $7, updated_at = $7 WHERE id = $1",
        &binds![id, revision, frozen.snapshot, messages + excluded, messages, frozen.predicted_end, now_us],
    )?;
    Ok(())
}

fn reset(tx: &mut Tx<'_>, id: DeliveryId, state: State, now_us: i64) -> Result<()> {
    let excluded: i64 = plan::excluded_counts(tx, id)?.iter().map(|(_, count)| count).sum();
    tx.execute(
        "UPDATE delivery SET state = $2, analysed_revision = NULL, snapshot = NULL, target = $3, to_deliver = 0, \
         predicted_end = NULL, analysed_at = $4, updated_at = $4 WHERE id = $1",
        &binds![id, state.as_str(), excluded, now_us],
    )?;
    Ok(())
}

fn verdict_words(verdict: &Verdict, findings: &[Finding], took_us: i64) -> String {
    let seconds = took_us as f64 / 1e6;
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    match verdict {
        Verdict::Stopped => "Analysis stopped. Nothing was sent.".to_owned(),
        Verdict::Errors => {
            format!("Analysis failed after {seconds:.1} s with {} error(s)", count(Level::Error))
        }
        Verdict::Frozen(frozen) => {
            let messages: i64 = frozen.parts.iter().map(|part| part.messages).sum();
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
