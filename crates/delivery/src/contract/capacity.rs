//! Capacity through real analyses and Confirm.

use super::{World, each};
use crate::typologies::{CapacityLine, CapacityRule};
use crate::{By, NewRule, RuleDefinition};

impl World {
    async fn capacity(&self, exclude: bool) -> i64 {
        let line = CapacityLine {
            start: "2026-09-01T00:00".into(),
            duration: "60d".into(),
            quantity: 15,
            every: String::new(),
            times: 1,
        };
        let rule = NewRule {
            name: "Call centre".into(),
            description: String::new(),
            typologies: vec!["default".into()],
            order: 50,
            active: true,
            scope: String::new(),
            from_us: None,
            until_us: None,
            definition: RuleDefinition::Capacity(CapacityRule {
                lines: vec![line],
                exclude,
                ..Default::default()
            }),
        };
        self.deliveries.create_rule(rule).await.unwrap().id
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_is_left_out_and_confirm_takes_the_rest() {
    each(|world| async move {
        world.recipients(10).await;
        let rule = world.capacity(true).await;
        let first = world.analysed(|_| {}).await;
        let second = world.analysed(|_| {}).await;
        assert_eq!((first.to_deliver, second.to_deliver), (10, 10), "an analysis alone takes nothing");
        world.deliveries.confirm(first.id, None, &By::system()).await.unwrap();
        let refused = world.deliveries.confirm(second.id, None, &By::system()).await.unwrap_err();
        assert!(refused.to_string().contains("Call centre"), "{refused}");
        let again = world.analyse(second.id).await;
        assert_eq!((again.to_deliver, again.excluded.get("capacity")), (5, Some(&5)));
        world.deliveries.confirm(second.id, None, &By::system()).await.unwrap();
        let lines = world.deliveries.capacity_lines(rule).await.unwrap().unwrap();
        assert_eq!((lines[0].consumed, lines[0].remaining), (15, 0));
        let report = world.deliveries.exclusion_report(second.id).await.unwrap();
        assert_eq!(report[0].rule.as_deref(), Some("Call centre"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_confirm_at_once_do_not_both_get_the_rest() {
    each(|world| async move {
        world.recipients(10).await;
        let rule = world.capacity(true).await;
        let first = world.analysed(|_| {}).await.id;
        let second = world.analysed(|_| {}).await.id;
        // Something that the first needs behind its look at the capacity is held up.
        let (begun, has_begun) = std::sync::mpsc::channel::<()>();
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let store = world.queue.store().clone();
        let holding = tokio::spawn(async move {
            let hold = store.write(store::Lane::Urgent, move |tx| {
                tracking::resources::open(tx, first, "", 1)?;
                begun.send(()).unwrap();
                gone.recv().unwrap();
                Ok::<_, crate::Error>(())
            });
            hold.await.unwrap();
        });
        tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
        let confirm = |id: i64| {
            let deliveries = world.deliveries.clone();
            tokio::spawn(async move { deliveries.confirm(id, None, &By::system()).await.map(drop) })
        };
        let one = confirm(first);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let other = confirm(second);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        go.send(()).unwrap();
        holding.await.unwrap();
        // Whoever looked first has it; that is the first one, unless the machine stood still just then.
        let refused = match (one.await.unwrap(), other.await.unwrap()) {
            (Ok(()), Err(refused)) | (Err(refused), Ok(())) => refused,
            both => panic!("{both:?}"),
        };
        assert!(refused.to_string().contains("Call centre"), "{refused}");
        let lines = world.deliveries.capacity_lines(rule).await.unwrap().unwrap();
        assert_eq!((lines[0].consumed, lines[0].remaining), (10, 5));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn or_it_is_warned_of() {
    each(|world| async move {
        world.recipients(20).await;
        world.capacity(false).await;
        let analysis = world.analysed(|_| {}).await;
        assert_eq!(analysis.to_deliver, 20);
        let finding = analysis.findings.iter().find(|finding| finding.rule == "capacity").unwrap();
        assert!(finding.text.contains("5 messages"), "{}", finding.text);
    })
    .await;
}
