//! Analyses: what they cost, what changed between two, and that they take turns.

use super::{START_US, World, each};
use crate::{By, Edit, State};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_analyses_tell_what_changed_in_target_and_content() {
    each(|world| async move {
        world.recipients(20).await;
        let id = world.draft().await;
        world.analyse(id).await;
        let gone = world.audience.recipient_by_address("r4@gmail.com").await.unwrap().unwrap().id;
        world.audience.set_denylisted(gone, true, START_US).await.unwrap();
        let mut delivery = world.deliveries.get(id).await.unwrap();
        delivery.definition.parameters.retries = 9;
        let edit = Edit {
            definition: Some(delivery.definition),
            html: Some(delivery.html.map(|html| format!("{html}\n<!-- more -->"))),
            ..Edit::default()
        };
        world.deliveries.edit(id, edit).await.unwrap();
        world.analyse(id).await;

        let kept = world.deliveries.analyses(id).await.unwrap();
        assert_eq!(kept.iter().map(|analysis| analysis.to_deliver).collect::<Vec<_>>(), [19, 20]);
        assert_eq!(kept[0].state, State::Ready);
        let changed = world.deliveries.compare_analyses(id, kept[1].id, kept[0].id).await.unwrap();
        assert_eq!(changed.came.unwrap().count, 0);
        let went = changed.went.unwrap();
        assert_eq!((went.count, went.examples), (1, vec!["r4@gmail.com".to_owned()]));
        assert_eq!(changed.keys.len(), 1);
        assert_eq!(changed.keys[0].key, "parameters.retries");
        assert_eq!((changed.content.len(), changed.content[0].part), (1, "html"));
        assert_eq!(changed.after.excluded.get("denylisted"), Some(&1));
        // Those of another delivery are not ours to compare.
        let other = world.draft().await;
        assert!(world.deliveries.compare_analyses(other, kept[1].id, kept[0].id).await.is_err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_analysis_that_explains_itself_lists_statements_and_no_address() {
    each(|world| async move {
        world.recipients(20).await;
        let id = world.draft().await;
        let handle = world.deliveries.explain_analysis(id, &By::system()).await.unwrap();
        handle.wait().await.unwrap();
        let journal = world.deliveries.journal(id).await.unwrap();
        let sql: Vec<_> = journal.iter().filter(|line| line.text.starts_with("SQL, ")).collect();
        assert!(sql.iter().any(|line| line.text.contains("INSERT INTO target")), "{journal:?}");
        assert!(sql.iter().all(|line| !line.text.contains("@gmail.com")));
        // Without being asked it says nothing of the kind.
        world.analyse(id).await;
        let journal = world.deliveries.journal(id).await.unwrap();
        assert!(journal.iter().all(|line| !line.text.starts_with("SQL, ")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_analysis_that_the_server_interrupted_begins_again_a_few_times() {
    each(|world| async move {
        world.recipients(5).await;
        let id = world.draft().await;
        world.interrupt(id, 2).await;
        world.deliveries.recover().await.unwrap();
        world.deliveries.analysis_handle(id).unwrap().wait().await.unwrap();
        assert_eq!(world.deliveries.get(id).await.unwrap().state, State::Ready);
        // What brings the server down each time must not do so for ever.
        world.interrupt(id, 3).await;
        world.deliveries.recover().await.unwrap();
        assert_eq!(world.deliveries.get(id).await.unwrap().state, State::Draft);
        assert!(world.deliveries.analysis_handle(id).is_none());
        assert_eq!(world.analyse(id).await.state, State::Ready);
    })
    .await;
}

impl World {
    /// As a kill in the middle of an analysis leaves it, after so many others.
    async fn interrupt(&self, id: i64, restarts: i64) {
        let sql = "UPDATE delivery SET state = 'analysing', analysis_restarts = $2 WHERE id = $1";
        self.audience
            .store()
            .write(store::Lane::Urgent, move |tx| tx.execute(sql, &store::binds![id, restarts]))
            .await
            .unwrap();
    }
}
