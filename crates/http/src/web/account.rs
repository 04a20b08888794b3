//! One's own account: language and time zone, password, sessions.

use access::{Profile, SessionLine};
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
    reader::Language,
    texts,
};
use crate::state::AppState;

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    page: Page,
    name: String,
    rights: String,
    languages: [(&'static str, &'static str); 2],
    zones: Vec<String>,
    profile: Profile,
    second_factor: bool,
    codes_left: i64,
    sessions: Vec<SessionLine>,
    problem: String,
}

async fn build(desk: &Desk, state: &AppState) -> Result<AccountPage, Fault> {
    let caller = &desk.viewer.caller;
    let account = state.access.user(&caller.name).await?;
    let (cookie, now_us) = (Some(desk.viewer.cookie.as_str()), state.clock.now_us());
    let names: Vec<String> =
        caller.rights.names().into_iter().map(|right| texts::pick("right", right)).collect();
    Ok(AccountPage {
        page: desk.page(Place::Account),
        name: caller.name.clone(),
        rights: names.join(", "),
        languages: Language::ALL.map(|language| (language.tag(), language.own_name())),
        zones: jiff::tz::db().available().map(|zone| zone.to_string()).collect(),
        profile: Profile {
            language: caller.language.clone(),
            time_zone: caller.time_zone.clone(),
            email: account.email,
        },
        second_factor: account.totp,
        codes_left: state.access.recovery_codes_left(caller.user).await?,
        sessions: state.access.sessions(caller.user, cookie, now_us).await?,
        problem: String::new(),
    })
}

/// `GET /account`.
pub async fn view(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    show(&build(&desk, &state).await?)
}

async fn refused(desk: &Desk, state: &AppState, fault: Fault) -> Result<Response, Fault> {
    if !fault.is_callers() {
        return Err(fault);
    }
    let mut page = build(desk, state).await?;
    page.problem = fault.text();
    show_as(fault.0.status, &page)
}

/// `POST /account/profile`.
pub async fn profile(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let profile = Profile {
        language: form.get("language").to_owned(),
        time_zone: form.get("time_zone").to_owned(),
        email: form.get("email").to_owned(),
    };
    match state.access.set_profile(&desk.viewer.caller, profile, state.clock.now_us()).await {
        Ok(()) => Ok(done("/account", "saved")),
        Err(error) => refused(&desk, &state, error.into()).await,
    }
}

/// `POST /account/password`.
pub async fn password(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let (viewer, now_us) = (&desk.viewer, state.clock.now_us());
    let (present, new) = (form.raw("now"), form.raw("new"));
    match state.access.change_password(&viewer.caller, present, new, Some(&viewer.cookie), now_us).await {
        Ok(()) => Ok(done("/account", "password")),
        Err(error) => refused(&desk, &state, error.into()).await,
    }
}

/// `POST /account/sessions/end`: all but this one.
pub async fn end_others(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    let (viewer, now_us) = (&desk.viewer, state.clock.now_us());
    state.access.end_other_sessions(&viewer.caller, Some(&viewer.cookie), now_us).await?;
    Ok(done("/account", "signed-out"))
}

/// `POST /account/sessions/{id}/end`.
pub async fn end(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    match state.access.end_session(&desk.viewer.caller, &id, state.clock.now_us()).await {
        // It has ended by itself meanwhile, which is what was wanted.
        Ok(()) | Err(access::Error::NotFound(_)) => Ok(done("/account", "signed-out")),
        Err(error) => Err(error.into()),
    }
}
