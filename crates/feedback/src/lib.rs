//! # feedback: what people and receivers say after the mail was sent
//!
//! What it owns: the ways to unsubscribe by a link of a message. No tables: it writes through `audience` (the
//! denylist flag) and `queue` (the suppression of what is still pending), in one transaction.
//!
//! Invariants
//! - Only [`Unsubscriptions::unsubscribe`] acts, and only for a token with a good MAC; [`Unsubscriptions::look`], which
//!   answers a GET, changes nothing, because mail scanners follow links.
//! - The token of a proof or a preview is inert: it verifies and changes nobody.
//! - Doing it again changes nothing and is answered as success, as RFC 8058 wants of a one-click POST.
//! - When the call has returned, no body of a message to that address begins any more on this node; other nodes obey
//!   within a second (`queue`'s gate).
//!
//! What is deliberately absent until their time: the bounce listener and mailboxes, DSN and ARF, unsubscribing by
//! mail.
//!
//! Neighbours: `message` verifies tokens, `audience` and `queue` are written to, `http::public` is the door.

mod unsubscribe;

pub use unsubscribe::{Error, Look, Outcome, Unsubscriptions};
