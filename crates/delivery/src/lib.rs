//! Delivery: from what an author wrote to a run that the engine may send.
//!
//! Owns deliveries, their templates and proofs, the analysis and its journal, the confirm, and the life cycle
//! ([`State`]). Its tables: `delivery`, `journal`, `presence`, `starter`, `quiet_part`, `arbitrated`, and the work table `target`.
//!
//! Invariants
//! - Nothing is sent that was not analysed: Confirm starts exactly the snapshot of the last analysis, and is
//!   refused when the delivery was edited since, when a finding is an error, or when the caller names another
//!   snapshot.
//! - target = sum of excluded + sum of messages, from the analysis to the end.
//! - A template error is found at analysis, for every recipient; no template is evaluated while sending.
//! - A proof is a delivery of its own: analysed and logged like any other, outside every indicator, and its
//!   links act on nobody.
//! - An analysis that is stopped or killed leaves a delivery that can be edited and analysed again.
//!
//! Neighbours: asks `audience` for relations and recipients, `content` to compile and evaluate and for files,
//! `typology` for findings, `routes` for lanes, signing domains and predictions; hands messages, parts and the run to
//! `queue`, which alone moves a message's state. `http` calls [`Deliveries`]; nothing here knows HTTP.

pub mod ab;
mod ahead;
mod analyse;
mod analysis;
pub mod approval;
mod brake;
pub mod calendar;
pub mod capacity;
pub mod changes;
pub mod checks;
mod confirm;
mod contacts;
#[cfg(test)]
mod contract;
mod dates;
pub mod definition;
mod draw;
mod exclusions;
mod explain;
mod facts;
mod files;
pub mod folder;
pub mod history;
mod journal;
mod life;
mod links;
mod members;
mod mobiles;
mod names;
pub mod notices;
mod numbering;
pub mod parameters;
mod personalise;
mod plan;
pub mod pools;
pub mod presence;
mod pressure;
pub mod preview;
mod proof;
mod push;
mod quiet;
mod readers;
mod records;
mod recovery;
mod remote;
pub mod rounds;
pub mod schedule;
mod seeds;
mod slots;
mod starters;
pub mod states;
mod status;
mod target;
mod target_files;
mod target_plans;
pub mod templates;
mod timing;
mod turns;
mod types;
pub mod typologies;
mod verdict;
mod walk;
pub mod waves;
mod words;

use std::collections::HashMap;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, RwLock};

pub use ab::{AbState, AbStatus, VariantStatus};
pub use analysis::AnalysisHandle;
pub use approval::{Approval, Approvals, Decision, Topic, TopicStatus, may_start};
pub use calendar::{Calendar, CalendarEntry, HourLoad};
pub use capacity::CapacityUse;
pub use definition::Definition;
pub use exclusions::ExclusionCount;
pub use facts::kept::{TRIED_MAX, TriedOn};
pub use folder::Refusal;
pub use life::New;
pub use notices::{Accounts, Notice, NoticeKind};
pub use preview::FORMATS as PREVIEW_FORMATS;
pub use push::{Push, Pushed};
pub use states::{By, Change, Event};
pub use target::WHO;
pub use target_plans::QueryPlan;
pub use turns::LowActivity;
pub use types::*;
pub use typologies::{NewRule, NewTypology, RuleDefinition, RuleFilter, RuleKind, Typology, TypologyRule};

/// Tables of this room.
pub const MIGRATIONS: store::RoomMigrations = store::RoomMigrations {
    room: "delivery",
    steps: &[
        store::Step { number: 1, name: "start", sql: include_str!("../migrations/001_start.sql") },
        store::Step { number: 2, name: "content", sql: include_str!("../migrations/002_content.sql") },
        store::Step { number: 3, name: "analyses", sql: include_str!("../migrations/003_analyses.sql") },
        store::Step { number: 4, name: "life", sql: include_str!("../migrations/004_life.sql") },
        store::Step { number: 5, name: "typologies", sql: include_str!("../migrations/005_typologies.sql") },
        store::Step { number: 6, name: "timetable", sql: include_str!("../migrations/006_timetable.sql") },
        store::Step { number: 7, name: "facts", sql: include_str!("../migrations/007_facts.sql") },
        store::Step { number: 8, name: "ab", sql: include_str!("../migrations/008_ab.sql") },
        store::Step { number: 9, name: "quiet", sql: include_str!("../migrations/009_quiet.sql") },
        store::Step { number: 10, name: "pools", sql: include_str!("../migrations/010_pools.sql") },
        store::Step { number: 11, name: "told", sql: include_str!("../migrations/011_told.sql") },
    ],
};

/// What this room needs to know of the instance. Made anew by the wiring when a setting changes.
#[derive(Debug, Clone)]
pub struct Config {
    /// Base of public links, without a slash at the end: `https://mail.shop.example`.
    pub public_url: String,
    /// Default sender.
    pub from_name: String,
    /// Default sender address.
    pub from_address: String,
    /// Default reply-to.
    pub reply_to: String,
    /// Default error address; empty: a signed return path per message.
    pub error_address: String,
    /// Masks of allowed sender addresses.
    pub from_masks: Vec<String>,
    /// Masks of allowed error addresses.
    pub error_masks: Vec<String>,
    /// Domain of return paths; empty: `bounce.` + the sender's domain.
    pub bounce_domain: String,
    /// Everything goes to a relay: predictions by provider make no sense.
    pub relay: bool,
    /// TLS is offered to receivers, or to the relay.
    pub tls: bool,
    /// The name said in EHLO.
    pub ehlo: String,
    /// Addresses that mail leaves from; empty: the system chooses, and rules ask about those of `ehlo`.
    pub sources: Vec<std::net::IpAddr>,
    /// Why copies of sent messages can go nowhere, and what to do about it; none: an archive is configured.
    pub archive_problem: Option<String>,
    /// Threads that evaluate templates during an analysis.
    pub analysis_threads: usize,
    /// Analyses at once; further ones wait for their turn.
    pub analyses_at_once: usize,
    /// When analyses with `validation.low_activity` begin; none: they do not wait.
    pub low_activity: Option<turns::LowActivity>,
}

/// The rooms that this one asks.
#[derive(Clone)]
pub struct Rooms {
    /// Recipients, lists, segments.
    pub audience: audience::Audience,
    /// Blocks, files, format rules.
    pub content: content::Content,
    /// Domains, lanes, predictions.
    pub routes: routes::Routes,
    /// Messages, parts, runs.
    pub queue: queue::Queue,
    /// The clock.
    pub clock: Arc<dyn net::Clock>,
    /// Keys of the tokens in links and return paths.
    pub tokens: Arc<message::TokenKeys>,
    /// Gets images at other people's addresses.
    pub fetcher: Arc<net::Fetcher>,
    /// Signs the addresses of bar codes.
    pub code_key: content::CodeKey,
}

/// The service of this room. Cheap to clone.
#[derive(Clone)]
pub struct Deliveries {
    store: store::Store,
    rooms: Rooms,
    config: Arc<RwLock<Arc<Config>>>,
    running: Arc<Mutex<HashMap<DeliveryId, AnalysisHandle>>>,
    /// Where accounts have their addresses.
    accounts: Arc<std::sync::OnceLock<Arc<dyn Accounts>>>,
    turns: turns::Turns,
    applying: ab::Applying,
    /// Analyses that planned deliveries matter for are frozen one by one.
    freezing: Arc<tokio::sync::Mutex<()>>,
    /// What brakes found among failures.
    looked: Arc<Mutex<HashMap<DeliveryId, brake::Looked>>>,
    /// Which verdicts of receivers were looked at, and when.
    watched: Arc<Mutex<notices::receivers::Watched>>,
    /// The starting templates are there.
    starters: Arc<tokio::sync::OnceCell<()>>,
    /// When the clock was looked at last (µs).
    looked_at: Arc<AtomicI64>,
    /// When unused files were looked for last (µs).
    purged_at: Arc<AtomicI64>,
}

impl Deliveries {
    /// The service over an opened, migrated store. Call [`Deliveries::recover`] once before use.
    pub fn new(store: store::Store, rooms: Rooms, config: Config) -> Deliveries {
        Deliveries {
            store,
            rooms,
            config: Arc::new(RwLock::new(Arc::new(config))),
            running: Arc::new(Mutex::new(HashMap::new())),
            accounts: Arc::default(),
            turns: turns::Turns::default(),
            applying: ab::Applying::default(),
            freezing: Arc::default(),
            looked: Arc::default(),
            watched: Arc::default(),
            starters: Arc::default(),
            looked_at: Arc::default(),
            purged_at: Arc::default(),
        }
    }

    /// Replaces the configuration, after a setting changed.
    pub fn configure(&self, config: Config) {
        *self.config.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(config);
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    pub(crate) fn now_us(&self) -> i64 {
        self.rooms.clock.now_us()
    }
}
