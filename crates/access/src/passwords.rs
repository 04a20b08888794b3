//! Passwords: argon2id, off the async workers, a few at a time.

use crate::error::{Error, Result};
use crate::{Access, limits};
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

/// A hash that no password has: looking up a name that does not exist takes as long as a wrong password.
pub(crate) const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

impl Access {
    pub(crate) async fn hash_password(&self, password: &str) -> Result<String> {
        let password = password.to_string();
        self.hashing(move || {
            Argon2::default()
                .hash_password(password.as_bytes())
                .map(|hash| hash.to_string())
                .map_err(|e| Error::Internal(format!("a password could not be hashed: {e}")))
        })
        .await?
    }

    /// `stored` none: nobody of that name.
    pub(crate) async fn check_password(&self, stored: Option<&str>, password: &str) -> Result<bool> {
        if password.len() > limits::PASSWORD_LEN_MAX {
            return Ok(false);
        }
        let known = stored.is_some();
        let (stored, password) = (stored.unwrap_or(NOBODY).to_string(), password.to_string());
        let fits = self
            .hashing(move || {
                PasswordHash::new(&stored)
                    .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
            })
            .await?;
        Ok(fits && known)
    }

    async fn hashing<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let _permit = self.inner.hashing.acquire().await.map_err(|e| Error::Internal(e.to_string()))?;
        tokio::task::spawn_blocking(work).await.map_err(|e| Error::Internal(e.to_string()))
    }
}

/// Length is what counts; a person's own name is the one guess that is always tried.
pub(crate) fn acceptable(name: &str, password: &str) -> Result<()> {
    let weak = |why: String| Err(Error::WeakPassword(why));
    if password.chars().count() < limits::PASSWORD_LEN_MIN {
        return weak(format!("a password has at least {} characters", limits::PASSWORD_LEN_MIN));
    }
    if password.len() > limits::PASSWORD_LEN_MAX {
        return weak(format!("a password has at most {} octets", limits::PASSWORD_LEN_MAX));
    }
    let mut distinct: Vec<char> = password.to_lowercase().chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < 4 || password.to_lowercase().replace(&name.to_lowercase(), "").len() < 4 {
        return weak("this password is too easy to guess".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_a_real_hash() {
        assert!(PasswordHash::new(NOBODY).is_ok());
    }

    #[test]
    fn easy_passwords() {
        assert!(acceptable("anna", "correct horse").is_ok());
        for password in ["short", "aaaaaaaaaaaa", "annaanna12", &"x1y2".repeat(300)] {
            assert!(acceptable("anna", password).is_err(), "{password}");
        }
    }
}
