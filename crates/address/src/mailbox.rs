//! One address: `local@domain`, RFC 5321 section 4.1.2 and RFC 6531, plus the carriers' old local parts.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::carriers::carrier;
use crate::domain::Domain;
use crate::error::AddressError;
use crate::limits::{ADDRESS_LEN_MAX, LOCAL_LEN_MAX};

/// An address as it was written. Two mailboxes are equal when their [`Mailbox::key`]s are.
#[derive(Debug, Clone)]
pub struct Mailbox {
    written: String,
    /// Without the quotes and backslashes of a quoted string.
    local: String,
    domain: Domain,
}

/// Reads one bare address (no display name, no angle brackets, no blanks around it).
pub fn parse(text: &str) -> Result<Mailbox, AddressError> {
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    // No address above this can be within the limit in any form: a domain's Unicode form takes at most four octets
    // for each of its ASCII form, and a quoted pair two for one.
    if text.len() > ADDRESS_LEN_MAX * 4 {
        return Err(AddressError::TooLong);
    }
    if text.chars().any(is_hidden) {
        return Err(AddressError::Control);
    }
    let (local, domain_text, quoted) = split(text)?;
    if domain_text.chars().any(char::is_whitespace) {
        return Err(AddressError::Space);
    }
    let domain = Domain::parse(domain_text)?;
    if local.len() > LOCAL_LEN_MAX {
        return Err(AddressError::LocalTooLong);
    }
    if !quoted && !is_dot_string(&local) && !is_legacy(&local, domain.ascii()) {
        return Err(AddressError::LocalDots);
    }
    let mailbox = Mailbox { written: text.to_owned(), local, domain };
    if mailbox.smtp().len() > ADDRESS_LEN_MAX {
        return Err(AddressError::TooLong);
    }
    Ok(mailbox)
}

impl Mailbox {
    /// Same as [`parse`].
    pub fn parse(text: &str) -> Result<Mailbox, AddressError> {
        parse(text)
    }

    /// The whole address as it was written: what is stored and shown.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The local part without any quoting.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The part after the `@`.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The domain's lower-case IDNA form.
    pub fn domain_ascii(&self) -> &str {
        self.domain.ascii()
    }

    /// What addresses are compared by: lower-cased local part, `@`, IDNA domain. Local parts are case-sensitive by
    /// the letter of RFC 5321 and by no receiver's practice. A local part that needs quotes keeps them here, so that
    /// a key is itself an address; the carriers' old forms stand bare, in whichever form they were given.
    pub fn key(&self) -> String {
        let lower = self.local.to_lowercase();
        let ascii = self.domain.ascii();
        if is_dot_string(&lower) || is_legacy(&lower, ascii) {
            format!("{lower}@{ascii}")
        } else {
            format!("{}@{ascii}", quote(&lower))
        }
    }

    /// The form for the envelope and for headers: the local part quoted unless it is a dot-string, the domain in
    /// ASCII.
    pub fn smtp(&self) -> String {
        let ascii = self.domain.ascii();
        if is_dot_string(&self.local) {
            format!("{}@{ascii}", self.local)
        } else {
            format!("{}@{ascii}", quote(&self.local))
        }
    }

    /// Whether the envelope needs the receiver's SMTPUTF8 (RFC 6531): the local part is not ASCII. The domain never
    /// needs it, since its ASCII form is sent.
    pub fn needs_smtputf8(&self) -> bool {
        !self.local.is_ascii()
    }
}

/// Local part (unquoted), domain text, and whether the local part was quoted.
fn split(text: &str) -> Result<(String, &str, bool), AddressError> {
    if let Some(rest) = text.strip_prefix('"') {
        let (local, domain) = split_quoted(rest)?;
        return Ok((local, domain, true));
    }
    let at = text.rfind('@').ok_or(AddressError::NoAt)?;
    let (local, domain) = (&text[..at], &text[at + 1..]);
    if local.is_empty() {
        return Err(AddressError::LocalEmpty);
    }
    if local.chars().any(char::is_whitespace) {
        return Err(AddressError::Space);
    }
    match local.chars().find(|c| *c != '.' && !is_atext(*c)) {
        Some(c) => Err(AddressError::LocalCharacter(c)),
        None => Ok((local.to_owned(), domain, false)),
    }
}

/// `rest` begins after the opening quote.
fn split_quoted(rest: &str) -> Result<(String, &str), AddressError> {
    let mut local = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                if local.is_empty() {
                    return Err(AddressError::LocalEmpty);
                }
                let domain = rest[at + 1..].strip_prefix('@').ok_or(AddressError::Quoting)?;
                return Ok((local, domain));
            }
            '\\' => match chars.next() {
                // RFC 5321 quoted-pairSMTP: a backslash and a printable ASCII character.
                Some((_, escaped)) if matches!(escaped, ' '..='~') => local.push(escaped),
                _ => return Err(AddressError::Quoting),
            },
            ' ' => local.push(' '),
            c if c.is_whitespace() => return Err(AddressError::Space),
            c => local.push(c),
        }
    }
    Err(AddressError::Quoting)
}

fn quote(local: &str) -> String {
    let mut out = String::with_capacity(local.len() + 2);
    out.push('"');
    for c in local.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// atext of RFC 5322, with RFC 6531's extension to all of UTF-8 (hidden characters were refused before).
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_whitespace())
}

fn is_dot_string(local: &str) -> bool {
    local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// Dots anywhere, as the carriers gave them out; the rest is ASCII atext, and not dots alone.
fn is_legacy(local: &str, domain_ascii: &str) -> bool {
    let shape = local.chars().all(|c| c == '.' || (c.is_ascii() && is_atext(c)));
    shape && local.chars().any(|c| c != '.') && carrier(domain_ascii).is_some()
}

/// Controls, and the invisible and direction-changing characters that make two addresses look alike.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}' | '\u{e0000}'..='\u{e007f}')
}

impl PartialEq for Mailbox {
    fn eq(&self, other: &Mailbox) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Mailbox {}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl std::str::FromStr for Mailbox {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Mailbox, AddressError> {
        parse(text)
    }
}

impl Serialize for Mailbox {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written)
    }
}

impl<'de> Deserialize<'de> for Mailbox {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Mailbox, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn written_key_and_smtp_forms() {
        for (written, key, smtp) in [
            ("John.Doe@Example.COM", "john.doe@example.com", "John.Doe@example.com"),
            ("o'neil+tag@example.com", "o'neil+tag@example.com", "o'neil+tag@example.com"),
            ("a@日本語.jp", "a@xn--wgv71a119e.jp", "a@xn--wgv71a119e.jp"),
            ("Örjan@example.com", "örjan@example.com", "Örjan@example.com"),
            ("\"plain\"@example.com", "plain@example.com", "plain@example.com"),
            ("\"a b\"@example.com", "\"a b\"@example.com", "\"a b\"@example.com"),
            ("\"a@B\"@example.com", "\"a@b\"@example.com", "\"a@B\"@example.com"),
            ("\"a\\\"b\"@example.com", "\"a\\\"b\"@example.com", "\"a\\\"b\"@example.com"),
            ("\"a..b\"@example.com", "\"a..b\"@example.com", "\"a..b\"@example.com"),
            ("A..b@docomo.ne.jp", "a..b@docomo.ne.jp", "\"A..b\"@docomo.ne.jp"),
            ("\"a..b\"@docomo.ne.jp", "a..b@docomo.ne.jp", "\"a..b\"@docomo.ne.jp"),
            ("x.@ezweb.ne.jp", "x.@ezweb.ne.jp", "\"x.\"@ezweb.ne.jp"),
            (".a@au.com", ".a@au.com", "\".a\"@au.com"),
            (".a.@d.vodafone.ne.jp", ".a.@d.vodafone.ne.jp", "\".a.\"@d.vodafone.ne.jp"),
        ] {
            let mailbox = parse(written).expect(written);
            assert_eq!(mailbox.as_str(), written);
            assert_eq!((mailbox.key().as_str(), mailbox.smtp().as_str()), (key, smtp), "{written}");
        }
        assert!(parse("Örjan@example.com").expect("valid").needs_smtputf8());
        assert!(!parse("a@日本語.jp").expect("valid").needs_smtputf8());
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        use AddressError::*;
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long_address = format!("{}@{}example", "a".repeat(64), "abcdefghi.".repeat(19));
        for (text, error) in [
            ("", Empty),
            ("plain", NoAt),
            ("x@-bad-.gmail.com.", DomainInvalid),
            ("@example.com", LocalEmpty),
            ("\"\"@example.com", LocalEmpty),
            ("a@", DomainEmpty),
            ("a b@example.com", Space),
            ("a@exam ple.com", Space),
            (" a@example.com", Space),
            ("a@example.com ", Space),
            ("a\u{3000}b@example.com", Space),
            ("a\tb@example.com", Control),
            ("a@example.com\r\nBcc: b@example.com", Control),
            ("a\u{0}@example.com", Control),
            ("a\u{7f}@example.com", Control),
            ("a\u{200b}@example.com", Control),
            ("\u{202e}a@example.com", Control),
            ("a@b@example.com", LocalCharacter('@')),
            ("a,b@example.com", LocalCharacter(',')),
            ("<a@example.com>", LocalCharacter('<')),
            ("a\"b@example.com", LocalCharacter('"')),
            ("a..b@example.com", LocalDots),
            (".a@example.com", LocalDots),
            ("a.@example.com", LocalDots),
            ("...@docomo.ne.jp", LocalDots),
            ("é..b@docomo.ne.jp", LocalDots),
            ("\"a@example.com", Quoting),
            ("\"a\"b@example.com", Quoting),
            ("\"a\\\u{e9}\"@example.com", Quoting),
            ("a@localhost", DomainTopLevel),
            (&long_local, LocalTooLong),
            (&long_address, TooLong),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
        assert!(parse(&format!("{}@example.com", "a".repeat(64))).is_ok());
        assert!(
            parse(&format!("{}@{}example", "a".repeat(54), "abcdefghi.".repeat(19))).is_ok(),
            "254 octets"
        );
        assert!(parse(&"a@".repeat(1_000_000)).is_err());
    }

    fn any_address() -> impl Strategy<Value = String> {
        let local = prop_oneof![
            "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~.-]{1,30}",
            "\"[ -~]{1,20}\"",
            "[a-zà-öА-Яあ-ん.]{1,12}",
            any::<String>()
        ];
        let domain = prop_oneof![
            Just("docomo.ne.jp".to_owned()),
            Just("q.vodafone.ne.jp".to_owned()),
            "[a-zA-Z0-9-]{1,10}\\.[a-z]{2,5}",
            "[あ-んa-z]{1,8}\\.jp",
            any::<String>()
        ];
        (local, domain).prop_map(|(local, domain)| format!("{local}@{domain}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn forms_are_stable(text in any_address()) {
            let Ok(mailbox) = parse(&text) else { return Ok(()) };
            prop_assert_eq!(mailbox.as_str(), text.as_str());
            let smtp = mailbox.smtp();
            prop_assert!(smtp.len() <= ADDRESS_LEN_MAX && !smtp.contains(['\r', '\n', '\0']));
            let sent = parse(&smtp).expect("the envelope form is an address");
            prop_assert_eq!(sent.key(), mailbox.key());
            prop_assert_eq!(sent.smtp(), smtp);
            // Lower-casing can lengthen a few letters past the limit; then the key is only compared, never sent.
            let key = mailbox.key();
            if mailbox.local().to_lowercase().len() <= LOCAL_LEN_MAX && key.len() <= ADDRESS_LEN_MAX {
                prop_assert_eq!(parse(&key).expect("a key is an address").key(), key);
            }
        }

        #[test]
        fn any_text_gives_a_value_or_an_error(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
