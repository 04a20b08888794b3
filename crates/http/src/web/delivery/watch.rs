//! The Watch tab: live counts, speed, expected end, by provider, as server-sent events.

use std::time::Duration;

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use delivery::{Delivery, ProviderStatus, Status, WavePlan};
use serde::Deserialize;

use super::{
    super::{
        chart::{self, Speeds},
        fault::Fault,
        filters, format,
        page::{Desk, Page, Place, show},
        said::said,
        stream::{self, Live, Next},
        texts,
    },
    frame::Frame,
    winner::Panel,
};
use crate::{
    clicks::{Clicked, by_link},
    paths::{SiteStanding, Standing},
    state::AppState,
};

/// How often the figures are shown anew.
const PERIOD: Duration = Duration::from_secs(1);

/// Providers shown by themselves.
const PROVIDERS_MAX: usize = 16;

/// Links that are listed.
const LINKS_MAX: usize = 50;

/// Changes of state that are listed.
const CHANGES_MAX: usize = 20;

/// What the queue calls domains without a line of their own.
const OTHER: &str = "other";

struct ProviderRow {
    provider: String,
    /// Name of its path's page; empty: it has none of its own.
    site: String,
    meter: String,
    sent: i64,
    deferred: i64,
    failed: i64,
    waiting: i64,
    bounced: i64,
    complaints: i64,
    held: bool,
    /// Why nothing goes there now, from any source; empty: something may.
    rests: String,
    per_second: f64,
    predicted_end: Option<i64>,
}

impl ProviderRow {
    fn of(row: ProviderStatus) -> ProviderRow {
        let waiting = row.pending - row.deferred;
        let shares = [("ok", row.sent), ("bad", row.failed), ("warn", row.deferred)];
        ProviderRow {
            meter: chart::meter(&shares, row.sent + row.failed + row.pending, "thin"),
            provider: texts::pick("provider", &row.provider),
            site: if row.provider == OTHER { String::new() } else { row.provider },
            sent: row.sent,
            deferred: row.deferred,
            failed: row.failed,
            bounced: row.bounced,
            complaints: row.complaints,
            held: row.held,
            rests: String::new(),
            waiting,
            per_second: row.per_second,
            predicted_end: row.predicted_end.filter(|_| row.pending > 0),
        }
    }
}

#[derive(Default)]
struct Watch {
    active: bool,
    percent: String,
    speed: String,
    predicted_end: Option<i64>,
    finished_at: Option<i64>,
    meter: String,
    messages: i64,
    sent: i64,
    failed: i64,
    deferred: i64,
    waiting: i64,
    cancelled: i64,
    excluded: i64,
    unknown: i64,
    bounced: i64,
    complaints: i64,
    seeds: i64,
    seeds_sent: i64,
    /// It waits for a word because the server was down at the contact date.
    late: bool,
    /// What the brake holds, and why.
    holds: Vec<(String, String)>,
    /// Why nothing goes out from here.
    blocked: String,
    note: String,
    note_tone: &'static str,
    spark: String,
    peak: String,
    providers: Vec<ProviderRow>,
}

impl Watch {
    fn of(found: &Delivery, status: Status, holds: Vec<(String, String)>, speeds: &Speeds) -> Watch {
        let messages = status.pending + status.sent + status.failed + status.cancelled;
        let decided = messages - status.pending;
        let shares = [
            ("ok", status.sent),
            ("bad", status.failed),
            ("idle", status.cancelled),
            ("warn", status.deferred),
        ];
        let (note, note_tone) = if status.late {
            (String::new(), "")
        } else {
            note(status.state, found, status.pending == messages)
        };
        let seeds = &status.seeds;
        Watch {
            active: status.state.is_active(),
            percent: format::percent(decided, messages),
            speed: format::speed(status.per_second),
            predicted_end: status.predicted_end,
            finished_at: found.finished_at,
            meter: chart::meter(&shares, messages, ""),
            messages,
            sent: status.sent,
            failed: status.failed,
            deferred: status.deferred,
            waiting: status.pending - status.deferred,
            cancelled: status.cancelled,
            excluded: status.excluded.values().sum(),
            unknown: status.unknown,
            bounced: status.bounced,
            complaints: status.complaints,
            seeds: seeds.pending + seeds.sent + seeds.failed + seeds.cancelled,
            seeds_sent: seeds.sent,
            late: status.late,
            holds,
            blocked: String::new(),
            note,
            note_tone,
            spark: speeds.drawn(),
            peak: format::speed(speeds.peak()),
            providers: providers(status.providers, status.state.is_active()),
        }
    }
}

impl Watch {
    /// Says of each provider that still has messages why none of them goes out, when all its paths rest.
    fn tell_rests(&mut self, standing: &Standing) {
        if !self.active {
            return;
        }
        for row in self.providers.iter_mut().filter(|row| row.waiting + row.deferred > 0) {
            let paths: Vec<_> = standing.of_site(&row.site).collect();
            let site = SiteStanding::of(&row.site, &paths);
            let Some(rest) = site.suspended.filter(|_| site.resting == site.paths) else { continue };
            let why = if rest.by.is_empty() { said("path", &rest.reason) } else { rest.reason };
            row.rests = texts::text_s("watch-rests", &why);
        }
    }
}

/// The largest providers, and the rest in one line: a delivery can have thousands of small domains.
fn providers(mut all: Vec<ProviderStatus>, active: bool) -> Vec<ProviderRow> {
    if !active {
        // The meter's last seconds are no speed any more.
        all.iter_mut().for_each(|row| row.per_second = 0.0);
    }
    all.sort_by_key(|row| (row.provider == OTHER, std::cmp::Reverse(row.sent + row.failed + row.pending)));
    let named = all.iter().filter(|row| row.provider != OTHER).count();
    let rest = all.split_off(named.min(PROVIDERS_MAX));
    let mut rows: Vec<ProviderRow> = all.into_iter().map(ProviderRow::of).collect();
    if !rest.is_empty() {
        let sum = |of: fn(&ProviderStatus) -> i64| rest.iter().map(of).sum();
        rows.push(ProviderRow::of(ProviderStatus {
            provider: OTHER.to_owned(),
            pending: sum(|row| row.pending),
            deferred: sum(|row| row.deferred),
            sent: sum(|row| row.sent),
            failed: sum(|row| row.failed),
            per_second: rest.iter().map(|row| row.per_second).sum(),
            predicted_end: rest.iter().filter_map(|row| row.predicted_end).max(),
            bounced: sum(|row| row.bounced),
            complaints: sum(|row| row.complaints),
            held: rest.iter().any(|row| row.held),
        }));
    }
    rows
}

/// What the brake holds, and why.
async fn holds(state: &AppState, id: i64) -> Result<Vec<(String, String)>, Fault> {
    let held = state.deliveries.holds(id).await?;
    Ok(held.into_iter().map(|hold| (texts::pick("provider", &hold.lane), hold.reason)).collect())
}

fn note(state: delivery::State, found: &Delivery, untouched: bool) -> (String, &'static str) {
    use delivery::State::*;
    match state {
        Pending if untouched && !found.definition.schedule.contact_date.is_empty() => {
            (texts::text("watch-note-scheduled"), "")
        }
        Pausing | Paused => (texts::text("watch-note-paused"), "warn"),
        Retrying => (texts::text("watch-note-retrying"), ""),
        Stopping | Stopped => (texts::text("watch-note-stopped"), "warn"),
        _ => (String::new(), ""),
    }
}

#[derive(Template)]
#[template(path = "delivery_watch.html")]
struct WatchPage {
    page: Page,
    frame: Frame,
    watch: Watch,
    plan: Vec<WavePlan>,
    ab: Option<Panel>,
    clicks: Vec<ClickRow>,
    hours: Option<Hours>,
    changes: Vec<ChangeRow>,
}

/// A link that was clicked.
struct ClickRow {
    /// The variant of an A/B test that has it; empty: there is no test.
    variant: String,
    /// Its label; empty: it has none.
    label: String,
    /// Where it leads, or its number when the content is gone.
    url: String,
    category: String,
    meter: String,
    clicks: i64,
    messages: i64,
}

async fn clicks(state: &AppState, id: i64, test: Option<&Panel>) -> Result<Vec<ClickRow>, Fault> {
    let found = by_link(state, id).await?;
    let most = found.first().map_or(0, |link| link.clicks);
    let variant = |snapshot: &str| {
        let variants = test.into_iter().flat_map(|test| &test.variants);
        let own = variants.map(|(of, _)| of).find(|of| of.snapshot == snapshot);
        own.map(|of| of.variant.to_string()).unwrap_or_default()
    };
    let row = |clicked: Clicked| {
        let variant = variant(&clicked.snapshot);
        let (label, url, category) = match clicked.link {
            Some(link) => (link.label, link.url, link.category),
            None => (String::new(), format!("#{}", clicked.number), String::new()),
        };
        ClickRow {
            variant,
            // A link that nobody named is called by its address, which stands there anyway.
            label: if label == url { String::new() } else { label },
            meter: chart::meter(&[("accent", clicked.clicks)], most, "thin"),
            url,
            category,
            clicks: clicked.clicks,
            messages: clicked.messages,
        }
    };
    Ok(found.into_iter().take(LINKS_MAX).map(row).collect())
}

/// What went out hour by hour.
struct Hours {
    chart: String,
    rows: Vec<HourRow>,
    /// Messages and their size, as a sentence.
    told: String,
    from: i64,
    until: i64,
}

/// One of them.
struct HourRow {
    at: i64,
    messages: i64,
    size: String,
}

impl HourRow {
    fn of(hour: &queue::Hour) -> HourRow {
        HourRow { at: hour.start_us, messages: hour.messages, size: octets(std::slice::from_ref(hour)) }
    }
}

fn octets(hours: &[queue::Hour]) -> String {
    format::size(hours.iter().map(|hour| u64::try_from(hour.octets).unwrap_or(0)).sum())
}

/// Microseconds of an hour.
const HOUR_US: i64 = 3_600_000_000;
/// Hours that are drawn; of a longer life the last ones.
const HOURS_DRAWN_MAX: i64 = 168;

impl Hours {
    /// None before something went out.
    fn of(rows: Vec<queue::Hour>) -> Option<Hours> {
        let (first, last) = (rows.first()?.start_us, rows.last()?.start_us);
        let from = first.max(last - (HOURS_DRAWN_MAX - 1) * HOUR_US);
        let count = (last - from) / HOUR_US + 1;
        // Hours in which nothing went out are gaps of the drawing.
        let mut drawn = vec![(0, 0); usize::try_from(count).unwrap_or(1)];
        for row in rows.iter().filter(|row| row.start_us >= from) {
            if let Some(column) =
                usize::try_from((row.start_us - from) / HOUR_US).ok().and_then(|at| drawn.get_mut(at))
            {
                column.0 += row.messages;
            }
        }
        Some(Hours {
            // One column says nothing that its number does not.
            chart: if drawn.len() > 1 { chart::columns(&drawn) } else { String::new() },
            told: texts::text_ns(
                "watch-hours-text",
                rows.iter().map(|row| row.messages).sum(),
                &octets(&rows),
            ),
            from,
            until: last + HOUR_US,
            rows: rows.iter().rev().take(HOURS_LISTED_MAX).map(HourRow::of).collect(),
        })
    }
}

/// Hours that are listed, the newest first.
const HOURS_LISTED_MAX: usize = 48;

/// A change of state: when, who, what, why.
struct ChangeRow {
    at: i64,
    who: String,
    event: &'static str,
    why: String,
}

/// The newest changes of state.
async fn changes(state: &AppState, id: i64) -> Result<Vec<ChangeRow>, Fault> {
    let all = state.deliveries.changes(id).await?;
    let row = |change: delivery::Change| ChangeRow {
        at: change.at,
        who: change.who,
        event: change.event.as_str(),
        why: change.why,
    };
    Ok(all.into_iter().rev().take(CHANGES_MAX).map(row).collect())
}

#[derive(Template)]
#[template(path = "delivery_watch_body.html")]
struct WatchPart {
    watch: Watch,
}

/// `?stopped=` carries the report of a stop: sent, in flight, cancelled.
#[derive(Deserialize)]
pub struct Asked {
    stopped: Option<String>,
}

/// `GET /deliveries/{id}/watch`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let found = state.deliveries.get(id).await?;
    let status = state.deliveries.status(id).await?;
    let mut watch = Watch::of(&found, status, holds(&state, id).await?, &Speeds::default());
    watch.blocked = state.blocked(id).await;
    watch.tell_rests(&state.engine.standing().await);
    if let Some(report) = asked.stopped.as_deref().and_then(stop_report) {
        watch.note = report;
    }
    let frame = Frame::of(&state, &found, "watch").await?;
    let waves = state.deliveries.waves(id).await?;
    let ab = Panel::of(&state, id, watch.active).await?;
    show(&WatchPage {
        page: desk.page(Place::Deliveries),
        frame,
        watch,
        // A test's samples and rest are no waves to the reader.
        plan: if waves.len() > 1 && ab.is_none() { waves } else { Vec::new() },
        clicks: clicks(&state, id, ab.as_ref()).await?,
        ab,
        hours: Hours::of(state.queue.hourly(id).await?),
        changes: changes(&state, id).await?,
    })
}

fn stop_report(text: &str) -> Option<String> {
    let numbers: Vec<i64> = text.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [sent, in_flight, cancelled] = numbers[..] else { return None };
    Some(texts::text_ss(
        "watch-stop-report",
        &texts::text_ns("watch-stop-sent", in_flight, &format::grouped(sent)),
        &format::grouped(cancelled),
    ))
}

struct Look {
    state: AppState,
    id: i64,
    was: delivery::State,
    speeds: Speeds,
}

/// `GET /deliveries/{id}/watch/stream`: the figures each second; at the end, or when the state changes its buttons, the
/// event `reload`.
pub async fn stream(
    _desk: Desk,
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    let was = state.deliveries.get(id).await?.state;
    Ok(stream::every(PERIOD, Look { state, id, was, speeds: Speeds::default() }))
}

impl Live for Look {
    async fn next(&mut self) -> Next {
        // The figures could not be read now: the page keeps the last ones and asks again.
        self.again().await.unwrap_or(Next::Same)
    }
}

impl Look {
    async fn again(&mut self) -> Result<Next, Fault> {
        let found = self.state.deliveries.get(self.id).await?;
        let status = self.state.deliveries.status(self.id).await?;
        if buttons(status.state) != buttons(self.was) {
            return Ok(Next::Last("reload"));
        }
        self.speeds.keep(status.per_second);
        let holds = holds(&self.state, self.id).await?;
        let mut watch = Watch::of(&found, status, holds, &self.speeds);
        watch.blocked = self.state.blocked(self.id).await;
        watch.tell_rests(&self.state.engine.standing().await);
        Ok(Next::part(&WatchPart { watch }))
    }
}

/// States between which the page's head changes.
fn buttons(state: delivery::State) -> u8 {
    use delivery::State::*;
    match state {
        Pausing | Paused => 1,
        Stopping => 2,
        state if state.is_final() => 3,
        Retrying => 4,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_whose_paths_all_rest_says_why() {
        let path = |source: &str, reason: Option<&str>| mta::PathFigures {
            source: source.into(),
            site: "yahoo".into(),
            suspended: reason.map(|reason| mta::Suspension { reason: reason.into(), ..Default::default() }),
            ..mta::PathFigures::default()
        };
        let told = |paths: Vec<mta::PathFigures>, pending: i64| {
            let provider = ProviderStatus { provider: "yahoo".into(), pending, ..ProviderStatus::default() };
            let mut watch =
                Watch { active: true, providers: providers(vec![provider], true), ..Watch::default() };
            watch.tell_rests(&Standing { paths, ..Standing::default() });
            watch.providers.remove(0).rests
        };
        assert!(told(vec![path("a", Some("421 busy"))], 5).contains("421 busy"));
        assert_eq!(told(vec![path("a", Some("421 busy")), path("b", None)], 5), "", "another source sends");
        assert_eq!(told(vec![path("a", Some("421 busy"))], 0), "", "nothing is left to send");
        assert_eq!(told(Vec::new(), 5), "");
    }

    #[test]
    fn many_small_domains_are_one_line() {
        let one = |number: i64| ProviderStatus {
            provider: format!("d{number}.example"),
            pending: 1,
            deferred: 0,
            sent: number,
            failed: 0,
            per_second: 0.5,
            predicted_end: None,
            bounced: 0,
            complaints: 0,
            held: false,
        };
        let rows = providers((0..100).map(one).collect(), true);
        assert_eq!(rows.len(), PROVIDERS_MAX + 1);
        assert_eq!(rows[0].sent, 99);
        assert_eq!(rows.iter().map(|row| row.sent).sum::<i64>(), (0..100).sum::<i64>());
        assert_eq!(rows.last().unwrap().provider, texts::pick("provider", OTHER));
    }

    #[test]
    fn hours_without_mail_are_gaps_and_a_long_life_shows_its_end() {
        let hour = |number: i64, messages| queue::Hour {
            start_us: number * HOUR_US,
            messages,
            octets: messages * 10,
        };
        assert!(Hours::of(Vec::new()).is_none());
        let one = Hours::of(vec![hour(5, 7)]).unwrap();
        assert_eq!((one.chart.as_str(), one.told.as_str()), ("", "7 messages, 70 B."));
        assert_eq!(one.until, 6 * HOUR_US);
        let gap = Hours::of(vec![hour(5, 7), hour(8, 1)]).unwrap();
        assert_eq!(gap.chart.matches("f-accent").count(), 2);
        assert!(gap.chart.contains("x=\"750.0\""), "{}", gap.chart);
        assert_eq!(gap.rows[0].messages, 1, "the newest first");
        let long = Hours::of((0..400).map(|number| hour(number, 1)).collect()).unwrap();
        assert_eq!(long.from, (400 - HOURS_DRAWN_MAX) * HOUR_US);
        assert!(long.told.starts_with("400 "), "{}", long.told);
    }

    #[test]
    fn a_stop_is_reported_exactly() {
        let said = stop_report("1200,3,98797").unwrap();
        assert!(said.contains("1,200") && said.contains('3') && said.contains("98,797"), "{said}");
        assert!(stop_report("1,2").is_none() && stop_report("x,y,z").is_none());
    }
}
