//! `/test-mail`: one message outside any delivery, to see whether mail leaves this machine.

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::Body;
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn sending_routes() -> Router<AppState> {
    Router::new().route("/test-mail", post(send))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mail {
    from: String,
    to: String,
}

/// Answers with the receiver's own words.
async fn send(State(state): State<AppState>, Body(mail): Body<Mail>) -> Answer<Json<Value>> {
    for (field, text) in [("from", &mail.from), ("to", &mail.to)] {
        address::parse(text).map_err(|error| Problem::invalid(field, error.to_string()))?;
    }
    match state.engine.send_test(&mail.from, &mail.to).await {
        Ok(reply) => Ok(Json(json!({"reply": reply}))),
        Err(why) => Err(Problem::new(StatusCode::BAD_GATEWAY, "not_taken", why)),
    }
}
