//! Where copies go. Made by the wiring from the settings, anew at each change.

use std::path::PathBuf;
use std::time::Duration;

use mta::CourierConfig;

/// The archive's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where copies go.
    pub keeping: Keeping,
}

/// Where copies go.
#[derive(Debug, Clone, PartialEq)]
pub enum Keeping {
    /// Nowhere: nothing is configured, or what is configured contradicts itself. Owed copies wait.
    Nowhere {
        /// What to do about it, in words; empty: nothing is configured.
        problem: String,
    },
    /// To an address, over SMTP.
    Post(PostConfig),
    /// To files in a folder.
    Folder(FolderConfig),
}

/// Copies over SMTP.
#[derive(Debug, Clone, PartialEq)]
pub struct PostConfig {
    /// The archive's address in its envelope form.
    pub address: String,
    /// Its domain: ASCII, lower case.
    pub domain: String,
    /// Connections at once.
    pub connections: u32,
    /// How the server is reached.
    pub courier: CourierConfig,
}

/// Copies in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderConfig {
    /// The folder, absolute. Made when it is not there.
    pub path: PathBuf,
    /// One file a copy, or zipped by batch.
    pub compress: Compress,
    /// Copies of one batch at most.
    pub batch: u32,
    /// A batch is closed when its oldest copy has waited so long.
    pub wait: Duration,
    /// Files older than this are deleted; none: they stay.
    pub retention: Option<Duration>,
}

/// How copies lie in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compress {
    /// An .eml file each.
    None,
    /// A .zip file for each batch.
    Zip,
}

impl Config {
    /// Copies go nowhere.
    #[must_use]
    pub fn nowhere() -> Self {
        Self { keeping: Keeping::Nowhere { problem: String::new() } }
    }
}
