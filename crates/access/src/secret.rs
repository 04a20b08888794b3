//! Random values that stand for a person or a program. Only their hash is stored.

use crate::error::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng;

/// Octets of randomness in cookies and tokens.
const SECRET_LEN: usize = 32;
/// Letters and digits of one-time passwords, without those that look alike.
const READABLE: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789A";
/// Length of a one-time password: 5 bits a character, 80 bits.
const ONE_TIME_LEN: usize = 16;

pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut octets = [0; N];
    rand::rngs::SysRng
        .try_fill_bytes(&mut octets)
        .map_err(|_| Error::Internal("the system gives no random numbers".into()))?;
    Ok(octets)
}

/// A new secret, in base64url, after `prefix`.
pub(crate) fn new(prefix: &str) -> Result<String> {
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random::<SECRET_LEN>()?)))
}

/// What is stored of a secret. It has 256 bits of randomness: a plain hash cannot be turned back.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    *blake3::hash(secret.as_bytes()).as_bytes()
}

/// A password for one use, in groups of four that can be read out.
pub(crate) fn one_time_password() -> Result<String> {
    let mut out = String::with_capacity(ONE_TIME_LEN + 3);
    for (at, octet) in random::<ONE_TIME_LEN>()?.into_iter().enumerate() {
        if at > 0 && at % 4 == 0 {
            out.push('-');
        }
        out.push(char::from(READABLE[usize::from(octet % 32)]));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_are_long() {
        let (one, two) = (new("mw_").unwrap(), new("mw_").unwrap());
        assert!(one != two && one.len() == 3 + 43 && one.starts_with("mw_"));
        assert_ne!(hash(&one), hash(&two));
        let password = one_time_password().unwrap();
        assert_eq!(password.len(), ONE_TIME_LEN + 3);
    }
}
