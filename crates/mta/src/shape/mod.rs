//! Shaping, without sockets, rows or clocks: how fast and over how many connections one *path* (a source address and a
//! receiving site) may be used now, and why. Every time is an argument, so that a day of sending is a loop in a test.
//!
//! - [`bucket`]: one rate limit, exact and smooth.
//! - [`control`]: the adaptive control: down by a factor on push-back, up again in small steps.
//! - [`rest`]: suspensions with an end and a reason, and the circuit breaker.
//! - [`figures`]: what was answered in the last seconds and minutes, and in which words.
//! - [`choice`]: which source a message goes out from.
//! - [`shaper`]: all of it for one path, as the engine holds it. What is asked for each message is a few atomic numbers.

pub mod bucket;
pub mod choice;
pub mod control;
pub mod figures;
pub mod rest;
pub mod shaper;

pub use bucket::Bucket;
pub use choice::{Candidate, choose};
pub use control::{Bounds, Control, Learned};
pub use figures::{Counted, TopReply};
pub use rest::{Breaker, Rest, Suspension};
pub use shaper::{Answered, Limits, Shaper};

/// One second in microseconds.
pub(crate) const SECOND_US: i64 = 1_000_000;
