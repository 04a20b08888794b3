//! What recipients reach: links, open pixel, mirror page, pictures. And what operators see of it.

use mail_parser::MessageParser;
use message::{Purpose, Token, TokenKeys};
use queue::message_id;
use reqwest::{Method, RequestBuilder, Response, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use store::{Lane, Tx};
use tracking::EventKind;

use crate::{
    house::{House, answer},
    pages::Browser,
};

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0";
const HTML: &str = "<p>Dear {{ first_name | default('customer') }}</p>\n\
    <p><a href=\"https://shop.example/autumn?a=1&amp;b=2\">Autumn</a> \
    <a href=\"https://shop.example/for?who={{ first_name | default('you') }}\">For you</a></p>\n\
    <p><a href=\"{{ mirror_url }}\">On the web</a> <img src=\"assets/dot.gif\" alt=\"dot\"></p>\n\
    <p><a href=\"{{ unsubscribe_url }}\">Unsubscribe</a> {{ qr('https://shop.example/q') }}</p>";
/// One red pixel.
const GIF: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\x00\x00\x00\x00\x00!\xf9\x04\x00\x00\x00\x00\x00,\x00\x00\
                     \x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// A confirmed delivery, and a client that follows no redirect.
struct Rig {
    house: House,
    client: reqwest::Client,
    delivery: i64,
    /// The first recipient's HTML, as it would be sent.
    html: String,
}

impl Rig {
    async fn new(store: store::Store) -> Rig {
        Rig::with(store, "", HTML).await
    }

    async fn with(store: store::Store, parameters: &str, html: &str) -> Rig {
        let house = House::build(store).await;
        house.post("/domains", json!({"domain": "shop.example"})).await;
        house.import("list=news", "email,first_name\nann@x.example,Ann & Co\nbob@y.example,\n").await;
        let toml = format!(
            "label = \"October\"\nsubject = \"News\"\n[sender]\nname = \"Shop\"\naddress = \"news@shop.example\"\n\
             [target]\ninclude = [{{ list = \"news\" }}]\n[parameters]\n{parameters}\n"
        );
        let form = reqwest::multipart::Form::new().text("origin", "/somewhere");
        let file = |name: &str, bytes: &[u8]| {
            reqwest::multipart::Part::bytes(bytes.to_vec()).file_name(name.to_owned())
        };
        let form = form
            .part("file", file("delivery.toml", toml.as_bytes()))
            .part("file", file("content.html", html.as_bytes()))
            .part("file", file("assets/dot.gif", GIF));
        let pushed = answer(house.request(Method::POST, "/api/v1/deliveries/push").multipart(form)).await.1;
        let id = pushed["id"].as_str().unwrap_or_else(|| panic!("{pushed}")).to_owned();
        let analysis = house.analyse(&id).await;
        assert_eq!(analysis["state"], "ready", "{analysis}");
        assert_eq!(house.post(&format!("/deliveries/{id}/confirm"), json!({})).await.0, StatusCode::OK);
        let source = format!("/api/v1/deliveries/{id}/source?recipient=ann@x.example");
        let source = house.request(Method::GET, &source).send().await.unwrap().bytes().await.unwrap();
        let mail = MessageParser::default().parse(&source).unwrap();
        let html = mail.body_html(0).unwrap().replace("\r\n", "\n");
        let client = reqwest::Client::builder().redirect(Policy::none()).user_agent(BROWSER).build().unwrap();
        Rig { house, client, delivery: id.parse().unwrap(), html }
    }

    /// The number of the message whose HTML this is.
    fn message(&self) -> i64 {
        let pixel = self.paths("/o/").remove(0);
        let token = pixel.trim_start_matches("/o/").trim_end_matches(".gif");
        self.house.state.tokens.verify_link(Purpose::Open, token).unwrap().message
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.house.public))
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// Paths of the message's URLs that begin with `prefix`, in order.
    fn paths(&self, prefix: &str) -> Vec<String> {
        let urls = self.html.split('"').filter_map(|text| text.strip_prefix("http://")?.split_once('/'));
        let paths = urls.map(|(_, path)| format!("/{}", path.replace("&amp;", "&")));
        paths.filter(|path| path.starts_with(prefix)).collect()
    }

    fn token(&self, purpose: Purpose, inert: bool) -> String {
        self.house.state.tokens.link_token(purpose, Token { message: self.message(), inert })
    }

    /// Kinds and links of the first message's events: of people, and of machines.
    async fn events(&self) -> (Vec<(EventKind, Option<u16>)>, usize) {
        let tracking = &self.house.state.tracking;
        tracking.fold(self.house.state.clock.now_us()).await.unwrap();
        let events = tracking.events_of(self.message()).await.unwrap();
        let (machines, people): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| event.machine);
        (people.into_iter().map(|event| (event.kind, event.link)).collect(), machines.len())
    }

    /// Moves the end of the resource validity into the past.
    async fn expire(&self) {
        let (delivery, snapshot) =
            (self.delivery, self.house.get(&format!("/deliveries/{}", self.delivery)).await.1);
        let hash = snapshot["snapshot"].as_str().unwrap().to_owned();
        let change = move |tx: &mut Tx<'_>| tracking::resources::open(tx, delivery, &hash, 1);
        self.house.state.queue.store().write(Lane::Urgent, change).await.unwrap();
    }
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn links_lead_on_and_each_click_is_kept() {
    store::testing::each(|store| async move {
        let rig = Rig::new(store).await;
        let links = rig.paths("/l/");
        assert_eq!(links.len(), 2, "{}", rig.html);
        for (link, expected) in links
            .iter()
            .zip(["https://shop.example/autumn?a=1&b=2", "https://shop.example/for?who=Ann%20%26%20Co"])
        {
            let response = rig.get(link).await;
            assert_eq!(response.status(), StatusCode::FOUND);
            assert_eq!(header(&response, "location").replace("Ann%20&%20Co", "Ann%20%26%20Co"), expected);
            assert_eq!(header(&response, "cache-control"), "no-store");
            assert_eq!(header(&response, "referrer-policy"), "no-referrer");
            assert!(response.headers().get("set-cookie").is_none());
        }
        // HEAD says where it leads and counts nothing; a scanner that says so is marked.
        let head = rig.request(Method::HEAD, &links[0]).send().await.unwrap();
        assert_eq!(header(&head, "location"), "https://shop.example/autumn?a=1&b=2");
        let scanner = rig.request(Method::GET, &links[0]).header("user-agent", "SomeScanner/1.0");
        assert_eq!(scanner.send().await.unwrap().status(), StatusCode::FOUND);
        let ahead = rig.request(Method::GET, &links[0]).header("sec-purpose", "prefetch");
        assert_eq!(ahead.send().await.unwrap().status(), StatusCode::FOUND);
        // A host that the request brings changes nothing.
        let foreign = rig.request(Method::GET, &format!("{}&host=evil.example", links[1]));
        let foreign = foreign.header("host", "evil.example").header("x-forwarded-host", "evil.example");
        assert!(
            header(&foreign.send().await.unwrap(), "location").starts_with("https://shop.example/for?who=")
        );
        // Inert tokens lead on and count nothing.
        let proof = rig.get(&format!("/l/{}/0", rig.token(Purpose::Click, true))).await;
        assert_eq!(header(&proof, "location"), "https://shop.example/autumn?a=1&b=2");
        let click = |link| (EventKind::Click, Some(link));
        assert_eq!(rig.events().await, (vec![click(0), click(1), click(1)], 2));
        let clicks = rig.house.state.tracking.clicks_by_link(rig.delivery).await.unwrap();
        let clicks: Vec<_> = clicks.iter().map(|link| (link.link, link.clicks, link.messages)).collect();
        assert_eq!(clicks, [(0, 1, 1), (1, 2, 1)]);
        shows_clicks(&rig).await;
    })
    .await;
}

/// The most clicked link comes first, over REST and on the Watch tab.
async fn shows_clicks(rig: &Rig) {
    let path = format!("/deliveries/{}", rig.delivery);
    let links = rig.house.get(&format!("{path}/clicks")).await.1;
    let told =
        |at: usize| (links["links"][at]["url"].as_str().unwrap(), links["links"][at]["clicks"].as_i64());
    assert!(told(0).0.starts_with("https://shop.example/for?who=") && told(0).1 == Some(2), "{links}");
    assert_eq!(told(1), ("https://shop.example/autumn?a=1&b=2", Some(1)));
    assert_eq!(rig.house.get("/deliveries/999/clicks").await.0, StatusCode::NOT_FOUND);
    let mut browser = Browser::signed_in(&rig.house).await;
    let page = browser.get(&format!("{path}/watch")).await.text;
    let card = page.split_once("Clicks by link").unwrap_or_else(|| panic!("{page}")).1;
    assert!(card.find("/for?who=").unwrap() < card.find("/autumn").unwrap(), "{card}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forged_never_redirects() {
    store::testing::sqlite(|store| async move {
        let rig = Rig::new(store).await;
        let good = rig.token(Purpose::Click, false);
        let token = Token { message: rig.message(), inert: false };
        let other = TokenKeys::derive(&[9; 32]).link_token(Purpose::Click, token);
        let changed = format!("{}{}", if good.starts_with('A') { "B" } else { "A" }, &good[1..]);
        let long = "x".repeat(6_000);
        let mut paths: Vec<String> = [
            &other,
            &changed,
            &rig.token(Purpose::Mirror, false),
            &rig.token(Purpose::Open, false),
            &good[..22],
            &format!("{good}="),
            "%00",
            "%2e%2e",
            "https:%2F%2Fevil.example",
            long.as_str(),
        ]
        .iter()
        .map(|token| format!("/l/{token}/0"))
        .collect();
        for number in
            ["99", "65536", "-1", "00", "0x0", "%30%00", "1e0", "", "0/", "0%2f..", "18446744073709551616"]
        {
            paths.push(format!("/l/{good}/{number}"));
        }
        for path in
            ["/l/", "/l/x", "/l//0", "/o/", "/o/x", "/m/", "/m/%ff", "/a/", "/a/..%2f..%2fmaster.key", "/c/x"]
        {
            paths.push(path.to_owned());
        }
        for path in &paths {
            let response = rig.get(&format!("{path}?p1=https://evil.example&url=//evil.example")).await;
            assert!(response.status().is_client_error(), "{path}: {}", response.status());
            assert!(response.headers().get("location").is_none(), "{path}");
        }
        assert_eq!(
            rig.request(Method::POST, &format!("/l/{good}/0")).send().await.unwrap().status().as_u16(),
            405
        );
        // Values that are too many or too long are left out, never an error of ours.
        let query = format!("p1={}", "y".repeat(20_000));
        let response = rig.get(&format!("/l/{good}/1?{query}")).await;
        assert_eq!(header(&response, "location"), "https://shop.example/for?who=");
        assert_eq!(rig.events().await.0.len(), 1);
        // A number of no delivery: nothing is there, and a preview's token says what it is.
        let keys = &rig.house.state.tokens;
        let lost = keys.link_token(Purpose::Click, Token { message: message_id(999, 0), inert: false });
        assert_eq!(rig.get(&format!("/l/{lost}/0")).await.status(), StatusCode::NOT_FOUND);
        let preview = keys.link_token(Purpose::Click, Token { message: 0, inert: true });
        let preview = rig.get(&format!("/l/{preview}/0")).await;
        assert_eq!(preview.status(), StatusCode::OK);
        assert!(preview.text().await.unwrap().contains("preview"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pixel_is_43_octets_and_counts_people() {
    store::testing::each(|store| async move {
        let rig = Rig::new(store).await;
        let pixels = rig.paths("/o/");
        assert_eq!(pixels.len(), 1, "{}", rig.html);
        let response = rig.get(&pixels[0]).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, "content-type"), "image/gif");
        assert_eq!(header(&response, "cache-control"), "no-store");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        let bytes = response.bytes().await.unwrap();
        assert_eq!((bytes.len(), &bytes[..6], bytes[42]), (43, b"GIF89a".as_slice(), b';'));
        rig.get(&format!("/o/{}.gif", rig.token(Purpose::Open, true))).await;
        rig.request(Method::HEAD, &pixels[0]).send().await.unwrap();
        let forged = rig.get(&format!("/o/{}.gif", rig.token(Purpose::Click, false))).await;
        assert_eq!((forged.status(), forged.bytes().await.unwrap().len()), (StatusCode::NOT_FOUND, 43));
        assert_eq!(rig.events().await, (vec![(EventKind::Open, None)], 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mirror_page_is_the_messages_html() {
    store::testing::each(|store| async move {
        let rig = Rig::new(store).await;
        let mirror = rig.paths("/m/").remove(0);
        let response = rig.get(&mirror).await;
        assert_eq!(response.status(), StatusCode::OK);
        let policy = header(&response, "content-security-policy").to_owned();
        assert!(policy.starts_with("sandbox ") && policy.contains("default-src 'none'"), "{policy}");
        assert!(!policy.contains("allow-scripts") && !policy.contains("allow-same-origin"), "{policy}");
        assert_eq!(header(&response, "cache-control"), "no-store");
        assert!(response.headers().get("set-cookie").is_none());
        assert_eq!(response.text().await.unwrap().trim_end(), rig.html.trim_end());
        rig.get(&format!("/m/{}", rig.token(Purpose::Mirror, true))).await;
        assert_eq!(rig.events().await, (vec![(EventKind::Mirror, None)], 0));
        let forged = rig.get(&format!("/m/{}", rig.token(Purpose::Click, false))).await;
        assert_eq!(forged.status(), StatusCode::NOT_FOUND);
        assert!(header(&forged, "content-security-policy").contains("sandbox"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_without_a_public_page_leave_it_to_operators() {
    let unlinked = &HTML.replace("<a href=\"{{ mirror_url }}\">On the web</a>", "");
    for mode in ["never", "by_message", "always"] {
        store::testing::sqlite(|store| async move {
            let rig = Rig::with(store, &format!("mirror_page = \"{mode}\""), unlinked).await;
            let public = rig.get(&format!("/m/{}", rig.token(Purpose::Mirror, false))).await.status();
            assert_eq!(
                public,
                if mode == "always" { StatusCode::OK } else { StatusCode::NOT_FOUND },
                "{mode}"
            );
            let path = format!("/deliveries/{}/messages/{}", rig.delivery, rig.message());
            let anonymous = rig.client.get(format!("http://{}{path}/mirror", rig.house.address));
            assert_ne!(anonymous.send().await.unwrap().status(), StatusCode::OK, "operators only");
            let mut browser = Browser::signed_in(&rig.house).await;
            let page = browser.get(&format!("{path}/mirror")).await;
            assert_eq!(page.status, StatusCode::OK);
            assert!(page.text.contains("Dear Ann"), "{}", page.text);
            // The links of this view act on nobody.
            let link = page.text.split("/u/").nth(1).unwrap().split('"').next().unwrap();
            let token = rig.house.state.tokens.verify_link(Purpose::Unsubscribe, link).unwrap();
            assert!(token.inert && token.message == rig.message());
            let source = browser.get(&format!("{path}/source")).await;
            assert!(source.text.contains("Subject: News\r\n"), "{}", source.text);
            assert_eq!(
                browser.get(&format!("/deliveries/{}/messages/7/mirror", rig.delivery)).await.status,
                404
            );
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_resource_validity_a_plain_page_says_so() {
    store::testing::each(|store| async move {
        let rig = Rig::new(store).await;
        rig.expire().await;
        for path in [rig.paths("/l/").remove(0), rig.paths("/m/").remove(0)] {
            let response = rig.get(&path).await;
            assert_eq!(response.status(), StatusCode::GONE, "{path}");
            assert!(response.text().await.unwrap().contains("expired"));
        }
        assert_eq!(rig.events().await, (vec![], 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_and_codes_are_kept_by_caches_and_guarded() {
    store::testing::each(|store| async move {
        let rig = Rig::new(store).await;
        let (picture, code) = (rig.paths("/a/").remove(0), rig.paths("/c/").remove(0));
        for (path, kind) in [(&picture, "image/gif"), (&code, "image/png")] {
            let response = rig.get(path).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(header(&response, "content-type"), kind);
            assert_eq!(header(&response, "x-content-type-options"), "nosniff");
            let kept = header(&response, "cache-control").to_owned();
            assert!(kept.starts_with("public, max-age=") && kept.ends_with(", immutable"), "{kept}");
            assert!(header(&response, "content-security-policy").contains("sandbox"));
            let tag = header(&response, "etag").to_owned();
            let bytes = response.bytes().await.unwrap();
            assert!(if kind == "image/gif" { &bytes[..] == GIF } else { bytes.starts_with(b"\x89PNG") });
            let again = rig.request(Method::GET, path).header("if-none-match", tag).send().await.unwrap();
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        }
        let hash = picture.trim_start_matches("/a/").trim_end_matches(".gif");
        for path in [
            format!("/a/{hash}.png"),
            format!("/a/{hash}"),
            format!("/a/{}.gif", hash.to_uppercase()),
            format!("/a/{}.gif", "0".repeat(64)),
            code.replace(".png", "x.png"),
            code.replacen("/c/", "/c/A", 1),
        ] {
            assert_eq!(rig.get(&path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_known_links_lead_on() {
    store::testing::sqlite(|store| async move {
        let rig = Rig::new(store).await;
        let link = rig.paths("/l/").remove(0);
        rig.get(&link).await;
        rig.get(&rig.paths("/a/")[0]).await;
        rig.house.state.queue.store().close().await;
        let response = rig.get(&link).await;
        assert_eq!(header(&response, "location"), "https://shop.example/autumn?a=1&b=2");
        assert_eq!(rig.get(&rig.paths("/o/")[0]).await.status(), StatusCode::OK);
        assert_eq!(rig.get(&rig.paths("/a/")[0]).await.status(), StatusCode::OK);
        let token = Token { message: message_id(rig.delivery + 1, 0), inert: false };
        let unknown = format!("/l/{}/0", rig.house.state.tokens.link_token(Purpose::Click, token));
        for path in [&unknown, &rig.paths("/m/")[0], &format!("/a/{}.gif", "0".repeat(64))] {
            let response = rig.get(path).await;
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert_eq!(header(&response, "retry-after"), "30", "{path}");
        }
        assert_eq!(rig.house.state.tracking.lost(), 0, "what was done is on disk");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_shows_what_the_recipient_did() {
    store::testing::sqlite(|store| async move {
        let rig = Rig::new(store).await;
        rig.get(&rig.paths("/l/")[0]).await;
        let unsubscribe = rig.paths("/u/").remove(0);
        rig.request(Method::POST, &unsubscribe).send().await.unwrap();
        rig.request(Method::POST, &unsubscribe).send().await.unwrap();
        let happened = vec![(EventKind::Click, Some(0)), (EventKind::Unsubscribe, None)];
        assert_eq!(rig.events().await.0, happened, "unsubscribing twice is one event");
        let mut browser = Browser::signed_in(&rig.house).await;
        let path = format!("/deliveries/{}/messages/{}", rig.delivery, rig.message());
        let page = browser.get(&path).await;
        for part in ["Clicked", "https://shop.example/autumn", "Unsubscribed", "Firefox/140.0"] {
            assert!(page.text.contains(part), "{part}: {}", page.text);
        }
        let events = page.text.split("What the recipient did").nth(1).unwrap();
        let events = events.split("Exactly what was sent").next().unwrap();
        assert!(!events.contains("127.0.0.1"), "no address, only a hash: {events}");
        let whole = json!({"value": "whole"});
        rig.house.send(Method::PUT, "/settings/tracking.client_addresses", whole).await;
        let proxied = rig.request(Method::GET, &rig.paths("/l/")[0]);
        proxied.header("x-forwarded-for", "203.0.113.9, 192.0.2.7").send().await.unwrap();
        rig.house.send(Method::PUT, "/settings/tracking.client_addresses", json!({"value": "none"})).await;
        rig.get(&rig.paths("/l/")[0]).await;
        rig.events().await;
        let events = rig.house.state.tracking.events_of(rig.message()).await.unwrap();
        let clients: Vec<_> = events.iter().map(|event| event.client.as_str()).collect();
        assert_eq!((clients[0].len(), clients[2], clients[3]), (16, "192.0.2.7", ""));
        let status: Value = rig.house.get(&format!("/deliveries/{}/status", rig.delivery)).await.1;
        assert_eq!(status["messages"]["cancelled"], 0, "the gate cancels when its turn comes: {status}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_from_where_and_how_secured_a_message_went() {
    store::testing::sqlite(|store| async move {
        let rig = Rig::new(store).await;
        let tls = queue::Tls {
            protocol: "TLSv1.3".into(),
            cipher: "TLS_AES_256_GCM_SHA384".into(),
            certificate: "5a".repeat(32),
            proof: queue::TlsProof::Sts,
        };
        let secured = rig.house.state.queue.secured(tls).await.unwrap();
        let message = rig.message();
        let other = message_id(rig.delivery, 0) + message_id(rig.delivery, 1) - message;
        let sent = move |tx: &mut Tx<'_>| {
            tx.execute(
                "INSERT INTO outcome (id, state, attempts, site, source, reply, tls) \
                 VALUES ($1, 1, 1, 'x.example', 'mta-a', '250 ok', $2)",
                &store::binds![message, secured],
            )?;
            // Put off, in words that are that provider's.
            tx.execute(
                "INSERT INTO retry (id, delivery, wave, lane, due, attempts, first_try, site, reason, reply, unknown) \
                 VALUES ($1, $2, 0, 'google', 1, 1, 1, 'google', 'refused', \
                 '421 4.7.28 unusual rate of email originating from your IP address 192.0.2.1', 0)",
                &store::binds![other, queue::delivery_of(other)],
            )
        };
        rig.house.state.queue.store().write(Lane::Urgent, sent).await.unwrap();
        let path = format!("/deliveries/{}", rig.delivery);
        let log = rig.house.get(&format!("{path}/log?format=json&state=sent")).await.1;
        let expected = json!({
            "protocol": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "certificate": "5a".repeat(32), "proof": "sts",
        });
        assert_eq!((&log[0]["tls"], &log[0]["source"], &log[0]["site"]), (&expected, &json!("mta-a"), &json!("x.example")));
        let rows = rig.house.get(&format!("{path}/messages")).await.1;
        let rows = rows["items"].as_array().unwrap();
        let of = |address: &str| rows.iter().find(|row| row["recipient"] == address).unwrap();
        assert_eq!(of("ann@x.example")["tls"], expected);
        assert_eq!(of("bob@y.example")["tls"], Value::Null, "not sent yet");
        assert_eq!(of("bob@y.example")["category"], "rate_limited");
        assert_eq!(of("ann@x.example")["category"], Value::Null, "a yes has none");
        let mut browser = Browser::signed_in(&rig.house).await;
        let page = browser.get(&format!("{path}/messages/{message}")).await;
        for part in ["mta-a", "TLSv1.3, TLS_AES_256_GCM_SHA384", &"5a".repeat(32)] {
            assert!(page.text.contains(part), "{part}: {}", page.text);
        }
        let export = browser.get(&format!("{path}/log.csv")).await;
        assert!(export.text.contains("x.example,mta-a,TLSv1.3,"), "{}", export.text);
        assert!(export.text.contains(",google,,,,,,rate_limited\r\n"), "{}", export.text);
        let plain = rig.house.request(Method::GET, &format!("/api/v1{path}/log")).send().await.unwrap();
        assert!(!plain.text().await.unwrap().contains("rate_limited"), "the contract's columns and no more");
    })
    .await;
}
