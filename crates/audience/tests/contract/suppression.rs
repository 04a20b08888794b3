//! The suppression list: addresses and domains, by hand and by file.

use audience::{Mark, NewRecipient, SuppressionCounts, SuppressionKind, TargetSet};
use store::testing::each;

use crate::target::walk;
use crate::{NOW, room, source};

#[tokio::test]
async fn addresses_and_domains_are_suppressed() {
    each(|store| async {
        let room = room(store).await;
        let mut ids = Vec::new();
        for email in
            ["Trap@one.example", "b@one.example", "c@bücher.example", "d@sub.two.example", "e@two.example"]
        {
            let new = NewRecipient {
                email: email.into(),
                denylisted: email.starts_with('b'),
                ..NewRecipient::default()
            };
            ids.push(room.create_recipient(new, NOW).await.unwrap().id);
        }
        let values = ["TRAP@ONE.example", "bücher.example", "@two.example", "no domain", "b@one.example"];
        let report = room.suppress(values.map(str::to_owned).to_vec(), NOW).await.unwrap();
        assert_eq!((report.added, report.known, report.rejected), (4, 0, 1));
        assert_eq!(report.faults[0].0, 4);
        assert_eq!(room.suppression_counts().await.unwrap(), SuppressionCounts { addresses: 2, domains: 2 });
        for (email, expected) in [
            ("trap@one.example", true),
            ("x@xn--bcher-kva.example", true),
            ("d@sub.two.example", false),
            ("nobody", false),
        ] {
            assert_eq!(room.is_suppressed(email).await.unwrap(), expected, "{email}");
        }

        let set = TargetSet {
            include: vec![room.all_recipients().into()],
            marks: vec![Mark::denylisted(), Mark::suppressed()],
            ..TargetSet::default()
        };
        let rows = walk(&room, &set, ids[0], ids[4]).await;
        let reasons: Vec<_> = rows.iter().map(|(_, _, reason)| reason.as_deref()).collect();
        let s = Some("suppressed");
        assert_eq!(
            reasons,
            [s, Some("denylisted"), s, None, s],
            "the first mark wins; a domain is not those below it"
        );

        assert_eq!(room.unsuppress(vec!["two.example".into(), "unknown.example".into()]).await.unwrap(), 1);
        let page = room.suppressed_page(None, "", "", 2).await.unwrap();
        let values: Vec<_> = page.iter().map(|entry| entry.value.as_str()).collect();
        assert_eq!(values, ["b@one.example", "trap@one.example"]);
        let rest = room.suppressed_page(None, "", values[1], 2).await.unwrap();
        assert_eq!((rest.len(), rest[0].kind), (1, SuppressionKind::Domain));
        assert_eq!(room.suppressed_page(Some(SuppressionKind::Domain), "", "", 9).await.unwrap().len(), 1);
        assert_eq!(room.suppressed_page(None, "Trap@", "", 9).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_file_of_any_size_is_taken() {
    each(|store| async {
        let room = room(store).await;
        let mut file = String::from("\u{feff}email;since\r\n");
        for i in 0..5_000 {
            file.push_str(&format!("trap{i}@x{}.example;2026\r\n", i % 7));
        }
        file.push_str("trap1@x1.example\r\nfault here\r\nlast.example");
        let report = room.import_suppressed(source(file.clone()), NOW).await.unwrap();
        assert_eq!((report.added, report.known, report.rejected), (5_001, 1, 1));
        assert_eq!(report.faults[0].0, 5_003, "the heading is line 1");
        let again = room.import_suppressed(source(file), NOW).await.unwrap();
        assert_eq!((again.added, again.known), (0, 5_002), "again changes nothing");
    })
    .await;
}
