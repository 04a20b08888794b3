//! `/paths`: what goes where at this moment, how fast, and why not faster.

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use mta::{PathFigures, Suspension, TopReply};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::Params,
    page::page,
    shape::{time, time_opt},
};
use crate::{
    limits::PATHS_MAX,
    paths::SiteStanding,
    problem::{Answer, Problem},
    state::AppState,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/paths", get(list)).route("/paths/{site}", get(view))
}

fn suspended_json(suspended: &Suspension) -> Value {
    let Suspension { until_us, reason, by } = suspended;
    json!({"until": time_opt(*until_us), "reason": reason, "by": by})
}

fn reply_json(reply: &TopReply) -> Value {
    json!({"text": reply.text, "category": reply.category, "count": reply.count})
}

/// A path as JSON.
fn path_json(path: &PathFigures) -> Value {
    json!({
        "source": path.source,
        "site": path.site,
        "exchange": path.exchange,
        "connections": path.connections,
        "connections_limit": path.connections_limit,
        "limit_reason": path.limit_reason,
        "messages_per_connection": path.messages_per_connection,
        "rate": path.rate,
        "rate_reason": path.rate_reason,
        "secure_only": path.secure_only,
        "loaded": path.waiting,
        "accepted_per_second": path.accepted_per_second,
        "deferral_share": path.deferral_share,
        "accepted": path.accepted,
        "deferred": path.deferred,
        "refused": path.refused,
        "replies": path.replies.iter().map(reply_json).collect::<Vec<_>>(),
        "suspended": path.suspended.as_ref().map(suspended_json),
        "draining": path.draining,
        "expected_end": path.expected_end.map(time),
        "warm_up": path.warm_up.map(|(left, of)| json!({"left": left, "of": of})),
    })
}

/// A site as JSON.
fn site_json(site: &SiteStanding) -> Value {
    json!({
        "site": site.site,
        "paths": site.paths,
        "resting": site.resting,
        "connections": site.connections,
        "connections_limit": site.connections_limit,
        "limit_reason": site.limit_reason,
        "loaded": site.waiting,
        "accepted_per_second": site.accepted_per_second,
        "deferral_share": site.deferral_share,
        "accepted": site.accepted,
        "deferred": site.deferred,
        "refused": site.refused,
        "reply": site.reply.as_ref().map(reply_json),
        "suspended": site.suspended.as_ref().map(suspended_json),
        "expected_end": site.expected_end.map(time),
    })
}

/// What to show of them.
#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    site: String,
    #[serde(default)]
    source: String,
}

/// The paths of this node that have something to do or to tell. A moment's picture is not paged: at most `PATHS_MAX`,
/// those with the most to do first.
async fn list(State(state): State<AppState>, Params(wanted): Params<Wanted>) -> Answer<Json<Value>> {
    let mut standing = state.standing().await;
    let fits = |asked: &str, has: &str| asked.is_empty() || asked == has;
    standing.paths.retain(|path| fits(&wanted.site, &path.site) && fits(&wanted.source, &path.source));
    let all = standing.paths.len();
    standing.paths.sort_by(|a, b| {
        let work = |path: &PathFigures| (path.waiting, path.connections, path.accepted);
        work(b).cmp(&work(a)).then_with(|| (&a.site, &a.source).cmp(&(&b.site, &b.source)))
    });
    let items = standing.paths.iter().take(PATHS_MAX).map(path_json).collect();
    let mut document = page("paths", items, None);
    document["paths"] = json!(all);
    document["connections"] = json!(standing.connections);
    document["others_expected_end"] = json!(standing.others_end.map(time));
    document["at"] = time(state.clock.now_us());
    Ok(Json(document))
}

async fn view(State(state): State<AppState>, Path(site): Path<String>) -> Answer<Json<Value>> {
    let standing = state.standing().await;
    let paths: Vec<&PathFigures> = standing.of_site(&site).collect();
    if paths.is_empty() && !state.knows_site(&site) {
        return Err(Problem::not_found("path"));
    }
    let mut document = site_json(&SiteStanding::of(&site, &paths));
    let queued = state.queued().await?.remove(&site).unwrap_or_default();
    document["queued"] = json!({
        "messages": queued.messages,
        "oldest": time_opt(queued.oldest),
        "next_try": time_opt(queued.next_try),
        "reason": queued.reason,
    });
    document["items"] = paths.into_iter().map(path_json).collect();
    Ok(Json(document))
}
