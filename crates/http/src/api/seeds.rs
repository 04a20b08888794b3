//! `/seeds` and `/seed-groups`: addresses of our own that get the real delivery.

use audience::{Filter, NewRecipient, RecipientEdit, Seed, SeedGroup};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::Body,
    created,
    page::page,
    recipients::recipient_json,
    shape::{id, read_id, time},
};
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/seeds", get(all).post(create))
        .route("/seeds/{id}", get(view).patch(edit).delete(remove))
        .route("/seed-groups", get(groups).post(create_group))
        .route("/seed-groups/{id}", get(view_group).put(update_group).delete(remove_group))
        .route("/seed-groups/{id}/seeds", get(members))
        .route("/seed-groups/{id}/add", post(add))
        .route("/seed-groups/{id}/remove", post(take))
}

fn seed_json(seed: &Seed) -> Value {
    let mut json = recipient_json(&seed.profile);
    json["id"] = id(seed.id);
    if let Some(map) = json.as_object_mut() {
        map.remove("denylisted");
    }
    json
}

fn group_json(group: &SeedGroup) -> Value {
    json!({
        "id": id(group.id),
        "name": group.name,
        "condition": group.condition.as_ref().map(Filter::to_json),
        "members": group.members,
        "created_at": time(group.created_at),
    })
}

/// There are at most a few thousand, so they come in one answer.
async fn all(State(state): State<AppState>) -> Answer<Json<Value>> {
    let seeds = state.audience.seeds().await?;
    Ok(Json(page("seeds", seeds.iter().map(seed_json).collect(), None)))
}

async fn create(State(state): State<AppState>, Body(new): Body<NewRecipient>) -> Answer<Response> {
    let seed = state.audience.create_seed(new, state.clock.now_us()).await?;
    Ok(created(&seed_json(&seed)))
}

async fn find(state: &AppState, text: &str) -> Answer<Seed> {
    state.audience.seed(read_id(text, "seed")?).await?.ok_or_else(|| Problem::not_found("seed"))
}

async fn view(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    Ok(Json(seed_json(&find(&state, &text).await?)))
}

async fn edit(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Body(edit): Body<RecipientEdit>,
) -> Answer<Json<Value>> {
    let seed = find(&state, &text).await?;
    let seed = state.audience.edit_seed(seed.id, edit, state.clock.now_us()).await?;
    Ok(Json(seed_json(&seed)))
}

async fn remove(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Response> {
    let seed = find(&state, &text).await?;
    state.audience.delete_seeds(vec![seed.id]).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A group with `condition` takes the seeds that fit; without, those that are added.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    condition: Option<Value>,
}

impl Written {
    fn condition(&self) -> Answer<Option<Filter>> {
        let parsed = self.condition.as_ref().map(Filter::parse).transpose();
        parsed.map_err(|error| Problem::invalid(error.path.replacen('$', "condition", 1), error.message))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chosen {
    seeds: Vec<String>,
}

impl Chosen {
    fn ids(&self) -> Answer<Vec<i64>> {
        self.seeds.iter().map(|text| read_id(text, "seed")).collect()
    }
}

async fn groups(State(state): State<AppState>) -> Answer<Json<Value>> {
    let groups = state.audience.seed_groups().await?;
    Ok(Json(page("seed-groups", groups.iter().map(group_json).collect(), None)))
}

async fn create_group(State(state): State<AppState>, Body(new): Body<Written>) -> Answer<Response> {
    let condition = new.condition()?;
    let made = state.audience.create_seed_group(&new.name, condition.as_ref(), state.clock.now_us()).await?;
    Ok(created(&group_json(&find_group(&state, &made.to_string()).await?)))
}

async fn find_group(state: &AppState, text: &str) -> Answer<SeedGroup> {
    let group = state.audience.seed_group(read_id(text, "seed group")?).await?;
    group.ok_or_else(|| Problem::not_found("seed group"))
}

async fn view_group(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    Ok(Json(group_json(&find_group(&state, &text).await?)))
}

async fn update_group(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Body(new): Body<Written>,
) -> Answer<Json<Value>> {
    let group = find_group(&state, &text).await?;
    let condition = new.condition()?;
    state.audience.update_seed_group(group.id, &new.name, condition.as_ref()).await?;
    view_group(State(state), Path(text)).await
}

async fn remove_group(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Response> {
    let group = find_group(&state, &text).await?;
    state.audience.delete_seed_group(group.id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn members(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let group = find_group(&state, &text).await?;
    let seeds = state.audience.seeds_of_group(&group, state.clock.now_us()).await?;
    Ok(Json(page("seeds", seeds.iter().map(seed_json).collect(), None)))
}

async fn add(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Body(body): Body<Chosen>,
) -> Answer<Json<Value>> {
    let group = find_group(&state, &text).await?;
    let added = state.audience.add_to_seed_group(group.id, body.ids()?).await?;
    Ok(Json(json!({"added": added})))
}

async fn take(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Body(body): Body<Chosen>,
) -> Answer<Json<Value>> {
    let group = find_group(&state, &text).await?;
    let removed = state.audience.remove_from_seed_group(group.id, body.ids()?).await?;
    Ok(Json(json!({"removed": removed})))
}
