//! Counts that never go down. The engine forgets a path that has nothing to do for a while, and with it what it counted; a
//! new engine begins from nothing. What each look finds beyond the last one is added up here.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use mta::PathFigures;

/// Accepted, deferred, refused.
pub type Answers = [u64; 3];

/// Sums by source and provider.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    /// By source and site, as the last look found them. As many as the engine has paths.
    seen: HashMap<(String, String), Answers>,
    /// By source and provider, within the bounds of the labels.
    totals: BTreeMap<(String, String), Answers>,
}

impl Ledger {
    /// Enters what a look found, and answers the sums. What was counted between the last look at a path and its end is lost.
    pub fn enter(
        &self,
        groups: &BTreeMap<(&str, &str), Vec<&PathFigures>>,
    ) -> BTreeMap<(String, String), Answers> {
        // Plain sums: a panic in between leaves them usable.
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = HashMap::with_capacity(books.seen.len());
        for ((source, provider), paths) in groups {
            let mut sum = [0; 3];
            for path in paths {
                let now = [path.accepted, path.deferred, path.refused];
                let key = (path.source.clone(), path.site.clone());
                let before = books.seen.get(&key).copied().unwrap_or_default();
                // Less than before: it was forgotten and began anew.
                let anew = now.iter().zip(before).any(|(now, before)| *now < before);
                for at in 0..3 {
                    sum[at] += if anew { now[at] } else { now[at] - before[at] };
                }
                seen.insert(key, now);
            }
            let total = books.totals.entry(((*source).to_owned(), (*provider).to_owned())).or_default();
            for at in 0..3 {
                total[at] += sum[at];
            }
        }
        books.seen = seen;
        books.totals.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(site: &str, accepted: u64) -> PathFigures {
        PathFigures { source: "a".into(), site: site.into(), accepted, ..PathFigures::default() }
    }

    fn look(ledger: &Ledger, paths: &[PathFigures]) -> u64 {
        let groups = BTreeMap::from([(("a", "other"), paths.iter().collect())]);
        ledger.enter(&groups)[&("a".to_owned(), "other".to_owned())][0]
    }

    #[test]
    fn sums_never_go_down_when_paths_are_forgotten_and_begin_anew() {
        let ledger = Ledger::default();
        assert_eq!(look(&ledger, &[path("x.example", 10), path("y.example", 5)]), 15);
        assert_eq!(look(&ledger, &[path("x.example", 12)]), 17, "y was forgotten");
        assert_eq!(look(&ledger, &[path("x.example", 12), path("y.example", 3)]), 20, "y began anew");
        assert_eq!(look(&ledger, &[path("x.example", 1)]), 21, "a new engine");
        assert_eq!(look(&ledger, &[]), 21);
    }
}
