//! Secrets at rest: sealed under `DIR/master.key`, which never leaves the data directory except in a backup.

use crate::error::{Error, Result};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::io::Write;
use std::path::Path;

/// Name of the key file inside the data directory.
pub const MASTER_KEY_FILE: &str = "master.key";
/// Octets of the master key.
const KEY_LEN: usize = 32;
/// First octet of sealed bytes: AES-256-GCM, key by purpose, random nonce.
const SEAL_FORMAT: u8 = 1;

/// Seals and unseals secrets, and derives keys for tokens. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    master: [u8; KEY_LEN],
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(…)")
    }
}

impl Vault {
    /// Reads `dir/master.key`; makes it (mode 0600) when absent.
    pub fn open(dir: &Path) -> Result<Vault> {
        let path = dir.join(MASTER_KEY_FILE);
        match std::fs::read(&path) {
            Ok(octets) => {
                let master = octets.try_into().map_err(|_| {
                    Error::Vault(format!("{} is damaged: it must have {KEY_LEN} octets", path.display()))
                })?;
                Ok(Vault { master })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut master = [0; KEY_LEN];
                random(&mut master)?;
                write_new(&path, &master)?;
                Ok(Vault { master })
            }
            Err(error) => Err(Error::io(path)(error)),
        }
    }

    /// Encrypts `secret`. What was sealed for one purpose does not open for another.
    pub fn seal(&self, purpose: &str, secret: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + secret.len() + AES_256_GCM.tag_len());
        sealed.push(SEAL_FORMAT);
        sealed.extend_from_slice(&nonce);
        let mut body = secret.to_vec();
        self.sealing_key(purpose)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(purpose.as_bytes()),
                &mut body,
            )
            .map_err(|_| Error::Vault("a secret could not be sealed".into()))?;
        sealed.extend_from_slice(&body);
        Ok(sealed)
    }

    /// Decrypts what `seal` gave for the same purpose.
    pub fn unseal(&self, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let wrong = || {
            Error::Vault(format!(
                "a stored secret ({purpose}) cannot be opened: it is damaged, or {MASTER_KEY_FILE} is not the one it was sealed with"
            ))
        };
        let (head, body) = sealed.split_at_checked(1 + NONCE_LEN).ok_or_else(wrong)?;
        if head[0] != SEAL_FORMAT {
            return Err(wrong());
        }
        let nonce = Nonce::try_assume_unique_for_key(&head[1..]).map_err(|_| wrong())?;
        let mut body = body.to_vec();
        let opened = self
            .sealing_key(purpose)?
            .open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut body)
            .map_err(|_| wrong())?;
        Ok(opened.to_vec())
    }

    /// A key for MACs and the like, one per purpose; the same on every start.
    pub fn derive_key(&self, purpose: &str) -> [u8; 32] {
        blake3::derive_key(&format!("mailwright 2026 derived key: {purpose}"), &self.master)
    }

    fn sealing_key(&self, purpose: &str) -> Result<LessSafeKey> {
        let key = blake3::derive_key(&format!("mailwright 2026 sealing key: {purpose}"), &self.master);
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| Error::Vault("no sealing key".into()))?;
        Ok(LessSafeKey::new(key))
    }
}

fn random(octets: &mut [u8]) -> Result<()> {
    aws_lc_rs::rand::fill(octets).map_err(|_| Error::Vault("the system gives no random numbers".into()))
}

/// Writes a new private file durably: a half-written key would lose every secret.
pub(crate) fn write_new(path: &Path, octets: &[u8]) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(Error::io(path))?;
    file.write_all(octets).and_then(|()| file.sync_all()).map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seals_for_one_purpose_only() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let sealed = vault.seal("dkim", b"secret").unwrap();
        assert_eq!(vault.unseal("dkim", &sealed).unwrap(), b"secret");
        assert_ne!(sealed, vault.seal("dkim", b"secret").unwrap());
        assert!(vault.unseal("relay", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[at] ^= 1;
            assert!(vault.unseal("dkim", &broken).is_err(), "octet {at}");
        }
        assert!(vault.unseal("dkim", &sealed[..5]).is_err());
    }

    #[test]
    fn the_key_is_private_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let first = Vault::open(dir.path()).unwrap();
        let again = Vault::open(dir.path()).unwrap();
        assert_eq!(first.derive_key("mac"), again.derive_key("mac"));
        assert_ne!(first.derive_key("mac"), first.derive_key("other"));
        let path = dir.path().join(MASTER_KEY_FILE);
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, b"short").unwrap();
        assert!(Vault::open(dir.path()).is_err());
    }
}
