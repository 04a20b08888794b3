//! Every bound of this room, by name.

use std::time::Duration;

/// Characters of a user agent that are kept.
pub const AGENT_CHARS_MAX: usize = 200;
/// Octets of a client's address or its hash.
pub const CLIENT_LEN_MAX: usize = 64;
/// Octets of one encoded event: an agent of four-octet characters, the client and the numbers fit.
pub const EVENT_SIZE_MAX: usize = 1_024;
/// Events that may wait for the disk; whoever comes then waits for at most [`RECORD_WAIT_MAX`].
pub const EVENTS_WAITING_MAX: usize = 8_192;
/// Events of one fsync at most.
pub const BATCH_MAX: usize = 1_000;
/// How long an answer waits for the disk. The recipient's way matters more than the count.
pub const RECORD_WAIT_MAX: Duration = Duration::from_millis(1_000);
/// A segment that has reached this size is closed and a new one begun.
pub const SEGMENT_SIZE_MAX: u64 = 16 << 20;
/// A segment whose first event is older than this is closed, so that a purge by age reaches quiet times too.
pub const SEGMENT_AGE_MAX_US: i64 = 24 * 3_600 * 1_000_000;
/// How long folded segments stay: a database restored from a backup of that time gets its events again.
pub const SEGMENT_KEPT_US: i64 = 7 * 24 * 3_600 * 1_000_000;
/// Octets of all segments together. Beyond it the oldest folded ones go first; when none is folded (the database is
/// away for very long) events are no longer recorded.
pub const SEGMENTS_SIZE_MAX: u64 = 2 << 30;
/// Octets of a segment that are folded in one transaction.
pub const FOLD_SIZE_MAX: usize = 128 << 10;
/// Events that are folded in one transaction.
pub const FOLD_EVENTS_MAX: usize = 2_000;
/// Rest between two folds: events of a busy second share transactions.
pub const FOLD_SPACING: Duration = Duration::from_millis(250);
/// How often segments are looked at when nothing happens.
pub const FOLD_IDLE: Duration = Duration::from_secs(60);
/// Rest after a fold that failed, the database being away.
pub const FOLD_RETRY: Duration = Duration::from_secs(2);
/// How often events and segments that are too old are looked for.
pub const PURGE_PERIOD_US: i64 = 3_600 * 1_000_000;
/// Events that are deleted in one transaction.
pub const PURGE_STEP: i64 = 2_000;
/// Deliveries whose link tables are kept in memory.
pub const LINK_TABLES_MAX: usize = 512;
/// Octets of all link tables in memory.
pub const LINK_TABLES_SIZE_MAX: usize = 64 << 20;
/// A link table is looked up again after this long, because a resource validity can be changed; while the database is
/// away the old one serves on.
pub const LINK_TABLE_AGE_MAX_US: i64 = 300 * 1_000_000;
/// How long a click waits for that look-up when an old table would do.
pub const LINK_TABLE_WAIT_MAX: Duration = Duration::from_millis(500);
/// When a look-up that failed is tried again, so that not every click waits for a database that is away.
pub const LINK_TABLE_RETRY_US: i64 = 10 * 1_000_000;
/// Octets of one value that is filled into a link.
pub const PARAMETER_LEN_MAX: usize = 2_000;
/// Octets of a filled link: more than browsers take.
pub const LOCATION_LEN_MAX: usize = 8_000;
/// Events of one message that the log page shows.
pub const EVENTS_SHOWN_MAX: usize = 500;
/// Resource validity of deliveries that were confirmed before it was kept.
pub const RESOURCE_VALIDITY_US: i64 = 60 * 24 * 3_600 * 1_000_000;
