//! `/warm-ups`: how new sources are made known to providers, how far that is, and when it would end.

use access::Caller;
use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use jiff::civil::Date;
use routes::{IDLE_DAYS_COLD, Overflow, USUAL_DAYS, Volume, WarmUp, day_of};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{Body, Params},
    page::page,
};
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

/// Days of volumes that are looked at: beyond, a source is cold anyway.
const LOOK_BACK_DAYS: i64 = 2 * IDLE_DAYS_COLD;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/warm-ups", get(list))
        .route("/warm-ups/{source}/{provider}", get(view).put(put).delete(remove))
}

/// A day as a date.
fn date(day: i64) -> Value {
    let epoch = Date::constant(1970, 1, 1);
    let days = jiff::Span::new().try_days(day);
    days.and_then(|days| epoch.checked_add(days)).map_or(Value::Null, |date| json!(date.to_string()))
}

/// A date as a day.
fn day(text: &str) -> Option<i64> {
    let date: Date = text.parse().ok()?;
    Some(i64::from(date.since((jiff::Unit::Day, Date::constant(1970, 1, 1))).ok()?.get_days()))
}

/// The days on which the plan's source sent to its provider, and how much went today.
pub fn used(plan: &WarmUp, volumes: &[Volume], today: i64) -> (Vec<i64>, u64) {
    let own = volumes.iter().filter(|v| v.source == plan.source && v.site == plan.provider && v.messages > 0);
    let sent_today = own.clone().filter(|v| v.day == today).map(|v| v.messages.unsigned_abs()).sum();
    (own.map(|v| v.day).collect(), sent_today)
}

fn plan_json(plan: &WarmUp, volumes: &[Volume], today: i64, messages: Option<u64>) -> Value {
    let (used, sent_today) = used(plan, volumes, today);
    let allowed = plan.allowance(today, &used);
    let mut json = json!({
        "source": plan.source,
        "provider": plan.provider,
        "start": date(plan.start_day),
        "days": plan.days,
        "overflow": plan.overflow,
        "position": plan.position(today, &used),
        "warm": allowed.is_none(),
        "allowed_today": allowed,
        "sent_today": sent_today,
    });
    if let Some(messages) = messages {
        json["ends"] = date(plan.ends(messages, today, sent_today, &used));
    }
    json
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// How many messages there would be: answers the day on which the last goes.
    messages: Option<u64>,
}

async fn list(State(state): State<AppState>) -> Answer<Json<Value>> {
    let today = day_of(state.clock.now_us());
    let volumes = state.routes.volumes(today - LOOK_BACK_DAYS).await?;
    let rules = state.routes.rules();
    let plans = rules.warm_ups.iter().map(|plan| plan_json(plan, &volumes, today, None));
    Ok(Json(page("warm-ups", plans.collect(), None)))
}

async fn view(
    State(state): State<AppState>,
    Path((source, provider)): Path<(String, String)>,
    Params(asked): Params<Asked>,
) -> Answer<Json<Value>> {
    let rules = state.routes.rules();
    let plan = rules.warm_up(&source, &provider).ok_or_else(|| Problem::not_found("warm-up"))?;
    let today = day_of(state.clock.now_us());
    let volumes = state.routes.volumes(today - LOOK_BACK_DAYS).await?;
    Ok(Json(plan_json(plan, &volumes, today, asked.messages)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    /// First day; today when absent.
    start: Option<String>,
    /// Allowance of each day; the usual ramp when absent.
    days: Option<Vec<u32>>,
    /// What becomes of the rest.
    overflow: Option<Overflow>,
}

async fn put(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path((source, provider)): Path<(String, String)>,
    Body(plan): Body<Plan>,
) -> Answer<Json<Value>> {
    let now_us = state.clock.now_us();
    let start_day = match plan.start.as_deref() {
        None => day_of(now_us),
        Some(text) => day(text).ok_or_else(|| Problem::invalid("start", "A date of UTC like 2026-12-01."))?,
    };
    let plan = WarmUp {
        source: source.clone(),
        provider: provider.clone(),
        start_day,
        days: plan.days.unwrap_or_else(|| USUAL_DAYS.to_vec()),
        overflow: plan.overflow.unwrap_or(Overflow::Warm),
    };
    state.routes.put_warm_up(plan, &caller.name, now_us).await?;
    view(State(state), Path((source, provider)), Params(Asked { messages: None })).await
}

async fn remove(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path((source, provider)): Path<(String, String)>,
) -> Answer<Response> {
    state.routes.remove_warm_up(&source, &provider, &caller.name, state.clock.now_us()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates_of_utc() {
        assert_eq!((date(0), date(20_783)), (json!("1970-01-01"), json!("2026-11-26")));
        assert_eq!((day("2026-11-26"), day("1970-01-02"), day("tomorrow")), (Some(20_783), Some(1), None));
    }
}
