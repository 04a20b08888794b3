//! Every bound of this room, by name.

/// Settlements of one commit at most.
pub const BATCH_MAX: usize = 1_000;
/// Rest between two commits. What a crash may send twice grows by so much time; a quiet queue does not notice. With 3 ms
/// there were some twenty outcomes in a commit at 5,000 messages a second, and settling one cost a tenth more.
pub const COMMIT_SPACING: std::time::Duration = std::time::Duration::from_millis(6);
/// Results that may wait for their commit, over all connections.
pub const UNSETTLED_MAX: usize = 4_096;
/// Octets of a receiver's words that are kept.
pub const REPLY_LEN_MAX: usize = 512;
/// Sites that are tallied by name in one delivery; further ones are counted as [`crate::OTHER_SITE`].
pub const TALLY_SITES_MAX: usize = 200;
/// Rows of one page of the log at most.
pub const LOG_PAGE_MAX: usize = 5_000;
/// The least delay that is obeyed when a receiver names one.
pub const NAMED_DELAY_MIN_US: i64 = 60 * 1_000_000;
/// The longest delay that is obeyed when a receiver names one: longer is treated as this.
pub const NAMED_DELAY_MAX_US: i64 = 24 * 3_600 * 1_000_000;
/// How often figures are read again at most.
pub const FIGURES_AGE_MAX_US: i64 = 250_000;
/// Window of the speed that pages show.
pub const SPEED_WINDOW_S: i64 = 10;
/// Events that a slow subscriber may lag behind before it misses some.
pub const EVENTS_WAITING_MAX: usize = 256;
/// First wait when the database does not answer; doubles up to [`DATABASE_WAIT_MAX_MS`].
pub const DATABASE_WAIT_MS: u64 = 100;
/// Longest wait between two tries of a commit.
pub const DATABASE_WAIT_MAX_MS: u64 = 2_000;
/// Deliveries whose figures are kept in memory.
pub const FIGURES_KEPT_MAX: usize = 1_000;
/// Copies for the archive that are loaded at once.
pub const COPIES_PAGE_MAX: i64 = 1_000;
/// How connections were secured, kept in memory.
pub const SECURED_KEPT_MAX: usize = 20_000;
/// Rows that one step of an operator's drop or hurry changes.
pub const DROP_STEP_MAX: i64 = 2_000;
/// Retries of a lane whose age is looked at.
pub const AGED_MAX: i64 = 20_000;
/// How often what waits is counted again at most.
pub const WAITING_AGE_MAX_US: i64 = 1_000_000;
/// How long the clock may go unlooked at before nothing is claimed any more.
pub const AWAKE_US: i64 = 60_000_000;

/// So often the database may refuse a batch of results for what is in it, before the batch is halved.
pub const REFUSALS_MAX: u32 = 3;
