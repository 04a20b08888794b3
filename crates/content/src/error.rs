//! What can go wrong when something is kept in this room. Rooms above decide which status code that is.

use crate::problem::Problem;

/// The result of every call of the room's door.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call was refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// What was given cannot be used; the problem says what and why.
    #[error(transparent)]
    Refused(Box<Problem>),
    /// There is no such row; `what` is block, file, format rule.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// A remote image could not be had.
    #[error("{url}: {reason}")]
    Fetch {
        /// Where from.
        url: String,
        /// Why not, the end of the sentence.
        reason: String,
    },
}

impl Error {
    pub(crate) fn refused(part: &str, message: impl Into<String>) -> Error {
        Error::Refused(Box::new(Problem::new(part, message)))
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Error {
        Error::Refused(Box::new(problem))
    }
}
