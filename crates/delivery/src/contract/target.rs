//! Who is in a target, and who of it gets nothing.

use std::collections::BTreeSet;

use store::binds;

use super::{START_US, World, definition, each, errors, html};
use crate::definition::{Definition, Substitution, TargetItem};
use crate::typologies::Whom;
use crate::{Analysis, By, Error, NewRule, NewTypology, RuleDefinition, RuleFilter, State};

impl World {
    pub(super) async fn analysed(&self, change: impl FnOnce(&mut Definition)) -> Analysis {
        let mut wanted = definition();
        change(&mut wanted);
        let id = self.deliveries.create(wanted, Some(html()), None).await.unwrap().id;
        self.analyse(id).await
    }

    /// The addresses that an analysed delivery has messages for.
    async fn addresses(&self, delivery: i64) -> Vec<String> {
        let (first, last) = queue::id_range(delivery);
        self.deliveries
            .store
            .read(move |tx| {
                let sql = "SELECT address FROM message WHERE id BETWEEN $1 AND $2 ORDER BY recipient, id";
                tx.query(sql, &binds![first, last], |row| row.text(0).map_err(Error::from))
            })
            .await
            .unwrap()
    }

    async fn id_of(&self, email: &str) -> i64 {
        self.audience.recipient_by_address(email).await.unwrap().unwrap().id
    }
}

fn item(change: impl FnOnce(&mut TargetItem)) -> TargetItem {
    let mut item = TargetItem::default();
    change(&mut item);
    item
}

fn gold() -> serde_json::Value {
    serde_json::json!({ "field": "tier", "op": "eq", "value": "gold" })
}

fn filtering(name: &str, filter: serde_json::Value) -> NewRule {
    NewRule {
        name: name.into(),
        description: String::new(),
        typologies: vec!["default".into()],
        order: 50,
        active: true,
        scope: String::new(),
        from_us: None,
        until_us: None,
        definition: RuleDefinition::Filtering(Whom { filter: Some(filter), ..Whom::default() }),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elements_name_services_and_everybody_outside() {
    each(|world| async move {
        world.recipients(8).await;
        let weekly = world.audience.create_service("weekly", START_US).await.unwrap();
        let some = vec![world.id_of("r1@yahoo.com").await, world.id_of("r2@tail1.example").await];
        world.audience.subscribe(weekly, some, START_US).await.unwrap();
        let service = item(|i| i.service = Some("weekly".into()));
        let outside = TargetItem { not: Some(true), ..service.clone() };
        let taken = world.analysed(|d| d.target.include = vec![service.clone()]).await;
        assert_eq!(world.addresses(taken.id).await, ["r1@yahoo.com", "r2@tail1.example"]);
        assert_eq!(world.analysed(|d| d.target.include = vec![outside.clone()]).await.to_deliver, 6);
        assert_eq!(world.analysed(|d| d.target.exclude = vec![outside]).await.to_deliver, 2);
        let (count, first) = world.deliveries.estimate_item(taken.id, &service, 1).await.unwrap();
        assert_eq!((count, first.len()), (2, 1));
        for (field, missing) in [
            ("there is no service named", item(|i| i.service = Some("daily".into()))),
            ("no confirmed delivery", item(|i| i.recipients_of = Some("October".into()))),
            ("does not have", item(|i| i.file = Some("extra.csv".into()))),
        ] {
            let analysis = world.analysed(|d| d.target.include = vec![missing]).await;
            assert!(errors(&analysis)[0].contains(field), "{:?}", errors(&analysis));
            assert_eq!(analysis.state, State::Failed);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recipients_of_the_newest_confirmed_delivery_by_what_became_of_it() {
    each(|world| async move {
        world.recipients(6).await;
        let coded = |d: &mut Definition| d.code = "OCT".into();
        let older = world.analysed(coded).await;
        world.deliveries.confirm(older.id, None, &By::system()).await.unwrap();
        world.clock.advance(std::time::Duration::from_secs(60));
        let newer = world
            .analysed(|d| {
                coded(d);
                d.target.include = vec![item(|i| i.filter = Some(gold()))];
            })
            .await;
        world.deliveries.confirm(newer.id, None, &By::system()).await.unwrap();
        let (first, _) = queue::id_range(newer.id);
        world
            .deliveries
            .store
            .write(store::Lane::Urgent, move |tx| {
                for (id, state) in [(first, 1), (first + 1, 2)] {
                    tx.execute(
                        "INSERT INTO outcome (id, state, attempts) VALUES ($1, $2, 1)",
                        &binds![id, state],
                    )?;
                }
                Ok::<_, Error>(())
            })
            .await
            .unwrap();
        let of = |name: &str, who: Option<&str>| {
            let (name, who) = (name.to_owned(), who.map(str::to_owned));
            move |d: &mut Definition| {
                d.target.include = vec![item(|i| (i.recipients_of, i.who) = (Some(name), who))];
            }
        };
        for (name, who, expected) in [
            ("OCT", None, 3),
            ("OCT", Some("sent"), 1),
            ("OCT", Some("failed"), 1),
            ("OCT", Some("opened"), 0),
            ("OCT", Some("not_opened"), 1),
            ("October newsletter", Some("all"), 3),
        ] {
            let found = world.analysed(of(name, who)).await;
            assert_eq!(found.to_deliver, expected, "{name} {who:?}");
        }
        let by_number = world.analysed(of(&older.id.to_string(), None)).await;
        assert_eq!(by_number.to_deliver, 6);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusions_have_their_order_and_the_report_names_the_rule() {
    each(|world| async move {
        world.recipients(20).await;
        let denied = world.id_of("r0@gmail.com").await;
        world.audience.set_denylisted(denied, true, START_US).await.unwrap();
        world.audience.quarantine("r2@tail1.example", "unknown_user", "550", START_US).await.unwrap();
        world.audience.suppress(vec!["tail2.example".into()], START_US).await.unwrap();
        world.deliveries.create_rule(filtering("No gold", gold())).await.unwrap();
        let inactive = NewRule { active: false, ..filtering("Nobody", serde_json::json!({ "and": [] })) };
        world.deliveries.create_rule(inactive).await.unwrap();
        let other = NewRule {
            scope: "delivery.priority == 'high'".into(),
            ..filtering("Nobody of high priority", serde_json::json!({ "and": [] }))
        };
        world.deliveries.create_rule(other).await.unwrap();
        let analysis = world.analysed(|_| {}).await;
        assert_eq!(errors(&analysis), [""; 0]);
        let report = world.deliveries.exclusion_report(analysis.id).await.unwrap();
        let counts: BTreeSet<_> =
            report.iter().map(|c| (c.reason.as_str(), c.rule.as_deref(), c.recipients)).collect();
        // Gold are the ten even ones; of them 0 is denylisted and 2 in quarantine. tail2 are 3, 7, 11, 15, 19.
        let expected = BTreeSet::from([
            ("denylisted", None, 1),
            ("quarantined", None, 1),
            ("suppressed", None, 5),
            ("rule", Some("No gold"), 8),
        ]);
        assert_eq!(counts, expected);
        assert_eq!(analysis.target, 20);
        assert_eq!(analysis.to_deliver, 5);
        let journal = world.deliveries.journal(analysis.id).await.unwrap();
        assert!(journal.iter().any(|line| line.text.contains("8 left out") && line.text.contains("No gold")));
        let all = world.analysed(|d| d.target.exclude_denylisted = false).await;
        assert_eq!(all.excluded.get("denylisted"), None);
        assert_eq!(all.excluded.get("rule"), Some(&9));
        assert_eq!(world.analysed(|d| d.parameters.priority = "high".into()).await.to_deliver, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_seed_chooses_the_same_ones() {
    each(|world| async move {
        world.recipients(60).await;
        let limited = |seed| move |d: &mut Definition| (d.target.limit, d.target.seed) = (20, seed);
        let first = world.analysed(limited(Some(7))).await;
        let again = world.analysed(limited(Some(7))).await;
        let other = world.analysed(limited(Some(8_000_000))).await;
        assert_eq!((first.to_deliver, first.excluded.get("limit")), (20, Some(&40)));
        assert_eq!(world.addresses(first.id).await, world.addresses(again.id).await);
        assert_ne!(world.addresses(first.id).await, world.addresses(other.id).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_groups_by_lot_by_sort_and_by_list() {
    each(|world| async move {
        world.recipients(12).await;
        for n in 0..12 {
            let domains = ["gmail.com", "yahoo.com", "tail1.example", "tail2.example"];
            let id = world.id_of(&format!("r{n}@{}", domains[n % 4])).await;
            let points = if n == 5 { String::new() } else { (n * 7 % 12).to_string() };
            let edit = audience::RecipientEdit {
                attributes: [("points".to_owned(), Some(points))].into(),
                ..Default::default()
            };
            world.audience.edit_recipient(id, edit, START_US).await.unwrap();
        }
        let lot = world.analysed(|d| d.target.control_group.size = "25%".into()).await;
        assert_eq!((lot.to_deliver, lot.excluded.get("control")), (9, Some(&3)));
        let sorted = |sort: &str| {
            let sort = sort.to_owned();
            move |d: &mut Definition| {
                let group = &mut d.target.control_group;
                (group.size, group.method, group.sort) = ("3".into(), "first".into(), sort);
            }
        };
        let kept = async |sort: &str| {
            let analysis = world.analysed(sorted(sort)).await;
            assert_eq!(analysis.excluded.get("control"), Some(&3), "{sort}");
            world.addresses(analysis.id).await
        };
        // points are n * 7 % 12: 0 has 0, 7 has 1, 2 has 2; 5 has none and comes last either way.
        let lowest = kept("points").await;
        assert!(
            !lowest.iter().any(|a| a.starts_with("r0@") || a.starts_with("r7@") || a.starts_with("r2@")),
            "{lowest:?}"
        );
        // 11 has 5, 8 has 8; 10 has 10, 3 has 9, and 5 would have 11.
        let highest = kept("-points").await;
        assert!(
            !highest.iter().any(|a| a.starts_with("r10@") || a.starts_with("r3@") || a.starts_with("r8@")),
            "{highest:?}"
        );
        let list = world.audience.create_list("controls", START_US).await.unwrap();
        let members = vec![world.id_of("r1@yahoo.com").await, world.id_of("r4@gmail.com").await];
        world.audience.add_to_list(list, members).await.unwrap();
        let listed = world.analysed(|d| d.target.control_group.list = "controls".into()).await;
        assert_eq!((listed.to_deliver, listed.excluded.get("control")), (10, Some(&2)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_whom_several_elements_name_gets_several_messages() {
    each(|world| async move {
        world.recipients(6).await;
        let denied = world.id_of("r0@gmail.com").await;
        world.audience.set_denylisted(denied, true, START_US).await.unwrap();
        let both = |keep: bool| {
            move |d: &mut Definition| {
                d.target.include.push(item(|i| i.filter = Some(gold())));
                (d.target.exclude_duplicates, d.target.keep_same_recipient) = (!keep, keep);
            }
        };
        assert_eq!(world.analysed(both(false)).await.to_deliver, 5);
        let kept = world.analysed(both(true)).await;
        // Gold are 0, 2 and 4; 0 is denylisted, once.
        assert_eq!((kept.to_deliver, kept.excluded.get("denylisted")), (7, Some(&1)));
        let addresses = world.addresses(kept.id).await;
        assert_eq!(addresses.iter().filter(|a| a.starts_with("r2@")).count(), 2, "{addresses:?}");
        assert_eq!(kept.target, 8);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readers_of_the_proof_may_be_in_the_target() {
    each(|world| async move {
        world.recipients(6).await;
        let change = |d: &mut Definition| {
            d.target.include = vec![item(|i| i.recipient = Some("r1@yahoo.com".into()))];
            let to = |to: &str| Substitution { to: to.into(), profile: "random".into() };
            d.proof.addresses = vec![to("r3@tail2.example"), to("boss@shop.example")];
        };
        assert_eq!(world.analysed(change).await.to_deliver, 1);
        let with = world
            .analysed(|d| {
                change(d);
                d.target.include_proof_target = true;
            })
            .await;
        assert_eq!(world.addresses(with.id).await, ["r1@yahoo.com", "r3@tail2.example"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_imported_or_its_rows_are_guests() {
    const CSV: &str =
        "email,first_name\nr1@yahoo.com,Twin\nnew@guest.example,New\nNEW@guest.example,Twice\nnobody,X\n";
    each(|world| async move {
        world.recipients(4).await;
        for (import, recipients) in [(false, 4), (true, 5)] {
            let mut wanted = definition();
            wanted
                .target
                .include
                .push(item(|i| (i.file, i.import) = (Some("extra.csv".into()), Some(import))));
            let id = world.deliveries.create(wanted, Some(html()), None).await.unwrap().id;
            world.deliveries.put_asset(id, "extra.csv", CSV.as_bytes().to_vec(), "").await.unwrap();
            let analysis = world.analyse(id).await;
            assert_eq!(errors(&analysis), [""; 0]);
            let addresses = world.addresses(id).await;
            assert_eq!(addresses.len(), 5, "import {import}: {addresses:?}");
            assert!(addresses.iter().any(|a| a.eq_ignore_ascii_case("new@guest.example")), "{addresses:?}");
            assert_eq!(world.audience.recipient_count().await.unwrap(), recipients);
            assert!(
                analysis.findings.iter().any(|f| f.rule == "target_file" && f.text.contains("extra.csv"))
            );
            assert_eq!(world.analyse(id).await.to_deliver, 5, "again");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typologies_and_rules_are_kept_and_wrong_ones_refused() {
    each(|world| async move {
        let all = world.deliveries.typologies().await.unwrap();
        assert_eq!(all.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["bulk", "default"]);
        let new = |name: &str| NewTypology {
            name: name.into(),
            description: String::new(),
            base: "bulk".into(),
            weight: 9,
            pool: "cold".into(),
        };
        let made = world.deliveries.create_typology(new("Shop")).await.unwrap();
        assert!(world.deliveries.create_typology(new("Shop")).await.is_err());
        assert!(
            world.deliveries.delete_typology(all[0].id).await.unwrap_err().to_string().contains("shipped")
        );
        let rule = NewRule { typologies: vec!["Shop".into()], ..filtering("No gold", gold()) };
        let kept = world.deliveries.create_rule(rule.clone()).await.unwrap();
        assert_eq!(world.deliveries.typology_rule(kept.id).await.unwrap().unwrap().rule, rule);
        let changed = NewRule { order: 10, ..rule.clone() };
        assert_eq!(world.deliveries.update_rule(kept.id, changed.clone()).await.unwrap().rule, changed);
        let of_shop = RuleFilter { typology: Some(made.id), kind: None };
        assert_eq!(world.deliveries.typology_rules(of_shop).await.unwrap().len(), 1);
        for (wrong, part) in [
            (NewRule { scope: "no_such_fact > 1".into(), ..rule.clone() }, "no_such_fact"),
            (NewRule { typologies: vec!["Nowhere".into()], name: "x".into(), ..rule.clone() }, "Nowhere"),
            (NewRule { name: "x".into(), from_us: Some(2), until_us: Some(1), ..rule.clone() }, "after"),
            (filtering("y", serde_json::json!({ "field": "tier" })), "filter"),
            (filtering("z", serde_json::json!({ "in_segment": "gone" })), "gone"),
        ] {
            let refusal = world.deliveries.create_rule(wrong).await.unwrap_err().to_string();
            assert!(refusal.contains(part), "{refusal}");
        }
        let with_unknown = world.analysed(|d| d.validation.typology = "Nowhere".into()).await;
        assert!(errors(&with_unknown)[0].contains("Nowhere"), "{:?}", errors(&with_unknown));
        let mut wanted = definition();
        wanted.validation.typology = "Shop".into();
        world.deliveries.create(wanted, Some(html()), None).await.unwrap();
        assert!(
            world.deliveries.delete_typology(made.id).await.unwrap_err().to_string().contains("named by 1")
        );
        assert!(world.deliveries.delete_rule(kept.id).await.unwrap());
    })
    .await;
}
