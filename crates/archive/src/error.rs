//! What can go wrong in this room, in words that say what to do.

use std::path::PathBuf;

/// An error of the archive.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed or is away.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The queue's.
    #[error(transparent)]
    Queue(#[from] queue::Error),
    /// The folder cannot be read or written.
    #[error(
        "the archive folder: {}: {error}. Check that the folder is there, that its disk has room, and that Mailwright \
         may write in it", .path.display()
    )]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        error: std::io::Error,
    },
    /// The folder holds the batches of another database.
    #[error(
        "the archive folder holds a batch {number} that this database did not make ({}). Set archive.folder to an empty \
         folder", .path.display()
    )]
    Foreign {
        /// The manifest.
        path: PathBuf,
        /// Its batch.
        number: i64,
    },
    /// A manifest cannot be read.
    #[error("the manifest {} is damaged: {what}", .path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Zip.
    #[error("the archive's zip file cannot be written: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// The composing thread has ended.
    #[error("the archive's thread has ended")]
    Ended,
}

/// The room's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure at a path.
    pub(crate) fn at(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Error::Folder { path, error }
    }
}
