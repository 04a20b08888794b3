//! Pressure through real analyses: the worked example of SPEC 6.6, what counts, limits by segment, households.

use std::collections::BTreeMap;
use std::time::Duration;

use store::{Lane, binds};

use super::{World, definition, each, html};
use crate::typologies::{LimitFor, PressureRule, Whom};
use crate::{Analysis, By, NewRule, RuleDefinition};

fn rule(pressure: PressureRule) -> NewRule {
    NewRule {
        name: "Fatigue".into(),
        description: String::new(),
        typologies: vec!["default".into()],
        order: 50,
        active: true,
        scope: String::new(),
        from_us: None,
        until_us: None,
        definition: RuleDefinition::Pressure(pressure),
    }
}

impl World {
    async fn pressure(&self, pressure: PressureRule) {
        self.deliveries.create_rule(rule(pressure)).await.unwrap();
    }

    fn at(&self, date: &str) {
        let wanted: jiff::Timestamp = format!("{date}T09:00:00Z").parse().unwrap();
        let by = wanted.as_microsecond() - self.deliveries.now_us();
        self.clock.advance(Duration::from_micros(by.try_into().unwrap()));
    }

    /// Makes a delivery, analyses it, and confirms it when somebody is left.
    async fn send(&self, change: impl FnOnce(&mut crate::Definition)) -> Analysis {
        let mut wanted = definition();
        change(&mut wanted);
        let id = self.deliveries.create(wanted, Some(html()), None).await.unwrap().id;
        let analysis = self.analyse(id).await;
        if analysis.to_deliver > 0 {
            self.deliveries.confirm(id, None, &By::system()).await.unwrap();
        }
        analysis
    }

    async fn outcome(&self, delivery: i64, state: i64) {
        let (first, last) = queue::id_range(delivery);
        self.deliveries
            .store
            .write(Lane::Urgent, move |tx| {
                tx.execute(
                    "INSERT INTO outcome (id, state, attempts) SELECT id, $3, 1 FROM message WHERE id BETWEEN $1 AND $2",
                    &binds![first, last, state],
                )
            })
            .await
            .unwrap();
    }
}

/// The worked example: at most 3 in two weeks, six mails; which are dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worked_example() {
    const DATES: [&str; 6] =
        ["2027-05-30", "2027-06-03", "2027-06-08", "2027-06-12", "2027-06-22", "2027-06-30"];
    for (grouping, dropped) in [("month", vec![4, 6]), ("quarter", vec![4, 5, 6]), ("", vec![4])] {
        each(|world| {
            let dropped = dropped.clone();
            async move {
                world.recipients(4).await;
                let period = "14d".into();
                world
                    .pressure(PressureRule {
                        limit: 3,
                        period,
                        grouping: grouping.into(),
                        ..Default::default()
                    })
                    .await;
                let mut found = Vec::new();
                for (n, date) in DATES.iter().enumerate() {
                    world.at(date);
                    let analysis = world.send(|_| {}).await;
                    if analysis.to_deliver == 0 {
                        assert_eq!(analysis.excluded, BTreeMap::from([("pressure".to_owned(), 4)]));
                        found.push(n + 1);
                    }
                }
                assert_eq!(found, dropped, "grouping {grouping:?}");
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_was_sent_counts() {
    each(|world| async move {
        world.recipients(6).await;
        world.pressure(PressureRule { limit: 1, ..Default::default() }).await;
        let failed = world.send(|_| {}).await;
        world.outcome(failed.id, 2).await;
        let second = world.send(|_| {}).await;
        assert_eq!(second.to_deliver, 6, "what failed does not count");
        assert_eq!(world.send(|_| {}).await.to_deliver, 0, "what is on its way does");
        world.queue.stop(second.id, world.deliveries.now_us()).await.unwrap();
        assert_eq!(world.send(|_| {}).await.to_deliver, 6, "what was stopped before it went does not");
        let report = world.send(|_| {}).await;
        let report = world.deliveries.exclusion_report(report.id).await.unwrap();
        assert_eq!(report.len(), 1, "{report:?}");
        assert_eq!(
            (report[0].reason.as_str(), report[0].rule.as_deref(), report[0].recipients),
            ("pressure", Some("Fatigue"), 6)
        );
        world.clock.advance(Duration::from_secs(16 * 86_400));
        assert_eq!(world.send(|_| {}).await.to_deliver, 6, "the window went by");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_by_segment_and_for_some_alone() {
    each(|world| async move {
        world.recipients(10).await;
        let gold = serde_json::json!({ "field": "tier", "op": "eq", "value": "gold" });
        let at_gmail = serde_json::json!({ "field": "domain", "op": "eq", "value": "gmail.com" });
        world
            .pressure(PressureRule {
                limit: 1,
                limits: vec![
                    LimitFor { filter: Some(at_gmail), limit: 0, ..LimitFor::default() },
                    LimitFor { filter: Some(gold), limit: 2, ..LimitFor::default() },
                ],
                ..Default::default()
            })
            .await;
        // Every fourth is at gmail.com and gets nothing at all: 0, 4 and 8. Of the rest, gold are 2 and 6.
        assert_eq!(world.send(|_| {}).await.to_deliver, 7);
        assert_eq!(world.send(|_| {}).await.to_deliver, 2);
        assert_eq!(world.send(|_| {}).await.to_deliver, 0);
    })
    .await;
    each(|world| async move {
        world.recipients(10).await;
        let odd = serde_json::json!({ "field": "tier", "op": "is_empty" });
        let recipients = Whom { filter: Some(odd), ..Whom::default() };
        world.pressure(PressureRule { limit: 1, recipients, ..Default::default() }).await;
        assert_eq!(world.send(|_| {}).await.to_deliver, 10);
        assert_eq!(world.send(|_| {}).await.to_deliver, 5, "the others are not the rule's");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_and_which_deliveries_are_counted() {
    each(|world| async move {
        world.recipients(3).await;
        let measure = "weight".into();
        world.pressure(PressureRule { limit: 10, measure, ..Default::default() }).await;
        let weighing = |weight| move |d: &mut crate::Definition| d.validation.weight = Some(weight);
        assert_eq!(world.send(weighing(7)).await.to_deliver, 3);
        assert_eq!(world.send(weighing(4)).await.to_deliver, 0, "7 and 4 are more than 10");
        assert_eq!(world.send(weighing(3)).await.to_deliver, 3);
    })
    .await;
    each(|world| async move {
        world.recipients(3).await;
        let deliveries = "delivery.code == 'NEWS'".into();
        world.pressure(PressureRule { limit: 1, deliveries, ..Default::default() }).await;
        let coded = |code: &'static str| move |d: &mut crate::Definition| d.code = code.into();
        assert_eq!(world.send(coded("OTHER")).await.to_deliver, 3);
        assert_eq!(world.send(coded("NEWS")).await.to_deliver, 3, "OTHER is not counted");
        assert_eq!(world.send(coded("OTHER")).await.to_deliver, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planned_deliveries_of_greater_weight_come_first() {
    each(|world| async move {
        world.recipients(3).await;
        world.pressure(PressureRule { limit: 1, planned: true, ..Default::default() }).await;
        let planned = |weight: u32, date: &'static str| {
            move |d: &mut crate::Definition| {
                d.validation.weight = Some(weight);
                d.schedule.contact_date = date.into();
            }
        };
        // The clock stands in September 2026.
        assert_eq!(world.send(planned(5, "2026-10-01T08:00")).await.to_deliver, 3);
        assert_eq!(world.send(planned(5, "2026-10-02T08:00")).await.to_deliver, 0, "the same weight, later");
        assert_eq!(world.send(planned(6, "2026-10-02T08:00")).await.to_deliver, 3, "greater weight");
        assert_eq!(world.send(planned(9, "2026-12-02T08:00")).await.to_deliver, 3, "another time");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_household_shares_its_limit() {
    each(|world| async move {
        world.recipients(9).await;
        for (n, home) in [(0, "a"), (1, "a"), (2, "a"), (3, "b"), (4, "b")] {
            let domains = ["gmail.com", "yahoo.com", "tail1.example", "tail2.example"];
            let email = format!("r{n}@{}", domains[n % 4]);
            let id = world.audience.recipient_by_address(&email).await.unwrap().unwrap().id;
            let edit = audience::RecipientEdit {
                attributes: [("home".to_owned(), Some(home.to_owned()))].into(),
                ..Default::default()
            };
            world.audience.edit_recipient(id, edit, world.deliveries.now_us()).await.unwrap();
        }
        world.pressure(PressureRule { limit: 2, household: "home".into(), ..Default::default() }).await;
        // Two of a, two of b, and the four who belong to none.
        assert_eq!(world.send(|_| {}).await.to_deliver, 8);
        assert_eq!(world.send(|_| {}).await.to_deliver, 4, "both households had their two");
    })
    .await;
}
