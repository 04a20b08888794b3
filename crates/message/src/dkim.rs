//! DKIM (RFC 6376, RFC 8463): keys, their DNS value, and signing with relaxed/relaxed.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::header::Fields;

/// Longest character-string in a TXT record (RFC 1035 section 3.3).
const TXT_STRING_LEN_MAX: usize = 255;
/// Octets of a signature's field beside its list and names, to size its buffer.
const FIELD_LEN: usize = 640;
/// Where the lists in our own field are broken.
const FOLD_AT: usize = 72;

/// Signed once more than they occur, so that none can be added on the way without breaking the signature.
const OVERSIGNED: [&str; 14] = [
    "From",
    "Sender",
    "Reply-To",
    "Subject",
    "Date",
    "To",
    "Cc",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
];

/// Kind of a signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// RSA with 2048 bits, `rsa-sha256`: what every receiver can check.
    Rsa,
    /// Ed25519, `ed25519-sha256`: 30 times faster, not yet checked by all.
    Ed25519,
}

impl KeyKind {
    /// As in the record's `k=`.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyKind::Rsa => "rsa",
            KeyKind::Ed25519 => "ed25519",
        }
    }
}

/// A key that cannot be made or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The system's random source or the library failed.
    #[error("the key could not be made")]
    Generate,
    /// Not a PKCS #8 private key of this kind.
    #[error("not a PKCS #8 {} key", .0.as_str())]
    Read(KeyKind),
    /// Domain or selector cannot stand in a signature.
    #[error("domain or selector cannot stand in a signature")]
    Name,
}

/// A private signing key. Kept encrypted by its owner; never printed.
pub struct DkimKey {
    kind: KeyKind,
    pair: Pair,
}

enum Pair {
    Rsa(Box<rsa::KeyPair>),
    Ed25519(Ed25519KeyPair),
}

impl std::fmt::Debug for DkimKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DkimKey({})", self.kind.as_str())
    }
}

impl DkimKey {
    /// Makes a new key. RSA takes some 100 ms: not on an async worker.
    ///
    /// # Errors
    /// [`KeyError::Generate`].
    pub fn generate(kind: KeyKind) -> Result<DkimKey, KeyError> {
        let pair = match kind {
            KeyKind::Rsa => {
                Pair::Rsa(Box::new(rsa::KeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Generate)?))
            }
            KeyKind::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate().map_err(|_| KeyError::Generate)?),
        };
        Ok(DkimKey { kind, pair })
    }

    /// Reads a private key in PKCS #8 DER.
    ///
    /// # Errors
    /// [`KeyError::Read`].
    pub fn from_pkcs8(kind: KeyKind, der: &[u8]) -> Result<DkimKey, KeyError> {
        let refuse = |_| KeyError::Read(kind);
        let pair = match kind {
            KeyKind::Rsa => Pair::Rsa(Box::new(rsa::KeyPair::from_pkcs8(der).map_err(refuse)?)),
            KeyKind::Ed25519 => {
                Pair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(refuse)?)
            }
        };
        Ok(DkimKey { kind, pair })
    }

    /// Kind of this key.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The private key as PKCS #8 DER, to be stored encrypted.
    ///
    /// # Errors
    /// [`KeyError::Generate`] when the library cannot write it.
    pub fn to_pkcs8(&self) -> Result<Vec<u8>, KeyError> {
        let der: Pkcs8V1Der<'static> = match &self.pair {
            Pair::Rsa(pair) => pair.as_der(),
            Pair::Ed25519(pair) => pair.as_der(),
        }
        .map_err(|_| KeyError::Generate)?;
        Ok(der.as_ref().to_vec())
    }

    /// Value of the TXT record at `selector._domainkey.domain`. RSA as SubjectPublicKeyInfo, which all verifiers
    /// read; Ed25519 as its 32 octets (RFC 8463 section 4).
    ///
    /// # Errors
    /// [`KeyError::Generate`] when the library cannot write the public key.
    pub fn txt_value(&self) -> Result<String, KeyError> {
        let public = match &self.pair {
            Pair::Rsa(pair) => {
                let der: PublicKeyX509Der<'static> =
                    pair.public_key().as_der().map_err(|_| KeyError::Generate)?;
                STANDARD.encode(der.as_ref())
            }
            Pair::Ed25519(pair) => STANDARD.encode(pair.public_key().as_ref()),
        };
        Ok(format!("v=DKIM1; k={}; p={public}", self.kind.as_str()))
    }

    fn sign(&self, input: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            Pair::Rsa(pair) => {
                // The random source serves blinding only: the signature is the same each time (RFC 8017 section 8.2).
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature)
                    .map_err(|_| KeyError::Generate)?;
                Ok(signature)
            }
            // RFC 8463 section 3: Ed25519 signs the SHA-256 of the input.
            Pair::Ed25519(pair) => Ok(pair.sign(digest(&SHA256, input).as_ref()).as_ref().to_vec()),
        }
    }
}

/// A TXT value in the pieces of at most 255 octets that DNS wants.
pub fn txt_strings(value: &str) -> Vec<String> {
    let mut strings = Vec::new();
    let mut current = String::new();
    for c in value.chars() {
        if current.len() + c.len_utf8() > TXT_STRING_LEN_MAX {
            strings.push(std::mem::take(&mut current));
        }
        current.push(c);
    }
    strings.push(current);
    strings
}

/// Signs for one domain and selector.
#[derive(Debug)]
pub struct Signer {
    domain: String,
    selector: String,
    key: DkimKey,
}

impl Signer {
    /// A signer for `selector._domainkey.domain`; both in their ASCII form.
    ///
    /// # Errors
    /// [`KeyError::Name`] when one of them is empty or has characters that no host name has.
    pub fn new(domain: &str, selector: &str, key: DkimKey) -> Result<Signer, KeyError> {
        let good = |name: &str| {
            !name.is_empty()
                && name.len() <= 253
                && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._".contains(&octet))
        };
        if good(domain) && good(selector) {
            Ok(Signer { domain: domain.to_ascii_lowercase(), selector: selector.to_ascii_lowercase(), key })
        } else {
            Err(KeyError::Name)
        }
    }

    /// The domain that answers for the message, `d=`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The selector, `s=`.
    pub fn selector(&self) -> &str {
        &self.selector
    }

    /// Kind of the key.
    pub fn kind(&self) -> KeyKind {
        self.key.kind
    }

    /// Value of the TXT record that must stand in the DNS: [`DkimKey::txt_value`].
    ///
    /// # Errors
    /// [`KeyError::Generate`] when the library cannot write the public key.
    pub fn txt_value(&self) -> Result<String, KeyError> {
        self.key.txt_value()
    }

    /// The whole DKIM-Signature field with its CRLF.
    pub(crate) fn field(
        &self,
        input: &HeaderInput,
        body_hash: &[u8],
        time_s: i64,
    ) -> Result<Vec<u8>, KeyError> {
        let mut field =
            Vec::with_capacity(FIELD_LEN + input.list.len() + self.domain.len() + self.selector.len());
        for piece in [
            "DKIM-Signature: v=1; a=",
            self.key.kind.as_str(),
            "-sha256; c=relaxed/relaxed;\r\n\td=",
            &self.domain,
            "; s=",
            &self.selector,
            ";\r\n\tt=",
            &time_s.to_string(),
            "; ",
            &input.list,
            ";\r\n\tbh=",
            &STANDARD.encode(body_hash),
            ";\r\n\tb=",
        ] {
            field.extend_from_slice(piece.as_bytes());
        }
        let mut signed = Vec::with_capacity(input.canonical.len() + field.len());
        signed.extend_from_slice(&input.canonical);
        relaxed_header(&mut signed, &field);
        signed.truncate(signed.len() - 2); // RFC 6376 section 3.7: the own field without its CRLF
        let signature = STANDARD.encode(self.key.sign(&signed)?);
        for (number, line) in signature.as_bytes().chunks(FOLD_AT).enumerate() {
            if number > 0 {
                field.extend_from_slice(b"\r\n\t ");
            }
            field.extend_from_slice(line);
        }
        field.extend_from_slice(b"\r\n");
        Ok(field)
    }
}

/// What all signers of a message share: the `h=` list and the canonical form of the fields it names.
pub(crate) struct HeaderInput {
    list: String,
    canonical: Vec<u8>,
}

impl HeaderInput {
    /// Every field of ours is signed. A name that occurs twice is signed from the last one up (RFC 6376 section 5.4.2).
    pub fn new(fields: &Fields) -> HeaderInput {
        let mut canonical = Vec::with_capacity(fields.bytes.len() + 256);
        let mut names: Vec<&str> = Vec::with_capacity(fields.index.len() + OVERSIGNED.len());
        for (name, range) in fields.index.iter().rev() {
            let name = &fields.bytes[range.start..range.start + name];
            names.push(std::str::from_utf8(name).unwrap_or_default());
            relaxed_header(&mut canonical, &fields.bytes[range.clone()]);
        }
        names.extend(OVERSIGNED);
        let mut list = String::from("h=");
        let mut column = 40; // behind t=…; on its line
        for (number, name) in names.iter().enumerate() {
            if number > 0 {
                list.push(':');
            }
            if column + name.len() > FOLD_AT {
                list.push_str("\r\n\t ");
                column = 0;
            }
            list.push_str(name);
            column += name.len() + 1;
        }
        HeaderInput { list, canonical }
    }
}

/// RFC 6376 section 3.4.2: lower-case name, unfolded, runs of blanks are one, none around the colon or at the end.
fn relaxed_header(out: &mut Vec<u8>, field: &[u8]) {
    let colon = field.iter().position(|octet| *octet == b':').unwrap_or(field.len());
    out.extend(field[..colon].iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    let is_blank = |octet: &u8| matches!(octet, b' ' | b'\t' | b'\r' | b'\n');
    let past_blanks = |text: &'_ [u8]| text.iter().take_while(|octet| is_blank(octet)).count();
    let mut rest = field.get(colon + 1..).unwrap_or_default();
    rest = &rest[past_blanks(rest)..];
    while !rest.is_empty() {
        let word = rest.iter().position(is_blank).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..word]);
        rest = &rest[word..];
        rest = &rest[past_blanks(rest)..];
        if !rest.is_empty() {
            out.push(b' ');
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_stored_and_read_back() {
        for kind in [KeyKind::Rsa, KeyKind::Ed25519] {
            let key = DkimKey::generate(kind).unwrap();
            let again = DkimKey::from_pkcs8(kind, &key.to_pkcs8().unwrap()).unwrap();
            assert_eq!(key.txt_value().unwrap(), again.txt_value().unwrap());
            assert_eq!(key.sign(b"x").unwrap(), again.sign(b"x").unwrap());
            assert!(DkimKey::from_pkcs8(kind, b"no key").is_err());
            assert!(!format!("{key:?}").contains("priv"));
        }
    }

    #[test]
    fn the_record_is_cut_for_dns() {
        let value = DkimKey::generate(KeyKind::Rsa).unwrap().txt_value().unwrap();
        let strings = txt_strings(&value);
        assert!(strings.len() == 2 && strings.iter().all(|string| string.len() <= 255));
        assert_eq!(strings.concat(), value);
        let short = DkimKey::generate(KeyKind::Ed25519).unwrap().txt_value().unwrap();
        assert_eq!(txt_strings(&short), std::slice::from_ref(&short));
    }

    #[test]
    fn a_header_in_relaxed_form() {
        let mut out = Vec::new();
        relaxed_header(&mut out, b"SubJect:  a \t b\r\n  c \r\n");
        assert_eq!(out, b"subject:a b c\r\n");
    }

    #[test]
    fn names_that_would_break_the_tag_list_are_refused() {
        let key = || DkimKey::generate(KeyKind::Ed25519).unwrap();
        assert!(Signer::new("shop.example", "mw1", key()).is_ok());
        assert!(Signer::new("shop.example; x=1", "mw1", key()).is_err());
        assert!(Signer::new("shop.example", "", key()).is_err());
    }
}
