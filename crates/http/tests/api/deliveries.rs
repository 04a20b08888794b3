//! A delivery from its folder to confirmed, paused, stopped, recounted.

use reqwest::{Method, StatusCode, multipart};
use serde_json::{Value, json};

use crate::house::{House, answer};

const TOML: &str = "label = \"October\"\nsubject = \"{{ first_name | default('Hello') }}, news\"\n\n[sender]\n\
                    name = \"Shop\"\naddress = \"news@shop.example\"\n\n[target]\ninclude = [{ list = \"news\" }]\n";
const HTML: &str = "<p>Dear {{ first_name | default('customer') }}</p><p>A few words about the season, so that there is \
                    something to read.</p><a href=\"{{ unsubscribe_url }}\">Unsubscribe</a>";

async fn ready_house(store: store::Store) -> House {
    let house = House::build(store).await;
    let added = house.post("/domains", json!({"domain": "shop.example"})).await;
    assert_eq!(added.0, StatusCode::CREATED, "{}", added.1);
    house.import("list=news", "email,first_name\nann@x.example,Ann\nbob@y.example,\n").await;
    house
}

async fn push(house: &House, toml: &str, html: &str) -> (StatusCode, Value) {
    house
        .post(
            "/deliveries/push",
            json!({"origin": "/o", "files": {"delivery.toml": toml, "content.html": html}}),
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_folder_to_stopped() {
    store::testing::each(|store| async move {
        let house = ready_house(store).await;
        let (status, pushed) = push(&house, TOML, HTML).await;
        assert_eq!(status, StatusCode::OK, "{pushed}");
        let id = pushed["id"].as_str().unwrap().to_owned();
        assert_eq!(
            push(&house, TOML, "<p>other {{ unsubscribe_url }}").await.1["id"],
            json!(id),
            "the same draft"
        );
        push(&house, TOML, HTML).await;

        let preview =
            house.get(&format!("/deliveries/{id}/preview?recipient=ann@x.example&part=html")).await.1;
        assert_eq!(preview["subject"], "Ann, news");
        assert!(preview["content"].as_str().unwrap().contains("Dear Ann"), "{preview}");

        let confirm = format!("/deliveries/{id}/confirm");
        assert_eq!(
            house.post(&confirm, json!({})).await.0,
            StatusCode::CONFLICT,
            "not before it is analysed"
        );
        let analysis = house.analyse(&id).await;
        assert_eq!(analysis["state"], "ready", "{analysis}");
        assert_eq!((&analysis["target"], &analysis["to_deliver"]), (&json!(2), &json!(2)));
        let other = house.post(&confirm, json!({"snapshot": "0000"})).await;
        assert_eq!(other.0, StatusCode::CONFLICT, "another snapshot");
        let snapshot = json!({"snapshot": analysis["snapshot"]});
        let send = || {
            let request = house.request(Method::POST, &format!("/api/v1{confirm}"));
            answer(request.header("idempotency-key", "once").json(&snapshot))
        };
        let (status, confirmed) = send().await;
        assert_eq!((status, &confirmed["to_deliver"]), (StatusCode::OK, &json!(2)), "{confirmed}");
        assert_eq!(send().await, (status, confirmed), "the same key: the same answer");
        assert_eq!(house.post(&confirm, json!({})).await.0, StatusCode::CONFLICT, "no second time");

        sums_agree(&house.get(&format!("/deliveries/{id}/status")).await.1);
        assert_eq!(house.post(&format!("/deliveries/{id}/pause"), json!({})).await.1["state"], "paused");
        house.post(&format!("/deliveries/{id}/resume"), json!({})).await;
        let stopped = house.post(&format!("/deliveries/{id}/stop"), json!({})).await.1;
        assert_eq!(stopped, json!({"state": "stopped", "sent": 0, "in_flight": 0, "cancelled": 2}));
        let verified = house.post(&format!("/deliveries/{id}/verify"), json!({})).await.1;
        assert_eq!(verified["ok"], true, "{verified}");
        log_and_source(&house, &id).await;
    })
    .await;
}

fn sums_agree(status: &Value) {
    let sum = |object: &Value| object.as_object().unwrap().values().map(|n| n.as_i64().unwrap()).sum::<i64>();
    assert_eq!(
        status["target"].as_i64().unwrap(),
        sum(&status["excluded"]) + sum(&status["messages"]),
        "{status}"
    );
}

async fn log_and_source(house: &House, id: &str) {
    let path = format!("/api/v1/deliveries/{id}/log");
    let csv = house.request(Method::GET, &path).send().await.unwrap().text().await.unwrap();
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("recipient,state,attempts,first_try,last_try,reply,reason,message_id"));
    assert!(lines.all(|line| line.contains(",cancelled,0,") && line.ends_with("@shop.example")), "{csv}");
    let json = answer(house.request(Method::GET, &format!("{path}?format=json&state=sent"))).await.1;
    assert_eq!(json, json!([]));
    let all = house.request(Method::GET, &format!("{path}?format=csv_all")).send().await.unwrap();
    let all = all.text().await.unwrap();
    assert!(
        all.lines()
            .next()
            .unwrap()
            .ends_with(",message_id,site,source,tls_protocol,tls_cipher,tls_certificate,tls_proof,category")
    );
    let (status, problem) = answer(house.request(Method::GET, &format!("{path}?state=lost"))).await;
    assert_eq!((status.as_u16(), &problem["field"]), (422, &json!("state")));
    let source = format!("/api/v1/deliveries/{id}/source?recipient=ANN@x.example");
    let text = house.request(Method::GET, &source).send().await.unwrap().text().await.unwrap();
    assert!(text.contains("Subject: Ann, news\r\n") && text.starts_with("DKIM-Signature:"), "{text}");
    let nobody = format!("/api/v1/deliveries/{id}/source?recipient=no@x.example");
    assert_eq!(answer(house.request(Method::GET, &nobody)).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named_with_its_place() {
    store::testing::sqlite(|store| async move {
        let house = ready_house(store).await;
        let (status, problem) = push(&house, &format!("{TOML}\n[parameters]\nretries = 1000\n"), HTML).await;
        assert_eq!((status.as_u16(), &problem["field"]), (422, &json!("parameters.retries")));
        assert_eq!((&problem["file"], &problem["line"]), (&json!("delivery.toml"), &json!(12)), "{problem}");
        let (_, pushed) = push(&house, TOML, "<p>one\n<p>{{ nosuchfield }} {{ unsubscribe_url }}").await;
        let id = pushed["id"].as_str().unwrap();
        let path = format!("/deliveries/{id}/preview?recipient=ann@x.example");
        let (status, problem) = house.get(&path).await;
        assert_eq!(status.as_u16(), 422, "{problem}");
        assert_eq!(
            (&problem["problems"][0]["part"], &problem["problems"][0]["line"]),
            (&json!("html"), &json!(2))
        );
        let analysis = house.analyse(id).await;
        assert_eq!(analysis["state"], "failed");
        let error = analysis["findings"].as_array().unwrap().iter().find(|f| f["level"] == "error").unwrap();
        assert!(error["text"].is_string() && error["rule"].is_string(), "{error}");
        assert_eq!(house.get("/deliveries/99").await.0, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_as_multipart_with_files_that_are_not_used() {
    store::testing::sqlite(|store| async move {
        let house = ready_house(store).await;
        let file =
            |name: &str, bytes: &[u8]| multipart::Part::bytes(bytes.to_vec()).file_name(name.to_owned());
        let form = multipart::Form::new()
            .text("origin", "/somewhere")
            .part("file", file("delivery.toml", TOML.as_bytes()))
            .part("file", file("content.html", HTML.as_bytes()))
            .part("file", file("notes.md", b"to do"));
        let request = house.request(Method::POST, "/api/v1/deliveries/push").multipart(form);
        let (status, pushed) = answer(request).await;
        assert_eq!(status, StatusCode::OK, "{pushed}");
        assert!(pushed["warnings"][0]["message"].as_str().unwrap().contains("notes.md"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drafts_are_edited_duplicated_archived_searched() {
    store::testing::sqlite(|store| async move {
        let house = ready_house(store).await;
        let definition = json!({"label": "Plain", "subject": "s", "target": {"include": [{"list": "news"}]}});
        let (status, made) = house.post("/deliveries", json!({"definition": definition, "html": HTML})).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let path = format!("/deliveries/{}", made["id"].as_str().unwrap());
        let (_, edited) = house.send(Method::PATCH, &path, json!({"label": "Renamed"})).await;
        assert_eq!((&edited["label"], &edited["html"]), (&json!("Renamed"), &json!(HTML)));
        let stale =
            house.send(Method::PATCH, &path, json!({"text": "x", "revision": made["revision"]})).await;
        assert_eq!((stale.0.as_u16(), &stale.1["field"]), (409, &json!("revision")));
        let (_, edited) =
            house.send(Method::PATCH, &path, json!({"html": null, "text": "hi {{ unsubscribe_url }}"})).await;
        assert_eq!(edited["html"], Value::Null);
        assert_eq!(house.post(&format!("{path}/duplicate"), json!({})).await.0, StatusCode::CREATED);
        let found = house.get("/deliveries?search=renamed").await.1;
        assert!(!found["items"].as_array().unwrap().is_empty(), "{found}");
        house.post(&format!("{path}/archive"), json!({})).await;
        assert_eq!(house.get("/deliveries?archived=true").await.1["items"][0]["id"], made["id"]);
        assert_eq!(house.send(Method::DELETE, &path, Value::Null).await.0, StatusCode::NO_CONTENT);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unsubscribing_acts_on_post_only_and_twice_is_once() {
    store::testing::each(|store| async move {
        let house = ready_house(store).await;
        let id = push(&house, TOML, HTML).await.1["id"].as_str().unwrap().to_owned();
        house.analyse(&id).await;
        house.post(&format!("/deliveries/{id}/confirm"), json!({})).await;
        let source = format!("/api/v1/deliveries/{id}/source?recipient=ann@x.example");
        let text = house.request(Method::GET, &source).send().await.unwrap().text().await.unwrap();
        let link = text.split("List-Unsubscribe: <").nth(1).unwrap().split('>').next().unwrap();
        let path = link.split_once("/u/").map(|(_, token)| format!("/u/{token}")).unwrap();
        let denylisted = async || house.get("/recipients/ann@x.example").await.1["denylisted"] == true;

        let shown = house.public(Method::GET, &path).send().await.unwrap();
        assert_eq!(shown.status(), StatusCode::OK);
        assert!(shown.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
        assert!(shown.text().await.unwrap().contains("<button"));
        assert!(!denylisted().await, "GET never acts");
        for _ in 0..2 {
            let click = house.public(Method::POST, &path).header("host", "mail.shop.example");
            let response = click.body("List-Unsubscribe=One-Click").send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            assert!(response.headers().get("set-cookie").is_none());
        }
        assert!(denylisted().await);
        let wrong = format!("{path}x");
        assert_eq!(house.public(Method::POST, &wrong).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    })
    .await;
}
