//! The queue: confirmed runs, their parts and messages, outcomes, retries, tallies and suppressions. The only room that
//! moves a message's state.
//!
//! **Owns** the tables `snapshot run part message contact excluded outcome retry tally suppress bcc hold returned
//! variant_slots secured hourly scope`.
//!
//! **Invariants**
//! - Message rows are immutable once their part may be claimed (what waits for the winner of a test gets its slots before:
//!   [`variants`]), outcomes insert-only; only the small `retry` set changes. A message has an outcome or
//!   has not; the state shown is: outcome row, else retry row → pending (deferred), else run stopped or expired →
//!   cancelled, else pending. Stop and expiry are therefore O(1).
//! - For each delivery, always: messages = pending + sent + failed + cancelled, as the `tally` says, which changes in
//!   the transaction that settles. Settling the same thing twice counts once.
//! - Parts are claimed, messages never: what remains of a part is what has neither outcome nor retry row, so a crash
//!   leaves nothing to repair ([`Queue::recover`] only makes the node's own claims ready again).
//! - Seeds' messages stand in parts of their own (wave [`SEED_WAVE`]), numbered behind all others, and are in no figure of
//!   recipients: the tally has their rows apart already, so this costs settling nothing.
//! - Suppressions that an analysis did not see are the gate's: told by their numbers ([`suppress::begin`]), never by times.
//! - Nothing is claimed of a lane that is on hold ([`Queue::hold`]): what had been claimed is given back first.
//! - A copy for the archive is owed exactly when a message of a run that wants copies is settled as sent: the `bcc` row
//!   is written in that transaction ([`copies`]). Runs without copies write nothing.
//! - What was sent in which hour changes in the transaction that settles, as the tally does ([`Queue::hourly`]).
//! - What an operator drops is given back by the engine first, so that nothing is dropped that is on a connection.
//! - A path problem writes no row per message, except that the slow rest of a claimed part is parked as retries that
//!   count no attempt.
//!
//! **Walk**: analysis writes with [`plan`] (inside its own transaction) → confirm calls [`runs::start`] → the engine asks
//! [`Queue::lanes`], [`Queue::claim`], [`Queue::take_retries`] → hands results to the [`Settler`] → pages read
//! [`Queue::figures`] and [`Queue::log`].
//!
//! **Neighbours**: delivery (writes plans, confirms), mta (claims and settles), archive (takes copies), http (reads). This room knows neither
//! sockets nor templates, and takes every time as an argument.

mod accepted;
mod claim;
pub mod copies;
mod counted;
mod counters;
mod error;
mod figures;
mod hold;
mod hourly;
mod ids;
pub mod limits;
mod log;
mod meter;
pub mod plan;
mod relations;
mod returned;
pub mod runs;
mod schedule;
mod secured;
mod service;
mod settle;
mod settler;
pub mod suppress;
mod types;
pub mod variants;
mod verify;
mod waiting;

pub use claim::{Claimed, LaneWork};
pub use counted::{Among, Counted, DueMessages, counted, due_between};
pub use counters::{Counters, LATENCY_BOUNDS_MS, Latency};
pub use error::{Error, Result};
pub use figures::{ProviderFigures, RunFigures, RunState, SeedFigures};
pub use hold::Hold;
pub use hourly::Hour;
pub use ids::{DELIVERY_MAX, MESSAGES_MAX, delivery_of, id_range, message_id};
pub use log::{LogCursor, LogFilter, LogPage, LogRow, LogState, MessageRow};
pub use relations::{Who, addressed, contacts, delivered};
pub use returned::{Returned, TEST_REASON, returned_in};
pub use schedule::{HOUR_US, RetryPlan};
pub use secured::{Tls, TlsProof};
pub use service::Queue;
pub use settler::{Settler, UnsettledPermit};
pub use suppress::{Recorded, Scope, Suppression, scope, suppress_in};
pub use types::*;
pub use verify::Verification;
pub use waiting::{DROPPED_REASON, Dropped, LaneWaiting, Receiver, Waiters};

/// This room's tables.
pub const MIGRATIONS: store::RoomMigrations = store::RoomMigrations {
    room: "queue",
    steps: &[
        store::Step { number: 1, name: "start", sql: include_str!("../migrations/001_start.sql") },
        store::Step { number: 2, name: "copies", sql: include_str!("../migrations/002_copies.sql") },
        store::Step {
            number: 3,
            name: "seeds_holds",
            sql: include_str!("../migrations/003_seeds_holds.sql"),
        },
        store::Step { number: 4, name: "variants", sql: include_str!("../migrations/004_variants.sql") },
        store::Step {
            number: 5,
            name: "secured_hourly",
            sql: include_str!("../migrations/005_secured_hourly.sql"),
        },
        store::Step { number: 6, name: "waits", sql: include_str!("../migrations/006_waits.sql") },
        store::Step { number: 7, name: "scope", sql: include_str!("../migrations/007_scope.sql") },
        store::Step { number: 8, name: "claims", sql: include_str!("../migrations/008_claims.sql") },
        store::Step { number: 9, name: "services", sql: include_str!("../migrations/009_services.sql") },
    ],
};
