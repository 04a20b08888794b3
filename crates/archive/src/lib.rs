//! The archive: an exact copy of every message that was really sent, for deliveries that ask for it (`parameters.bcc`).
//!
//! **Owns** the tables `archived` (how many copies each delivery has) and `archive_batch` (the chain of manifests), and
//! the files below the archive folder. Which copies are still owed is the queue's ([`queue::copies`]): a row written in
//! the transaction that settled the message as sent.
//!
//! **Invariants**
//! - A copy is composed again from snapshot, slots, stamp and kept signing keys, and goes nowhere unless its digest is
//!   that of the bytes which the receiver got. A difference is kept as a held copy with its reason, never sent.
//! - The queue's row goes only when the copy is safe: taken by the archive's server, or on disk under its name, flushed,
//!   and named in a flushed manifest. A crash before that makes the copy again, so none is lost; in a folder the same
//!   copy has the same name and bytes, so none is there twice.
//! - Recipients never wait: connections, permits, rests and the composing thread are the archive's own, the thread runs
//!   at low rank, and its transactions take the bulk lane.
//! - The return path of a copy is empty, so nothing the archive does comes back as a bounce of the message.
//! - Memory holds one page of owed copies ([`limits::PAGE_MAX`]) and one composed message per connection.
//!
//! **Walk**: [`Archive::start`] → `work` looks where copies go → `post` (over SMTP, by [`mta::Courier`]) or `folder`
//! (`batch`, `manifest`, `retention`) → `exact` composes and compares → `records` commits.
//!
//! **Neighbours**: queue (what is owed), mta (`Compose`, `World`, `Courier`), the wiring (settings), http (shows
//! [`State`]).

mod batch;
mod bench;
mod config;
mod error;
mod exact;
mod files;
mod folder;
pub mod limits;
mod manifest;
mod post;
mod records;
mod retention;
mod service;
mod state;
mod verify;
mod work;

pub use config::{Compress, Config, FolderConfig, Keeping, PostConfig};
pub use error::{Error, Result};
pub use service::{Archive, Parts};
pub use state::{State, Trouble, Way};
pub use verify::{Report, verify};

/// This room's tables.
pub const MIGRATIONS: store::RoomMigrations = store::RoomMigrations {
    room: "archive",
    steps: &[store::Step { number: 1, name: "start", sql: include_str!("../migrations/001_start.sql") }],
};
