//! A message as a web page: exactly its HTML, with the pictures by URL. For the mirror page of a recipient, and for an
//! operator who looks at somebody's message.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
};
use message::{PartName, Slots, Snapshot, Token, TokenKeys};
use queue::MessageRow;

use crate::state::Services;

/// Snapshots that are kept for pages.
const SNAPSHOTS_MAX: usize = 16;

/// Somebody else's HTML at the top of a window: it runs nothing and sends nothing, has an origin of its own, and its
/// links may open windows as they would from a mail program.
const POLICY: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; \
                      style-src 'unsafe-inline' http: https:; img-src data: http: https:; font-src http: https: data:; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Snapshots kept for pages, last used last.
#[derive(Default)]
pub struct Pages {
    kept: Mutex<VecDeque<(String, Arc<Snapshot>)>>,
}

/// What of a message can be shown.
pub enum Shown {
    /// Its HTML.
    Html(String),
    /// It has text only.
    Text(String),
}

/// Why a message cannot be shown.
#[derive(Debug)]
pub enum Failure {
    /// The database is away: later it will be there.
    Away(String),
    /// The snapshot or the slots cannot be read.
    Broken(String),
}

impl Pages {
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(String, Arc<Snapshot>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, hash: &str) -> Option<Arc<Snapshot>> {
        let mut kept = self.lock();
        let at = kept.iter().position(|(name, _)| name == hash)?;
        let found = kept.remove(at)?;
        let snapshot = Arc::clone(&found.1);
        kept.push_back(found);
        Some(snapshot)
    }

    fn put(&self, hash: String, snapshot: Arc<Snapshot>) {
        let mut kept = self.lock();
        if kept.len() >= SNAPSHOTS_MAX {
            kept.pop_front();
        }
        kept.push_back((hash, snapshot));
    }
}

/// The message as a page, with the links of `token`: the recipient's own, or an inert one's that acts on nobody. None:
/// the message is no longer kept.
///
/// # Errors
/// See [`Failure`].
pub async fn shown(state: &Services, token: Token) -> Result<Option<Shown>, Failure> {
    let away = |error: queue::Error| Failure::Away(error.to_string());
    let Some(row) = state.queue.message(token.message).await.map_err(away)? else { return Ok(None) };
    let snapshot = match state.door.pages.get(&row.snapshot) {
        Some(snapshot) => snapshot,
        None => {
            let bytes = state.queue.snapshot(&row.snapshot).await.map_err(away)?;
            let Some(bytes) = bytes else { return Ok(None) };
            let read = tokio::task::spawn_blocking(move || Snapshot::from_bytes(&bytes));
            let snapshot = Arc::new(read.await.map_err(broken)?.map_err(broken)?);
            state.door.pages.put(row.snapshot.clone(), Arc::clone(&snapshot));
            snapshot
        }
    };
    let tokens = Arc::clone(&state.tokens);
    let page = tokio::task::spawn_blocking(move || page(&snapshot, &row, token, &tokens));
    page.await.map_err(broken)?.map(Some)
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::Broken(error.to_string())
}

fn page(snapshot: &Snapshot, row: &MessageRow, token: Token, tokens: &TokenKeys) -> Result<Shown, Failure> {
    let slots = Slots::from_bytes(&row.slots).map_err(broken)?;
    let text = |name| snapshot.part_text(name, &slots, token, tokens).map_err(broken);
    if snapshot.part(PartName::Html).is_some() {
        return Ok(Shown::Html(text(PartName::Html)?));
    }
    Ok(Shown::Text(text(PartName::Text)?))
}

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        let mut response = match self {
            Shown::Html(html) => Html(html).into_response(),
            // The type is said, and nosniff too: no browser takes it for a page.
            Shown::Text(text) => text.into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_caged_and_not_kept() {
        let answer = Shown::Html("<script>1</script>".to_owned()).into_response();
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("sandbox ") && policy.contains("default-src 'none'"));
        assert!(!policy.contains("allow-scripts") && !policy.contains("allow-same-origin"));
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        let text = Shown::Text("<b>".to_owned()).into_response();
        assert_eq!(text.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    }

    #[test]
    fn the_oldest_page_is_forgotten() {
        let pages = Pages::default();
        let snapshot = Arc::new(Snapshot::default());
        (0..SNAPSHOTS_MAX).for_each(|n| pages.put(n.to_string(), Arc::clone(&snapshot)));
        assert!(pages.get("0").is_some(), "used again");
        pages.put("new".to_owned(), snapshot);
        assert!(pages.get("1").is_none() && pages.get("0").is_some() && pages.get("new").is_some());
    }
}
