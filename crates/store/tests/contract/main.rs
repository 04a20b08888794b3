//! What rooms rely on, the same on SQLite and on PostgreSQL. One binary, so that one server serves all of it.

mod archive;
mod bulk;
mod faults;
mod migrations;
mod transactions;
mod values;
