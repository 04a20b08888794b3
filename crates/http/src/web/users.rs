//! Users: who may sign in, new one-time passwords, and one's own password.

use access::{Account, OneTime, Rights};
use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Desk, Page, Place, done, show, show_as},
};
use crate::state::AppState;

struct Row {
    id: i64,
    name: String,
    you: bool,
    one_time: bool,
    created_at: i64,
    last_sign_in: Option<i64>,
}

#[derive(Template)]
#[template(path = "settings_users.html")]
struct UsersPage {
    page: Page,
    rows: Vec<Row>,
    problem: String,
    secret: String,
    secret_for: String,
}

async fn build(desk: &Desk, state: &AppState) -> Result<UsersPage, Fault> {
    let you = desk.viewer.caller.user;
    let row = |account: Account| Row {
        id: account.id,
        you: account.id == you,
        name: account.name,
        one_time: account.one_time,
        created_at: account.created,
        last_sign_in: account.signed_in,
    };
    let rows = state.access.users().await?.into_iter().map(row).collect();
    let nothing = String::new;
    Ok(UsersPage {
        page: desk.page(Place::Settings),
        rows,
        problem: nothing(),
        secret: nothing(),
        secret_for: nothing(),
    })
}

/// `GET /settings/users`.
pub async fn index(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    show(&build(&desk, &state).await?)
}

/// The page after a one-time password was made. It is the answer itself, not a redirect: the password is shown once.
async fn made(desk: &Desk, state: &AppState, outcome: access::Result<OneTime>) -> Result<Response, Fault> {
    match outcome {
        Ok(one_time) => {
            let mut page = build(desk, state).await?;
            (page.secret, page.secret_for) = (one_time.password, one_time.name);
            show(&page)
        }
        Err(error) => refused(desk, state, error.into()).await,
    }
}

async fn refused(desk: &Desk, state: &AppState, fault: Fault) -> Result<Response, Fault> {
    if !fault.is_callers() {
        return Err(fault);
    }
    let mut page = build(desk, state).await?;
    fault.text().clone_into(&mut page.problem);
    show_as(fault.0.status, &page)
}

/// `POST /settings/users`.
pub async fn add(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let (actor, name) = (&desk.viewer.name, form.get("name"));
    let outcome = state.access.add_user(actor, name, Rights::DAILY, state.clock.now_us()).await;
    made(&desk, &state, outcome).await
}

/// `POST /settings/users/reset`.
pub async fn reset(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let outcome = state.access.reset_user(&desk.viewer.name, form.get("name"), state.clock.now_us()).await;
    made(&desk, &state, outcome).await
}

/// `POST /settings/password`: one's own.
pub async fn password(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let (viewer, now_us) = (&desk.viewer, state.clock.now_us());
    let (present, new) = (form.raw("now"), form.raw("new"));
    match state.access.change_password(&viewer.caller, present, new, Some(&viewer.cookie), now_us).await {
        Ok(()) => Ok(done("/settings/users", "password")),
        Err(error) => refused(&desk, &state, error.into()).await,
    }
}
