//! Waves, the calendar, and what comes back after messages were accepted.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::house::House;

const TOML: &str = "label = \"Waves\"\nsubject = \"News\"\n\n[sender]\naddress = \"news@shop.example\"\n\n[target]\n\
                    include = [{ list = \"news\" }]\n\n[schedule]\ncontact_date = \"2099-12-01T08:00\"\n\
                    time_zone = \"Europe/Berlin\"\n\n[waves]\nsize = \"50%\"\nperiod = \"1d\"\n\
                    brake = { hard_bounces = \"5%\" }\n";
const HTML: &str = "<p>A few words about the season, so that there is something to read.</p>\
                    <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a>";

async fn confirmed(house: &House) -> String {
    assert_eq!(house.post("/domains", json!({"domain": "shop.example"})).await.0, StatusCode::CREATED);
    house.import("list=news", "email\nann@x.example\nbob@y.example\ncid@y.example\n").await;
    let files = json!({"delivery.toml": TOML, "content.html": HTML});
    let (status, pushed) = house.post("/deliveries/push", json!({"origin": "/o", "files": files})).await;
    assert_eq!(status, StatusCode::OK, "{pushed}");
    let id = pushed["id"].as_str().unwrap().to_owned();
    let analysis = house.analyse(&id).await;
    assert_eq!(analysis["state"], "ready", "{analysis}");
    let plan = house.get(&format!("/deliveries/{id}/confirm")).await.1;
    assert_eq!(plan["starts_at"], "2099-12-01T07:00:00Z", "{plan}");
    let (status, done) = house.post(&format!("/deliveries/{id}/confirm"), json!({})).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn waves_and_the_calendar() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let id = confirmed(&house).await;
        let waves = house.get(&format!("/deliveries/{id}/waves")).await.1;
        let found: Vec<&Value> =
            waves["waves"].as_array().unwrap().iter().map(|wave| &wave["messages"]).collect();
        assert_eq!(found, [&json!(1), &json!(2)]);
        assert_eq!(waves["waves"][1]["starts_at"], "2099-12-02T07:00:00Z");
        let calendar = house.get("/calendar?from=2099-12-01&to=2099-12-02").await.1;
        let entries = calendar["entries"].as_array().unwrap();
        assert_eq!(
            (entries.len(), &entries[0]["delivery"], &entries[0]["tentative"]),
            (1, &json!(id), &json!(false))
        );
        assert_eq!(
            calendar["load"][0],
            json!({"hour": "2099-12-01T07:00:00Z", "confirmed": 1, "tentative": 0})
        );
        assert_eq!(house.get("/calendar").await.1["entries"], json!([]));
        let (status, problem) = house.get("/calendar?from=2099-12-02&to=2099-12-01").await;
        assert_eq!(
            (status, &problem["field"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("to")),
            "{problem}"
        );
        assert_eq!(house.get("/calendar?from=soon").await.1["field"], "from");
        assert_eq!(house.get(&format!("/deliveries/{id}/holds")).await.1, json!({"holds": []}));
        assert_eq!(house.get("/deliveries/999/waves").await.0, StatusCode::NOT_FOUND);
        let status = house.get(&format!("/deliveries/{id}/status")).await.1;
        assert_eq!((&status["state"], &status["late"]), (&json!("pending"), &json!(false)));
        assert_eq!(status["seeds"], json!({"pending": 0, "sent": 0, "failed": 0, "cancelled": 0}));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_count_once_and_say_what_they_did() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let id = confirmed(&house).await;
        let log = house.get(&format!("/deliveries/{id}/messages")).await.1;
        let of = |address: &str| {
            let row =
                log["items"].as_array().unwrap().iter().find(|row| row["recipient"] == address).unwrap();
            row["message_id"].clone()
        };
        let events = json!({"events": [
            {"kind": "bounce", "message_id": of("ann@x.example"), "type": "hard", "reason": "user_unknown"},
            {"kind": "bounce", "message_id": of("ann@x.example"), "type": "hard"},
            {"kind": "complaint", "delivery": id, "address": "bob@y.example", "at": "2026-12-01T09:30:00Z"},
            {"kind": "bounce", "delivery": id, "address": "cid@y.example", "text": "452 4.2.2 mailbox full"},
            {"kind": "bounce", "message_id": "<1@shop.example>", "type": "soft"},
        ]});
        let (status, answer) = house.post("/events", events).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(
            answer,
            json!({"counted": 3, "results": ["counted", "already", "counted", "counted", "unknown"]})
        );
        let quarantine = house.get("/quarantine").await.1;
        assert_eq!(quarantine["items"].as_array().unwrap().len(), 1, "{quarantine}");
        assert_eq!(quarantine["items"][0]["email"], "ann@x.example");
        assert_eq!(house.get("/recipients/bob@y.example").await.1["denylisted"], true);
        assert_eq!(house.get("/recipients/cid@y.example").await.1["denylisted"], false);
        // Figures are up to a quarter of a second old, more on a busy machine.
        let mut status = Value::Null;
        for _ in 0..200 {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            status = house.get(&format!("/deliveries/{id}/status")).await.1;
            if status["bounced"] == 1 && status["complaints"] == 1 {
                break;
            }
        }
        assert_eq!((&status["bounced"], &status["complaints"]), (&json!(1), &json!(1)), "{status}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_says_too_little_is_refused_and_none_is_taken() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let id = confirmed(&house).await;
        let good = json!({"kind": "complaint", "delivery": id, "address": "bob@y.example"});
        for (wrong, field) in [
            (json!({"kind": "opened", "message_id": "x"}), "events[1].kind"),
            (json!({"kind": "bounce", "message_id": "x"}), "events[1].type"),
            (json!({"kind": "bounce", "message_id": "x", "type": "odd"}), "events[1].type"),
            (json!({"kind": "complaint", "type": "hard", "message_id": "x"}), "events[1].type"),
            (json!({"kind": "complaint"}), "events[1].message_id"),
            (
                json!({"kind": "complaint", "message_id": "x", "address": "a@b.example"}),
                "events[1].message_id",
            ),
            (json!({"kind": "complaint", "address": "a@b.example"}), "events[1].delivery"),
            (json!({"kind": "complaint", "delivery": id}), "events[1].address"),
            (json!({"kind": "complaint", "message_id": "x", "at": "soon"}), "events[1].at"),
            (json!({"kind": "complaint", "message_id": "x", "reason": "r".repeat(65)}), "events[1].reason"),
        ] {
            let (status, problem) = house.post("/events", json!({"events": [good, wrong]})).await;
            assert_eq!(
                (status, &problem["field"]),
                (StatusCode::UNPROCESSABLE_ENTITY, &json!(field)),
                "{problem}"
            );
        }
        assert_eq!(house.get("/recipients/bob@y.example").await.1["denylisted"], false);
        assert_eq!(house.post("/events", json!({"events": []})).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    })
    .await;
}
