//! Whole-system stories: the real program as its own process, on a real database, against receivers that share no
//! code with it. This library is what the stories in `tests/stories` stand on.
//!
//! - [`Server`]: `mailwright serve` in a temporary folder; killed and started again as a story likes.
//! - [`Server::cli`]: the command line, its exit status and its JSON, as a script would use it.
//! - [`Database`]: SQLite in that folder, or a fresh database on a PostgreSQL that the test process starts.
//! - [`campaign`]: the steps that every story takes: import, push, analyse, confirm, read the log.
//! - [`packages`]: programs that were not written here, unpacked from the distribution's packages and run apart.
//! - [`judge`]: the receivers' log beside the delivery log: nothing lost, nothing twice without an excuse.

pub mod campaign;
pub mod judge;
pub mod packages;
mod server;

pub use server::{Cli, Database, Server, ServerOptions, corpus, program, root, wall_us};

/// How long something is waited for that should come soon. It costs nothing where all is well, and a busy machine may need it.
pub const WAIT: std::time::Duration = std::time::Duration::from_secs(180);

/// Whether the long stories run: `MAILWRIGHT_SOAK=1`.
#[must_use]
pub fn soak() -> bool {
    std::env::var("MAILWRIGHT_SOAK").is_ok_and(|value| value == "1")
}
