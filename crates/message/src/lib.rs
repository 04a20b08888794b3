//! # message: a mail is a pure function of its snapshot, its slots and its stamp
//!
//! This crate owns the bytes that go on the wire. A delivery is frozen once into a [`Snapshot`]; each
//! recipient's personal text is kept as [`Slots`]; [`compose`] splices the two into a signed RFC 5322 message.
//!
//! Invariants
//! - **Pure.** No clock, no random source, no file, no database and no template engine can be reached from
//!   [`compose`]. The same snapshot, slots, envelope, stamp, signers and token keys give the same bytes, today and
//!   for as long as a binary reads that snapshot format ([`SNAPSHOT_FORMAT`]; golden files in `tests/golden`).
//! - **Seven bits.** Everything is US-ASCII with CRLF line ends and lines of at most 998 octets. Two exceptions: a body
//!   whose variant asks for 8bit, and a recipient whose local part is not ASCII ([`Composed::smtputf8`]).
//! - **Any text.** What a field holds comes back equal, or is refused. A character that an encoding lacks is replaced by
//!   its equal ([`Charset::replace`]), else that body or header goes out in UTF-8, or, in a carrier's format, with U+3013
//!   in its place; never as `&#12316;`. No byte depends on what the receiver offers.
//! - **One encoding, one name.** Where the HTML names its encoding (`<meta charset>`), each message has the name of the
//!   encoding that its body is written in ([`CharsetPlace`]); a page has `utf-8`.
//! - **One line, one header.** CR, LF and NUL cannot enter a header through any field: they are an error.
//! - **Tokens** (return path, unsubscribe, mirror, Message-ID) carry a MAC with a key per purpose. A proof's and a
//!   preview's tokens are *inert*: they verify, and act on nobody.
//!
//! A [`Variant`] is one way to build messages: structure, encodings, images; a message row's flags name it. How parts
//! nest is told in `plan.rs`. A static segment is transfer-encoded once per delivery and variant ([`Prepared`]) and
//! copied per message; how pieces are joined is told in `quoted_printable.rs` and, for other forms, in `body.rs`. DKIM
//! hashes canonical copies while splicing (`splice.rs`).
//!
//! Neighbours: `content` makes snapshots and slots; `delivery` stores them and calls [`compose`] for previews,
//! proofs and "show exactly what was sent"; `mta` composes when a connection is ready; `routes` keeps the
//! signing keys made here ([`DkimKey`]); `http` and `feedback` check tokens ([`TokenKeys`]).

mod base64_lines;
mod body;
mod charset;
mod codes;
mod compose;
mod dkim;
mod header;
mod limits;
mod link_hosts;
mod links;
mod long_lines;
mod parameter;
mod plan;
mod prepared;
mod quoted_printable;
mod signed;
mod simple;
mod slots;
mod snapshot;
mod splice;
mod token;
mod variant;

pub use charset::{Charset, GETA, UnknownCharset};
pub use codes::code_data;
pub use compose::{ComposeError, Composed, Envelope, Given, Stamp, compose, compose_in};
pub use dkim::{DkimKey, KeyError, KeyKind, Signer, txt_strings};
pub use header::{HeaderError, check_header_text, is_header_name, split_named};
pub use limits::*;
pub use prepared::Prepared;
pub use signed::{SignedError, signed};
pub use simple::SimpleMail;
pub use slots::{LinkKind, PartName, Piece, Slots, SlotsError};
pub use snapshot::{CharsetPlace, Part, SNAPSHOT_FORMAT, Snapshot, SnapshotError, Transfer};
pub use token::{
    ASSET_PATH, CLICK_PATH, MIRROR_PATH, OPEN_PATH, Purpose, Token, TokenKeys, UNSUBSCRIBE_PATH,
};
pub use variant::*;
