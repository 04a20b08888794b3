//! The REST door and the public door over real sockets, a real database and the real rooms; only the engine is played.

// Outside of functions marked as tests clippy does not see that a panic is how a test fails.
#![allow(clippy::unwrap_used)]

mod ab;
mod account;
mod approval;
mod archive;
mod audience;
mod content;
mod deliveries;
mod doors;
mod groups;
mod house;
mod pages;
mod pages_content;
mod pages_domains;
mod pages_rights;
mod pages_validation;
mod paths;
mod rights;
mod schedule;
mod shaping;
mod tracking;
mod typologies;
