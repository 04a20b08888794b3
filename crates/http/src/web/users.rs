//! Users: who may sign in, what each may do, invitations, new passwords.

use access::{Account, LinkKind, OneTime, PasswordLink, Right, Rights};
use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Desk, Page, Place, done, show, show_as},
    texts,
};
use crate::{links, state::AppState};

/// One right as a checkbox.
struct Tick {
    right: &'static str,
    given: bool,
}

fn ticks(rights: Rights) -> Vec<Tick> {
    Right::ALL.into_iter().map(|right| Tick { right: right.name(), given: rights.holds(right) }).collect()
}

struct Row {
    id: i64,
    name: String,
    email: String,
    you: bool,
    one_time: bool,
    invited: bool,
    second_factor: bool,
    link_until: Option<i64>,
    rights: Vec<Tick>,
    last_sign_in: Option<i64>,
}

impl Row {
    fn of(account: Account, you: i64) -> Row {
        Row {
            id: account.id,
            you: account.id == you,
            name: account.name,
            email: account.email,
            one_time: account.one_time,
            invited: account.invited,
            second_factor: account.totp,
            link_until: account.link_until,
            rights: ticks(account.rights),
            last_sign_in: account.signed_in,
        }
    }
}

#[derive(Template)]
#[template(path = "settings_users.html")]
struct UsersPage {
    page: Page,
    rows: Vec<Row>,
    new_name: String,
    new_email: String,
    new_rights: Vec<Tick>,
    problem: String,
    /// Title of what is shown once, and the secret itself.
    secret_of: String,
    secret: String,
    note: String,
}

async fn build(desk: &Desk, state: &AppState) -> Result<UsersPage, Fault> {
    let you = desk.viewer.caller.user;
    let rows = state.access.users().await?.into_iter().map(|account| Row::of(account, you)).collect();
    Ok(UsersPage {
        page: desk.page(Place::Settings),
        rows,
        new_name: String::new(),
        new_email: String::new(),
        new_rights: ticks(Rights::DAILY),
        problem: String::new(),
        secret_of: String::new(),
        secret: String::new(),
        note: String::new(),
    })
}

/// `GET /settings/users`.
pub async fn index(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    show(&build(&desk, &state).await?)
}

/// The page after a one-time password was made. It is the answer itself, not a redirect: the password is shown once.
async fn made(desk: &Desk, state: &AppState, one_time: OneTime) -> Result<Response, Fault> {
    let mut page = build(desk, state).await?;
    (page.secret, page.secret_of) = (one_time.password, texts::text_s("user-password-of", &one_time.name));
    show(&page)
}

/// The page after a link was made, which is shown once as well.
async fn linked(desk: &Desk, state: &AppState, link: PasswordLink) -> Result<Response, Fault> {
    let mailed = links::mail(state, &link).await;
    let mut page = build(desk, state).await?;
    page.secret = links::url(state, &link);
    page.secret_of = match link.kind {
        LinkKind::Invitation => texts::text_s("user-link-invitation", &link.name),
        LinkKind::Reset => texts::text_s("user-link-reset", &link.name),
    };
    page.note = if mailed {
        texts::text_s("user-link-mailed", &link.email)
    } else {
        texts::text("user-link-by-hand")
    };
    show(&page)
}

async fn refused(desk: &Desk, state: &AppState, fault: Fault, form: &Form) -> Result<Response, Fault> {
    if !fault.is_callers() {
        return Err(fault);
    }
    let mut page = build(desk, state).await?;
    page.problem = fault.text();
    if form.has("do") {
        form.get("name").clone_into(&mut page.new_name);
        form.get("email").clone_into(&mut page.new_email);
        page.new_rights = ticks(rights(form));
    }
    show_as(fault.0.status, &page)
}

/// The ticked rights.
fn rights(form: &Form) -> Rights {
    Rights::of(form.all("right").into_iter().filter_map(Right::named))
}

/// `POST /settings/users`: an invitation, or with `do=add` a one-time password.
pub async fn add(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let (actor, name, now_us) = (&desk.viewer.name, form.get("name"), state.clock.now_us());
    if form.get("do") == "add" {
        return match state.access.add_user(actor, name, rights(&form), now_us).await {
            Ok(one_time) => made(&desk, &state, one_time).await,
            Err(error) => refused(&desk, &state, error.into(), &form).await,
        };
    }
    match state.access.invite(actor, name, form.get("email"), rights(&form), now_us).await {
        Ok(link) => linked(&desk, &state, link).await,
        Err(error) => refused(&desk, &state, error.into(), &form).await,
    }
}

/// `POST /settings/users/reset`: a new one-time password.
pub async fn reset(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    match state.access.reset_user(&desk.viewer.name, form.get("name"), state.clock.now_us()).await {
        Ok(one_time) => made(&desk, &state, one_time).await,
        Err(error) => refused(&desk, &state, error.into(), &form).await,
    }
}

/// `POST /settings/users/link`: a link by which the user chooses a password.
pub async fn link(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    match state.access.password_link(&desk.viewer.name, form.get("name"), state.clock.now_us()).await {
        Ok(link) => linked(&desk, &state, link).await,
        Err(error) => refused(&desk, &state, error.into(), &form).await,
    }
}

/// `POST /settings/users/edit`: rights and address.
pub async fn edit(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let (actor, name, now_us) = (&desk.viewer.name, form.get("name"), state.clock.now_us());
    let account = match state.access.user(name).await {
        Ok(account) => account,
        Err(error) => return refused(&desk, &state, error.into(), &form).await,
    };
    if account.email != form.get("email")
        && let Err(error) = state.access.set_email(actor, name, form.get("email"), now_us).await
    {
        return refused(&desk, &state, error.into(), &form).await;
    }
    if account.rights != rights(&form)
        && let Err(error) = state.access.set_rights(actor, name, rights(&form), now_us).await
    {
        return refused(&desk, &state, error.into(), &form).await;
    }
    Ok(done("/settings/users", "saved"))
}

/// `POST /settings/users/second-factor`: switches it off for somebody who lost it.
pub async fn second_factor(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let outcome = state.access.clear_second_factor(&desk.viewer.name, form.get("name"), state.clock.now_us());
    match outcome.await {
        Ok(()) => Ok(done("/settings/users", "saved")),
        Err(error) => refused(&desk, &state, error.into(), &form).await,
    }
}

/// `POST /settings/users/delete`.
pub async fn delete(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    match state.access.delete_user(&desk.viewer.name, form.get("name"), state.clock.now_us()).await {
        Ok(()) => Ok(done("/settings/users", "deleted")),
        Err(error) => refused(&desk, &state, error.into(), &form).await,
    }
}
