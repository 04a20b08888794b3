//! The Analysis tab: start, progress, journal, exclusions, prediction, approvers, verdict, and what former analyses said.

use std::time::Duration;

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
};
use delivery::{Closed, Delivery, ExclusionCount, JournalLine, history::PastAnalysis};
use serde::Deserialize;
use typology::Level;

use super::{
    super::{
        chart,
        fault::Fault,
        filters,
        findings::{Alike, alike, beginning},
        form::Form,
        help,
        page::{Desk, Page, Place, done, show},
        said::said,
        stream::{self, Live, Next},
        texts,
    },
    approval::Standing,
    confirm::{self, Plan, PlanRow},
    frame::Frame,
    steps,
};
use crate::state::AppState;

/// How often a running analysis is shown anew.
const PROGRESS_PERIOD: Duration = Duration::from_millis(500);

struct Line {
    at: i64,
    level: &'static str,
    icon: &'static str,
    tone: &'static str,
    rule: String,
    /// Where the manual explains the rule; empty: it is nobody's but one's own.
    help: String,
    place: String,
    text: String,
    hint: String,
}

impl Line {
    fn of(line: JournalLine) -> Line {
        let (level, icon, tone) = match line.level {
            Level::Error => ("error", "error", "bad"),
            Level::Warning => ("warning", "warning", "warn"),
            _ => ("info", "info", "info"),
        };
        let part = line.part.as_deref().map(|part| texts::pick("part", part)).unwrap_or_default();
        let place = match (line.line, line.column) {
            (Some(row), Some(column)) => {
                let at = texts::text_ss("content-place", &row.to_string(), &column.to_string());
                texts::text_ss("content-at", &part, &at)
            }
            _ => part,
        };
        let shipped = typology::all().into_iter().find(|rule| rule.name == line.rule);
        Line {
            at: line.at,
            level,
            icon,
            tone,
            help: shipped.map(|rule| format!("/help/rules#{}", help::anchor(rule.name))).unwrap_or_default(),
            hint: said("hint", line.hint.as_deref().unwrap_or_default()),
            rule: line.rule,
            place,
            text: said("finding", &line.text),
        }
    }
}

/// The journal; alike warnings of a rule stand together.
fn lines(journal: Vec<JournalLine>) -> Vec<Alike<Line>> {
    let key = |line: &JournalLine| {
        // Errors and what no rule says stand for themselves.
        let alone = line.rule.is_empty() || line.level == Level::Error;
        let text = if alone { line.text.as_str() } else { beginning(&line.text) };
        (
            line.rule.clone(),
            line.level,
            text.to_owned(),
            line.at,
            line.hint.clone(),
            alone.then_some((line.line, line.column)),
        )
    };
    let shown = |alike: Alike<JournalLine>| Alike {
        first: Line::of(alike.first),
        rest: alike.rest.into_iter().map(Line::of).collect(),
    };
    alike(journal, key).into_iter().map(shown).collect()
}

struct Progress {
    id: i64,
    step: &'static str,
    done: i64,
    total: i64,
    elapsed: i64,
    expected_end: Option<i64>,
    meter: String,
}

impl Progress {
    fn of(id: i64, progress: Option<delivery::AnalysisProgress>) -> Progress {
        let Some(progress) = progress else {
            let meter = chart::meter(&[], 1, "");
            return Progress { id, step: "start", done: 0, total: 0, elapsed: 0, expected_end: None, meter };
        };
        let (done, total) = (progress.done as i64, progress.total as i64);
        Progress {
            id,
            step: progress.step,
            done,
            total,
            elapsed: progress.elapsed_ms * 1_000,
            expected_end: progress.expected_end,
            meter: chart::meter(&[("accent", done)], total, ""),
        }
    }
}

/// A step of the last analysis.
struct StepRow {
    name: String,
    took: String,
    count: i64,
}

/// An analysis that is kept.
struct PastRow {
    id: i64,
    at: i64,
    state: &'static str,
    messages: i64,
    excluded: i64,
    took: String,
    /// Chosen for a comparison: as the earlier, as the later.
    chosen: (bool, bool),
}

/// A time in ms as people read it: `0.4 s`, `12 s`, `3 min`.
fn seconds(ms: i64) -> String {
    if ms < 10_000 { format!("{:.1} s", ms as f64 / 1e3) } else { super::super::format::span(ms * 1_000) }
}

fn step_rows(past: Option<&PastAnalysis>) -> Vec<StepRow> {
    let steps = past.into_iter().flat_map(|past| &past.steps);
    let row = |step: &delivery::StepTaken| StepRow {
        name: texts::pick("analysis-step", &step.step),
        took: seconds(step.took_ms),
        count: step.count as i64,
    };
    steps.map(row).collect()
}

fn past_rows(past: &[PastAnalysis]) -> Vec<PastRow> {
    let row = |(index, one): (usize, &PastAnalysis)| PastRow {
        id: one.id,
        at: one.at,
        state: one.state.as_str(),
        messages: one.to_deliver,
        excluded: one.excluded.values().sum(),
        took: seconds(one.took_ms),
        chosen: (index == 1, index == 0),
    };
    past.iter().enumerate().map(row).collect()
}

#[derive(Template)]
#[template(path = "delivery_analysis.html")]
struct AnalysisPage {
    page: Page,
    frame: Frame,
    running: bool,
    progress: Progress,
    outcome: bool,
    analysed_at: Option<i64>,
    start_closed: String,
    can_confirm: bool,
    confirm_closed: String,
    verdict: &'static str,
    verdict_tone: &'static str,
    verdict_icon: &'static str,
    journal: Vec<Alike<Line>>,
    target: i64,
    to_deliver: i64,
    excluded_total: i64,
    excluded: Vec<ExclusionCount>,
    providers: Vec<PlanRow>,
    predicted_end: Option<i64>,
    plan: Option<Plan>,
    standing: Option<Standing>,
    steps: Vec<StepRow>,
    past: Vec<PastRow>,
    ask_now: bool,
}

#[derive(Template)]
#[template(path = "delivery_progress.html")]
struct ProgressPart {
    progress: Progress,
}

/// `?ask` opens the Confirm dialog at once.
#[derive(Deserialize)]
pub struct Asked {
    ask: Option<String>,
}

/// `GET /deliveries/{id}/analysis`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let mut page = build(&desk, &state, &found).await?;
    page.ask_now = asked.ask.is_some() && page.plan.is_some();
    show(&page)
}

/// The tab with why an analysis or a confirmation was refused, when the caller can mend it.
pub(super) async fn refused(desk: &Desk, state: &AppState, id: i64, fault: Fault) -> Result<Response, Fault> {
    if !fault.is_callers() {
        return Err(fault);
    }
    let found = state.deliveries.get(id).await?;
    let mut page = build(desk, state, &found).await?;
    page.frame.problem = fault.text();
    super::super::page::show_as(fault.0.status, &page)
}

async fn build(desk: &Desk, state: &AppState, found: &Delivery) -> Result<AnalysisPage, Fault> {
    let frame = Frame::of(state, found, "analysis").await?;
    let running = found.state == delivery::State::Analysing;
    let handle = state.deliveries.analysis_handle(found.id);
    let analysis = if running { None } else { state.deliveries.analysis(found.id).await? };
    let journal: Vec<JournalLine> = state.deliveries.journal(found.id).await?;
    let outcome = analysis.is_some() && found.analysed_at.is_some();
    let plan = if outcome && !steps::is_confirmed(found) && !frame.is_proof {
        Some(state.deliveries.confirm_plan(found.id).await?)
    } else {
        None
    };
    let closed = plan.as_ref().and_then(|plan| plan.closed);
    let confirm_closed = if plan.is_some() { confirm::closed(desk, found, closed) } else { String::new() };
    let warned = journal.iter().any(|line| line.level == Level::Warning && !line.rule.is_empty());
    let (verdict, verdict_tone, verdict_icon) = verdict(found, closed, warned);
    let analysed_at = found.analysed_at.filter(|_| outcome);
    let past =
        if outcome && !frame.is_proof { state.deliveries.analyses(found.id).await? } else { Vec::new() };
    let plan = match plan.filter(|_| confirm_closed.is_empty()) {
        Some(plan) => Some(Plan::of(state, found, plan).await?),
        None => None,
    };
    let excluded = if outcome { exclusions(state, found, analysis.as_ref()).await? } else { Vec::new() };
    Ok(AnalysisPage {
        page: desk.page(Place::Deliveries),
        running,
        progress: Progress::of(found.id, handle.filter(|_| running).map(|handle| handle.progress())),
        outcome,
        analysed_at,
        start_closed: match frame.missing.is_empty() {
            true => String::new(),
            false => texts::text_s("analysis-closed-missing", &steps::missing_text(&frame.missing)),
        },
        can_confirm: plan.is_some(),
        confirm_closed,
        verdict,
        verdict_tone,
        verdict_icon,
        journal: lines(journal),
        target: analysis.as_ref().map_or(0, |analysis| analysis.target),
        to_deliver: analysis.as_ref().map_or(0, |analysis| analysis.to_deliver),
        excluded_total: excluded.iter().map(|row| row.recipients).sum(),
        excluded,
        predicted_end: analysis.as_ref().and_then(|analysis| analysis.predicted_end),
        providers: analysis
            .into_iter()
            .flat_map(|analysis| analysis.providers)
            .map(|row| PlanRow::of(row, analysed_at))
            .collect(),
        plan,
        standing: if outcome && !frame.is_proof { Standing::of(desk, state, found).await? } else { None },
        steps: step_rows(past.first()),
        past: past_rows(&past),
        ask_now: false,
        frame,
    })
}

/// Who was left out, by cause and rule; of analyses before there were rules, by cause alone.
async fn exclusions(
    state: &AppState,
    found: &Delivery,
    analysis: Option<&delivery::Analysis>,
) -> Result<Vec<ExclusionCount>, Fault> {
    let report = state.deliveries.exclusion_report(found.id).await?;
    if !report.is_empty() {
        return Ok(report);
    }
    let causes = analysis.into_iter().flat_map(|analysis| &analysis.excluded);
    let row = |(reason, recipients): (&String, &i64)| ExclusionCount {
        reason: reason.clone(),
        rule: None,
        recipients: *recipients,
    };
    Ok(causes.map(row).collect())
}

fn verdict(
    found: &Delivery,
    closed: Option<Closed>,
    warned: bool,
) -> (&'static str, &'static str, &'static str) {
    match closed {
        _ if steps::is_confirmed(found) => ("confirmed", "ok", "ok"),
        Some(Closed::EditedSince | Closed::ContactDatePast | Closed::QuietHoursStale) => {
            ("outdated", "warn", "warning")
        }
        Some(Closed::Nobody) => ("nobody", "warn", "warning"),
        Some(Closed::AwaitingApproval) => ("awaiting_approval", "warn", "warning"),
        Some(Closed::Rejected) => ("rejected", "bad", "error"),
        Some(_) => ("errors", "bad", "error"),
        None if found.state == delivery::State::Failed => ("errors", "bad", "error"),
        None if warned => ("warnings", "warn", "warning"),
        None => ("ready", "ok", "ok"),
    }
}

/// `POST /deliveries/{id}/analysis`.
pub async fn start(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let by = desk.viewer.by();
    let started = match form.has("explain") {
        true => state.deliveries.explain_analysis(id, &by).await,
        false => state.deliveries.start_analysis(id, &by).await,
    };
    match started {
        Ok(_) => Ok(Redirect::to(&format!("/deliveries/{id}/analysis")).into_response()),
        Err(error) => refused(&desk, &state, id, error.into()).await,
    }
}

/// `POST /deliveries/{id}/analysis/stop`.
pub async fn stop(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    if let Some(handle) = state.deliveries.analysis_handle(id) {
        handle.stop();
        // It stops between two ranges of recipients; its own error says nothing new here.
        let _ = tokio::time::timeout(Duration::from_secs(5), handle.wait()).await;
    }
    Ok(done(&format!("/deliveries/{id}/analysis"), "stopped-analysis"))
}

/// `GET /deliveries/{id}/analysis/stream`: the progress; at its end the event `reload`.
pub async fn stream(_desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Response {
    stream::every(PROGRESS_PERIOD, Look { state, id })
}

struct Look {
    state: AppState,
    id: i64,
}

impl Live for Look {
    async fn next(&mut self) -> Next {
        let handle = self.state.deliveries.analysis_handle(self.id);
        handle.map_or(Next::Last("reload"), |handle| {
            Next::part(&ProgressPart { progress: Progress::of(self.id, Some(handle.progress())) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_leads_to_its_rule_and_says_what_to_do() {
        let line = |rule: &str| JournalLine {
            at: 0,
            level: Level::Warning,
            rule: rule.to_owned(),
            text: "x".to_owned(),
            part: None,
            line: None,
            column: None,
            hint: Some("Mend it.".to_owned()),
        };
        let shipped = Line::of(line("one_click"));
        assert_eq!((shipped.help.as_str(), shipped.hint.as_str()), ("/help/rules#one-click", "Mend it."));
        assert_eq!(Line::of(line("of one's own")).help, "");
    }

    #[test]
    fn alike_warnings_of_a_rule_are_one_entry_and_errors_are_not() {
        let line = |level, row: u32| JournalLine {
            at: 0,
            level,
            rule: "mobile".to_owned(),
            text: format!("Deco-mail does not know the tag <t{row}>"),
            part: Some("html".to_owned()),
            line: Some(row),
            column: Some(1),
            hint: None,
        };
        let journal: Vec<_> = (1..=9).map(|row| line(Level::Warning, row)).collect();
        let shown = lines(journal);
        assert_eq!((shown.len(), shown[0].rest.len()), (1, 8));
        assert!(shown[0].rest[7].place.contains('9') && shown[0].rest[7].text.contains("<t9>"));
        assert_eq!(lines((1..=9).map(|row| line(Level::Error, row)).collect()).len(), 9);
    }

    #[test]
    fn times_of_steps() {
        assert_eq!(seconds(430), "0.4 s");
        assert_eq!(seconds(95_000), "1 min 35 s");
    }
}
