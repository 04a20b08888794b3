//! Approval, ownership, history, notices, and a proof reader's word, as programs and readers reach them.

use ::access::Rights;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::house::{House, answer};

const HTML: &str =
    "<p>Dear {{ first_name | default('you') }}</p> <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a>";

/// A draft that account `local` and account `cem` must approve.
async fn drafted(store: store::Store) -> (House, String) {
    let house = House::build(store).await;
    house.post("/domains", json!({"domain": "shop.example"})).await;
    house.import("list=news", "email,first_name\nann@x.example,Ann\n").await;
    let definition = json!({
        "label": "October", "subject": "News", "sender": {"address": "news@shop.example"},
        "target": {"include": [{"list": "news"}]},
        "validation": {"approvers": ["local", "cem"], "approvals_needed": 2},
    });
    let (status, made) = house.post("/deliveries", json!({"definition": definition, "html": HTML})).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(made["owner"], "local");
    (house, format!("/deliveries/{}", made["id"].as_str().unwrap()))
}

async fn as_user(house: &House, token: &str, path: &str, body: Value) -> (StatusCode, Value) {
    let request = house.anonymous(Method::POST, &format!("/api/v1{path}")).bearer_auth(token);
    answer(request.json(&body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_approved_is_what_is_confirmed() {
    store::testing::sqlite(|store| async move {
        let (house, path) = drafted(store).await;
        let (_, cem) = house.user("cem", Rights { approve: true, ..Rights::NONE }).await;
        let (_, eve) = house.user("eve", Rights { approve: true, start: true, ..Rights::NONE }).await;
        let analysis = house.analyse(path.rsplit('/').next().unwrap()).await;
        let snapshot = analysis["snapshot"].as_str().unwrap().to_owned();
        let body = |snapshot: &str| json!({"snapshot": snapshot, "comment": "fine"});

        assert_eq!(house.get(&format!("{path}/confirm")).await.1["closed"], "awaiting_approval");
        let (status, early) = house.post(&format!("{path}/confirm"), json!({})).await;
        assert_eq!(status, StatusCode::CONFLICT, "{early}");
        let stranger = as_user(&house, &eve, &format!("{path}/approve"), body(&snapshot)).await;
        assert_eq!(stranger.0, StatusCode::FORBIDDEN, "{}", stranger.1);
        let stale = house.post(&format!("{path}/approve"), body("0000")).await;
        assert_eq!(stale.0, StatusCode::CONFLICT, "{}", stale.1);

        let first = house.post(&format!("{path}/approve"), body(&snapshot)).await.1;
        assert_eq!((&first["complete"], &first["topics"][0]["given"]), (&json!(false), &json!(1)));
        let rejected = as_user(&house, &cem, &format!("{path}/reject"), body(&snapshot)).await;
        assert_eq!(rejected.0, StatusCode::OK, "{}", rejected.1);
        assert_eq!(house.get(&format!("{path}/confirm")).await.1["closed"], "rejected");
        let told = house.get("/notices?unread=true").await.1;
        assert!(told["items"].to_string().contains("approval_decided"), "{told}");
        house.post("/notices/read", json!({})).await;
        assert_eq!(house.get("/notices").await.1["unread"], 0);

        let second = as_user(&house, &cem, &format!("{path}/approve"), body(&snapshot)).await.1;
        assert_eq!(second["complete"], true, "{second}");
        let not_hers = as_user(&house, &eve, &format!("{path}/confirm"), json!({})).await;
        assert_eq!(not_hers.0, StatusCode::FORBIDDEN, "{}", not_hers.1);
        let confirmed = house.post(&format!("{path}/confirm"), json!({"snapshot": snapshot})).await;
        assert_eq!(confirmed.0, StatusCode::OK, "{}", confirmed.1);
        let history = house.get(&format!("{path}/history")).await.1;
        let last = history["items"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&last["event"], &last["who"]), (&json!("confirmed"), &json!("local")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_given_up_is_over() {
    store::testing::sqlite(|store| async move {
        let (house, path) = drafted(store).await;
        let (status, given) = house.post(&format!("{path}/cancel"), json!({"why": "too late"})).await;
        assert_eq!((status, &given["state"]), (StatusCode::OK, &json!("cancelled")), "{given}");
        let again = house.post(&format!("{path}/analysis"), json!({})).await;
        assert_eq!(again.0, StatusCode::CONFLICT, "{}", again.1);
        assert!(again.1.to_string().contains("duplicate it"), "{}", again.1);
        assert_eq!(house.get(&format!("{path}/history")).await.1["items"][0]["why"], "too late");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn following_a_proofs_link_decides_nothing_and_the_button_does() {
    store::testing::sqlite(|store| async move {
        let (house, path) = drafted(store).await;
        let (status, proof) =
            house.post(&format!("{path}/proofs"), json!({"to": ["boss@shop.example"]})).await;
        assert_eq!(status, StatusCode::CREATED, "{proof}");
        let reader = loop {
            let rounds = house.get(&format!("{path}/proofs")).await.1;
            let reader = rounds["proofs"][0]["readers"][0].clone();
            if reader.is_object() {
                break reader;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        assert_eq!((&reader["address"], &reader["word"]), (&json!("boss@shop.example"), &Value::Null));
        let message = reader["message"].as_str().unwrap().parse().unwrap();
        let token = message::Token { message, inert: true };
        let link = format!("/p/{}", house.state.tokens.link_token(message::Purpose::Review, token));

        let shown = house.public(Method::GET, &link).send().await.unwrap();
        assert_eq!(shown.status(), StatusCode::OK);
        assert!(shown.text().await.unwrap().contains("value=\"rejected\""));
        assert_eq!(
            house.get(&format!("{path}/proofs")).await.1["proofs"][0]["readers"][0]["word"],
            Value::Null
        );
        let nothing = house.public(Method::POST, &link).form(&[("comment", "x")]).send().await.unwrap();
        assert_eq!(nothing.status(), StatusCode::BAD_REQUEST);
        let said = [("word", "rejected"), ("comment", "The <logo> is gone")];
        let kept = house.public(Method::POST, &link).form(&said).send().await.unwrap();
        assert_eq!(kept.status(), StatusCode::OK);
        assert!(kept.headers().get("set-cookie").is_none());
        let reader = house.get(&format!("{path}/proofs")).await.1["proofs"][0]["readers"][0].clone();
        assert_eq!((&reader["word"], &reader["comment"]), (&json!("rejected"), &json!("The <logo> is gone")));
        let again = house.public(Method::GET, &link).send().await.unwrap().text().await.unwrap();
        assert!(again.contains("The &lt;logo&gt; is gone"), "{again}");
        let forged = house.public(Method::POST, &format!("{link}x")).form(&said).send().await.unwrap();
        assert_eq!(forged.status(), StatusCode::NOT_FOUND);
    })
    .await;
}
