//! `/quarantine`: addresses that are not written to, whoever they belong to.

use audience::Quarantined;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{Body, Params},
    created,
    page::{PageParams, page},
    shape::time,
};
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/quarantine", get(list).post(add)).route("/quarantine/{email}", delete(release))
}

fn quarantined_json(quarantined: &Quarantined) -> Value {
    json!({
        "email": quarantined.email,
        "reason": quarantined.reason,
        "reply": quarantined.reply,
        "since": time(quarantined.since),
    })
}

/// The search is a prefix of the address.
async fn list(State(state): State<AppState>, Params(params): Params<PageParams>) -> Answer<Json<Value>> {
    let rows = params.rows()?;
    let after = params.after("quarantine")?.unwrap_or_default();
    let prefix = params.search()?.to_lowercase();
    let mut found = state.audience.quarantined_page(&prefix, &after, rows + 1).await?;
    let more = found.len() > rows;
    found.truncate(rows);
    let next = found.last().filter(|_| more).map(|last| last.email_key.clone());
    Ok(Json(page("quarantine", found.iter().map(quarantined_json).collect(), next)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    email: String,
    #[serde(default = "manual")]
    reason: String,
}

fn manual() -> String {
    "manual".to_owned()
}

async fn add(State(state): State<AppState>, Body(new): Body<New>) -> Answer<Response> {
    if new.reason.is_empty() || new.reason.len() > 64 || new.reason.chars().any(char::is_control) {
        return Err(Problem::invalid("reason", "A reason is one line of 1 to 64 characters."));
    }
    let mailbox =
        address::parse(new.email.trim()).map_err(|error| Problem::invalid("email", error.to_string()))?;
    let added = state.quarantine(&mailbox, &new.reason).await?;
    Ok(created(&json!({"email": new.email, "added": added})))
}

async fn release(State(state): State<AppState>, Path(email): Path<String>) -> Answer<Response> {
    match state.audience.release(vec![email]).await? {
        0 => Err(Problem::not_found("quarantined address")),
        _ => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}
