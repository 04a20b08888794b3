//! Who may do what, over the API and in the pages, and the lines that are written about it.

use ::access::{AuditFilter, Right, Rights};
use http::acts::{Need, all};
use reqwest::{Method, StatusCode, header::SET_COOKIE, redirect::Policy};
use serde_json::{Value, json};

use super::{
    house::{House, answer},
    pages::Browser,
};

const FORM: &str = "application/x-www-form-urlencoded";

/// A path as somebody asks for it: the things named do not exist, so that what is allowed comes to nothing.
fn asked(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "77" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Everybody there can be: no right, and each alone.
async fn people(house: &House) -> Vec<(Rights, String, String)> {
    let mut people = Vec::new();
    let rights = std::iter::once(Rights::NONE).chain(Right::ALL.map(|right| Rights::of([right])));
    for (at, rights) in rights.enumerate() {
        let (cookie, token) = house.user(&format!("user{at}"), rights).await;
        people.push((rights, cookie, token));
    }
    people
}

#[tokio::test(flavor = "multi_thread")]
async fn each_right_opens_its_own_doors_of_the_api_and_no_other() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let people = people(&house).await;
        for act in all().filter(|act| act.path.starts_with("/api/")) {
            let method = Method::from_bytes(act.method.as_bytes()).unwrap();
            for (rights, _, token) in &people {
                let request = house.anonymous(method.clone(), &asked(act.path)).bearer_auth(token);
                let (status, said) = answer(request).await;
                let refused = status == StatusCode::FORBIDDEN && said["code"] == "right";
                let Need::Right(right) = act.need else {
                    assert!(!refused, "{} {}: {said}", act.method, act.path);
                    continue;
                };
                assert_eq!(
                    refused,
                    !rights.may(right),
                    "{} {} with {:?}: {said}",
                    act.method,
                    act.path,
                    rights.names()
                );
                assert!(!refused || said["right"] == right.name(), "{said}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_right_opens_its_own_pages_and_no_other() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let people = people(&house).await;
        let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        for act in all().filter(|act| !act.path.starts_with("/api/")) {
            let method = Method::from_bytes(act.method.as_bytes()).unwrap();
            let url = format!("http://{}{}", house.address, asked(act.path));
            let ask = |cookie: &str| {
                let request = client.request(method.clone(), &url).header("sec-fetch-site", "same-origin");
                request.header("cookie", cookie).header("content-type", FORM).body("x=y").send()
            };
            let nobody = ask("").await.unwrap();
            if let Need::Right(_) = act.need {
                assert_eq!(nobody.status(), StatusCode::SEE_OTHER, "{} {}", act.method, act.path);
                assert!(
                    nobody.headers()["location"].to_str().unwrap().starts_with("/sign-in"),
                    "{}",
                    act.path
                );
            }
            // A sign-out would end the sessions that the rest needs.
            for (rights, cookie, _) in people.iter().filter(|_| act.path != "/sign-out") {
                let answer = ask(cookie).await.unwrap();
                let status = answer.status();
                let words = answer.text().await.unwrap();
                let refused = status == StatusCode::FORBIDDEN && words.contains("You need the right");
                let wanted = matches!(act.need, Need::Right(right) if !rights.may(right));
                assert_eq!(
                    refused,
                    wanted,
                    "{} {} with {:?}: {status}",
                    act.method,
                    act.path,
                    rights.names()
                );
            }
        }
        for (rights, cookie, _) in &people {
            for step in ["url", "domain", "sending", "list"] {
                let url = format!("http://{}/setup/{step}", house.address);
                let status = client.get(&url).header("cookie", cookie).send().await.unwrap().status();
                assert_eq!(
                    status == StatusCode::FORBIDDEN,
                    !rights.administer,
                    "{step} {:?}",
                    rights.names()
                );
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_is_gone_at_once() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let (cookie, token) = house.user("anna", Rights::DAILY).await;
        let make = |name: &str| {
            let list = json!({"name": name});
            answer(house.anonymous(Method::POST, "/api/v1/lists").bearer_auth(&token).json(&list))
        };
        assert_eq!(make("one").await.0, StatusCode::CREATED);
        let changed = house.send(Method::PATCH, "/users/anna", json!({"rights": ["prepare"]})).await;
        assert_eq!((changed.0, &changed.1["rights"]), (StatusCode::OK, &json!(["prepare"])));
        let (status, problem) = make("two").await;
        assert_eq!(
            (status.as_u16(), &problem["right"]),
            (403, &json!("import")),
            "a token has its owner's rights"
        );
        let page = house
            .anonymous(Method::POST, "/lists")
            .header("cookie", &cookie)
            .header("content-type", FORM)
            .body("name=three");
        assert_eq!(page.send().await.unwrap().status(), StatusCode::FORBIDDEN);
        assert_eq!(house.get("/lists").await.1["items"].as_array().unwrap().len(), 1);
        let wrong = house.send(Method::PATCH, "/users/anna", json!({"rights": ["everything"]})).await;
        assert_eq!((wrong.0.as_u16(), &wrong.1["field"]), (422, &json!("rights")));
        let last = house.send(Method::PATCH, "/users/admin", json!({"rights": []})).await;
        assert_eq!(last.0, StatusCode::CONFLICT, "somebody administers: {}", last.1);
    })
    .await;
}

async fn lines(house: &House) -> Vec<String> {
    let lines = house.state.access.audit_lines(&AuditFilter::default(), None, 100).await.unwrap();
    let mut text: Vec<String> = lines
        .into_iter()
        .map(|l| format!("{} {} {} {}", l.actor, l.action, l.subject, l.detail).trim().to_owned())
        .collect();
    text.reverse();
    text
}

/// Things that have a name and no number, and those whose page goes on to the list of all.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_added_is_named() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        house.post("/domains", json!({"domain": "shop.example"})).await;
        house.post("/sources", json!({"name": "out-1"})).await;
        for (page, fields) in [
            ("/domains", &[("domain", "News.example")][..]),
            ("/sending/sources/new", &[("name", "out-2"), ("pools", "second")]),
            (
                "/sending/warm-ups/new",
                &[
                    ("source", "out-2"),
                    ("provider", "google"),
                    ("start", "2026-12-01"),
                    ("days", "50 100"),
                    ("overflow", "wait"),
                ],
            ),
            ("/blocks/new", &[("name", "greeting"), ("html", "<p>Hello</p>")]),
            ("/lists", &[("name", "Autumn")]),
            ("/services", &[("name", "Letters")]),
        ] {
            let sent = browser.post(page, fields).await;
            assert_eq!(sent.status, StatusCode::SEE_OTHER, "{page}: {}", sent.text);
        }
        let lines = lines(&house).await;
        for wanted in [
            "local domain.add shop.example",
            "local source.add out-1",
            "admin domain.add news.example",
            "admin source.add out-2",
            "admin warm_up.save out-2 google",
            "admin block.save greeting",
            "admin list.create 1 Autumn",
            "admin service.create 1 Letters",
        ] {
            assert!(lines.iter().any(|line| line == wanted), "{wanted}: {lines:#?}");
        }
        assert!(browser.get("/audit?action=source.add").await.text.contains("out-1"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_written_once_and_what_was_refused_is_not() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let (cookie, token) = house.user("anna", Rights::DAILY).await;
        let before = lines(&house).await.len();
        let as_anna =
            |method, path: &str| house.anonymous(method, &format!("/api/v1{path}")).bearer_auth(&token);
        let list = answer(as_anna(Method::POST, "/lists").json(&json!({"name": "news"}))).await.1;
        answer(as_anna(Method::POST, "/lists").json(&json!({"name": "news"}))).await;
        let id = list["id"].as_str().unwrap();
        let recipient = json!({"email": "ada@x.example", "first_name": "Ada"});
        let made = answer(as_anna(Method::POST, "/recipients").json(&recipient)).await.1;
        answer(as_anna(Method::PATCH, "/recipients/ada@x.example").json(&json!({"city": "Rome"}))).await;
        answer(as_anna(Method::POST, "/quarantine").json(&json!({"email": "bob@x.example"}))).await;
        answer(as_anna(Method::DELETE, "/quarantine/bob@x.example")).await;
        for _ in 0..2 {
            let draft = json!({"definition": {"label": "October", "subject": "Hello"}});
            let request = as_anna(Method::POST, "/deliveries").header("idempotency-key", "k").json(&draft);
            assert_eq!(answer(request).await.0, StatusCode::CREATED);
        }
        for subject in ["One", "Two"] {
            let edit = json!({"definition": {"label": "October", "subject": subject}});
            assert_eq!(answer(as_anna(Method::PATCH, "/deliveries/1").json(&edit)).await.0, StatusCode::OK);
        }
        let page = house.anonymous(Method::POST, &format!("/lists/{id}/rename")).header("cookie", &cookie);
        let renamed = page
            .header("sec-fetch-site", "same-origin")
            .header("content-type", FORM)
            .body("name=weekly")
            .send()
            .await;
        assert_eq!(renamed.unwrap().status(), StatusCode::OK);
        let ada = made["id"].as_str().unwrap();
        let written = lines(&house).await.split_off(before);
        assert_eq!(
            written,
            [
                format!("anna list.create {id} news"),
                format!("anna recipient.create {ada}"),
                "anna recipient.edit (an address)".to_owned(),
                "anna quarantine.add".to_owned(),
                "anna quarantine.release (an address)".to_owned(),
                "anna delivery.create 1 October".to_owned(),
                "anna delivery.edit 1".to_owned(),
                format!("anna list.rename {id} weekly"),
            ]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_read_by_administrators_filtered_and_as_a_file() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        house.post("/users", json!({"name": "=cmd()", "rights": ["import", "start"]})).await;
        house.post("/lists", json!({"name": "news"})).await;
        let (_, page) = house.get("/audit?action=user.&limit=1").await;
        let line = &page["items"][0];
        assert_eq!((&line["actor"], &line["action"]), (&json!("local"), &json!("user.add")));
        assert_eq!((&line["subject"], &line["detail"]), (&json!("=cmd()"), &json!("import, start")));
        let next = page["next"].as_str().unwrap();
        let (_, more) = house.get(&format!("/audit?action=user.&limit=1&cursor={next}")).await;
        assert_eq!(more["items"][0]["subject"], "admin");
        assert_eq!(house.get("/audit?until=2020-01-01T00:00:00Z").await.1["items"], json!([]));
        assert_eq!(house.get("/audit?from=soon").await.1["field"], "from");
        let file = house.request(Method::GET, "/api/v1/audit.csv?actor=local").send().await.unwrap();
        assert_eq!(file.headers()["content-type"], "text/csv; charset=utf-8");
        let text = file.text().await.unwrap();
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[0], "id,at,actor,action,subject,detail");
        assert!(rows[1].ends_with(",local,audit.export,,"), "the download is part of what it says: {text}");
        assert!(rows[2].ends_with(",local,list.create,1,news"), "{text}");
        assert!(
            rows[3].ends_with(",local,user.add,'=cmd(),\"import, start\""),
            "no spreadsheet runs it: {text}"
        );
        assert_eq!(house.get("/audit?limit=1").await.1["items"][0]["action"], "audit.export");
        let (cookie, _) = house.user("anna", Rights::DAILY).await;
        for path in ["/audit", "/audit.csv", "/settings/users"] {
            let refused = house.anonymous(Method::GET, path).header("cookie", &cookie).send().await.unwrap();
            assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{path}");
            assert!(refused.headers().get(SET_COOKIE).is_none());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_without_a_row_is_not_there() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let (status, problem) = house.send(Method::PUT, "/lists", Value::Null).await;
        assert_eq!((status, &problem["code"]), (StatusCode::METHOD_NOT_ALLOWED, &json!("method")));
    })
    .await;
}
