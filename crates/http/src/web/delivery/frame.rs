//! What stands around every tab of a delivery.

use delivery::Delivery;

use super::{
    super::{deliveries, fault::Fault},
    steps::{self, Step},
};
use crate::state::AppState;

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

    /// The same, with what was refused.
    pub fn refused(mut self, problem: &str) -> Frame {
        problem.clone_into(&mut self.problem);
        self
    }
}

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
    let mut tabs = ["content", "preview", "files", "links", "target", "parameters"].map(tab).to_vec();
    if found.is_template {
        return tabs;
    }
    tabs.extend([Tab { name: "proofs", count: proofs }, tab("analysis"), tab("log")]);
    if steps::is_confirmed(found) {
        tabs.insert(0, tab("watch"));
    }
    tabs
}
