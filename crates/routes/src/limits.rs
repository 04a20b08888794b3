//! The bounds of this room, each with its reason.

/// Signing domains held in memory with their keys (about 4 KB each).
pub const SIGNING_CACHE_MAX: usize = 10_000;

/// Retired or foreign keys held in memory, for messages composed again with the keys of their first try.
pub const KEY_CACHE_MAX: usize = 20_000;

/// Lanes over which domains of no known provider are spread.
pub const TAIL_LANES: u64 = 16;

/// MX hosts of one domain that are looked at; more than this is treated as the domain's own site.
pub const MX_HOSTS_MAX: usize = 64;

/// Addresses named in a proposed SPF record. RFC 7208 section 3.4 wants the record within 450 octets.
pub const SPF_ADDRESSES_MAX: usize = 12;

/// Keys one domain may have over time: selectors are numbered `mw1`, `mw2`, … until here.
pub const KEY_GENERATIONS_MAX: u32 = 1_000;

/// Open connections over all sites that a prediction reckons with.
pub const PREDICT_CONNECTIONS_MAX: f64 = 400.0;

/// Most connections that a rule may allow on one path.
pub const CONNECTIONS_MAX: u32 = 1_000;

/// Most messages that a rule may allow on one connection.
pub const MESSAGES_PER_CONNECTION_MAX: u32 = 100_000;

/// Longest wait that a rule may name, in seconds.
pub const RULE_SECONDS_MAX: u32 = 3_600;

/// Rates of one kind in one rule: one a stretch (second, minute, hour, day).
pub const RATES_MAX: usize = 4;

/// Masks in one list of a rule or a source.
pub const MASKS_MAX: usize = 256;

/// Providers, shipped and own.
pub const PROVIDERS_MAX: usize = 2_000;

/// Sources of one installation.
pub const SOURCES_MAX: usize = 1_000;

/// Bytes of `shaping.toml`.
pub const RULE_FILE_BYTES_MAX: u64 = 1_024 * 1_024;

/// Paths whose learned ceilings are kept; the oldest go first.
pub const LEARNED_MAX: i64 = 50_000;

/// How long what was learned is believed, in microseconds: 30 days, after which a source counts as cold again.
pub const LEARNED_KEPT_US: i64 = 30 * 86_400 * 1_000_000;

/// Days of which volumes are kept: enough for a source's last 30 days and the month before.
pub const VOLUME_DAYS_KEPT: i64 = 62;

/// How long a verdict that has ended is still shown, in microseconds.
pub const VERDICT_SHOWN_US: i64 = 7 * 86_400 * 1_000_000;

/// Lines of the history of rules that one page shows.
pub const CHANGES_PAGE_MAX: usize = 500;

/// Days of a warm-up plan.
pub const WARM_UP_DAYS_MAX: usize = 366;

/// MTA-STS policies kept (about 300 bytes each).
pub const STS_KEPT_MAX: usize = 100_000;

/// How long a policy is used before it is fetched again although its id is the same: RFC 8461 section 3.3 wants that
/// regularly, for example daily.
pub const STS_REFRESH_US: i64 = 86_400 * 1_000_000;

/// Wait between two tries to fetch a policy (RFC 8461 section 3.3: not more often than every five minutes).
pub const STS_RETRY_US: i64 = 300 * 1_000_000;

/// Kinds of sessions counted between two writings; more are not told of.
pub const TLS_COUNTS_MAX: usize = 50_000;

/// Days after which a report that could not be delivered is given up (RFC 8460 section 5.5: a day of tries), and after
/// which counts go.
pub const TLS_REPORT_DAYS_KEPT: i64 = 3;

/// Days that a sent report is shown.
pub const TLS_REPORT_DAYS_SHOWN: i64 = 62;

/// How long the record of a replaced key stays wanted, in microseconds: mail is checked again when it is forwarded or
/// fetched days after it came.
pub const KEY_OVERLAP_US: i64 = 7 * 86_400 * 1_000_000;

/// Domains whose new keys are looked for in DNS at one look.
pub const ROTATIONS_LOOKED_AT: i64 = 200;
