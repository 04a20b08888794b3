//! The pages that have to do with content: what the editor's scripts ask, files, links, parameters, blocks, templates
//! and format rules, over real sockets.

use reqwest::{StatusCode, multipart};
use serde_json::Value;

use super::{
    house::House,
    pages::{Browser, Shown, revision},
};

/// A GIF of one pixel.
const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\x00\x00\xff\xff\xff!\xf9\x04\x00\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";
/// What is left when nothing is said of mistakes.
const GOOD: &str = "<p>Hello</p><a href=\"{{ unsubscribe_url }}\">Unsubscribe</a>";

async fn draft(browser: &mut Browser) -> String {
    let created = browser.post("/deliveries/new", &[("label", "October"), ("subject", "News")]).await;
    created.location.split('/').nth(2).unwrap_or_else(|| panic!("{}", created.text)).to_owned()
}

/// The content form, as a script sends it.
async fn live(
    browser: &mut Browser,
    id: &str,
    kind: &str,
    source: &str,
    revision: &str,
    save: &str,
) -> Value {
    let fields = [
        ("revision", revision),
        ("from_name", "Shop"),
        ("from_address", "news@shop.example"),
        ("subject", "News"),
        ("kind", kind),
        (kind, source),
        ("save", save),
    ];
    let answer = browser.post(&format!("/deliveries/{id}/content/live"), &fields).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    serde_json::from_str(&answer.text).unwrap()
}

async fn upload(browser: &mut Browser, path: &str, name: &str, bytes: &'static [u8], accept: &str) -> Shown {
    let part = multipart::Part::bytes(bytes).file_name(name.to_owned());
    let request =
        browser.client.post(format!("{}{path}", browser.base)).header("sec-fetch-site", "same-origin");
    let form = multipart::Form::new().part("file", part);
    browser.send(request.header("accept", accept).multipart(form)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_is_checked_saved_and_never_overwritten() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        let id = draft(&mut browser).await;
        let start = revision(&browser.get(&format!("/deliveries/{id}/content")).await.text);

        let checked =
            live(&mut browser, &id, "html", "<p>Hi</p>\r\n<p>{{ first_nam }}</p>", &start, "").await;
        let finding = &checked["findings"][0];
        assert_eq!(
            (&finding["line"], &finding["part"], &finding["level"]),
            (&2.into(), &"html".into(), &"error".into())
        );
        assert!(checked["list"].as_str().unwrap().contains("line 2"), "{checked}");
        assert!(checked.get("html").is_none(), "a preview with errors is none: {checked}");
        assert_eq!(checked["revision"].to_string(), start, "a check saves nothing");

        let saved = live(&mut browser, &id, "html", GOOD, &start, "1").await;
        assert!(saved["revision"].as_i64() > start.parse().ok(), "{saved}");
        assert!(
            saved["html"].as_str().unwrap().contains("Hello")
                && saved["head"].as_str().unwrap().contains("News")
        );
        let late = live(&mut browser, &id, "html", "<p>late</p>", &start, "1").await;
        assert!(late["conflict"].as_str().unwrap().contains("admin"), "{late}");
        assert_eq!(late["revision"], saved["revision"]);
        let page = browser.get(&format!("/deliveries/{id}/content")).await.text;
        assert!(
            page.contains("Hello") && !page.contains("&#60;p&#62;late") && !page.contains("&lt;p&gt;late"),
            "the one who came first is not overwritten"
        );
        let same = live(&mut browser, &id, "html", GOOD, &saved["revision"].to_string(), "1").await;
        assert_eq!(same["revision"], saved["revision"], "an autosave that changes nothing is no edit");

        let path = format!("/deliveries/{id}/content/presence");
        let first: Value =
            serde_json::from_str(&browser.post(&path, &[("tab", "a"), ("revision", "1")]).await.text)
                .unwrap();
        assert_eq!(first["others"], "");
        assert!(first["newer"].as_str().unwrap().contains("admin"), "{first}");
        let second: Value =
            serde_json::from_str(&browser.post(&path, &[("tab", "b"), ("revision", "99")]).await.text)
                .unwrap();
        assert!(!second["others"].as_str().unwrap().is_empty() && second["newer"] == "", "{second}");
        browser.post(&path, &[("tab", "a"), ("gone", "1")]).await;
        let alone: Value =
            serde_json::from_str(&browser.post(&path, &[("tab", "b"), ("revision", "99")]).await.text)
                .unwrap();
        assert_eq!(alone["others"], "");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mjml_is_shown_with_its_mistakes_at_their_lines() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        let id = draft(&mut browser).await;
        let mjml = "<mjml>\n<mj-body>\n<mj-section><mj-column>\n<mj-text>{{ first_nam }}</mj-text>\n</mj-column></mj-section>\n</mj-body>\n</mjml>\n";
        let start = revision(&browser.get(&format!("/deliveries/{id}/content")).await.text);
        let wrong = live(&mut browser, &id, "mjml", mjml, &start, "").await;
        assert_eq!(wrong["findings"][0]["part"], "mjml", "{wrong}");
        assert_eq!(wrong["findings"][0]["line"], 4, "{wrong}");
        let right = mjml.replace("{{ first_nam }}", "Hello from MJML");
        let saved = live(&mut browser, &id, "mjml", &right, &start, "1").await;
        assert!(saved["html"].as_str().unwrap().contains("Hello from MJML"), "{saved}");
        let page = browser.get(&format!("/deliveries/{id}/content")).await.text;
        assert!(page.contains("value=\"mjml\" checked") && page.contains("mj-section"), "{page}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preview_is_caged_and_tells_all_of_the_message() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        let id = draft(&mut browser).await;
        let start = revision(&browser.get(&format!("/deliveries/{id}/content")).await.text);
        let html = "<p>Hello</p><script>alert(1)</script><a href=\"https://shop.example/terms\">Terms</a>";
        live(&mut browser, &id, "html", html, &start, "1").await;
        for beside in ["", "&beside=1"] {
            let request =
                browser.client.get(format!("{}/deliveries/{id}/preview/html?as={beside}", browser.base));
            let answer = request.header("cookie", browser.cookie()).send().await.unwrap();
            let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
            assert!(policy.contains("sandbox") && policy.contains("default-src 'none'"), "{policy}");
            assert!(!policy.contains("allow-scripts") && !policy.contains("script-src"), "{policy}");
        }
        let page = browser.get(&format!("/deliveries/{id}/preview")).await.text;
        assert!(page.contains("<iframe sandbox=\"\"") && !page.contains("alert(1)"), "{page}");
        let page = browser.get(&format!("/deliveries/{id}/preview?part=headers")).await.text;
        assert!(page.contains("Subject") && page.contains("List-Unsubscribe"), "{page}");
        let page = browser.get(&format!("/deliveries/{id}/preview?part=links")).await.text;
        assert!(page.contains("https://shop.example/terms") && page.contains("Tracked"), "{page}");
        let page = browser.get(&format!("/deliveries/{id}/preview?format=text")).await.text;
        assert!(!page.contains("<iframe"), "a text message has no HTML: {page}");
        let page = browser.get(&format!("/deliveries/{id}/preview?as=nobody@x.example")).await.text;
        assert!(page.contains("nobody@x.example"), "{page}");
    })
    .await;
}

async fn attach_and_remove(browser: &mut Browser, path: &str) {
    let attached = upload(browser, &format!("{path}/attach"), "terms.txt", b"The terms.", "text/html").await;
    assert_eq!(attached.location, format!("{path}?done=attached"), "{}", attached.text);
    let page = browser.get(path).await.text;
    let base = revision(&page);
    let with = |when: &'static str| {
        [
            ("revision", base.as_str()),
            ("file", "terms.txt"),
            ("name", "Terms {{ country }}.txt"),
            ("when", when),
        ]
    };
    browser.post(&format!("{path}/attachments"), &with("country == 'DE'")).await;
    let page = browser.get(path).await.text;
    assert!(page.contains("Terms {{ country }}.txt") && page.contains("country == "), "{page}");
    let late = browser.post(&format!("{path}/attachments"), &with("country == 'typed late'")).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    assert!(late.text.contains("typed late"), "what was typed is still there: {}", late.text);
    let base = revision(&page);
    let fields = [
        ("revision", base.as_str()),
        ("file", "terms.txt"),
        ("name", ""),
        ("when", ""),
        ("remove", "terms.txt"),
    ];
    browser.post(&format!("{path}/attachments"), &fields).await;
    assert!(browser.get(path).await.text.contains("No attachment"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_uploaded_chosen_and_attached() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        let id = draft(&mut browser).await;
        let path = format!("/deliveries/{id}/files");
        assert!(browser.get(&path).await.text.contains("No image yet"));
        let kept = upload(&mut browser, &format!("{path}/upload"), "dot.gif", GIF, "application/json").await;
        assert_eq!(kept.status, StatusCode::CREATED, "{}", kept.text);
        let kept: Value = serde_json::from_str(&kept.text).unwrap();
        assert_eq!((&kept["reference"], &kept["width"]), (&"assets/dot.gif".into(), &1.into()));
        let lie = upload(
            &mut browser,
            &format!("{path}/upload"),
            "lie.png",
            b"not a picture at all",
            "application/json",
        )
        .await;
        assert_eq!(lie.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", lie.text);
        let plain = upload(&mut browser, &format!("{path}/upload"), "dot.gif", GIF, "text/html").await;
        assert_eq!(plain.location, format!("{path}?done=uploaded"), "{}", plain.text);
        let page = browser.get(&path).await.text;
        assert_eq!(page.matches("class=\"thumb\"").count(), 1, "the same picture is no second file: {page}");
        let picture =
            page.split("class=\"thumb\" src=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        assert_eq!(browser.get(&picture).await.status, StatusCode::OK);
        let other = draft(&mut browser).await;
        let elsewhere = picture.replace(&format!("/deliveries/{id}/"), &format!("/deliveries/{other}/"));
        assert_eq!(
            browser.get(&elsewhere).await.status,
            StatusCode::NOT_FOUND,
            "a delivery shows its own files only"
        );

        let fields = [
            ("revision", &*revision(&page)),
            ("images", "link"),
            ("image", "dot.gif"),
            ("inline", "dot.gif"),
        ];
        assert_eq!(browser.post(&path, &fields).await.location, format!("{path}?done=saved"));
        let page = browser.get(&path).await.text;
        assert!(page.contains("value=\"dot.gif\" checked"), "{page}");

        attach_and_remove(&mut browser, &path).await;
        let gone = browser.post(&format!("{path}/delete"), &[("name", "dot.gif")]).await;
        assert_eq!(gone.location, format!("{path}?done=deleted"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_hold_what_is_typed() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        let id = draft(&mut browser).await;
        let path = format!("/deliveries/{id}/links");
        let base = revision(&browser.get(&path).await.text);
        let fields = [
            ("revision", base.as_str()),
            ("opens", "1"),
            ("url", "https://shop.example/terms"),
            ("label", "Terms"),
            ("category", "legal"),
            ("mode", "untracked"),
            ("utm:source", "newsletter"),
        ];
        assert_eq!(browser.post(&path, &fields).await.location, format!("{path}?done=saved"));
        let found = house.state.deliveries.get(id.parse().unwrap()).await.unwrap().definition;
        assert!(found.tracking.opens && !found.tracking.clicks);
        assert_eq!(found.tracking.links[0].category, "legal");
        assert_eq!(found.tracking.utm["source"], "newsletter");
        assert!(
            browser.get(&path).await.text.contains("not in the content")
                || browser.get(&path).await.text.contains("no more")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_hold_what_is_typed() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        let id = draft(&mut browser).await;
        let path = format!("/deliveries/{id}/parameters");
        let base = revision(&browser.get(&path).await.text);
        let with = |headers: &'static str| {
            vec![
                ("revision", base.as_str()),
                ("label", "October"),
                ("validity", "5d"),
                ("retries", "5"),
                ("retry_period", "1h"),
                ("priority", "normal"),
                ("part_size", "0"),
                ("pool", "news"),
                ("format", "alternative"),
                ("encoding", "iso-2022-jp"),
                ("precedence", "bulk"),
                ("mirror_page", "always"),
                ("resource_validity", "30d"),
                ("personalization_time", "5s"),
                ("personalise", "1"),
                ("headers", headers),
            ]
        };
        let refused = browser.post(&path, &with("X-A: 1\nnothing")).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(
            refused.text.contains("Line 2") && refused.text.contains("nothing"),
            "what was typed is still there"
        );
        let refused = browser.post(&path, &with("From: me@x.example")).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "a header of our own is refused");
        assert!(
            refused.text.contains("Additional headers: names"),
            "and its field is named: {}",
            refused.text
        );
        assert_eq!(
            browser.post(&path, &with("X-Season: autumn")).await.location,
            format!("{path}?done=saved")
        );
        let found = house.state.deliveries.get(id.parse().unwrap()).await.unwrap().definition;
        assert_eq!(found.parameters.headers["X-Season"], "autumn");
        assert_eq!(
            (found.parameters.format.as_str(), found.parameters.mirror_page.as_str()),
            ("alternative", "always")
        );
        assert!(found.content.personalise && !found.content.inline_css);
        assert_eq!(found.parameters.pool, "news");
        // No source is in it, and it stays chosen all the same.
        let page = browser.get(&path).await.text;
        assert!(page.contains("<option value=\"news\" selected>"), "{page}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_templates_and_format_rules_are_kept() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        let block = [("name", "foot note"), ("html", "<p>Harbour Street</p>"), ("visible", "1")];
        let made = browser.post("/blocks/new", &block).await;
        assert_eq!(made.location, "/blocks/block/foot%20note?done=saved", "{}", made.text);
        assert_eq!(
            browser.post("/blocks/new", &block).await.status,
            StatusCode::CONFLICT,
            "names are taken once"
        );
        let broken = browser.post("/blocks/new", &[("name", "x"), ("html", "{{ oh")]).await;
        assert!(broken.status.is_client_error() && broken.text.contains("{{ oh"), "{}", broken.text);
        let id = draft(&mut browser).await;
        let start = revision(&browser.get(&format!("/deliveries/{id}/content")).await.text);
        let with_block = format!("{GOOD}{{% include \"foot note\" %}}");
        let saved = live(&mut browser, &id, "html", &with_block, &start, "1").await;
        assert!(saved["html"].as_str().unwrap_or_default().contains("Harbour Street"), "{saved}");
        let page = browser.get("/blocks/block/foot%20note").await.text;
        assert!(page.contains(&format!("/deliveries/{id}/content")), "where it is used: {page}");
        assert!(browser.get("/blocks/preview?name=foot+note").await.text.contains("Harbour Street"));

        let kept = browser.post(&format!("/deliveries/{id}/template"), &[("name", "Monthly")]).await.location;
        let template = kept.split('/').nth(2).unwrap().to_owned();
        let page = browser.get(&kept).await.text;
        assert!(!page.contains("class=\"steps\"") && page.contains("New delivery from it"), "{page}");
        let twice = browser.post(&format!("/deliveries/{id}/template"), &[("name", "Monthly")]).await;
        assert_eq!(twice.status, StatusCode::UNPROCESSABLE_ENTITY);
        let begun =
            browser.post("/deliveries/new", &[("label", "November"), ("template", &template)]).await.location;
        assert!(
            browser.get(&begun).await.text.contains("foot note"),
            "a delivery has its template's content"
        );
        assert!(browser.get("/templates").await.text.contains("Monthly"));
        browser.post(&format!("/templates/{template}/delete"), &[]).await;
        assert!(!browser.get("/templates").await.text.contains("Monthly"));

        let rule = [
            ("mask", "*.Example.JP"),
            ("position", "5"),
            ("structure", "text"),
            ("text_charset", "iso-2022-jp"),
        ];
        assert_eq!(
            browser.post("/settings/formats/new", &rule).await.location,
            "/settings/formats?done=saved"
        );
        let page = browser.get("/settings/formats").await.text;
        assert!(page.contains("*.example.jp"), "{page}");
        let bad = browser.post("/settings/formats/new", &[("mask", "no mask!")]).await;
        assert!(bad.status.is_client_error() && bad.text.contains("no mask!"), "{}", bad.text);
    })
    .await;
}
