//! `DIR/local-token`: how the commands on this machine are let in, new at each start.

use crate::error::{Error, Result};
use crate::{Access, secret};
use std::io::Write;
use std::path::Path;
use std::sync::PoisonError;

/// Name of the file inside the data directory.
pub const LOCAL_TOKEN_FILE: &str = "local-token";
/// Start of the token, another one than that of API tokens.
const PREFIX: &str = "mwlocal_";

impl Access {
    /// Makes a new token and writes it to `dir/local-token`, readable by this user only.
    pub fn write_local_token(&self, dir: &Path) -> Result<()> {
        let token = secret::new(PREFIX)?;
        let path = dir.join(LOCAL_TOKEN_FILE);
        let fresh = dir.join(format!("{LOCAL_TOKEN_FILE}.new"));
        let failed = |source| Error::Io { path: path.display().to_string(), source };
        // A new file, moved into place: the old one's readers and rights do not carry over.
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&fresh).map_err(failed)?;
        file.write_all(token.as_bytes()).map_err(failed)?;
        drop(file);
        std::fs::rename(&fresh, &path).map_err(failed)?;
        *self.inner.local_token.lock().unwrap_or_else(PoisonError::into_inner) = Some(secret::hash(&token));
        Ok(())
    }

    /// Whether this is the local token. The door must also see that the peer is a loopback address without
    /// forwarding headers.
    pub fn is_local_token(&self, token: &str) -> bool {
        // Hashes are compared: what can be learnt from the time it takes is not the token.
        let known = *self.inner.local_token.lock().unwrap_or_else(PoisonError::into_inner);
        token.starts_with(PREFIX) && known == Some(secret::hash(token))
    }
}
