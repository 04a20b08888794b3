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
