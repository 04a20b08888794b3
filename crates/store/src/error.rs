//! What can go wrong between a room and its database, sorted by what the caller can do about it.
//!
//! Messages name tables, constraints and columns, never values: a duplicate address must not reach a log.

use std::path::PathBuf;

/// `Result` with the store's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Which rule of the schema a statement broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Constraint {
    /// A unique index or primary key.
    Unique,
    /// A foreign key.
    ForeignKey,
    /// A NOT NULL column.
    NotNull,
    /// A CHECK clause, or another rule of the schema (a STRICT column type).
    Check,
}

/// A failure of the store. Room errors convert from it with `#[from]`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database was not reached, or the connection broke before the commit was asked for. Nothing was written.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The connection broke after the commit was asked for: it may or may not stand. Idempotent work is tried again.
    #[error("the database went away during a commit, which may or may not stand: {0}")]
    CommitUnknown(String),
    /// Locks were not had in time, or a deadlock was broken. Nothing was written; the same transaction may pass later.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// The disk (or the allowed size) is full. The transaction was rolled back.
    #[error("the disk of the database is full: {0}")]
    DiskFull(String),
    /// A rule of the schema was broken. The transaction is rolled back.
    #[error("{what}")]
    Constraint {
        /// Which kind of rule.
        kind: Constraint,
        /// Table and columns, or the constraint's name.
        what: String,
    },
    /// The statement itself is wrong, or met a value it cannot work with.
    #[error("SQL error: {message} in: {sql}")]
    Statement {
        /// What the database says.
        message: String,
        /// The start of the statement, without its values.
        sql: String,
    },
    /// A column or parameter has another type than the code asked for.
    #[error("type mismatch: {0}")]
    Type(String),
    /// `query_one` or `insert_id` met no row.
    #[error("no such row")]
    NoRow,
    /// A statement failed earlier in this transaction and the closure went on: both databases then refuse to commit.
    #[error("the transaction was rolled back because a statement in it had failed: {0}")]
    Aborted(String),
    /// The schema and this program do not fit each other. The text says what to do.
    #[error("{0}")]
    Migration(String),
    /// A backup file is damaged, foreign, or does not fit. Nothing was changed.
    #[error("{0}")]
    Archive(String),
    /// Another process serves this data directory.
    #[error("{0} is already in use by a running server; stop it first, or choose another --data directory")]
    Locked(PathBuf),
    /// Sealed bytes are damaged, or were sealed under another master key.
    #[error("{0}")]
    Vault(String),
    /// The database address cannot be understood.
    #[error("{0}")]
    Url(String),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The closure panicked. The transaction was rolled back.
    #[error("a database transaction panicked: {0}")]
    Panicked(String),
}

impl Error {
    /// True when the same call may pass later without anybody changing anything (the database away or busy).
    /// [`Error::CommitUnknown`] is included: repeat only idempotent work. A full disk is not: someone must act.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::CommitUnknown(_) | Error::Busy(_))
    }

    /// True for a broken unique index or primary key.
    pub fn is_unique(&self) -> bool {
        matches!(self, Error::Constraint { kind: Constraint::Unique, .. })
    }

    /// The same failure for another transaction that shared a commit.
    pub(crate) fn shared(&self) -> Error {
        match self {
            Error::DiskFull(text) => Error::DiskFull(text.clone()),
            Error::Busy(text) => Error::Busy(text.clone()),
            Error::Unavailable(text) => Error::Unavailable(text.clone()),
            other => Error::Aborted(other.to_string()),
        }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }
}

/// Longest piece of a statement kept in an error, in octets.
const SQL_SHOWN_MAX: usize = 300;

/// The start of a statement for an error message; statements carry no values, so this is safe to log.
pub(crate) fn shown(sql: &str) -> String {
    sql[..sql.floor_char_boundary(SQL_SHOWN_MAX)].to_string()
}
