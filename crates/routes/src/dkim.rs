//! DKIM keys as this room keeps them: numbered selectors, the private half sealed, the public half as published.

use message::{DkimKey, KeyKind, Signer};

use crate::error::{Error, Result};
use crate::rotation::KeyStage;

/// Under which purpose the vault seals DKIM keys.
pub(crate) const VAULT_PURPOSE: &str = "dkim";

/// The two kinds that sign side by side. Ed25519 (RFC 8463) is added to RSA and never replaces it, because
/// large receivers still rely on RSA.
pub(crate) const KINDS: [KeyKind; 2] = [KeyKind::Rsa, KeyKind::Ed25519];

/// The kind that a word in the database names.
pub(crate) fn kind_of(word: &str) -> Option<KeyKind> {
    KINDS.into_iter().find(|kind| kind.as_str() == word)
}

/// The selector of generation `n`: `mw1` for RSA, `mw1e` for Ed25519.
pub(crate) fn selector(kind: KeyKind, generation: u32) -> String {
    match kind {
        KeyKind::Rsa => format!("mw{generation}"),
        KeyKind::Ed25519 => format!("mw{generation}e"),
    }
}

/// The public half of a stored key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    /// The `s=` tag.
    pub(crate) selector: String,
    /// RSA or Ed25519.
    pub(crate) kind: KeyKind,
    /// The TXT value at `SELECTOR._domainkey.DOMAIN`.
    pub(crate) txt: String,
    /// Where it is in its life.
    pub(crate) stage: KeyStage,
}

/// A new key in octets; the private half is PKCS#8 and leaves this room only as a signer.
pub(crate) struct NewKey {
    pub(crate) kind: KeyKind,
    pub(crate) private: Vec<u8>,
    pub(crate) txt: String,
}

/// Makes one key of each kind. RSA takes 50 to 500 ms of CPU: call it on a blocking thread.
pub(crate) fn generate_pair() -> Result<Vec<NewKey>> {
    KINDS.into_iter().map(generate).collect()
}

fn generate(kind: KeyKind) -> Result<NewKey> {
    let key = DkimKey::generate(kind).map_err(Error::KeyGeneration)?;
    Ok(NewKey {
        kind,
        private: key.to_pkcs8().map_err(Error::KeyGeneration)?,
        txt: key.txt_value().map_err(Error::KeyGeneration)?,
    })
}

/// A signer out of the stored octets.
pub(crate) fn signer(
    kind: KeyKind,
    domain: &str,
    selector: &str,
    private: &[u8],
) -> Result<Signer, message::KeyError> {
    Signer::new(domain, selector, DkimKey::from_pkcs8(kind, private)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_pair_signs_and_is_published() {
        let keys = generate_pair().expect("makes keys");
        assert!(keys[0].txt.starts_with("v=DKIM1; k=rsa; p=MIIB"), "{}", keys[0].txt);
        assert!(keys[1].txt.starts_with("v=DKIM1; k=ed25519; p="));
        for key in keys {
            let made = signer(key.kind, "shop.example", &selector(key.kind, 1), &key.private).expect("reads");
            assert_eq!((made.domain(), made.kind()), ("shop.example", key.kind));
        }
    }

    #[test]
    fn selectors_are_short_and_apart() {
        assert_eq!(selector(KeyKind::Rsa, 1), "mw1");
        assert_eq!(selector(KeyKind::Ed25519, 1), "mw1e");
        assert_eq!(kind_of("ed25519"), Some(KeyKind::Ed25519));
        assert_eq!(kind_of("dsa"), None);
    }
}
