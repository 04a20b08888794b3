//! `/calendar`: what goes out when, over all deliveries; and a delivery's waves, held providers, and what went out by the hour.

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use delivery::{CalendarEntry, HourLoad, WavePlan};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::Params,
    deliveries::delivery_id,
    shape::{id, instant, time, time_opt},
};
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

/// Without an end: four weeks.
const STRETCH_US: i64 = 28 * 86_400 * 1_000_000;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/calendar", get(calendar))
        .route("/deliveries/{id}/waves", get(waves))
        .route("/deliveries/{id}/holds", get(holds))
        .route("/deliveries/{id}/hours", get(hours))
}

/// Moments or dates of UTC; without them the four weeks from now.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stretch {
    from: Option<String>,
    to: Option<String>,
}

fn moment(field: &str, text: Option<&str>, default_us: i64) -> Answer<i64> {
    match text {
        None => Ok(default_us),
        Some(text) => instant(text)
            .ok_or_else(|| Problem::invalid(field, "A moment like 2026-12-01T08:00:00Z, or a date of UTC.")),
    }
}

fn entry_json(entry: &CalendarEntry) -> Value {
    json!({
        "delivery": id(entry.delivery),
        "label": entry.label,
        "state": entry.state,
        "wave": entry.wave,
        "waves": entry.waves,
        "starts_at": time(entry.starts_at),
        "ends_at": time_opt(entry.ends_at),
        "messages": entry.messages,
        "tentative": entry.tentative,
    })
}

fn hour_json(hour: &HourLoad) -> Value {
    json!({"hour": time(hour.hour), "confirmed": hour.confirmed, "tentative": hour.tentative})
}

fn wave_json(wave: &WavePlan) -> Value {
    json!({
        "wave": wave.wave,
        "starts_at": time(wave.starts_at),
        "ends_at": time_opt(wave.ends_at),
        "messages": wave.messages,
    })
}

async fn calendar(State(state): State<AppState>, Params(stretch): Params<Stretch>) -> Answer<Json<Value>> {
    let from_us = moment("from", stretch.from.as_deref(), state.clock.now_us())?;
    let to_us = moment("to", stretch.to.as_deref(), from_us.saturating_add(STRETCH_US))?;
    if to_us <= from_us {
        return Err(Problem::invalid("to", "The end of the stretch lies after its beginning."));
    }
    let found = state.deliveries.calendar(from_us, to_us).await?;
    Ok(Json(json!({
        "from": time(from_us),
        "to": time(to_us),
        "entries": found.entries.iter().map(entry_json).collect::<Vec<_>>(),
        "load": found.load.iter().map(hour_json).collect::<Vec<_>>(),
        "more": found.more,
    })))
}

async fn waves(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let delivery = delivery_id(&text)?;
    state.deliveries.get(delivery).await?;
    let waves = state.deliveries.waves(delivery).await?;
    Ok(Json(json!({"waves": waves.iter().map(wave_json).collect::<Vec<_>>()})))
}

async fn holds(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let delivery = delivery_id(&text)?;
    state.deliveries.get(delivery).await?;
    let holds = state.deliveries.holds(delivery).await?;
    let holds = holds
        .iter()
        .map(|hold| json!({"provider": hold.lane, "reason": hold.reason, "since": time(hold.at)}));
    Ok(Json(json!({"holds": holds.collect::<Vec<_>>()})))
}

/// Hours in which nothing went out are left out.
async fn hours(State(state): State<AppState>, Path(text): Path<String>) -> Answer<Json<Value>> {
    let delivery = delivery_id(&text)?;
    state.deliveries.get(delivery).await?;
    let hours = state.queue.hourly(delivery).await?;
    let hours = hours
        .iter()
        .map(|hour| json!({"hour": time(hour.start_us), "messages": hour.messages, "octets": hour.octets}));
    Ok(Json(json!({"hours": hours.collect::<Vec<_>>()})))
}
