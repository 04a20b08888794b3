//! The pages of targets, schedules, approvals, typologies, the calendar and notices, by forms alone: no script runs here.

use reqwest::{StatusCode, multipart};

use super::{
    house::House,
    pages::{Browser, revision},
};

async fn draft(browser: &mut Browser) -> String {
    let created = browser.post("/deliveries/new", &[("label", "October"), ("subject", "News")]).await;
    created.location.split('/').nth(2).unwrap_or_else(|| panic!("{}", created.text)).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_put_together_and_counted_without_scripts() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        let id = draft(&mut browser).await;
        let path = format!("/deliveries/{id}/target");
        let fresh = revision(&browser.get(&path).await.text);

        let nothing = browser.post(&path, &[("revision", &fresh), ("new_kind", "list"), ("do", "add")]).await;
        assert_eq!(nothing.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(nothing.text.contains("Choose the list"), "{}", nothing.text);

        let csv = "E-Mail,points\nann@x.example,10\nben@x.example,20\n";
        let part = multipart::Part::text(csv).file_name("extra.csv");
        let request = browser.client.post(format!("{}{path}/file", browser.base));
        let form = multipart::Form::new().part("file", part).text("import", "no");
        let sent = browser.send(request.header("sec-fetch-site", "same-origin").multipart(form)).await;
        assert_eq!(sent.location, format!("{path}?done=uploaded"), "{}", sent.text);

        let page = browser.get(&path).await.text;
        assert!(page.contains("extra.csv") && page.contains("Only for this delivery"));
        let fields = [
            ("item", r#"{"file":"extra.csv","import":false}"#),
            ("side", "include"),
            ("outside", "in"),
            ("who", ""),
            ("import", "no"),
            ("new_side", "include"),
            ("new_kind", "recipients_of"),
            ("new_recipients_of", "September"),
            ("new_who", "clicked"),
            ("do", "estimate"),
        ];
        let page = browser.post(&format!("{path}/estimate"), &fields).await.text;
        assert!(page.contains("no confirmed delivery"), "what cannot be counted says why: {page}");
        let page = browser.post(&format!("{path}/estimate"), &fields[..5]).await.text;
        assert!(page.contains("<div class=\"big\">2</div>"), "{page}");
        assert!(page.contains("ann@x.example"), "the first members are named");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedule_waves_and_validation_are_kept_and_refused_by_their_names() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        let id = draft(&mut browser).await;
        let path = format!("/deliveries/{id}/schedule");
        let fields = |zone: &'static str, size: &'static str| {
            [
                ("when", "date"),
                ("contact_date", "2031-12-01T08:00"),
                ("time_zone", zone),
                ("grace", "1h"),
                ("quiet_from", "21:00"),
                ("quiet_until", "08:00"),
                ("mode", "equal"),
                ("size", size),
                ("period", "1d"),
                ("complaints", "0.3"),
            ]
        };
        let refused = browser.post(&path, &fields("Europe/Atlantis", "25%")).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(
            refused.text.contains("Time zone: ") && refused.text.contains("Atlantis"),
            "{}",
            refused.text
        );
        let refused = browser.post(&path, &fields("Asia/Tokyo", "125%")).await;
        assert!(refused.text.contains("Size of a wave: "), "{}", refused.text);
        let kept = browser.post(&path, &fields("Asia/Tokyo", "25%")).await;
        assert_eq!(kept.location, format!("{path}?done=saved"), "{}", kept.text);
        let page = browser.get(&path).await.text;
        assert!(page.contains("value=\"0.3%\"") && page.contains("value=\"21:00\""), "{page}");
        assert!(page.contains("2031-11-30T23:00:00Z"), "the same moment by the reader's clock: {page}");

        let path = format!("/deliveries/{id}/validation");
        let fields = [
            ("approval", "semi_automatic"),
            ("typology", "bulk"),
            ("approvals_needed", "1"),
            ("approval_deadline", "12h"),
            ("analysis_priority", "high"),
            ("person", "admin"),
            ("asked", "content"),
        ];
        let kept = browser.post(&path, &fields).await;
        assert_eq!(kept.location, format!("{path}?done=saved"), "{}", kept.text);
        let number: i64 = id.parse().unwrap();
        let validation = house.state.deliveries.get(number).await.unwrap().definition.validation;
        assert_eq!((validation.typology.as_str(), validation.content_approvers.len()), ("bulk", 1));
        let wrong: Vec<_> =
            fields.into_iter().map(|(n, v)| if n == "typology" { (n, "gone") } else { (n, v) }).collect();
        let refused = browser.post(&path, &wrong).await;
        assert!(refused.status.is_client_error() || refused.status.is_redirection(), "{}", refused.status);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_every_kind_are_made_by_forms() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        let made = browser.post("/typologies", &[("name", "Newsletters"), ("base", "bulk")]).await;
        assert!(made.location.ends_with("?done=created"), "{}", made.text);
        let twice = browser.post("/typologies", &[("name", "Newsletters")]).await;
        assert!(twice.status.is_client_error() && twice.text.contains("Newsletters"), "{}", twice.text);

        let new = "/typologies/rules/new";
        let common = [("order", "50"), ("active", "1"), ("typologies", "Newsletters")];
        let kinds: [&[(&str, &str)]; 4] = [
            &[
                ("kind", "control"),
                ("way", "own"),
                ("condition", "messages < 100"),
                ("message", "{{ messages }} are many"),
                ("level", "warning"),
                ("phase", "after_targeting"),
            ],
            &[("kind", "control"), ("way", "native"), ("native", "one_click"), ("native_level", "off")],
            &[
                ("kind", "pressure"),
                ("limit", "3"),
                ("measure", "messages"),
                ("period", "15d"),
                ("time_zone", "UTC"),
            ],
            &[
                ("kind", "capacity"),
                ("time_zone", "UTC"),
                ("line_start", "2031-12-01T08:00"),
                ("line_duration", "8h"),
                ("line_quantity", "1000"),
                ("line_every", ""),
                ("line_times", ""),
            ],
        ];
        for (index, kind) in kinds.into_iter().enumerate() {
            let name = format!("Rule {index}");
            let fields: Vec<_> =
                kind.iter().chain(&common).copied().chain([("name", name.as_str())]).collect();
            let made = browser.post(new, &fields).await;
            assert!(made.location.ends_with("?done=created"), "{name}: {}", made.text);
            let page = browser.get(&made.location).await;
            assert_eq!(page.status, StatusCode::OK, "{name}");
        }
        let page = browser.get("/typologies").await.text;
        assert!(page.contains("Rule 3") && page.contains("at most 3 messages in 15d"), "{page}");

        let looping = [
            ("kind", "control"),
            ("way", "own"),
            ("name", "x"),
            ("condition", "messages <"),
            ("message", "y"),
        ];
        let refused = browser.post(new, &looping).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(
            refused.text.contains("Condition: ") && refused.text.contains("messages &#60;"),
            "{}",
            refused.text
        );
        let tried = browser.post("/typologies/rules/try", &looping).await.text;
        assert!(tried.contains("Condition: "), "{tried}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calendar_and_notices_are_there_when_there_is_nothing() {
    store::testing::each(|store| async move {
        let house = House::build(store).await;
        let mut browser = Browser::signed_in(&house).await;
        for path in [
            "/calendar",
            "/calendar?view=week&date=2026-11-29",
            "/calendar?view=month&date=9999-12-31",
            "/calendar?date=never",
        ] {
            let page = browser.get(path).await;
            assert_eq!(page.status, StatusCode::OK, "{path}");
            assert!(page.text.contains("Nothing is planned here"), "{path}");
        }
        assert!(browser.get("/notices").await.text.contains("No notice yet"));
        assert_eq!(browser.post("/notices/read", &[("up_to", "9")]).await.location, "/notices?done=read");
    })
    .await;
}
