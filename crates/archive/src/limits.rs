//! Every bound of this room, by name.

use std::time::Duration;

/// Owed copies that are in memory at once.
pub const PAGE_MAX: i64 = 256;
/// Copies whose result is committed together.
pub const COMMIT_MAX: usize = 100;
/// Connections to the archive's server at most.
pub const CONNECTIONS_MAX: u32 = 50;
/// Files of one batch at most.
pub const BATCH_MAX: u32 = 100_000;
/// Copies that the server refused so often after it had seen them are held.
pub const TRIES_MAX: i64 = 12;
/// First wait after such a refusal; it doubles up to [`TRY_WAIT_MAX`].
pub const TRY_WAIT: Duration = Duration::from_secs(60);
/// Longest wait between two tries of one copy.
pub const TRY_WAIT_MAX: Duration = Duration::from_secs(6 * 3_600);
/// First rest after the server could not be reached, or the folder not be written; it doubles up to [`REST_MAX`].
pub const REST: Duration = Duration::from_secs(2);
/// Longest rest, also when the server names a longer one.
pub const REST_MAX: Duration = Duration::from_secs(600);
/// How often owed copies are looked for when nothing announces them.
pub const LOOK: Duration = Duration::from_secs(5);
/// Rest between two looks while messages are being settled: what came meanwhile is taken together.
pub const LOOK_SPACING: Duration = Duration::from_millis(200);
/// How long a copy waits that cannot be composed at present (a key or a snapshot cannot be read).
pub const NOT_NOW_WAIT: Duration = Duration::from_secs(60);
/// How often old files are looked for.
pub const PURGE_EVERY: Duration = Duration::from_secs(600);
/// How long a farewell to the server may take.
pub const QUIT_MAX: Duration = Duration::from_secs(2);
/// How long an end waits for copies under way. What is not done then is done again after the next start.
pub const DRAIN: Duration = Duration::from_secs(5);
/// How far below normal the composing thread runs: below the engine's.
pub const NICE: i32 = 10;
