//! One site: its paths by source, what waits for it, what it says, what holds there and why, and the operator's actions.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use mta::{PathFigures, Suspension, TopReply};
use routes::{Kind, Origin};

use super::{
    super::{
        chart,
        fault::Fault,
        filters, format,
        page::{Desk, Page, Place, show},
        stream::{self, Next},
        texts,
    },
    changes::{ChangeRow, of_name},
    fields::{FIELDS, shown},
    limits::label,
    paths::{Badge, PERIOD, SHARE_HIGH, share, signed},
    verdicts::{VerdictRow, of_site},
};
use crate::{
    paths::{SiteStanding, replies},
    state::AppState,
};

/// Replies that are listed.
const REPLIES_MAX: usize = 10;
/// Domains of a receiver that are named.
const DOMAINS_MAX: usize = 12;
/// Deliveries whose waiting messages are listed.
const DELIVERIES_MAX: usize = 20;

/// A path's line.
struct PathRow {
    source: String,
    exchange: String,
    badge: Badge,
    connections: i64,
    limit: i64,
    meter: String,
    per_connection: i64,
    limit_reason: String,
    rate: String,
    rate_reason: String,
    speed: f64,
    share: String,
    share_high: bool,
    waiting: i64,
    rest: Option<Suspension>,
    draining: bool,
    secure_only: bool,
    warm_up: Option<WarmUp>,
}

struct WarmUp {
    sent: i64,
    of: i64,
    meter: String,
}

impl WarmUp {
    fn of((left, of): (u64, u64)) -> WarmUp {
        let (of, left) = (signed(of), signed(left));
        let sent = (of - left).max(0);
        WarmUp { sent, of, meter: chart::meter(&[("accent", sent)], of, "thin") }
    }
}

impl PathRow {
    fn of(path: &PathFigures) -> PathRow {
        let (limit, open) = (i64::from(path.connections_limit), signed(path.connections as u64));
        PathRow {
            source: path.source.clone(),
            exchange: path.exchange.clone(),
            badge: Badge::of(1, usize::from(path.rests()), path.connections as u64, path.waiting as u64),
            connections: open,
            limit,
            meter: chart::meter(&[("accent", open)], limit, "thin"),
            per_connection: i64::from(path.messages_per_connection),
            limit_reason: path.limit_reason.clone(),
            rate: path.rate.map(format::speed).unwrap_or_default(),
            rate_reason: path.rate_reason.clone(),
            speed: path.accepted_per_second,
            share: share(path.deferral_share),
            share_high: path.deferral_share >= SHARE_HIGH,
            waiting: signed(path.waiting as u64),
            rest: path.suspended.clone(),
            draining: path.draining,
            secure_only: path.secure_only,
            warm_up: path.warm_up.map(WarmUp::of),
        }
    }
}

/// A reply's line.
struct ReplyRow {
    text: String,
    /// What kind of answer, by a name of `smtp::Category`.
    kind: &'static str,
    count: i64,
    meter: String,
}

impl ReplyRow {
    fn of(reply: &TopReply, most: i64) -> ReplyRow {
        let tone = match reply.text.bytes().next() {
            Some(b'2') => "ok",
            Some(b'4') => "warn",
            Some(b'5') => "bad",
            _ => "idle",
        };
        let count = signed(reply.count);
        ReplyRow {
            text: reply.text.clone(),
            kind: reply.category,
            count,
            meter: chart::meter(&[(tone, count)], most, "thin"),
        }
    }
}

/// What changes each second.
struct Live {
    badge: Badge,
    connections: i64,
    limit: Option<i64>,
    speed: f64,
    waiting: i64,
    share: String,
    share_high: bool,
    accepted: i64,
    deferred: i64,
    refused: i64,
    expected_end: Option<i64>,
    rows: Vec<PathRow>,
    replies: Vec<ReplyRow>,
}

impl Live {
    async fn of(state: &AppState, site: &str) -> Live {
        let standing = state.standing().await;
        let mut paths: Vec<&PathFigures> = standing.of_site(site).collect();
        paths.sort_by(|a, b| (&a.source, &a.exchange).cmp(&(&b.source, &b.exchange)));
        let whole = SiteStanding::of(site, &paths);
        let said = replies(&paths);
        let most = said.first().map_or(1, |reply| signed(reply.count));
        Live {
            badge: Badge::of(whole.paths, whole.resting, whole.connections, whole.waiting),
            connections: signed(whole.connections),
            limit: whole.connections_limit.map(signed),
            speed: whole.accepted_per_second,
            waiting: signed(whole.waiting),
            share: share(whole.deferral_share),
            share_high: whole.deferral_share >= SHARE_HIGH,
            accepted: signed(whole.accepted),
            deferred: signed(whole.deferred),
            refused: signed(whole.refused),
            expected_end: whole.expected_end,
            rows: paths.iter().map(|path| PathRow::of(path)).collect(),
            replies: said.iter().take(REPLIES_MAX).map(|reply| ReplyRow::of(reply, most)).collect(),
        }
    }
}

/// A delivery that has messages for the site.
struct WaitingRow {
    delivery: i64,
    label: String,
    pool: String,
    fresh: i64,
    retries: i64,
    oldest: Option<i64>,
    next_try: Option<i64>,
    reason: String,
}

/// What waits in the database for a provider, delivery by delivery. Lanes of small domains are nobody's alone.
async fn waiting(state: &AppState, site: &str) -> Result<Vec<WaitingRow>, Fault> {
    let now_us = state.clock.now_us();
    let lanes = state.queue.waiting_by_lane(now_us).await?;
    let mut rows = Vec::new();
    for lane in lanes.iter().filter(|lane| lane.lane == site).take(DELIVERIES_MAX) {
        let label = match state.deliveries.get(lane.delivery).await {
            Ok(found) => found.label,
            // Deleted since it was listed.
            Err(_) => continue,
        };
        rows.push(WaitingRow {
            delivery: lane.delivery,
            label,
            pool: lane.pool.clone(),
            fresh: lane.fresh,
            retries: lane.retries,
            oldest: lane.oldest.map(|since| (now_us - since).max(0)),
            next_try: lane.next_try,
            reason: lane.reason.clone().unwrap_or_default(),
        });
    }
    Ok(rows)
}

/// A rule that holds, and who said so.
struct RuleRow {
    field: &'static str,
    value: String,
    from: String,
    by_person: bool,
}

fn rules(state: &AppState, site: &str) -> Vec<RuleRow> {
    let providers = state.routes.providers();
    let (rules, explained) = (providers.rules_of(site), providers.explained(site, None));
    let row = |name: &'static str| {
        let origin = explained.iter().find(|one| one.field == name).map(|one| &one.origin);
        let (from, by_person) = match origin {
            None | Some(Origin::Shipped) => (texts::text("limits-from-shipped"), false),
            Some(Origin::Setting) => (texts::text("limits-from-setting"), false),
            Some(Origin::File) => (texts::text("limits-from-file"), true),
            Some(Origin::Override { who, .. }) => (texts::text_s("limits-from-person", who), true),
        };
        RuleRow { field: name, value: shown(&rules, name), from, by_person }
    };
    let shown_here = FIELDS.iter().filter(|field| field.group == "limits" || field.name == "tls");
    shown_here.map(|field| row(field.name)).collect()
}

/// What was learned of a path.
struct LearnedRow {
    source: String,
    connections: String,
    rate: String,
    at: i64,
}

async fn learned(state: &AppState, site: &str) -> Result<Vec<LearnedRow>, Fault> {
    let all = state.routes.learned(state.clock.now_us()).await?;
    let own = all.into_iter().filter(|one| one.site == site);
    Ok(own
        .map(|one| LearnedRow {
            source: one.source,
            connections: format!("{:.1}", one.connections),
            rate: if one.rate > 0.0 { format::speed(one.rate) } else { texts::text("limits-no-rate") },
            at: one.at_us,
        })
        .collect())
}

/// Pools that messages can be moved to.
fn pools(state: &AppState) -> Vec<String> {
    let rules = state.routes.rules();
    let enabled = rules.sources.iter().filter(|source| source.enabled);
    let mut pools: Vec<String> = enabled.flat_map(|source| source.pools.clone()).collect();
    pools.sort_unstable();
    pools.dedup();
    pools
}

#[derive(Template)]
#[template(path = "sending_site.html")]
struct SitePage {
    page: Page,
    site: String,
    name: String,
    live: Live,
    waiting: Vec<WaitingRow>,
    waits: i64,
    rules: Vec<RuleRow>,
    learned: Vec<LearnedRow>,
    verdicts: Vec<VerdictRow>,
    changes: Vec<ChangeRow>,
    sources: Vec<String>,
    pools: Vec<String>,
    /// Of a receiver outside the table: the domains that *Retry now* and *Drop* mean, in words.
    domains: String,
}

#[derive(Template)]
#[template(path = "sending_site_body.html")]
struct SitePart {
    live: Live,
}

/// `GET /sending/paths/{site}`. A site that has nothing to do now is no fault: its rules are still to be seen.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Path(site): Path<String>,
) -> Result<Response, Fault> {
    let live = Live::of(&state, &site).await;
    if live.rows.is_empty() && !state.knows_site(&site) && !is_domain(&site) {
        return Err(Fault::not_found("path"));
    }
    let waiting = waiting(&state, &site).await?;
    show(&SitePage {
        page: desk.page(Place::Paths),
        name: label(&site, &state.routes.providers()),
        waits: waiting.iter().map(|row| row.fresh + row.retries).sum(),
        waiting,
        rules: rules(&state, &site),
        learned: learned(&state, &site).await?,
        verdicts: of_site(&state, &site).await?,
        changes: of_name(&state, Kind::Override, &site).await?,
        sources: state.routes.rules().sources.iter().map(|one| one.name.clone()).collect(),
        pools: pools(&state),
        domains: domains(&state, &site).await,
        live,
        site,
    })
}

/// The domains whose mail goes to a receiver outside the table, as far as they are known; empty for a provider.
async fn domains(state: &AppState, site: &str) -> String {
    let Some(receiver) = state.waiters(site, None).await.receiver else { return String::new() };
    let shown: Vec<&str> = receiver.domains.iter().take(DOMAINS_MAX).map(String::as_str).collect();
    match receiver.domains.len().saturating_sub(DOMAINS_MAX) {
        0 => shown.join(", "),
        more => texts::text_ns("site-domains-more", more as i64, &shown.join(", ")),
    }
}

/// Whether a text could be a site that is in no table.
fn is_domain(text: &str) -> bool {
    text.contains('.') && address::Domain::parse(text).is_ok()
}

/// `GET /sending/paths/{site}/stream`: the live part each second.
pub async fn stream(_desk: Desk, State(state): State<AppState>, Path(site): Path<String>) -> Response {
    stream::every(PERIOD, Look { state, site })
}

struct Look {
    state: AppState,
    site: String,
}

impl stream::Live for Look {
    async fn next(&mut self) -> Next {
        Next::part(&SitePart { live: Live::of(&self.state, &self.site).await })
    }
}
