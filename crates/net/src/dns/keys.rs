//! The questions that proving an answer asks along: DNSKEY, DS and where zones are cut (RFC 4035 section 5). They are
//! the same for every domain below a zone, so their answers are kept beneath the validation.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::{Stream, once};
use hickory_resolver::net::xfer::FirstAnswer;
use hickory_resolver::net::{DnsError as WireError, DnsHandle, NetError};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse};
use hickory_resolver::proto::rr::{Name, RecordType};

use super::{NEGATIVE_TTL_MAX_S, TTL_MAX_S, TTL_MIN_S};

/// Answers kept: a few for each top-level domain, and one or two for each domain met lately.
const KEYS_KEPT_MAX: usize = 20_000;

type Answer = Result<DnsResponse, NetError>;
/// An answer with the moment at which it ends, by name and kind.
type Kept = HashMap<(Name, RecordType), (Instant, Answer)>;

/// Asks through `inner` and keeps what [`is_key`] names, "there is none" included. A failure is not kept.
#[derive(Clone)]
pub(super) struct KeptKeys<H> {
    inner: H,
    kept: Arc<Mutex<Kept>>,
}

impl<H> KeptKeys<H> {
    pub(super) fn new(inner: H) -> KeptKeys<H> {
        KeptKeys { inner, kept: Arc::default() }
    }
}

impl<H: DnsHandle> DnsHandle for KeptKeys<H> {
    type Response = Pin<Box<dyn Stream<Item = Answer> + Send>>;
    type Runtime = H::Runtime;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let question = request.queries.first().map(|query| (query.name().to_lowercase(), query.query_type()));
        let Some(key) = question.filter(|(_, kind)| is_key(*kind)) else {
            return Box::pin(self.inner.send(request));
        };
        let kept = Arc::clone(&self.kept);
        let inner = self.inner.clone();
        Box::pin(once(Box::pin(async move {
            let now = Instant::now();
            let found = kept.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
            if let Some((_, answer)) = found.filter(|(until, _)| *until > now) {
                return answer;
            }
            let answer = inner.send(request).first_answer().await;
            if let Some(ttl) = life(&answer) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() >= KEYS_KEPT_MAX {
                    kept.retain(|_, (until, _)| *until > now);
                    if kept.len() >= KEYS_KEPT_MAX {
                        kept.clear();
                    }
                }
                kept.insert(key, (now + ttl, answer.clone()));
            }
            answer
        })))
    }
}

fn is_key(kind: RecordType) -> bool {
    matches!(kind, RecordType::DNSKEY | RecordType::DS | RecordType::NS)
}

/// How long an answer is kept; `None`: it says nothing.
fn life(answer: &Answer) -> Option<Duration> {
    let seconds = match answer {
        Ok(response) if response.answers.is_empty() => {
            response.negative_ttl().unwrap_or(TTL_MIN_S).clamp(TTL_MIN_S, NEGATIVE_TTL_MAX_S)
        }
        Ok(response) => {
            let least = response.answers.iter().map(|record| record.ttl).min();
            least.unwrap_or(TTL_MIN_S).clamp(TTL_MIN_S, TTL_MAX_S)
        }
        Err(NetError::Dns(WireError::NoRecordsFound(none))) => {
            none.negative_ttl.unwrap_or(TTL_MIN_S).clamp(TTL_MIN_S, NEGATIVE_TTL_MAX_S)
        }
        Err(_) => return None,
    };
    Some(Duration::from_secs(u64::from(seconds)))
}
