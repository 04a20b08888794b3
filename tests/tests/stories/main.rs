//! One binary for all stories: each module is one story, its name says which. Those whose name begins with `soak` are
//! long and do nothing unless `MAILWRIGHT_SOAK=1`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod ab;
mod archive;
mod backup;
mod bad_input;
mod crash;
mod disk_and_database;
mod dnssec;
mod house;
mod import;
mod key_steps;
mod namespace;
mod network;
mod parameters;
mod providers;
mod real_servers;
mod real_transport;
mod receivers;
mod refusals;
mod relay;
mod sources;
mod standards;
mod stop;
mod suppression;
mod tls_reports;
mod tracking;
mod transport;
mod validation;
mod warm_ups;
mod waves;
