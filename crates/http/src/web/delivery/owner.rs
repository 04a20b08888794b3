//! Giving a delivery to somebody else: the form is in the Validation tab.

use axum::{
    extract::{Path, State},
    response::Response,
};

use super::super::{
    fault::Fault,
    form::Form,
    page::{Desk, done},
    texts,
};
use crate::{acts::Told, problem::Problem, state::AppState};

/// `POST /deliveries/{id}/owner`: `owner` names an account that is there.
pub async fn give(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let owner = form.get("owner");
    if !state.access.users().await?.iter().any(|account| account.name == owner) {
        return Err(Fault(Problem::invalid("owner", texts::text_s("owner-unknown", owner))));
    }
    state.deliveries.give_to(id, owner, &desk.viewer.by()).await?;
    let told = Told { subject: id.to_string(), detail: owner.to_owned() };
    Ok(told.on(done(&format!("/deliveries/{id}/validation"), "saved")))
}
