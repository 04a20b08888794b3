//! What a receiver says about a message's content: its delivery is kept from that receiver, and nothing else is.

#![allow(clippy::unwrap_used)]

mod story;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use story::{PATIENCE, Receiver, Story, T0, WITH_ROUTES, say};

/// A receiver that says these words to messages of the first delivery, and counts how often.
fn objecting(words: &'static str) -> (Receiver, Arc<AtomicUsize>) {
    let first = queue::message_id(1, 0)..queue::message_id(2, 0);
    let said = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&said);
    let receiver = Receiver::new(move |m| {
        // Deliveries have bounce addresses of their own: bounce-ID.
        let number = m.text.split("bounce-").nth(1).and_then(|rest| rest.split('@').next()?.parse().ok());
        (m.verb == "mail" && number.is_some_and(|number: i64| first.contains(&number))).then(|| {
            count.fetch_add(1, Ordering::SeqCst);
            say(words)
        })
    });
    (receiver, said)
}

#[tokio::test(flavor = "multi_thread")]
async fn suspicious_content_holds_its_delivery_at_that_receiver() {
    for words in [
        "421 4.7.0 This message is suspicious due to the nature of the content or the links within.",
        "450 4.7.0 This message is suspicious due to the nature of the content or the links within.",
    ] {
        let (receiver, said) = objecting(words);
        let port = receiver.listen("127.0.0.1:0").await;
        let story = Story::begin(port, |config| config.node = WITH_ROUTES.to_owned()).await;
        story.provider("gmail.com", "gmail-smtp-in.l.google.com", "127.0.0.1");
        story.many(1, 200, "gmail.com").await;
        story.wait_for("refused", || said.load(Ordering::SeqCst) > 0).await;
        story.many(2, 200, "gmail.com").await;
        assert_eq!(story.over(2).await.sent, 200, "the other goes on");
        let figures = story.figures(1).await;
        assert_eq!((figures.sent, figures.failed, figures.pending), (0, 0, 200));
        let heard = said.load(Ordering::SeqCst);
        assert!(heard <= 12, "{heard}: not every message had to hear it");
        assert!(story.paths_of("google").iter().all(|path| path.suspended.is_none()));
        // Written within a second.
        let end = Instant::now() + PATIENCE;
        let mut verdicts = Vec::new();
        while verdicts.is_empty() {
            assert!(Instant::now() < end, "no verdict is written");
            tokio::time::sleep(Duration::from_millis(20)).await;
            verdicts = story.routes.verdicts(T0).await.unwrap();
        }
        let held: Vec<_> =
            verdicts.iter().map(|one| (one.identity.as_str(), one.category.as_str())).collect();
        assert_eq!(held, [("delivery:1", "spam_content")], "for people to see, and to be told of");
        let counted = story.engine.replies();
        let counted: Vec<_> = counted.iter().map(|one| (&*one.provider, one.category, one.count)).collect();
        let heard = u64::try_from(said.load(Ordering::SeqCst)).unwrap();
        assert_eq!(counted, [("google", "spam_content", heard)], "each no is counted, no yes is");
    }
}
