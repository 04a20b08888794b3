//! # routes: who we are when we send, and whose limits we send under
//!
//! What it owns
//! - Tables `domain` and `dkim_key`: the sending domains and their signing keys. The private halves are sealed
//!   under the master key and leave this crate only as [`message::Signer`]s.
//! - The rules: the provider table (`data/providers.toml`) with the layers on top of it (settings, `shaping.toml`, table
//!   `rule_override`), the sources and warm-up plans (tables `source`, `warm_up`), and who changed what (`rule_change`).
//! - What recipients' domains say about TLS and what we report to them ([`TransportPolicies`]; tables `sts_policy`,
//!   `tls_session`, `tls_report`).
//! - What the engine wants to find again after a restart: `learned`, `volume`, `verdict`.
//! - The prediction of when each provider will be done ([`predict`]).
//!
//! Invariants
//! - A key that ever signed is kept: removing a domain retires its keys. [`Routes::signing_with`] finds them by
//!   number, so that a message can be composed again with the keys of its first try.
//! - A domain has two active keys, RSA-2048 and Ed25519, under two selectors; while they are replaced the old pair signs until
//!   the new one was seen in DNS.
//! - A site's name depends on its MX hosts (or its domain) and on the table alone; a lane's name on the address
//!   domain and the table alone. Both are stored with messages and mean the same on every node.
//! - Rules hold as a whole or not at all: a layer with a fault is refused with its place, and what held before holds on.
//! - A change of rules holds without a restart: here at once, on other nodes with their next look ([`Routes::refresh_rules`]).
//! - DNS that did not answer is *unknown*, never *missing* ([`RecordState`]).
//!
//! What is deliberately absent: live MX look-ups (`net`), connection counting, obeying rules and learning limits (`mta`).
//!
//! Neighbours: `delivery` asks for lanes, predictions and whether a sender's domain is ours; `mta` watches the rules and
//! keeps here what it learned; `http` shows and changes all of it.

mod changes;
mod check;
mod dkim;
mod domains;
mod error;
mod fleet;
mod greetings;
mod learned;
mod limits;
mod predict;
mod providers;
mod rate;
mod records;
mod registrable;
mod reverse;
mod rotation;
mod rules;
mod signing;
mod site_rules;
mod sources;
mod spf;
mod sts;
mod surroundings;
mod tls_reports;
mod verdicts;
mod warm_up;

pub use changes::{Kind, RuleChange};
pub use check::{Checked, DomainCheck, RecordState};
pub use domains::{MIGRATIONS, Routes, SendingDomain};
pub use error::{Error, Result};
pub use fleet::Fleet;
pub use greetings::Greeting;
pub use learned::{Learned, Volume};
pub use limits::*;
pub use predict::{Basis, Capacity, Load, Prediction, predict};
pub use providers::{Explained, Layer, Origin, Provider, Providers, SHIPPED, Site, Table};
pub use rate::{Per, Rate};
pub use records::{DnsRecord, DomainRecords, Facts, Purpose};
pub use registrable::registrable;
pub use reverse::{Reverse, reverse};
pub use rotation::{DomainKey, KeyStage, Turn};
pub use rules::{RuleBase, Rules, StoredOverride, patched};
pub use signing::Signing;
pub use site_rules::{RuleOverride, SiteRules, Speed, TlsPolicy};
pub use sources::{DEFAULT_POOL, DEFAULT_SOURCE, Pool, Source, is_pool_name};
pub use spf::{Spf, spf_policies, spf_says};
pub use sts::{DomainPolicy, KeptPolicy, STS_PORT, TransportPolicies};
pub use surroundings::{Surrounding, Topic};
pub use tls_reports::{Report, ReportMail, Reporter, SentReport, Session, TLS_REPORT_TYPE};
pub use verdicts::{Action, Verdict};
pub use warm_up::{IDLE_DAYS_COLD, Overflow, USUAL_DAYS, WarmUp, day_of};
