//! Services: subscribing and leaving, apart from the denylist.

use audience::{Element, Error, NewRecipient, Search, TargetSet};
use store::testing::each;

use crate::{NOW, room};

async fn people(room: &audience::Audience, count: usize) -> Vec<i64> {
    let mut ids = Vec::new();
    for i in 0..count {
        let new = NewRecipient { email: format!("p{i}@x.example"), ..NewRecipient::default() };
        ids.push(room.create_recipient(new, NOW).await.unwrap().id);
    }
    ids
}

#[tokio::test]
async fn people_subscribe_and_leave() {
    each(|store| async {
        let room = room(store).await;
        let ids = people(&room, 4).await;
        let weekly = room.create_service(" weekly ", NOW).await.unwrap();
        let offers = room.create_service("offers", NOW).await.unwrap();
        assert!(matches!(
            room.create_service("weekly", NOW).await,
            Err(Error::Exists { what: "service", .. })
        ));
        assert!(room.create_service("  ", NOW).await.is_err());

        assert_eq!(room.subscribe(weekly, vec![ids[0], ids[1], 999], NOW).await.unwrap(), 2, "999 is nobody");
        assert_eq!(room.subscribe(weekly, vec![ids[1], ids[2]], NOW + 5).await.unwrap(), 1);
        assert_eq!(room.subscribe(offers, vec![ids[1]], NOW).await.unwrap(), 1);
        assert!(matches!(room.subscribe(77, vec![ids[0]], NOW).await, Err(Error::NotFound("service"))));
        let of: Vec<_> = room.subscriptions_of(ids[1]).await.unwrap();
        let of: Vec<_> = of.iter().map(|s| (s.name.as_str(), s.since)).collect();
        assert_eq!(of, [("offers", NOW), ("weekly", NOW)], "who subscribes again keeps the first time");

        assert_eq!(room.unsubscribe(weekly, vec![ids[1], ids[3]]).await.unwrap(), 1);
        let person = room.recipient(ids[1]).await.unwrap().unwrap();
        assert!(!person.denylisted, "leaving a service is not the denylist");
        assert_eq!(room.subscriptions_of(ids[1]).await.unwrap().len(), 1, "the other service stays");
        let taken = room.preview(&room.subscribers_of(weekly), 10).await.unwrap();
        assert_eq!(taken.iter().map(|r| r.id).collect::<Vec<_>>(), [ids[0], ids[2]]);

        let end = |service: i64, id: i64| {
            room.store().write(store::Lane::Urgent, move |tx| audience::end_subscription(tx, service, id))
        };
        let left = end(weekly, ids[1]).await.unwrap();
        assert_eq!((left.ended, left.still), (false, vec![offers]), "left already");
        let left = end(offers, ids[1]).await.unwrap();
        assert_eq!((left.ended, left.still), (true, vec![]));

        let list = room.create_list("list", NOW).await.unwrap();
        room.add_to_list(list, vec![ids[2], ids[3]]).await.unwrap();
        let first = Search { service: Some(weekly), limit: 1, ..Search::default() };
        let page = room.search(first.clone()).await.unwrap();
        assert_eq!((page.recipients[0].id, page.next), (ids[0], Some(ids[0])));
        let rest = room.search(Search { after: page.next, ..first.clone() }).await.unwrap();
        assert_eq!((rest.recipients[0].id, rest.next), (ids[2], None));
        let both = room.search(Search { list: Some(list), limit: 9, ..first }).await.unwrap();
        assert_eq!(both.recipients.iter().map(|r| r.id).collect::<Vec<_>>(), [ids[2]]);

        let outside = TargetSet {
            include: vec![Element::new(room.subscribers_of(weekly), true)],
            ..TargetSet::default()
        };
        assert_eq!(room.count(&outside.members()).await.unwrap(), 2);
        assert_eq!(room.count(&room.outside(&room.subscribers_of(weekly))).await.unwrap(), 2);

        room.rename_service(weekly, "weekly letter").await.unwrap();
        assert!(room.rename_service(weekly, "offers").await.is_err(), "the name is taken");
        assert_eq!(room.service_by_name("weekly letter").await.unwrap().unwrap().subscribers, 2);
        room.delete_recipients(vec![ids[0]]).await.unwrap();
        assert_eq!(
            room.service(weekly).await.unwrap().unwrap().subscribers,
            1,
            "a deleted person subscribes to nothing"
        );
        assert!(room.delete_service(weekly).await.unwrap());
        assert!(!room.delete_service(weekly).await.unwrap());
        assert_eq!(room.services().await.unwrap().len(), 1);
        assert_eq!(room.count(&room.subscribers_of(weekly)).await.unwrap(), 0);
    })
    .await;
}
