//! What an operator does to a site's paths and to what waits for it. What cannot be undone asks first, and wants the
//! receiver's name typed.

use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{
    super::{
        fault::Fault,
        form::Form,
        page::{Desk, done},
        texts,
    },
    verdicts::until,
};
use crate::{
    acts::Told,
    operating::{self, Paths},
    problem::Problem,
    state::AppState,
};

/// Words of a reason.
const REASON_CHARS_MAX: usize = 300;

fn home(site: &str) -> String {
    let site: String = url::form_urlencoded::byte_serialize(site.as_bytes()).collect();
    format!("/sending/paths/{site}")
}

fn paths(desk: &Desk, site: &str, form: &Form) -> Paths {
    Paths {
        source: Some(form.get("source").to_owned()).filter(|source| !source.is_empty()),
        site: site.to_owned(),
        reason: form.get("reason").chars().take(REASON_CHARS_MAX).collect(),
        by: desk.viewer.name.clone(),
    }
}

fn refused(field: &str, words: String) -> Fault {
    Fault(Problem::invalid(field, words))
}

/// `POST …/suspend`: for some minutes, until a time, or until somebody resumes.
pub async fn suspend(
    desk: Desk,
    State(state): State<AppState>,
    Path(site): Path<String>,
    form: Form,
) -> Result<Response, Fault> {
    let now_us = state.clock.now_us();
    let ends = match form.get("how_long") {
        "" | "open" => None,
        "until" => Some(
            until(form.get("until"), now_us)
                .map_err(|problem| refused("until", problem))?
                .ok_or_else(|| refused("until", texts::text("verdict-refused-until")))?,
        ),
        minutes => {
            let minutes: i64 =
                minutes.parse().map_err(|_| refused("how_long", texts::text("verdict-refused-until")))?;
            Some(now_us + minutes.clamp(1, 525_600) * 60_000_000)
        }
    };
    let told = paths(&desk, &site, &form).suspend(&state, ends).await?;
    Ok(told.on(done(&home(&site), "path-suspended")))
}

/// `POST …/resume`.
pub async fn resume(
    desk: Desk,
    State(state): State<AppState>,
    Path(site): Path<String>,
    form: Form,
) -> Result<Response, Fault> {
    let told = paths(&desk, &site, &form).resume(&state).await?;
    Ok(told.on(done(&home(&site), "path-resumed")))
}

/// `POST …/drain`.
pub async fn drain(
    desk: Desk,
    State(state): State<AppState>,
    Path(site): Path<String>,
    form: Form,
) -> Result<Response, Fault> {
    let told = paths(&desk, &site, &form).drain(&state).await?;
    Ok(told.on(done(&home(&site), "path-drained")))
}

/// `POST …/forget`: what was learned goes.
pub async fn forget(
    desk: Desk,
    State(state): State<AppState>,
    Path(site): Path<String>,
    form: Form,
) -> Result<Response, Fault> {
    let told = paths(&desk, &site, &form).forget(&state).await?;
    Ok(told.on(done(&home(&site), "path-forgotten")))
}

fn delivery(form: &Form) -> Result<Option<i64>, Fault> {
    match form.get("delivery") {
        "" => Ok(None),
        text => Ok(Some(text.parse().map_err(|_| refused("delivery", texts::text("fault-not-found")))?)),
    }
}

/// `POST …/retry-now`: rests of the paths are forgotten, and what waits is due now.
pub async fn retry_now(
    _desk: Desk,
    State(state): State<AppState>,
    Path(site): Path<String>,
    form: Form,
) -> Result<Response, Fault> {
    let (hurried, told) = operating::retry_now(&state, site.clone(), delivery(&form)?).await?;
    Ok(told.on(done(&format!("{}?n={hurried}", home(&site)), "path-hurried")))
}

/// `POST …/drop`: what waits is cancelled for good. The receiver's name must be typed, because nothing brings it back.
pub async fn drop_waiting(
    _desk: Desk,
    State(state): State<AppState>,
    Path(site): Path<String>,
    form: Form,
) -> Result<Response, Fault> {
    if form.get("name").to_lowercase() != site {
        return Err(refused("name", texts::text("drop-refused")));
    }
    let (dropped, told) = operating::drop_waiting(&state, site.clone(), delivery(&form)?).await?;
    let to = format!("{}?n={}&held={}", home(&site), dropped.messages, dropped.under_way);
    Ok(told.on(done(&to, "path-dropped")))
}

/// `POST …/pool`: a delivery goes on from another pool.
pub async fn move_pool(
    _desk: Desk,
    State(state): State<AppState>,
    Path(site): Path<String>,
    form: Form,
) -> Result<Response, Fault> {
    let missing = || refused("delivery", texts::text("fault-not-found"));
    let delivery = delivery(&form)?.ok_or_else(missing)?;
    let pool = form.get("pool").to_owned();
    state.set_pool(delivery, &pool).await?;
    let told = Told { subject: delivery.to_string(), detail: pool };
    Ok(told.on(done(&home(&site), "pool-moved")))
}
