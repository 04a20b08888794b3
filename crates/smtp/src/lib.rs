//! SMTP without sockets: what is said, what is heard, and what an answer means.
//!
//! What it owns
//! - [`Reply`] and [`ReplyParser`]: replies of servers, read from pieces of any size in bounded memory.
//! - [`Ehlo`]: what a server offers.
//! - [`Client`]: a session as a state machine: greeting, EHLO, STARTTLS, AUTH, then transactions of one recipient each,
//!   in groups where PIPELINING is offered and in lock-step elsewhere.
//! - [`classify_for`]: provider, reply and stage -> outcome for the recipient, action on the path, who is to blame, and
//!   whether the address goes into quarantine. The rules are data (`rules/`), proven by a corpus of what receivers
//!   document and send (`corpus/replies.tsv`); operators put theirs before them ([`Rules::with_overlay`]).
//! - [`normalised`]: what a reply says without what differs from message to message, to count replies by.
//!
//! Invariants
//! - No input of a server makes it panic or keep more than the named limits of [`limits`].
//! - Each transaction begun has exactly one [`Outcome`], also when the connection breaks. It says whether the final dot
//!   was written: past it, a lost answer means *unknown*, not failed.
//! - Octets that came in clear before a TLS handshake are never read as if they came after it.
//! - Only a reply to RCPT, DATA or the message can put an address into quarantine, and only by a rule that says that
//!   the address does not exist; a block or a policy never does.
//!
//! Neighbours: imports `address`; `mta` drives [`Client`] over sockets, `queue` and `feedback` use [`classify`],
//! `testkit` plays the other side.

pub mod classify;
mod client;
mod command;
mod delay;
mod ehlo;
pub mod limits;
mod reply;
mod stage;
mod stuffing;

pub use classify::{
    Blame, Category, HELD_S, MENDING_S, NORMALISED_LEN_MAX, PathAction, Reason, RecipientOutcome, RuleError,
    RuleName, Rulebook, Rules, Verdict, blamed_name, classify, classify_for, normalised, speaker,
};
pub use client::{Answer, Client, Config, Cut, Event, Login, NotBegun, Outcome, TlsUse, Wait};
pub use command::Envelope;
pub use delay::{DELAY_MAX_S, DELAY_MIN_S, named_delay};
pub use ehlo::Ehlo;
pub use reply::{Enhanced, Reply, ReplyError, ReplyParser};
pub use stage::Stage;
pub use stuffing::push_stuffed;
