//! The pages of sending domains: who signs beside a domain, how its keys stand, and what a check finds.

use reqwest::StatusCode;
use serde_json::json;

use super::{house::House, pages::Browser};

async fn two_domains(house: &House) -> Browser {
    for domain in ["shop.example", "group.example"] {
        house.post("/domains", json!({"domain": domain})).await;
    }
    Browser::signed_in(house).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_domain_signs_too() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let mut browser = two_domains(&house).await;
        let page = browser.get("/domains/shop.example").await.text;
        assert!(
            page.contains("Second signature") && page.contains("<option value=\"group.example\">"),
            "{page}"
        );
        assert!(!page.contains("<option value=\"shop.example\""), "it cannot sign twice: {page}");
        let kept = browser.post("/domains/shop.example/also", &[("also", "group.example")]).await;
        assert_eq!(kept.location, "/domains/shop.example?done=saved", "{}", kept.text);
        let page = browser.get("/domains/shop.example").await.text;
        assert!(page.contains("<option value=\"group.example\" selected>"), "{page}");
        assert!(browser.get("/domains").await.text.contains("also signed by group.example"));
        let domains = house.get("/domains").await.1;
        assert_eq!(domains["items"][1]["also"], "group.example", "{domains}");

        let own = browser.post("/domains/shop.example/also", &[("also", "shop.example")]).await;
        assert_eq!(own.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(own.text.contains("must be another sending domain"), "{}", own.text);
        let gone = browser.post("/domains/shop.example/also", &[("also", "none.example")]).await;
        assert_eq!(gone.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(gone.text.contains("none.example"), "{}", gone.text);
        browser.post("/domains/shop.example/also", &[("also", "")]).await;
        assert_eq!(house.get("/domains").await.1["items"][1]["also"], json!(null));
        assert_eq!(browser.get("/domains/none.example").await.status, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_says_whose_keys_are_being_replaced() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let mut browser = two_domains(&house).await;
        assert!(!browser.get("/domains").await.text.contains("new keys wait"));
        browser.post("/domains/shop.example/rotation", &[]).await;
        let page = browser.get("/domains").await.text;
        assert_eq!(page.matches("new keys wait for their records").count(), 1, "{page}");
        assert!(page.contains("/domains/shop.example#keys"), "{page}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_shows_what_receivers_look_at_in_the_readers_language() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let mut browser = two_domains(&house).await;
        let path = format!("{}/domains/shop.example?check=1", browser.base);
        let page = {
            let request = browser.client.get(&path);
            browser.send(request).await
        }
        .text;
        for part in ["What else receivers look at", "Alignment", "Add this TXT record at _dmarc.shop.example"]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
        let page = {
            let request = browser.client.get(&path).header("accept-language", "ja");
            browser.send(request).await
        }
        .text;
        for part in ["受信側がほかに見るもの", "_dmarc.shop.example に、この TXT レコードを追加してください"]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("Add this"), "{page}");
    })
    .await;
}
