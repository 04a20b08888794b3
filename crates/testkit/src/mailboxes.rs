//! The mail that arrived, for people to look at: bounded, the oldest goes first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::{MAILBOX_MAILS_MAX, MAILBOX_OCTETS_MAX};

/// One mail as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Number in order of arrival, from 1.
    pub id: u64,
    /// Name of the provider that took it.
    pub provider: Arc<str>,
    /// Envelope recipient.
    pub recipient: String,
    /// Envelope sender (return path).
    pub sender: String,
    /// When it was accepted, microseconds UTC.
    pub at_us: i64,
    /// Whether it came over TLS.
    pub tls: bool,
    /// The octets, without dot-stuffing.
    pub octets: Arc<[u8]>,
}

/// All mailboxes of a simulated internet.
#[derive(Default)]
pub struct Mailboxes {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    mails: VecDeque<Arc<Mail>>,
    octets: usize,
    arrived: u64,
}

impl Mailboxes {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a mail (its `id` is set here) and drops the oldest ones while there are too many.
    pub(crate) fn put(&self, mut mail: Mail) {
        let mut inner = self.inner();
        inner.arrived += 1;
        mail.id = inner.arrived;
        inner.octets += mail.octets.len();
        inner.mails.push_back(Arc::new(mail));
        while inner.mails.len() > MAILBOX_MAILS_MAX || inner.octets > MAILBOX_OCTETS_MAX {
            let Some(oldest) = inner.mails.pop_front() else { break };
            inner.octets -= oldest.octets.len();
        }
    }

    /// Mails that arrived in all, those dropped since included.
    #[must_use]
    pub fn arrived(&self) -> u64 {
        self.inner().arrived
    }

    /// Mails still held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.inner().mails.len()
    }

    /// The newest mails first, at most `limit`: those before `before` (an id; none: from the newest) whose
    /// recipient contains `query` (any case; empty: all).
    #[must_use]
    pub fn list(&self, query: &str, before: Option<u64>, limit: usize) -> Vec<Arc<Mail>> {
        let query = query.to_lowercase();
        self.inner()
            .mails
            .iter()
            .rev()
            .filter(|mail| before.is_none_or(|id| mail.id < id))
            .filter(|mail| query.is_empty() || mail.recipient.to_lowercase().contains(&query))
            .take(limit)
            .cloned()
            .collect()
    }

    /// One mail.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<Arc<Mail>> {
        let inner = self.inner();
        let first = inner.mails.front()?.id;
        inner.mails.get(usize::try_from(id.checked_sub(first)?).ok()?).cloned()
    }

    /// All mails held for exactly this recipient, oldest first.
    #[must_use]
    pub fn of(&self, recipient: &str) -> Vec<Arc<Mail>> {
        self.inner().mails.iter().filter(|m| m.recipient.eq_ignore_ascii_case(recipient)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(recipient: &str, len: usize) -> Mail {
        Mail {
            id: 0,
            provider: "p".into(),
            recipient: recipient.into(),
            sender: "b@x".into(),
            at_us: 1,
            tls: false,
            octets: vec![b'x'; len].into(),
        }
    }

    #[test]
    fn lists_newest_first_and_finds() {
        let boxes = Mailboxes::default();
        for n in 0..5 {
            boxes.put(mail(&format!("R{n}@p.example"), 10));
        }
        let ids: Vec<u64> = boxes.list("", Some(4), 2).iter().map(|m| m.id).collect();
        assert_eq!(ids, [3, 2]);
        assert_eq!(boxes.list("r4@", None, 9).len(), 1);
        assert_eq!(boxes.get(5).expect("held").recipient, "R4@p.example");
        assert_eq!(boxes.of("r0@P.example").len(), 1);
        assert!(boxes.get(6).is_none() && boxes.get(0).is_none());
    }

    #[test]
    fn the_oldest_goes_when_it_is_too_much() {
        let boxes = Mailboxes::default();
        for _ in 0..3 {
            boxes.put(mail("a@p.example", MAILBOX_OCTETS_MAX / 2));
        }
        assert_eq!((boxes.held(), boxes.arrived()), (2, 3));
        assert!(boxes.get(1).is_none() && boxes.get(2).is_some());
    }
}
