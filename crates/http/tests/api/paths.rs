//! Paths over REST, on their pages, and as metrics: from an engine that stands as the test says.

use http::paths::Standing;
use mta::{Action, PathFigures, Suspension, TopReply};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{
    house::{House, answer},
    pages::Browser,
};

/// Two sources at Gmail, one of them blocked; and a small domain.
pub(super) fn standing(now_us: i64) -> Standing {
    let path = |source: &str, site: &str| PathFigures {
        source: source.into(),
        site: site.into(),
        exchange: format!("mx.{site}"),
        connections_limit: 5,
        ..PathFigures::default()
    };
    let fine = PathFigures {
        connections: 3,
        waiting: 120,
        accepted_per_second: 12.5,
        accepted: 4_000,
        deferred: 40,
        deferral_share: 0.01,
        replies: vec![TopReply {
            text: "250 2.0.0 OK # - gsmtp".into(),
            count: 4_000,
            ..TopReply::default()
        }],
        ..path("mta-a", "google")
    };
    let rest = Suspension {
        until_us: Some(now_us + 600_000_000),
        reason: "421 4.7.28 unusual <rate>".into(),
        by: String::new(),
    };
    let blocked = PathFigures { waiting: 30, suspended: Some(rest), ..path("mta-b", "google") };
    let small = PathFigures { connections: 1, ..path("mta-a", "shop.example") };
    let replies = vec![mta::ReplyCount { provider: "yahoo".into(), category: "spam_block", count: 7 }];
    Standing {
        paths: vec![small, fine, blocked],
        connections: 4,
        composed: 4_100,
        claimed_bytes: 9_000,
        replies,
        others_end: None,
    }
}

fn stand(house: &House) {
    *house.standing.lock().unwrap() = standing(house.state.clock.now_us());
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_are_listed_by_what_they_have_to_do() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        assert_eq!(house.get("/paths").await.1["items"], json!([]));
        stand(&house);
        let (status, all) = house.get("/paths").await;
        assert_eq!(status, StatusCode::OK);
        let sources: Vec<_> = all["items"].as_array().unwrap().iter().map(|path| &path["source"]).collect();
        assert_eq!(sources, ["mta-a", "mta-b", "mta-a"]);
        assert_eq!((&all["paths"], &all["connections"]), (&json!(3), &json!(4)));
        assert_eq!(all["others_expected_end"], json!(null), "nothing waits for small domains");
        let rest = &all["items"][1]["suspended"];
        assert_eq!(rest["reason"], "421 4.7.28 unusual <rate>");
        assert!(rest["until"].as_str().unwrap().ends_with('Z'));
        let some = house.get("/paths?site=google&source=mta-b").await.1;
        assert_eq!(some["items"].as_array().unwrap().len(), 1);

        let google = house.get("/paths/google").await.1;
        assert_eq!((&google["connections"], &google["connections_limit"]), (&json!(3), &json!(10)));
        assert_eq!((&google["resting"], &google["loaded"]), (&json!(1), &json!(150)));
        assert_eq!(google["items"].as_array().unwrap().len(), 2);
        assert_eq!(
            house.get("/paths/yahoo").await.1["paths"],
            0,
            "a known provider without work is no fault"
        );
        assert_eq!(house.get("/paths/nowhere").await.0, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_paths_and_why_they_rest() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        assert!(browser.get("/sending/paths").await.text.contains("No path is in use"));
        stand(&house);
        let page = browser.get("/sending/paths").await.text;
        assert!(page.contains("Gmail") && page.contains("shop.example") && page.contains("Partly at rest"));
        assert!(page.contains("421 4.7.28 unusual") && !page.contains("<rate>"), "{page}");
        let found = browser.get("/sending/paths?q=gmail").await.text;
        assert!(found.contains("Gmail") && !found.contains("shop.example"));
        assert!(browser.get("/sending/paths?q=zzz").await.text.contains("No receiver of this name"));
        let site = browser.get("/sending/paths/google").await.text;
        assert!(site.contains("mta-a") && site.contains("mta-b") && site.contains("250 2.0.0 OK # - gsmtp"));
        assert_eq!(browser.get("/sending/paths/quiet.example").await.status, StatusCode::OK);
        assert_eq!(browser.get("/sending/paths/nowhere").await.status, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_goes_on_by_itself() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let browser = Browser::signed_in(&house).await;
        stand(&house);
        for path in ["/sending/paths/stream?q=gmail", "/sending/paths/google/stream"] {
            let request = browser.client.get(format!("{}{path}", browser.base));
            let mut answer = request.header("cookie", browser.cookie()).send().await.unwrap();
            assert_eq!(answer.headers()["content-type"], "text/event-stream", "{path}");
            let mut text = String::new();
            while !text.contains("\n\n") {
                text.push_str(&String::from_utf8_lossy(&answer.chunk().await.unwrap().unwrap()));
            }
            assert!(text.starts_with("data: ") && text.contains("12.5"), "{path}: {text}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_for_this_machine_and_for_those_who_sign_in() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        stand(&house);
        let here = house.anonymous(Method::GET, "/metrics").send().await.unwrap();
        assert_eq!(here.status(), StatusCode::OK);
        assert!(here.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
        let text = here.text().await.unwrap();
        assert!(text.contains("mailwright_connections{source=\"mta-a\",provider=\"google\"} 3\n"), "{text}");
        assert!(text.contains("mailwright_connections{source=\"mta-a\",provider=\"other\"} 1\n"), "{text}");
        assert!(
            text.contains(
                "mailwright_paths_resting{source=\"mta-b\",provider=\"google\",cause=\"receiver\"} 1\n"
            ),
            "{text}"
        );
        let replies = "mailwright_replies_total{provider=\"yahoo\",category=\"spam_block\"} 7\n";
        assert!(text.contains(replies), "{text}");
        assert!(text.contains("mailwright_database_up 1\n") && !text.contains("shop.example"), "{text}");

        for (name, value) in [("x-forwarded-for", "192.0.2.1"), ("host", "evil.example")] {
            let asked = house.anonymous(Method::GET, "/metrics").header(name, value);
            assert_eq!(answer(asked).await.0, StatusCode::UNAUTHORIZED, "{name}");
        }
        let wrong = house.anonymous(Method::GET, "/metrics").bearer_auth("mw_wrong");
        assert_eq!(answer(wrong).await.0, StatusCode::UNAUTHORIZED);
        let (_, token) = house.user("prometheus", ::access::Rights::NONE).await;
        let asked =
            house.anonymous(Method::GET, "/metrics").bearer_auth(token).header("host", "10.0.0.5:8025");
        assert_eq!(asked.send().await.unwrap().status(), StatusCode::OK, "a token needs no name of ours");
        let elsewhere = house.public(Method::GET, "/metrics").send().await.unwrap();
        assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND, "the public door has none");
    })
    .await;
}

/// Each action over REST and by its form, as the engine hears it.
#[tokio::test(flavor = "multi_thread")]
async fn operators_tell_the_engine_what_to_do() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        let until = "2100-01-01T00:00:00Z";
        let body = json!({"source": "mta-a", "until": until, "reason": "blocked"});
        assert_eq!(house.post("/paths/google/suspend", body).await.0, StatusCode::OK);
        let refused = house.post("/paths/google/suspend", json!({"reason": ""})).await;
        assert_eq!((refused.0, &refused.1["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("reason")));
        let past = json!({"until": "2020-01-01T00:00:00Z", "reason": "x"});
        assert_eq!(house.post("/paths/google/suspend", past).await.1["field"], "until");
        for action in ["resume", "drain", "forget"] {
            let (status, said) = house.post(&format!("/paths/google/{action}"), json!({})).await;
            assert_eq!(status, StatusCode::OK, "{action}: {said}");
        }
        assert_eq!(house.post("/paths/google/retry-now", json!({})).await.1, json!({"messages": 0}));
        let heard = std::mem::take(&mut *house.orders.lock().unwrap());
        let (site, by) = ("google".to_owned(), "local".to_owned());
        let suspended = Action::Suspend {
            source: Some("mta-a".into()),
            site: site.clone(),
            until_us: Some(4_102_444_800_000_000),
            reason: "blocked".into(),
            by: by.clone(),
        };
        let resumed = Action::Resume { source: None, site: site.clone(), by: by.clone() };
        let drained = Action::Drain { source: None, site: site.clone(), reason: String::new(), by };
        let forgotten = Action::Forget { source: None, site: site.clone() };
        assert_eq!(heard, [suspended, resumed, drained, forgotten, Action::RetryNow { site }]);

        let fields = [("source", "mta-b"), ("how_long", "60"), ("reason", "<too much>")];
        let sent = browser.post("/sending/paths/yahoo/suspend", &fields).await;
        assert_eq!(sent.location, "/sending/paths/yahoo?done=path-suspended", "{}", sent.text);
        assert!(browser.get(&sent.location).await.text.contains("Suspended."));
        let heard = house.orders.lock().unwrap().pop().unwrap();
        let Action::Suspend { source, site, by, .. } = heard else { panic!("{heard:?}") };
        assert_eq!((source.as_deref(), site.as_str(), by.as_str()), (Some("mta-b"), "yahoo", "admin"));
        let hurried = browser.post("/sending/paths/yahoo/retry-now", &[]).await.location;
        assert!(browser.get(&hurried).await.text.contains("Nothing was waiting for a later try."));

        let lines = house.get("/audit?action=path.suspend").await.1;
        let subjects: Vec<_> =
            lines["items"].as_array().unwrap().iter().map(|line| &line["subject"]).collect();
        assert_eq!(subjects, ["yahoo", "google"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_undone_wants_the_name() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        let refused = browser.post("/sending/paths/google/drop", &[("name", "yahoo")]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        let dropped = browser.post("/sending/paths/google/drop", &[("name", "Google")]).await;
        assert!(dropped.location.starts_with("/sending/paths/google?n=0"), "{}", dropped.location);
        assert!(browser.get(&dropped.location).await.text.contains("Nothing was waiting."));
        assert_eq!(
            house.post("/paths/google/drop", json!({})).await.1,
            json!({"messages": 0, "under_way": 0})
        );
        assert_eq!(house.get("/waiting").await.1["items"], json!([]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_told_as_it_comes_and_written_down() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let browser = Browser::signed_in(&house).await;
        let asked =
            house.request(Method::GET, "/api/v1/paths/google/trace?connections=2").send().await.unwrap();
        let lines = asked.text().await.unwrap();
        let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        let wanted = json!({"at": "1970-01-01T00:00:00.000001Z", "connection": 2, "kind": "note",
            "text": "connected to mx.google"});
        assert_eq!(first, wanted);
        assert_eq!(house.get("/paths/google/trace?connections=99").await.1["field"], "connections");
        let url = format!("{}/sending/paths/google/trace/stream", browser.base);
        let request = browser.client.get(url).header("cookie", browser.cookie());
        let stream = request.send().await.unwrap().text().await.unwrap();
        assert!(stream.contains("EHLO &#60;b&#62;") && stream.contains("event: over"), "{stream}");
        let lines = house.get("/audit?action=path.trace").await.1;
        assert_eq!(lines["items"].as_array().unwrap().len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_are_set_shown_and_lifted() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        assert!(browser.get("/sending/verdicts").await.text.contains("Nothing is held up"));
        let new = json!({"identity": "source:out-9", "provider": "google", "action": "slow",
            "percent": 25, "reason": "low reputation"});
        let (status, made) = house.post("/verdicts", new).await;
        assert_eq!((status, &made["percent"]), (StatusCode::CREATED, &json!(25)));
        let bad = json!({"identity": "people:x", "action": "suspend", "reason": "x"});
        assert_eq!(house.post("/verdicts", bad).await.1["field"], "identity");
        let half = json!({"identity": "domain:shop.example", "action": "slow", "percent": 50, "reason": "x"});
        assert_eq!(house.post("/verdicts", half).await.1["field"], "action");
        let page = browser.get("/sending/verdicts").await.text;
        assert!(page.contains("out-9") && page.contains("low reputation") && page.contains("25 %"));
        assert!(browser.get("/sending/paths/google").await.text.contains("low reputation"));
        let fields =
            [("kind", "url"), ("subject", "t.shop.example"), ("action", "suspend"), ("reason", "spam")];
        assert_eq!(browser.post("/sending/verdicts", &fields).await.location, "/sending/verdicts?done=saved");
        let fields =
            [("kind", "url"), ("subject", ""), ("action", "slow"), ("percent", "half"), ("reason", "<x>")];
        let refused = browser.post("/sending/verdicts", &fields).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.text.contains("1 to 99") && refused.text.contains("&#60;x&#62;"));

        let all = house.get("/verdicts").await.1;
        assert_eq!(all["items"].as_array().unwrap().len(), 2);
        let lifted = house.send(Method::DELETE, "/verdicts/source:out-9?provider=google", json!({})).await;
        assert_eq!(lifted.0, StatusCode::NO_CONTENT, "{}", lifted.1);
        let fields = [("identity", "url:t.shop.example"), ("provider", "")];
        assert_eq!(
            browser.post("/sending/verdicts/lift", &fields).await.location,
            "/sending/verdicts?done=lifted"
        );
        assert_eq!(house.get("/verdicts").await.1["items"], json!([]));
        let changes = browser.get("/sending/changes").await.text;
        assert!(changes.contains("source:out-9 google") && changes.contains("Taken back."), "{changes}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_changed_by_a_form_and_taken_back() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        let list = browser.get("/sending/limits").await.text;
        assert!(list.contains("Gmail") && list.contains("All other domains"));
        let fields = [("connections", "3"), ("message_rates", "100/min 2000/h"), ("tls", "")];
        let saved = browser.post("/sending/limits/google", &fields).await;
        assert_eq!(saved.location, "/sending/limits/google?done=saved", "{}", saved.text);
        let rules = house.state.routes.rules().rules_of("google");
        assert_eq!((rules.connections, rules.message_rates.len()), (3, 2));
        let form = browser.get("/sending/limits/google").await.text;
        assert!(form.contains("value=\"100/min 2000/h\"") && form.contains("Who changed what"), "{form}");
        for (field, value) in [("connections", "many"), ("connections", "0"), ("message_rates", "fast")] {
            let refused = browser.post("/sending/limits/google", &[(field, value)]).await;
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}");
            assert!(refused.text.contains("aria-invalid") && refused.text.contains(value), "{field}");
        }
        let found = browser.get("/sending/limits?name=google%40cold-*").await;
        assert_eq!(found.location, "/sending/limits/google%40cold-*");
        assert_eq!(
            browser.post(&found.location, &[("connections", "1")]).await.status,
            StatusCode::SEE_OTHER
        );
        assert_eq!(house.state.routes.rules().providers.rules_from("google", "cold-1").connections, 1);
        assert!(browser.get("/sending/limits").await.text.contains("google@cold-*"));
        let back = browser.post("/sending/limits/google/reset", &[]).await;
        assert_eq!(back.location, "/sending/limits/google?done=reset");
        assert_ne!(house.state.routes.rules().rules_of("google").connections, 3);
        assert_eq!(browser.get("/sending/limits?name=a%20b").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_pools_and_warm_ups_by_their_forms() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        house.state.routes.put_source(routes::Source::first("a.example"), "test", 1).await.unwrap();
        let mut browser = Browser::signed_in(&house).await;
        let fields = [
            ("name", "mta-b"),
            ("address", "192.0.2.7"),
            ("pools", "default, bulk"),
            ("weight", "3"),
            ("enabled", "1"),
        ];
        let saved = browser.post("/sending/sources/new", &fields).await;
        assert_eq!(saved.location, "/sending/sources?done=saved", "{}", saved.text);
        let again = browser.post("/sending/sources/new", &fields).await;
        assert_eq!(again.status, StatusCode::CONFLICT);
        let page = browser.get("/sending/sources").await.text;
        assert!(page.contains("192.0.2.7") && page.contains("mta-b 75.0 %"), "{page}");
        let refused = browser.post("/sending/sources/mta-b", &[("address", "here")]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(
            refused.text.contains("The address must be IPv4 or IPv6")
                && refused.text.contains("value=\"here\"")
        );

        let today = today_in_utc(house.state.clock.now_us());
        let fields = [
            ("source", "mta-b"),
            ("provider", "google"),
            ("start", today.as_str()),
            ("days", "50 100 250"),
            ("overflow", "wait"),
        ];
        let saved = browser.post("/sending/warm-ups/new", &fields).await;
        assert_eq!(saved.location, "/sending/warm-ups?done=saved", "{}", saved.text);
        let page = browser.get("/sending/warm-ups").await.text;
        assert!(page.contains("mta-b") && page.contains("Gmail") && page.contains("of 50"), "{page}");
        assert_eq!(browser.post("/sending/warm-ups/new", &fields).await.status, StatusCode::CONFLICT);
        let form = browser.get("/sending/warm-ups/mta-b/google").await.text;
        assert!(form.contains("50 100 250"));
        let gone = browser.post("/sending/warm-ups/mta-b/google/delete", &[]).await;
        assert_eq!(gone.location, "/sending/warm-ups?done=deleted");
        let gone = browser.post("/sending/sources/mta-b/delete", &[]).await;
        assert_eq!(gone.location, "/sending/sources?done=deleted");
        let last = browser.post("/sending/sources/default/delete", &[]).await;
        assert_eq!(last.status, StatusCode::UNPROCESSABLE_ENTITY, "the last one stays");
        let changes = browser.get("/sending/changes").await.text;
        assert!(changes.contains("mta-b google") && changes.contains("192.0.2.7"));
    })
    .await;
}

/// Today's date in UTC, as a date field has it.
fn today_in_utc(now_us: i64) -> String {
    jiff::Timestamp::from_microsecond(now_us).unwrap().strftime("%Y-%m-%d").to_string()
}
