//! `Idempotency-Key`: a request that sends, repeated with the same key, gets the first answer again and acts once.
//!
//! Keys live in memory for 24 hours. After a restart the states of deliveries still guard against confirming twice.
//! The work runs as a task of its own, so that a client that hangs up half way does not cut it in two: its repeat
//! finds the finished answer.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    limits::{
        BODY_BYTES_MAX, IDEMPOTENCY_AGE_MAX_US, IDEMPOTENCY_KEY_BYTES_MAX, IDEMPOTENCY_KEYS_MAX,
        IDEMPOTENT_ANSWER_BYTES_MAX,
    },
    problem::Problem,
};

type Digest = [u8; 32];

/// An answer that is kept.
#[derive(Clone)]
struct Kept {
    status: StatusCode,
    content_type: Option<HeaderValue>,
    body: Bytes,
}

struct Entry {
    request: Digest,
    since_us: i64,
    answer: Option<Kept>,
}

#[derive(Default)]
struct Table {
    entries: HashMap<Digest, Entry>,
    order: VecDeque<(i64, Digest)>,
}

/// The answers of the last 24 hours.
#[derive(Clone)]
pub struct Answers {
    table: Arc<Mutex<Table>>,
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
}

enum Found {
    New,
    Running,
    Other,
    Done(Kept),
}

impl Answers {
    /// An empty memory; `clock` gives microseconds UTC.
    pub fn new(clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self { table: Arc::default(), clock: Arc::new(clock) }
    }

    fn begin(&self, key: Digest, request: Digest) -> Found {
        let now_us = (self.clock)();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((since_us, oldest)) = table.order.front().copied() {
            if table.order.len() < IDEMPOTENCY_KEYS_MAX && now_us - since_us < IDEMPOTENCY_AGE_MAX_US {
                break;
            }
            table.order.pop_front();
            // The key may have been used anew since; only the entry of that time goes.
            if table.entries.get(&oldest).is_some_and(|entry| entry.since_us == since_us) {
                table.entries.remove(&oldest);
            }
        }
        match table.entries.get(&key) {
            Some(entry) if entry.request != request => Found::Other,
            Some(Entry { answer: Some(kept), .. }) => Found::Done(kept.clone()),
            Some(_) => Found::Running,
            None => {
                table.entries.insert(key, Entry { request, since_us: now_us, answer: None });
                table.order.push_back((now_us, key));
                Found::New
            }
        }
    }

    /// Keeps the answer; `None` forgets the key, so that the request may be tried again.
    fn end(&self, key: Digest, answer: Option<Kept>) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Some(kept) => {
                if let Some(entry) = table.entries.get_mut(&key) {
                    entry.answer = Some(kept);
                }
            }
            None => {
                table.entries.remove(&key);
            }
        }
    }
}

/// Removes the key when the work panics or is dropped before its end.
struct Open {
    answers: Answers,
    key: Option<Digest>,
}

impl Open {
    fn close(mut self, answer: Option<Kept>) {
        if let Some(key) = self.key.take() {
            self.answers.end(key, answer);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.answers.end(key, None);
        }
    }
}

/// The layer around routes that send. Without the header the work still runs to its end when the client hangs up.
pub async fn once(State(answers): State<Answers>, request: Request, next: Next) -> Response {
    let Some(given) = request.headers().get("idempotency-key").cloned() else {
        return match tokio::spawn(next.run(request)).await {
            Ok(response) => response,
            Err(error) => Problem::internal(&error).into_response(),
        };
    };
    if given.is_empty() || given.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        return Problem::invalid(
            "Idempotency-Key",
            format!("The key must have 1 to {IDEMPOTENCY_KEY_BYTES_MAX} characters."),
        )
        .into_response();
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return Problem::too_large("The body is larger than this server reads here.").into_response();
    };
    let key = digest(&[owner(&parts.headers), given.as_bytes()]);
    let request_digest = digest(&[parts.method.as_str().as_bytes(), parts.uri.path().as_bytes(), &body]);
    match answers.begin(key, request_digest) {
        Found::Done(kept) => replay(kept),
        Found::Running => {
            Problem::conflict("The request with this Idempotency-Key is still running.").into_response()
        }
        Found::Other => {
            Problem::invalid("Idempotency-Key", "This key was used for another request.").into_response()
        }
        Found::New => {
            let open = Open { answers, key: Some(key) };
            let request = Request::from_parts(parts, Body::from(body));
            let work = tokio::spawn(async move { keep(open, next.run(request).await).await });
            work.await.unwrap_or_else(|error| Problem::internal(&error).into_response())
        }
    }
}

/// Stores an answer, and gives it back to be sent.
async fn keep(open: Open, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, IDEMPOTENT_ANSWER_BYTES_MAX).await else {
        return Problem::internal(&"an answer was too large to be kept for its Idempotency-Key")
            .into_response();
    };
    // A refusal because of the moment (sign-in, load, a fault) may be tried again under the same key.
    let final_answer = parts.status.is_success() || matches!(parts.status.as_u16(), 404 | 409 | 422);
    let kept = Kept {
        status: parts.status,
        content_type: parts.headers.get(header::CONTENT_TYPE).cloned(),
        body: body.clone(),
    };
    open.close(final_answer.then_some(kept));
    Response::from_parts(parts, Body::from(body))
}

fn replay(kept: Kept) -> Response {
    let mut response = Response::new(Body::from(kept.body));
    *response.status_mut() = kept.status;
    if let Some(content_type) = kept.content_type {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    response.headers_mut().insert("idempotent-replay", HeaderValue::from_static("true"));
    response
}

/// Keys of one caller are no keys of another: the credential is part of the key.
fn owner(headers: &HeaderMap) -> &[u8] {
    headers
        .get(header::AUTHORIZATION)
        .or_else(|| headers.get(header::COOKIE))
        .map_or(b"", HeaderValue::as_bytes)
}

fn digest(parts: &[&[u8]]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::{Router, routing::post};
    use tower::ServiceExt;

    use super::*;

    fn router(calls: Arc<AtomicUsize>) -> Router {
        let answers = Answers::new(|| 1);
        Router::new()
            .route(
                "/send",
                post(move || {
                    let calls = Arc::clone(&calls);
                    async move { calls.fetch_add(1, Ordering::SeqCst).to_string() }
                }),
            )
            .layer(axum::middleware::from_fn_with_state(answers, once))
    }

    async fn call(router: &Router, key: &str, token: &str, body: &'static str) -> (StatusCode, String) {
        let request = Request::post("/send")
            .header("idempotency-key", key)
            .header("authorization", token)
            .body(Body::from(body))
            .unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), 1000).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_repeat_acts_once_and_gets_the_same_answer() {
        let calls = Arc::new(AtomicUsize::new(0));
        let router = router(Arc::clone(&calls));
        assert_eq!(call(&router, "k", "a", "{}").await, (StatusCode::OK, "0".to_owned()));
        assert_eq!(call(&router, "k", "a", "{}").await, (StatusCode::OK, "0".to_owned()));
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        // Another key, or another caller, is another request.
        assert_eq!(call(&router, "k2", "a", "{}").await.1, "1");
        assert_eq!(call(&router, "k", "b", "{}").await.1, "2");
        // The same key with another body is a mistake of the caller.
        assert_eq!(call(&router, "k", "a", "{ }").await.0, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(call(&router, "", "a", "{}").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    }

    #[tokio::test]
    async fn old_keys_are_forgotten() {
        let now = Arc::new(AtomicUsize::new(0));
        let clock = Arc::clone(&now);
        let answers = Answers::new(move || clock.load(Ordering::SeqCst) as i64);
        let kept = Kept { status: StatusCode::OK, content_type: None, body: Bytes::new() };
        assert!(matches!(answers.begin([1; 32], [0; 32]), Found::New));
        assert!(matches!(answers.begin([1; 32], [0; 32]), Found::Running));
        answers.end([1; 32], Some(kept));
        assert!(matches!(answers.begin([1; 32], [0; 32]), Found::Done(_)));
        now.store(IDEMPOTENCY_AGE_MAX_US as usize, Ordering::SeqCst);
        assert!(matches!(answers.begin([1; 32], [0; 32]), Found::New));
    }
}
