//! What operators do to paths and to what waits: `/paths/{site}/…`, `/waiting`, `/verdicts`, `/deliveries/{id}/pool`.

use access::Caller;
use axum::{
    Extension, Json, Router,
    body::{Body as Streamed, Bytes},
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use queue::LaneWaiting;
use routes::{Action, Verdict};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{Body, Params},
    deliveries::delivery_id,
    page::page,
    shape::{id, instant, time, time_opt},
};
use crate::{
    acts::Told,
    limits::{PATHS_MAX, TRACED_CONNECTIONS_MAX},
    operating::{self, Paths},
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/paths/{site}/suspend", post(suspend))
        .route("/paths/{site}/resume", post(resume))
        .route("/paths/{site}/drain", post(drain))
        .route("/paths/{site}/forget", post(forget))
        .route("/paths/{site}/retry-now", post(retry_now))
        .route("/paths/{site}/drop", post(drop_waiting))
        .route("/waiting", get(waiting))
        .route("/verdicts", get(verdicts).post(put))
        .route("/verdicts/{identity}", delete(lift))
        .route("/deliveries/{id}/pool", post(pool))
}

/// A trace lasts as long as its connections.
pub(super) fn long_routes() -> Router<AppState> {
    Router::new().route("/paths/{site}/trace", get(trace))
}

/// Which paths, until when, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Absent: from every source.
    source: Option<String>,
    /// A moment; absent: until somebody resumes.
    until: Option<String>,
    #[serde(default)]
    reason: String,
}

impl Asked {
    fn paths(self, site: String, caller: Caller) -> Paths {
        Paths { source: self.source, site, reason: self.reason, by: caller.name }
    }
}

fn until(text: Option<&str>, now_us: i64) -> Answer<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    match instant(text) {
        Some(until) if until > now_us => Ok(Some(until)),
        _ => {
            Err(Problem::invalid("until", "until must be a moment that lies ahead, as 2026-12-01T08:00:00Z."))
        }
    }
}

/// It is done; the audit log is told so.
fn done(told: Told) -> Response {
    told.on(Json(json!({"done": true})).into_response())
}

async fn suspend(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(site): Path<String>,
    Body(asked): Body<Asked>,
) -> Answer<Response> {
    if asked.reason.trim().is_empty() {
        return Err(Problem::invalid("reason", "Say why: it is shown wherever the path is."));
    }
    let until_us = until(asked.until.as_deref(), state.clock.now_us())?;
    Ok(done(asked.paths(site, caller).suspend(&state, until_us).await?))
}

async fn resume(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(site): Path<String>,
    Body(asked): Body<Asked>,
) -> Answer<Response> {
    Ok(done(asked.paths(site, caller).resume(&state).await?))
}

async fn drain(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(site): Path<String>,
    Body(asked): Body<Asked>,
) -> Answer<Response> {
    Ok(done(asked.paths(site, caller).drain(&state).await?))
}

async fn forget(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(site): Path<String>,
    Body(asked): Body<Asked>,
) -> Answer<Response> {
    Ok(done(asked.paths(site, caller).forget(&state).await?))
}

/// Whose messages.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    delivery: Option<String>,
}

impl Whose {
    fn read(&self) -> Answer<Option<i64>> {
        self.delivery.as_deref().map(delivery_id).transpose()
    }
}

async fn retry_now(
    State(state): State<AppState>,
    Path(site): Path<String>,
    Body(whose): Body<Whose>,
) -> Answer<Response> {
    let (hurried, told) = operating::retry_now(&state, site, whose.read()?).await?;
    Ok(told.on(Json(json!({"messages": hurried})).into_response()))
}

async fn drop_waiting(
    State(state): State<AppState>,
    Path(site): Path<String>,
    Body(whose): Body<Whose>,
) -> Answer<Response> {
    let (dropped, told) = operating::drop_waiting(&state, site, whose.read()?).await?;
    Ok(told.on(Json(json!(dropped)).into_response()))
}

fn lane_json(lane: &LaneWaiting) -> Value {
    json!({
        "delivery": id(lane.delivery),
        "lane": lane.lane,
        "priority": lane.priority,
        "pool": lane.pool,
        "fresh": lane.fresh,
        "retries": lane.retries,
        "claimed": lane.claimed,
        "oldest": time_opt(lane.oldest),
        "next_try": time_opt(lane.next_try),
        "reason": lane.reason,
    })
}

/// What waits in the database, by delivery and lane, the longest first.
async fn waiting(State(state): State<AppState>) -> Answer<Json<Value>> {
    let lanes = state.queue.waiting_by_lane(state.clock.now_us()).await?;
    let mut rows: Vec<&LaneWaiting> = lanes.iter().collect();
    rows.sort_by_key(|lane| std::cmp::Reverse(lane.length()));
    Ok(Json(page("waiting", rows.into_iter().take(PATHS_MAX).map(lane_json).collect(), None)))
}

fn verdict_json(verdict: &Verdict) -> Value {
    let (action, percent) = match verdict.action {
        Action::Suspend => ("suspend", None),
        Action::Slow(percent) => ("slow", Some(percent)),
        Action::Drain => ("drain", None),
    };
    json!({
        "identity": verdict.identity,
        "provider": verdict.provider,
        "action": action,
        "percent": percent,
        "until": time_opt(verdict.until_us),
        "reason": verdict.reason,
        "rule": verdict.rule,
        "category": verdict.category,
        "by": verdict.by,
        "at": time(verdict.at_us),
    })
}

async fn verdicts(State(state): State<AppState>) -> Answer<Json<Value>> {
    let found = state.routes.verdicts(state.clock.now_us()).await?;
    Ok(Json(page("verdicts", found.iter().map(verdict_json).collect(), None)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    identity: String,
    #[serde(default)]
    provider: String,
    action: String,
    percent: Option<u8>,
    until: Option<String>,
    reason: String,
}

async fn put(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(new): Body<New>,
) -> Answer<Response> {
    let now_us = state.clock.now_us();
    let action = match (new.action.as_str(), new.percent) {
        ("suspend", None) => Action::Suspend,
        ("drain", None) => Action::Drain,
        ("slow", Some(percent)) => Action::Slow(percent),
        ("slow", None) => return Err(Problem::invalid("percent", "slow needs percent, 1 to 99.")),
        ("suspend" | "drain", Some(_)) => return Err(Problem::invalid("percent", "Only slow has percent.")),
        _ => return Err(Problem::invalid("action", "action is suspend, slow or drain.")),
    };
    let verdict = Verdict {
        identity: new.identity,
        provider: new.provider,
        action,
        until_us: until(new.until.as_deref(), now_us)?,
        reason: new.reason,
        rule: String::new(),
        category: String::new(),
        by: caller.name,
        at_us: now_us,
    };
    let document = verdict_json(&verdict);
    let subject = format!("{} {}", verdict.identity, verdict.provider).trim_end().to_owned();
    let told = Told { subject, detail: verdict.reason.clone() };
    state.routes.put_verdict(verdict, now_us).await?;
    Ok(told.on((StatusCode::CREATED, Json(document)).into_response()))
}

/// At which provider; absent: the one that holds everywhere.
#[derive(Deserialize)]
struct At {
    #[serde(default)]
    provider: String,
}

async fn lift(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(identity): Path<String>,
    Params(at): Params<At>,
) -> Answer<Response> {
    let now_us = state.clock.now_us();
    if !state.routes.lift_verdict(&identity, &at.provider, &caller.name, now_us).await? {
        return Err(Problem::not_found("verdict in force"));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pool {
    pool: String,
}

async fn pool(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Body(wanted): Body<Pool>,
) -> Answer<Response> {
    state.set_pool(delivery_id(&text)?, &wanted.pool).await?;
    let told = Told { subject: text, detail: wanted.pool.clone() };
    Ok(told.on(Json(json!({"pool": wanted.pool})).into_response()))
}

/// How many connections to follow.
#[derive(Deserialize)]
struct Traced {
    connections: Option<u32>,
}

/// The lines of the next connections, as NDJSON while they are said; ends with the last connection.
async fn trace(
    State(state): State<AppState>,
    Path(site): Path<String>,
    Params(traced): Params<Traced>,
) -> Answer<Response> {
    let connections = traced.connections.unwrap_or(1);
    if !(1..=TRACED_CONNECTIONS_MAX).contains(&connections) {
        let text = format!("connections must be 1 to {TRACED_CONNECTIONS_MAX}.");
        return Err(Problem::invalid("connections", text));
    }
    let lines = state.engine.trace(&site, connections).await;
    let bytes = futures_util::stream::unfold(lines, |mut lines| async move {
        let line = lines.recv().await?;
        let mut document = json!(line);
        document["at"] = time(line.at_us);
        if let Value::Object(members) = &mut document {
            members.remove("at_us");
        }
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(format!("{document}\n"))), lines))
    });
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Streamed::from_stream(bytes)).into_response())
}
