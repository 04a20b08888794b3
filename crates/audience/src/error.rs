//! What can go wrong in this room. Rooms above decide which status code that is.

use crate::filter::FilterError;

/// The result of every call of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call was refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A value breaks a rule; `field` names it, `reason` ends the sentence.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field, in the words of the contract (`email`, `first_name`, an attribute's name …).
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such row.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The name or the address is taken.
    #[error("this {what} exists already: {name}")]
    Exists {
        /// `recipient`, `list`, `segment`, `service` or `seed group`.
        what: &'static str,
        /// Its name or address.
        name: String,
    },
    /// A segment's filter is wrong at a place.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The imported file as a whole cannot be used (no header, no column for the address, an unknown encoding …).
    #[error("{0}")]
    File(String),
    /// Reading the file or writing its temporary copy failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Invalid { field: field.into(), reason: reason.into() }
    }

    pub(crate) fn io(doing: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Io { doing, source }
    }
}
