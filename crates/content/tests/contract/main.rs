//! The room's contract, on both databases.

#![allow(clippy::unwrap_used, reason = "test code outside of #[test] functions")]

mod assets;
mod blocks;
mod format_rules;

use content::{Content, MIGRATIONS};
use store::Store;

/// A fixed time: 2026-10-01T09:25:00Z in microseconds.
const NOW: i64 = 1_790_846_700_000_000;

/// The room over a fresh database.
async fn room(store: Store) -> Content {
    store.migrate(&[MIGRATIONS]).await.unwrap();
    Content::new(store)
}
