//! What goes into a client and comes out of it.

use std::time::Duration;

use thiserror::Error;

use crate::classify::Reason;
use crate::limits::CREDENTIAL_LEN_MAX;
use crate::reply::{Reply, ReplyError};
use crate::stage::Stage;

/// When TLS is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsUse {
    /// Never; also for a second try after a handshake failed.
    Never,
    /// STARTTLS where it is offered; in clear where it is not or is refused.
    Opportunistic,
    /// STARTTLS, or the connection is given up.
    Required,
    /// The connection was secured before its first octet of SMTP.
    Implicit,
}

/// A login at a relay.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
    /// Whether it may be sent over a connection that is not encrypted.
    pub in_clear: bool,
}

impl Login {
    /// Whether both parts are within bounds and hold no NUL, which ends a part in AUTH PLAIN (RFC 4616).
    pub fn is_sound(&self) -> bool {
        [&self.user, &self.password]
            .iter()
            .all(|part| part.len() <= CREDENTIAL_LEN_MAX && !part.contains('\0'))
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// What a connection needs to know from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Our host name, for EHLO.
    pub ehlo: String,
    /// When TLS is begun.
    pub tls: TlsUse,
    /// The relay's login.
    pub login: Option<Login>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// STARTTLS was accepted, and what was read after it was dropped: do the handshake on the socket, then call
    /// [`Client::secured`].
    Handshake,
    /// The session stands: [`Client::can_begin`] tells from here on when a transaction can begin.
    Ready,
    /// DATA was accepted: give the message by [`Client::body`], or end the connection without.
    BodyWanted {
        /// The transaction's.
        id: u64,
    },
    /// A transaction has its result. Given once for each one begun, and always before [`Event::Closed`].
    Finished {
        /// The transaction's.
        id: u64,
        /// Its result.
        outcome: Outcome,
    },
    /// Nothing more will come: close the socket.
    Closed {
        /// What was awaited.
        stage: Stage,
        /// Why it ended.
        why: Cut,
    },
}

/// The result of one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    /// The reply that decided it, or why none came.
    pub answer: Answer,
    /// What that reply answered, or what was awaited.
    pub stage: Stage,
    /// The final dot had been handed to the connection in whole.
    pub dot_written: bool,
}

impl Outcome {
    /// The message may or may not have been accepted: its final dot was written and the answer never came.
    pub fn is_unknown(&self) -> bool {
        self.dot_written && matches!(self.answer, Answer::None(_))
    }
}

/// The answer of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The receiver's. Positive only for the final dot.
    Reply(Reply),
    /// The connection ended first.
    None(Cut),
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Cut {
    /// We said QUIT.
    #[error("closed by QUIT")]
    Quit,
    /// The server refused to go on (421 at any point; a refused greeting, EHLO or login).
    #[error("the server refused: {0}")]
    Refused(Reply),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Eof,
    /// A wait ran out.
    #[error("the server did not answer in time")]
    Timeout,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The server does not speak SMTP.
    #[error("{0}")]
    Garbled(#[from] ReplyError),
    /// A reply that does not fit what was asked, or that nothing asked for.
    #[error("the server answered out of step: {0}")]
    OutOfStep(Reply),
    /// TLS is required and not offered.
    #[error("the server does not offer STARTTLS, which is required")]
    TlsNotOffered,
    /// TLS is required and STARTTLS was refused.
    #[error("the server refused STARTTLS, which is required: {0}")]
    TlsRefused(Reply),
    /// The handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
    /// A login is configured, and none of AUTH PLAIN and LOGIN is offered.
    #[error("the server does not offer a login by AUTH PLAIN or LOGIN")]
    LoginNotOffered,
    /// A login is configured that must not be sent in clear, and there is no TLS.
    #[error("the connection is not encrypted, so the login was not sent")]
    LoginInClear,
    /// Our side ended it: a stop, or no message to send after all.
    #[error("given up by the sender")]
    Abandoned,
}

/// Why a transaction was not begun. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotBegun {
    /// [`Client::can_begin`] is false.
    #[error("the connection is not ready for a transaction")]
    Busy,
    /// A path that cannot stand on a command line.
    #[error("the envelope is not well formed")]
    Envelope,
    /// The receiver has no SMTPUTF8 (RFC 6531), and the envelope needs it.
    #[error("the receiver does not take addresses with letters outside ASCII")]
    SmtpUtf8,
    /// The message is above the size that the receiver takes (RFC 1870).
    #[error("the message is larger than the {0} octets that the receiver takes")]
    TooLarge(u64),
}

impl NotBegun {
    /// The reason that the log gives it: what the receiver would refuse, or a fault on our side.
    pub fn reason(&self) -> Reason {
        match self {
            NotBegun::Busy | NotBegun::Envelope => Reason::Unreachable,
            NotBegun::SmtpUtf8 | NotBegun::TooLarge(_) => Reason::Refused,
        }
    }

    /// The reply that the receiver would give; None when the reason is not the receiver's.
    pub fn reply(&self) -> Option<Reply> {
        match self {
            NotBegun::Busy | NotBegun::Envelope => None,
            NotBegun::SmtpUtf8 => Some(Reply::new(553, &format!("5.6.7 {self}"))),
            NotBegun::TooLarge(_) => Some(Reply::new(552, &format!("5.3.4 {self}"))),
        }
    }
}

/// What is awaited from the peer, and for how long at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// The step.
    pub stage: Stage,
    /// How long from the moment that `serial` changed.
    pub timeout: Duration,
    /// Changes whenever the wait begins anew; not with each octet read, so that a reply that drips runs out.
    pub serial: u64,
}
