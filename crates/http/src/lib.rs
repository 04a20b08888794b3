//! # http: every face that speaks HTTP
//!
//! Three doors, one house behind them:
//!
//! - [`api`]: REST under `/api/v1`, for the command line and for programs. Bearer tokens (or the session
//!   cookie), keyset paging, `Idempotency-Key` on whatever sends, `application/problem+json` errors that
//!   name the field.
//! - [`web`]: the pages people work in.
//! - [`public`]: what recipients reach: the unsubscribe page and its one-click POST. It reads no cookie, and may
//!   have a listener of its own (`public_listen`).
//!
//! **Owns** no table. A handler parses, calls one function of a room, and renders; the only place where
//! status codes exist is [`problem::Problem`], and rooms below never learn HTTP.
//!
//! **Invariants.** Admin routes answer only to a Host that is ours ([`guard`]), which stops DNS rebinding.
//! Nothing a recipient's mail program may fetch by itself (GET) changes anything. Bodies, times and numbers of
//! connections are bounded ([`limits`]). Addresses, tokens and bodies are never logged.
//!
//! **Neighbours.** Imports all rooms; the binary builds [`state::Services`] and serves [`admin_router`] and
//! [`public_router`].

pub mod guard;
pub mod limits;
pub mod listener;
pub mod problem;
pub mod state;
