//! The key steps: what is done, which is next, and why a later one is closed.

use delivery::{Delivery, ProofFreshness, State};

use super::super::texts::{pick, text, text_n, text_s};

/// One key step.
pub struct Step {
    /// From 1.
    pub number: usize,
    /// `prepare`, `proof`, `analyse`, `confirm` or `watch`.
    pub name: &'static str,
    /// `done`, `next`, `open` or `closed`.
    pub kind: &'static str,
    /// Where it is done; empty when it is closed.
    pub href: String,
    /// How it stands, or why it is closed.
    pub why: String,
}

/// What is still missing before a delivery can be proofed or analysed: `subject`, `sender`, `content`, `target`.
pub fn missing(delivery: &Delivery, has_default_sender: bool) -> Vec<&'static str> {
    let definition = &delivery.definition;
    let filled = |source: &Option<String>| source.as_ref().is_some_and(|text| !text.trim().is_empty());
    let checks = [
        ("subject", !definition.subject.trim().is_empty()),
        ("sender", has_default_sender || !definition.sender.address.trim().is_empty()),
        ("content", [&delivery.html, &delivery.mjml, &delivery.text].into_iter().any(filled)),
        ("target", !definition.target.include.is_empty()),
    ];
    checks.into_iter().filter(|(_, there)| !there).map(|(name, _)| name).collect()
}

/// The missing things in words: `subject, target`.
pub fn missing_text(missing: &[&str]) -> String {
    missing.iter().map(|name| pick("missing", name)).collect::<Vec<_>>().join(", ")
}

/// Whether the last analysis is of the delivery as it is now.
pub fn is_analysed(delivery: &Delivery) -> bool {
    delivery.analysed_revision == Some(delivery.revision)
}

/// Whether the delivery was confirmed, perhaps long ago.
pub fn is_confirmed(delivery: &Delivery) -> bool {
    delivery.confirmed_at.is_some() || delivery.state.is_active()
}

/// The five steps.
pub fn steps(delivery: &Delivery, missing: &[&str]) -> Vec<Step> {
    let confirmed = is_confirmed(delivery);
    let made = [
        prepare(missing, confirmed),
        proof(delivery, missing, confirmed),
        analyse(delivery, missing, confirmed),
        confirm(delivery, confirmed),
        watch(delivery, confirmed),
    ];
    let next = next(delivery, missing, confirmed);
    let paths = ["content", "proofs", "analysis", "analysis", "watch"];
    let names = ["prepare", "proof", "analyse", "confirm", "watch"];
    let rows = made.into_iter().zip(names.into_iter().zip(paths)).enumerate();
    rows.map(|(index, ((kind, why), (name, path)))| {
        let kind = if next == Some(name) && kind != "closed" { "next" } else { kind };
        let href =
            if kind == "closed" { String::new() } else { format!("/deliveries/{}/{path}", delivery.id) };
        Step { number: index + 1, name, kind, href, why }
    })
    .collect()
}

fn next(delivery: &Delivery, missing: &[&str], confirmed: bool) -> Option<&'static str> {
    if confirmed {
        return (!delivery.state.is_final()).then_some("watch");
    }
    if !missing.is_empty() {
        return Some("prepare");
    }
    if delivery.state == State::Ready && is_analysed(delivery) {
        return Some("confirm");
    }
    if delivery.state == State::Analysing || delivery.proof == ProofFreshness::Current {
        return Some("analyse");
    }
    // Whoever analysed without a proof does not want one.
    if delivery.analysed_revision.is_some() && delivery.proof == ProofFreshness::None {
        return Some("analyse");
    }
    Some("proof")
}

fn prepare(missing: &[&str], confirmed: bool) -> (&'static str, String) {
    if missing.is_empty() || confirmed {
        ("done", text("step-why-prepare-done"))
    } else {
        ("open", text_s("step-why-prepare-missing", &missing_text(missing)))
    }
}

fn proof(delivery: &Delivery, missing: &[&str], confirmed: bool) -> (&'static str, String) {
    match delivery.proof {
        ProofFreshness::Current => ("done", text("step-why-proof-done")),
        ProofFreshness::None if confirmed => ("open", text("step-why-proof-skipped")),
        _ if !missing.is_empty() => ("closed", text("step-why-proof-closed")),
        ProofFreshness::Outdated => ("open", text("step-why-proof-outdated")),
        ProofFreshness::None => ("open", text("step-why-proof-none")),
    }
}

fn analyse(delivery: &Delivery, missing: &[&str], confirmed: bool) -> (&'static str, String) {
    if confirmed {
        return ("done", text("step-why-analyse-done"));
    }
    match delivery.state {
        State::Analysing => ("open", text("step-why-analyse-running")),
        State::Ready if is_analysed(delivery) => ("done", text("step-why-analyse-done")),
        State::Failed if is_analysed(delivery) => ("open", text("step-why-analyse-errors")),
        _ if !missing.is_empty() => ("closed", text("step-why-analyse-closed")),
        _ if delivery.analysed_revision.is_some() => ("open", text("step-why-analyse-again")),
        _ => ("open", text("step-why-analyse-now")),
    }
}

fn confirm(delivery: &Delivery, confirmed: bool) -> (&'static str, String) {
    if confirmed {
        ("done", text("step-why-confirm-done"))
    } else if delivery.state == State::Ready && is_analysed(delivery) && delivery.to_deliver > 0 {
        ("open", text_n("step-why-confirm-now", delivery.to_deliver))
    } else {
        ("closed", text("step-why-confirm-closed"))
    }
}

fn watch(delivery: &Delivery, confirmed: bool) -> (&'static str, String) {
    if !confirmed {
        ("closed", text("step-why-watch-closed"))
    } else if delivery.state.is_final() {
        ("done", text("step-why-watch-done"))
    } else {
        ("open", text("step-why-watch-now"))
    }
}

#[cfg(test)]
mod tests {
    use delivery::{Definition, definition::TargetItem};

    use super::*;

    fn draft() -> Delivery {
        let mut definition = Definition::new("October");
        definition.subject = "News".into();
        definition.sender.address = "news@shop.example".into();
        definition.target.include.push(TargetItem::list("newsletter"));
        Delivery {
            id: 7,
            parent: None,
            proof_no: 0,
            label: "October".into(),
            code: String::new(),
            state: State::Draft,
            definition,
            html: Some("<p>Hello</p>".into()),
            text: None,
            mjml: None,
            amp: None,
            is_template: false,
            edited_by: String::new(),
            owner: String::new(),
            purpose: delivery::Purpose::Delivery,
            confirmed_by: String::new(),
            resources_until: None,
            origin: None,
            revision: 3,
            analysed_revision: None,
            snapshot: None,
            target: 0,
            to_deliver: 0,
            predicted_end: None,
            archived: false,
            created_at: 0,
            updated_at: 0,
            analysed_at: None,
            confirmed_at: None,
            finished_at: None,
            proof: ProofFreshness::None,
        }
    }

    fn marked(delivery: &Delivery) -> Vec<(&'static str, &'static str)> {
        steps(delivery, &missing(delivery, false)).into_iter().map(|step| (step.name, step.kind)).collect()
    }

    #[test]
    fn an_empty_draft_must_be_prepared_first() {
        let mut delivery = draft();
        delivery.html = Some("  ".into());
        delivery.definition.subject.clear();
        assert_eq!(missing(&delivery, false), ["subject", "content"]);
        let kinds: Vec<_> = marked(&delivery).into_iter().map(|(_, kind)| kind).collect();
        assert_eq!(kinds, ["next", "closed", "closed", "closed", "closed"]);
    }

    #[test]
    fn the_next_step_follows_the_delivery() {
        let mut delivery = draft();
        let next = |delivery: &Delivery| marked(delivery).into_iter().find(|(_, kind)| *kind == "next");
        assert_eq!(next(&delivery), Some(("proof", "next")));
        delivery.proof = ProofFreshness::Current;
        assert_eq!(next(&delivery), Some(("analyse", "next")));
        (delivery.state, delivery.analysed_revision, delivery.to_deliver) = (State::Ready, Some(3), 10);
        assert_eq!(next(&delivery), Some(("confirm", "next")));
        delivery.revision = 4;
        assert_eq!(next(&delivery), Some(("analyse", "next")), "an edit closes Confirm again");
        (delivery.state, delivery.confirmed_at) = (State::InProgress, Some(1));
        assert_eq!(next(&delivery), Some(("watch", "next")));
        delivery.state = State::Finished;
        assert_eq!(next(&delivery), None);
    }

    #[test]
    fn a_closed_step_says_why_and_leads_nowhere() {
        for step in steps(&draft(), &[]).iter().filter(|step| step.kind == "closed") {
            assert!(!step.why.is_empty() && step.href.is_empty(), "{}", step.name);
        }
    }
}
