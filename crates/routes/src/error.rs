//! What can go wrong in this room.

use thiserror::Error;

/// An error of this room. None of them carries an address or a key.
#[derive(Debug, Error)]
pub enum Error {
    /// The database said no.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The name is not a domain that mail can be sent from.
    #[error("`{0}` is not a domain name")]
    NotADomain(String),
    /// The domain is not one of ours.
    #[error("the sending domain `{0}` is not set up: `mailwright domain add {0}`")]
    UnknownDomain(String),
    /// A stored key cannot be read: a different master key, or a damaged row.
    #[error("the DKIM key {id} of `{domain}` cannot be read: {reason}")]
    Key {
        /// Row of the key.
        id: i64,
        /// Signing domain.
        domain: String,
        /// What the vault or the key parser said.
        reason: String,
    },
    /// A new key could not be made.
    #[error("a DKIM key could not be made: {0}")]
    KeyGeneration(message::KeyError),
    /// Every selector of the domain is used up.
    #[error("`{0}` has used up its selectors")]
    Selectors(String),
    /// A thread that made keys was stopped.
    #[error("the making of keys was stopped")]
    Stopped,
    /// A limit in the settings is out of range or names nothing.
    #[error("{0}")]
    Setting(String),
    /// A rule, a source or a warm-up is refused.
    #[error("{field} of `{name}` {reason}")]
    Rule {
        /// Site, source or warm-up.
        name: String,
        /// Which field.
        field: &'static str,
        /// What is wrong, after the field's name.
        reason: String,
    },
    /// There is no such source, override or warm-up.
    #[error("there is no {kind} `{name}`")]
    Absent {
        /// What was asked for: `source`, `override`, `warm-up`, `verdict`.
        kind: &'static str,
        /// By which name.
        name: String,
    },
    /// A file of rules cannot be read.
    #[error("{0}")]
    File(String),
}

impl Error {
    pub(crate) fn rule(name: &str, field: &'static str, reason: impl Into<String>) -> Error {
        Error::Rule { name: name.to_owned(), field, reason: reason.into() }
    }
}

/// Result of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;
