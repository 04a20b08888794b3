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

fn planned(weight: u32, date: &'static str) -> impl FnOnce(&mut crate::Definition) {
    move |d| {
        d.validation.weight = Some(weight);
        d.schedule.contact_date = date.into();
    }
}

impl World {
    async fn drafted_for(&self, change: impl FnOnce(&mut crate::Definition)) -> i64 {
        let mut wanted = definition();
        change(&mut wanted);
        self.deliveries.create(wanted, Some(html()), None).await.unwrap().id
    }
}

/// Whichever ends first: nobody gets both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_analyses_at_once_see_each_other() {
    each(|world| async move {
        world.recipients(30).await;
        world.pressure(PressureRule { limit: 1, planned: true, ..Default::default() }).await;
        let early = world.drafted_for(planned(5, "2026-10-01T08:00")).await;
        let late = world.drafted_for(planned(5, "2026-10-02T08:00")).await;
        let analyses = [
            world.deliveries.start_analysis(early, &By::system()).await.unwrap(),
            world.deliveries.start_analysis(late, &By::system()).await.unwrap(),
        ];
        let mut sent = Vec::new();
        for analysis in analyses {
            sent.push(analysis.wait().await.unwrap().to_deliver);
        }
        assert_eq!(sent[0], 30, "the earlier comes first");
        if sent[1] != 0 {
            // It ended before the other: the night mends it.
            world.clock.advance(Duration::from_secs(86_400));
            // One delivery each second.
            for _ in 0..2 {
                world.deliveries.tick().await.unwrap();
            }
            world.settled(late).await;
            sent[1] = world.deliveries.get(late).await.unwrap().to_deliver;
        }
        assert_eq!(sent[1], 0);
    })
    .await;
}

impl World {
    /// Waits until no analysis of the delivery runs.
    async fn settled(&self, id: i64) {
        if let Some(handle) = self.deliveries.analysis_handle(id) {
            handle.wait().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_night_reckons_planned_deliveries_again() {
    each(|world| async move {
        world.recipients(4).await;
        world.pressure(PressureRule { limit: 1, planned: true, ..Default::default() }).await;
        let light = world.drafted_for(planned(3, "2026-10-01T08:00")).await;
        assert_eq!(world.analyse(light).await.to_deliver, 4);
        let to_deliver = async || world.deliveries.get(light).await.unwrap().to_deliver;
        let first = world.deliveries.get(light).await.unwrap().analysed_at;
        world.clock.advance(Duration::from_secs(86_400));
        world.deliveries.tick().await.unwrap();
        world.settled(light).await;
        assert_eq!(world.deliveries.get(light).await.unwrap().analysed_at, first, "nothing changed");

        let change = planned(8, "2026-10-02T08:00");
        let heavy = world.drafted_for(|d| {
            change(d);
            d.target.limit = 3;
        });
        let heavy = heavy.await;
        assert_eq!(world.analyse(heavy).await.to_deliver, 3, "the heavier does not ask");
        world.deliveries.tick().await.unwrap();
        assert_eq!(to_deliver().await, 4, "not before the night");
        world.clock.advance(Duration::from_secs(86_400));
        world.deliveries.tick().await.unwrap();
        world.settled(light).await;
        assert_eq!(to_deliver().await, 1, "the heavier comes first");
        let journal = format!("{:?}", world.deliveries.journal(light).await.unwrap());
        assert!(journal.contains("Analysed again by itself"), "{journal}");
        // A delivery that is given up takes nobody's place.
        world.deliveries.cancel(heavy, "", &By::system()).await.unwrap();
        world.clock.advance(Duration::from_secs(86_400));
        world.deliveries.tick().await.unwrap();
        world.settled(light).await;
        assert_eq!(to_deliver().await, 4);
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
