//! Approvers on the Analysis tab: how the delivery stands with them, and their word.

use axum::{
    extract::{Path, State},
    response::Response,
};
use delivery::{Approval, Decision, Delivery};

use super::{
    super::{
        fault::Fault,
        form::Form,
        page::{Desk, done},
    },
    analysis,
};
use crate::state::AppState;

/// What is approved, and how far that is.
pub struct TopicRow {
    /// `content` or `target`.
    pub name: &'static str,
    /// Who may approve it.
    pub approvers: String,
    /// Approvals that it has.
    pub given: usize,
    /// Approvals that it needs.
    pub needed: usize,
}

/// What somebody said.
pub struct Said {
    /// Account.
    pub account: String,
    /// `approved` or `rejected`.
    pub decision: &'static str,
    /// What they wrote.
    pub comment: String,
    /// When (µs).
    pub at: i64,
    /// Why it does not count any more; empty: it counts.
    pub withdrawn: String,
}

impl Said {
    fn of(said: Approval) -> Said {
        Said {
            account: said.account,
            decision: said.decision.as_str(),
            comment: said.comment,
            at: said.at,
            withdrawn: said.withdrawn_why,
        }
    }
}

/// How a delivery stands with its approvers.
pub struct Standing {
    /// `manual`, `semi_automatic` or `automatic`.
    pub mode: String,
    /// What is approved.
    pub topics: Vec<TopicRow>,
    /// Approvers were asked about the snapshot of this hash.
    pub snapshot: String,
    /// Until when they have time (µs).
    pub due_at: Option<i64>,
    /// That time is over.
    pub late: bool,
    /// All said yes.
    pub complete: bool,
    /// Who said what, the newest last; then what does not count any more.
    pub said: Vec<Said>,
    /// The viewer is asked.
    pub asked: bool,
    /// The viewer has said yes.
    pub agreed: bool,
    /// Approvers can be reminded.
    pub can_remind: bool,
}

impl Standing {
    /// As it is now; none where nobody is asked and it starts by hand.
    pub async fn of(desk: &Desk, state: &AppState, found: &Delivery) -> Result<Option<Standing>, Fault> {
        let approvals = state.deliveries.approvals(found.id).await?;
        if approvals.topics.is_empty() && approvals.mode == "manual" {
            return Ok(None);
        }
        let is_ready = found.state == delivery::State::Ready && approvals.snapshot.is_some();
        let name = &desk.viewer.name;
        let asked = approvals.topics.iter().any(|topic| topic.approvers.contains(name));
        let agreed = approvals
            .decisions
            .iter()
            .any(|said| said.account == *name && said.decision == Decision::Approved);
        let rows = approvals.topics.into_iter().map(|topic| TopicRow {
            name: match topic.topic {
                delivery::Topic::Content => "content",
                delivery::Topic::Target => "target",
            },
            approvers: topic.approvers.join(", "),
            given: topic.given,
            needed: topic.needed,
        });
        Ok(Some(Standing {
            mode: approvals.mode,
            topics: rows.collect(),
            agreed,
            asked: asked && is_ready && desk.viewer.caller.may(access::Right::Approve),
            can_remind: is_ready && !approvals.complete,
            late: is_ready
                && approvals.due_at.is_some_and(|due| due < state.clock.now_us())
                && !approvals.complete,
            snapshot: approvals.snapshot.unwrap_or_default(),
            due_at: approvals.due_at,
            complete: approvals.complete,
            said: approvals.decisions.into_iter().chain(approvals.withdrawn).map(Said::of).collect(),
        }))
    }
}

async fn decide(
    desk: Desk,
    state: AppState,
    id: i64,
    form: Form,
    decision: Decision,
) -> Result<Response, Fault> {
    let (snapshot, comment) = (form.get("snapshot"), form.get("comment"));
    match state.deliveries.decide(id, decision, snapshot, comment, &desk.viewer.by()).await {
        Ok(_) => Ok(done(&format!("/deliveries/{id}/analysis"), decision.as_str())),
        Err(error) => analysis::refused(&desk, &state, id, error.into()).await,
    }
}

/// `POST /deliveries/{id}/approve`: yes to exactly the snapshot that the page showed.
pub async fn approve(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    decide(desk, state, id, form, Decision::Approved).await
}

/// `POST /deliveries/{id}/reject`.
pub async fn reject(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    decide(desk, state, id, form, Decision::Rejected).await
}

/// `POST /deliveries/{id}/approvals/remind`.
pub async fn remind(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    match state.deliveries.remind_approvers(id, &desk.viewer.by()).await {
        Ok(()) => Ok(done(&format!("/deliveries/{id}/analysis"), "reminded")),
        Err(error) => analysis::refused(&desk, &state, id, error.into()).await,
    }
}
