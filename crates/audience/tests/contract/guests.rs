//! Guests: the rows of a file that was not imported, in a target beside recipients.

use audience::{
    Element, Filter, Guests, ImportOptions, ImportState, Mark, NewRecipient, RecipientColumns, TargetSet,
    guest_ids,
};
use serde_json::json;
use store::testing::each;

use crate::{NOW, options, room, source};

const FILE: &str = "email,first_name,seat,country\nAnn@X.example,Ann,12,DE\nbad,Bob,,\n\
    carl@y.example,Carl,\"3\n4\",FR\nann@x.example,Again,1,\ndora@z.example,,,\neve@z.example,Eve,9,DE\n";

fn file(name: &str) -> ImportOptions {
    ImportOptions { file_name: name.into(), ..options("") }
}

async fn import(
    room: &audience::Audience,
    delivery: i64,
    name: &str,
    text: &'static str,
) -> audience::ImportReport {
    let run = room.prepare_guest_import(delivery, source(text), file(name), NOW).await.unwrap();
    run.run().await.unwrap()
}

#[tokio::test]
async fn a_file_becomes_guests_and_no_recipients() {
    each(|store| async {
        let room = room(store).await;
        let report = import(&room, 5, "event.csv", FILE).await;
        assert_eq!(
            (report.state, report.counts.created, report.counts.rejected),
            (ImportState::Finished, 4, 2)
        );
        import(&room, 5, "more.csv", "email\nfred@x.example\n").await;
        import(&room, 6, "event.csv", "email\ngwen@x.example\n").await;
        assert_eq!(room.recipient_count().await.unwrap(), 0);
        assert_eq!(room.lists().await.unwrap().len(), 0, "and no list is made");
        assert!(
            room.attribute_names().await.unwrap().contains(&"seat".to_owned()),
            "templates can name the columns"
        );
        let counts: Vec<_> =
            room.guest_files(5).await.unwrap().into_iter().map(|f| (f.file, f.guests)).collect();
        assert_eq!(counts, [("event.csv".to_owned(), 4), ("more.csv".to_owned(), 1)]);

        let guests = Guests { delivery: 5, files: vec!["event.csv".into()] };
        let relation = room.guests_of(&guests);
        let all = room.preview(&relation, 10).await.unwrap();
        let emails: Vec<_> = all.iter().map(|r| r.email.as_str()).collect();
        assert_eq!(emails, ["Ann@X.example", "carl@y.example", "dora@z.example", "eve@z.example"]);
        assert!(all.iter().all(|r| guest_ids(5).contains(&r.id)));
        assert_eq!(all[1].attributes["seat"], "3\n4");
        assert_eq!(room.person(all[2].id).await.unwrap().unwrap().email, "dora@z.example");
        let mut met = std::collections::BTreeSet::new();
        for seed in 0..40 {
            met.insert(room.random_recipient(&relation, seed).await.unwrap().unwrap().email);
        }
        assert_eq!(met.len(), 4, "each can be the example");

        import(&room, 5, "event.csv", "email,seat\nhugo@x.example,1\n").await;
        assert_eq!(room.count(&relation).await.unwrap(), 1, "the file again replaces its rows");
        assert_eq!(room.delete_guests(5, Some("more.csv")).await.unwrap(), 1);
        assert_eq!(room.delete_guests(5, None).await.unwrap(), 1);
        assert_eq!(room.largest_guest_id(5).await.unwrap(), None);
        assert_eq!(
            room.largest_guest_id(6).await.unwrap(),
            Some(*guest_ids(6).start()),
            "others keep theirs"
        );
    })
    .await;
}

#[tokio::test]
async fn half_a_file_is_no_target() {
    each(|store| async {
        let room = room(store).await;
        let run =
            room.prepare_guest_import(5, source("email\na@x.example\n"), file("f.csv"), NOW).await.unwrap();
        run.control().cancel();
        assert_eq!(run.run().await.unwrap().state, ImportState::Cancelled);
        assert_eq!(room.largest_guest_id(5).await.unwrap(), None);
        let run = room.prepare_guest_import(5, source("name\nAnn\n"), file("f.csv"), NOW).await.unwrap();
        assert!(run.run().await.unwrap_err().to_string().contains("email"));
    })
    .await;
}

#[tokio::test]
async fn guests_are_judged_by_their_address() {
    each(|store| async {
        let room = room(store).await;
        import(&room, 5, "event.csv", FILE).await;
        import(&room, 5, "more.csv", "email\nEVE@z.example\nfred@x.example\ngwen@x.example\n").await;
        let mut ids = Vec::new();
        for (email, country) in [("ann@x.example", "DE"), ("carl@y.example", "FR"), ("fred@x.example", "US")]
        {
            let new = NewRecipient {
                email: email.into(),
                country: country.into(),
                denylisted: email.starts_with("fred"),
                ..NewRecipient::default()
            };
            ids.push(room.create_recipient(new, NOW).await.unwrap().id);
        }
        room.quarantine("dora@z.example", "manual", "", NOW).await.unwrap();
        let german = Filter::parse(&json!({"field": "country", "op": "eq", "value": "DE"})).unwrap();
        let french = Filter::parse(&json!({"field": "country", "op": "eq", "value": "FR"})).unwrap();
        let german = room.recipients_in_segment(&german, NOW).await.unwrap();
        let french = room.recipients_in_segment(&french, NOW).await.unwrap();
        let set = TargetSet {
            include: vec![german.into()],
            exclude: Vec::new(),
            guests: Some(Guests { delivery: 5, files: vec!["event.csv".into(), "more.csv".into()] }),
            marks: vec![Mark::denylisted(), Mark::quarantined(), Mark::rule(41, french.clone())],
        };
        assert_eq!(room.count(&set.members()).await.unwrap(), 1 + 7);
        let rows = guests(&room, &set).await;
        let found: Vec<_> =
            rows.iter().map(|(email, reason, rule)| (email.as_str(), reason.as_deref(), *rule)).collect();
        assert_eq!(
            found,
            [
                ("Ann@X.example", None, None),
                ("carl@y.example", Some("rule"), Some(41)),
                ("dora@z.example", Some("quarantined"), None),
                ("eve@z.example", None, None),
                ("EVE@z.example", None, None),
                ("fred@x.example", Some("denylisted"), None),
                ("gwen@x.example", None, None),
            ]
        );
        // By what their own file says of them, also where nobody of the audience has the address.
        let named = Filter::parse(&json!({"or": [
            {"field": "email", "op": "starts_with", "value": "gwen"}, {"in_list": "vip"}]}));
        room.create_list("vip", NOW).await.unwrap();
        let named = room.recipients_in_segment(&named.unwrap(), NOW).await.unwrap();
        let own = TargetSet { marks: vec![Mark::rule(7, named)], ..set.clone() };
        let left: Vec<_> = guests(&room, &own).await.into_iter().filter(|row| row.2 == Some(7)).collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(left[0].0, "gwen@x.example");
        let doubles = room.preview(&set.guest_duplicates().unwrap(), 10).await.unwrap();
        let doubles: Vec<_> = doubles.iter().map(|r| r.email.as_str()).collect();
        assert_eq!(
            doubles,
            ["Ann@X.example", "EVE@z.example"],
            "a recipient of the target, and an earlier row"
        );

        let without = TargetSet { exclude: vec![french.clone().into()], ..set.clone() };
        assert_eq!(
            guests(&room, &without).await.len(),
            6,
            "who is in an excluded element is not in the target"
        );
        let only = TargetSet { exclude: vec![Element::new(french, true)], ..set.clone() };
        assert_eq!(guests(&room, &only).await.len(), 1, "outside of the French is everybody else");
        let none = TargetSet { guests: None, ..set };
        assert!(none.guest_candidates(&guest_ids(5)).is_none() && none.guest_duplicates().is_none());
    })
    .await;
}

/// A page as an analysis reads it: candidates, joined with the columns of their table.
async fn guests(room: &audience::Audience, set: &TargetSet) -> Vec<(String, Option<String>, Option<i64>)> {
    let last = room.largest_guest_id(5).await.unwrap().unwrap();
    let relation = set.guest_candidates(&(*guest_ids(5).start()..=last)).unwrap();
    let columns = RecipientColumns::of(["first_name", "seat"]);
    let mut binds = Vec::new();
    let inner = relation.splice(&mut binds);
    let sql = format!(
        "SELECT {}, t.reason, t.rule FROM ({inner}) t JOIN guest r ON r.id = t.recipient ORDER BY r.id",
        columns.sql("r")
    );
    room.store()
        .read(move |tx| {
            tx.query(&sql, &binds, |row| {
                let guest = columns.read(row)?;
                // id, address, domain, four fields (three always), attributes.
                Ok::<_, audience::Error>((guest.email().to_owned(), row.text_opt(8)?, row.int_opt(9)?))
            })
        })
        .await
        .unwrap()
}
