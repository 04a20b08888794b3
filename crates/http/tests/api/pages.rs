//! The pages over real sockets: signing in, the key steps by forms alone (no script runs here), and a walk over every
//! link.

use std::collections::{BTreeSet, VecDeque};

use reqwest::{Method, StatusCode, multipart, redirect::Policy};

use super::house::House;

const NEW_PASSWORD: &str = "correct horse battery";

/// A browser without scripts: keeps its cookie, follows redirects only when told to.
pub(super) struct Browser {
    pub base: String,
    cookie: String,
    pub client: reqwest::Client,
}

pub(super) struct Shown {
    pub status: StatusCode,
    pub location: String,
    pub text: String,
}

impl Browser {
    pub fn new(house: &House) -> Browser {
        let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        Browser { base: format!("http://{}", house.address), cookie: String::new(), client }
    }

    /// Signed in, with the one-time password changed.
    pub async fn signed_in(house: &House) -> Browser {
        let mut browser = Browser::new(house);
        let answer = browser.post("/sign-in", &[("name", "admin"), ("password", &house.password)]).await;
        assert_eq!(answer.location, "/setup", "a one-time password leads to Setup: {}", answer.text);
        let fields = [("now", house.password.as_str()), ("new", NEW_PASSWORD), ("again", NEW_PASSWORD)];
        assert_eq!(browser.post("/setup/password", &fields).await.location, "/setup/url");
        browser
    }

    /// Takes over a session.
    pub fn be(&mut self, cookie: &str) {
        cookie.clone_into(&mut self.cookie);
    }

    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    pub async fn send(&mut self, request: reqwest::RequestBuilder) -> Shown {
        let answer = request.header("cookie", &self.cookie).send().await.unwrap();
        if let Some(cookie) = answer.headers().get("set-cookie") {
            self.cookie = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        }
        let location = answer.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        let (status, location) = (answer.status(), location.unwrap_or_default());
        Shown { status, location, text: answer.text().await.unwrap() }
    }

    pub async fn get(&mut self, path: &str) -> Shown {
        let request = self.client.get(format!("{}{path}", self.base));
        self.send(request).await
    }

    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Shown {
        let request =
            self.client.post(format!("{}{path}", self.base)).header("sec-fetch-site", "same-origin");
        let body = fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        let body = body.collect::<Vec<_>>().join("&");
        self.send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|octet| format!("%{octet:02X}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_a_password() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::new(&house);
        let answer = browser.get("/deliveries?q=x").await;
        assert_eq!(
            (answer.status, answer.location.as_str()),
            (StatusCode::SEE_OTHER, "/sign-in?next=%2Fdeliveries%3Fq%3Dx")
        );
        let answer = browser.post("/sign-in", &[("name", "admin"), ("password", "guess")]).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(answer.text.contains("Name or password is wrong") && !answer.text.contains("guess"));
        browser.post("/sign-in", &[("name", "admin"), ("password", &house.password)]).await;
        assert_eq!(
            browser.get("/deliveries").await.location,
            "/setup",
            "the one-time password must go first"
        );
        let fields = [("now", house.password.as_str()), ("new", NEW_PASSWORD), ("again", "something else")];
        assert_eq!(browser.post("/setup/password", &fields).await.status, StatusCode::UNPROCESSABLE_ENTITY);
        let mut browser = Browser::signed_in(&house).await;
        assert_eq!(browser.get("/deliveries").await.status, StatusCode::OK);
        browser.post("/sign-out", &[]).await;
        assert_eq!(browser.get("/").await.location, "/sign-in");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_cannot_send_our_forms() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "http://evil.example")] {
            let request = browser.client.request(Method::POST, format!("{}/lists", browser.base));
            let answer = browser.send(request.header(name, value).body("name=x")).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}");
        }
        assert!(house.state.audience.lists().await.unwrap().is_empty());
    })
    .await;
}

async fn import(browser: &mut Browser) {
    let csv = "E-Mail,First name,points\nann@x.example,Ann,10\nben@x.example,,20\nnobody,No,1\n";
    let part = multipart::Part::text(csv).file_name("people.csv");
    let request = browser.client.post(format!("{}/imports/upload", browser.base));
    let map = browser.send(request.multipart(multipart::Form::new().part("file", part))).await.location;
    let page = browser.get(&map).await.text;
    assert!(page.contains("ann@x.example") && page.contains("First name"), "{page}");
    let token = map.split('=').nth(1).unwrap().to_owned();
    let columns = [
        ("column", "E-Mail"),
        ("field", "email"),
        ("column", "First name"),
        ("field", "first_name"),
        ("column", "points"),
        ("field", ""),
    ];
    let mut fields =
        vec![("upload", token.as_str()), ("encoding", "utf-8"), ("list", "newsletter"), ("do", "dry")];
    fields.extend(columns);
    let tried = browser.post("/imports/start", &fields).await.location;
    let page = finished(browser, &tried).await;
    assert!(page.contains("dry run") && page.contains("Import for real"), "{page}");
    let real = browser.post("/imports/1/again", &[("upload", &token)]).await.location;
    let page = finished(browser, &real).await;
    assert!(page.contains("nobody,No,1"), "the rejected row is shown: {page}");
    let gone = browser.post("/imports/1/again", &[("upload", &token)]).await;
    assert_eq!(gone.status, StatusCode::GONE);
}

async fn finished(browser: &mut Browser, path: &str) -> String {
    loop {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
        if !page.text.contains("badge info live") {
            return page.text;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

pub(super) fn revision(page: &str) -> String {
    let at = page.find("name=\"revision\" value=\"").unwrap() + 23;
    page[at..].split('"').next().unwrap().to_owned()
}

/// Fills a draft: content with a mistake first, then without, and the target.
async fn prepare(browser: &mut Browser) {
    let label = "<script>alert(1)</script>";
    let created = browser
        .post("/deliveries/new", &[("label", label), ("subject", "Hello {{ first_name | default('you') }}")])
        .await;
    assert_eq!(created.location, "/deliveries/1/content?done=created", "{}", created.text);
    let page = browser.get("/deliveries/1/content").await.text;
    assert!(page.contains("&lt;script&gt;") || page.contains("&#60;script&#62;"), "names are escaped");
    assert!(!page.contains(label) && page.contains("Missing: sender, content, target"), "{page}");
    let base = revision(&page);
    let save = |html: &'static str, base: String| {
        vec![
            ("revision", base),
            ("from_name", "Shop".to_owned()),
            ("from_address", "news@shop.example".to_owned()),
            ("subject", "Hello {{ first_name | default('you') }}".to_owned()),
            ("html", html.to_owned()),
        ]
    };
    let wrong = save("<p>Hello</p>\r\n<p>{{ first_name </p>", base.clone());
    let wrong: Vec<(&str, &str)> = wrong.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(
        browser.post("/deliveries/1/content", &wrong).await.location,
        "/deliveries/1/content?done=saved"
    );
    let page = browser.get("/deliveries/1/content").await.text;
    assert!(page.contains("HTML line 2"), "an error stands at its place: {page}");
    let answer = browser.post("/deliveries/1/content", &wrong).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "an edit on an old revision is refused");
    let right = save(
        "<p>Hello {{ first_name | default('you') }}</p><a href=\"{{ unsubscribe_url }}\">Unsubscribe</a>",
        revision(&page),
    );
    let right: Vec<(&str, &str)> = right.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.post("/deliveries/1/content", &right).await;
    let page = browser.get("/deliveries/1/target").await.text;
    let fields = [
        ("revision", revision(&page)),
        ("new_side", "include".to_owned()),
        ("new_kind", "list".to_owned()),
        ("new_list", "newsletter".to_owned()),
        ("do", "add".to_owned()),
        ("exclude_denylisted", "1".to_owned()),
    ];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(
        browser.post("/deliveries/1/target", &fields).await.location,
        "/deliveries/1/target?done=saved"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_steps_go_by_forms_alone() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        import(&mut browser).await;
        prepare(&mut browser).await;
        let preview = browser.get("/deliveries/1/preview/html?as=ann@x.example").await;
        assert!(preview.text.contains("Hello Ann"), "{}", preview.text);
        let answer = browser.post("/deliveries/1/confirm", &[("snapshot", "x")]).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "nothing is sent that was not analysed");
        browser.post("/deliveries/1/analysis", &[]).await;
        let page = finished(&mut browser, "/deliveries/1/analysis").await;
        assert!(page.contains("Send 2 messages"), "Confirm says how many: {page}");
        let at = page.find("name=\"snapshot\" value=\"").unwrap() + 23;
        let snapshot = page[at..].split('"').next().unwrap().to_owned();
        let answer = browser.post("/deliveries/1/confirm", &[("snapshot", &snapshot)]).await;
        assert_eq!(answer.location, "/deliveries/1/watch?done=confirmed", "{}", answer.text);
        let page = browser.get("/deliveries/1/watch").await.text;
        assert!(page.contains("By provider") && page.contains("Stop for good"), "{page}");
        walk(&mut browser).await;
        let ann = house.state.audience.recipient_by_address("ann@x.example").await.unwrap().unwrap();
        browser.post(&format!("/recipients/{}/denylist", ann.id), &[("denylisted", "1")]).await;
        assert!(browser.get(&format!("/recipients/{}", ann.id)).await.text.contains("On the denylist"));
        let answer = browser.post("/deliveries/1/stop", &[]).await;
        assert!(browser.get(&answer.location).await.text.contains("2 were cancelled"));
    })
    .await;
}

/// Follows every link of every page. None may lead nowhere, and none may carry script or style of its own.
async fn walk(browser: &mut Browser) {
    let mut seen = BTreeSet::new();
    let mut next: VecDeque<String> = VecDeque::from(["/".to_owned()]);
    while let Some(path) = next.pop_front() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let page = browser.get(&path).await;
        assert!(page.status.is_success() || page.status.is_redirection(), "{path}: {}", page.status);
        let is_page = page.text.starts_with("<!doctype html>") && !path.ends_with("/html");
        if !is_page {
            continue;
        }
        for sign in ["<style", " style=\"", "javascript:", " onclick=", "<script>"] {
            assert!(!page.text.contains(sign), "{path} has {sign}");
        }
        assert!(!page.text.contains("{{ \"") && !page.text.contains("|t }}"), "{path} shows a template");
        for link in page.text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let link = link.replace("&#38;", "&").replace("&amp;", "&");
            let link = link.split('#').next().unwrap_or_default().to_owned();
            // The calendar leads to every day there is.
            let endless = link.starts_with("/calendar?");
            if link.starts_with('/') && !link.starts_with("/assets/") && !endless {
                next.push_back(link);
            }
        }
    }
    for path in [
        "/deliveries/1/log",
        "/recipients/1",
        "/segments/new",
        "/settings/tokens",
        "/settings/archive",
        "/help/key-steps",
        "/imports/1",
    ] {
        assert!(seen.contains(path), "{path} is reached by links: {seen:?}");
    }
}
