//! `/healthz`: the process lives. `/readyz`: it can do its work, which needs the database. Neither needs a sign-in, and
//! neither says more than that.

use std::time::Duration;

use axum::{Json, Router, extract::State, routing::get};
use serde_json::{Value, json};

use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

/// How long the database may take to answer.
const DATABASE_TIME_MAX: Duration = Duration::from_secs(3);

/// Both routes, outside `/api/v1` because load balancers look for them there.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/healthz", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/readyz", get(ready))
}

async fn ready(State(state): State<AppState>) -> Answer<Json<Value>> {
    let answer = state.queue.store().read(|tx| tx.query_one("SELECT 1", &[], |row| row.int(0)));
    match tokio::time::timeout(DATABASE_TIME_MAX, answer).await {
        Ok(Ok(_)) => Ok(Json(json!({"status": "ready"}))),
        Ok(Err(error)) => {
            let error: store::Error = error;
            tracing::warn!(%error, "not ready: the database does not answer");
            Err(Problem::unavailable("The database does not answer."))
        }
        Err(_) => Err(Problem::unavailable("The database does not answer in time.")),
    }
}
