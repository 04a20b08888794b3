//! The Paths page: every receiving site with its connections, speed, replies and rests, live.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use mta::Suspension;
use serde::Deserialize;

use super::super::{
    chart::{self, Speeds},
    fault::Fault,
    filters, format,
    page::{Desk, Page, Place, show},
    stream::{self, Live, Next},
    texts,
};
use crate::{
    limits::SEARCH_CHARS_MAX,
    paths::{OTHERS, Queued, SiteStanding, Standing},
    state::AppState,
};

/// How often the figures are shown anew.
pub(super) const PERIOD: Duration = Duration::from_secs(1);
/// Sites shown by themselves.
const SITES_MAX: usize = 40;

/// How something stands, for a badge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Badge {
    /// The word's key, behind `path-state-`.
    pub word: &'static str,
    /// Its colour.
    pub tone: &'static str,
}

impl Badge {
    /// Of a site or a path, by what it does.
    pub fn of(paths: usize, resting: usize, connections: u64, waiting: u64) -> Badge {
        let (word, tone) = match (resting, connections, waiting) {
            (rest, _, _) if rest > 0 && rest == paths => ("rests", "warn"),
            (rest, _, _) if rest > 0 => ("partly", "warn"),
            (_, 1.., _) => ("sends", "ok"),
            (_, _, 1..) => ("waits", "info"),
            _ => ("idle", "idle"),
        };
        Badge { word, tone }
    }
}

/// A share as people read it: `4.2`; nothing is `0`.
pub(super) fn share(of_one: f64) -> String {
    let percent = of_one.clamp(0.0, 1.0) * 100.0;
    if percent == 0.0 { "0".to_owned() } else { format!("{:.1}", percent.max(0.1)) }
}

/// A site's line.
struct Row {
    site: String,
    name: String,
    badge: Badge,
    paths: i64,
    connections: i64,
    limit: Option<i64>,
    meter: String,
    speed: f64,
    share: String,
    share_high: bool,
    waiting: i64,
    queued: i64,
    oldest: Option<i64>,
    queue_reason: String,
    reply: String,
    rest: Option<Suspension>,
    limit_reason: String,
    expected_end: Option<i64>,
    /// Something keeps its mail: a phone shows what is heard of it.
    trouble: bool,
}

/// How badly somebody should look at a site; the worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    Nothing,
    /// Much is answered with "not now".
    Deferred,
    /// Mail waits in the database for a reason, or although nothing goes there.
    Kept,
    /// It rests.
    Rests,
}

impl Trouble {
    fn of(site: &SiteStanding, queued: Option<&Queued>) -> Trouble {
        let kept = |queued: &Queued| queued.messages > 0 && (!queued.reason.is_empty() || site.paths == 0);
        match queued {
            _ if site.resting > 0 => Trouble::Rests,
            Some(queued) if kept(queued) => Trouble::Kept,
            _ if site.deferral_share >= SHARE_HIGH => Trouble::Deferred,
            _ => Trouble::Nothing,
        }
    }
}

/// From this share of "not now" on a figure is shown as a warning.
pub(super) const SHARE_HIGH: f64 = 0.1;

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Row {
    fn of(site: SiteStanding, queued: Option<&Queued>, now_us: i64) -> Row {
        let trouble = Trouble::of(&site, queued);
        let queued = queued.cloned().unwrap_or_default();
        let waits_in_database = u64::try_from(queued.messages).unwrap_or(0);
        let limit = site.connections_limit.map(signed);
        let open = signed(site.connections);
        Row {
            name: texts::pick("provider", &site.site),
            badge: Badge::of(site.paths, site.resting, site.connections, site.waiting + waits_in_database),
            paths: site.paths as i64,
            connections: open,
            limit,
            meter: limit.map(|limit| chart::meter(&[("accent", open)], limit, "thin")).unwrap_or_default(),
            speed: site.accepted_per_second,
            share: share(site.deferral_share),
            share_high: site.deferral_share >= SHARE_HIGH,
            waiting: signed(site.waiting),
            queued: queued.messages,
            oldest: queued.oldest.map(|since| (now_us - since).max(0)),
            queue_reason: queued.reason,
            reply: site.reply.map(|reply| reply.text).unwrap_or_default(),
            rest: site.suspended,
            limit_reason: site.limit_reason,
            expected_end: site.expected_end,
            trouble: trouble > Trouble::Nothing,
            site: site.site,
        }
    }
}

/// What waits in the database, as the last look found it.
#[derive(Default)]
struct Waits {
    by_provider: BTreeMap<String, Queued>,
    now_us: i64,
}

impl Waits {
    /// A database that does not answer leaves the engine's figures to be shown.
    async fn of(state: &AppState) -> Waits {
        let by_provider = state.queued().await.unwrap_or_default();
        Waits { by_provider, now_us: state.clock.now_us() }
    }
}

/// The figures and the table.
struct Board {
    connections: i64,
    speed: f64,
    waiting: i64,
    share: String,
    share_high: bool,
    resting: i64,
    spark: String,
    peak: String,
    rows: Vec<Row>,
    /// Sites without a line, because they are too many.
    hidden: i64,
    /// What waits for small domains, as a sentence; empty: nothing.
    others: String,
    /// When it is through.
    others_end: Option<i64>,
    found_nothing: bool,
}

impl Board {
    fn of(standing: &Standing, waits: &Waits, search: &str, speeds: &Speeds) -> Board {
        let mut sites = standing.sites();
        // What waits for a provider to which no path is open yet must be seen too: something may keep it.
        let shown = |name: &str| standing.paths.iter().any(|path| path.site == name);
        let silent = waits.by_provider.keys().filter(|name| *name != OTHERS && !shown(name));
        sites.extend(silent.map(|name| SiteStanding { site: name.clone(), ..SiteStanding::default() }));
        // Above all the busy ones, and above the line after which no more are shown.
        sites.sort_by_key(|site| Reverse(Trouble::of(site, waits.by_provider.get(&site.site))));
        let all: Vec<_> = standing.paths.iter().collect();
        let whole = SiteStanding::of("", &all);
        if !search.is_empty() {
            sites.retain(|site| {
                let name = texts::pick("provider", &site.site).to_lowercase();
                site.site.contains(search) || name.contains(search)
            });
        }
        let found_nothing = sites.is_empty() && !search.is_empty();
        let rest = sites.split_off(sites.len().min(SITES_MAX));
        Board {
            connections: signed(standing.connections),
            speed: whole.accepted_per_second,
            waiting: signed(whole.waiting),
            share: share(whole.deferral_share),
            share_high: whole.deferral_share >= SHARE_HIGH,
            resting: whole.resting as i64,
            spark: speeds.drawn(),
            peak: format::speed(speeds.peak()),
            rows: sites
                .into_iter()
                .map(|site| {
                    let queued = waits.by_provider.get(&site.site);
                    Row::of(site, queued, waits.now_us)
                })
                .collect(),
            others: match waits.by_provider.get(OTHERS) {
                Some(others) if search.is_empty() => texts::text_n("paths-others", others.messages),
                _ => String::new(),
            },
            others_end: standing.others_end,
            hidden: rest.len() as i64,
            found_nothing,
        }
    }
}

#[derive(Template)]
#[template(path = "sending_paths.html")]
struct PathsPage {
    page: Page,
    search: String,
    board: Board,
}

#[derive(Template)]
#[template(path = "sending_paths_body.html")]
struct PathsPart {
    board: Board,
}

/// `?q` is part of a site's name.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    q: String,
}

impl Asked {
    fn search(&self) -> String {
        self.q.trim().chars().take(SEARCH_CHARS_MAX).collect::<String>().to_lowercase()
    }
}

/// `GET /sending/paths`.
pub async fn view(
    desk: Desk,
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let search = asked.search();
    let waits = Waits::of(&state).await;
    let board = Board::of(&state.standing().await, &waits, &search, &Speeds::default());
    show(&PathsPage { page: desk.page(Place::Paths), search, board })
}

struct Look {
    state: AppState,
    search: String,
    speeds: Speeds,
    waits: Waits,
    /// Figures shown so far.
    shown: u32,
}

/// Figures between two looks at the database: counting a million retries is not for every second.
const SHOWN_BETWEEN_LOOKS: u32 = 10;

impl Live for Look {
    async fn next(&mut self) -> Next {
        if self.shown.is_multiple_of(SHOWN_BETWEEN_LOOKS) {
            self.waits = Waits::of(&self.state).await;
        }
        self.shown = self.shown.wrapping_add(1);
        let standing = self.state.standing().await;
        self.speeds.keep(standing.paths.iter().map(|path| path.accepted_per_second).sum());
        Next::part(&PathsPart { board: Board::of(&standing, &self.waits, &self.search, &self.speeds) })
    }
}

/// `GET /sending/paths/stream`: figures and table each second.
pub async fn stream(_desk: Desk, State(state): State<AppState>, Query(asked): Query<Asked>) -> Response {
    let (speeds, waits) = (Speeds::default(), Waits::default());
    stream::every(PERIOD, Look { state, search: asked.search(), speeds, waits, shown: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mta::PathFigures;

    fn path(site: &str, waiting: usize) -> PathFigures {
        PathFigures { site: site.into(), waiting, ..PathFigures::default() }
    }

    #[test]
    fn many_small_sites_are_counted_and_a_search_finds_them() {
        let paths = (0..500).map(|n| path(&format!("d{n:03}.example"), n)).collect();
        let standing = Standing { paths, ..Standing::default() };
        let board = Board::of(&standing, &Waits::default(), "", &Speeds::default());
        assert_eq!((board.rows.len(), board.hidden), (SITES_MAX, 460));
        assert_eq!(board.rows[0].site, "d499.example", "what waits most comes first");
        let board = Board::of(&standing, &Waits::default(), "d007", &Speeds::default());
        assert_eq!((board.rows.len(), board.hidden, board.found_nothing), (1, 0, false));
        assert!(Board::of(&standing, &Waits::default(), "nowhere", &Speeds::default()).found_nothing);
    }

    #[test]
    fn what_waits_without_a_path_is_seen() {
        let queued = |messages| Queued { messages, oldest: Some(4), ..Queued::default() };
        let by_provider = [("yahoo".to_owned(), queued(7)), (OTHERS.to_owned(), queued(3))].into();
        let waits = Waits { by_provider, now_us: 10 };
        let standing = Standing { paths: vec![path("google", 1)], ..Standing::default() };
        let board = Board::of(&standing, &waits, "", &Speeds::default());
        let rows: Vec<_> = board.rows.iter().map(|row| (row.site.as_str(), row.queued, row.oldest)).collect();
        assert_eq!(rows, [("yahoo", 7, Some(6)), ("google", 0, None)]);
        assert!(board.others.contains('3'), "{}", board.others);
    }

    #[test]
    fn trouble_comes_first_and_is_never_among_those_left_out() {
        let mut paths: Vec<_> = (0..50).map(|n| path(&format!("d{n:02}.example"), 100 + n)).collect();
        let rest = Suspension { until_us: None, reason: "asked to".into(), by: "ann".into() };
        paths.push(PathFigures { suspended: Some(rest), ..path("rests.example", 0) });
        paths.push(PathFigures { deferral_share: 0.5, ..path("defers.example", 0) });
        paths.push(path("held", 1));
        let queued = |reason: &str| Queued { messages: 1, reason: reason.into(), ..Queued::default() };
        let by_provider = [("held".to_owned(), queued("on hold")), ("silent".to_owned(), queued(""))].into();
        let waits = Waits { by_provider, now_us: 10 };
        let standing = Standing { paths, ..Standing::default() };
        let board = Board::of(&standing, &waits, "", &Speeds::default());
        let rows: Vec<_> = board.rows.iter().map(|row| (row.site.as_str(), row.trouble)).take(5).collect();
        let wanted = ["rests.example", "held", "silent", "defers.example"].map(|site| (site, true));
        assert_eq!(rows[..4], wanted);
        assert_eq!(board.rows[2].badge.word, "waits", "what the engine has not taken yet waits too");
        assert_eq!(rows[4], ("d49.example", false), "then what waits most");
    }

    #[test]
    fn a_search_knows_the_names_that_people_know() {
        let standing = Standing { paths: vec![path("google", 1), path("yahoo", 1)], ..Standing::default() };
        let board = Board::of(&standing, &Waits::default(), "gmail", &Speeds::default());
        assert_eq!(board.rows.len(), 1);
        assert_eq!(board.rows[0].site, "google");
    }

    #[test]
    fn a_badge_says_the_most_important() {
        let word =
            |paths, resting, connections, waiting| Badge::of(paths, resting, connections, waiting).word;
        assert_eq!(word(2, 2, 1, 9), "rests");
        assert_eq!(word(2, 1, 1, 9), "partly");
        assert_eq!(word(2, 0, 1, 9), "sends");
        assert_eq!(word(2, 0, 0, 9), "waits");
        assert_eq!(word(2, 0, 0, 0), "idle");
    }

    #[test]
    fn a_share_is_never_rounded_to_nothing() {
        assert_eq!(share(0.0), "0");
        assert_eq!(share(0.0001), "0.1");
        assert_eq!(share(0.042), "4.2");
        assert_eq!(share(7.0), "100.0");
    }
}
