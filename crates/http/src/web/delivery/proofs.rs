//! The Proofs tab: send one, and the rounds so far with what changed between them and what their readers said.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use delivery::{
    Delivery, Edit, ProofTarget,
    definition::{Proof, Substitution},
    rounds::{ContentChange, ProofReader, Round},
};

use super::{
    super::{
        deliveries,
        fault::Fault,
        filters,
        form::Form,
        page::{Desk, Page, Place, show},
        texts,
    },
    frame::{Frame, answer},
    preview, steps,
};
use crate::{problem::Problem, state::AppState};

/// Who reads proofs in the demo, unless somebody else is named: an address of a simulated provider.
const DEMO_READER: &str = "you@web.de";
/// Kinds of proofs.
const MODES: [&str; 4] = ["substitution", "recipients", "seeds", "recipients_and_seeds"];

/// A proof that was sent.
struct RoundRow {
    number: i64,
    proof: i64,
    state: &'static str,
    tone: &'static str,
    live: bool,
    at: i64,
    by: String,
    readers: Vec<ReaderRow>,
    /// What changed since the round before; none for the first.
    changed: Option<ContentChange>,
}

/// A reader of a proof.
struct ReaderRow {
    address: String,
    /// As whom; empty: as themselves.
    profile: String,
    format: String,
    /// `accepted`, `rejected`, or empty.
    word: &'static str,
    comment: String,
    decided_at: Option<i64>,
}

impl ReaderRow {
    fn of(reader: ProofReader) -> ReaderRow {
        ReaderRow {
            profile: if reader.profile == reader.address { String::new() } else { reader.profile },
            address: reader.address,
            format: reader.format,
            word: reader.word.map_or("", |word| word.as_str()),
            comment: reader.comment,
            decided_at: reader.decided_at,
        }
    }
}

impl RoundRow {
    fn of(round: Round) -> RoundRow {
        RoundRow {
            number: round.number,
            proof: round.proof,
            state: round.state.as_str(),
            tone: deliveries::tone(round.state),
            live: deliveries::is_live(round.state),
            at: round.at,
            by: round.by,
            readers: round.readers.into_iter().map(ReaderRow::of).collect(),
            changed: round.changed,
        }
    }
}

#[derive(Template)]
#[template(path = "delivery_proofs.html")]
struct ProofsPage {
    page: Page,
    frame: Frame,
    closed: String,
    modes: [&'static str; 4],
    sheet: Sheet,
    people: Vec<String>,
    seed_groups: Vec<(String, bool)>,
    /// A proof is on its way: the list is fetched again.
    moving: bool,
    rounds: Vec<RoundRow>,
    /// What changed since the last round; none: nothing did, or there is no round.
    since: Option<ContentChange>,
}

/// The form.
struct Sheet {
    mode: String,
    to: String,
    profile: String,
    recipients: String,
    seeds: Vec<String>,
    options: Proof,
}

impl Sheet {
    /// The form begins with what the delivery's own `[proof]` says.
    fn of(found: &Delivery, demo: bool) -> Sheet {
        let proof = &found.definition.proof;
        let to: Vec<&str> = proof.addresses.iter().map(|one| one.to.as_str()).collect();
        let profile = proof.addresses.first().map_or("", |one| one.profile.as_str());
        let seeds = if proof.seeds.is_empty() { &found.definition.target.seeds } else { &proof.seeds };
        Sheet {
            mode: proof.mode.clone(),
            to: if to.is_empty() && demo { DEMO_READER.to_owned() } else { to.join("\n") },
            profile: if profile == "random" { String::new() } else { profile.to_owned() },
            recipients: proof.recipients.join("\n"),
            seeds: seeds.clone(),
            options: proof.clone(),
        }
    }

    fn sent(found: &Delivery, form: &Form) -> Result<Sheet, String> {
        Ok(Sheet {
            mode: form.get("mode").to_owned(),
            to: form.raw("to").to_owned(),
            profile: form.get("profile").to_owned(),
            recipients: form.raw("recipients").to_owned(),
            seeds: form.all("seeds").into_iter().map(str::to_owned).collect(),
            options: options(&found.definition.proof, form)?,
        })
    }
}

/// The options of the form; whom a single proof goes to is not among them.
fn options(before: &Proof, form: &Form) -> Result<Proof, String> {
    Ok(Proof {
        prefix: form.get("prefix").to_owned(),
        variants: form.number::<u32>("variants", &texts::text("proof-variants"))?.max(1),
        keep_duplicates: form.has("keep_duplicates"),
        keep_denylisted: form.has("keep_denylisted"),
        keep_quarantined: form.has("keep_quarantined"),
        keep_code: form.has("keep_code"),
        ..before.clone()
    })
}

fn target(sheet: &Sheet, form: &Form) -> ProofTarget {
    let (recipients, seeds) = (form.lines("recipients"), sheet.seeds.clone());
    match sheet.mode.as_str() {
        "recipients" => ProofTarget::Recipients(recipients),
        "seeds" => ProofTarget::Seeds(seeds),
        "recipients_and_seeds" => ProofTarget::RecipientsAndSeeds { recipients, seeds },
        _ => {
            let profile = if sheet.profile.is_empty() { "random" } else { &sheet.profile };
            let each = |to| Substitution { to, profile: profile.to_owned() };
            ProofTarget::Substitution(form.lines("to").into_iter().map(each).collect())
        }
    }
}

/// `GET /deliveries/{id}/proofs`.
pub async fn view(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let frame = Frame::of(&state, &found, "proofs").await?;
    let sheet = Sheet::of(&found, state.demo.is_some());
    show(&build(&desk, &state, &found, frame, sheet).await?)
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
    let rounds = state.deliveries.rounds(found.id).await?;
    let rows: Vec<RoundRow> = rounds.rounds.into_iter().map(RoundRow::of).collect();
    let groups = state.audience.seed_groups().await?.into_iter();
    Ok(ProofsPage {
        page: desk.page(Place::Deliveries),
        frame,
        closed,
        modes: MODES,
        people: preview::people(state, found).await?,
        seed_groups: groups.map(|group| (group.name.clone(), sheet.seeds.contains(&group.name))).collect(),
        sheet,
        moving: rows.iter().any(|row| row.live),
        rounds: rows,
        since: rounds.since.filter(|change| !change.is_empty()),
    })
}

/// `POST /deliveries/{id}/proofs`. Options that were changed are kept with the delivery first.
pub async fn send(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let (sheet, outcome) = match Sheet::sent(&found, &form) {
        Ok(sheet) => {
            let outcome = go(&desk, &state, &found, &sheet, &form).await;
            (sheet, outcome)
        }
        Err(problem) => {
            let sheet = Sheet::of(&found, state.demo.is_some());
            (sheet, Err(Fault(Problem::invalid("proof.variants", problem))))
        }
    };
    let found = state.deliveries.get(id).await?;
    let page = |frame| build(&desk, &state, &found, frame, sheet);
    answer(outcome, &state, &found, ("proofs", "proof"), page).await
}

async fn go(
    desk: &Desk,
    state: &AppState,
    found: &Delivery,
    sheet: &Sheet,
    form: &Form,
) -> Result<(), Fault> {
    if sheet.options != found.definition.proof {
        let mut definition = found.definition.clone();
        definition.proof = sheet.options.clone();
        let by = desk.viewer.name.clone();
        state.deliveries.edit(found.id, Edit { definition: Some(definition), by, ..Edit::default() }).await?;
    }
    state.deliveries.proof(found.id, target(sheet, form), &desk.viewer.by()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_has_its_words() {
        for mode in MODES {
            assert!(texts::exists(&format!("proof-mode-{}", mode.replace('_', "-"))), "{mode}");
        }
    }

    #[test]
    fn options_are_kept_and_the_rest_of_the_proof_is_left() {
        let before = Proof { mode: "seeds".into(), seeds: vec!["desk".into()], ..Proof::default() };
        let form = Form::of(&[("prefix", "Test"), ("variants", "2"), ("keep_code", "1")]);
        let after = options(&before, &form).unwrap();
        assert_eq!((after.mode.as_str(), after.seeds.len(), after.variants), ("seeds", 1, 2));
        assert!(after.keep_code && !after.keep_duplicates && after.prefix == "Test");
        assert!(options(&before, &Form::of(&[("variants", "two")])).is_err());
    }
}
