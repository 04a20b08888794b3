//! The room's door: what authors keep beside their deliveries.

use store::{RoomMigrations, Step, Store};

/// The tables of this room.
pub const MIGRATIONS: RoomMigrations = RoomMigrations {
    room: "content",
    steps: &[Step { number: 1, name: "start", sql: include_str!("../migrations/001_start.sql") }],
};

/// The room's door: blocks (`blocks.rs`), files (`assets.rs`) and format rules (`format_rules.rs`). Cloning is cheap.
#[derive(Clone)]
pub struct Content {
    pub(crate) store: Store,
}

impl Content {
    /// The room over `store`.
    #[must_use]
    pub fn new(store: Store) -> Content {
        Content { store }
    }
}
