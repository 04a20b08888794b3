//! Services: create, rename, delete. Who subscribes is set on a recipient's page and over REST.

use askama::Template;
use audience::Service;
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
#[template(path = "services.html")]
struct ServicesPage {
    page: Page,
    rows: Vec<Service>,
    problem: String,
}

/// `GET /services`.
pub async fn index(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    let rows = state.audience.services().await?;
    show(&ServicesPage { page: desk.page(Place::Services), rows, problem: String::new() })
}

/// `POST /services`.
pub async fn create(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let created = state.audience.create_service(form.get("name"), state.clock.now_us()).await;
    answer(&desk, &state, created.map(|id| named(id, &form)), "created").await
}

/// `POST /services/{id}/rename`.
pub async fn rename(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, Fault> {
    let renamed = state.audience.rename_service(id, form.get("name")).await;
    answer(&desk, &state, renamed.map(|()| named(id, &form)), "saved").await
}

/// `POST /services/{id}/delete`.
pub async fn delete(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    let deleted = state.audience.delete_service(id).await;
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
        Ok(told) => return Ok(told.on(done("/services", word))),
        Err(error) => Fault::from(error),
    };
    if !fault.is_callers() {
        return Err(fault);
    }
    let rows = state.audience.services().await?;
    show_as(fault.0.status, &ServicesPage { page: desk.page(Place::Services), rows, problem: fault.text() })
}
