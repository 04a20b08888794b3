//! `/users` and `/tokens`: who may sign in, and what programs use instead of a password.

use access::{Account, ApiToken, Caller, OneTime, PasswordLink, Rights};
use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, patch, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::Body,
    created,
    page::page,
    shape::{id, read_id, time, time_opt},
};
use crate::{
    links,
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/users", get(users).post(add))
        .route("/users/{name}", patch(edit).delete(remove))
        .route("/users/{name}/reset", post(reset))
        .route("/users/{name}/link", post(link))
        .route("/users/{name}/second-factor", delete(clear_second_factor))
        .route("/invitations", post(invite))
        .route("/tokens", get(tokens).post(create))
        .route("/tokens/{id}", delete(revoke))
}

fn account_json(account: &Account) -> Value {
    json!({
        "id": id(account.id),
        "name": account.name,
        "one_time_password": account.one_time,
        "created_at": time(account.created),
        "signed_in_at": time_opt(account.signed_in),
        "rights": account.rights.names(),
        "email": account.email,
        "second_factor": account.totp,
        "invited": account.invited,
        "link_until": time_opt(account.link_until),
    })
}

/// The one moment in which the password can be seen.
fn one_time_json(one_time: &OneTime) -> Value {
    json!({"name": one_time.name, "password": one_time.password})
}

async fn users(State(state): State<AppState>) -> Answer<Json<Value>> {
    let users = state.access.users().await?;
    Ok(Json(page("users", users.iter().map(account_json).collect(), None)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    /// Names of rights; absent: all but administration.
    rights: Option<Vec<String>>,
}

/// The rights that a request names.
fn read_rights(names: Option<&[String]>) -> Answer<Rights> {
    Ok(names.map_or(Ok(Rights::DAILY), |names| Rights::parse(&names.join(",")))?)
}

async fn add(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(new): Body<New>,
) -> Answer<Response> {
    let rights = read_rights(new.rights.as_deref())?;
    let one_time = state.access.add_user(&caller.name, &new.name, rights, state.clock.now_us()).await?;
    Ok(created(&one_time_json(&one_time)))
}

/// A link by which somebody chooses a password. It is a secret: whoever has it is let in as that user.
fn link_json(state: &AppState, link: &PasswordLink, mailed: bool) -> Value {
    json!({
        "name": link.name,
        "kind": link.kind.name(),
        "link": links::url(state, link),
        "expires_at": time(link.expires),
        "mailed": mailed,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invited {
    name: String,
    #[serde(default)]
    email: String,
    rights: Option<Vec<String>>,
}

async fn invite(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(new): Body<Invited>,
) -> Answer<Response> {
    let rights = read_rights(new.rights.as_deref())?;
    let now_us = state.clock.now_us();
    let link = state.access.invite(&caller.name, &new.name, &new.email, rights, now_us).await?;
    let mailed = links::mail(&state, &link).await;
    Ok(created(&link_json(&state, &link, mailed)))
}

async fn link(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Answer<Response> {
    let link = state.access.password_link(&caller.name, &name, state.clock.now_us()).await?;
    let mailed = links::mail(&state, &link).await;
    Ok(created(&link_json(&state, &link, mailed)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changed {
    rights: Option<Vec<String>>,
    email: Option<String>,
}

async fn edit(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Body(changed): Body<Changed>,
) -> Answer<Json<Value>> {
    let now_us = state.clock.now_us();
    if let Some(email) = &changed.email {
        state.access.set_email(&caller.name, &name, email, now_us).await?;
    }
    if let Some(names) = &changed.rights {
        state.access.set_rights(&caller.name, &name, read_rights(Some(names))?, now_us).await?;
    }
    Ok(Json(account_json(&state.access.user(&name).await?)))
}

async fn clear_second_factor(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Answer<Response> {
    state.access.clear_second_factor(&caller.name, &name, state.clock.now_us()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn reset(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Answer<Json<Value>> {
    let one_time = state.access.reset_user(&caller.name, &name, state.clock.now_us()).await?;
    Ok(Json(one_time_json(&one_time)))
}

async fn remove(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Answer<Response> {
    state.access.delete_user(&caller.name, &name, state.clock.now_us()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn token_json(token: &ApiToken) -> Value {
    json!({
        "id": id(token.id),
        "label": token.label,
        "created_at": time(token.created),
        "used_at": time_opt(token.used),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    label: String,
    /// With the local token, which is nobody's: the account that gets the token.
    user: Option<String>,
}

/// The account whose tokens are meant: the caller's own, or with the local token the named one.
async fn owner(state: &AppState, caller: Caller, named: Option<&str>) -> Answer<Caller> {
    if caller.user != 0 {
        return match named {
            Some(name) if name != caller.name => {
                Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "Tokens are made by their owner.")
                    .at("user"))
            }
            _ => Ok(caller),
        };
    }
    let name = named.ok_or_else(|| Problem::invalid("user", "Name the account that gets the token."))?;
    let users = state.access.users().await?;
    let account =
        users.iter().find(|account| account.name == name).ok_or_else(|| Problem::not_found("user"))?;
    Ok(Caller { user: account.id, name: account.name.clone(), rights: account.rights, ..caller })
}

async fn tokens(State(state): State<AppState>, Extension(caller): Extension<Caller>) -> Answer<Json<Value>> {
    let tokens = state.access.tokens(caller.user).await?;
    Ok(Json(page("tokens", tokens.iter().map(token_json).collect(), None)))
}

async fn create(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(new): Body<NewToken>,
) -> Answer<Response> {
    let owner = owner(&state, caller, new.user.as_deref()).await?;
    let (token, text) = state.access.create_token(&owner, &new.label, state.clock.now_us()).await?;
    Ok(created(&json!({"id": id(token), "label": new.label, "token": text})))
}

async fn revoke(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Answer<Response> {
    state.access.revoke_token(&caller, read_id(&text, "token")?, state.clock.now_us()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
