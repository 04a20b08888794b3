//! What pages show of the archive.

use std::path::PathBuf;

use crate::config::{Compress, Keeping};

/// Where copies go, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Nowhere.
    Nowhere {
        /// What to do about it; empty: nothing is configured.
        problem: String,
    },
    /// To this address.
    Address(String),
    /// To this folder.
    Folder {
        /// The folder.
        path: PathBuf,
        /// How copies lie in it.
        compress: Compress,
    },
}

impl Way {
    pub(crate) fn of(keeping: &Keeping) -> Self {
        match keeping {
            Keeping::Nowhere { problem } => Self::Nowhere { problem: problem.clone() },
            Keeping::Post(post) => Self::Address(post.address.clone()),
            Keeping::Folder(folder) => Self::Folder { path: folder.path.clone(), compress: folder.compress },
        }
    }
}

/// The last thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// When (UTC microseconds).
    pub at: i64,
    /// In words.
    pub words: String,
    /// The archive rests until then (UTC microseconds); none: it works.
    pub until: Option<i64>,
}

/// The archive at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Where copies go.
    pub way: Way,
    /// Copies that wait for their turn or their next try.
    pub waiting: i64,
    /// Copies that wait for an operator.
    pub held: i64,
    /// When the oldest message was sent whose copy is owed (UTC microseconds).
    pub oldest: Option<i64>,
    /// Why one of the waiting was put off; none: all wait for their turn.
    pub put_off: Option<String>,
    /// Copies taken since the beginning.
    pub archived: i64,
    /// Octets of those.
    pub octets: i64,
    /// When the latest copy was taken (UTC microseconds).
    pub last_at: Option<i64>,
    /// The last error since the start, while no copy was taken after it.
    pub trouble: Option<Trouble>,
}
