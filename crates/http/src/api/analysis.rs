//! Preview, proof, analysis: what happens before anything may be sent.

use std::collections::BTreeMap;

use access::Caller;
use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use delivery::{Analysis, AnalysisProgress, ProofTarget, definition::Substitution};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{Body, Params},
    created,
    deliveries::delivery_id,
    life::plan_json,
    shape::{id, time, time_opt},
};
use crate::{
    problem::{Answer, Problem},
    state::{AppState, acting},
};

/// Routes that send nothing.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/deliveries/{id}/preview", get(preview))
        .route("/deliveries/{id}/analysis", get(analysis).post(analyse).delete(stop))
        .route("/deliveries/{id}/analyses", get(analyses))
        .route("/deliveries/{id}/analyses/{before}/changes/{after}", get(changes))
}

/// Proofs send.
pub(super) fn sending_routes() -> Router<AppState> {
    Router::new().route("/deliveries/{id}/proofs", post(proof))
}

#[derive(Deserialize)]
struct Whose {
    /// Absent: one of the target, or an invented person.
    recipient: Option<String>,
    #[serde(default = "html")]
    part: String,
    /// Absent: as the recipient gets it; else a word of a recipient's `email_format`, or `alternative`.
    #[serde(default)]
    format: String,
    /// Letter of a variant of the A/B test; absent: A.
    #[serde(default)]
    variant: String,
}

fn html() -> String {
    "html".to_owned()
}

async fn preview(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Params(whose): Params<Whose>,
) -> Answer<Json<Value>> {
    let id = delivery_id(&text)?;
    let (variant, recipient) = (whose.variant.as_str(), whose.recipient.as_deref());
    let preview = state.deliveries.preview_variant(id, variant, recipient, &whose.format).await?;
    let content = match whose.part.as_str() {
        "html" => preview.html.clone(),
        "text" => preview.text.clone(),
        "amp" => preview.amp.clone(),
        "source" => Some(String::from_utf8_lossy(&preview.source).into_owned()),
        _ => return Err(Problem::invalid("part", "part is html, text, amp or source.")),
    };
    let content = content.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "no_part", format!("The message has no {} part.", whose.part))
            .at("part")
    })?;
    Ok(Json(json!({
        "id": text,
        "recipient": whose.recipient,
        "part": whose.part,
        "subject": preview.subject,
        "from": preview.from,
        "reply_to": preview.reply_to,
        "format": preview.format,
        "charset": preview.charset,
        "size": preview.source.len(),
        "links": preview.links,
        "images": preview.images,
        "attachments": preview.attachments.iter().map(|(name, size)| json!({"name": name, "size": size})).collect::<Vec<_>>(),
        "notes": preview.notes,
        "content": content,
        "warnings": preview.warnings,
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Proof {
    /// Who reads; absent: as the delivery's `[proof]` says.
    to: Option<Vec<String>>,
    /// Whose profile personalises it: an address of the target, or `random`.
    #[serde(rename = "as")]
    profile: Option<String>,
    /// Specific recipients instead, each as themselves.
    recipients: Option<Vec<String>>,
    /// Names of seed groups, alone or beside `recipients`.
    seeds: Option<Vec<String>>,
}

async fn proof(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    Body(body): Body<Proof>,
) -> Answer<Response> {
    let target = match (body.to, body.recipients, body.seeds) {
        (Some(_), Some(_), _) => return Err(Problem::invalid("recipients", "Give either to or recipients.")),
        (Some(_), None, Some(_)) => return Err(Problem::invalid("seeds", "Give either to or seeds.")),
        (Some(to), None, None) => {
            let profile = body.profile.unwrap_or_else(|| "random".to_owned());
            ProofTarget::Substitution(
                to.into_iter().map(|to| Substitution { to, profile: profile.clone() }).collect(),
            )
        }
        (None, Some(recipients), None) => ProofTarget::Recipients(recipients),
        (None, None, Some(seeds)) => ProofTarget::Seeds(seeds),
        (None, Some(recipients), Some(seeds)) => ProofTarget::RecipientsAndSeeds { recipients, seeds },
        (None, None, None) => ProofTarget::AsDefined,
    };
    // The proof analyses and confirms itself; how it ended stands in its own journal.
    let proof = state.deliveries.proof(delivery_id(&text)?, target, &acting(&caller)).await?.proof;
    Ok(created(&json!({
        "id": id(proof.id),
        "delivery": text,
        "number": proof.proof_no,
        "label": proof.label,
        "state": proof.state,
    })))
}

#[derive(Deserialize)]
struct How {
    /// List the statements that it runs, with rows and time, in the journal.
    #[serde(default)]
    explain: bool,
}

/// Starts an analysis and answers at once; GET tells how far it is.
async fn analyse(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    Params(how): Params<How>,
) -> Answer<Response> {
    let (delivery, by) = (delivery_id(&text)?, acting(&caller));
    match how.explain {
        true => state.deliveries.explain_analysis(delivery, &by).await?,
        false => state.deliveries.start_analysis(delivery, &by).await?,
    };
    let document = current(&state, delivery).await?;
    Ok((StatusCode::ACCEPTED, Json(document)).into_response())
}

async fn analysis(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    Ok(Json(current(&state, delivery_id(&text)?).await?))
}

async fn stop(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Response> {
    let delivery = delivery_id(&text)?;
    state.deliveries.get(delivery).await?;
    match state.deliveries.analysis_handle(delivery) {
        Some(handle) => {
            handle.stop();
            Ok(StatusCode::ACCEPTED.into_response())
        }
        None => Err(Problem::conflict("No analysis runs on this delivery.")),
    }
}

/// The analysis that runs, else the last one; one of a delivery that was never analysed is empty.
async fn current(state: &AppState, delivery: i64) -> Answer<Value> {
    let running = state.deliveries.analysis_handle(delivery).map(|handle| handle.progress());
    let ended = match running {
        Some(_) => None,
        None => state.deliveries.analysis(delivery).await?,
    };
    let analysis = match ended {
        Some(analysis) => analysis,
        None => {
            let found = state.deliveries.get(delivery).await?;
            Analysis {
                id: delivery,
                state: if running.is_some() { delivery::State::Analysing } else { found.state },
                snapshot: None,
                target: 0,
                to_deliver: 0,
                excluded: BTreeMap::new(),
                findings: Vec::new(),
                providers: Vec::new(),
                predicted_end: None,
            }
        }
    };
    Ok(analysis_json(&analysis, running.as_ref()))
}

/// The analyses that are kept, newest first.
async fn analyses(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let kept = state.deliveries.analyses(delivery_id(&text)?).await?;
    Ok(Json(json!({ "analyses": kept.iter().map(past_json).collect::<Vec<_>>() })))
}

/// What changed from one analysis to another.
async fn changes(
    State(state): State<AppState>,
    Path((text, before, after)): Path<(String, i64, i64)>,
) -> Answer<Json<Value>> {
    let compared = state.deliveries.compare_analyses(delivery_id(&text)?, before, after).await?;
    Ok(Json(json!({
        "before": past_json(&compared.before),
        "after": past_json(&compared.after),
        "came": compared.came,
        "went": compared.went,
        "content": compared.content,
        "parameters": compared.keys,
    })))
}

fn past_json(past: &delivery::history::PastAnalysis) -> Value {
    json!({
        "id": id(past.id),
        "at": time(past.at),
        "state": past.state,
        "snapshot": past.snapshot,
        "to_deliver": past.to_deliver,
        "excluded": past.excluded,
        "seconds": past.took_ms as f64 / 1e3,
        "steps": past.steps.iter().map(|step| json!({
            "step": step.step, "seconds": step.took_ms as f64 / 1e3, "count": step.count,
        })).collect::<Vec<_>>(),
    })
}

/// The contract's analysis document, with the progress of one that runs.
pub fn analysis_json(analysis: &Analysis, progress: Option<&AnalysisProgress>) -> Value {
    let mut document = json!({
        "id": id(analysis.id),
        "state": analysis.state,
        "snapshot": analysis.snapshot,
        "target": analysis.target,
        "to_deliver": analysis.to_deliver,
        "excluded": analysis.excluded,
        "findings": analysis.findings,
        "providers": analysis.providers.iter().map(plan_json).collect::<Vec<_>>(),
    });
    if let Some(end) = analysis.predicted_end {
        document["predicted_end"] = time(end);
    }
    if let Some(progress) = progress {
        document["progress"] = json!({
            "phase": progress.step,
            "done": progress.done,
            "of": progress.total,
            "elapsed_ms": progress.elapsed_ms,
            "expected_end": time_opt(progress.expected_end),
        });
    }
    document
}
