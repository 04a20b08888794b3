//! What rooms rely on, the same on SQLite and on PostgreSQL. One binary, so that one server serves all of it.
// Set-up functions outside #[test] may fail the test too.
#![allow(clippy::unwrap_used)]

mod archive;
mod bulk;
mod faults;
mod migrations;
mod transactions;
mod values;
