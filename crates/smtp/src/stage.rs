//! How far a connection or a transaction had come.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::{
    BLOCK_TIMEOUT, COMMAND_TIMEOUT, CONNECT_TIMEOUT, DATA_TIMEOUT, DOT_TIMEOUT, FAREWELL_TIMEOUT,
    GREETING_TIMEOUT, HANDSHAKE_TIMEOUT, MAIL_TIMEOUT, RCPT_TIMEOUT,
};

/// The step whose answer is (or was) awaited, in the order of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The TCP connection.
    Connect,
    /// The 220 greeting.
    Greeting,
    /// EHLO, or HELO after it was refused.
    Hello,
    /// The STARTTLS command.
    StartTls,
    /// The TLS handshake.
    Handshake,
    /// AUTH, toward a relay.
    Auth,
    /// Between transactions; nothing is awaited.
    Idle,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// The DATA command.
    Data,
    /// The message is being written; its final dot is not.
    Body,
    /// The final dot is written.
    Dot,
    /// RSET.
    Rset,
    /// QUIT.
    Quit,
}

impl Stage {
    /// How long to wait before the connection is given up, RFC 5321 section 4.5.3.2.
    pub fn timeout(self) -> Duration {
        match self {
            Stage::Connect => CONNECT_TIMEOUT,
            Stage::Greeting => GREETING_TIMEOUT,
            Stage::Hello | Stage::StartTls | Stage::Auth => COMMAND_TIMEOUT,
            Stage::Handshake => HANDSHAKE_TIMEOUT,
            Stage::Mail => MAIL_TIMEOUT,
            Stage::Rcpt => RCPT_TIMEOUT,
            Stage::Data => DATA_TIMEOUT,
            Stage::Body => BLOCK_TIMEOUT,
            Stage::Dot => DOT_TIMEOUT,
            Stage::Idle | Stage::Rset | Stage::Quit => FAREWELL_TIMEOUT,
        }
    }

    /// Whether an answer at this stage is about one message rather than about the connection.
    pub fn is_of_a_message(self) -> bool {
        matches!(self, Stage::Mail | Stage::Rcpt | Stage::Data | Stage::Body | Stage::Dot)
    }

    /// The word for it in logs and error texts.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Connect => "connect",
            Stage::Greeting => "greeting",
            Stage::Hello => "EHLO",
            Stage::StartTls => "STARTTLS",
            Stage::Handshake => "TLS handshake",
            Stage::Auth => "AUTH",
            Stage::Idle => "idle",
            Stage::Mail => "MAIL FROM",
            Stage::Rcpt => "RCPT TO",
            Stage::Data => "DATA",
            Stage::Body => "message body",
            Stage::Dot => "end of DATA",
            Stage::Rset => "RSET",
            Stage::Quit => "QUIT",
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
