//! Every bound of this room, with its reason.

/// Longest account name and token label, in characters.
pub const NAME_LEN_MAX: usize = 100;
/// Shortest password that a person may choose (NIST SP 800-63B asks for at least 8), in characters.
pub const PASSWORD_LEN_MIN: usize = 10;
/// Longest password that is hashed, in octets: longer ones only cost time.
pub const PASSWORD_LEN_MAX: usize = 1_024;
/// Passwords hashed at the same time: each takes 19 MiB and some 20 ms of a core.
pub const HASHING_MAX: usize = 2;
/// Wrong passwords in a row before an account waits.
pub const FAILURES_FREE: i64 = 5;
/// First wait after that; it doubles with each further failure.
pub const LOCK_FIRST_US: i64 = 15 * 1_000_000;
/// Longest wait: an attacker must not lock a person out for long.
pub const LOCK_MAX_US: i64 = 15 * 60 * 1_000_000;
/// Failed sign-ins from one peer address within [`PEER_WINDOW_US`].
pub const PEER_FAILURES_MAX: u32 = 20;
/// The window of [`PEER_FAILURES_MAX`].
pub const PEER_WINDOW_US: i64 = 10 * 60 * 1_000_000;
/// Peer addresses remembered at the same time.
pub const PEERS_MAX: usize = 10_000;
/// A session ends after so long without a request.
pub const SESSION_IDLE_US: i64 = 12 * 3_600 * 1_000_000;
/// A session ends after so long in any case.
pub const SESSION_AGE_MAX_US: i64 = 14 * 86_400 * 1_000_000;
/// Uses of a session or token are written down at most so often.
pub const SEEN_STEP_US: i64 = 5 * 60 * 1_000_000;
/// Sessions of one account; the oldest goes first.
pub const SESSIONS_MAX: i64 = 50;
/// API tokens of one account.
pub const TOKENS_MAX: i64 = 100;
/// Longest detail in the audit log, in octets.
pub const DETAIL_LEN_MAX: usize = 2_000;
/// Most audit lines given at once.
pub const AUDIT_PAGE_MAX: i64 = 500;
/// Accounts.
pub const ACCOUNTS_MAX: i64 = 1_000;
/// Lines are kept so long (as long as the log of deliveries in comparable products).
pub const AUDIT_KEPT_US: i64 = 180 * 86_400 * 1_000_000;
/// Lines deleted in one transaction: nobody waits for the purge.
pub const AUDIT_PURGE_ROWS: i64 = 5_000;
/// How often [`crate::Access::keep_clean`] deletes what has expired.
pub const PURGE_PERIOD_US: i64 = 3_600 * 1_000_000;
/// The same deed by the same person on the same thing is one line for so long, where drafts are saved while typing.
pub const AUDIT_MERGE_US: i64 = 10 * 60 * 1_000_000;
/// An invitation can be used for so long: a weekend and some days away.
pub const INVITATION_AGE_MAX_US: i64 = 7 * 86_400 * 1_000_000;
/// A link to choose a new password can be used for so long.
pub const RESET_AGE_MAX_US: i64 = 24 * 3_600 * 1_000_000;
/// Between the password and the code of the second factor.
pub const SECOND_FACTOR_WAIT_US: i64 = 10 * 60 * 1_000_000;
/// Recovery codes made at once.
pub const RECOVERY_CODES: usize = 10;
/// Longest address of an account, in octets (RFC 5321 4.5.3.1.3).
pub const EMAIL_LEN_MAX: usize = 254;
/// What is kept of a browser's name, in characters.
pub const AGENT_LEN_MAX: usize = 200;
