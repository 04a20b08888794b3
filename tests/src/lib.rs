//! Whole-system stories: the real program as its own process, on a real database, against receivers that share no
//! code with it. This library is what the stories in `tests/stories` stand on.
//!
//! - [`Server`]: `mailwright serve` in a temporary folder; killed and started again as a story likes.
//! - [`Server::cli`]: the command line, its exit status and its JSON, as a script would use it.
//! - [`Database`]: SQLite in that folder, or a fresh database on a PostgreSQL that the test process starts.

mod server;

pub use server::{Cli, Database, Server, ServerOptions, corpus, program, root};
