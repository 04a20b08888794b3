//! `/notices`: what the caller is told of deliveries.

use access::Caller;
use axum::{
    Extension, Json, Router,
    extract::State,
    routing::{get, post},
};
use delivery::Notice;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{Body, Params},
    page::{PageParams, page},
    shape::{id, read_id, time, time_opt},
};
use crate::{problem::Answer, state::AppState};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/notices", get(list)).route("/notices/read", post(read))
}

fn notice_json(notice: &Notice) -> Value {
    json!({
        "id": id(notice.id),
        "kind": notice.kind,
        "delivery": notice.delivery.map(id),
        "text": notice.text,
        "at": time(notice.at),
        "read_at": time_opt(notice.read_at),
    })
}

#[derive(Deserialize)]
struct Which {
    #[serde(default)]
    unread: bool,
}

async fn list(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Params(params): Params<PageParams>,
    Params(which): Params<Which>,
) -> Answer<Json<Value>> {
    let found = state.deliveries.notices(&caller.name, which.unread, params.after_id("notices")?).await?;
    let next = found
        .last()
        .filter(|_| found.len() >= delivery::notices::NOTICES_MAX)
        .map(|last| last.id.to_string());
    let mut document = page("notices", found.iter().map(notice_json).collect(), next);
    document["unread"] = json!(state.deliveries.unread_notices(&caller.name).await?);
    Ok(Json(document))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    /// The newest notice that was seen; absent: all.
    up_to: Option<String>,
}

async fn read(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<Read>,
) -> Answer<Json<Value>> {
    let up_to = body.up_to.as_deref().map(|text| read_id(text, "notice")).transpose()?;
    state.deliveries.read_notices(&caller.name, up_to.unwrap_or(i64::MAX)).await?;
    Ok(Json(json!({ "unread": state.deliveries.unread_notices(&caller.name).await? })))
}
