//! Mailbox and domain grammar: what counts as an address, when two addresses are the same, and how one is
//! written in an SMTP envelope.
//!
//! What it owns
//! - [`Mailbox`]: one address, kept as it was written. [`Mailbox::key`] is what addresses are compared by,
//!   [`Mailbox::smtp`] is what goes into `RCPT TO` and headers.
//! - [`Domain`]: a host name usable for mail, with its IDNA form.
//! - [`NamedMailbox`]: `Name <address>`, as people write it in settings.
//! - [`matches_mask`]: masks of addresses and domains.
//! - [`carrier`]: the Japanese carriers' domains, whose old local parts break RFC 5321 and are real.
//!
//! Invariants
//! - A value of these types holds no control character, CR, LF or NUL: it can be put on an SMTP command line.
//! - `parse(m.key()).key() == m.key()`, and `parse(m.smtp())` is the same mailbox as `m`.
//! - The forms that break RFC 5321 (`a..b@`, `x.@`, `.x@`) are accepted bare on the carriers' domains only, and
//!   are quoted in [`Mailbox::smtp`], which every receiver understands.
//! - No input makes it panic; every length is bounded before any work that depends on it.
//!
//! Neighbours: pure, imports no other room; every room that knows an address imports it.

mod carriers;
mod domain;
mod error;
mod limits;
mod mailbox;
mod mask;
mod named;

pub use carriers::{Carrier, carrier};
pub use domain::Domain;
pub use error::AddressError;
pub use limits::{ADDRESS_LEN_MAX, DOMAIN_LEN_MAX, LABEL_LEN_MAX, LOCAL_LEN_MAX, NAME_LEN_MAX};
pub use mailbox::{Mailbox, parse};
pub use mask::matches_mask;
pub use named::{NamedMailbox, parse_named};
