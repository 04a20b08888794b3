//! Confirm, pause, resume, stop.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};

use super::{
    super::{
        fault::Fault,
        form::Form,
        page::{Desk, done},
    },
    analysis,
};
use crate::state::AppState;

/// `POST /deliveries/{id}/confirm`: starts exactly the snapshot that the dialog showed.
pub async fn confirm(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    match state.deliveries.confirm(id, Some(form.get("snapshot")), &desk.viewer.by()).await {
        Ok(_) => Ok(done(&format!("/deliveries/{id}/watch"), "confirmed")),
        Err(error) => analysis::refused(&desk, &state, id, error.into()).await,
    }
}

/// `POST /deliveries/{id}/pause`.
pub async fn pause(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    state.deliveries.pause(id, &desk.viewer.by()).await?;
    Ok(done(&format!("/deliveries/{id}/watch"), "paused"))
}

/// `POST /deliveries/{id}/resume`.
pub async fn resume(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    state.deliveries.resume(id, &desk.viewer.by()).await?;
    Ok(done(&format!("/deliveries/{id}/watch"), "resumed"))
}

/// `POST /deliveries/{id}/stop`. The exact figures of the stop are on the page that follows.
pub async fn stop(desk: Desk, State(state): State<AppState>, Path(id): Path<i64>) -> Result<Response, Fault> {
    let report = state.stop(id, &desk.viewer.by()).await?;
    let path =
        format!("/deliveries/{id}/watch?stopped={},{},{}", report.sent, report.in_flight, report.cancelled);
    Ok(Redirect::to(&path).into_response())
}
