//! `/me`: the caller's own account and sessions.

use access::{Caller, Profile, SessionLine};
use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    auth::cookie,
    body::Body,
    page::page,
    shape::{id, time},
};
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/me", get(me).patch(edit))
        .route("/me/sessions", get(sessions).delete(end_others))
        .route("/me/sessions/{id}", delete(end))
}

/// The account behind the caller; the command line's own caller has none.
async fn me(State(state): State<AppState>, Extension(caller): Extension<Caller>) -> Answer<Json<Value>> {
    let mut document = json!({
        "id": id(caller.user),
        "name": caller.name,
        "rights": caller.rights.names(),
        "language": caller.language,
        "time_zone": caller.time_zone,
    });
    if caller.user != 0 {
        let account = state.access.user(&caller.name).await?;
        document["email"] = account.email.into();
        document["second_factor"] = account.totp.into();
    }
    Ok(Json(document))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changed {
    language: Option<String>,
    time_zone: Option<String>,
    email: Option<String>,
}

async fn edit(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(changed): Body<Changed>,
) -> Answer<Json<Value>> {
    if caller.user == 0 {
        return Err(Problem::conflict("The command line's own token belongs to no account."));
    }
    let account = state.access.user(&caller.name).await?;
    let profile = Profile {
        language: changed.language.unwrap_or(caller.language),
        time_zone: changed.time_zone.unwrap_or(caller.time_zone),
        email: changed.email.unwrap_or(account.email),
    };
    let caller =
        Caller { language: profile.language.clone(), time_zone: profile.time_zone.clone(), ..caller };
    state.access.set_profile(&caller, profile, state.clock.now_us()).await?;
    me(State(state), Extension(caller)).await
}

fn session_json(line: &SessionLine) -> Value {
    json!({
        "id": line.id,
        "created_at": time(line.created),
        "seen_at": time(line.seen),
        "address": line.peer,
        "browser": line.agent,
        "own": line.own,
    })
}

async fn sessions(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Answer<Json<Value>> {
    let lines = state.access.sessions(caller.user, cookie(&headers), state.clock.now_us()).await?;
    Ok(Json(page("sessions", lines.iter().map(session_json).collect(), None)))
}

async fn end(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(session): Path<String>,
) -> Answer<Response> {
    state.access.end_session(&caller, &session, state.clock.now_us()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// All but the one that asks; with a token, all.
async fn end_others(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Answer<Json<Value>> {
    let ended = state.access.end_other_sessions(&caller, cookie(&headers), state.clock.now_us()).await?;
    Ok(Json(json!({"ended": ended})))
}
