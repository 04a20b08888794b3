//! Who is let in, under which name, with which headers; users, tokens, settings, backup, health.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::house::{House, answer};

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_without_a_token() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        for path in ["/api/v1/lists", "/api/v1/nothing", "/api/v1/backup"] {
            assert_eq!(
                answer(house.anonymous(Method::GET, path)).await.0,
                StatusCode::UNAUTHORIZED,
                "{path}"
            );
            let wrong = house.anonymous(Method::GET, path).bearer_auth("mw_wrong");
            assert_eq!(answer(wrong).await.0, StatusCode::UNAUTHORIZED);
        }
        let forwarded = house.request(Method::GET, "/api/v1/lists").header("x-forwarded-for", "192.0.2.1");
        assert_eq!(
            answer(forwarded).await.0,
            StatusCode::UNAUTHORIZED,
            "the local token is for direct peers"
        );
        let (status, problem) = house.get("/nothing").await;
        assert_eq!((status.as_u16(), &problem["code"]), (404, &json!("not_found")));
        assert_eq!(house.send(Method::PUT, "/lists", json!({})).await.0, StatusCode::METHOD_NOT_ALLOWED);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_hosts_name_is_refused_on_the_admin_side() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        for path in ["/api/v1/lists", "/"] {
            let request = house.request(Method::GET, path).header("host", "evil.example");
            assert_eq!(answer(request).await.0, StatusCode::MISDIRECTED_REQUEST, "{path}");
        }
        house.send(Method::PUT, "/settings/public_url", json!({"value": "https://mail.shop.example"})).await;
        let request = house.request(Method::GET, "/api/v1/lists").header("host", "mail.shop.example");
        assert_eq!(answer(request).await.0, StatusCode::OK, "the public name is ours, from now on");
        let response = house.request(Method::GET, "/api/v1/lists").send().await.unwrap();
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        let elsewhere = house.public(Method::GET, "/api/v1/lists").send().await.unwrap();
        assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND, "the public door has no API");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_tokens_and_cookies() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let (status, made) = house.post("/users", json!({"name": "ann"})).await;
        assert_eq!(status, StatusCode::CREATED);
        assert!(made["password"].as_str().unwrap().len() >= 16);
        let reset = house.post("/users/ann/reset", json!({})).await.1;
        assert_ne!(reset["password"], made["password"]);
        let (status, token) = house.post("/tokens", json!({"label": "ci", "user": "ann"})).await;
        assert_eq!(status, StatusCode::CREATED, "{token}");
        let bearer = token["token"].as_str().unwrap();
        let me = answer(house.anonymous(Method::GET, "/api/v1/me").bearer_auth(bearer)).await.1;
        assert_eq!(me["name"], "ann");
        let revoke = format!("/api/v1/tokens/{}", token["id"].as_str().unwrap());
        let revoked = answer(house.anonymous(Method::DELETE, &revoke).bearer_auth(bearer)).await.0;
        assert_eq!(revoked, StatusCode::NO_CONTENT);
        let after = answer(house.anonymous(Method::GET, "/api/v1/me").bearer_auth(bearer)).await.0;
        assert_eq!(after, StatusCode::UNAUTHORIZED);

        let now_us = house.state.clock.now_us();
        let browser = access::Browser { peer: "127.0.0.1".parse().unwrap(), agent: String::new() };
        let entry = house.state.access.sign_in("admin", &house.password, &browser, now_us).await.unwrap();
        let access::SignIn::Done(signed_in) = entry else { panic!("no second factor is on") };
        let cookie = format!("{}={}", access::SESSION_COOKIE, signed_in.cookie);
        let early = answer(house.anonymous(Method::GET, "/api/v1/me").header("cookie", &cookie)).await.0;
        assert_eq!(early, StatusCode::FORBIDDEN, "the one-time password comes first");
        let own = "a long enough password";
        let kept = Some(signed_in.cookie.as_str());
        let changed =
            house.state.access.change_password(&signed_in.caller, &house.password, own, kept, now_us);
        changed.await.unwrap();
        let with_cookie = |method| house.anonymous(method, "/api/v1/lists").header("cookie", &cookie);
        assert_eq!(answer(with_cookie(Method::GET)).await.0, StatusCode::OK);
        let cross =
            with_cookie(Method::POST).header("sec-fetch-site", "cross-site").json(&json!({"name": "x"}));
        assert_eq!(answer(cross).await.0, StatusCode::FORBIDDEN);
        let same =
            with_cookie(Method::POST).header("sec-fetch-site", "same-origin").json(&json!({"name": "x"}));
        assert_eq!(answer(same).await.0, StatusCode::CREATED);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_mail_that_is_not_taken_says_why() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let (status, problem) =
            house.post("/test-mail", json!({"from": "a@x.example", "to": "no address"})).await;
        assert_eq!((status.as_u16(), &problem["field"]), (422, &json!("to")));
        let (status, problem) =
            house.post("/test-mail", json!({"from": "a@x.example", "to": "b@y.example"})).await;
        assert_eq!((status.as_u16(), &problem["detail"]), (502, &json!("no engine")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_described_operation_is_there() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let (_, document) = house.get("/openapi.json").await;
        for (path, operations) in document["paths"].as_object().unwrap() {
            for method in operations.as_object().unwrap().keys() {
                let place = path.replace("{id}", "77").replace(['{', '}'], "");
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let request = house.request(method.clone(), &format!("/api/v1{place}"));
                let (status, answer) = answer(request).await;
                assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
                assert_ne!(answer["detail"], "There is no such resource.", "{method} {path}");
                assert!(status.as_u16() < 500, "{method} {path}: {answer}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_say_where_they_come_from() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        assert_eq!(house.get("/settings/public_url").await.1["origin"], "default");
        let set = json!({"value": "https://mail.shop.example"});
        assert_eq!(house.send(Method::PUT, "/settings/public_url", set).await.1["origin"], "database");
        let relay = json!({"value": "smtp://user:secret@relay.example:587"});
        let shown = house.send(Method::PUT, "/settings/mta.relay", relay).await.1;
        assert!(!shown.to_string().contains("secret@"), "{shown}");
        let (status, problem) = house.send(Method::PUT, "/settings/mta.port", json!({"value": "0"})).await;
        assert_eq!((status.as_u16(), &problem["field"]), (422, &json!("value")));
        assert_eq!(house.get("/settings/no.such").await.0, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_needs_no_sign_in_and_a_backup_restores() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        assert_eq!(answer(house.anonymous(Method::GET, "/healthz")).await.0, StatusCode::OK);
        assert_eq!(answer(house.anonymous(Method::GET, "/readyz")).await.0, StatusCode::OK);
        house.post("/lists", json!({"name": "kept"})).await;
        let backup =
            house.request(Method::GET, "/api/v1/backup").send().await.unwrap().bytes().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("b");
        std::fs::write(&file, &backup).unwrap();
        let url = format!("sqlite:{}", dir.path().join("new.db").display());
        let restored = store::Store::open(&url, store::Options::default()).await.unwrap();
        let rooms = [
            access::MIGRATIONS,
            ::audience::MIGRATIONS,
            content::MIGRATIONS,
            routes::MIGRATIONS,
            queue::MIGRATIONS,
            feedback::MIGRATIONS,
            archive::MIGRATIONS,
            tracking::MIGRATIONS,
            delivery::MIGRATIONS,
        ];
        restored.restore(&rooms, &file, dir.path()).await.unwrap();
        assert!(dir.path().join("master.key").exists());
        let lists = ::audience::Audience::new(restored).lists().await.unwrap();
        assert_eq!(lists.iter().map(|list| list.name.as_str()).collect::<Vec<_>>(), ["kept"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_bounded() {
    store::testing::sqlite(|store| async move {
        let house = House::build(store).await;
        let big = json!({"name": "x".repeat(5 << 20)});
        let sent = house.request(Method::POST, "/api/v1/lists").json(&big).send().await;
        // The answer comes before the body is read; whether the client still hears it depends on the sockets.
        if let Ok(response) = sent {
            assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        }
        assert_eq!(house.get("/lists").await.1["items"], json!([]));
        let plain =
            house.request(Method::POST, "/api/v1/lists").header("content-type", "text/plain").body("{}");
        assert_eq!(answer(plain).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    })
    .await;
}
