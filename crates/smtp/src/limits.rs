//! Bounds on what a receiver may make us keep, and the waits of RFC 5321 section 4.5.3.2.

use std::time::Duration;

/// Octets kept of one reply line. RFC 5321 section 4.5.3.1.5 allows 512; receivers exceed it, and what is cut is text.
pub const REPLY_LINE_KEPT_MAX: usize = 1_024;

/// Octets of one reply line after which what speaks is taken for something else than an SMTP server.
pub const REPLY_LINE_MAX: usize = 64 * 1_024;

/// Lines kept of one reply; the others are read and dropped. An EHLO reply has some twenty.
pub const REPLY_LINES_KEPT_MAX: usize = 100;

/// Lines of one reply after which the server is taken to be playing with us.
pub const REPLY_LINES_MAX: usize = 1_000;

/// Octets of a user name or a password for AUTH.
pub const CREDENTIAL_LEN_MAX: usize = 1_024;

/// Wait for a connection to open. RFC 5321 names none; TCP's own is above two minutes.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// Wait for the 220 greeting: 5 minutes (4.5.3.2.1).
pub const GREETING_TIMEOUT: Duration = Duration::from_secs(300);

/// Wait for the reply to EHLO, HELO, STARTTLS or AUTH. RFC 5321 names none: as for MAIL.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);

/// Wait for the TLS handshake to end.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// Wait for the reply to MAIL: 5 minutes (4.5.3.2.2).
pub const MAIL_TIMEOUT: Duration = Duration::from_secs(300);

/// Wait for the reply to RCPT: 5 minutes (4.5.3.2.3).
pub const RCPT_TIMEOUT: Duration = Duration::from_secs(300);

/// Wait for 354: 2 minutes (4.5.3.2.4).
pub const DATA_TIMEOUT: Duration = Duration::from_secs(120);

/// Wait for one write of the body to be taken: 3 minutes (4.5.3.2.5).
pub const BLOCK_TIMEOUT: Duration = Duration::from_secs(180);

/// Wait for the reply to the final dot: 10 minutes (4.5.3.2.6). A shorter wait trades duplicates for speed.
pub const DOT_TIMEOUT: Duration = Duration::from_secs(600);

/// Wait for the reply to RSET or QUIT. Nothing of value hangs on it, so it is short.
pub const FAREWELL_TIMEOUT: Duration = Duration::from_secs(10);

/// Octets of an operator's file of reply rules; the shipped ones are half of it.
pub const RULES_LEN_MAX: usize = 256 * 1_024;

/// Rules in such a file.
pub const RULES_MAX: usize = 1_000;
