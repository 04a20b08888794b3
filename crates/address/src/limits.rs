//! Lengths that the grammar accepts, all in octets of UTF-8.

/// Longest local part, RFC 5321 section 4.5.3.1.1.
pub const LOCAL_LEN_MAX: usize = 64;

/// Longest domain in its ASCII form without the root dot, RFC 1035 section 2.3.4.
pub const DOMAIN_LEN_MAX: usize = 253;

/// Longest label of a domain in its ASCII form, RFC 1035 section 2.3.4.
pub const LABEL_LEN_MAX: usize = 63;

/// Longest address: the 256 octets of a path (RFC 5321 section 4.5.3.1.3) less its angle brackets.
pub const ADDRESS_LEN_MAX: usize = 254;

/// Longest display name of a [`crate::NamedMailbox`].
pub const NAME_LEN_MAX: usize = 256;
