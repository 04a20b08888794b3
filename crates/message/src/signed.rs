//! A message whose fields and body are given as they stand, signed: what the program itself has to say to other programs,
//! such as a report of failed TLS. Mail to people is [`crate::compose`]d.

use std::borrow::Borrow;

use crate::dkim::{HeaderInput, KeyError, Signer};
use crate::header::{Fields, HeaderError, Words, check_header_text};
use crate::splice::BodyHash;

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum SignedError {
    /// A field's name or text cannot stand in a header.
    #[error("the field {name}: {error}")]
    Field {
        /// Which one.
        name: String,
        /// Why.
        error: HeaderError,
    },
    /// A key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Builds the message: `fields` in their order, `body` with CRLF line ends, signed by each of `signers` at `time_us`
/// (microseconds UTC). The caller keeps lines within 998 octets and everything in ASCII.
///
/// # Errors
/// A field that would break out of its line, or a key that fails.
pub fn signed<S: Borrow<Signer>>(
    fields: &[(&str, &str)],
    body: &[u8],
    signers: &[S],
    time_us: i64,
) -> Result<Vec<u8>, SignedError> {
    let mut written = Fields::new(Words::default());
    for (name, text) in fields {
        let refused = |error| SignedError::Field { name: (*name).to_owned(), error };
        if name.is_empty() || !name.bytes().all(|octet| octet.is_ascii_graphic() && octet != b':') {
            return Err(refused(HeaderError::Name));
        }
        check_header_text(text).map_err(refused)?;
        written.raw(name, text);
    }
    let mut hash = BodyHash::new();
    hash.lines(body);
    let hash = hash.finish();
    let mut bytes = Vec::with_capacity(written.bytes.len() + body.len() + 1_024 * signers.len() + 2);
    let input = HeaderInput::new(&written);
    for signer in signers {
        bytes.extend_from_slice(&signer.borrow().field(&input, &hash, time_us.div_euclid(1_000_000))?);
    }
    bytes.extend_from_slice(&written.bytes);
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DkimKey, KeyKind};

    #[test]
    fn fields_stand_as_given_behind_the_signatures() {
        let key = DkimKey::generate(KeyKind::Ed25519).unwrap();
        let signer = Signer::new("shop.example", "mw1", key).unwrap();
        let fields = [("From", "a@shop.example"), ("Subject", "x")];
        let message = signed(&fields, b"hello  \r\n\r\n", &[signer], 7_000_000).unwrap();
        let text = String::from_utf8(message).unwrap();
        assert!(text.starts_with("DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;"), "{text}");
        assert!(text.ends_with("\r\nFrom: a@shop.example\r\nSubject: x\r\n\r\nhello  \r\n\r\n"), "{text}");
        // SHA-256 of "hello\r\n": blanks and empty lines at the end do not count.
        assert!(text.contains("bh=zS7KNTV0HyeorkDDGwxB1AV6enuRKzO5rthkhdHIRnY="), "{text}");
    }

    #[test]
    fn a_field_that_breaks_out_is_refused() {
        let none: &[Signer] = &[];
        for field in [("Subject", "x\r\nBcc: y"), ("Sub ject", "x"), ("", "x")] {
            assert!(matches!(signed(&[field], b"", none, 0), Err(SignedError::Field { .. })), "{field:?}");
        }
    }
}
