//! Host names that mail can be sent to, as written and in their IDNA form (UTS 46, non-transitional, STD3 letters).

use std::fmt;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::AddressError;
use crate::limits::{DOMAIN_LEN_MAX, LABEL_LEN_MAX};

/// A domain of two labels or more. Two domains are equal when their ASCII forms are.
#[derive(Debug, Clone)]
pub struct Domain {
    written: Box<str>,
    ascii: Box<str>,
}

impl Domain {
    /// Reads a domain. A trailing dot, a domain literal, a single label and a last label of digits are refused: none
    /// of them is found in a working mail address, and each is a usual slip in a file.
    pub fn parse(text: &str) -> Result<Domain, AddressError> {
        let ascii = to_ascii(text)?;
        check_host_name(&ascii)?;
        Ok(Domain { written: text.into(), ascii: ascii.into() })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The lower-case IDNA (A-label) form: what is looked up, compared and sent.
    pub fn ascii(&self) -> &str {
        &self.ascii
    }

    /// The form for people: Unicode letters where the ASCII form hides some.
    pub fn unicode(&self) -> String {
        Uts46::new()
            .to_unicode(self.ascii.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast)
            .0
            .into_owned()
    }
}

/// Lower-case ASCII form, by a short way for the domains that are ASCII already (nearly all).
fn to_ascii(text: &str) -> Result<String, AddressError> {
    if text.is_empty() {
        return Err(AddressError::DomainEmpty);
    }
    if text.starts_with('[') {
        return Err(AddressError::DomainLiteral);
    }
    // A Unicode label never gets shorter by more than UTF-8's four octets a letter; the exact limit is checked on
    // the ASCII form.
    if text.len() > DOMAIN_LEN_MAX * 4 {
        return Err(AddressError::DomainTooLong);
    }
    let lower = text.to_ascii_lowercase();
    let plain = lower.is_ascii() && !lower.split('.').any(|label| label.starts_with("xn--"));
    if plain {
        return Ok(lower);
    }
    Uts46::new()
        .to_ascii(text.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Ignore)
        .map(|ascii| ascii.into_owned())
        .map_err(|_| AddressError::DomainInvalid)
}

/// The preferred name syntax (RFC 1123 section 2.1: a label may begin with a digit), plus our own demand for a
/// top-level domain.
fn check_host_name(ascii: &str) -> Result<(), AddressError> {
    if ascii.len() > DOMAIN_LEN_MAX {
        return Err(AddressError::DomainTooLong);
    }
    let mut labels = 0;
    let mut last = "";
    for label in ascii.split('.') {
        if label.len() > LABEL_LEN_MAX {
            return Err(AddressError::DomainTooLong);
        }
        let edges = !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
        if !edges || !label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
            return Err(AddressError::DomainInvalid);
        }
        labels += 1;
        last = label;
    }
    if labels < 2 || last.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(AddressError::DomainTopLevel);
    }
    Ok(())
}

impl PartialEq for Domain {
    fn eq(&self, other: &Domain) -> bool {
        self.ascii == other.ascii
    }
}

impl Eq for Domain {}

impl std::hash::Hash for Domain {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.ascii.hash(state);
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl std::str::FromStr for Domain {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Domain, AddressError> {
        Domain::parse(text)
    }
}

impl Serialize for Domain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written)
    }
}

impl<'de> Deserialize<'de> for Domain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Domain, D::Error> {
        let text = String::deserialize(deserializer)?;
        Domain::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ascii_form_is_lower_case_and_idna() {
        for (written, ascii) in [
            ("Example.COM", "example.com"),
            ("3com.example", "3com.example"),
            ("日本語.jp", "xn--wgv71a119e.jp"),
            ("ＥＸＡＭＰＬＥ。com", "example.com"),
            ("Bücher.example", "xn--bcher-kva.example"),
            ("straße.de", "xn--strae-oqa.de"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("a.b-c.d--e.example", "a.b-c.d--e.example"),
        ] {
            let domain = Domain::parse(written).expect(written);
            assert_eq!((domain.ascii(), domain.as_str()), (ascii, written));
        }
        assert_eq!(
            Domain::parse("xn--wgv71a119e.jp").map(|domain| domain.unicode()),
            Ok("日本語.jp".to_owned())
        );
        assert_eq!(Domain::parse("bücher.example"), Domain::parse("xn--bcher-kva.example"));
    }

    #[test]
    fn what_is_no_host_name_is_refused() {
        use AddressError::*;
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = format!("{}example", "abcdefghi.".repeat(25));
        for (text, error) in [
            ("", DomainEmpty),
            ("[192.0.2.1]", DomainLiteral),
            ("localhost", DomainTopLevel),
            ("192.0.2.1", DomainTopLevel),
            ("-bad-.gmail.com.", DomainInvalid),
            ("-bad.example", DomainInvalid),
            ("bad-.example", DomainInvalid),
            ("gmail.com.", DomainInvalid),
            (".gmail.com", DomainInvalid),
            ("gmail..com", DomainInvalid),
            ("under_score.example", DomainInvalid),
            ("a b.example", DomainInvalid),
            ("a\u{0}b.example", DomainInvalid),
            ("xn--zzzzzzzz--9.example", DomainInvalid),
            ("日本_語.jp", DomainInvalid),
            (&long_label, DomainTooLong),
            (&long_name, DomainTooLong),
        ] {
            assert_eq!(Domain::parse(text), Err(error), "{text:?}");
        }
        assert!(Domain::parse(&format!("{}.example", "a".repeat(63))).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_gives_a_value_or_an_error(text in any::<String>()) {
            if let Ok(domain) = Domain::parse(&text) {
                prop_assert!(domain.ascii().is_ascii() && domain.ascii().len() <= DOMAIN_LEN_MAX);
                prop_assert_eq!(Domain::parse(domain.ascii()).map(|again| again.ascii().to_owned()), Ok(domain.ascii().to_owned()));
            }
        }

        #[test]
        fn the_short_way_and_idna_agree(text in "[a-zA-Z0-9-]{1,12}(\\.[a-zA-Z0-9-]{1,12}){1,3}") {
            let long_way = Uts46::new()
                .to_ascii(text.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
                .map(|ascii| ascii.into_owned());
            match Domain::parse(&text) {
                Ok(domain) => prop_assert_eq!(long_way.expect("accepted by both"), domain.ascii()),
                Err(AddressError::DomainTopLevel) => {}
                Err(_) => prop_assert!(long_way.is_err()),
            }
        }
    }
}
