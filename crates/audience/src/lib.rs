//! The audience: who can be written to, and who must not.
//!
//! **Owns** the tables `recipient`, `attribute`, `list`, `list_member`, `segment`, `service`, `subscription`, `seed`,
//! `seed_group`, `seed_member`, `suppression`, `guest`, `quarantine`, `import` and `import_reject`, and all SQL that names them.
//! Everything goes through [`Audience`], a cheap clone over a [`store::Store`].
//!
//! **What lives here**
//! - recipients: fields, attributes (text by name), the denylist flag; search, edit, delete;
//! - lists and their members; segments, which are a [`Filter`] tree with a name and may name lists and other segments;
//! - services and who subscribes to them; seeds, which get the real delivery and are no recipients; *guests*, which are the rows of
//!   an external file that live with one delivery;
//! - the suppression list of addresses and domains;
//! - the quarantine, by address and not by recipient, so that deleting a person does not forget a dead address;
//! - the import of CSV files of any size ([`import`]), and the export;
//! - *relations* ([`Relation`]): selects that other rooms join, because no other room may name these tables.
//!
//! **Invariants**
//! - An address is compared by its key (`address::Mailbox::key`) and stored as it was written.
//! - `import.rows = created + updated + unchanged + rejected`, also after a cancel or a crash, and each rejected row is in
//!   `import_reject` with its line and reason.
//! - An import needs the same memory for ten rows and for ten million: rows are sorted by address with a bounded
//!   buffer and a temporary file, and merged in that order.
//! - No text of a request is ever part of an SQL text: filters compile to bound parameters, and give the same rows on
//!   SQLite, on PostgreSQL and in [`Filter::matches`].
//! - Values hold no control characters (attributes may hold line feeds and tabs), so nothing of a file can end a header.
//! - Everything is bounded by a name in [`limits`].
//!
//! **Neighbours**: below are `address` (grammar of addresses) and `store` (transactions). Above, `delivery` joins the
//! relations and reads [`RecipientRow`]s, `feedback` fills the quarantine inside its own transactions
//! ([`quarantine::add`]), `http` shows pages. This room knows no HTTP, no mail and no clock: times are
//! arguments, in microseconds UTC.

#![warn(missing_docs)]

mod attribute;
mod candidates;
pub mod denylist;
mod error;
mod export;
mod filter;
mod guests;
pub mod import;
pub mod limits;
mod lists;
mod membership;
pub mod quarantine;
mod recipient;
mod recipients;
mod relations;
mod resolve;
mod row;
mod search;
mod seeds;
mod segments;
mod services;
pub mod suppression;
mod values;

use std::sync::Arc;

use store::{RoomMigrations, Step, Store};

pub use attribute::attribute_name;
pub use candidates::{Element, Mark, Marked, TargetSet};
pub use error::{Error, Result};
pub use export::formula_safe;
pub use filter::{
    Condition, Duration, Filter, FilterError, Moment, Named, Op, Subject, Value as FilterValue,
};
pub use guests::{GUEST_FIRST, GuestFile, Guests, guest_ids};
pub use import::{
    Counts, Import, ImportControl, ImportOptions, ImportProgress, ImportReport, ImportRun, ImportState,
    Phase, Reject,
};
pub use lists::List;
pub use quarantine::Quarantined;
pub use recipient::{Attributes, EMAIL_FORMATS, FIELDS, NewRecipient, Recipient, RecipientEdit};
pub use recipients::{delete_recipients, edit_recipient};
pub use relations::Relation;
pub use row::{RecipientColumns, RecipientRow, recipient_columns};
pub use search::{Search, SearchPage};
pub use seeds::{Seed, SeedGroup};
pub use segments::Segment;
pub use services::{Left, Service, Subscription, end_subscription};
pub use suppression::{Suppressed, SuppressionCounts, SuppressionKind, SuppressionReport};

/// The tables of this room, for `Store::migrate`.
pub const MIGRATIONS: RoomMigrations = RoomMigrations {
    room: "audience",
    steps: &[
        Step { number: 1, name: "start", sql: include_str!("../migrations/001_start.sql") },
        Step {
            number: 2,
            name: "services_seeds_guests",
            sql: include_str!("../migrations/002_services_seeds_guests.sql"),
        },
    ],
};

/// The room's one door. Clones share everything.
#[derive(Clone)]
pub struct Audience {
    store: Store,
    /// One import at a time: each holds tens of megabytes and fills the bulk lane by itself.
    import_turn: Arc<tokio::sync::Semaphore>,
}

impl Audience {
    /// Opens the room over a migrated store.
    pub fn new(store: Store) -> Audience {
        Audience { store, import_turn: Arc::new(tokio::sync::Semaphore::new(1)) }
    }

    /// The store below, for transactions over several rooms.
    pub fn store(&self) -> &Store {
        &self.store
    }
}
