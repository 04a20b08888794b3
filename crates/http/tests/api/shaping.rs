//! Rules of sites, sources and warm-ups over REST: what holds, who set it, and what is refused.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::house::House;

/// A house whose rules are open: it has its first source.
async fn house(store: store::Store) -> House {
    let house = House::build(store).await;
    let providers = routes::Providers::built_in().clone();
    let base = routes::RuleBase { providers, ehlo: "out.shop.example".to_owned(), file: None };
    house.state.routes.open_rules(base, house.state.clock.now_us()).await.unwrap();
    house
}

async fn refused(house: &House, method: Method, path: &str, body: Value) -> (u16, String) {
    let (status, problem) = house.send(method, path, body).await;
    (status.as_u16(), problem["field"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_rule_holds_at_once_says_who_and_can_be_taken_back() {
    store::testing::sqlite(|store| async move {
        let house = house(store).await;
        let sites = house.get("/shaping/sites").await.1;
        assert_eq!(sites["items"][0]["name"], "google");
        let path = "/shaping/sites/google";
        let (_, before) = house.get(path).await;
        assert_eq!(before["set_by"]["connections"], json!({"from": "shipped"}));
        let change = json!({"connections": 3, "message_rates": ["10/s", "5000/h"]});
        let (status, now) = house.send(Method::PATCH, path, change).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            (&now["rules"]["connections"], &now["rules"]["message_rates"][1]),
            (&json!(3), &json!("5000/h"))
        );
        assert_eq!(now["set_by"]["connections"]["from"], "override");
        assert_eq!(house.state.routes.rules().rules_of("google").connections, 3);
        for (path, body, expected) in [
            (path, json!({"connections": 0}), (422, "connections")),
            (path, json!({"message_rates": ["many"]}), (422, "rule")),
            ("/shaping/sites/a.example", json!({"mx": ["*.b.example"]}), (422, "mx")),
        ] {
            let found = refused(&house, Method::PATCH, path, body).await;
            assert_eq!((found.0, found.1.as_str()), expected);
        }
        let (_, changes) = house.get("/shaping/changes?limit=1").await;
        assert_eq!(changes["items"][0]["after"]["connections"], 3);
        assert_eq!(changes["items"][0]["before"], Value::Null);
        assert_eq!(house.send(Method::DELETE, path, Value::Null).await.0, StatusCode::NO_CONTENT);
        assert_eq!(house.send(Method::DELETE, path, Value::Null).await.0, StatusCode::NOT_FOUND);
        assert_eq!(house.get(path).await.1["rules"]["connections"], 5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_from_some_sources_only_is_told_apart() {
    store::testing::sqlite(|store| async move {
        let house = house(store).await;
        let (status, _) =
            house.send(Method::PATCH, "/shaping/sites/google@cold*", json!({"connections": 1})).await;
        assert_eq!(status, StatusCode::OK);
        let connections = async |query: &str| {
            house.get(&format!("/shaping/sites/google{query}")).await.1["rules"]["connections"].clone()
        };
        assert_eq!(connections("").await, 5);
        assert_eq!(connections("?source=cold-2").await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_added_changed_and_removed() {
    store::testing::sqlite(|store| async move {
        let house = house(store).await;
        let new = json!({"name": "cold", "address": "192.0.2.7", "weight": 2, "pools": ["default", "news"]});
        let (status, made) = house.post("/sources", new.clone()).await;
        assert_eq!((status, &made["enabled"]), (StatusCode::CREATED, &json!(true)));
        assert_eq!(house.post("/sources", new).await.0, StatusCode::CONFLICT);
        let patch = json!({"weight": null, "include": ["*.example"]});
        let (_, changed) = house.send(Method::PATCH, "/sources/cold", patch).await;
        assert_eq!((&changed["weight"], &changed["include"][0]), (&json!(1), &json!("*.example")));
        for (body, field) in [
            (json!({"weight": 0}), "weight"),
            (json!({"name": "warm"}), "name"),
            (json!({"pools": []}), "pools"),
            (json!({"colour": "red"}), "source"),
        ] {
            assert_eq!(refused(&house, Method::PATCH, "/sources/cold", body).await, (422, field.to_owned()));
        }
        assert_eq!(house.send(Method::DELETE, "/sources/cold", Value::Null).await.0, StatusCode::NO_CONTENT);
        assert_eq!(house.get("/sources/cold").await.0, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_up_says_how_far_it_is_and_when_it_would_end() {
    store::testing::sqlite(|store| async move {
        let house = house(store).await;
        house.post("/sources", json!({"name": "cold"})).await;
        let path = "/warm-ups/cold/google";
        let today = routes::day_of(house.state.clock.now_us());
        let (status, plan) = house.send(Method::PUT, path, json!({})).await;
        assert_eq!(
            (status, &plan["allowed_today"], &plan["overflow"]),
            (StatusCode::OK, &json!(50), &json!("warm"))
        );
        let sent = |day, messages| routes::Volume {
            source: "cold".into(),
            site: "google".into(),
            day,
            messages,
            bytes: 1,
        };
        house.state.routes.save_volumes(vec![sent(today, 20)]).await.unwrap();
        let (_, plan) = house.send(Method::PUT, path, json!({"days": [50, 100], "overflow": "wait"})).await;
        assert_eq!((&plan["sent_today"], &plan["position"]), (&json!(20), &json!(0)));
        let (_, plan) = house.get(&format!("{path}?messages=130")).await;
        let start = plan["start"].as_str().unwrap().to_owned();
        assert!(plan["ends"].as_str().unwrap() > start.as_str());
        assert_eq!(
            refused(&house, Method::PUT, path, json!({"start": "soon"})).await,
            (422, "start".to_owned())
        );
        assert_eq!(
            house.send(Method::PUT, "/warm-ups/none/google", json!({})).await.0,
            StatusCode::NOT_FOUND
        );
        assert_eq!(house.get("/warm-ups").await.1["items"].as_array().unwrap().len(), 1);
        assert_eq!(house.send(Method::DELETE, path, Value::Null).await.0, StatusCode::NO_CONTENT);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_keys_are_made_anew_and_wait_until_dns_shows_them() {
    store::testing::sqlite(|store| async move {
        let house = house(store).await;
        house.post("/domains", json!({"domain": "shop.example"})).await;
        let (status, started) = house.post("/domains/shop.example/rotation", json!({})).await;
        assert_eq!(status, StatusCode::OK, "{started}");
        assert_eq!(started["records"][0]["name"], "mw2._domainkey.shop.example");
        let (_, look) = house.post("/domains/shop.example/rotation/check", json!({})).await;
        assert_eq!((&look["turn"], &look["keys"][0]["stage"]), (&json!("not_published"), &json!("pending")));
        let (_, check) = house.post("/domains/shop.example/check", json!({})).await;
        let topics: Vec<_> =
            check["surroundings"].as_array().unwrap().iter().map(|one| one["topic"].clone()).collect();
        assert_eq!(topics, ["alignment", "helo", "replies", "mta_sts", "tls_rpt"]);
        house.post("/domains", json!({"domain": "group.example"})).await;
        let also = "/domains/shop.example/also";
        let (status, _) = house.send(Method::PUT, also, json!({"domain": "group.example"})).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
        let found = refused(&house, Method::PUT, also, json!({"domain": "shop.example"})).await;
        assert_eq!(found, (422, "also".to_owned()));
        let rotation = "/domains/shop.example/rotation";
        assert_eq!(house.send(Method::DELETE, rotation, Value::Null).await.0, StatusCode::NO_CONTENT);
        assert_eq!(house.send(Method::DELETE, rotation, Value::Null).await.0, StatusCode::NOT_FOUND);
        assert_eq!(house.get("/domains/other.example/keys").await.0, StatusCode::NOT_FOUND);
    })
    .await;
}
