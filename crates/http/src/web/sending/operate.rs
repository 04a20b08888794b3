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
use crate::{acts::Told, limits::DROP_PATIENCE, problem::Problem, state::AppState};

/// Words of a reason.
const REASON_CHARS_MAX: usize = 300;

fn home(site: &str) -> String {
    let site: String = url::form_urlencoded::byte_serialize(site.as_bytes()).collect();
    format!("/sending/paths/{site}")
}

fn source(form: &Form) -> Option<String> {
    Some(form.get("source").to_owned()).filter(|source| !source.is_empty())
}

fn reason(form: &Form) -> String {
    form.get("reason").chars().take(REASON_CHARS_MAX).collect()
}

fn by(desk: &Desk) -> String {
    desk.viewer.name.clone()
}

async fn act(
    state: &AppState,
    site: &str,
    form: &Form,
    action: mta::Action,
    word: &str,
) -> Result<Response, Fault> {
    let source = source(form);
    let from = source.as_deref().unwrap_or("all sources");
    let told = Told { subject: site.to_owned(), detail: format!("{from}; {}", reason(form)) };
    state.engine.act(action).await?;
    Ok(told.on(done(&home(site), word)))
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
    let action = mta::Action::Suspend {
        source: source(&form),
        site: site.clone(),
        until_us: ends,
        reason: reason(&form),
        by: by(&desk),
    };
    act(&state, &site, &form, action, "path-suspended").await
}

/// `POST …/resume`.
pub async fn resume(
    desk: Desk,
    State(state): State<AppState>,
    Path(site): Path<String>,
    form: Form,
) -> Result<Response, Fault> {
    let action = mta::Action::Resume { source: source(&form), site: site.clone(), by: by(&desk) };
    act(&state, &site, &form, action, "path-resumed").await
}

/// `POST …/drain`.
pub async fn drain(
    desk: Desk,
    State(state): State<AppState>,
    Path(site): Path<String>,
    form: Form,
) -> Result<Response, Fault> {
    let (source, reason, by) = (source(&form), reason(&form), by(&desk));
    let action = mta::Action::Drain { source, site: site.clone(), reason, by };
    act(&state, &site, &form, action, "path-drained").await
}

/// `POST …/forget`: what was learned goes.
pub async fn forget(
    _desk: Desk,
    State(state): State<AppState>,
    Path(site): Path<String>,
    form: Form,
) -> Result<Response, Fault> {
    let action = mta::Action::Forget { source: source(&form), site: site.clone() };
    act(&state, &site, &form, action, "path-forgotten").await
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
    let which = state.waiters(&site, delivery(&form)?).await;
    let hurried = state.queue.retry_now(which, state.clock.now_us()).await?;
    state.engine.act(mta::Action::RetryNow { site: site.clone() }).await?;
    let told = Told { subject: site.clone(), detail: format!("{hurried} messages") };
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
    let which = state.waiters(&site, delivery(&form)?).await;
    let dropped = state.queue.drop_waiting(which, state.clock.now_us(), DROP_PATIENCE).await?;
    let told = Told { subject: site.clone(), detail: format!("{} messages", dropped.messages) };
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
