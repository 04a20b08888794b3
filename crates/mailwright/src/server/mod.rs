//! The running server: preparing the data directory, wiring the rooms, serving, ending.

mod accounts;
pub mod composer;
pub mod configure;
mod copies;
mod engine;
pub mod prepare;
mod quarantine;
pub mod rules;
pub mod serve;
mod swap;
mod test_mail;
mod transport;
pub mod wiring;

pub use prepare::Prepared;

/// The tables of all rooms, a room after those whose tables it refers to.
pub const ROOMS: &[store::RoomMigrations] = &[
    access::MIGRATIONS,
    audience::MIGRATIONS,
    content::MIGRATIONS,
    routes::MIGRATIONS,
    queue::MIGRATIONS,
    feedback::MIGRATIONS,
    archive::MIGRATIONS,
    tracking::MIGRATIONS,
    delivery::MIGRATIONS,
];
