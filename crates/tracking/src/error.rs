//! What can go wrong in this room.

use std::path::PathBuf;

/// An error of this room; it says nothing about a person.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed or is away.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The queue could not be asked.
    #[error(transparent)]
    Queue(#[from] queue::Error),
    /// A snapshot cannot be read.
    #[error(transparent)]
    Snapshot(#[from] message::SnapshotError),
    /// A segment file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }
}

/// The room's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
