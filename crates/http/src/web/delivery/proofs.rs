//! The Proofs tab: send one, and the numbered history.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use delivery::{Delivery, ProofFreshness, ProofTarget, definition::Substitution};

use super::{
    super::{
        deliveries::Row,
        fault::Fault,
        filters,
        form::Form,
        page::{Desk, Page, Place, show},
        texts,
    },
    frame::{Frame, answer},
    preview, steps,
};
use crate::state::AppState;

/// Who reads proofs in the demo, unless somebody else is named: an address of a simulated provider.
const DEMO_READER: &str = "you@web.de";

#[derive(Template)]
#[template(path = "delivery_proofs.html")]
struct ProofsPage {
    page: Page,
    frame: Frame,
    closed: String,
    mode: String,
    to: String,
    profile: String,
    recipients: String,
    people: Vec<String>,
    outdated: bool,
    /// A proof is on its way: the list is fetched again.
    moving: bool,
    rows: Vec<Row>,
}

/// `GET /deliveries/{id}/proofs`. The form begins with what the delivery's own `[proof]` says.
pub async fn view(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let proof = &found.definition.proof;
    let to: Vec<&str> = proof.addresses.iter().map(|one| one.to.as_str()).collect();
    let profile = proof.addresses.first().map_or("", |one| one.profile.as_str());
    let sheet = Sheet {
        mode: proof.mode.clone(),
        to: if to.is_empty() && state.demo.is_some() { DEMO_READER.to_owned() } else { to.join("\n") },
        profile: if profile == "random" { String::new() } else { profile.to_owned() },
        recipients: proof.recipients.join("\n"),
    };
    let frame = Frame::of(&state, &found, "proofs").await?;
    show(&build(&desk, &state, &found, frame, sheet).await?)
}

struct Sheet {
    mode: String,
    to: String,
    profile: String,
    recipients: String,
}

async fn build(
    desk: &Desk,
    state: &AppState,
    found: &Delivery,
    frame: Frame,
    sheet: Sheet,
) -> Result<ProofsPage, Fault> {
    let closed = match found.state {
        delivery::State::Analysing => texts::text("proof-closed-analysing"),
        _ if steps::is_confirmed(found) => texts::text("proof-closed-over"),
        _ if !frame.missing.is_empty() => {
            texts::text_s("proof-closed-missing", &steps::missing_text(&frame.missing))
        }
        _ => String::new(),
    };
    let rows: Vec<Row> = state.deliveries.proofs(found.id).await?.into_iter().map(Row::of).collect();
    Ok(ProofsPage {
        page: desk.page(Place::Deliveries),
        frame,
        closed,
        mode: sheet.mode,
        to: sheet.to,
        profile: sheet.profile,
        recipients: sheet.recipients,
        people: preview::people(state, found).await?,
        moving: rows.iter().any(|row| row.live),
        outdated: found.proof == ProofFreshness::Outdated,
        rows,
    })
}

/// `POST /deliveries/{id}/proofs`.
pub async fn send(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let target = if form.get("mode") == "recipients" {
        ProofTarget::Recipients(form.lines("recipients"))
    } else {
        let profile = if form.has("profile") { form.get("profile") } else { "random" };
        let each = |to| Substitution { to, profile: profile.to_owned() };
        ProofTarget::Substitution(form.lines("to").into_iter().map(each).collect())
    };
    let outcome = state.deliveries.proof(id, target, &desk.viewer.by()).await;
    let found = state.deliveries.get(id).await?;
    let sheet = Sheet {
        mode: form.get("mode").to_owned(),
        to: form.raw("to").to_owned(),
        profile: form.get("profile").to_owned(),
        recipients: form.raw("recipients").to_owned(),
    };
    let page = |frame| build(&desk, &state, &found, frame, sheet);
    answer(outcome, &state, &found, ("proofs", "proof"), page).await
}
