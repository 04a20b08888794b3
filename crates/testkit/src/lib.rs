//! # testkit: a small internet on the loopback interface
//!
//! What it owns
//! - [`DnsDouble`]: a name server for a [`Zone`] of invented names, with faults and delays.
//! - [`Receiver`]: any number of providers on addresses of their own, each with a [`Behaviour`]: accept,
//!   greylist, throttle, bounce, cut, hang, be slow, with or without the usual extensions; or a personality, as large
//!   providers are known, with a [`reputation`] that worsens when it is ignored.
//! - [`Log`]: what the receivers saw, with the times at which commands and final dots were read and replies were
//!   written; the judge in crash tests ([`duplicates`]).
//! - [`Mailboxes`]: the mail that arrived. [`Sink`]: a receiver that only counts, for benchmarks.
//!   [`ScriptServer`]: dialogues word by word, for faults.
//! - [`Internet`]: all of it started together, as `mailwright demo` and the stories use it; [`people`] and
//!   [`newsletter`]: the demo's recipients and draft, invented for this project.
//!
//! Invariants
//! - It is a judge, so it shares no code with what it judges: it imports neither queue nor mta, and has a DNS and
//!   an SMTP grammar of its own.
//! - It listens on loopback addresses only (or in a network namespace that a story made), and never connects to anything.
//! - The same seed gives the same people, bounces and cuts.
//! - What a test does not look at is not kept: mail and events in memory are bounded.
//!
//! Neighbours: tests of `mta`, the stories in `tests/`, `mailwright demo`.

mod ahead;
mod behaviour;
mod cable;
mod certificates;
mod dns;
mod internet;
mod limits;
mod log;
mod mailboxes;
pub mod newsletter;
pub mod people;
mod personalities;
mod policies;
mod ports;
mod provider;
mod receiver;
pub mod reputation;
mod script;
mod session;
mod sink;
mod tls;
pub mod wire;
mod world;
mod zone;

pub use ahead::Ahead;
pub use behaviour::{Behaviour, Bounce, Stage, Throttle, Words};
pub use cable::Cable;
pub use certificates::{Authority, Identity, KeyKind, Quality};
pub use dns::DnsDouble;
pub use internet::{Internet, InternetOptions};
pub use limits::*;
pub use log::{Arrival, Duplicate, Event, Log, What, arrivals, duplicates};
pub use mailboxes::{Mail, Mailboxes};
pub use personalities::PERSONALITIES;
pub use policies::{PolicyServer, Post};
pub use ports::port_to_keep;
pub use provider::Provider;
pub use receiver::{Receiver, Shared};
pub use script::{Played, Script, ScriptServer};
pub use sink::{Delays, Sink};
pub use tls::Tls;
pub use world::{Place, World};
pub use zone::{Fallback, Fault, Node, Reply, Zone};
