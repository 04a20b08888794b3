//! `/deliveries/{id}/proofs`: the rounds, what changed between them, and what their readers said.

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use delivery::rounds::{ProofReader, Round};
use serde_json::{Value, json};

use super::{
    deliveries::delivery_id,
    shape::{id, time, time_opt},
};
use crate::{problem::Answer, state::AppState};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/deliveries/{id}/proofs", get(list))
}

fn reader_json(reader: &ProofReader) -> Value {
    json!({
        "message": id(reader.message),
        "address": reader.address,
        "as": reader.profile,
        "format": reader.format,
        "word": reader.word,
        "comment": reader.comment,
        "decided_at": time_opt(reader.decided_at),
    })
}

fn round_json(round: &Round) -> Value {
    json!({
        "number": round.number,
        "id": id(round.proof),
        "state": round.state,
        "at": time(round.at),
        "by": round.by,
        "readers": round.readers.iter().map(reader_json).collect::<Vec<_>>(),
        "changed": round.changed,
    })
}

async fn list(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let rounds = state.deliveries.rounds(delivery_id(&text)?).await?;
    Ok(Json(json!({
        "proofs": rounds.rounds.iter().map(round_json).collect::<Vec<_>>(),
        "changed_since": rounds.since,
    })))
}
