//! The Analysis tab: start, progress, journal, exclusions, prediction, verdict, and the Confirm dialog.

use std::{convert::Infallible, time::Duration};

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::{
        IntoResponse, Redirect, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use delivery::{Closed, Delivery, JournalLine, ProofFreshness};
use serde::Deserialize;
use typology::Level;

use super::{
    super::{
        chart,
        fault::Fault,
        filters,
        page::{Desk, Page, Place, done, show},
        texts,
    },
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
    place: String,
    text: String,
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
        Line { at: line.at, level, icon, tone, rule: line.rule, place, text: line.text }
    }
}

struct PlanRow {
    provider: String,
    messages: i64,
    predicted_end: Option<i64>,
    takes: Option<i64>,
}

struct Plan {
    snapshot: String,
    messages: i64,
    warnings: i64,
    proof_note: String,
    providers: Vec<PlanRow>,
    left_out: i64,
    valid_until: i64,
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
    journal: Vec<Line>,
    target: i64,
    to_deliver: i64,
    excluded_total: i64,
    excluded: Vec<(String, i64)>,
    providers: Vec<PlanRow>,
    predicted_end: Option<i64>,
    plan: Option<Plan>,
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
    fault.text().clone_into(&mut page.frame.problem);
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
    let warned = journal.iter().any(|line| line.level == Level::Warning && !line.rule.is_empty());
    let (verdict, verdict_tone, verdict_icon) = verdict(found, closed, warned);
    let start_closed = if frame.missing.is_empty() {
        String::new()
    } else {
        texts::text_s("analysis-closed-missing", &steps::missing_text(&frame.missing))
    };
    let excluded: Vec<(String, i64)> =
        analysis.as_ref().map(|analysis| analysis.excluded.clone().into_iter().collect()).unwrap_or_default();
    let analysed_at = found.analysed_at.filter(|_| outcome);
    let row = |plan: delivery::ProviderPlan| PlanRow {
        takes: plan.predicted_end.zip(analysed_at).map(|(end, start)| (end - start).max(1_000_000)),
        provider: plan.provider,
        messages: plan.messages,
        predicted_end: plan.predicted_end,
    };
    Ok(AnalysisPage {
        page: desk.page(Place::Deliveries),
        running,
        progress: Progress::of(found.id, handle.filter(|_| running).map(|handle| handle.progress())),
        outcome,
        analysed_at,
        start_closed,
        can_confirm: plan.is_some() && closed.is_none(),
        confirm_closed: closed.map(|closed| texts::pick("closed", closed_name(closed))).unwrap_or_default(),
        verdict,
        verdict_tone,
        verdict_icon,
        journal: journal.into_iter().map(Line::of).collect(),
        target: analysis.as_ref().map_or(0, |analysis| analysis.target),
        to_deliver: analysis.as_ref().map_or(0, |analysis| analysis.to_deliver),
        excluded_total: excluded.iter().map(|(_, number)| number).sum(),
        excluded,
        predicted_end: analysis.as_ref().and_then(|analysis| analysis.predicted_end),
        providers: analysis
            .map(|analysis| analysis.providers.into_iter().map(row).collect())
            .unwrap_or_default(),
        plan: plan.filter(|plan| plan.closed.is_none()).map(|plan| Plan {
            snapshot: plan.snapshot,
            messages: plan.messages,
            warnings: plan.warnings as i64,
            proof_note: match found.proof {
                ProofFreshness::None => texts::text("confirm-proof-none"),
                ProofFreshness::Outdated => texts::text("confirm-proof-outdated"),
                ProofFreshness::Current => String::new(),
            },
            providers: plan.providers.into_iter().map(row).collect(),
            left_out: plan.excluded.values().sum(),
            valid_until: plan.valid_until,
        }),
        ask_now: false,
        frame,
    })
}

fn verdict(
    found: &Delivery,
    closed: Option<Closed>,
    warned: bool,
) -> (&'static str, &'static str, &'static str) {
    match closed {
        _ if steps::is_confirmed(found) => ("confirmed", "ok", "ok"),
        Some(Closed::EditedSince) => ("outdated", "warn", "warning"),
        Some(Closed::Nobody) => ("nobody", "warn", "warning"),
        Some(Closed::AwaitingApproval) => ("awaiting_approval", "warn", "warning"),
        Some(Closed::Rejected) => ("rejected", "bad", "error"),
        Some(_) => ("errors", "bad", "error"),
        None if found.state == delivery::State::Failed => ("errors", "bad", "error"),
        None if warned => ("warnings", "warn", "warning"),
        None => ("ready", "ok", "ok"),
    }
}

fn closed_name(closed: Closed) -> &'static str {
    match closed {
        Closed::Template => "template",
        Closed::NotAnalysed => "not_analysed",
        Closed::Analysing => "analysing",
        Closed::HasErrors => "has_errors",
        Closed::EditedSince => "edited_since",
        Closed::AlreadyConfirmed => "already_confirmed",
        Closed::Over => "over",
        Closed::Nobody => "nobody",
        Closed::AwaitingApproval => "awaiting_approval",
        Closed::Rejected => "rejected",
    }
}

/// `POST /deliveries/{id}/analysis`.
pub async fn start(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    match state.deliveries.start_analysis(id, &desk.viewer.by()).await {
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
    let first = Some(tokio::time::interval(PROGRESS_PERIOD));
    let events = futures_util::stream::unfold(first, move |timer| {
        let state = state.clone();
        async move {
            let mut timer = timer?;
            timer.tick().await;
            let (event, next) = match state.deliveries.analysis_handle(id) {
                Some(handle) => {
                    let part = ProgressPart { progress: Progress::of(id, Some(handle.progress())) };
                    (Event::default().data(part.render().unwrap_or_default()), Some(timer))
                }
                None => (Event::default().event("reload").data("ended"), None),
            };
            Some((Ok::<_, Infallible>(event), next))
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_why_confirm_is_closed_has_its_text() {
        for closed in [
            Closed::NotAnalysed,
            Closed::Analysing,
            Closed::HasErrors,
            Closed::EditedSince,
            Closed::AlreadyConfirmed,
            Closed::Over,
            Closed::Nobody,
            Closed::AwaitingApproval,
            Closed::Rejected,
        ] {
            assert!(
                texts::exists(&format!("closed-{}", closed_name(closed).replace('_', "-"))),
                "{closed:?}"
            );
        }
    }
}
