//! `/archive`: the copies of sent messages, those that are owed and those that wait for somebody.

use archive::{State as Standing, Way};
use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{get, post},
};
use queue::copies::Held;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{Body, Params},
    deliveries::delivery_id,
    page::{PageParams, page},
    shape::{id, read_id, time, time_opt},
};
use crate::{
    limits::GIVE_UP_MAX,
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/archive", get(view))
        .route("/archive/held", get(held))
        .route("/archive/try-again", post(try_again))
        .route("/archive/give-up", post(give_up))
        .route("/deliveries/{id}/copies", get(of_delivery))
}

async fn view(State(state): State<AppState>) -> Answer<Json<Value>> {
    Ok(Json(standing_json(&state.archive.state().await?)))
}

fn standing_json(standing: &Standing) -> Value {
    let to = match &standing.way {
        Way::Nowhere { problem } => json!({"kind": "nowhere", "problem": problem}),
        Way::Address(address) => json!({"kind": "address", "address": address}),
        Way::Folder { path, compress } => {
            json!({"kind": "folder", "path": path.to_string_lossy(), "compress": compress})
        }
    };
    let error = standing.trouble.as_ref().map(|trouble| {
        json!({"at": time(trouble.at), "text": trouble.words, "resting_until": time_opt(trouble.until)})
    });
    json!({
        "to": to,
        "waiting": standing.waiting,
        "put_off_because": standing.put_off,
        "held": standing.held,
        "oldest_sent_at": time_opt(standing.oldest),
        "archived": standing.archived,
        "octets": standing.octets,
        "last_archived_at": time_opt(standing.last_at),
        "error": error,
    })
}

fn held_json(held: &Held) -> Value {
    json!({
        "message": id(held.id),
        "delivery": id(held.delivery),
        "recipient": held.address,
        "sent_at": time(held.sent_at),
        "error": held.error,
    })
}

async fn held(State(state): State<AppState>, Params(params): Params<PageParams>) -> Answer<Json<Value>> {
    let rows = params.rows()?;
    let after = params.after_id("held")?.unwrap_or(0);
    let mut found = state.archive.held(after, rows + 1).await?;
    let more = found.len() > rows;
    found.truncate(rows);
    let next = found.last().filter(|_| more).map(|last| last.id.to_string());
    Ok(Json(page("held", found.iter().map(held_json).collect(), next)))
}

async fn try_again(State(state): State<AppState>) -> Answer<Json<Value>> {
    let held = state.archive.try_again().await?;
    Ok(Json(json!({"released": held})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GiveUp {
    messages: Vec<String>,
}

async fn give_up(State(state): State<AppState>, Body(asked): Body<GiveUp>) -> Answer<Json<Value>> {
    if asked.messages.is_empty() || asked.messages.len() > GIVE_UP_MAX {
        return Err(Problem::invalid("messages", format!("Name 1 to {GIVE_UP_MAX} messages.")));
    }
    let messages: Result<Vec<i64>, Problem> =
        asked.messages.iter().map(|text| read_id(text, "message")).collect();
    let given = state.archive.give_up(messages?).await?;
    Ok(Json(json!({"given_up": given})))
}

async fn of_delivery(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let delivery = delivery_id(&text)?;
    state.deliveries.get(delivery).await?;
    let (waiting, held, archived) = state.archive.of_delivery(delivery).await?;
    Ok(Json(json!({"waiting": waiting, "held": held, "archived": archived})))
}
