//! Parameters of MIME fields (RFC 2045 section 5.1): quoted strings, and RFC 2231 for what those cannot hold.

use crate::charset::Charset;
use crate::header::{HEX, Words, octets};

/// Octets of one value's section: with name, number, encoding and quotes it stays on a line of 76.
const SECTION_LEN_MAX: usize = 40;

/// `;`, a fold, and `name="value"`, or the extended form with as many sections as the value needs.
pub(crate) fn push(out: &mut String, name: &str, value: &str, words: Words) {
    let plain = |octet: u8| (octet.is_ascii_graphic() || octet == b' ') && !b"\"\\".contains(&octet);
    // Blanks at the ends and in runs do not survive every reader's unfolding.
    let plain_blanks = value.trim() == value && !value.contains("  ");
    if value.len() <= SECTION_LEN_MAX && value.bytes().all(plain) && plain_blanks && !value.contains("=?") {
        out.push_str(&format!(";\r\n\t{name}=\"{value}\""));
        return;
    }
    let (charset, value) = words.choose(value);
    // ISO-2022-JP is cut anywhere, because sections are put together before they are decoded, and an escape right
    // after another is an error to many readers.
    let units: Vec<String> = match charset {
        Charset::ISO_2022_JP => octets(charset, &value).iter().map(|octet| percent(&[*octet])).collect(),
        _ => value.chars().map(|c| percent(&octets(charset, c.encode_utf8(&mut [0; 4])))).collect(),
    };
    let mut sections = vec![String::new()];
    for more in units {
        match sections.last_mut() {
            Some(section) if section.is_empty() || section.len() + more.len() <= SECTION_LEN_MAX => {
                section.push_str(&more);
            }
            _ => sections.push(more),
        }
    }
    let only = sections.len() == 1;
    for (number, section) in sections.iter().enumerate() {
        let counted = if only { String::new() } else { format!("*{number}") };
        let language = if number == 0 { format!("{}''", charset.name()) } else { String::new() };
        out.push_str(&format!(";\r\n\t{name}{counted}*={language}{section}"));
    }
}

/// RFC 2231 section 7: what is no attribute-char is `%XX`.
fn percent(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len() * 3);
    for octet in octets {
        if octet.is_ascii_alphanumeric() || b"!#$&+-.^_`{|}~".contains(octet) {
            out.push(char::from(*octet));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(octet >> 4)]));
            out.push(char::from(HEX[usize::from(octet & 15)]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::MimeHeaders;
    use proptest::prelude::*;

    fn read_back(value: &str, words: Words) -> String {
        let mut field = String::from("Content-Disposition: attachment");
        push(&mut field, "filename", value, words);
        assert!(field.is_ascii() && field.split("\r\n").all(|line| line.len() <= 76), "{field}");
        let mail = format!("{field}\r\n\r\n");
        let message = mail_parser::MessageParser::default().parse(mail.as_bytes()).unwrap();
        message.attachment_name().unwrap_or_default().to_owned()
    }

    proptest! {
        #[test]
        fn a_file_name_survives(value in "([a-z .;=%*'\"\\\\]|[ぁ-ん]|[^\\p{Cc}]){1,90}") {
            prop_assert_eq!(read_back(&value, Words::default()), value.as_str());
            for charset in [Charset::SHIFT_JIS, Charset::ISO_2022_JP] {
                let words = Words { charset, geta: false };
                prop_assert_eq!(read_back(&value, words), words.choose(&value).1.into_owned());
            }
        }
    }

    #[test]
    fn a_plain_name_is_a_quoted_string() {
        let mut field = String::new();
        push(&mut field, "filename", "Terms DE.pdf", Words::default());
        assert_eq!(field, ";\r\n\tfilename=\"Terms DE.pdf\"");
        let mut field = String::new();
        push(&mut field, "filename", "請求書.pdf", Words { charset: Charset::ISO_2022_JP, geta: false });
        assert!(field.starts_with(";\r\n\tfilename*=ISO-2022-JP''%1B$B"), "{field}");
    }
}
