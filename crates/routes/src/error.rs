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
}

/// Result of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;
