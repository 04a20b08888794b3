//! Tracking: what recipients do with a message, and where its links lead.
//!
//! **Owns** the tables `event event_segment resource` and the segment files in `DIR/events`.
//!
//! **Invariants**
//! - An event is on disk before the recipient gets the answer, in one fsync with all that came meanwhile
//!   ([`Tracking::record`]); it is in the database a little later, exactly once: each fold writes its events and how far
//!   the segment is folded in one transaction.
//! - The database may be away: appending goes on, and links that were looked up before still lead where they led.
//!   Memory and disk are bounded by names in [`limits`]; what does not fit is counted and said, never blocks an answer.
//! - A redirect leads to a host of the frozen link table, never to one of the request ([`redirect::fill`]).
//! - Of the client are kept: its user agent, cut, and a keyed hash of its address; the address itself only where the
//!   operator wants it. Nothing of it is logged.
//! - Inert tokens (proof, preview) lead on and count nothing.
//!
//! **Walk**: `http::public` checks a token → [`Tracking::link`] says where it leads → [`Tracking::record`] appends → the
//! answer goes out → [`Tracking::follow`] folds → pages and targets read [`reacted`], [`clicks_by_link`], [`events_of`].
//!
//! **Neighbours**: message (snapshot, tokens), queue (snapshots by hash, who has which message), store. It knows no
//! HTTP, and takes every time as an argument.

mod agent;
mod error;
mod event;
mod fold;
pub mod limits;
mod links;
pub mod redirect;
mod relations;
pub mod resources;
mod segment;
mod service;
mod writer;

pub use agent::is_machine;
pub use error::{Error, Result};
pub use event::{Client, Event, EventKind};
pub use links::{Destination, LinkTable, Resource};
pub use relations::{
    EventRow, LinkClicks, Reaction, Reactions, clicked, clicks_by_link, counts, engaged, events_of, opened,
    purge_delivery_some, purge_some, reacted, reactions,
};
pub use service::{Kept, Tracking};

/// This room's tables.
pub const MIGRATIONS: store::RoomMigrations = store::RoomMigrations {
    room: "tracking",
    steps: &[store::Step { number: 1, name: "start", sql: include_str!("../migrations/001_start.sql") }],
};
