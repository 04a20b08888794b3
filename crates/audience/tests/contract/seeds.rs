//! Seeds and their groups: by hand, by condition, and filled from the target's recipients.

use audience::{Error, Filter, NewRecipient, Recipient, RecipientEdit};
use serde_json::json;
use store::testing::each;

use crate::{NOW, room};

fn seed(email: &str, first_name: &str, country: &str) -> NewRecipient {
    NewRecipient {
        email: email.into(),
        first_name: first_name.into(),
        country: country.into(),
        attributes: [("team".to_owned(), "mail".to_owned())].into(),
        ..NewRecipient::default()
    }
}

#[tokio::test]
async fn groups_are_made_by_hand_or_by_condition() {
    each(|store| async {
        let room = room(store).await;
        let ann = room.create_seed(seed("Ann@House.example", "Ann", "DE"), NOW).await.unwrap();
        let ben = room.create_seed(seed("ben@house.example", "", "FR"), NOW).await.unwrap();
        let again = room.create_seed(seed("ann@house.example", "Anne", "FR"), NOW).await.unwrap();
        assert_ne!(ann.id, again.id, "one address can stand for several profiles");
        assert_eq!((ann.profile.id, ann.profile.email.as_str()), (-ann.id, "Ann@House.example"));
        assert!(room.create_seed(seed("no address", "", ""), NOW).await.is_err());
        assert_eq!(room.recipient_count().await.unwrap(), 0, "a seed is no recipient");

        let hand = room.create_seed_group("by hand", None, NOW).await.unwrap();
        assert_eq!(room.add_to_seed_group(hand, vec![ann.id, ben.id, 99]).await.unwrap(), 2);
        let french = Filter::parse(&json!({"and": [{"field": "country", "op": "eq", "value": "fr"},
            {"field": "team", "op": "eq", "value": "mail"}]}))
        .unwrap();
        let rule = room.create_seed_group("french", Some(&french), NOW).await.unwrap();
        assert!(matches!(room.create_seed_group("french", None, NOW).await, Err(Error::Exists { .. })));
        let refused = room.add_to_seed_group(rule, vec![ann.id]).await.unwrap_err().to_string();
        assert!(refused.contains("condition"), "{refused}");
        let listed = Filter::parse(&json!({"not": {"in_list": "newsletter"}})).unwrap();
        let refused = room.create_seed_group("x", Some(&listed), NOW).await.unwrap_err().to_string();
        assert!(refused.contains("newsletter"), "{refused}");

        let group = room.seed_group_by_name("french").await.unwrap().unwrap();
        let found: Vec<i64> = room.seeds_of_group(&group, NOW).await.unwrap().iter().map(|s| s.id).collect();
        assert_eq!(found, [ben.id, again.id]);
        let names = ["by hand".to_owned(), "french".to_owned()];
        let rows = room.seeds_in(&names, &[], NOW).await.unwrap();
        assert_eq!(
            rows.iter().map(|row| row.id).collect::<Vec<_>>(),
            [-ann.id, -ben.id, -again.id],
            "each once"
        );
        let missing = room.seeds_in(&["gone".to_owned()], &[], NOW).await.unwrap_err().to_string();
        assert!(missing.contains("\"gone\""), "{missing}");

        let edit = RecipientEdit { country: Some("DE".into()), ..RecipientEdit::default() };
        room.edit_seed(again.id, edit, NOW + 1).await.unwrap();
        assert_eq!(
            room.seeds_of_group(&group, NOW).await.unwrap().len(),
            1,
            "the condition is asked each time"
        );
        assert_eq!(room.remove_from_seed_group(hand, vec![ben.id]).await.unwrap(), 1);
        assert_eq!(room.delete_seeds(vec![ann.id]).await.unwrap(), 1);
        assert_eq!(room.seed_group(hand).await.unwrap().unwrap().members, 0);
        room.update_seed_group(rule, "all", None).await.unwrap();
        assert_eq!(room.seed_group(rule).await.unwrap().unwrap().condition, None);
        assert!(room.delete_seed_group(rule).await.unwrap());
        assert_eq!((room.seed_groups().await.unwrap().len(), room.seeds().await.unwrap().len()), (1, 2));
        assert_eq!(room.person(-ben.id).await.unwrap().unwrap().email, "ben@house.example");
    })
    .await;
}

#[tokio::test]
async fn gaps_are_filled_from_the_target() {
    each(|store| async {
        let room = room(store).await;
        let mut group = Vec::new();
        for email in ["one@house.example", "two@house.example", "three@house.example"] {
            let mut new = seed(email, "", "");
            if email.starts_with("two") {
                new.first_name = "Own".into();
            }
            new.attributes.insert("points".into(), String::new());
            group.push(room.create_seed(new, NOW).await.unwrap().id);
        }
        let id = room.create_seed_group("house", None, NOW).await.unwrap();
        room.add_to_seed_group(id, group).await.unwrap();
        let mut fill: Vec<Recipient> = Vec::new();
        for (email, name) in [("a@x.example", "Ada"), ("b@x.example", "Bob")] {
            let mut new = seed(email, name, "JP");
            new.email_format = "docomo".into();
            new.attributes = [("points", "7"), ("team", "theirs")].map(|(k, v)| (k.into(), v.into())).into();
            fill.push(room.create_recipient(new, NOW).await.unwrap());
        }
        let rows = room.seeds_in(&["house".to_owned()], &fill, NOW).await.unwrap();
        let name = |i: usize| rows[i].get("first_name").unwrap();
        assert_eq!(
            (name(0), name(1), name(2)),
            ("Ada", "Own", "Ada"),
            "one after the other, round and round"
        );
        for row in &rows {
            let get = |name: &str| row.get(name).unwrap();
            assert_eq!((get("country"), get("points")), ("JP", "7"), "empty counts as missing");
            assert_eq!(
                (get("team"), row.email_format()),
                ("mail", ""),
                "what a seed has stays, and its format is its own"
            );
            assert!(row.email().ends_with("house.example") && row.domain() == "house.example" && row.id < 0);
        }
    })
    .await;
}
