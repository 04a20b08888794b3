//! Attribute names and values: one rule for every door they come in by.

use crate::error::{Error, Result};
use crate::limits::{ATTRIBUTE_LEN_MAX, ATTRIBUTE_NAME_LEN_MAX};

/// The name under which an attribute is stored, for a column or a key as a person wrote it.
///
/// A template, a filter and an export all use this one name, so it is made an identifier here, once: letters and
/// digits of any script and `_` stay, every other run of characters becomes one `_`, and a leading digit gets a `_`
/// in front. `Loyalty tier (2026)` is `Loyalty_tier_2026`. Upper case stays: attributes are what the file says.
///
/// # Errors
/// A name without any letter or digit, or longer than [`ATTRIBUTE_NAME_LEN_MAX`].
pub fn attribute_name(written: &str) -> Result<String> {
    let mut name = String::with_capacity(written.len() + 1);
    for c in written.trim().chars() {
        if c.is_alphanumeric() || c == '_' {
            if name.is_empty() && c.is_numeric() {
                name.push('_');
            }
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    while name.ends_with('_') && !written.trim_end().ends_with('_') {
        name.pop();
    }
    if !name.chars().any(char::is_alphanumeric) {
        return Err(Error::invalid(written, "an attribute's name needs a letter or a digit"));
    }
    if name.chars().count() > ATTRIBUTE_NAME_LEN_MAX {
        return Err(Error::invalid(
            written,
            format!("an attribute's name can have {ATTRIBUTE_NAME_LEN_MAX} characters"),
        ));
    }
    Ok(name)
}

/// Why an attribute's value cannot be kept, or `None`. Line feeds and tabs may stand in it (a postal address has
/// them); carriage returns are removed by [`clean`], other control characters are refused.
pub(crate) fn fault(value: &str) -> Option<String> {
    if value.len() > ATTRIBUTE_LEN_MAX {
        return Some(format!("longer than {ATTRIBUTE_LEN_MAX} bytes"));
    }
    control(value, |c| matches!(c, '\n' | '\r' | '\t'))
}

/// The value as it is stored: line breaks of any kind become one line feed.
pub(crate) fn clean(value: &str) -> String {
    if value.contains('\r') { value.replace("\r\n", "\n").replace('\r', "\n") } else { value.to_owned() }
}

/// Names the first control character (C0, DEL, C1) that `allowed` does not let through.
pub(crate) fn control(value: &str, allowed: impl Fn(char) -> bool) -> Option<String> {
    // Nearly every value is free of them: one pass over bytes settles that. C1 starts with 0xC2 in UTF-8.
    if !value.bytes().any(|b| b < 0x20 || b == 0x7f || b == 0xc2) {
        return None;
    }
    let found = value.chars().find(|c| c.is_control() && !allowed(*c))?;
    Some(format!("the control character U+{:04X} cannot be kept", u32::from(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers() {
        for (written, stored) in [
            ("loyalty_tier", "loyalty_tier"),
            (" Loyalty tier (2026) ", "Loyalty_tier_2026"),
            ("e-mail", "e_mail"),
            ("1st order", "_1st_order"),
            ("会員 番号", "会員_番号"),
            ("_x_", "_x_"),
            ("a..b", "a_b"),
        ] {
            assert_eq!(attribute_name(written).unwrap(), stored, "{written}");
        }
        assert!(attribute_name("  ").is_err());
        assert!(attribute_name("--").is_err());
        assert!(attribute_name(&"x".repeat(ATTRIBUTE_NAME_LEN_MAX)).is_ok());
        assert!(attribute_name(&"x".repeat(ATTRIBUTE_NAME_LEN_MAX + 1)).is_err());
    }

    #[test]
    fn values_keep_lines_and_refuse_controls() {
        assert_eq!(fault("a\nb\tc\r\n"), None);
        assert_eq!(clean("a\r\nb\rc"), "a\nb\nc");
        assert!(fault("a\0b").unwrap().contains("U+0000"));
        assert!(fault("a\u{85}b").unwrap().contains("U+0085"));
        assert_eq!(fault("é Â"), None);
        assert_eq!(fault(&"x".repeat(ATTRIBUTE_LEN_MAX)), None);
        assert!(fault(&"x".repeat(ATTRIBUTE_LEN_MAX + 1)).unwrap().contains("8192"));
    }
}
