//! Invitations, the second factor, sessions, language and zone, as people meet them in a browser without scripts.

use ::access::{Rights, app_code};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{
    house::{House, USER_PASSWORD, answer},
    pages::Browser,
};

/// What stands in a page between two marks.
fn between<'a>(page: &'a str, start: &str, end: &str) -> &'a str {
    let at = page.find(start).unwrap_or_else(|| panic!("{start} is not in {page}")) + start.len();
    page[at..].split(end).next().unwrap()
}

/// The path of the link that a page shows.
fn link(page: &str) -> String {
    format!("/password/{}", between(page, "/password/", "<"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_leads_in_once() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let mut admin = Browser::signed_in(&house).await;
        let fields =
            [("name", "anna"), ("email", ""), ("right", "prepare"), ("right", "start"), ("do", "invite")];
        let page = admin.post("/settings/users", &fields).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        assert!(
            page.text.contains("Invitation of anna") && page.text.contains("was not mailed"),
            "{}",
            page.text
        );
        let again = admin.post("/settings/users", &fields).await;
        assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(again.text.contains("already an account named anna"));
        let path = link(&page.text);

        let mut anna = Browser::new(&house);
        for _ in 0..2 {
            let shown = anna.get(&path).await;
            assert!(
                shown.text.contains("Welcome to Mailwright") && shown.text.contains("anna"),
                "looking uses nothing up"
            );
        }
        let differ = anna.post(&path, &[("new", USER_PASSWORD), ("again", "another one")]).await;
        assert_eq!(differ.status, StatusCode::UNPROCESSABLE_ENTITY);
        let weak = anna.post(&path, &[("new", "annaanna12"), ("again", "annaanna12")]).await;
        assert!(weak.text.contains("too easy to guess"), "{}", weak.text);
        let chosen = anna.post(&path, &[("new", USER_PASSWORD), ("again", USER_PASSWORD)]).await;
        assert_eq!((chosen.status, chosen.location.as_str()), (StatusCode::SEE_OTHER, "/"));
        let account = anna.get("/account").await.text;
        assert!(account.contains("signed in as anna") && account.contains("Prepare, Start"), "{account}");
        assert_eq!(anna.post("/lists", &[("name", "x")]).await.status, StatusCode::FORBIDDEN);
        assert_eq!(Browser::new(&house).get(&path).await.status, StatusCode::GONE);
        let forged = Browser::new(&house).get("/password/nonsense").await;
        assert_eq!(forged.status, StatusCode::GONE);
        assert!(forged.text.contains("used already"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_invites_and_links_too() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let who = json!({"name": "anna", "email": "anna@x.example", "rights": ["approve"]});
        let (status, made) = house.post("/invitations", who).await;
        assert_eq!(
            (status, &made["kind"], &made["mailed"]),
            (StatusCode::CREATED, &json!("invitation"), &json!(false))
        );
        let first = made["link"].as_str().unwrap().to_owned();
        assert!(first.starts_with(&format!("http://{}/password/", house.address)));
        let user = house.get("/users").await.1["items"][1].clone();
        assert_eq!((&user["invited"], &user["rights"]), (&json!(true), &json!(["approve"])));
        let (_, again) = house.post("/users/anna/link", json!({})).await;
        assert_ne!(again["link"], first.as_str());
        let log = house.get("/audit?action=user.").await.1.to_string();
        let token = first.rsplit('/').next().unwrap();
        assert!(!log.contains(token), "the secret stands nowhere");
        house.post("/users/anna/reset", json!({})).await;
        let path = again["link"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        assert_eq!(Browser::new(&house).get(&format!("/password/{path}")).await.status, StatusCode::GONE);
    })
    .await;
}

/// Switches the second factor on; answers the secret and the recovery codes.
async fn second_factor(house: &House, browser: &mut Browser) -> (String, Vec<String>) {
    let page = browser.get("/account/second-factor").await.text;
    let secret = between(&page, "name=\"secret\" value=\"", "\"").to_owned();
    assert!(page.contains("<svg class=\"qr\""));
    let code = app_code(&secret, house.state.clock.now_us()).unwrap();
    let wrong = [("do", "on"), ("secret", &secret), ("code", &code), ("password", "guess")];
    let refused = browser.post("/account/second-factor", &wrong).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(refused.text.contains(&secret), "the app needs no second scan");
    let right = [("do", "on"), ("secret", &secret), ("code", &code), ("password", USER_PASSWORD)];
    let shown = browser.post("/account/second-factor", &right).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.text);
    let list = between(&shown.text, "<ul class=\"codes\">", "</ul>");
    let codes = list.split("<code>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect();
    (secret, codes)
}

async fn browser_of(house: &House, cookie: &str) -> Browser {
    let mut browser = Browser::new(house);
    browser.be(cookie);
    browser
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_step_is_asked_for() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let (cookie, _) = house.user("anna", Rights::DAILY).await;
        let mut anna = browser_of(&house, &cookie).await;
        let (_, codes) = second_factor(&house, &mut anna).await;
        assert_eq!(codes.len(), 10);
        anna.post("/sign-out", &[]).await;
        assert_eq!(anna.get("/account").await.location, "/sign-in?next=%2Faccount");

        let mut anna = Browser::new(&house);
        let fields = [("name", "anna"), ("password", USER_PASSWORD), ("next", "/lists")];
        let page = anna.post("/sign-in", &fields).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(
            page.text.contains("Second step") && anna.cookie().is_empty(),
            "no session yet: {}",
            page.text
        );
        let ticket = between(&page.text, "name=\"ticket\" value=\"", "\"").to_owned();
        let fields = |code: &'static str| {
            [("ticket", ticket.clone()), ("next", "/lists".into()), ("code", code.into())]
        };
        let wrong = fields("000000").map(|(name, value): (&str, String)| (name, value));
        let wrong: Vec<(&str, &str)> = wrong.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let again = anna.post("/sign-in/code", &wrong).await;
        assert_eq!(again.status, StatusCode::UNAUTHORIZED);
        assert!(again.text.contains("not right"), "{}", again.text);
        let spare = [("ticket", ticket.as_str()), ("next", "/lists"), ("code", codes[0].as_str())];
        let inside = anna.post("/sign-in/code", &spare).await;
        assert_eq!((inside.status, inside.location.as_str()), (StatusCode::SEE_OTHER, "/lists"));
        assert!(anna.get("/account").await.text.contains("9 recovery codes are left"));
        let late = Browser::new(&house).post("/sign-in/code", &spare).await;
        assert_eq!(late.status, StatusCode::UNAUTHORIZED, "a ticket is for one sign-in");

        let off = house.send(Method::DELETE, "/users/anna/second-factor", json!({})).await;
        assert_eq!(off.0, StatusCode::NO_CONTENT);
        let fields = [("name", "anna"), ("password", USER_PASSWORD)];
        assert_eq!(Browser::new(&house).post("/sign-in", &fields).await.location, "/");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sessions_are_seen_and_ended() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let (cookie, token) = house.user("anna", Rights::NONE).await;
        let mut here = browser_of(&house, &cookie).await;
        let mut there = Browser::new(&house);
        there.post("/sign-in", &[("name", "anna"), ("password", USER_PASSWORD)]).await;
        let page = here.get("/account").await.text;
        assert!(page.contains("this one") && page.contains("127.0.0.1"));
        let id = between(&page, "/account/sessions/", "/end").to_owned();
        assert_eq!(there.get("/account").await.status, StatusCode::OK);
        here.post(&format!("/account/sessions/{id}/end"), &[]).await;
        assert!(there.get("/account").await.location.starts_with("/sign-in"));
        there.post("/sign-in", &[("name", "anna"), ("password", USER_PASSWORD)]).await;
        assert_eq!(here.post("/account/sessions/end", &[]).await.location, "/account?done=signed-out");
        assert!(there.get("/account").await.location.starts_with("/sign-in"));
        assert_eq!(here.get("/account").await.status, StatusCode::OK);
        let with_token = |method, path: &str| house.anonymous(method, path).bearer_auth(&token);
        let listed = answer(with_token(Method::GET, "/api/v1/me/sessions")).await.1;
        assert_eq!(listed["items"].as_array().unwrap().len(), 1);
        answer(with_token(Method::DELETE, "/api/v1/me/sessions")).await;
        assert!(here.get("/account").await.location.starts_with("/sign-in"), "a token ends them all");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_in_the_readers_language_and_zone() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let japanese = house.anonymous(Method::GET, "/sign-in").header("accept-language", "ja,en;q=0.5");
        let text = japanese.send().await.unwrap().text().await.unwrap();
        assert!(text.contains("<html lang=\"ja\">") && text.contains("パスワード"), "{text}");
        let (cookie, token) = house.user("anna", Rights::ALL).await;
        let mut anna = browser_of(&house, &cookie).await;
        let english = anna.get("/account").await.text;
        assert!(english.contains("<html lang=\"en\">") && english.contains(" UTC</time>"), "{english}");
        let wrong = [("language", "ja"), ("time_zone", "Mars/Base")];
        let refused = anna.post("/account/profile", &wrong).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.text.contains("no time zone named Mars/Base"));
        let fields = [("language", "ja"), ("time_zone", "Asia/Tokyo"), ("email", "anna@x.example")];
        assert_eq!(anna.post("/account/profile", &fields).await.location, "/account?done=saved");
        let page = anna.get("/account?done=saved").await.text;
        assert!(page.contains("<html lang=\"ja\" data-zone=\"Asia/Tokyo\">"), "{page}");
        assert!(page.contains("保存しました。") && page.contains("サインアウト"), "{page}");
        let year = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::get("Asia/Tokyo").unwrap()).year();
        assert!(page.contains(&format!(">{year}年")) && !page.contains(" UTC</time>"), "{page}");
        let audit = anna.get("/audit").await.text;
        assert!(audit.contains("日付は Asia/Tokyo のもの"), "{audit}");
        let forbidden = house.user("bob", Rights::NONE).await.0;
        let mut bob = browser_of(&house, &forbidden).await;
        bob.post("/account/profile", &[("language", "ja")]).await;
        let refused = bob.get("/settings").await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert!(refused.text.contains("「管理」の権限が必要"), "{}", refused.text);
        let me = |method| house.anonymous(method, "/api/v1/me").bearer_auth(&token);
        let changed = answer(me(Method::PATCH).json(&json!({"language": "en"}))).await.1;
        assert_eq!((&changed["language"], &changed["time_zone"]), (&json!("en"), &json!("Asia/Tokyo")));
        assert_eq!(answer(me(Method::GET)).await.1["email"], "anna@x.example");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_time_password_is_changed_first_and_setup_is_for_administrators() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let (_, made) = house.post("/users", json!({"name": "anna", "rights": ["prepare"]})).await;
        let password = made["password"].as_str().unwrap();
        let mut anna = Browser::new(&house);
        assert_eq!(
            anna.post("/sign-in", &[("name", "anna"), ("password", password)]).await.location,
            "/setup"
        );
        assert_eq!(
            anna.post("/segments/new", &[("name", "x")]).await.location,
            "/setup",
            "nothing before that"
        );
        let fields = [("now", password), ("new", USER_PASSWORD), ("again", USER_PASSWORD)];
        assert_eq!(anna.post("/setup/password", &fields).await.location, "/");
        assert_eq!(anna.get("/setup").await.location, "/");
        assert_eq!(
            anna.post("/setup/url", &[("public_url", "https://evil.example")]).await.status,
            StatusCode::FORBIDDEN
        );
        assert!(house.state.settings().public_url().is_none());
        let page = anna.get("/").await.text;
        assert!(
            !page.contains("href=\"/audit\"") && !page.contains("href=\"/settings\""),
            "what is closed is not offered"
        );
    })
    .await;
}
