//! The room's contract, on both databases.

#![allow(clippy::unwrap_used, reason = "test code outside of #[test] functions")]

mod corpus;
mod guests;
mod import;
mod recipients;
mod seeds;
mod segments;
mod services;
mod suppression;
mod target;

use audience::{Audience, ImportOptions, MIGRATIONS};
use store::Store;

/// A fixed time: 2026-10-01T09:25:00Z in microseconds.
const NOW: i64 = 1_790_846_700_000_000;

/// The room over a fresh database.
async fn room(store: Store) -> Audience {
    store.migrate(&[MIGRATIONS]).await.unwrap();
    Audience::new(store)
}

fn options(list: &str) -> ImportOptions {
    ImportOptions {
        list: list.to_owned(),
        file_name: "people.csv".to_owned(),
        encoding: None,
        mapping: Vec::new(),
        dry_run: false,
        bytes_total: None,
        work_dir: std::env::temp_dir(),
    }
}

/// A source that an import can take away.
fn source(bytes: impl AsRef<[u8]> + Send + 'static) -> Box<dyn std::io::Read + Send> {
    Box::new(std::io::Cursor::new(bytes))
}
