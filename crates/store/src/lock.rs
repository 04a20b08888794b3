//! One server per data directory: an advisory lock that the system drops when the process ends, however it ends.

use crate::error::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// Name of the lock file inside the data directory.
pub const LOCK_FILE: &str = "lock";

/// Held while this process serves the directory. The file stays; only the lock on it counts.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// [`Error::Locked`] when another process holds `dir`.
    pub fn acquire(dir: &Path) -> Result<DirLock> {
        let path = dir.join(LOCK_FILE);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::io(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(DirLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked(dir.to_path_buf())),
            Err(TryLockError::Error(error)) => Err(Error::io(path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let held = DirLock::acquire(dir.path()).unwrap();
        assert!(matches!(DirLock::acquire(dir.path()), Err(Error::Locked(_))));
        drop(held);
        DirLock::acquire(dir.path()).unwrap();
    }
}
