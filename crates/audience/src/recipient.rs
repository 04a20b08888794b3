//! The recipient: its fields, and the rules a value must keep whichever way it comes in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attribute;
use crate::error::{Error, Result};
use crate::limits::{ATTRIBUTES_MAX, FIELD_LEN_MAX};

/// A recipient's own fields after `email`, in the order of their columns everywhere in this room.
pub const FIELDS: [&str; 7] =
    ["first_name", "last_name", "language", "time_zone", "country", "city", "email_format"];

/// The values `email_format` can have; empty means that the delivery decides.
pub const EMAIL_FORMATS: [&str; 6] = ["", "text", "html", "docomo", "softbank", "au"];

/// The place of `email_format` in [`FIELDS`].
pub(crate) const EMAIL_FORMAT: usize = 6;

/// Attribute values by name (see [`crate::attribute_name`]). Every value is text, as a file gives it; filters
/// compare it as a number or a date where it is one.
pub type Attributes = BTreeMap<String, String>;

/// One person who can be written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recipient {
    /// Never given twice.
    pub id: i64,
    /// The address as written.
    pub email: String,
    /// What the address is compared by: lower case, the domain in IDNA's ASCII form.
    pub email_key: String,
    /// The part of `email_key` behind the `@`.
    pub domain: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// A language tag, as the source gave it.
    pub language: String,
    /// An IANA zone name, as the source gave it.
    pub time_zone: String,
    /// A country, as the source gave it.
    pub country: String,
    /// A city.
    pub city: String,
    /// One of [`EMAIL_FORMATS`].
    pub email_format: String,
    /// Everything else that is known.
    pub attributes: Attributes,
    /// The person does not want to be contacted at all.
    pub denylisted: bool,
    /// Microseconds UTC.
    pub created_at: i64,
    /// Microseconds UTC; an import that changes nothing leaves it.
    pub updated_at: i64,
}

impl Recipient {
    /// The value of a field of [`FIELDS`] by its place.
    pub(crate) fn field(&self, index: usize) -> &str {
        match index {
            0 => &self.first_name,
            1 => &self.last_name,
            2 => &self.language,
            3 => &self.time_zone,
            4 => &self.country,
            5 => &self.city,
            _ => &self.email_format,
        }
    }
}

/// A recipient to be created. Fields that are not given are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewRecipient {
    /// The address; the only thing that is needed.
    pub email: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// A language tag.
    pub language: String,
    /// An IANA zone name.
    #[serde(alias = "timezone")]
    pub time_zone: String,
    /// A country.
    pub country: String,
    /// A city.
    pub city: String,
    /// One of [`EMAIL_FORMATS`].
    pub email_format: String,
    /// Everything else.
    pub attributes: Attributes,
    /// The person does not want to be contacted.
    pub denylisted: bool,
}

/// A change to a recipient: only what is `Some` changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecipientEdit {
    /// Another address.
    pub email: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// A language tag.
    pub language: Option<String>,
    /// An IANA zone name.
    #[serde(alias = "timezone")]
    pub time_zone: Option<String>,
    /// A country.
    pub country: Option<String>,
    /// A city.
    pub city: Option<String>,
    /// One of [`EMAIL_FORMATS`].
    pub email_format: Option<String>,
    /// Attributes to set; `None` as the value removes one. Those not named stay.
    pub attributes: BTreeMap<String, Option<String>>,
    /// Sets or clears the denylist flag.
    pub denylisted: Option<bool>,
}

/// An address that passed the grammar, in the three forms that a row has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub email: String,
    pub key: String,
    pub domain: String,
}

impl Address {
    /// Reads an address as a person or a file wrote it; outer blanks (also U+3000) do not count.
    pub fn parse(written: &str) -> Result<Address> {
        let email = written.trim();
        if email.is_empty() {
            return Err(Error::invalid("email", "there is no address"));
        }
        let mailbox = address::parse(email).map_err(|e| Error::invalid("email", e.to_string()))?;
        let key = mailbox.key();
        let domain = key.rsplit('@').next().unwrap_or_default().to_owned();
        Ok(Address { email: email.to_owned(), key, domain })
    }
}

/// Why a value of the field at `index` in [`FIELDS`] cannot be kept, or `None`. Line breaks and tabs are let through,
/// because [`clean`] makes blanks of them.
pub(crate) fn fault(index: usize, value: &str) -> Option<String> {
    if value.len() > FIELD_LEN_MAX {
        return Some(format!("longer than {FIELD_LEN_MAX} bytes"));
    }
    if index == EMAIL_FORMAT && !EMAIL_FORMATS.contains(&clean(index, value).as_str()) {
        return Some("must be text, html, docomo, softbank, au or empty".to_owned());
    }
    attribute::control(value, |c| matches!(c, '\n' | '\r' | '\t'))
}

/// A field's value as it is stored: without outer blanks, in one line; the format in lower case.
pub(crate) fn clean(index: usize, value: &str) -> String {
    let value = value.trim();
    if index == EMAIL_FORMAT {
        return value.to_ascii_lowercase();
    }
    if !value.contains(['\n', '\r', '\t']) {
        return value.to_owned();
    }
    let mut line = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\n' | '\r' | '\t' if line.ends_with(' ') => {}
            '\n' | '\r' | '\t' => line.push(' '),
            c => line.push(c),
        }
    }
    line
}

/// Checks and cleans a field that came by a form or an API.
pub(crate) fn checked(index: usize, value: &str) -> Result<String> {
    match fault(index, value) {
        Some(reason) => Err(Error::invalid(FIELDS[index], reason)),
        None => Ok(clean(index, value)),
    }
}

/// Checks and cleans one attribute that came by a form or an API.
pub(crate) fn checked_attribute(name: &str, value: &str) -> Result<(String, String)> {
    let name = attribute::attribute_name(name)?;
    match attribute::fault(value) {
        Some(reason) => Err(Error::invalid(name, reason)),
        None => Ok((name, attribute::clean(value))),
    }
}

/// Refuses more attributes than one recipient can have.
pub(crate) fn check_attribute_count(attributes: &Attributes) -> Result<()> {
    if attributes.len() > ATTRIBUTES_MAX {
        return Err(Error::invalid("attributes", format!("more than {ATTRIBUTES_MAX}")));
    }
    Ok(())
}

/// The stored form of attributes: a JSON object in the order of the names. One form, so that equal attributes are equal
/// texts on SQLite.
pub(crate) fn attributes_json(attributes: &Attributes) -> String {
    let mut json = String::with_capacity(2 + attributes.len() * 24);
    json.push('{');
    for (name, value) in attributes {
        if json.len() > 1 {
            json.push(',');
        }
        push_json_text(&mut json, name);
        json.push(':');
        push_json_text(&mut json, value);
    }
    json.push('}');
    json
}

/// Appends a JSON text: only what must be escaped is.
pub(crate) fn push_json_text(json: &mut String, text: &str) {
    json.push('"');
    if text.bytes().any(|b| b < 0x20 || b == b'"' || b == b'\\') {
        for c in text.chars() {
            match c {
                '"' => json.push_str("\\\""),
                '\\' => json.push_str("\\\\"),
                '\n' => json.push_str("\\n"),
                '\r' => json.push_str("\\r"),
                '\t' => json.push_str("\\t"),
                c if u32::from(c) < 0x20 => json.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => json.push(c),
            }
        }
    } else {
        json.push_str(text);
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_one_line_without_outer_blanks() {
        assert_eq!(clean(0, "\u{3000} Ann\r\nMarie\t"), "Ann Marie");
        assert_eq!(clean(EMAIL_FORMAT, " HTML "), "html");
        assert_eq!(fault(EMAIL_FORMAT, " HTML "), None);
        assert!(fault(EMAIL_FORMAT, "rtf").is_some());
        assert!(fault(0, "a\u{7}").unwrap().contains("U+0007"));
        assert_eq!(fault(0, &"x".repeat(FIELD_LEN_MAX)), None);
        assert!(fault(0, &"x".repeat(FIELD_LEN_MAX + 1)).unwrap().contains("1024"));
    }

    #[test]
    fn json_is_what_serde_reads() {
        let attributes: Attributes =
            [("b", "x\"y\\\n\u{1}"), ("a", "é東\t")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let json = attributes_json(&attributes);
        assert!(json.starts_with("{\"a\":"));
        assert_eq!(serde_json::from_str::<Attributes>(&json).unwrap(), attributes);
        assert_eq!(serde_json::to_string(&attributes).unwrap(), json);
    }
}
