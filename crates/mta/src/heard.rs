//! How often receivers said what kind of "no": for monitoring. Counted where a path keeps the words, so a "yes" costs nothing.
//! Bounded: a name of the provider table or [`OTHER`], times the categories.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use smtp::Category;

use crate::engine::Shared;
use crate::exchange::Exchange;

/// What every receiver outside the provider table is counted as.
const OTHER: &str = "other";

/// Answers of one kind from one provider, since the engine started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplyCount {
    /// A name of the provider table, or `other`.
    pub provider: String,
    /// A word of [`Category::name`].
    pub category: &'static str,
    /// How many: answers that were no yes, and connections that failed.
    pub count: u64,
}

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<BTreeMap<(Arc<str>, Category), u64>>);

impl Heard {
    fn count(&self, provider: Option<&Arc<str>>, category: Category) {
        let provider = provider.map_or_else(|| Arc::from(OTHER), Arc::clone);
        // Plain counters: a panic in between leaves them usable.
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((provider, category)).or_default() += 1;
    }

    pub(crate) fn look(&self) -> Vec<ReplyCount> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = counts.iter().map(|((provider, category), count)| ReplyCount {
            provider: provider.to_string(),
            category: category.name(),
            count: *count,
        });
        told.collect()
    }
}

impl Shared {
    /// Words that were no "yes", normalised, or how a connection failed (code 0): kept by the path, counted for the provider.
    pub(crate) fn heard(&self, exchange: &Exchange, words: &str, what: (u16, Category), now_us: i64) {
        let path = &exchange.path;
        path.shaper.heard(words, what, now_us);
        self.heard.count(path.site.is_known().then_some(&path.site.name), what.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_outside_the_table_are_one() {
        let heard = Heard::default();
        let google: Arc<str> = "google".into();
        heard.count(Some(&google), Category::RateLimited);
        heard.count(Some(&google), Category::RateLimited);
        heard.count(None, Category::SpamBlock);
        heard.count(None, Category::SpamBlock);
        heard.count(None, Category::RateLimited);
        let told: Vec<_> =
            heard.look().into_iter().map(|one| (one.provider, one.category, one.count)).collect();
        let told: Vec<_> =
            told.iter().map(|(provider, category, count)| (&**provider, *category, *count)).collect();
        assert_eq!(
            told,
            [("google", "rate_limited", 2), ("other", "rate_limited", 1), ("other", "spam_block", 2)]
        );
    }
}
