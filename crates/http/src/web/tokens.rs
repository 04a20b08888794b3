//! One's own API tokens.

use access::ApiToken;
use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Desk, Page, Place, done, show, show_as},
};
use crate::state::AppState;

#[derive(Template)]
#[template(path = "settings_tokens.html")]
struct TokensPage {
    page: Page,
    rows: Vec<ApiToken>,
    problem: String,
    secret: String,
}

async fn build(desk: &Desk, state: &AppState) -> Result<TokensPage, Fault> {
    let rows = state.access.tokens(desk.viewer.caller.user).await?;
    Ok(TokensPage { page: desk.page(Place::Account), rows, problem: String::new(), secret: String::new() })
}

/// `GET /settings/tokens`.
pub async fn index(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    show(&build(&desk, &state).await?)
}

/// `POST /settings/tokens`. The answer shows the token, once.
pub async fn add(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let made = state.access.create_token(&desk.viewer.caller, form.get("name"), state.clock.now_us()).await;
    let fault = match made {
        Ok((_, secret)) => {
            let mut page = build(&desk, &state).await?;
            page.secret = secret;
            return show(&page);
        }
        Err(error) => Fault::from(error),
    };
    if !fault.is_callers() {
        return Err(fault);
    }
    let mut page = build(&desk, &state).await?;
    page.problem = fault.text();
    show_as(fault.0.status, &page)
}

/// `POST /settings/tokens/{id}/revoke`.
pub async fn revoke(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    state.access.revoke_token(&desk.viewer.caller, id, state.clock.now_us()).await?;
    Ok(done("/settings/tokens", "revoked"))
}
