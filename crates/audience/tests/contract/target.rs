//! The relation that an analysis walks.

use audience::{Element, Filter, Mark, NewRecipient, TargetSet};
use serde_json::json;
use store::testing::each;

use crate::{NOW, room};

#[tokio::test]
async fn a_target_is_a_set_with_reasons() {
    each(|store| async {
        let room = room(store).await;
        let (newsletter, competitors) = (
            room.create_list("newsletter", NOW).await.unwrap(),
            room.create_list("competitors", NOW).await.unwrap(),
        );
        let mut ids = Vec::new();
        for i in 0..10 {
            let new = NewRecipient {
                email: format!("r{i}@x{}.example", i % 2),
                country: if i >= 6 { "DE" } else { "FR" }.into(),
                denylisted: i == 1 || i == 2,
                ..NewRecipient::default()
            };
            ids.push(room.create_recipient(new, NOW).await.unwrap().id);
        }
        assert_eq!(room.largest_recipient_id().await.unwrap(), ids[9]);
        room.add_to_list(newsletter, ids[..6].to_vec()).await.unwrap();
        room.add_to_list(competitors, vec![ids[0], ids[7]]).await.unwrap();
        room.quarantine("R2@x0.example", "manual", "", NOW).await.unwrap();
        room.quarantine("R3@x1.example", "manual", "", NOW).await.unwrap();
        let german = Filter::parse(&json!({"field": "country", "op": "eq", "value": "DE"})).unwrap();
        let set = TargetSet {
            include: vec![
                room.recipients_in_list(newsletter).into(),
                room.recipients_in_segment(&german, NOW).await.unwrap().into(),
            ],
            exclude: vec![room.recipients_in_list(competitors).into()],
            guests: None,
            marks: vec![Mark::denylisted(), Mark::quarantined()],
        };
        assert_eq!(room.count(&set.members()).await.unwrap(), 8);
        let rows = walk(&room, &set, ids[0], ids[9]).await;
        let reasons: Vec<_> = rows.iter().map(|(id, _, reason)| (*id, reason.as_deref())).collect();
        let reason = |i: usize| match i {
            1 | 2 => Some("denylisted"),
            3 => Some("quarantined"),
            _ => None,
        };
        let expected: Vec<_> = [1, 2, 3, 4, 5, 6, 8, 9].into_iter().map(|i| (ids[i], reason(i))).collect();
        assert_eq!(reasons, expected);
        assert_eq!(rows[0].1, "x1.example");
        assert_eq!(walk(&room, &set, ids[2], ids[4]).await.len(), 3, "only the range");

        let unmarked = TargetSet { marks: Vec::new(), ..set.clone() };
        assert!(walk(&room, &unmarked, ids[0], ids[9]).await.iter().all(|(_, _, reason)| reason.is_none()));
        assert_eq!(
            walk(&room, &TargetSet::default(), ids[0], ids[9]).await.len(),
            0,
            "nothing included is nobody"
        );
        let one = room.random_recipient(&set.members(), 3).await.unwrap().unwrap();
        assert!(expected.iter().any(|(id, _)| *id == one.id));
    })
    .await;
}

#[tokio::test]
async fn elements_can_be_turned_and_marks_say_their_rule() {
    each(|store| async {
        let room = room(store).await;
        let list = room.create_list("newsletter", NOW).await.unwrap();
        let mut ids = Vec::new();
        for i in 0..8 {
            let new = NewRecipient { email: format!("r{i}@x.example"), ..NewRecipient::default() };
            ids.push(room.create_recipient(new, NOW).await.unwrap().id);
        }
        room.add_to_list(list, ids[..4].to_vec()).await.unwrap();
        let filter = |n: usize| {
            Filter::parse(&json!({"field": "email", "op": "starts_with", "value": format!("r{n}")}))
        };
        let one = async |n: usize| room.recipients_in_segment(&filter(n).unwrap(), NOW).await.unwrap();
        let set = TargetSet {
            include: vec![
                Element::new(room.recipients_in_list(list), true),
                one(0).await.into(),
                one(1).await.into(),
            ],
            exclude: vec![one(7).await.into()],
            guests: None,
            marks: vec![
                Mark { reason: "invalid_address", rule: None, who: audience::Marked::In(one(0).await) },
                Mark::rule(9, one(0).await),
                Mark::rule(3, one(5).await),
                Mark {
                    reason: "rule",
                    rule: Some(4),
                    who: audience::Marked::Outside(room.recipients_in_list(list)),
                },
            ],
        };
        for range in [ids[0]..=ids[7], ids[0]..=ids[3], ids[4]..=ids[7]] {
            let relation = set.candidates(&range);
            let mut binds = Vec::new();
            let sql =
                format!("SELECT recipient, reason, rule FROM ({}) t ORDER BY 1", relation.splice(&mut binds));
            let rows: Vec<(i64, Option<String>, Option<i64>)> = room
                .store()
                .read(move |tx| {
                    tx.query(&sql, &binds, |row| {
                        Ok::<_, store::Error>((row.int(0)?, row.text_opt(1)?, row.int_opt(2)?))
                    })
                })
                .await
                .unwrap();
            let expected: Vec<_> = [
                (ids[0], Some("invalid_address".to_owned()), None),
                (ids[1], None, None),
                (ids[4], Some("rule".to_owned()), Some(4)),
                (ids[5], Some("rule".to_owned()), Some(3)),
                (ids[6], Some("rule".to_owned()), Some(4)),
            ]
            .into_iter()
            .filter(|(id, ..)| range.contains(id))
            .collect();
            assert_eq!(rows, expected);
        }
        assert_eq!(room.count(&set.members()).await.unwrap(), 5);
    })
    .await;
}

/// The candidates of a range: id, domain, reason.
pub(crate) async fn walk(
    room: &audience::Audience,
    set: &TargetSet,
    from: i64,
    to: i64,
) -> Vec<(i64, String, Option<String>)> {
    let relation = set.candidates(&(from..=to));
    let mut binds = Vec::new();
    let sql = format!(
        "SELECT recipient, domain, reason FROM ({}) t ORDER BY recipient",
        relation.splice(&mut binds)
    );
    room.store()
        .read(move |tx| {
            tx.query(&sql, &binds, |row| Ok::<_, store::Error>((row.int(0)?, row.text(1)?, row.text_opt(2)?)))
        })
        .await
        .unwrap()
}
