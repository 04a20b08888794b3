//! What access refuses, and why.

/// `Result` with access's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A refusal or a failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Name and password do not fit. It is not said which.
    #[error("name or password is wrong")]
    WrongPassword,
    /// A code of the second factor does not fit, was used before, or came too late.
    #[error("this code is not right; take the one that your app shows now")]
    Code,
    /// An invitation or reset link that nobody made, that was used, or that is too old.
    #[error("this link does not work any more; ask for a new one")]
    Link,
    /// A preference cannot be had; the text names it.
    #[error("{0}")]
    Preference(String),
    /// Too many failed tries.
    #[error("too many failed tries; try again in {wait_s} seconds")]
    Locked {
        /// Seconds until the next try is looked at.
        wait_s: i64,
    },
    /// A new password does not do.
    #[error("{0}")]
    WeakPassword(String),
    /// A name cannot be used.
    #[error("{0}")]
    Name(String),
    /// A word that names no right.
    #[error("there is no right named {0}; there are import, prepare, approve, start and administer")]
    Rights(String),
    /// No such account, token or setting.
    #[error("there is no {0}")]
    NotFound(String),
    /// Somebody must stay who can administer.
    #[error("this is the last administrator: give that right to somebody else first")]
    LastAdministrator,
    /// A setting is refused; the text names it.
    #[error("{0}")]
    Setting(String),
    /// A file could not be written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Hashing failed, or the program is going down.
    #[error("{0}")]
    Internal(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}
