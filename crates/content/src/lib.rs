//! # content: from the author's templates to a snapshot, and from a recipient to slots
//!
//! This crate owns what an author writes: subject, sender, preheader, HTML and text with minijinja's syntax
//! (`{{ field }}`, conditions, loops, `default`). [`compile`] runs once per delivery and freezes the static text into
//! a [`message::Snapshot`]; [`Compiled::evaluate`] runs once per recipient, at the analysis, and keeps what is that
//! recipient's own as [`message::Slots`]. Nothing is evaluated while sending.
//!
//! Invariants
//! - **Every error has a place.** A [`Problem`] names part, line and column (from 1) and says what to do.
//! - **Strict.** A name that is no field is an error, not an empty string; `| default(…)` also takes the place of a
//!   field that is empty.
//! - **Bounded.** Fuel stops loops and self-includes; slots above 64 KB are an error; compile loads nothing from disk
//!   or network, and `now()` is the time of the analysis.
//! - **Escaped by part.** HTML in the HTML part, nothing in text, and CR, LF and NUL refused in headers.
//! - **The author's bytes stay.** Steps edit a source; none writes it anew. Links lead where they led.
//! - **Other systems' merge tags** (`*|FNAME|*`) are text, and give one warning.
//!
//! Pieces: `tags.rs` finds template tags without evaluating, so that HTML tools can be used on a template;
//! `template.rs` is the minijinja environment; `cut.rs` cuts static text into segments; `text_part.rs` writes the
//! text part when the author wrote none; `facts.rs` gathers what the control rules ask about.
//!
//! Steps of a compile, in this order: `includes.rs` (blocks), `mjml.rs`, `inline_css.rs`, `images.rs`, `links.rs`. Each
//! edits a `source.rs` source, where every byte knows the author's line; what is no text stands in it as a mark
//! (`marks.rs`). `formats.rs` chooses a recipient's variant and names what its encoding lacks. `codes.rs` draws QR and bar codes, and
//! `drawn.rs` puts those that go along into the slots; `meta.rs` finds where HTML names its encoding; `mobile.rs` knows
//! what Japanese handsets show.
//!
//! Tables: [`Content`] is the door to what is kept beside deliveries: blocks, files by the hash of their bytes
//! (`assets.rs`; `sniff.rs` says what they are), and format rules by domain. Compile itself reads none of them.
//!
//! Neighbours: `message` owns Snapshot, Slots and compose; `typology` reads [`ContentFacts`]; `delivery` calls
//! [`compile`], [`Compiled::evaluate`] and [`preview`]; `http` shows problems beside the source.

mod anchors;
mod assets;
mod balance;
mod bits;
mod blocks;
pub mod codes;
mod compile;
mod compiled;
mod cut;
mod draft;
mod drawn;
mod error;
mod facts;
mod fields;
mod filters;
mod format_rules;
mod formats;
mod gif;
mod images;
mod includes;
mod inline_css;
mod languages;
pub mod limits;
mod links;
mod marks;
mod meta;
mod mjml;
pub mod mobile;
mod png;
mod preheader;
mod preview;
mod problem;
mod room;
mod sniff;
mod source;
mod tags;
mod template;
mod text_part;
mod urls;

pub use assets::{
    AssetBytes, NamedAsset, Owner, assets_of, copy_assets, expire_assets, hold_assets, release_assets,
};
pub use blocks::{Block, StoredBlock};
pub use codes::CodeKey;
pub use compile::compile;
pub use compiled::{AMP_SIZE_MAX, Compiled, Evaluation, FILE_NAME_LEN_MAX};
pub use draft::{AttachmentDraft, Banner, CompileOptions, Draft, FormatChoice, ImageChoice, LinkChoice};
pub use error::{Error, Result};
pub use facts::{ContentFacts, ImageFact, LinkFact, PartFacts};
pub use fields::{Columns, FieldValue, Fields};
pub use format_rules::{CARRIERS, FormatRule, STRUCTURES, TRANSFERS, rule_for};
pub use includes::{BLOCK_DEPTH_MAX, NATIVE_BLOCKS};
pub use links::{FOUND_LINKS_MAX, FoundLink, LINK_LABEL_LEN_MAX, TRACKED_LINKS_MAX, UTM_MAX};
pub use mobile::{ElementFact, MobileMessage};
pub use preview::{AssetsOf, FoundImage, PreviewFor, PreviewParts, preview};
pub use problem::{Place, Problem};
pub use room::{Content, MIGRATIONS};
pub use template::{FUEL, render_text, variables_of};
