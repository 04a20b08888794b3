//! Lists: create, rename, delete.

use askama::Template;
use audience::List;
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
use crate::{acts::Told, state::AppState};

#[derive(Template)]
#[template(path = "lists.html")]
struct ListsPage {
    page: Page,
    rows: Vec<List>,
    problem: String,
}

/// `GET /lists`.
pub async fn index(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    let rows = state.audience.lists().await?;
    show(&ListsPage { page: desk.page(Place::Lists), rows, problem: String::new() })
}

/// `POST /lists`.
pub async fn create(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let created = state.audience.create_list(form.get("name"), state.clock.now_us()).await;
    answer(&desk, &state, created.map(|id| named(id, &form)), "created").await
}

/// `POST /lists/{id}/rename`.
pub async fn rename(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let renamed = state.audience.rename_list(id, form.get("name")).await;
    answer(&desk, &state, renamed.map(|()| named(id, &form)), "saved").await
}

/// `POST /lists/{id}/delete`.
pub async fn delete(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    let deleted = state.audience.delete_list(id).await;
    answer(&desk, &state, deleted.map(|_| Told::default()), "deleted").await
}

fn named(id: i64, form: &Form) -> Told {
    Told { subject: id.to_string(), detail: form.get("name").trim().to_owned() }
}

async fn answer(
    desk: &Desk,
    state: &AppState,
    outcome: audience::Result<Told>,
    word: &str,
) -> Result<Response, Fault> {
    let fault = match outcome {
        Ok(told) => return Ok(told.on(done("/lists", word))),
        Err(error) => Fault::from(error),
    };
    if !fault.is_callers() {
        return Err(fault);
    }
    let rows = state.audience.lists().await?;
    show_as(fault.0.status, &ListsPage { page: desk.page(Place::Lists), rows, problem: fault.text() })
}
