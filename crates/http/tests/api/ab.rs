//! A/B tests as programs reach them.

use ::access::Rights;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::house::{House, answer};
use crate::pages::Browser;

const HTML: &str =
    "<p>Dear {{ first_name | default('you') }}</p> <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a>";

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_confirmed_and_its_winner_chosen() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        house.post("/domains", json!({"domain": "shop.example"})).await;
        let rows: String = (0..20).map(|n| format!("r{n}@x.example,Name{n}\n")).collect();
        let csv = format!("email,first_name\n{rows}");
        house.import("list=news", csv).await;
        let definition = json!({
            "label": "October", "subject": "News", "sender": {"address": "news@shop.example"},
            "target": {"include": [{"list": "news"}]},
            "ab": {"sample": "50%", "winner": "manual", "after": "4h", "variants": [{"subject": "Only today"}]},
        });
        let (status, made) = house.post("/deliveries", json!({"definition": definition, "html": HTML})).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let id = made["id"].as_str().unwrap().to_owned();
        let path = format!("/deliveries/{id}");
        assert_eq!(house.get(&format!("{path}/ab")).await.0, StatusCode::NOT_FOUND);
        let analysis = house.analyse(&id).await;
        assert_eq!(analysis["state"], "ready", "{analysis}");
        let planned = house.get(&format!("{path}/ab")).await.1;
        assert_eq!((&planned["state"], &planned["rest"]), (&json!("planned"), &json!(10)), "{planned}");
        let subjects: Vec<_> = planned["variants"].as_array().unwrap().iter().map(|v| &v["subject"]).collect();
        assert_eq!(subjects, ["News", "Only today"]);
        let status = house.get(&format!("{path}/status")).await.1;
        assert_eq!(status["ab"], planned, "the status tells of the test too");
        let preview = |variant: &str| format!("{path}/preview?recipient=r3@x.example&variant={variant}");
        assert_eq!(house.get(&preview("b")).await.1["subject"], "Only today");
        assert_eq!(house.get(&preview("")).await.1["subject"], "News");
        assert_eq!(house.get(&preview("C")).await.0, StatusCode::UNPROCESSABLE_ENTITY);
        let choose = format!("{path}/ab/winner");
        assert_eq!(house.post(&choose, json!({"variant": "B"})).await.0, StatusCode::CONFLICT);

        let snapshot = &analysis["snapshot"];
        let (status, confirmed) = house.post(&format!("{path}/confirm"), json!({"snapshot": snapshot})).await;
        assert_eq!((status, &confirmed["snapshot"]), (StatusCode::OK, snapshot), "{confirmed}");
        let log = house.get(&format!("{path}/messages?limit=5")).await.1;
        assert!(log["items"][0]["message_id"].as_str().unwrap().ends_with("@shop.example"), "{log}");
        let mut browser = Browser::signed_in(&house).await;
        let page = browser.get(&format!("{path}/watch")).await;
        assert!(page.text.contains(&format!("{path}/winner")) && page.text.contains("Only today"), "{}", page.text);
        let (_, eve) = house.user("eve", Rights { prepare: true, ..Rights::NONE }).await;
        let request = house.anonymous(Method::POST, &format!("/api/v1{choose}")).bearer_auth(&eve);
        assert_eq!(answer(request.json(&json!({"variant": "B"}))).await.0, StatusCode::FORBIDDEN);
        assert_eq!(house.post(&choose, json!({"variant": "E"})).await.0, StatusCode::UNPROCESSABLE_ENTITY);
        let (status, chosen) = house.post(&choose, json!({"variant": "B"})).await;
        assert_eq!((status, &chosen["winner"]), (StatusCode::OK, &json!("B")), "{chosen}");
        assert_eq!(chosen["chosen_by"], "local");
        assert_eq!(house.post(&choose, json!({"variant": "A"})).await.0, StatusCode::CONFLICT);
        let page = browser.get(&format!("{path}/watch")).await;
        assert!(!page.text.contains(&format!("{path}/winner")), "it is chosen: {}", page.text);
    })
    .await;
}
