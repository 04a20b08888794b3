//! The answer against its own table, against the dashboard that is shipped, and against the manual.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;

use super::*;

/// When it is looked at.
const NOW_US: i64 = 1_000_000_000;

fn path(source: &str, site: &str) -> PathFigures {
    PathFigures {
        source: source.into(),
        site: site.into(),
        connections: 2,
        connections_limit: 5,
        accepted: 10,
        rate: Some(2.5),
        expected_end: Some(NOW_US + 7_000_000),
        warm_up: Some((3, 50)),
        ..PathFigures::default()
    }
}

fn reply(provider: &str, category: &'static str, count: u64) -> mta::ReplyCount {
    mta::ReplyCount { provider: provider.into(), category, count }
}

fn known() -> BTreeSet<String> {
    ["google", "yahoo"].map(str::to_owned).into()
}

fn kept() -> Kept {
    let one = Pending {
        pending: 7,
        deferred: 2,
        unknown: 1,
        per_second: 0.5,
        held: 1,
        due: 3,
        next_try: Some(90_000_000),
        oldest: Some(2_500_000),
    };
    Kept {
        providers: BTreeMap::from([("google".to_owned(), one)]),
        states: BTreeMap::from([("in_progress", 1)]),
        copies_waiting: 4,
        copies_held: 0,
    }
}

fn settled() -> Counters {
    let mut settled = Counters { sent: 5, ..Counters::default() };
    settled.latency.buckets[2] = 4;
    settled.latency.buckets[11] = 1;
    settled.latency.sum_us = 6_000_000;
    settled
}

fn told(standing: &Standing, kept: Option<&Kept>) -> String {
    let (known, settled) = (known(), settled());
    let groups = by_label(standing, &known);
    let answers = Ledger::default().enter(&groups);
    let took = Duration::from_millis(5);
    Looked { standing, groups, answers, settled: &settled, kept, took, now_us: NOW_US }.write()
}

fn said(standing: &Standing) -> String {
    told(standing, Some(&kept()))
}

#[test]
fn every_family_of_the_table_is_told_once_and_in_order() {
    let replies = vec![reply("google", "rate_limited", 3)];
    let standing = Standing { paths: vec![path("a", "google")], replies, ..Standing::default() };
    let text = said(&standing);
    let told: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    let wanted: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
    assert_eq!(told, wanted);
    for family in FAMILIES {
        let total = family.name.ends_with("_total");
        assert_eq!(family.kind == Kind::Counter, total, "{}", family.name);
        assert!(family.help.ends_with('.'), "{}", family.name);
    }
}

#[test]
fn how_long_results_wait_is_told_in_seconds() {
    let text = said(&Standing::default());
    assert!(text.contains("mailwright_settle_seconds_bucket{le=\"0.005\"} 4\n"), "{text}");
    assert!(text.contains("mailwright_settle_seconds_count 5\n"), "{text}");
    assert!(text.contains("mailwright_oldest_waiting_seconds{provider=\"google\"} 2.5\n"), "{text}");
    assert!(text.contains("mailwright_settled_total{outcome=\"sent\"} 5\n"), "{text}");
}

#[test]
fn small_domains_and_many_sources_share_a_series() {
    let mut paths: Vec<PathFigures> = (0..1_000).map(|n| path("a", &format!("d{n}.example"))).collect();
    paths.extend((0..SOURCES_MAX + 50).map(|n| path(&format!("s{n:04}"), "google")));
    let text = said(&Standing { paths, ..Standing::default() });
    let series = text.lines().filter(|line| line.starts_with("mailwright_connections{")).count();
    // The sources by themselves, all others as one, and the small domains of `a` as one.
    assert_eq!(series, SOURCES_MAX + 1);
    assert!(text.contains("mailwright_connections{source=\"a\",provider=\"other\"} 2000\n"), "{text}");
    assert!(text.contains("mailwright_connections{source=\"other\",provider=\"google\"} 102\n"), "{text}");
}

#[test]
fn exchanges_of_a_site_share_a_limit() {
    let mut second = path("a", "google");
    second.exchange = "other hosts".into();
    let text = said(&Standing { paths: vec![path("a", "google"), second], ..Standing::default() });
    assert!(text.contains("mailwright_connections_limit{source=\"a\",provider=\"google\"} 5\n"), "{text}");
    assert!(text.contains("mailwright_connections{source=\"a\",provider=\"google\"} 4\n"), "{text}");
}

#[test]
fn receivers_outside_the_table_end_together() {
    let (mut google, mut small) = (path("a", "google"), path("a", "small.example"));
    google.known = true;
    small.expected_end = Some(NOW_US + 2_000_000);
    let others_end = Some(NOW_US + 90_000_000);
    let text = said(&Standing { paths: vec![google, small], others_end, ..Standing::default() });
    for line in ["{source=\"a\",provider=\"other\"} 90\n", "{source=\"a\",provider=\"google\"} 7\n"] {
        assert!(text.contains(&format!("mailwright_expected_end_seconds{line}")), "{line}{text}");
    }
}

#[test]
fn limits_and_times_are_told_by_source_and_provider() {
    let mut second = path("a", "google");
    second.exchange = "other hosts".into();
    let mut free = path("b", "google");
    free.rate = None;
    let text = said(&Standing { paths: vec![path("a", "google"), second, free], ..Standing::default() });
    for line in [
        "mailwright_rate_limit{source=\"a\",provider=\"google\"} 2.5\n",
        "mailwright_expected_end_seconds{source=\"a\",provider=\"google\"} 7\n",
        "mailwright_due_messages{provider=\"google\"} 3\n",
        "mailwright_next_try_seconds{provider=\"google\"} 90\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    assert!(!text.contains("mailwright_rate_limit{source=\"b\""), "nothing limits it: {text}");
}

#[test]
fn what_kind_of_no_is_counted_by_provider() {
    let replies = vec![reply("google", "rate_limited", 3), reply("other", "spam_block", 4)];
    let text = said(&Standing { replies, ..Standing::default() });
    for line in [
        "mailwright_replies_total{provider=\"google\",category=\"rate_limited\"} 3\n",
        "mailwright_replies_total{provider=\"other\",category=\"spam_block\"} 4\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}

#[test]
fn paths_rest_for_a_cause() {
    let rest = |by: &str| Some(mta::Suspension { by: by.into(), ..Default::default() });
    let mut warm = path("a", "google");
    (warm.suspended, warm.warm_up) = (rest(""), Some((0, 50)));
    let mut told = path("a", "google");
    told.suspended = rest("ann");
    let mut blocked = path("a", "google");
    blocked.suspended = rest("");
    let paths = vec![warm, told, blocked, path("a", "google")];
    let text = said(&Standing { paths, ..Standing::default() });
    for (cause, count) in [("drain", 0), ("operator", 1), ("receiver", 1), ("warm_up", 1)] {
        let line = format!(
            "mailwright_paths_resting{{source=\"a\",provider=\"google\",cause=\"{cause}\"}} {count}\n"
        );
        assert!(text.contains(&line), "{line}{text}");
    }
}

#[test]
fn without_the_database_the_engine_is_told_all_the_same() {
    let standing = Standing { paths: vec![path("a", "google")], composed: 9, ..Standing::default() };
    let text = told(&standing, None);
    assert!(text.contains("mailwright_database_up 0\n") && text.contains("mailwright_composed_total 9\n"));
    assert!(!text.contains("mailwright_pending_messages"), "{text}");
}

fn read(path: &str) -> String {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&whole).unwrap_or_else(|error| panic!("{}: {error}", whole.display()))
}

/// Every string of a document.
fn strings<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(members) => members.values().for_each(|member| strings(member, found)),
        _ => {}
    }
}

/// The names in a text that could be of families; of a histogram's series the family's.
fn metric_names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let names = words.filter(|word| word.starts_with("mailwright_") || word.starts_with("process_"));
    names.map(|name| name.strip_suffix("_bucket").unwrap_or(name))
}

#[test]
fn the_dashboard_names_only_what_there_is_and_shows_all_of_it() {
    let board: Value = serde_json::from_str(&read("deploy/grafana/mailwright.json")).unwrap();
    let mut texts = Vec::new();
    strings(&board, &mut texts);
    let named: BTreeSet<&str> = texts.iter().flat_map(|text| metric_names(text)).collect();
    let there: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
    let wrong: Vec<_> = named.difference(&there).collect();
    assert!(wrong.is_empty(), "no such metric: {wrong:?}");
    let unseen: Vec<_> = there.difference(&named).collect();
    assert!(unseen.is_empty(), "no panel shows: {unseen:?}");
}

#[test]
fn the_dashboard_filters_by_labels_that_its_metrics_have() {
    let board: Value = serde_json::from_str(&read("deploy/grafana/mailwright.json")).unwrap();
    let mut texts = Vec::new();
    strings(&board, &mut texts);
    for text in texts {
        for (at, _) in text.match_indices('{') {
            let Some(name) = metric_names(text[..at].rsplit([' ', '(']).next().unwrap()).last() else {
                continue;
            };
            let Some(family) = FAMILIES.iter().find(|family| family.name == name) else { continue };
            let inside = text[at + 1..].split('}').next().unwrap();
            for label in inside.split(',').filter_map(|part| part.split(['=', '!']).next()) {
                let own = family.labels.contains(&label.trim()) || ["instance", "le"].contains(&label.trim());
                assert!(own, "{name} has no label {label}: {text}");
            }
        }
    }
}

#[test]
fn panels_stand_apart_and_have_an_id_and_a_title() {
    let board: Value = serde_json::from_str(&read("deploy/grafana/mailwright.json")).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        assert!(!panel["title"].as_str().unwrap().is_empty());
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{panel}");
        for y in place("y")..place("y") + place("h") {
            for x in place("x")..place("x") + place("w") {
                assert!(taken.insert((x, y)), "{} covers another panel", panel["title"]);
            }
        }
    }
}

#[test]
fn the_manual_names_every_metric() {
    let chapter = read("docs/watching.md");
    let named: BTreeSet<&str> = metric_names(&chapter).collect();
    let missing: Vec<_> =
        FAMILIES.iter().map(|family| family.name).filter(|name| !named.contains(name)).collect();
    assert!(missing.is_empty(), "docs/watching.md does not name {missing:?}");
    let wrong: Vec<_> =
        named.iter().filter(|name| !FAMILIES.iter().any(|family| family.name == **name)).collect();
    assert!(wrong.is_empty(), "docs/watching.md names what there is not: {wrong:?}");
}

#[test]
fn alerts_name_only_what_there_is() {
    let rules = read("deploy/prometheus/alerts.yml");
    for name in metric_names(&rules) {
        assert!(FAMILIES.iter().any(|family| family.name == name), "no such metric: {name}");
    }
}
