//! Every bound of the HTTP doors, in one place.

use std::time::Duration;

/// Largest body of an ordinary API request, in bytes.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// Largest pushed delivery folder (all its files together), in bytes.
pub const FOLDER_BYTES_MAX: usize = 32 << 20;
/// Files in a pushed delivery folder.
pub const FOLDER_FILES_MAX: usize = 500;
/// Largest uploaded image or attachment, with what a form adds, in bytes; the content room's own limits are lower.
pub const ASSET_BYTES_MAX: usize = 16 << 20;
/// Length of a file name inside a pushed folder, in bytes.
pub const FILE_NAME_BYTES_MAX: usize = 255;
/// Largest uploaded import file, in bytes. It is streamed, never held in memory.
pub const UPLOAD_BYTES_MAX: u64 = 8 << 30;
/// How much of an upload that was refused is still read, so that its sender hears why.
pub const REFUSED_UPLOAD_READ_MAX: u64 = 1 << 30;
/// Largest body on the public door: a one-click POST is a few dozen bytes.
pub const PUBLIC_BODY_BYTES_MAX: usize = 8 << 10;
/// How long a handler may take before it answers 503. Streams (upload, log, progress) are exempt.
pub const HANDLER_TIME_MAX: Duration = Duration::from_secs(60);
/// A connection on which nothing is read or written for this long is closed.
pub const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(120);
/// Connections open at once on one listener; more wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Rows of one page when `limit` is absent.
pub const PAGE_ROWS_DEFAULT: u32 = 50;
/// Rows of one page at most.
pub const PAGE_ROWS_MAX: u32 = 500;
/// Length of an `Idempotency-Key`, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;
/// Idempotency keys remembered at once; the oldest go first.
pub const IDEMPOTENCY_KEYS_MAX: usize = 10_000;
/// How long an idempotency key is remembered, in microseconds (24 h).
pub const IDEMPOTENCY_AGE_MAX_US: i64 = 24 * 3_600 * 1_000_000;
/// Largest answer kept for an idempotency key, in bytes; larger ones are not replayed but refused.
pub const IDEMPOTENT_ANSWER_BYTES_MAX: usize = 64 << 10;
/// Length of a search text, in characters.
pub const SEARCH_CHARS_MAX: usize = 200;
/// Held copies that one request gives up at most.
pub const GIVE_UP_MAX: usize = 1_000;
/// Paths that one answer of the API lists; a node talks to thousands of small domains.
pub const PATHS_MAX: usize = 1_000;
/// Connections that one trace follows.
pub const TRACED_CONNECTIONS_MAX: u32 = 20;
/// How long a drop waits for the engine to give back what it holds; what it does not is left and counted.
pub const DROP_PATIENCE: Duration = Duration::from_secs(5);
