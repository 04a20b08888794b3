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
    match state.deliveries.confirm(id, Some(form.get("snapshot"))).await {
        Ok(_) => Ok(done(&format!("/deliveries/{id}/watch"), "confirmed")),
        Err(error) => {
            let fault = Fault::from(error);
            if fault.is_callers() { analysis::refused(&desk, &state, id, &fault).await } else { Err(fault) }
        }
    }
}

/// `POST /deliveries/{id}/pause`.
pub async fn pause(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    state.deliveries.pause(id).await?;
    Ok(done(&format!("/deliveries/{id}/watch"), "paused"))
}

/// `POST /deliveries/{id}/resume`.
pub async fn resume(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    state.deliveries.resume(id).await?;
    Ok(done(&format!("/deliveries/{id}/watch"), "resumed"))
}

/// `POST /deliveries/{id}/stop`. The exact figures of the stop are on the page that follows.
pub async fn stop(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    let report = state.stop(id).await?;
    let path =
        format!("/deliveries/{id}/watch?stopped={},{},{}", report.sent, report.in_flight, report.cancelled);
    Ok(Redirect::to(&path).into_response())
}
