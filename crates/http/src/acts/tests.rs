//! The table against the routers.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{api, web};

/// The routes of a router, as `METHOD path`. Routers tell what they know only in their Debug text: each route's methods,
/// and under the same number its path.
fn routes(router: &axum::Router<AppState>, prefix: &str) -> BTreeSet<String> {
    let text = format!("{router:?}");
    let own = text.split("fallback_router").next().unwrap();
    let (routes, paths) = own.split_once("paths: {").expect("how a router shows itself has changed");
    let entries = |text: &'static str, part: &str| -> BTreeMap<String, String> {
        let split = part.split("RouteId(").skip(1).filter_map(|entry| entry.split_once(text));
        split.map(|(number, rest)| (number.to_owned(), rest.to_owned())).collect()
    };
    let mut found = BTreeSet::new();
    let paths = entries("): \"", paths);
    for (number, methods) in entries("): MethodRouter(MethodRouter ", routes) {
        let path = paths[&number].split('"').next().unwrap();
        for method in ["get", "put", "post", "patch", "delete"] {
            if !methods.contains(&format!(" {method}: None,")) {
                found.insert(format!("{} {prefix}{path}", method.to_uppercase()));
            }
        }
    }
    found
}

fn all_routes() -> BTreeSet<String> {
    let answers = api::idempotency::Answers::new(|| 0);
    let mut all = routes(&api::resources(answers), "/api/v1");
    all.append(&mut routes(&web::pages(), ""));
    assert!(all.len() > 150, "how a router shows itself has changed: {all:?}");
    all
}

#[test]
fn every_route_that_changes_something_names_a_right_and_a_line() {
    let rows: BTreeSet<String> = all().map(|act| format!("{} {}", act.method, act.path)).collect();
    let missing: Vec<_> = all_routes()
        .into_iter()
        .filter(|route| !route.starts_with("GET ") && !rows.contains(route))
        .collect();
    assert!(
        missing.is_empty(),
        "add a row to acts/api.rs or acts/pages.rs (nobody gets in before): {missing:#?}"
    );
}

#[test]
fn every_row_is_a_route_and_stands_once() {
    let routes = all_routes();
    let mut seen = BTreeSet::new();
    for act in all() {
        let route = format!("{} {}", act.method, act.path);
        assert!(routes.contains(&route), "{route} is no route");
        assert!(seen.insert(route.clone()), "{route} stands twice");
    }
}

/// Rows that write nothing, with the reason. Whoever adds one says why here.
const UNWRITTEN: &[(&str, &str)] = &[
    ("/api/v1/segments/count", "counts"),
    ("/api/v1/domains/{domain}/check", "asks DNS"),
    ("/api/v1/deliveries/push/known", "compares hashes"),
    ("/api/v1/deliveries/{id}/presence", "who has an editor open is forgotten in a minute"),
    ("/api/v1/deliveries/{id}/verify", "counts"),
    ("/api/v1/notices/read", "one's own notices"),
    ("/notices/read", "one's own notices"),
    ("/deliveries/{id}/content/presence", "who has an editor open is forgotten in a minute"),
    ("/api/v1/typology-rules/try", "tries, and keeps nothing"),
    ("/blocks/live", "shows what was typed"),
    ("/deliveries/{id}/target/estimate", "counts"),
    ("/typologies/rules/try", "tries, and keeps nothing"),
    ("/segments/count", "counts"),
];

#[test]
fn what_changes_something_leaves_a_line() {
    for act in all().filter(|act| act.method != "GET") {
        let reason = UNWRITTEN.iter().any(|(path, _)| *path == act.path);
        assert_eq!(act.line == Line::Nothing, reason, "{} {}", act.method, act.path);
    }
}

#[test]
fn who_may_nothing_changes_nothing_but_their_own() {
    const OWN: &[&str] =
        &["/account/", "/settings/tokens", "/sign-", "/setup/", "/api/v1/me", "/api/v1/tokens"];
    for act in all().filter(|act| act.method != "GET" && !matches!(act.need, Need::Right(_))) {
        let own = OWN.iter().any(|start| act.path.starts_with(start)) || act.path.starts_with("/password/");
        assert!(own || act.line == Line::Nothing, "{} {}", act.method, act.path);
    }
}

#[test]
fn actions_are_a_room_and_a_verb() {
    for act in all() {
        let (Line::Written(action) | Line::Merged(action)) = act.line else { continue };
        let (room, verb) = action.split_once('.').unwrap();
        let plain = |word: &str| {
            !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'_')
        };
        assert!(plain(room) && plain(verb), "{action}");
    }
}

#[test]
fn an_address_in_a_path_is_not_written_down() {
    assert_eq!(unaddressed("anna@x.example"), "(an address)");
    assert_eq!(unaddressed("17"), "17");
}
