//! `Name <address>` as people write it for a sender or a reply address.

use std::fmt;

use crate::error::AddressError;
use crate::limits::{ADDRESS_LEN_MAX, NAME_LEN_MAX};
use crate::mailbox::{Mailbox, parse};

/// An address with the name shown beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedMailbox {
    /// The display name, without quotes; never empty, no control character.
    pub name: Option<String>,
    /// The address.
    pub mailbox: Mailbox,
}

/// Reads `a@b`, `<a@b>`, `Name <a@b>` or `"Name, quoted" <a@b>`, with blanks around any part. An unquoted name may
/// hold what people write (commas, dots), but no `@`, quote or angle bracket: those are slips, such as two addresses.
pub fn parse_named(text: &str) -> Result<NamedMailbox, AddressError> {
    let text = text.trim();
    // A quoted name takes at most two octets for one, an address four (see `parse`).
    if text.len() > NAME_LEN_MAX * 2 + ADDRESS_LEN_MAX * 4 {
        return Err(AddressError::TooLong);
    }
    let Some(inner) = text.strip_suffix('>') else {
        return Ok(NamedMailbox { name: None, mailbox: parse(text)? });
    };
    let (name_text, address) = split(inner)?;
    Ok(NamedMailbox { name: read_name(name_text.trim())?, mailbox: parse(address.trim())? })
}

/// The text before the opening bracket and the one after it. A bracket inside a quoted name does not count.
fn split(inner: &str) -> Result<(&str, &str), AddressError> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => return Ok((&inner[..at], &inner[at + 1..])),
            _ => {}
        }
    }
    Err(AddressError::Named)
}

fn read_name(text: &str) -> Result<Option<String>, AddressError> {
    if text.chars().any(char::is_control) {
        return Err(AddressError::Control);
    }
    let name = match text.strip_prefix('"') {
        None if text.contains(['"', '@', '>']) => return Err(AddressError::Named),
        None => text.to_owned(),
        Some(rest) => unquote(rest.strip_suffix('"').ok_or(AddressError::Named)?)?,
    };
    let name = name.trim();
    match name.len() {
        0 => Ok(None),
        1..=NAME_LEN_MAX => Ok(Some(name.to_owned())),
        _ => Err(AddressError::TooLong),
    }
}

fn unquote(inner: &str) -> Result<String, AddressError> {
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next().ok_or(AddressError::Named)?),
            '"' => return Err(AddressError::Named),
            c => out.push(c),
        }
    }
    Ok(out)
}

impl fmt::Display for NamedMailbox {
    /// The form that [`parse_named`] reads back: the name always quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            None => write!(f, "{}", self.mailbox),
            Some(name) => {
                let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
                write!(f, "\"{escaped}\" <{}>", self.mailbox)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<(Option<String>, String), AddressError> {
        parse_named(text).map(|named| (named.name, named.mailbox.as_str().to_owned()))
    }

    #[test]
    fn forms_people_write() {
        let with = |name: &str, address: &str| Ok((Some(name.to_owned()), address.to_owned()));
        assert_eq!(read("a@b.example"), Ok((None, "a@b.example".to_owned())));
        assert_eq!(read(" <a@b.example> "), Ok((None, "a@b.example".to_owned())));
        assert_eq!(read("Example Shop <news@shop.example>"), with("Example Shop", "news@shop.example"));
        assert_eq!(read("Shop, Inc. < news@shop.example >"), with("Shop, Inc.", "news@shop.example"));
        assert_eq!(read("\"A \\\"B\\\" <C>\" <a@b.example>"), with("A \"B\" <C>", "a@b.example"));
        assert_eq!(read("日本の店 <a@日本語.jp>"), with("日本の店", "a@日本語.jp"));
        assert_eq!(read("X <\"a>b\"@b.example>"), with("X", "\"a>b\"@b.example"));
    }

    #[test]
    fn slips_are_refused() {
        for text in [
            "",
            "Name",
            "Name <",
            "Name a@b.example>",
            "a@b.example, Name <c@d.example>",
            "\"Name <a@b.example>",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
        assert_eq!(read("Na\r\nBcc: x@y.example <a@b.example>"), Err(AddressError::Control));
        assert_eq!(
            read(&format!("{} <a@b.example>", "n".repeat(NAME_LEN_MAX + 1))),
            Err(AddressError::TooLong)
        );
        assert!(read(&format!("{} <a@b.example>", "n".repeat(NAME_LEN_MAX))).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(name in "\\PC{0,40}") {
            let mailbox = parse("a@b.example").expect("valid");
            let name = Some(name.trim().to_owned()).filter(|name| !name.is_empty() && name.len() <= NAME_LEN_MAX);
            let named = NamedMailbox { name, mailbox };
            prop_assert_eq!(parse_named(&named.to_string()), Ok(named));
        }

        #[test]
        fn any_text_gives_a_value_or_an_error(text in any::<String>()) {
            let _ = parse_named(&text);
        }
    }
}
