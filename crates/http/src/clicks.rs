//! Clicks of a delivery by link, as pages and REST tell them.

use std::collections::{BTreeMap, BTreeSet};

use message::{Link, Snapshot};

use crate::{
    problem::{Answer, Problem},
    state::AppState,
};

/// A link that was clicked.
#[derive(Clone, Debug)]
pub struct Clicked {
    /// Hash of the content whose link table numbers it: each variant of an A/B test has its own. Empty: no longer known.
    pub snapshot: String,
    /// Its number there.
    pub number: u16,
    /// Where it leads and how it is called; none: the content is gone.
    pub link: Option<Link>,
    /// Clicks in all, without those of machines and seeds.
    pub clicks: i64,
    /// Messages with a click on it.
    pub messages: i64,
}

/// What was clicked, the most first. The delivery must be there.
pub async fn by_link(state: &AppState, delivery: i64) -> Answer<Vec<Clicked>> {
    let found = state.tracking.clicks_by_link(delivery).await?;
    let hashes: BTreeSet<String> = found.iter().map(|link| link.snapshot.clone()).collect();
    let contents = state.queue.store().read(move |tx| {
        let mut contents = Vec::new();
        for hash in hashes.into_iter().filter(|hash| !hash.is_empty()) {
            contents.push((queue::plan::snapshot(tx, &hash)?, hash));
        }
        Ok::<_, queue::Error>(contents)
    });
    let mut tables: BTreeMap<String, Vec<Link>> = BTreeMap::new();
    for (bytes, hash) in contents.await? {
        let Some(bytes) = bytes else { continue };
        let snapshot = Snapshot::from_bytes(&bytes).map_err(|error| Problem::internal(&error))?;
        tables.insert(hash, snapshot.links);
    }
    let mut clicked: Vec<Clicked> = found
        .into_iter()
        .map(|of| Clicked {
            link: tables.get(&of.snapshot).and_then(|links| links.get(usize::from(of.link))).cloned(),
            snapshot: of.snapshot,
            number: of.link,
            clicks: of.clicks,
            messages: of.messages,
        })
        .collect();
    // The order of the content where two have the same.
    clicked.sort_by_key(|link| std::cmp::Reverse((link.clicks, link.messages)));
    Ok(clicked)
}
