//! Pages for people who may look and not change, the owner of a delivery, and forgotten passwords.

use ::access::Rights;
use reqwest::StatusCode;
use serde_json::json;

use super::{
    house::{House, USER_PASSWORD},
    pages::Browser,
};

async fn draft(house: &House) -> String {
    let definition =
        json!({"label": "October", "subject": "News", "sender": {"address": "news@shop.example"}});
    let (status, made) =
        house.post("/deliveries", json!({"definition": definition, "html": "<p>x</p>"})).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

async fn browser_of(house: &House, name: &str, rights: Rights) -> Browser {
    let (cookie, _) = house.user(name, rights).await;
    let mut browser = Browser::new(house);
    browser.be(&cookie);
    browser
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_say_why_they_are_closed_for_somebody() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let id = draft(&house).await;
        let mut looker = browser_of(&house, "eve", Rights { approve: true, ..Rights::NONE }).await;
        let mut author = browser_of(&house, "ann", Rights::DAILY).await;
        for tab in ["content", "files", "links", "target", "parameters", "schedule", "validation", "variants"]
        {
            let path = format!("/deliveries/{id}/{tab}");
            let (closed, open) = (looker.get(&path).await.text, author.get(&path).await.text);
            assert!(closed.contains("the right to prepare deliveries"), "{tab}: {closed}");
            assert!(!open.contains("the right to prepare deliveries"), "{tab}");
            if tab != "files" {
                assert!(closed.contains("<fieldset disabled>"), "{tab}: {closed}");
                assert!(!open.contains("<fieldset disabled>"), "{tab}");
            }
            assert!(!closed.contains("btn primary\">Save<") && !closed.contains("value=\"save\">"), "{tab}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_given_to_somebody_else() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let mut ann = browser_of(&house, "ann", Rights::DAILY).await;
        let mut bob = browser_of(&house, "bob", Rights::DAILY).await;
        let id = draft(&house).await;
        house.post(&format!("/deliveries/{id}/owner"), json!({"owner": "ann"})).await;
        let (path, give) = (format!("/deliveries/{id}/validation"), format!("/deliveries/{id}/owner"));
        let page = bob.get(&path).await.text;
        assert!(page.contains("Only ann and administrators may give it"), "{page}");
        assert_eq!(bob.post(&give, &[("owner", "bob")]).await.status, StatusCode::FORBIDDEN);
        let unknown = ann.post(&give, &[("owner", "nobody")]).await;
        assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", unknown.text);
        let given = ann.post(&give, &[("owner", "bob")]).await;
        assert_eq!((given.status, given.location), (StatusCode::SEE_OTHER, format!("{path}?done=saved")));
        let now = house.get(&format!("/deliveries/{id}")).await.1;
        assert_eq!(now["owner"], "bob");
        assert!(ann.get(&path).await.text.contains("Only bob and administrators may give it"));
        let log = house.get("/audit?action=delivery.owner").await.1.to_string();
        assert!(log.contains("\"detail\":\"bob\""), "{log}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_is_asked_for_without_telling_who_is_there() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        house.user("anna", Rights::DAILY).await;
        let (access, now_us) = (&house.state.access, house.state.clock.now_us());
        assert_eq!(access.forgotten("anna", now_us).await.unwrap(), None, "no address to mail it to");
        access.set_email("test", "anna", "Anna@x.example", now_us).await.unwrap();
        assert_eq!(access.forgotten("nobody", now_us).await.unwrap(), None);
        let link = access.forgotten("anna@X.example", now_us).await.unwrap().unwrap();
        assert_eq!((link.name.as_str(), link.email.as_str()), ("anna", "Anna@x.example"));
        let soon = access.forgotten("anna", now_us + 60_000_000).await.unwrap();
        assert_eq!(soon, None, "not one after the other");

        let mut nobody = Browser::new(&house);
        assert!(nobody.get("/sign-in").await.text.contains("href=\"/password/forgotten\""));
        let known = nobody.post("/password/forgotten", &[("name", "anna")]).await;
        let unknown = nobody.post("/password/forgotten", &[("name", "nobody")]).await;
        assert_eq!((known.status, &known.text), (StatusCode::OK, &unknown.text), "the same words");
        let path = format!("/password/{}", link.token);
        let chosen =
            nobody.post(&path, &[("new", "other unrelated words"), ("again", "other unrelated words")]);
        assert_eq!(chosen.await.status, StatusCode::SEE_OTHER);
        let fields = [("name", "anna"), ("password", USER_PASSWORD)];
        assert_eq!(Browser::new(&house).post("/sign-in", &fields).await.status, StatusCode::UNAUTHORIZED);
    })
    .await;
}
