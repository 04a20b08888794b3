//! # feedback: what people and receivers say after the mail was sent
//!
//! What it owns: the ways to unsubscribe by a link of a message, and the table `feedback_event` of bounces and complaints
//! that were reported after a message was accepted. It writes through `audience` (the denylist flag, the quarantine) and
//! `queue` (the suppression of what is still pending, the counts by site), in one transaction.
//!
//! Invariants
//! - Only [`Unsubscriptions::unsubscribe`] acts, and only for a token with a good MAC; [`Unsubscriptions::look`], which
//!   answers a GET, changes nothing, because mail scanners follow links.
//! - The token of a proof or a preview is inert: it verifies and changes nobody.
//! - A report about a message counts once, however often it comes; one about a proof, a preview or a seed counts never.
//! - Doing it again changes nothing and is answered as success, as RFC 8058 wants of a one-click POST.
//! - When the call has returned, no body of a message to that address begins any more on this node; other nodes obey
//!   within a second (`queue`'s gate).
//!
//! What is deliberately absent until their time: the bounce listener and mailboxes, DSN and ARF, unsubscribing by
//! mail.
//!
//! Neighbours: `message` verifies tokens, `audience` and `queue` are written to, `http::public` is the door.

mod events;
mod unsubscribe;

pub use events::{About, Events, Kind, REASON_LEN_MAX, Report, SAID_LEN_MAX, Taken};
pub use unsubscribe::{Error, Look, Outcome, Unsubscriptions};

/// Tables of this room.
pub const MIGRATIONS: store::RoomMigrations = store::RoomMigrations {
    room: "feedback",
    steps: &[store::Step { number: 1, name: "events", sql: include_str!("../migrations/001_events.sql") }],
};
