//! Confirm, as a dialog of the Analysis tab and as a page of its own; pause, resume, stop.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use delivery::{Closed, ConfirmPlan, Decision, Delivery, ProofFreshness, WavePlan};

use super::{
    super::{
        fault::Fault,
        filters,
        form::Form,
        page::{Desk, Page, Place, done, show},
        texts,
    },
    analysis,
    frame::Frame,
};
use crate::state::AppState;

/// Messages of one provider.
pub struct PlanRow {
    /// Provider or domain.
    pub provider: String,
    /// Messages.
    pub messages: i64,
    /// When the last should be out (µs).
    pub predicted_end: Option<i64>,
    /// How long that takes from the analysis on (µs).
    pub takes: Option<i64>,
}

impl PlanRow {
    /// A row of a plan that was made at a time.
    pub fn of(plan: delivery::ProviderPlan, analysed_at: Option<i64>) -> PlanRow {
        PlanRow {
            takes: plan.predicted_end.zip(analysed_at).map(|(end, start)| (end - start).max(1_000_000)),
            provider: plan.provider,
            messages: plan.messages,
            predicted_end: plan.predicted_end,
        }
    }
}

/// What Confirm will do.
pub struct Plan {
    /// Hash of what is sent.
    pub snapshot: String,
    /// Its first characters.
    pub short: String,
    /// Messages.
    pub messages: i64,
    /// Warnings of the analysis.
    pub warnings: i64,
    /// What is to be said about proofs; may be empty.
    pub proof_note: String,
    /// By provider.
    pub providers: Vec<PlanRow>,
    /// Recipients left out.
    pub left_out: i64,
    /// When sending begins (µs); none: at once.
    pub starts_at: Option<i64>,
    /// The waves, when there are several.
    pub plan: Vec<WavePlan>,
    /// When the last message should be out (µs).
    pub predicted_end: Option<i64>,
    /// Messages are tried until (µs).
    pub valid_until: i64,
    /// The pool of sources that the messages go from; empty: they go to a relay.
    pub pool: String,
    /// Who approved this snapshot.
    pub approved_by: String,
    /// Who may start it.
    pub starters: String,
}

impl Plan {
    /// The plan in the page's form.
    pub async fn of(state: &AppState, found: &Delivery, plan: ConfirmPlan) -> Result<Plan, Fault> {
        let waves = state.deliveries.waves(found.id).await?;
        let approvals = state.deliveries.approvals(found.id).await?;
        let yes = approvals.decisions.iter().filter(|said| {
            said.decision == Decision::Approved && Some(&said.snapshot) == found.snapshot.as_ref()
        });
        let is_dated = !found.definition.schedule.contact_date.is_empty();
        Ok(Plan {
            short: plan.snapshot.chars().take(12).collect(),
            snapshot: plan.snapshot,
            messages: plan.messages,
            warnings: plan.warnings as i64,
            proof_note: match found.proof {
                ProofFreshness::None => texts::text("confirm-proof-none"),
                ProofFreshness::Outdated => texts::text("confirm-proof-outdated"),
                ProofFreshness::Current => String::new(),
            },
            providers: plan.providers.into_iter().map(|row| PlanRow::of(row, found.analysed_at)).collect(),
            left_out: plan.excluded.values().sum(),
            starts_at: is_dated.then_some(plan.starts_at),
            predicted_end: waves.last().and_then(|wave| wave.ends_at).or(found.predicted_end),
            plan: if waves.len() > 1 { waves } else { Vec::new() },
            valid_until: plan.valid_until,
            pool: if state.settings().relay().is_some() { String::new() } else { plan.pool },
            approved_by: yes.map(|said| said.account.as_str()).collect::<Vec<_>>().join(", "),
            starters: starters(found),
        })
    }
}

/// Who may start a delivery, in words.
fn starters(found: &Delivery) -> String {
    if found.owner.is_empty() {
        return texts::text("confirm-starters-all");
    }
    let reviewers = &found.definition.validation.reviewers;
    let names: Vec<&str> = std::iter::once(&found.owner)
        .chain(reviewers)
        .map(String::as_str)
        .filter(|name| !name.is_empty())
        .collect();
    texts::text_s("confirm-starters", &names.join(", "))
}

/// Why Confirm is closed for this viewer, as a sentence; empty: it is open.
pub fn closed(desk: &Desk, found: &Delivery, closed: Option<Closed>) -> String {
    match closed {
        Some(closed) => texts::pick("closed", closed_name(closed)),
        None => match delivery::may_start(found, &desk.viewer.by()) {
            Ok(()) => String::new(),
            Err(error) => texts::text_s("closed-not-yours", &error.to_string()),
        },
    }
}

pub(super) fn closed_name(closed: Closed) -> &'static str {
    match closed {
        Closed::Template => "template",
        Closed::NotAnalysed => "not_analysed",
        Closed::Analysing => "analysing",
        Closed::HasErrors => "has_errors",
        Closed::EditedSince => "edited_since",
        Closed::AlreadyConfirmed => "already_confirmed",
        Closed::Over => "over",
        Closed::Nobody => "nobody",
        Closed::ContactDatePast => "contact_date_past",
        Closed::QuietHoursStale => "quiet_hours_stale",
        Closed::AwaitingApproval => "awaiting_approval",
        Closed::Rejected => "rejected",
    }
}

#[derive(Template)]
#[template(path = "delivery_confirm.html")]
struct ConfirmPage {
    page: Page,
    frame: Frame,
    plan: Plan,
    closed: String,
}

/// `GET /deliveries/{id}/confirm`: the dialog as a page, for those without scripts and for links in mails.
pub async fn view(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let frame = Frame::of(&state, &found, "analysis").await?;
    if super::steps::is_confirmed(&found) || frame.is_proof || found.analysed_at.is_none() {
        return Ok(Redirect::to(&format!("/deliveries/{id}/analysis")).into_response());
    }
    let plan = state.deliveries.confirm_plan(id).await?;
    let closed = closed(&desk, &found, plan.closed);
    let plan = Plan::of(&state, &found, plan).await?;
    show(&ConfirmPage { page: desk.page(Place::Deliveries), frame, plan, closed })
}

/// `POST /deliveries/{id}/confirm`: starts exactly the snapshot that the dialog showed.
pub async fn confirm(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    match state.deliveries.confirm(id, Some(form.get("snapshot")), &desk.viewer.by()).await {
        Ok(confirmed) => {
            let is_dated = !confirmed.definition.schedule.contact_date.is_empty();
            let word = if is_dated { "scheduled" } else { "confirmed" };
            Ok(done(&format!("/deliveries/{id}/watch"), word))
        }
        Err(error) => analysis::refused(&desk, &state, id, error.into()).await,
    }
}

/// `POST /deliveries/{id}/pause`.
pub async fn pause(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    state.pause(id, &desk.viewer.by()).await?;
    Ok(done(&format!("/deliveries/{id}/watch"), "paused"))
}

/// `POST /deliveries/{id}/resume`.
pub async fn resume(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    state.deliveries.resume(id, &desk.viewer.by()).await?;
    Ok(done(&format!("/deliveries/{id}/watch"), "resumed"))
}

/// `POST /deliveries/{id}/stop`. The exact figures of the stop are on the page that follows.
pub async fn stop(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let report = state.stop(id, &desk.viewer.by()).await?;
    let path =
        format!("/deliveries/{id}/watch?stopped={},{},{}", report.sent, report.in_flight, report.cancelled);
    Ok(Redirect::to(&path).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_why_confirm_is_closed_has_its_text() {
        for closed in [
            Closed::Template,
            Closed::NotAnalysed,
            Closed::Analysing,
            Closed::HasErrors,
            Closed::EditedSince,
            Closed::AlreadyConfirmed,
            Closed::Over,
            Closed::Nobody,
            Closed::ContactDatePast,
            Closed::QuietHoursStale,
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
