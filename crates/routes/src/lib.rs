//! # routes: who we are when we send, and whose limits we send under
//!
//! What it owns
//! - Tables `domain` and `dkim_key`: the sending domains and their signing keys. The private halves are sealed
//!   under the master key and leave this crate only as [`message::Signer`]s.
//! - The provider table (`data/providers.toml`): which MX hosts belong together, and how many connections and
//!   messages per connection a receiving site is given.
//! - The prediction of when each provider will be done ([`predict`]).
//!
//! Invariants
//! - A key that ever signed is kept: removing a domain retires its keys. [`Routes::signing_with`] finds them by
//!   number, so that a message can be composed again with the keys of its first try.
//! - A domain has two active keys, RSA-2048 and Ed25519, under two selectors.
//! - A site's name depends on its MX hosts (or its domain) and on the table alone; a lane's name on the address
//!   domain and the table alone. Both are stored with messages and mean the same on every node.
//! - DNS that did not answer is *unknown*, never *missing* ([`RecordState`]).
//!
//! What is deliberately absent: live MX look-ups (`net`), connection counting (`mta`), learned limits, pools and
//! verdicts (a later room of this crate).
//!
//! Neighbours: `delivery` asks for lanes, predictions and whether a sender's domain is ours; `mta` for sites,
//! limits and signers; `http` shows domains with their records and the check.

mod check;
mod dkim;
mod domains;
mod error;
mod limits;
mod predict;
mod providers;
mod records;
mod registrable;
mod signing;

pub use check::{Checked, DomainCheck, RecordState};
pub use domains::{MIGRATIONS, Routes, SendingDomain};
pub use error::{Error, Result};
pub use limits::*;
pub use predict::{Basis, Capacity, Load, Prediction, predict};
pub use providers::{LimitOverride, Provider, Providers, Site, SiteLimits};
pub use records::{DnsRecord, DomainRecords, Facts, Purpose};
pub use registrable::registrable;
pub use signing::Signing;
