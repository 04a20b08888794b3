//! Warm-ups through real analyses: who reads goes first, and the day on which all is done is told.

use store::{Lane, binds};

use super::{START_US, World, each};
use crate::By;
use crate::types::Error;

const DAY_US: i64 = 86_400_000_000;

impl World {
    /// The message of a delivery to this address, and the number it has.
    async fn message_to(&self, delivery: i64, address: &str) -> i64 {
        let (first, last, address) = (delivery << 28, ((delivery + 1) << 28) - 1, address.to_owned());
        let sql = "SELECT id FROM message WHERE id BETWEEN $1 AND $2 AND address = $3";
        let found = self.deliveries.store.read(move |tx| {
            tx.query_one(sql, &binds![first, last, address], |row| Ok::<_, Error>(row.int(0)?))
        });
        found.await.unwrap()
    }

    async fn pool_of_run(&self, delivery: i64) -> String {
        let found = self.deliveries.store.read(move |tx| {
            let sql = "SELECT pool FROM run WHERE delivery = $1";
            tx.query_one(sql, &binds![delivery], |row| Ok::<_, Error>(row.text(0)?))
        });
        found.await.unwrap()
    }

    async fn clicks(&self, message: i64, at_us: i64) {
        let sql = "INSERT INTO event (message, kind, link, at, machine, agent, client) VALUES ($1, 2, NULL, $2, 0, '', '')";
        let done = self.deliveries.store.write(Lane::Urgent, move |tx| {
            tx.execute(sql, &binds![message, at_us])?;
            Ok::<_, Error>(())
        });
        done.await.unwrap();
    }

    async fn warm_up(&self, days: Vec<u32>) {
        let plan = routes::WarmUp {
            source: routes::DEFAULT_SOURCE.into(),
            provider: "google".into(),
            start_day: routes::day_of(START_US),
            days,
            overflow: routes::Overflow::Wait,
        };
        let providers = routes::Providers::built_in().clone();
        let base = routes::RuleBase { providers, ehlo: "out.shop.example".into(), file: None };
        self.routes.open_rules(base, START_US).await.unwrap();
        self.routes.put_warm_up(plan, "ann", START_US).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_clicked_lately_goes_first_where_a_source_is_made_known() {
    each(|world| async move {
        world.recipients(40).await;
        let before = world.draft().await;
        let analysis = world.analyse(before).await;
        world.deliveries.confirm(before, analysis.snapshot.as_deref(), &By::system()).await.unwrap();
        // The last two at Gmail read; somebody at Yahoo too, where nobody is made known.
        for address in ["r32@gmail.com", "r36@gmail.com", "r37@yahoo.com"] {
            world.clicks(world.message_to(before, address).await, START_US).await;
        }
        world.warm_up(vec![4, 100]).await;
        let id = world.draft().await;
        let analysis = world.analyse(id).await;
        assert_eq!(analysis.to_deliver, 40);
        world.deliveries.confirm(id, analysis.snapshot.as_deref(), &By::system()).await.unwrap();
        let mut first =
            [world.message_to(id, "r32@gmail.com").await, world.message_to(id, "r36@gmail.com").await];
        first.sort_unstable();
        let other = world.message_to(id, "r0@gmail.com").await;
        assert!(first[1] < other, "{first:?} before {other}");
        // Ten at Gmail, four of them today: the rest goes tomorrow, and one says so before Confirm.
        let google = analysis.providers.iter().find(|plan| plan.provider == "google").unwrap();
        assert_eq!(google.messages, 10);
        assert_eq!(routes::day_of(google.predicted_end.unwrap()), routes::day_of(START_US + DAY_US));
        let yahoo = analysis.providers.iter().find(|plan| plan.provider == "yahoo").unwrap();
        assert_eq!(routes::day_of(yahoo.predicted_end.unwrap()), routes::day_of(START_US));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_without_a_source_is_warned_of() {
    each(|world| async move {
        world.recipients(4).await;
        let analysis = world.analysed(|definition| definition.parameters.pool = "news".into()).await;
        let warned = analysis.findings.iter().find(|finding| finding.rule == "pool").unwrap();
        assert!(
            warned.text.contains("news") && warned.hint.as_deref().is_some_and(|hint| hint.contains("pool"))
        );
        let named = world.analysed(|_| {}).await;
        assert!(named.findings.iter().all(|finding| finding.rule != "pool"), "default has its source");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typology_names_the_pool_and_the_delivery_may_choose_another() {
    each(|world| async move {
        world.recipients(4).await;
        let new = crate::NewTypology {
            name: "Receipts".into(),
            description: String::new(),
            base: "default".into(),
            weight: 5,
            pool: "receipts".into(),
        };
        let made = world.deliveries.create_typology(new.clone()).await.unwrap();
        assert_eq!(made.pool, "receipts");
        let by_typology =
            |definition: &mut crate::Definition| definition.validation.typology = "Receipts".into();
        let analysis = world.analysed(by_typology).await;
        let warned = analysis.findings.iter().find(|finding| finding.rule == "pool").unwrap();
        assert!(warned.text.contains("receipts, which the typology names"), "{}", warned.text);
        assert_eq!(world.deliveries.confirm_plan(analysis.id).await.unwrap().pool, "receipts");
        // What is confirmed is what was analysed, whatever the typology says by then.
        let later = crate::NewTypology { pool: "other".into(), ..new };
        world.deliveries.update_typology(made.id, later).await.unwrap();
        world.deliveries.confirm(analysis.id, analysis.snapshot.as_deref(), &By::system()).await.unwrap();
        assert_eq!(world.pool_of_run(analysis.id).await, "receipts");
        let own = world
            .analysed(|definition| {
                by_typology(definition);
                definition.parameters.pool = "own".into();
            })
            .await;
        assert_eq!(world.deliveries.confirm_plan(own.id).await.unwrap().pool, "own");
    })
    .await;
}
