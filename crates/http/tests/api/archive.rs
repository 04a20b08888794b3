//! The archive over REST and as a page, while it has nowhere to go.

use reqwest::StatusCode;
use serde_json::json;

use super::house::House;

#[tokio::test(flavor = "multi_thread")]
async fn it_says_where_copies_go_and_what_is_owed() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let (status, state) = house.get("/archive").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(state["to"], json!({"kind": "nowhere", "problem": ""}));
        assert_eq!(
            (&state["waiting"], &state["held"], &state["error"]),
            (&json!(0), &json!(0), &json!(null))
        );
        assert_eq!(house.get("/archive/held").await.1, json!({"items": [], "next": null}));
        assert_eq!(house.post("/archive/try-again", json!({})).await.1, json!({"released": 0}));
        let (status, problem) = house.post("/archive/give-up", json!({"messages": []})).await;
        assert_eq!((status.as_u16(), &problem["field"]), (422, &json!("messages")));
        let given = house.post("/archive/give-up", json!({"messages": ["4563402753"]})).await;
        assert_eq!(given.1, json!({"given_up": 0}));
        assert_eq!(house.get("/deliveries/77/copies").await.0, StatusCode::NOT_FOUND);
    })
    .await;
}
