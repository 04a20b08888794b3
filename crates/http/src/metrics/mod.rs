//! `/metrics`: figures of this node for Prometheus.
//!
//! **Who may.** Any token, as `Authorization: Bearer`; without one a direct peer on this machine. Nothing here names a
//! recipient, a delivery or a domain of an address.
//!
//! **Bounds.** A label's values are few and stay the same, because each value is a series that Prometheus keeps: `provider`
//! is a name of the provider table or `other`, `source` one of at most [`SOURCES_MAX`] or `other`, `state` one of the
//! life cycle. A hundred thousand small domains are one series.
//!
//! A database that does not answer costs its own figures and says so in `mailwright_database_up`; the engine's are
//! told all the same.

mod ledger;
mod process;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};

use mta::PathFigures;
use queue::{Counters, LATENCY_BOUNDS_MS};

use crate::{api::auth, paths::Standing, state::AppState};
use ledger::{Answers, Ledger};
use text::{Kind, Text};

pub use text::Family;

/// Sources with series of their own.
pub const SOURCES_MAX: usize = 100;
/// What everything else is counted as.
const OTHER: &str = "other";
/// How long the database may take for its figures.
const DATABASE_TIME_MAX: Duration = Duration::from_secs(3);
/// The format's own name.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const PATH: &[&str] = &["source", "provider"];
const PROVIDER: &[&str] = &["provider"];
const NONE: &[&str] = &[];

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, help, labels }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, help, labels }
}

const BUILD: Family = gauge("mailwright_build_info", &["version"], "Always 1; the version is in its label.");
const CONNECTIONS: Family = gauge("mailwright_connections", PATH, "Open connections to receivers.");
const CONNECTIONS_LIMIT: Family =
    gauge("mailwright_connections_limit", PATH, "Connections that may be open now.");
const PATHS: Family = gauge("mailwright_paths", PATH, "Paths that have something to do or to tell.");
const PATHS_RESTING: Family = gauge(
    "mailwright_paths_resting",
    &["source", "provider", "cause"],
    "Paths at rest: by an operator, drained, with a warm-up's messages of today sent, or for what the receiver says.",
);
const RATE_LIMIT: Family =
    gauge("mailwright_rate_limit", PATH, "Messages a second that may go now; absent: nothing limits them.");
const EXPECTED_END: Family =
    gauge("mailwright_expected_end_seconds", PATH, "Until what waits is through, at the present speed.");
const LOADED: Family = gauge("mailwright_loaded_messages", PATH, "Messages in memory that wait for a path.");
const ACCEPTED: Family = counter("mailwright_accepted_total", PATH, "Messages that receivers took.");
const DEFERRED: Family =
    counter("mailwright_deferred_total", PATH, "Answers that put a message off (not now).");
const REFUSED: Family =
    counter("mailwright_refused_total", PATH, "Messages that receivers refused for good.");
const REPLIES: Family = counter(
    "mailwright_replies_total",
    &["provider", "category"],
    "Answers that were no yes, and connections that failed, by what they were about.",
);
const WARM_UP_LEFT: Family =
    gauge("mailwright_warm_up_left", PATH, "Messages that a warm-up plan still allows today.");
const COMPOSED: Family = counter("mailwright_composed_total", NONE, "Messages composed and signed.");
const CLAIMED: Family = gauge("mailwright_claimed_bytes", NONE, "Octets of claimed messages in memory.");
const SETTLED: Family = counter(
    "mailwright_settled_total",
    &["outcome"],
    "Results on disk: sent, failed, cancelled one by one, and tries that end with another to come.",
);
const SETTLE_TIME: Family = Family {
    name: "mailwright_settle_seconds",
    kind: Kind::Histogram,
    help: "From a receiver's answer until its outcome is on disk.",
    labels: NONE,
};
const OLDEST: Family =
    gauge("mailwright_oldest_waiting_seconds", PROVIDER, "How long the oldest message waits that was due.");
const PENDING: Family =
    gauge("mailwright_pending_messages", PROVIDER, "Messages of active deliveries that are not over.");
const DUE: Family =
    gauge("mailwright_due_messages", PROVIDER, "Messages that wait although their time has come.");
const NEXT_TRY: Family = gauge(
    "mailwright_next_try_seconds",
    PROVIDER,
    "Until the earliest message whose time is still to come; absent: there is none.",
);
const PENDING_DEFERRED: Family = gauge(
    "mailwright_pending_deferred_messages",
    PROVIDER,
    "Of them, those that were tried and wait for their next try.",
);
const PENDING_UNKNOWN: Family = gauge(
    "mailwright_pending_unknown_messages",
    PROVIDER,
    "Of them, those whose answer was lost after the final dot.",
);
const SENT_SPEED: Family =
    gauge("mailwright_sent_per_second", PROVIDER, "Messages sent a second, over the last ten seconds.");
const HELD: Family =
    gauge("mailwright_held_providers", PROVIDER, "Active deliveries that the brake holds at this provider.");
const DELIVERIES: Family = gauge("mailwright_active_deliveries", &["state"], "Deliveries that are active.");
const COPIES_WAITING: Family =
    gauge("mailwright_archive_waiting_copies", NONE, "Copies that wait for the archive.");
const COPIES_HELD: Family =
    gauge("mailwright_archive_held_copies", NONE, "Copies that wait for an operator.");
const DATABASE_UP: Family = gauge("mailwright_database_up", NONE, "1 when the database answered.");
const DATABASE_TIME: Family = gauge(
    "mailwright_database_answer_seconds",
    NONE,
    "How long the database took for the figures of this answer.",
);
const CPU: Family = counter("process_cpu_seconds_total", NONE, "Processor time of this process.");
const MEMORY: Family = gauge("process_resident_memory_bytes", NONE, "Memory in use.");
const FILES: Family = gauge("process_open_fds", NONE, "Open files and sockets.");

/// Every family, in the order of the answer.
pub const FAMILIES: &[Family] = &[
    BUILD,
    CONNECTIONS,
    CONNECTIONS_LIMIT,
    PATHS,
    PATHS_RESTING,
    RATE_LIMIT,
    EXPECTED_END,
    LOADED,
    ACCEPTED,
    DEFERRED,
    REFUSED,
    REPLIES,
    WARM_UP_LEFT,
    COMPOSED,
    CLAIMED,
    SETTLED,
    SETTLE_TIME,
    PENDING,
    PENDING_DEFERRED,
    PENDING_UNKNOWN,
    SENT_SPEED,
    HELD,
    DUE,
    NEXT_TRY,
    OLDEST,
    DELIVERIES,
    COPIES_WAITING,
    COPIES_HELD,
    DATABASE_UP,
    DATABASE_TIME,
    CPU,
    MEMORY,
    FILES,
];

/// `/metrics`, outside `/api/v1` because Prometheus looks for it there.
pub fn routes() -> Router<AppState> {
    let ledger = Arc::new(Ledger::default());
    let answer = move |State(state): State<AppState>, request: Request| serve(state, request, ledger);
    Router::new().route("/metrics", get(answer))
}

async fn serve(state: AppState, request: Request, ledger: Arc<Ledger>) -> Response {
    let (parts, _) = request.into_parts();
    if let Err(problem) = auth::may_watch(&state, &parts).await {
        return problem.into_response();
    }
    let standing = state.standing().await;
    let begin = Instant::now();
    let look = tokio::time::timeout(DATABASE_TIME_MAX, Kept::read(&state)).await;
    let kept = match look {
        Ok(Ok(kept)) => Some(kept),
        Ok(Err(problem)) => {
            tracing::warn!(detail = problem.detail, "metrics without the database's figures");
            None
        }
        Err(_) => {
            tracing::warn!("metrics without the database's figures: it does not answer in time");
            None
        }
    };
    let (took, now_us) = (begin.elapsed(), state.clock.now_us());
    let (settled, known) = (state.queue.counters(), names(&state));
    let groups = by_label(&standing, &known);
    let answers = ledger.enter(&groups);
    let looked =
        Looked { standing: &standing, groups, answers, settled: &settled, kept: kept.as_ref(), took, now_us };
    let text = looked.write();
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, text).into_response()
}

/// Names of the provider table.
fn names(state: &AppState) -> BTreeSet<String> {
    state.routes.providers().list().iter().map(|provider| provider.name.clone()).collect()
}

/// What the database keeps of active deliveries, and of the archive.
#[derive(Debug, Default)]
struct Kept {
    providers: BTreeMap<String, Pending>,
    states: BTreeMap<&'static str, u64>,
    copies_waiting: i64,
    copies_held: i64,
}

/// One provider's share of all active deliveries.
#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    pending: i64,
    deferred: i64,
    unknown: i64,
    per_second: f64,
    held: u64,
    due: i64,
    /// Microseconds from now.
    next_try: Option<i64>,
    /// Microseconds.
    oldest: Option<i64>,
}

impl Kept {
    async fn read(state: &AppState) -> Result<Kept, crate::problem::Problem> {
        let now_us = state.clock.now_us();
        let known = names(state);
        let mut kept = Kept::default();
        for run in state.queue.active_runs().await? {
            let figures = match state.queue.figures(run.spec.delivery, now_us).await {
                Ok(figures) => figures,
                // Deleted since it was listed.
                Err(queue::Error::NotConfirmed(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            *kept.states.entry(figures.state.name()).or_default() += 1;
            for one in &figures.providers {
                let name = if known.contains(&one.provider) { one.provider.as_str() } else { OTHER };
                let sum = kept.providers.entry(name.to_owned()).or_default();
                sum.pending += one.pending;
                sum.deferred += one.deferred;
                sum.unknown += one.unknown;
                sum.per_second += one.per_second;
                sum.held += u64::from(one.held);
            }
        }
        for lane in state.queue.waiting_by_lane(now_us).await?.iter() {
            let name = if known.contains(&lane.lane) { lane.lane.as_str() } else { OTHER };
            let sum = kept.providers.entry(name.to_owned()).or_default();
            sum.oldest = sum.oldest.max(lane.oldest.map(|since| (now_us - since).max(0)));
            // What is paused or on hold waits for a word and not for its time.
            if lane.reason.is_none() {
                sum.due += lane.due;
                let ahead = lane.next_try.map(|at| at - now_us).filter(|left| *left > 0);
                sum.next_try = sum.next_try.into_iter().chain(ahead).min();
            }
        }
        let copies = state.archive.state().await?;
        (kept.copies_waiting, kept.copies_held) = (copies.waiting, copies.held);
        Ok(kept)
    }
}

/// Paths by source and provider, within the bounds.
fn by_label<'a>(
    standing: &'a Standing,
    known: &BTreeSet<String>,
) -> BTreeMap<(&'a str, &'a str), Vec<&'a PathFigures>> {
    let sources: BTreeSet<&str> = standing.paths.iter().map(|path| path.source.as_str()).collect();
    let named: BTreeSet<&str> = sources.into_iter().take(SOURCES_MAX).collect();
    let mut groups: BTreeMap<(&str, &str), Vec<&PathFigures>> = BTreeMap::new();
    for path in &standing.paths {
        let source = if named.contains(path.source.as_str()) { path.source.as_str() } else { OTHER };
        let provider = if known.contains(&path.site) { path.site.as_str() } else { OTHER };
        groups.entry((source, provider)).or_default().push(path);
    }
    groups
}

/// What one answer is written from.
struct Looked<'a> {
    standing: &'a Standing,
    groups: BTreeMap<(&'a str, &'a str), Vec<&'a PathFigures>>,
    answers: BTreeMap<(String, String), Answers>,
    settled: &'a Counters,
    /// None: the database did not answer.
    kept: Option<&'a Kept>,
    took: Duration,
    now_us: i64,
}

impl Looked<'_> {
    fn write(&self) -> String {
        let mut text = Text::default();
        text.family(&BUILD, [(vec![env!("CARGO_PKG_VERSION")], 1.0)]);
        self.write_paths(&mut text);
        text.one(&COMPOSED, self.standing.composed as f64);
        text.one(&CLAIMED, self.standing.claimed_bytes as f64);
        write_settled(&mut text, self.settled);
        if let Some(kept) = self.kept {
            write_kept(&mut text, kept);
        }
        text.one(&DATABASE_UP, if self.kept.is_some() { 1.0 } else { 0.0 });
        text.one(&DATABASE_TIME, self.took.as_secs_f64());
        if let Some(process) = process::read() {
            text.one(&CPU, process.cpu_seconds);
            text.one(&MEMORY, process.resident_bytes);
            text.one(&FILES, process.open_files);
        }
        text.into_string()
    }

    fn write_paths(&self, text: &mut Text) {
        let gauge = |text: &mut Text, family: &Family, value: &dyn Fn(&[&PathFigures]) -> Option<f64>| {
            let samples = self
                .groups
                .iter()
                .filter_map(|((source, provider), paths)| Some((vec![*source, *provider], value(paths)?)));
            text.family(family, samples);
        };
        let sum = |paths: &[&PathFigures], of: fn(&PathFigures) -> u64| {
            Some(paths.iter().map(|path| of(path)).sum::<u64>() as f64)
        };
        gauge(text, &CONNECTIONS, &|paths| sum(paths, |path| path.connections as u64));
        gauge(text, &CONNECTIONS_LIMIT, &limits);
        gauge(text, &PATHS, &|paths| Some(paths.len() as f64));
        self.write_resting(text);
        gauge(text, &RATE_LIMIT, &rates);
        gauge(text, &EXPECTED_END, &|paths| {
            // What waits in the database for receivers outside the table is no single one's.
            let others = self.standing.others_end.filter(|_| paths.iter().all(|path| !path.known));
            let last = others.or_else(|| paths.iter().filter_map(|path| path.expected_end).max())?;
            Some((last - self.now_us).max(0) as f64 / 1e6)
        });
        gauge(text, &LOADED, &|paths| sum(paths, |path| path.waiting as u64));
        for (at, family) in [ACCEPTED, DEFERRED, REFUSED].iter().enumerate() {
            let samples = self.answers.iter().map(|((source, provider), answers)| {
                (vec![source.as_str(), provider.as_str()], answers[at] as f64)
            });
            text.family(family, samples);
        }
        self.write_replies(text);
        gauge(text, &WARM_UP_LEFT, &|paths| {
            let left: Vec<u64> = paths.iter().filter_map(|path| Some(path.warm_up?.0)).collect();
            (!left.is_empty()).then(|| left.iter().sum::<u64>() as f64)
        });
    }

    fn write_replies(&self, text: &mut Text) {
        let counts = self.standing.replies.iter();
        text.family(&REPLIES, counts.map(|one| (vec![&*one.provider, one.category], one.count as f64)));
    }

    fn write_resting(&self, text: &mut Text) {
        let samples = self.groups.iter().flat_map(|((source, provider), paths)| {
            CAUSES.map(|wanted| {
                let resting = paths.iter().filter(|path| cause(path) == Some(wanted)).count();
                (vec![*source, *provider, wanted], resting as f64)
            })
        });
        text.family(&PATHS_RESTING, samples);
    }
}

/// Why a path rests.
fn cause(path: &PathFigures) -> Option<&'static str> {
    let rest = path.suspended.as_ref();
    if path.draining {
        Some("drain")
    } else if rest.is_some_and(|rest| !rest.by.is_empty()) {
        Some("operator")
    } else if rest.is_some() && path.warm_up.is_some_and(|(left, _)| left == 0) {
        Some("warm_up")
    } else {
        rest.map(|_| "receiver")
    }
}

/// Why a path can rest, each with a series.
const CAUSES: [&str; 4] = ["drain", "operator", "receiver", "warm_up"];

/// Rates of some paths of one source: that of a site counts once.
fn rates(paths: &[&PathFigures]) -> Option<f64> {
    let mut sites: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for path in paths {
        let held = sites.entry((&path.source, &path.site)).or_default();
        *held = held.max(path.rate?);
    }
    Some(sites.values().sum())
}

fn write_settled(text: &mut Text, settled: &Counters) {
    let Counters { sent, failed, cancelled, deferred, latency } = settled;
    let outcomes = [("sent", sent), ("failed", failed), ("cancelled", cancelled), ("deferred", deferred)];
    text.family(&SETTLED, outcomes.map(|(name, count)| (vec![name], *count as f64)));
    let ends = LATENCY_BOUNDS_MS.iter().map(|end| Some(*end as f64 / 1e3)).chain([None]);
    let buckets: Vec<_> = ends.zip(latency.buckets).collect();
    text.histogram(&SETTLE_TIME, &buckets, latency.sum_us as f64 / 1e6);
}

/// Limits of some paths of one source: those of a site count once.
fn limits(paths: &[&PathFigures]) -> Option<f64> {
    let mut sites: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for path in paths {
        let held = sites.entry((&path.source, &path.site)).or_default();
        *held = (*held).max(path.connections_limit);
    }
    Some(sites.values().map(|limit| f64::from(*limit)).sum())
}

fn write_kept(text: &mut Text, kept: &Kept) {
    let mut family = |family: &Family, value: fn(&Pending) -> Option<f64>| {
        let samples =
            kept.providers.iter().filter_map(|(name, sum)| Some((vec![name.as_str()], value(sum)?)));
        text.family(family, samples);
    };
    family(&PENDING, |sum| Some(sum.pending as f64));
    family(&PENDING_DEFERRED, |sum| Some(sum.deferred as f64));
    family(&PENDING_UNKNOWN, |sum| Some(sum.unknown as f64));
    family(&SENT_SPEED, |sum| Some(sum.per_second));
    family(&HELD, |sum| Some(sum.held as f64));
    family(&DUE, |sum| Some(sum.due as f64));
    family(&NEXT_TRY, |sum| sum.next_try.map(|left| left as f64 / 1e6));
    family(&OLDEST, |sum| sum.oldest.map(|age| age as f64 / 1e6));
    text.family(&DELIVERIES, kept.states.iter().map(|(state, count)| (vec![*state], *count as f64)));
    text.one(&COPIES_WAITING, kept.copies_waiting as f64);
    text.one(&COPIES_HELD, kept.copies_held as f64);
}

#[cfg(test)]
mod tests;
