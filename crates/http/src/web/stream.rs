//! Live parts of pages as server-sent events: one piece for all of them. A page asks with `hx-sse:connect`, puts each part
//! in, and closes at the last event, whose name it names in `hx-sse:close`.
//!
//! The reader's language and zone go along ([`super::reader::Reader::keeps_reading`]).

use std::{convert::Infallible, future::Future, time::Duration};

use askama::Template;
use axum::response::{
    IntoResponse, Response, Sse,
    sse::{Event, KeepAlive},
};

/// What is said next.
pub enum Next {
    /// The part as it is now, as HTML.
    Part(String),
    /// It could not be had now: the page keeps what it shows.
    Same,
    /// The last event: its name. Without it the browser would begin anew when the stream just ended.
    Last(&'static str),
}

impl Next {
    /// A part from its template; one that cannot be rendered leaves the last one standing.
    pub fn part(template: &impl Template) -> Next {
        template.render().map_or(Next::Same, Next::Part)
    }
}

/// Something that changes while it is looked at.
pub trait Live: Send + 'static {
    /// Looks again. A stream that is closed by its reader drops it at the next wait.
    fn next(&mut self) -> impl Future<Output = Next> + Send;
}

/// Says what `live` says, as soon as it does, until its last word.
pub fn stream(live: impl Live) -> Response {
    let events = futures_util::stream::unfold(Some(live), |live| async move {
        let mut live = live?;
        let (event, live) = match live.next().await {
            Next::Part(html) => (Event::default().data(html), Some(live)),
            Next::Same => (Event::default().comment("unavailable"), Some(live)),
            Next::Last(word) => (Event::default().event(word).data(word), None),
        };
        Some((Ok::<_, Infallible>(event), live))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

/// As [`stream`], with a look each `period`; the first one at once.
pub fn every(period: Duration, live: impl Live) -> Response {
    stream(Timed { timer: tokio::time::interval(period), live })
}

struct Timed<L> {
    timer: tokio::time::Interval,
    live: L,
}

impl<L: Live> Live for Timed<L> {
    async fn next(&mut self) -> Next {
        self.timer.tick().await;
        self.live.next().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counts(u32);

    impl Live for Counts {
        async fn next(&mut self) -> Next {
            self.0 += 1;
            match self.0 {
                1 => Next::Part("<p>one</p>\n<p>two</p>".to_owned()),
                2 => Next::Same,
                _ => Next::Last("over"),
            }
        }
    }

    #[tokio::test]
    async fn parts_are_said_until_the_last_word() {
        let response = every(Duration::from_millis(1), Counts(0));
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let body = axum::body::to_bytes(response.into_body(), 1_000).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        let data: Vec<_> = text.lines().filter(|line| line.starts_with("data:")).collect();
        assert_eq!(data.first().copied(), Some("data: <p>one</p>"), "{text}");
        assert!(text.contains(": unavailable\n") && text.contains("event: over\ndata: over\n"), "{text}");
    }
}
