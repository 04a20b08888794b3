//! `/deliveries`: create, view, edit, duplicate, archive, delete, search.

use access::Caller;
use axum::{
    Extension, Json, Router,
    body::to_bytes,
    extract::{FromRequest, Path, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use delivery::{Definition, Delivery, Edit, ListFilter, Sources, State as Stage, Summary};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{
    body::{Body, Params},
    created,
    page::{PageParams, page},
    shape::{id, read_id, time, time_opt},
};
use crate::{
    limits::BODY_BYTES_MAX,
    problem::{Answer, Problem},
    state::{AppState, acting},
};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/deliveries", get(list))
        .route("/deliveries/{id}", get(view).patch(edit).delete(remove))
        .route("/deliveries/{id}/archive", post(archive))
        .route("/deliveries/{id}/unarchive", post(unarchive))
        .route("/deliveries/{id}/journal", get(journal))
}

/// Routes that make something: each may carry an `Idempotency-Key`.
pub(super) fn making_routes() -> Router<AppState> {
    Router::new().route("/deliveries", post(create)).route("/deliveries/{id}/duplicate", post(duplicate))
}

/// Reads `{id}`.
pub(super) fn delivery_id(text: &str) -> Answer<i64> {
    read_id(text, "delivery")
}

/// A delivery as JSON; the definition has the keys of `delivery.toml`.
pub(super) fn delivery_json(delivery: &Delivery) -> Value {
    json!({
        "id": id(delivery.id),
        "parent": delivery.parent.map(id),
        "proof_number": (delivery.proof_no > 0).then_some(delivery.proof_no),
        "label": delivery.label,
        "code": delivery.code,
        "state": delivery.state,
        "definition": delivery.definition,
        "html": delivery.html,
        "text": delivery.text,
        "mjml": delivery.mjml,
        "amp": delivery.amp,
        "is_template": delivery.is_template,
        "edited_by": delivery.edited_by,
        "owner": delivery.owner,
        "confirmed_by": delivery.confirmed_by,
        "resources_until": time_opt(delivery.resources_until),
        "origin": delivery.origin,
        "revision": delivery.revision,
        "analysed_revision": delivery.analysed_revision,
        "snapshot": delivery.snapshot,
        "target": delivery.target,
        "to_deliver": delivery.to_deliver,
        "predicted_end": time_opt(delivery.predicted_end),
        "archived": delivery.archived,
        "proof": delivery.proof,
        "created_at": time(delivery.created_at),
        "updated_at": time(delivery.updated_at),
        "analysed_at": time_opt(delivery.analysed_at),
        "confirmed_at": time_opt(delivery.confirmed_at),
        "finished_at": time_opt(delivery.finished_at),
    })
}

pub(super) fn summary_json(summary: &Summary) -> Value {
    json!({
        "id": id(summary.id),
        "label": summary.label,
        "code": summary.code,
        "state": summary.state,
        "parent": summary.parent.map(id),
        "proof_number": (summary.proof_no > 0).then_some(summary.proof_no),
        "is_template": summary.is_template,
        "to_deliver": summary.to_deliver,
        "archived": summary.archived,
        "created_at": time(summary.created_at),
        "updated_at": time(summary.updated_at),
        "confirmed_at": time_opt(summary.confirmed_at),
        "finished_at": time_opt(summary.finished_at),
    })
}

#[derive(Deserialize)]
struct Which {
    /// States, separated by commas.
    state: Option<String>,
    #[serde(default)]
    archived: bool,
    proofs_of: Option<String>,
}

async fn list(
    State(state): State<AppState>,
    Params(params): Params<PageParams>,
    Params(which): Params<Which>,
) -> Answer<Json<Value>> {
    let rows = params.rows()?;
    let states =
        which.state.as_deref().unwrap_or("").split(',').filter(|word| !word.is_empty()).map(|word| {
            Stage::parse(word).ok_or_else(|| Problem::invalid("state", format!("There is no state {word}.")))
        });
    let filter = ListFilter {
        search: params.search()?.to_owned(),
        states: states.collect::<Answer<Vec<Stage>>>()?,
        archived: which.archived,
        proofs_of: which.proofs_of.as_deref().map(delivery_id).transpose()?,
        before: params.after_id("deliveries")?,
        limit: rows,
        ..ListFilter::default()
    };
    let found = state.deliveries.list(filter).await?;
    // A full page may be the last; the next one is then empty.
    let next = found.last().filter(|_| found.len() >= rows).map(|last| last.id.to_string());
    Ok(Json(page("deliveries", found.iter().map(summary_json).collect(), next)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    // Read again as JSON: what is not given comes from the template that it names.
    #[serde(rename = "definition")]
    _definition: Definition,
    html: Option<String>,
    text: Option<String>,
    mjml: Option<String>,
    amp: Option<String>,
}

async fn create(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer<Response> {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| Problem::too_large("The body is larger than this server reads here."))?;
    let again = Request::from_parts(parts, bytes.clone().into());
    // Read as what it must be, for errors that name their place.
    let Body(new) = Body::<New>::from_request(again, &()).await?;
    let mut own: Value =
        serde_json::from_slice(&bytes).map_err(|error| Problem::bad_request(error.to_string()))?;
    let own = own["definition"].take();
    let given = Sources { html: new.html, text: new.text, mjml: new.mjml, amp: new.amp };
    let delivery = state.deliveries.create_over(own, given, &caller.name).await?;
    Ok(created(&delivery_json(&delivery)))
}

async fn view(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    Ok(Json(delivery_json(&state.deliveries.get(delivery_id(&text)?).await?)))
}

/// What is absent stays; `"html": null` removes the part; `label` alone changes the label.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    label: Option<String>,
    definition: Option<Definition>,
    #[serde(default, deserialize_with = "given")]
    html: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    text: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    mjml: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    amp: Option<Option<String>>,
    /// The revision that the author saw.
    revision: Option<i64>,
}

/// Tells `null` from absent.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

async fn edit(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    Body(change): Body<Change>,
) -> Answer<Json<Value>> {
    let delivery = delivery_id(&text)?;
    let mut based_on = change.revision;
    let mut definition = change.definition;
    if let Some(label) = change.label {
        let mut named = match definition {
            Some(definition) => definition,
            None => {
                let seen = state.deliveries.get(delivery).await?;
                // The label is put into the definition as it is now, so that must still be the one that is replaced.
                based_on = based_on.or(Some(seen.revision));
                seen.definition
            }
        };
        named.label = label;
        definition = Some(named);
    }
    let edit = Edit {
        definition,
        html: change.html,
        text: change.text,
        mjml: change.mjml,
        amp: change.amp,
        based_on,
        by: caller.name,
    };
    Ok(Json(delivery_json(&state.deliveries.edit(delivery, edit).await?)))
}

async fn remove(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Answer<Response> {
    state.deliveries.delete(delivery_id(&text)?, &acting(&caller)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn duplicate(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Answer<Response> {
    let copy = state.deliveries.duplicate(delivery_id(&text)?, &acting(&caller)).await?;
    Ok(created(&delivery_json(&copy)))
}

async fn archive(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Answer<Json<Value>> {
    state.deliveries.archive(delivery_id(&text)?, true, &acting(&caller)).await?;
    view(State(state), Path(text)).await
}

async fn unarchive(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Answer<Json<Value>> {
    state.deliveries.archive(delivery_id(&text)?, false, &acting(&caller)).await?;
    view(State(state), Path(text)).await
}

async fn journal(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let lines = state.deliveries.journal(delivery_id(&text)?).await?;
    let items = lines
        .iter()
        .map(|line| {
            let mut document = json!(line);
            document["at"] = time(line.at);
            document
        })
        .collect();
    Ok(Json(page("journal", items, None)))
}
