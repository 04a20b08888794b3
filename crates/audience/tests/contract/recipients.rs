//! Recipients, lists, quarantine, relations.

use std::collections::HashSet;

use audience::{Error, NewRecipient, RecipientEdit, RecipientRow, Search, recipient_columns};
use store::testing::each;

use crate::{NOW, room};

fn person(email: &str) -> NewRecipient {
    NewRecipient { email: email.to_owned(), ..NewRecipient::default() }
}

#[tokio::test]
async fn a_recipient_lives() {
    each(|store| async {
        let room = room(store).await;
        let new = NewRecipient {
            first_name: " Zoë ".into(),
            attributes: [("Loyalty tier".to_owned(), "gold".to_owned())].into(),
            ..person(" Zoe@BÜCHER.example ")
        };
        let made = room.create_recipient(new.clone(), NOW).await.unwrap();
        assert_eq!((made.email.as_str(), made.email_key.as_str()), ("Zoe@BÜCHER.example", "zoe@xn--bcher-kva.example"));
        assert_eq!((made.domain.as_str(), made.first_name.as_str()), ("xn--bcher-kva.example", "Zoë"));
        assert_eq!(made.attributes["Loyalty_tier"], "gold");
        assert_eq!(room.attribute_names().await.unwrap(), ["Loyalty_tier"]);
        assert_eq!(room.recipient_by_address("zoe@bücher.example").await.unwrap().unwrap(), made);
        assert!(matches!(room.create_recipient(new, NOW).await, Err(Error::Exists { .. })));

        let edit = RecipientEdit {
            city: Some("Köln\r\n".into()),
            denylisted: Some(true),
            attributes: [("Loyalty_tier".to_owned(), None), ("points".to_owned(), Some("7".to_owned()))].into(),
            ..RecipientEdit::default()
        };
        let edited = room.edit_recipient(made.id, edit, NOW + 5).await.unwrap();
        assert_eq!((edited.city.as_str(), edited.denylisted, edited.updated_at), ("Köln", true, NOW + 5));
        assert_eq!(edited.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["points=7"]);

        let other = room.create_recipient(person("other@b.example"), NOW).await.unwrap();
        let taken = RecipientEdit { email: Some("ZOE@bücher.example".into()), ..RecipientEdit::default() };
        assert!(matches!(room.edit_recipient(other.id, taken, NOW).await, Err(Error::Exists { .. })));
        let bad = RecipientEdit { email_format: Some("rtf".into()), ..RecipientEdit::default() };
        assert!(matches!(room.edit_recipient(other.id, bad, NOW).await, Err(Error::Invalid { field, .. }) if field == "email_format"));
        assert!(matches!(room.create_recipient(person("a\r\n@b.example"), NOW).await, Err(Error::Invalid { .. })));

        let list = room.create_list("all", NOW).await.unwrap();
        assert_eq!(room.add_to_list(list, vec![made.id, other.id, 999]).await.unwrap(), 2);
        assert_eq!(room.add_to_list(list, vec![made.id]).await.unwrap(), 0);
        assert_eq!(room.lists_of(made.id).await.unwrap()[0].members, 2);
        assert_eq!(room.delete_recipients(vec![other.id, 999]).await.unwrap(), 1);
        assert_eq!(room.list(list).await.unwrap().unwrap().members, 1);
        assert!(room.set_denylisted(made.id, false, NOW).await.unwrap());
        assert!(!room.set_denylisted(999, true, NOW).await.unwrap());
        let again = room.create_recipient(person("other@b.example"), NOW).await.unwrap();
        assert!(again.id > other.id, "an id is never given twice");
    })
    .await;
}

#[tokio::test]
async fn lists_are_named() {
    each(|store| async {
        let room = room(store).await;
        let a = room.create_list(" a ", NOW).await.unwrap();
        let b = room.create_list("b", NOW).await.unwrap();
        assert!(matches!(room.create_list("a", NOW).await, Err(Error::Exists { .. })));
        assert!(matches!(room.rename_list(b, "a").await, Err(Error::Exists { .. })));
        room.rename_list(b, "c").await.unwrap();
        assert!(matches!(room.create_list(" ", NOW).await, Err(Error::Invalid { .. })));
        assert!(matches!(room.add_to_list(77, vec![1]).await, Err(Error::NotFound("list"))));
        let names: Vec<_> = room.lists().await.unwrap().into_iter().map(|l| l.name).collect();
        assert_eq!(names, ["a", "c"]);
        assert_eq!(room.list_by_name("a").await.unwrap().unwrap().id, a);
        assert!(room.delete_list(a).await.unwrap());
        assert!(!room.delete_list(a).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn search_pages_through() {
    each(|store| async {
        let room = room(store).await;
        let list = room.create_list("odd", NOW).await.unwrap();
        for i in 0..25 {
            let new = NewRecipient {
                first_name: format!("Ann{i}"),
                last_name: "O'Neil".into(),
                denylisted: i % 5 == 0,
                ..person(&format!("r{i}@x.example"))
            };
            let made = room.create_recipient(new, NOW).await.unwrap();
            if i % 2 == 1 {
                room.add_to_list(list, vec![made.id]).await.unwrap();
            }
        }
        let count = async |search: Search| {
            let (mut search, mut seen) = (Search { limit: 4, ..search }, HashSet::new());
            loop {
                let page = room.search(search.clone()).await.unwrap();
                assert!(page.recipients.len() <= 4);
                seen.extend(page.recipients.iter().map(|r| r.id));
                match page.next {
                    Some(next) => search.after = Some(next),
                    None => return seen.len(),
                }
            }
        };
        let text = |text: &str| Search { text: text.to_owned(), ..Search::default() };
        assert_eq!(count(Search::default()).await, 25);
        assert_eq!(count(text("ann2")).await, 6);
        assert_eq!(count(text("ANN24 o'n")).await, 1);
        assert_eq!(count(text("R7@X.example")).await, 1);
        assert_eq!(count(text("@x.ex")).await, 25);
        assert_eq!(count(text("100%")).await, 0);
        assert_eq!(count(Search { list: Some(list), ..Search::default() }).await, 12);
        assert_eq!(count(Search { denylisted: Some(true), list: Some(list), ..Search::default() }).await, 2);
    })
    .await;
}

#[tokio::test]
async fn the_quarantine_is_by_address() {
    each(|store| async {
        let room = room(store).await;
        assert!(room.quarantine("Dead@x.example", "unknown_user", &"5".repeat(2_000), NOW).await.unwrap());
        assert!(!room.quarantine("dead@X.example", "manual", "", NOW + 1).await.unwrap());
        room.quarantine("other@y.example", "manual", "a\0b", NOW).await.unwrap();
        assert!(room.is_quarantined("DEAD@x.example").await.unwrap());
        assert!(!room.is_quarantined("nobody").await.unwrap());
        assert!(room.quarantine("nobody", "manual", "", NOW).await.is_err());
        let page = room.quarantined_page("", "", 1).await.unwrap();
        assert_eq!((page[0].reason.as_str(), page[0].since, page[0].reply.len()), ("unknown_user", NOW, 512));
        let page = room.quarantined_page("", &page[0].email_key, 10).await.unwrap();
        assert_eq!(page.len(), 1);
        assert_eq!(room.quarantined_page("DEAD", "", 10).await.unwrap().len(), 1);
        assert_eq!(room.count(&room.quarantined()).await.unwrap(), 2);
        assert_eq!(room.release(vec!["dead@x.example".into(), "?".into()]).await.unwrap(), 1);
        assert_eq!(room.quarantined_count().await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn relations_can_be_joined_and_rows_read() {
    each(|store| async {
        let room = room(store).await;
        let list = room.create_list("l", NOW).await.unwrap();
        let mut ids = Vec::new();
        for i in 0..9 {
            let attributes = [("a".to_owned(), format!("{i}\n\"é")), ("b".to_owned(), String::new())].into();
            let new = NewRecipient { attributes, city: format!("c{i}"), ..person(&format!("r{i}@x.example")) };
            ids.push(room.create_recipient(new, NOW).await.unwrap().id);
        }
        room.add_to_list(list, ids[3..].to_vec()).await.unwrap();
        let relation = room.recipients_in_list(list);
        assert_eq!(room.count(&relation).await.unwrap(), 6);
        assert_eq!(room.count(&room.all_recipients()).await.unwrap(), 9);
        assert_eq!(room.count(&room.recipient_with_address(" R1@x.example")).await.unwrap(), 1);
        assert_eq!(room.count(&room.recipient_with_address("?")).await.unwrap(), 0);

        let mut binds = store::binds![2];
        let sql = format!(
            "SELECT 7, {} FROM ({}) t JOIN recipient r ON r.id = t.recipient WHERE r.id > $1 ORDER BY r.id",
            recipient_columns("r"),
            relation.splice(&mut binds)
        );
        let rows: Vec<RecipientRow> =
            room.store().read(move |tx| tx.query(&sql, &binds, |row| RecipientRow::read(row, 1))).await.unwrap();
        assert_eq!(rows.len(), 6);
        let row = &rows[0];
        assert_eq!((row.email(), row.get("city"), row.get("first_name")), ("r3@x.example", Some("c3"), Some("")));
        assert_eq!((row.get("a"), row.get("b"), row.get("c")), (Some("3\n\"é"), Some(""), None));
        assert_eq!(row.fields().count(), 10);
        assert_eq!(row.to_recipient(), room.recipient(ids[3]).await.unwrap().unwrap());

        let chosen: HashSet<i64> = {
            let mut chosen = HashSet::new();
            for seed in 0..60 {
                let one = room.random_recipient(&relation, seed).await.unwrap().unwrap();
                assert_eq!(room.random_recipient(&relation, seed).await.unwrap().unwrap(), one);
                chosen.insert(one.id);
            }
            chosen
        };
        assert_eq!(chosen, ids[3..].iter().copied().collect(), "every member can be chosen, nobody else");
        assert!(room.random_recipient(&room.recipients_in_list(99), 1).await.unwrap().is_none());

        let csv = room.export(&relation, Vec::new()).await.unwrap();
        let csv = String::from_utf8(csv).unwrap();
        assert!(csv.starts_with("email,first_name,last_name,language,time_zone,country,city,email_format,a,b\nr3@x.example,,,,,,c3,,\"3\n\"\"é\",\n"), "{csv}");
    })
    .await;
}
