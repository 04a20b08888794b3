//! Blocks, files, format rules, templates: what contents have in common, and what an editor asks.

use reqwest::{Method, StatusCode, multipart};
use serde_json::{Value, json};

use crate::house::{House, answer};

/// The smallest GIF: one pixel.
const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";
const HTML: &str = "<p><a href=\"https://shop.example/\">Shop</a> <a href=\"https://shop.example/\">again</a></p>\
                    <a href=\"{{ unsubscribe_url }}\">Unsubscribe</a>";

async fn draft(house: &House, label: &str) -> String {
    let definition = json!({
        "label": label, "subject": "Hello", "sender": {"address": "news@shop.example"},
        "target": {"include": [{"list": "news"}]},
    });
    let (status, made) = house.post("/deliveries", json!({"definition": definition, "html": HTML})).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

fn put(house: &House, path: &str, bytes: &'static [u8]) -> reqwest::RequestBuilder {
    house.request(Method::PUT, &format!("/api/v1{path}")).body(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_kept_found_and_refused_with_their_place() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let block = json!({"html": "<p>Shop Ltd, {{ city }}</p>", "text": "Shop Ltd"});
        let (status, saved) = house.send(Method::PUT, "/blocks/footer", block).await;
        assert_eq!(
            (status, &saved["label"], &saved["visible"]),
            (StatusCode::OK, &json!("footer"), &json!(true))
        );
        let (status, problem) =
            house.send(Method::PUT, "/blocks/bad", json!({"html": "one\n{% if %}"})).await;
        assert_eq!(
            (status.as_u16(), &problem["line"], &problem["field"]),
            (422, &json!(2), &json!("html")),
            "{problem}"
        );
        let (status, problem) = house.send(Method::PUT, "/blocks/a%22b", json!({"html": "x"})).await;
        assert_eq!(status.as_u16(), 422, "{problem}");
        let found = house.get("/blocks?search=FOOT").await.1;
        assert_eq!(found["items"][0]["text"], "Shop Ltd", "{found}");
        assert_eq!(house.send(Method::DELETE, "/blocks/footer", Value::Null).await.0, StatusCode::NO_CONTENT);
        assert_eq!(house.get("/blocks/footer").await.0, StatusCode::NOT_FOUND);
        assert_eq!(house.send(Method::DELETE, "/blocks/footer", Value::Null).await.0, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_delivery_and_of_everybody() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let id = draft(&house, "With files").await;
        let path = format!("/deliveries/{id}/assets");
        let (status, file) = answer(put(&house, &format!("{path}/img/dot.gif"), GIF)).await;
        assert_eq!(
            (status, &file["name"], &file["width"]),
            (StatusCode::OK, &json!("img/dot.gif"), &json!(1)),
            "{file}"
        );
        let url = file["url"].as_str().unwrap();
        assert!(url.ends_with(&format!("/a/{}.gif", file["hash"].as_str().unwrap())), "{url}");
        let (status, problem) = answer(put(&house, &format!("{path}/logo.png"), b"<script>")).await;
        assert_eq!(status.as_u16(), 422, "a picture is a picture: {problem}");

        let part = multipart::Part::bytes(GIF).file_name("two.gif");
        let form = multipart::Form::new().part("file", part);
        let request = house.request(Method::POST, &format!("/api/v1{path}")).multipart(form);
        assert_eq!(answer(request).await.0, StatusCode::CREATED);
        let chosen = house.send(Method::PATCH, &format!("{path}/two.gif"), json!({"inline": true})).await.1;
        assert_eq!(chosen["inline"], true, "{chosen}");
        let bytes = house.request(Method::GET, &format!("/api/v1{path}/two.gif")).send().await.unwrap();
        assert_eq!(bytes.headers()["content-disposition"], "attachment");
        assert_eq!(bytes.bytes().await.unwrap(), GIF);
        let names = |page: &Value| -> Vec<String> {
            page["items"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&house.get(&path).await.1), ["img/dot.gif", "two.gif"]);
        let gone = house.send(Method::DELETE, &format!("{path}/two.gif"), Value::Null).await.0;
        assert_eq!(gone, StatusCode::NO_CONTENT);
        assert_eq!(house.get("/deliveries/99/assets").await.0, StatusCode::NOT_FOUND);

        assert_eq!(answer(put(&house, "/assets/logo.gif", GIF)).await.0, StatusCode::OK);
        assert_eq!(names(&house.get("/assets").await.1), ["logo.gif"]);
        assert_eq!(
            house.send(Method::DELETE, "/assets/logo.gif", Value::Null).await.0,
            StatusCode::NO_CONTENT
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn format_rules_are_listed_added_changed_and_removed() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let shipped = house.get("/format-rules").await.1["items"].as_array().unwrap().len();
        assert!(shipped > 5);
        let rule = json!({"mask": "*.old.example", "structure": "text", "text_charset": "ISO-8859-1", "position": 1});
        let (status, made) = house.post("/format-rules", rule).await;
        assert_eq!((status, &made["text_transfer"]), (StatusCode::CREATED, &json!("auto")), "{made}");
        let path = format!("/format-rules/{}", made["id"].as_str().unwrap());
        let changed = house.send(Method::PUT, &path, json!({"mask": "old.example", "structure": "html"})).await;
        assert_eq!((changed.0, &changed.1["mask"]), (StatusCode::OK, &json!("old.example")), "{}", changed.1);
        let (status, problem) = house.send(Method::PUT, &path, json!({"mask": "a b"})).await;
        assert_eq!((status.as_u16(), &problem["field"]), (422, &json!("mask")));
        assert_eq!(house.send(Method::DELETE, &path, Value::Null).await.0, StatusCode::NO_CONTENT);
        assert_eq!(house.send(Method::PUT, &path, json!({"mask": "x.example"})).await.0, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_gives_what_a_new_draft_leaves_out() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let id = draft(&house, "October").await;
        let save = json!({"delivery": id, "name": "Monthly"});
        let send = || {
            let request = house.request(Method::POST, "/api/v1/templates");
            answer(request.header("idempotency-key", "t1").json(&save))
        };
        let (status, template) = send().await;
        assert_eq!((status, &template["is_template"]), (StatusCode::CREATED, &json!(true)), "{template}");
        assert_eq!(send().await.1["id"], template["id"], "the same key: the same template");
        let (status, problem) = house.post("/templates", save.clone()).await;
        assert_eq!((status.as_u16(), &problem["field"]), (422, &json!("label")), "{problem}");
        assert_eq!(house.get("/templates").await.1["items"][0]["label"], "Monthly");
        let listed = house.get("/deliveries").await.1;
        assert!(listed["items"].as_array().unwrap().iter().all(|d| d["label"] != "Monthly"), "{listed}");

        let own = json!({"label": "November", "template": "Monthly", "subject": "Other"});
        let (status, made) = house.post("/deliveries", json!({"definition": own})).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        assert_eq!((&made["html"], &made["definition"]["subject"]), (&json!(HTML), &json!("Other")));
        assert_eq!(made["definition"]["sender"]["address"], "news@shop.example");
        let own = json!({"label": "November", "template": "None"});
        let (status, problem) = house.post("/deliveries", json!({"definition": own})).await;
        assert_eq!((status.as_u16(), &problem["field"]), (422, &json!("template")));
        let wrong = json!({"label": "x", "parameters": {"retries": "many"}});
        let (status, problem) = house.post("/deliveries", json!({"definition": wrong})).await;
        assert_eq!(
            (status.as_u16(), &problem["field"]),
            (422, &json!("definition.parameters.retries")),
            "{problem}"
        );
        let path = format!("/deliveries/{}/analysis", template["id"].as_str().unwrap());
        assert_eq!(house.post(&path, json!({})).await.0, StatusCode::CONFLICT);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_sees_links_and_other_editors_and_a_late_edit_says_whose_came_first() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let id = draft(&house, "October").await;
        let links = house.get(&format!("/deliveries/{id}/links")).await.1;
        assert_eq!(links["items"].as_array().unwrap().len(), 1, "{links}");
        let link = &links["items"][0];
        assert_eq!(
            (&link["url"], &link["count"], &link["mode"]),
            // Twice in the HTML, and twice in the text that is made from it.
            (&json!("https://shop.example/"), &json!(4), &json!("tracked"))
        );

        let path = format!("/deliveries/{id}/presence");
        assert_eq!(house.post(&path, json!({"tab": "one", "part": "html"})).await.1["items"], json!([]));
        let others = house.post(&path, json!({"tab": "two"})).await.1;
        assert_eq!(
            (&others["items"][0]["part"], others["items"].as_array().unwrap().len()),
            (&json!("html"), 1)
        );
        assert_eq!(
            house.send(Method::DELETE, &format!("{path}?tab=one"), Value::Null).await.0,
            StatusCode::NO_CONTENT
        );
        assert_eq!(house.post(&path, json!({"tab": "two"})).await.1["items"], json!([]));

        let draft = format!("/deliveries/{id}");
        let seen = house.get(&draft).await.1["revision"].clone();
        let first = house
            .send(Method::PATCH, &draft, json!({"text": "a {{ unsubscribe_url }}", "revision": seen}))
            .await;
        assert_eq!(first.0, StatusCode::OK);
        let (status, problem) =
            house.send(Method::PATCH, &draft, json!({"text": "b", "revision": seen})).await;
        assert_eq!((status, &problem["by"]), (StatusCode::CONFLICT, &first.1["edited_by"]), "{problem}");
        assert!(!problem["by"].as_str().unwrap().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_asks_first_which_bytes_are_here() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        house.import("list=news", "email\nann@x.example\n").await;
        let toml = "label = \"x\"\nsubject = \"y\"\n[sender]\naddress = \"a@shop.example\"\n[target]\ninclude = [{ list = \"news\" }]\n";
        let file = |name: &str, bytes: &[u8]| multipart::Part::bytes(bytes.to_vec()).file_name(name.to_owned());
        let texts = || {
            multipart::Form::new()
                .text("origin", "/here")
                .part("file", file("delivery.toml", toml.as_bytes()))
                .part("file", file("content.html", HTML.as_bytes()))
        };
        let push = |form: multipart::Form| answer(house.request(Method::POST, "/api/v1/deliveries/push").multipart(form));
        let hash = blake3::hash(GIF).to_hex().to_string();
        let ask = json!({"hashes": {"assets/dot.gif": hash, "assets/other.gif": "00".repeat(32)}});
        assert_eq!(house.post("/deliveries/push/known", ask.clone()).await.1, json!({"known": []}));
        let (status, pushed) = push(texts().part("file", file("assets/dot.gif", GIF))).await;
        assert_eq!((status, &pushed["warnings"]), (StatusCode::OK, &json!([])), "{pushed}");
        assert_eq!(house.post("/deliveries/push/known", ask).await.1, json!({"known": ["assets/dot.gif"]}));
        let (status, again) = push(texts().text("known", format!("{hash} assets/dot.gif"))).await;
        assert_eq!((status, &again["id"], &again["revision"]), (StatusCode::OK, &pushed["id"], &pushed["revision"]), "{again}");
    })
    .await;
}
