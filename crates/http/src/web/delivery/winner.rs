//! The A/B panel of the Watch tab: how the variants do, and the buttons that choose one.

use axum::{
    extract::{Path, State},
    response::Response,
};
use delivery::{AbState, AbStatus, VariantStatus};

use super::super::{
    fault::Fault,
    form::Form,
    page::{Desk, done},
};
use crate::state::AppState;

/// A test, as the page shows it.
pub struct Panel {
    /// A word of `ab-state`.
    pub state: &'static str,
    /// Each, and whether it has won.
    pub variants: Vec<(VariantStatus, bool)>,
    pub rest: i64,
    pub due_at: Option<i64>,
    pub why: String,
    /// Somebody may choose now.
    pub open: bool,
}

impl Panel {
    /// The test of a delivery; none: it has none.
    pub async fn of(state: &AppState, id: i64, active: bool) -> Result<Option<Panel>, Fault> {
        Ok(state.deliveries.ab(id).await?.map(|test| Panel::shown(test, active)))
    }

    fn shown(test: AbStatus, active: bool) -> Panel {
        let winner = test.winner;
        let variants = test.variants.into_iter().map(|of| {
            let won = winner == Some(of.variant);
            (of, won)
        });
        let waits = matches!(test.state, AbState::Sampling | AbState::Choosing);
        Panel {
            open: waits && active,
            state: test.state.as_str(),
            variants: variants.collect(),
            rest: test.rest,
            due_at: test.due_at.filter(|_| waits),
            why: test.why,
        }
    }
}

/// `POST /deliveries/{id}/winner`.
pub async fn choose(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    state.deliveries.choose_winner(id, form.get("variant"), &desk.viewer.by()).await?;
    Ok(done(&format!("/deliveries/{id}/watch"), "chosen"))
}
