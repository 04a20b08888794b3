//! What this node has claimed of a delivery, and whether anything of it is still in memory. A claim whose answer was lost, or
//! whose messages were lost by a fault of ours, is found by comparing with the database, and given back.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use queue::{Claim, Claimed, Message, Part, delivery_of};

use crate::engine::Shared;

/// Claims before those that are over are forgotten.
const LOOKED_THROUGH: usize = 1_024;

/// Claims of one delivery. Messages and results hold their part, so a part that nobody holds has nothing in memory, and
/// nothing that is not on disk.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    parts: HashMap<i64, Weak<Part>>,
    /// Retries by message. Those of one claim share their part: one may seem to be held for as long as another one is.
    retries: HashMap<i64, Weak<Part>>,
    grown: usize,
}

impl Claims {
    pub(crate) fn part(&mut self, part: &Arc<Part>) {
        self.trim();
        self.parts.insert(part.first_id, Arc::downgrade(part));
    }

    pub(crate) fn retries(&mut self, messages: &[Message]) {
        self.trim();
        self.retries.extend(messages.iter().map(|message| (message.id, Arc::downgrade(&message.part))));
    }

    /// Forgets what is over each time that it would grow.
    fn trim(&mut self) {
        if self.parts.len() + self.retries.len() < self.grown.max(LOOKED_THROUGH) {
            return;
        }
        self.parts.retain(|_, part| part.strong_count() > 0);
        self.retries.retain(|_, part| part.strong_count() > 0);
        self.grown = (self.parts.len() + self.retries.len()) * 2;
    }

    /// Of what is claimed on disk, the parts and retries that nobody here holds.
    pub(crate) fn lost(&self, on_disk: Claimed) -> Claimed {
        let held = |of: &HashMap<i64, Weak<Part>>, claim: &Claim| {
            of.get(&claim.id).and_then(Weak::upgrade).is_some_and(|part| part.claim().number == claim.number)
        };
        Claimed {
            parts: on_disk.parts.into_iter().filter(|claim| !held(&self.parts, claim)).collect(),
            retries: on_disk.retries.into_iter().filter(|claim| !held(&self.retries, claim)).collect(),
        }
    }
}

/// What left memory and is to be given back to the database. It stays here until that is on disk: nobody else knows of it.
#[derive(Debug, Default)]
pub(crate) struct Back {
    parts: Vec<Claim>,
    /// Parts that are due again at a time.
    postponed: HashMap<i64, Vec<Claim>>,
    /// By the time when they are due again, and the site whose path they wait for.
    retries: HashMap<(i64, Option<Arc<str>>), Vec<Claim>>,
}

impl Back {
    /// A part is ready again.
    pub(crate) fn part(&mut self, claim: Claim) {
        self.parts.push(claim);
    }

    /// A part is ready again, and due at `until`.
    pub(crate) fn postpone(&mut self, until: i64, claim: Claim) {
        self.postponed.entry(until).or_default().push(claim);
    }

    /// A retry is due again at `due`; `site`: it waits for that site's path.
    pub(crate) fn retry(&mut self, due: i64, site: Option<Arc<str>>, claim: Claim) {
        self.retries.entry((due, site)).or_default().push(claim);
    }

    /// Claims that nobody holds are ready again.
    pub(crate) fn take(&mut self, lost: Claimed, now_us: i64) {
        self.parts.extend(lost.parts);
        if !lost.retries.is_empty() {
            self.retries.entry((now_us, None)).or_default().extend(lost.retries);
        }
    }

    fn lists(&mut self) -> impl Iterator<Item = &mut Vec<Claim>> {
        std::iter::once(&mut self.parts).chain(self.postponed.values_mut()).chain(self.retries.values_mut())
    }

    /// What is here of a delivery was released in another way.
    pub(crate) fn forget(&mut self, delivery: i64) {
        self.lists().for_each(|claims| claims.retain(|claim| delivery_of(claim.id) != delivery));
    }

    /// Whose messages are here.
    pub(crate) fn deliveries(&self) -> HashSet<i64> {
        let lists = self.postponed.values().chain(self.retries.values()).flatten();
        self.parts.iter().chain(lists).map(|claim| delivery_of(claim.id)).collect()
    }

    /// Gives everything back. On an error what is not known to be on disk stays.
    pub(crate) async fn write(&mut self, shared: &Shared) -> queue::Result<()> {
        let queue = &shared.queue;
        if !self.parts.is_empty() {
            self.parts.sort_unstable();
            self.parts.dedup();
            queue.release(self.parts.clone()).await?;
            self.parts.clear();
        }
        while let Some((until, parts)) = self.postponed.iter().next() {
            let until = *until;
            queue.postpone(parts.clone(), until).await?;
            self.postponed.remove(&until);
        }
        while let Some((which, claims)) = self.retries.iter().next() {
            let which = which.clone();
            queue.give_back(claims.clone(), which.0, which.1.clone()).await?;
            self.retries.remove(&which);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_delivery_released_otherwise_is_not_given_back() {
        let mut back = Back::default();
        let of = |delivery| Claim { id: queue::message_id(delivery, 3), number: 7 };
        back.part(of(1));
        back.postpone(7, of(2));
        back.retry(9, None, of(1));
        back.take(Claimed { parts: vec![of(3)], retries: vec![of(2)] }, 5);
        assert_eq!(back.deliveries(), [1, 2, 3].into());
        back.forget(1);
        back.forget(2);
        assert_eq!((back.deliveries(), back.parts), ([3].into(), vec![of(3)]));
    }
}
