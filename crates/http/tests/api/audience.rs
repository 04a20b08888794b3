//! Imports, recipients, lists, segments, quarantine.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::house::{House, answer};

const CSV: &str = "E-mail;first_name;city;points\nann@x.example;Ann;Paris;10\nbob@x.example;Bob;Rome;20\n\
                   ANN@x.example;Twice;Paris;1\nnot an address;X;Y;0\n";

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_an_import_is_accounted_for() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let query = "list=news&map=E-mail%3Demail&file=people.csv";
        let dry = house.import(&format!("{query}&dry_run=true"), CSV.replace(';', ",")).await;
        assert_eq!((&dry["created"], &dry["rejected"]), (&json!(2), &json!(2)), "{dry}");
        assert_eq!(house.get("/recipients").await.1["items"], json!([]), "a dry run changes nothing");

        let first = house.import(query, CSV.replace(';', ",")).await;
        assert_eq!(first["state"], "finished");
        let sum = ["created", "updated", "unchanged", "rejected"].map(|name| first[name].as_u64().unwrap());
        assert_eq!(sum, [2, 0, 0, 2]);
        assert_eq!(first["rows"], sum.iter().sum::<u64>());
        let again = house.import(query, CSV.replace(';', ",")).await;
        assert_eq!((&again["unchanged"], &again["rejected"]), (&json!(2), &json!(2)));

        let path = format!("/api/v1/imports/{}/rejects", first["id"].as_str().unwrap());
        let rejects = house.request(Method::GET, &path).send().await.unwrap().text().await.unwrap();
        assert!(rejects.starts_with("line,reason,row\r\n"), "{rejects}");
        assert!(rejects.contains("duplicate of line 2"), "{rejects}");
        assert_eq!(rejects.lines().count(), 3, "{rejects}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_import_names_its_field() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        for (query, field) in [("", "list"), ("list=a&map=x", "map"), ("list=a&colour=x", "colour")] {
            let (status, problem) =
                answer(house.request(Method::POST, &format!("/api/v1/imports?{query}")).body("email\n"))
                    .await;
            assert_eq!((status.as_u16(), &problem["field"]), (422, &json!(field)), "{query}");
        }
        let failed = house.import("list=a", "name\nAnn\n").await;
        assert_eq!(failed["state"], "failed");
        assert!(failed["error"].as_str().unwrap().contains("email"), "{failed}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_are_found_edited_and_deleted() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let new = json!({"email": "Zoë@bücher.example", "first_name": "Zoë", "attributes": {"tier": "gold"}});
        let (status, made) = house.post("/recipients", new.clone()).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        assert!(made["id"].is_string());
        let (status, problem) = house.post("/recipients", new).await;
        assert_eq!((status.as_u16(), &problem["field"]), (409, &json!("email")));
        let (status, problem) =
            house.post("/recipients", json!({"email": "a@x.example", "citty": "x"})).await;
        assert_eq!((status.as_u16(), &problem["field"]), (422, &json!("citty")), "{problem}");
        let (status, problem) = house.post("/recipients", json!({"email": "a\r\nb@x.example"})).await;
        assert_eq!((status.as_u16(), &problem["field"]), (422, &json!("email")));

        let path = format!("/recipients/{}", made["id"].as_str().unwrap());
        let (_, edited) =
            house.send(Method::PATCH, &path, json!({"city": "Paris", "denylisted": true})).await;
        assert_eq!((&edited["city"], &edited["denylisted"]), (&json!("Paris"), &json!(true)));
        assert_eq!(edited["attributes"], json!({"tier": "gold"}));
        assert_eq!(house.get("/recipients/zoë@bücher.example").await.1["id"], made["id"], "also by address");
        assert_eq!(house.send(Method::DELETE, &path, Value::Null).await.0, StatusCode::NO_CONTENT);
        assert_eq!(house.get(&path).await.0, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_neither_repeat_nor_skip() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let rows: String = (0..25).map(|n| format!("p{n}@x.example\n")).collect();
        house.import("list=all", format!("email\n{rows}")).await;
        let mut seen = Vec::new();
        let mut path = "/recipients?limit=10".to_owned();
        loop {
            let (status, page) = house.get(&path).await;
            assert_eq!(status, StatusCode::OK, "{page}");
            let items = page["items"].as_array().unwrap();
            seen.extend(items.iter().map(|item| item["email"].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/recipients?limit=10&cursor={next}");
        }
        assert_eq!(seen.len(), 25);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 25);
        assert_eq!(house.get("/recipients?limit=0").await.1["field"], "limit");
        assert_eq!(house.get("/lists?cursor=abc").await.1["field"], "cursor");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_segments_and_quarantine() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        house.import("list=news&map=E-mail%3Demail", CSV.replace(';', ",")).await;
        let (status, list) = house.post("/lists", json!({"name": "vip"})).await;
        assert_eq!(status, StatusCode::CREATED);
        let path = format!("/lists/{}", list["id"].as_str().unwrap());
        let members = json!({"recipients": ["ann@x.example", "bob@x.example"]});
        assert_eq!(house.post(&format!("{path}/add"), members).await.1["added"], 2);
        let (status, problem) =
            house.post(&format!("{path}/add"), json!({"recipients": ["no@x.example"]})).await;
        assert_eq!((status.as_u16(), &problem["field"]), (404, &json!("recipients[0]")));
        assert_eq!(house.get(&path).await.1["members"], 2);

        let filter = json!({"field": "city", "op": "eq", "value": "Rome"});
        let (status, counted) = house.post("/segments/count", json!({"filter": filter})).await;
        assert_eq!((status, &counted["count"]), (StatusCode::OK, &json!(1)), "{counted}");
        let (status, made) = house.post("/segments", json!({"name": "romans", "filter": filter})).await;
        assert_eq!((status, &made["filter"]), (StatusCode::CREATED, &filter), "{made}");
        let (status, problem) =
            house.post("/segments", json!({"name": "x", "filter": {"nonsense": 1}})).await;
        assert_eq!(status.as_u16(), 422);
        assert!(problem["field"].as_str().unwrap().starts_with("filter"), "{problem}");

        let (status, _) = house.post("/quarantine", json!({"email": "Ann@X.example"})).await;
        assert_eq!(status, StatusCode::CREATED);
        assert_eq!(house.get("/quarantine?search=ann").await.1["items"][0]["reason"], "manual");
        let released = house.send(Method::DELETE, "/quarantine/ann@x.example", Value::Null).await.0;
        assert_eq!(released, StatusCode::NO_CONTENT);
        assert_eq!(house.get("/quarantine").await.1["items"], json!([]));
    })
    .await;
}
