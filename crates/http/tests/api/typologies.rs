//! Typologies, rules and the exclusion report.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{house::House, pages::Browser};

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_made_changed_and_refused_by_their_key() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let shipped = house.get("/typologies").await.1;
        assert_eq!(shipped["items"].as_array().unwrap().len(), 2, "{shipped}");
        let (status, shop) = house.post("/typologies", json!({"name": "Shop", "base": "bulk"})).await;
        assert_eq!(status, StatusCode::CREATED, "{shop}");
        let fatigue = json!({
            "name": "Fatigue",
            "typologies": ["Shop", "default"],
            "from": "2026-12-01T00:00:00Z",
            "definition": {"kind": "pressure", "limit": 3, "grouping": "month"},
        });
        let (status, made) = house.post("/typology-rules", fatigue.clone()).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        assert_eq!((&made["kind"], &made["order"]), (&json!("pressure"), &json!(50)));
        assert_eq!((&made["from"], &made["until"]), (&json!("2026-12-01T00:00:00Z"), &Value::Null));
        assert_eq!(made["definition"]["period"], "15d");
        let path = format!("/typology-rules/{}", made["id"].as_str().unwrap());
        let mut changed = fatigue.clone();
        changed["active"] = json!(false);
        assert_eq!(house.send(Method::PUT, &path, changed).await.1["active"], json!(false));
        let (_, whole) = house.get(&format!("/typologies/{}", shop["id"].as_str().unwrap())).await;
        assert_eq!(whole["rules"][0]["name"], "Fatigue");
        assert_eq!(house.get("/typology-rules?kind=capacity").await.1["items"], json!([]));
        for (key, wrong, field) in [
            ("definition", json!({"kind": "pressure", "period": "soon"}), "definition.period"),
            (
                "definition",
                json!({"kind": "capacity", "lines": [{"start": "x", "duration": "1h", "quantity": 1}]}),
                "definition.lines",
            ),
            (
                "definition",
                json!({"kind": "control", "condition": "nonsense(", "message": "x"}),
                "definition.condition",
            ),
            ("scope", json!("no_such_fact"), "scope"),
            ("from", json!("tomorrow"), "from"),
        ] {
            let mut rule = fatigue.clone();
            rule["name"] = json!("Other");
            rule[key] = wrong;
            let (status, problem) = house.post("/typology-rules", rule).await;
            assert_eq!((status.as_u16(), &problem["field"]), (422, &json!(field)), "{problem}");
        }
        assert_eq!(house.send(Method::DELETE, &path, Value::Null).await.0, StatusCode::NO_CONTENT);
        assert_eq!(house.get(&path).await.0, StatusCode::NOT_FOUND);
        assert!(house.get("/control-rules").await.1["items"].as_array().unwrap().len() > 10);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typology_names_the_pool_of_its_deliveries() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let (status, made) = house.post("/typologies", json!({"name": "Receipts", "pool": "receipts"})).await;
        assert_eq!((status, &made["pool"]), (StatusCode::CREATED, &json!("receipts")), "{made}");
        let wrong = house.post("/typologies", json!({"name": "Other", "pool": "No Pool"})).await.1;
        assert_eq!(wrong["field"], "pool");
        let mut browser = Browser::signed_in(&house).await;
        let path = format!("/typologies/{}", made["id"].as_str().unwrap());
        assert!(browser.get(&path).await.text.contains("<option value=\"receipts\" selected>"));
        let fields = [("name", "Receipts"), ("base", "default"), ("weight", "5"), ("pool", "")];
        assert_eq!(browser.post(&path, &fields).await.location, format!("{path}?done=saved"));
        assert_eq!(house.get(&path).await.1["pool"], "", "taken back on the page");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_counts_who_was_left_out() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        house.import("list=news", "email,tier\na@x.example,gold\nb@x.example,\nc@x.example,gold\n").await;
        let gold = json!({
            "name": "No gold",
            "typologies": ["default"],
            "definition": {"kind": "filtering", "filter": {"field": "tier", "op": "eq", "value": "gold"}},
        });
        assert_eq!(house.post("/typology-rules", gold).await.0, StatusCode::CREATED);
        let definition = json!({
            "label": "October",
            "subject": "Hello",
            "sender": {"address": "news@shop.example"},
            "target": {"include": [{"list": "news"}]},
        });
        let html = "<p>Hi <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a></p>";
        let (status, made) = house.post("/deliveries", json!({"definition": definition, "html": html})).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let id = made["id"].as_str().unwrap();
        let analysis = house.analyse(id).await;
        assert_eq!(analysis["excluded"]["rule"], 2, "{analysis}");
        let (_, report) = house.get(&format!("/deliveries/{id}/exclusions")).await;
        assert_eq!(
            report["items"],
            json!([{"reason": "rule", "rule": "No gold", "recipients": 2}]),
            "{report}"
        );
    })
    .await;
}
