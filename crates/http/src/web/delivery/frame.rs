//! What stands around every tab of a delivery, and where the form of a tab leads.

use std::future::Future;

use askama::Template;
use axum::response::Response;
use delivery::Delivery;

use super::{
    super::{
        deliveries,
        fault::Fault,
        page::{done, show_as},
        said::said,
        texts,
    },
    steps::{self, Step},
};
use crate::{problem::Problem, state::AppState};

/// A tab.
#[derive(Clone)]
pub struct Tab {
    /// Its name, also the end of its address.
    pub name: &'static str,
    /// A number beside it; 0: none.
    pub count: usize,
}

/// The frame.
pub struct Frame {
    /// Number.
    pub id: i64,
    /// Label.
    pub label: String,
    /// Code.
    pub code: String,
    /// Name of the state.
    pub state: &'static str,
    /// Its colour.
    pub tone: &'static str,
    /// Whether something moves.
    pub live: bool,
    /// What the date is.
    pub date_word: &'static str,
    /// The date.
    pub date: i64,
    /// The delivery that this is a proof of.
    pub parent: Option<i64>,
    /// Whether it is a proof.
    pub is_proof: bool,
    /// Whether it is a template, which is never sent.
    pub is_template: bool,
    /// Out of the list.
    pub archived: bool,
    /// Confirmed and not over.
    pub active: bool,
    /// Held.
    pub paused: bool,
    /// The brake holds some of its messages.
    pub held: bool,
    /// May be edited.
    pub editable: bool,
    /// Revision that a form is based on.
    pub revision: i64,
    /// The key steps.
    pub steps: Vec<Step>,
    /// The tabs.
    pub tabs: Vec<Tab>,
    /// The tab that is shown.
    pub tab: &'static str,
    /// What was refused; empty: nothing.
    pub problem: String,
    /// What is missing before a proof or an analysis.
    pub missing: Vec<&'static str>,
}

impl Frame {
    /// The frame around a tab.
    pub async fn of(state: &AppState, found: &Delivery, tab: &'static str) -> Result<Frame, Fault> {
        let is_proof = found.parent.is_some();
        let missing = steps::missing(found, state.has_default_sender());
        let proofs = if is_proof { 0 } else { state.deliveries.proofs(found.id).await?.len() };
        let (date_word, date) = date_of(found);
        Ok(Frame {
            id: found.id,
            label: found.label.clone(),
            code: found.code.clone(),
            state: found.state.as_str(),
            tone: deliveries::tone(found.state),
            live: deliveries::is_live(found.state),
            date_word,
            date,
            parent: found.parent,
            is_proof,
            is_template: found.is_template,
            archived: found.archived,
            active: found.state.is_active(),
            held: found.state.is_active() && !state.deliveries.holds(found.id).await?.is_empty(),
            paused: matches!(found.state, delivery::State::Paused | delivery::State::Pausing),
            editable: found.state.is_editable() && !is_proof,
            revision: found.revision,
            steps: if is_proof || found.is_template { Vec::new() } else { steps::steps(found, &missing) },
            tabs: tabs(found, is_proof, proofs),
            tab,
            problem: String::new(),
            missing,
        })
    }
}

/// Answers the form of a tab: back to the tab, which says `word`; or, when the caller can mend what was refused, the tab
/// again as `page` builds it around the frame that says why. `found` is the delivery as that page shows it.
///
/// # Errors
/// What the caller cannot mend, and what fails while the page is built.
pub async fn answer<T, E, P, B>(
    outcome: Result<T, E>,
    state: &AppState,
    found: &Delivery,
    (tab, word): (&'static str, &str),
    page: impl FnOnce(Frame) -> B,
) -> Result<Response, Fault>
where
    E: Into<Fault>,
    P: Template,
    B: Future<Output = Result<P, Fault>>,
{
    let fault: Fault = match outcome {
        Ok(_) => return Ok(done(&format!("/deliveries/{}/{tab}", found.id), word)),
        Err(error) => error.into(),
    };
    if !fault.is_callers() {
        return Err(fault);
    }
    let mut frame = Frame::of(state, found, tab).await?;
    frame.problem = refusal(&fault.0);
    show_as(fault.0.status, &page(frame).await?)
}

/// What was refused, with the name that the field has on the page: rooms say `is no duration` of a key such as
/// `parameters.validity`, and a form does not show keys.
pub fn refusal(problem: &Problem) -> String {
    let name = problem.field.as_deref().and_then(|field| FIELDS.iter().find(|(key, _)| *key == field));
    match name {
        Some((_, text)) => format!("{}: {}", texts::text(text), said("problem", &problem.detail)),
        None => said("problem", &problem.detail),
    }
}

/// Keys of a definition that the tabs show, and the texts that name them there.
const FIELDS: &[(&str, &str)] = &[
    ("label", "delivery-label"),
    ("code", "parameters-code"),
    ("subject", "content-subject"),
    ("preheader", "content-preheader"),
    ("sender.name", "content-from-name"),
    ("sender.address", "content-from-address"),
    ("sender.reply_to", "content-reply-to"),
    ("sender.error_address", "parameters-error-address"),
    ("sender.unqualified_bounces_to", "parameters-unqualified"),
    ("content.attachments", "files-attachments"),
    ("content.inline_images", "files-images"),
    ("target.include", "tab-target"),
    ("target.exclude", "tab-target"),
    ("tracking.links", "links"),
    ("tracking.utm", "utm"),
    ("target.control_group", "target-control"),
    ("target.keep_same_recipient", "target-duplicates"),
    ("target.seeds", "target-seeds"),
    ("schedule.contact_date", "schedule-contact"),
    ("schedule.time_zone", "schedule-zone"),
    ("schedule.recipient_time_zone", "schedule-recipient-zone"),
    ("schedule.automatic", "schedule-start"),
    ("schedule.quiet_hours", "schedule-quiet"),
    ("schedule.grace", "schedule-grace"),
    ("waves", "waves"),
    ("waves.size", "waves-size"),
    ("waves.period", "waves-period"),
    ("waves.calendar", "waves"),
    ("waves.brake.hard_bounces", "brake-hard"),
    ("waves.brake.complaints", "brake-complaints"),
    ("waves.brake.deferrals", "brake-deferrals"),
    ("validation.approval", "validation-start"),
    ("validation.approvers", "validation-people"),
    ("validation.content_approvers", "validation-people"),
    ("validation.target_approvers", "validation-people"),
    ("validation.reviewers", "validation-reviewer"),
    ("validation.approvals_needed", "validation-needed"),
    ("validation.approval_deadline", "validation-deadline"),
    ("validation.typology", "typology"),
    ("validation.weight", "validation-weight"),
    ("validation.analysis_priority", "validation-priority"),
    ("ab", "variants"),
    ("ab.sample", "variants-sample"),
    ("ab.winner", "variants-winner"),
    ("ab.after", "variants-after"),
    ("ab.variants", "variants"),
    ("proof", "proof-send"),
    ("proof.mode", "proof-mode"),
    ("proof.to", "proof-to"),
    ("proof.as", "proof-as"),
    ("proof.recipients", "proof-people"),
    ("proof.seeds", "target-seeds"),
    ("proof.variants", "proof-variants"),
    ("parameters.headers", "parameters-headers-label"),
    ("parameters.part_size", "parameters-part-size"),
    ("parameters.pool", "pool"),
    ("parameters.personalization_time", "parameters-personalization-time"),
    ("parameters.resource_validity", "parameters-resource-validity"),
    ("parameters.retries", "parameters-retry-count"),
    ("parameters.retry_period", "parameters-retry-period"),
    ("parameters.valid_until", "parameters-valid-until"),
    ("parameters.validity", "parameters-validity-for"),
];

fn date_of(found: &Delivery) -> (&'static str, i64) {
    match (found.finished_at, found.confirmed_at, found.analysed_at) {
        (Some(at), _, _) => ("finished", at),
        (None, Some(at), _) => ("started", at),
        (None, None, Some(at)) if steps::is_analysed(found) => ("analysed", at),
        _ if found.updated_at > found.created_at => ("edited", found.updated_at),
        _ => ("created", found.created_at),
    }
}

fn tabs(found: &Delivery, is_proof: bool, proofs: usize) -> Vec<Tab> {
    let tab = |name| Tab { name, count: 0 };
    if is_proof {
        let mut tabs = vec![tab("analysis"), tab("log")];
        if steps::is_confirmed(found) {
            tabs.insert(0, tab("watch"));
        }
        return tabs;
    }
    let names = [
        "content",
        "preview",
        "files",
        "links",
        "variants",
        "target",
        "schedule",
        "parameters",
        "validation",
    ];
    let mut tabs = names.map(tab).to_vec();
    if found.is_template {
        return tabs;
    }
    tabs.extend([Tab { name: "proofs", count: proofs }, tab("analysis"), tab("log")]);
    if steps::is_confirmed(found) {
        tabs.insert(0, tab("watch"));
    }
    tabs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_field_as_the_page_does() {
        for (key, text) in FIELDS.iter().copied() {
            assert!(texts::exists(text), "{key}: {text}");
        }
        let named = refusal(&Problem::invalid("parameters.validity", "is no duration"));
        assert_eq!(named, format!("{}: is no duration", texts::text("parameters-validity-for")));
        assert_eq!(refusal(&Problem::invalid("limit", "A sentence.")), "A sentence.");
    }
}
