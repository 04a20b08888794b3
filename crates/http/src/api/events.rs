//! `POST /events`: bounces and complaints that came after messages were accepted, told by whoever read the reports.

use axum::{Json, Router, extract::State, routing::post};
use feedback::{About, Events, Kind, REASON_LEN_MAX, Report, SAID_LEN_MAX};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{body::Body, deliveries::delivery_id, shape::instant};
use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

/// Reports of one request.
const REPORTS_MAX: usize = 1_000;

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/events", post(take))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    events: Vec<NewEvent>,
}

/// What is told of one message: `message_id`, or `delivery` and `address`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEvent {
    kind: String,
    #[serde(default)]
    message_id: String,
    #[serde(default)]
    delivery: String,
    #[serde(default)]
    address: String,
    /// `hard` or `soft`; absent: by the words of `text`.
    #[serde(rename = "type")]
    type_: Option<String>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    text: String,
    at: Option<String>,
}

fn kind(event: &NewEvent) -> Result<Kind, (&'static str, &'static str)> {
    match (event.kind.as_str(), event.type_.as_deref()) {
        ("complaint", None) => Ok(Kind::Complaint),
        ("complaint", Some(_)) => Err(("type", "A complaint has no type.")),
        ("bounce", Some("hard")) => Ok(Kind::HardBounce),
        ("bounce", Some("soft")) => Ok(Kind::SoftBounce),
        ("bounce", Some(_)) => Err(("type", "A bounce is hard or soft.")),
        ("bounce", None) if event.text.is_empty() => {
            Err(("type", "Say hard or soft, or give the receiver's words as text."))
        }
        ("bounce", None) => Ok(Kind::of_words(&event.text)),
        _ => Err(("kind", "An event is a bounce or a complaint.")),
    }
}

fn about(event: &NewEvent) -> Result<About, (&'static str, &'static str)> {
    let by_address = !event.delivery.is_empty() || !event.address.is_empty();
    match (event.message_id.is_empty(), by_address) {
        (false, false) => Ok(About::MessageId(event.message_id.clone())),
        (true, true) => {
            let delivery =
                delivery_id(&event.delivery).map_err(|_| ("delivery", "The number of a delivery."))?;
            if event.address.is_empty() {
                return Err(("address", "Name the address that the message went to."));
            }
            Ok(About::Address { delivery, address: event.address.clone() })
        }
        _ => Err(("message_id", "Name the message by message_id, or by delivery and address.")),
    }
}

fn report(event: &NewEvent, now_us: i64) -> Result<Report, (&'static str, &'static str)> {
    if event.reason.len() > REASON_LEN_MAX {
        return Err(("reason", "A reason is a word of at most 64 octets."));
    }
    let at_us = match &event.at {
        None => now_us,
        Some(text) => instant(text).ok_or(("at", "A moment like 2026-12-01T08:00:00Z."))?,
    };
    let mut said = event.text.clone();
    said.truncate(said.floor_char_boundary(SAID_LEN_MAX));
    Ok(Report { kind: kind(event)?, about: about(event)?, reason: event.reason.clone(), said, at_us })
}

/// Takes reports one by one, each in a transaction of its own; all are checked before the first is taken.
async fn take(State(state): State<AppState>, Body(new): Body<New>) -> Answer<Json<Value>> {
    if new.events.is_empty() || new.events.len() > REPORTS_MAX {
        return Err(Problem::invalid("events", format!("A request tells 1 to {REPORTS_MAX} events.")));
    }
    let now_us = state.clock.now_us();
    let mut reports = Vec::with_capacity(new.events.len());
    for (n, event) in new.events.iter().enumerate() {
        let refused = |(field, text): (&str, &str)| Problem::invalid(format!("events[{n}].{field}"), text);
        reports.push(report(event, now_us).map_err(refused)?);
    }
    let keys = message::TokenKeys::clone(&state.tokens);
    let events = Events::new(state.audience.clone(), state.queue.clone(), keys);
    let mut results = Vec::with_capacity(reports.len());
    for report in reports {
        results.push(events.take(report, now_us).await?.name());
    }
    let counted = results.iter().filter(|result| **result == "counted").count();
    Ok(Json(json!({"counted": counted, "results": results})))
}
