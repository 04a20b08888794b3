//! Parts that are put off, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used)]

mod fixture;

use fixture::{Plan, T0, open};
use queue::HOUR_US;
use store::testing::each;

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_put_off_is_claimed_again_when_its_time_has_come() {
    each(|store| async move {
        let queue = open(&store).await;
        let run = Plan::new(1, 12).write(&queue).await;
        let claimed = queue.claim(&run, "google", 1, T0).await.unwrap();
        let first = claimed[0].0.first_id;
        queue.postpone(vec![claimed[0].0.claim()], T0 + HOUR_US).await.unwrap();
        let others = queue.claim(&run, "google", 10, T0 + 1).await.unwrap();
        assert!(!others.is_empty() && others.iter().all(|(part, _)| part.first_id != first));
        assert!(queue.claim(&run, "google", 10, T0 + HOUR_US - 1).await.unwrap().is_empty());
        let again = queue.claim(&run, "google", 10, T0 + HOUR_US).await.unwrap();
        assert_eq!((again.len(), again[0].0.first_id, again[0].1.len()), (1, first, 3));
        // An earlier time changes nothing, and a part that nobody holds is left alone.
        let claim = again[0].0.claim();
        queue.postpone(vec![claim], T0).await.unwrap();
        queue.postpone(vec![claim], T0 + 9 * HOUR_US).await.unwrap();
        assert_eq!(queue.claim(&run, "google", 10, T0 + HOUR_US).await.unwrap().len(), 1);
    })
    .await;
}
