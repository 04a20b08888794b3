//! Services, seeds and the suppression list, over REST and on their pages.

use ::access::{Right, Rights};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::house::{House, answer};
use crate::pages::Browser;

const CSV: &str =
    "email,first_name,country\nann@x.example,Ann,DE\nben@x.example,Ben,FR\ncarl@y.example,Carl,FR\n";

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

/// Whose waiting messages are held back, and of which service.
async fn held(house: &House) -> Vec<(String, Option<i64>)> {
    let sql = "SELECT address_key, service FROM suppress";
    let read = |row: &store::Row<'_>| Ok::<_, store::Error>((row.text(0)?, row.int_opt(1)?));
    house.state.audience.store().read(move |tx| tx.query(sql, &[], read)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_subscribe_over_the_api() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        house.import("list=news", CSV).await;
        let (status, weekly) = house.post("/services", json!({"name": "weekly"})).await;
        assert_eq!(status, StatusCode::CREATED, "{weekly}");
        let path = format!("/services/{}", weekly["id"].as_str().unwrap());
        let who = |emails: &[&str]| json!({ "recipients": emails });
        let (_, done) =
            house.post(&format!("{path}/subscribe"), who(&["ann@x.example", "ben@x.example"])).await;
        assert_eq!(done["subscribed"], 2);
        let (status, problem) = house.post(&format!("{path}/subscribe"), who(&["no@x.example"])).await;
        assert_eq!((status.as_u16(), &problem["field"]), (404, &json!("recipients[0]")));
        assert_eq!(house.get(&path).await.1["subscribers"], 2);
        let found = house.get(&format!("/recipients?service={}", weekly["id"].as_str().unwrap())).await.1;
        assert_eq!(found["items"].as_array().unwrap().len(), 2);
        assert_eq!(house.get("/recipients/ann@x.example/services").await.1["items"][0]["name"], "weekly");

        let (_, daily) = house.post("/services", json!({"name": "daily"})).await;
        let daily = daily["id"].as_str().unwrap().to_owned();
        house.post(&format!("/services/{daily}/subscribe"), who(&["ben@x.example"])).await;
        let (_, done) =
            house.post(&format!("{path}/unsubscribe"), who(&["ben@x.example", "carl@y.example"])).await;
        assert_eq!(done["unsubscribed"], 1);
        assert_eq!(house.get("/recipients/ben@x.example").await.1["denylisted"], false);
        let service = weekly["id"].as_str().unwrap().parse().unwrap();
        let entry = ("ben@x.example".to_owned(), Some(service));
        assert!(held(&house).await.contains(&entry), "what waits is cancelled, of this service alone");
        let sql = "SELECT still FROM suppress WHERE address_key LIKE 'ben@%'";
        let read = |row: &store::Row<'_>| row.text_opt(0);
        let still = house.state.audience.store().read(move |tx| tx.query(sql, &[], read)).await.unwrap();
        assert_eq!(still, [Some(daily)], "a delivery to both services goes on to him");
        let (status, _) = house.send(Method::PATCH, &path, json!({"name": "letter"})).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(house.get("/services?search=let").await.1["items"][0]["name"], "letter");
        assert_eq!(house.send(Method::DELETE, &path, Value::Null).await.0, StatusCode::NO_CONTENT);
        assert_eq!(house.get(&path).await.0, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seeds_stand_in_groups() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let new = |email: &str, country: &str| json!({"email": email, "country": country, "attributes": {"team": "mail"}});
        let (status, ann) = house.post("/seeds", new("ann@house.example", "DE")).await;
        assert_eq!(status, StatusCode::CREATED, "{ann}");
        let (_, ben) = house.post("/seeds", new("ben@house.example", "FR")).await;
        assert!(ann.get("denylisted").is_none() && ann["id"].as_str().unwrap().parse::<i64>().unwrap() > 0);
        let (_, hand) = house.post("/seed-groups", json!({"name": "hand"})).await;
        let hand = format!("/seed-groups/{}", hand["id"].as_str().unwrap());
        assert_eq!(house.post(&format!("{hand}/add"), json!({"seeds": [ann["id"]]})).await.1["added"], 1);
        let condition = json!({"field": "country", "op": "eq", "value": "FR"});
        let (_, rule) = house.post("/seed-groups", json!({"name": "rule", "condition": condition})).await;
        assert_eq!(rule["condition"], condition);
        let rule = format!("/seed-groups/{}", rule["id"].as_str().unwrap());
        assert_eq!(ids(&house.get(&format!("{rule}/seeds")).await.1), [ben["id"].as_str().unwrap()]);
        let wrong = json!({"name": "x", "condition": {"in_list": "news"}});
        let (status, problem) = house.post("/seed-groups", wrong).await;
        assert_eq!((status.as_u16(), &problem["field"]), (422, &json!("condition")), "{problem}");
        let wrong = json!({"name": "x", "condition": {"and": [{"nonsense": 1}]}});
        assert_eq!(house.post("/seed-groups", wrong).await.1["field"], "condition.and[0]");

        let path = format!("/seeds/{}", ben["id"].as_str().unwrap());
        let (_, edited) = house.send(Method::PATCH, &path, json!({"country": "IT"})).await;
        assert_eq!((&edited["country"], &edited["attributes"]["team"]), (&json!("IT"), &json!("mail")));
        assert_eq!(ids(&house.get(&format!("{rule}/seeds")).await.1), [""; 0]);
        assert_eq!(house.send(Method::DELETE, &path, Value::Null).await.0, StatusCode::NO_CONTENT);
        assert_eq!(house.send(Method::DELETE, &rule, Value::Null).await.0, StatusCode::NO_CONTENT);
        assert_eq!(ids(&house.get("/seeds").await.1), [ann["id"].as_str().unwrap()]);
        assert_eq!(house.get("/recipients").await.1["items"], json!([]), "a seed is no recipient");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_see_what_is_suppressed() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let (_, token) = house.user("ina", Rights::of([Right::Import])).await;
        let add = json!({"values": ["Trap@X.example", "@bad.example", "nonsense here"]});
        let request = house.anonymous(Method::POST, "/api/v1/suppression").bearer_auth(&token).json(&add);
        let (status, report) = answer(request).await;
        assert_eq!((status, &report["added"], &report["rejected"]), (StatusCode::OK, &json!(2), &json!(1)));
        assert_eq!(report["faults"][0]["line"], 3);
        let request = house.anonymous(Method::GET, "/api/v1/suppression").bearer_auth(&token);
        assert_eq!(answer(request).await.1, json!({"addresses": 1, "domains": 1}));
        let request = house.anonymous(Method::GET, "/api/v1/suppression/entries").bearer_auth(&token);
        assert_eq!(answer(request).await.0, StatusCode::FORBIDDEN);

        let body = "email;why\ntrap2@x.example;1\ntrap@x.example;2\n";
        let (_, report) = answer(house.request(Method::POST, "/api/v1/suppression/import").body(body)).await;
        assert_eq!((&report["added"], &report["known"]), (&json!(1), &json!(1)), "{report}");
        let first = house.get("/suppression/entries?limit=2").await.1;
        assert_eq!(first["items"][0]["value"], "bad.example");
        let next = first["next"].as_str().unwrap();
        let rest = house.get(&format!("/suppression/entries?limit=2&cursor={next}")).await.1;
        assert_eq!((&rest["items"][0]["value"], &rest["next"]), (&json!("trap@x.example"), &Value::Null));
        assert_eq!(
            house.get("/suppression/entries?kind=domain").await.1["items"].as_array().unwrap().len(),
            1
        );
        assert_eq!(house.get("/suppression/entries?kind=x").await.1["field"], "kind");
        let gone = house.send(Method::DELETE, "/suppression/entries/trap@x.example", Value::Null).await.0;
        assert_eq!(gone, StatusCode::NO_CONTENT);
        let gone = house.send(Method::DELETE, "/suppression/entries/trap@x.example", Value::Null).await.0;
        assert_eq!(gone, StatusCode::NOT_FOUND);
        assert!(
            held(&house).await.contains(&("trap@x.example".to_owned(), None)),
            "what waits for it is cancelled"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_kept_out_gets_nothing_that_is_pending() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        house.import("list=news", CSV).await;
        let mut browser = Browser::signed_in(&house).await;
        let id =
            async |email: &str| house.state.audience.recipient_by_address(email).await.unwrap().unwrap().id;
        let (ann, carl) = (id("ann@x.example").await, id("carl@y.example").await);
        // Added before, by somebody whose server went down behind it.
        let known = vec!["ben@x.example".to_owned(), "nobody@z.example".to_owned()];
        house.state.audience.suppress(known, 1).await.unwrap();
        let body = "ben@x.example\nnobody@z.example\n@bad.example\n";
        let (_, report) = answer(house.request(Method::POST, "/api/v1/suppression/import").body(body)).await;
        assert_eq!((&report["added"], &report["known"]), (&json!(1), &json!(2)), "{report}");
        let all = |key: &str| (key.to_owned(), None);
        let mut found = held(&house).await;
        found.sort_unstable();
        assert_eq!(found, [all("@bad.example"), all("ben@x.example")], "who can be written to");

        house.post("/suppression", json!({"values": ["@Worse.example", "guest@z.example"]})).await;
        browser.post(&format!("/recipients/{ann}/delete"), &[]).await;
        assert!(house.state.audience.recipient(ann).await.unwrap().is_none());
        browser.post(&format!("/recipients/{ann}/delete"), &[]).await;
        browser.post(&format!("/recipients/{carl}/denylist"), &[("denylisted", "1")]).await;
        assert!(house.state.audience.recipient(carl).await.unwrap().unwrap().denylisted);
        let new = json!({"email": "Dead@z.example", "reason": "manual"});
        assert_eq!(house.post("/quarantine", new).await.1["added"], true);
        let found = held(&house).await;
        let keys = ["@worse.example", "guest@z.example", "ann@x.example", "carl@y.example", "dead@z.example"];
        assert!(keys.iter().all(|key| found.contains(&all(key))), "{found:?}");
        browser.post(&format!("/recipients/{carl}/denylist"), &[("denylisted", "0")]).await;
        assert!(!house.state.audience.recipient(carl).await.unwrap().unwrap().denylisted);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_do_it_by_forms_alone() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        house.import("list=news", CSV).await;
        let ann = house.state.audience.recipient_by_address("ann@x.example").await.unwrap().unwrap();
        let mut browser = Browser::signed_in(&house).await;

        browser.post("/services", &[("name", "weekly")]).await;
        let again = browser.post("/services", &[("name", "weekly")]).await;
        assert!(again.text.contains("exists already"), "{}", again.text);
        let weekly = house.state.audience.service_by_name("weekly").await.unwrap().unwrap();
        let path = format!("/recipients/{}", ann.id);
        let id = weekly.id.to_string();
        browser.post(&path, &[("email", "ann@x.example"), ("first_name", "Ann"), ("service", &id)]).await;
        assert_eq!(house.state.audience.subscriptions_of(ann.id).await.unwrap().len(), 1);
        let shown = browser.get(&format!("/recipients?service={id}")).await.text;
        assert!(shown.contains("ann@x.example") && !shown.contains("ben@x.example"));
        browser.post(&path, &[("email", "ann@x.example"), ("first_name", "Ann")]).await;
        assert_eq!(house.state.audience.subscriptions_of(ann.id).await.unwrap().len(), 0);

        browser.post("/seeds/groups", &[("name", "house"), ("kind", "hand")]).await;
        let group = house.state.audience.seed_group_by_name("house").await.unwrap().unwrap();
        let group_id = group.id.to_string();
        let fields = [("email", "me@house.example"), ("country", "JP"), ("group", group_id.as_str())];
        browser.post("/seeds/new", &fields).await;
        let seeds = house.state.audience.seeds_of_group(&group, 0).await.unwrap();
        assert_eq!(seeds[0].profile.email, "me@house.example");
        let path = format!("/seeds/groups/{group_id}");
        assert!(browser.get(&path).await.text.contains("me@house.example"));
        browser.post(&path, &[("name", "home"), ("do", "save")]).await;
        assert_eq!(
            house.state.audience.seed_group(group.id).await.unwrap().unwrap().members,
            0,
            "nobody was ticked"
        );

        browser.post("/seeds/groups", &[("name", "japan"), ("kind", "condition")]).await;
        let group = house.state.audience.seed_group_by_name("japan").await.unwrap().unwrap();
        let path = format!("/seeds/groups/{}", group.id);
        let lines = [
            ("name", "japan"),
            ("depth", "0"),
            ("kind", "group"),
            ("field", "and"),
            ("op", ""),
            ("value", ""),
        ];
        let more = browser.post(&path, &[&lines[..], &[("do", "add:0")]].concat()).await.text;
        assert!(more.contains("remove:1") && !more.contains("in_segment"), "{more}");
        let condition = [
            ("depth", "1"),
            ("kind", "cond"),
            ("field", "country"),
            ("op", "eq"),
            ("value", "jp"),
            ("do", "save"),
        ];
        browser.post(&path, &[&lines[..], &condition[..]].concat()).await;
        let group = house.state.audience.seed_group(group.id).await.unwrap().unwrap();
        assert_eq!(group.condition.unwrap().to_json()["and"][0]["value"], "jp");
        assert!(browser.get("/seeds").await.text.contains("Country is jp"));

        let shown = browser.post("/suppression", &[("values", "a@x.example\nnonsense here")]).await.text;
        assert!(shown.contains("One entry was added") && shown.contains("nonsense here"), "{shown}");
        assert!(browser.get("/suppression").await.text.contains("a@x.example"));
        browser.post("/suppression/remove", &[("value", "a@x.example")]).await;
        assert_eq!(house.state.audience.suppression_counts().await.unwrap().addresses, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_may_name_a_segment_and_says_what_is_gone() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        house.import("list=news", CSV).await;
        let filter = json!({"field": "country", "op": "eq", "value": "FR"});
        let (_, inner) = house.post("/segments", json!({"name": "french", "filter": filter})).await;
        let outer = json!({"not": {"in_segment": "french"}});
        let (_, counted) = house.post("/segments/count", json!({"filter": outer})).await;
        assert_eq!(counted["count"], 1, "{counted}");
        house.post("/segments", json!({"name": "others", "filter": outer})).await;
        let ring = json!({"name": "french", "filter": {"in_segment": "others"}});
        let path = format!("/segments/{}", inner["id"].as_str().unwrap());
        let (status, problem) = house.send(Method::PUT, &path, ring).await;
        assert_eq!((status.as_u16(), &problem["field"]), (422, &json!("filter")));
        assert!(
            problem["detail"].as_str().unwrap().contains("\"french\" -> \"others\" -> \"french\""),
            "{problem}"
        );

        house.send(Method::DELETE, &path, Value::Null).await;
        let (_, problem) = house.post("/segments/count", json!({"filter": {"in_segment": "others"}})).await;
        assert!(
            problem["detail"].as_str().unwrap().contains("the segment \"french\" does not exist"),
            "{problem}"
        );
        let mut browser = Browser::signed_in(&house).await;
        assert_eq!(browser.get("/segments").await.status, 200, "the list of segments is still shown");
    })
    .await;
}
