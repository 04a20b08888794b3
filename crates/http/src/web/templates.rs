//! Delivery templates: what new deliveries start from. A template is edited on a delivery's own pages.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use delivery::{Definition, ListFilter, New, Summary};

use super::{
    fault::Fault,
    filters,
    form::Form,
    page::{Desk, Page, Place, done, show, show_as},
};
use crate::state::AppState;

/// Templates that the page shows.
const SHOWN_MAX: usize = 200;

#[derive(Template)]
#[template(path = "templates.html")]
struct TemplatesPage {
    page: Page,
    rows: Vec<Summary>,
    problem: String,
}

/// All templates by name: they are few, and sought by what they are called.
pub async fn all(state: &AppState) -> Result<Vec<Summary>, Fault> {
    let mut found =
        state.deliveries.templates(ListFilter { limit: SHOWN_MAX, ..ListFilter::default() }).await?;
    found.sort_by_cached_key(|template| template.label.to_lowercase());
    Ok(found)
}

/// `GET /templates`.
pub async fn index(desk: Desk, State(state): State<AppState>) -> Result<Response, Fault> {
    show(&TemplatesPage {
        page: desk.page(Place::Templates),
        rows: all(&state).await?,
        problem: String::new(),
    })
}

/// `POST /templates`: an empty one.
pub async fn create(desk: Desk, State(state): State<AppState>, form: Form) -> Result<Response, Fault> {
    let new = New {
        definition: Definition::new(form.get("name")),
        is_template: true,
        by: desk.viewer.name.clone(),
        ..New::default()
    };
    let fault = match state.deliveries.create_new(new).await {
        Ok(created) => return Ok(done(&format!("/deliveries/{}/content", created.id), "created")),
        Err(error) => Fault::from(error),
    };
    if !fault.is_callers() {
        return Err(fault);
    }
    let page =
        TemplatesPage { page: desk.page(Place::Templates), rows: all(&state).await?, problem: fault.text() };
    show_as(fault.0.status, &page)
}

/// `POST /templates/{id}/delete`.
pub async fn delete(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    if !state.deliveries.get(id).await?.is_template {
        return Err(Fault::not_found("template"));
    }
    state.deliveries.delete(id, &desk.viewer.by()).await?;
    Ok(done("/templates", "deleted"))
}
