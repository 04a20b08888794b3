//! The bounds of the simulated internet, each with its reason.

/// Longest DNS message that is read or written: what TCP's two length octets can say.
pub const DNS_MESSAGE_MAX: usize = 65_535;

/// Longest answer over UDP without EDNS (RFC 1035 section 2.3.4), and the most that is used with it.
pub const DNS_UDP_MAX: usize = 512;
/// Most octets over UDP when the client offers more: unfragmented on any link.
pub const DNS_UDP_EDNS_MAX: usize = 1_232;

/// Longest command line (RFC 5321 section 4.5.3.1.4 wants 512 at least; SMTPUTF8 and long tokens more).
pub const COMMAND_LEN_MAX: usize = 4_096;

/// Recipients in one transaction (RFC 5321 section 4.5.3.1.8).
pub const RECIPIENTS_MAX: usize = 100;

/// Largest message taken when a provider sets no limit of its own.
pub const MESSAGE_LEN_MAX: usize = 64 * 1024 * 1024;

/// Octets read from a connection at once.
pub const READ_LEN: usize = 64 * 1024;

/// Time-stamped events held in memory; older ones are dropped (the NDJSON file keeps all).
pub const EVENTS_MAX: usize = 2_000_000;

/// Octets of mail held for the mailbox page; the oldest mail is dropped first.
pub const MAILBOX_OCTETS_MAX: usize = 128 * 1024 * 1024;

/// Mails held for the mailbox page, however small.
pub const MAILBOX_MAILS_MAX: usize = 100_000;

/// Senders and recipients that a greylist remembers per provider.
pub const GREYLIST_MAX: usize = 1_000_000;

/// Tries to find one port that is free on all loopback addresses of a world.
pub const PORT_TRIES_MAX: usize = 50;
