//! Header fields: RFC 5322 folding, RFC 2047 encoded words, and the checks that keep a value on its own line.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::charset::Charset;
use crate::limits::{HEADER_TEXT_LEN_MAX, LINE_LEN_MAX};

/// Preferred end of a line; an encoded word's line may not be longer (RFC 2047 section 2).
const LINE_LEN_WANTED: usize = 76;
/// `=?`, `?Q?` and `?=` around an encoded word, without the encoding's name.
const WORD_FRAME_LEN: usize = 7;
/// Longest encoded word (RFC 2047 section 2).
const WORD_LEN_MAX: usize = 75;
/// A word in plain text longer than this is encoded, so that no line comes near the limit of 998.
const PLAIN_WORD_LEN_MAX: usize = 500;

/// Headers that an author cannot add: compose writes them, or they would change what the message is.
const RESERVED: [&str; 33] = [
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "content-id",
    "return-path",
    "received",
    "dkim-signature",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "feedback-id",
    "delivered-to",
    "authentication-results",
    "arc-seal",
    "x-original-to",
    "arc-message-signature",
    "arc-authentication-results",
    "resent-from",
    "resent-sender",
    "resent-to",
    "resent-cc",
    "resent-bcc",
    "resent-date",
    "resent-message-id",
];

/// Why a text cannot stand in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// CR, LF, NUL or another control character.
    #[error("a header cannot contain line breaks or control characters")]
    Control,
    /// Longer than [`HEADER_TEXT_LEN_MAX`].
    #[error("longer than {HEADER_TEXT_LEN_MAX} bytes")]
    TooLong,
    /// Not a field name, or one that compose writes itself.
    #[error("this header name cannot be used")]
    Name,
    /// Not an address in the form it has on the wire.
    #[error("not an address")]
    Address,
}

/// Refuses what could leave the header: CR, LF, NUL and all control characters but the tab.
///
/// # Errors
/// [`HeaderError::Control`] or [`HeaderError::TooLong`].
pub fn check_header_text(text: &str) -> Result<(), HeaderError> {
    if text.len() > HEADER_TEXT_LEN_MAX {
        return Err(HeaderError::TooLong);
    }
    if text.chars().any(|c| c.is_control() && c != '\t') { Err(HeaderError::Control) } else { Ok(()) }
}

/// True for a field name (RFC 5322 section 3.6.8) that an author may add.
pub fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LINE_LEN_WANTED
        && name.bytes().all(|octet| octet.is_ascii_graphic() && octet != b':')
        && !RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// Splits `Name <address>` or `address`; quotes around the name are taken off.
pub fn split_named(text: &str) -> (String, &str) {
    let text = text.trim();
    let Some((name, address)) = text.strip_suffix('>').and_then(|inner| inner.rsplit_once('<')) else {
        return (String::new(), text);
    };
    let name = name.trim();
    let name = match name.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')) {
        Some(quoted) => unquote(quoted),
        None => name.to_owned(),
    };
    (name, address.trim())
}

fn unquote(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        text.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    text
}

/// An address as it stands on the wire: printable, no brackets, an @, at most 320 octets. Returns whether it is ASCII.
pub(crate) fn check_wire_address(address: &str) -> Result<bool, HeaderError> {
    let (local, domain) = address.rsplit_once('@').ok_or(HeaderError::Address)?;
    let quoted = local.len() >= 2 && local.starts_with('"') && local.ends_with('"');
    let bare = |c: char| !c.is_control() && !matches!(c, '<' | '>' | ',' | ' ' | '"' | '@');
    let local_fits = if quoted { !local.chars().any(char::is_control) } else { local.chars().all(bare) };
    if local.is_empty()
        || domain.is_empty()
        || address.len() > 320
        || !local_fits
        || !domain.chars().all(bare)
    {
        return Err(HeaderError::Address);
    }
    Ok(address.is_ascii())
}

/// The fields of a message in order, each whole with its CRLF, and where each one begins.
#[derive(Default)]
pub(crate) struct Fields {
    pub bytes: Vec<u8>,
    /// Length of the name, and the range of the whole field, which begins with it.
    pub index: Vec<(usize, std::ops::Range<usize>)>,
    /// Encoding of texts outside ASCII.
    words: Words,
}

/// How texts outside ASCII are written in headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Words {
    pub charset: Charset,
    /// A character that the encoding lacks becomes U+3013; else that text is written in UTF-8.
    pub geta: bool,
}

impl Words {
    /// The encoding for one text, and the text as it is written in it.
    pub fn choose(self, text: &str) -> (Charset, Cow<'_, str>) {
        if self.charset == Charset::UTF_8 {
            (self.charset, Cow::Borrowed(text))
        } else if self.charset.unmappable(text).is_none() {
            (self.charset, self.charset.replace(text))
        } else if self.geta {
            (self.charset, Cow::Owned(self.charset.with_geta(text)))
        } else {
            (Charset::UTF_8, Cow::Borrowed(text))
        }
    }
}

impl Fields {
    /// No field yet; texts are written as `words` says.
    pub fn new(words: Words) -> Fields {
        Fields { bytes: Vec::with_capacity(2_048), index: Vec::with_capacity(16), words }
    }

    /// `Name: value`, a value that needs no folding or encoding.
    pub fn raw(&mut self, name: &str, value: &str) {
        let start = self.bytes.len();
        self.begin(name);
        self.bytes.extend_from_slice(value.as_bytes());
        self.end(name, start);
    }

    /// `Name: text`, folded or encoded as the text needs.
    pub fn unstructured(&mut self, name: &str, text: &str) -> Result<(), HeaderError> {
        check_header_text(text)?;
        let start = self.bytes.len();
        self.begin(name);
        if is_plain(text) {
            self.fold_plain(text, start);
        } else {
            self.encoded_words(text, start);
        }
        self.end(name, start);
        Ok(())
    }

    /// `Name: Display Name <address>`, or the address alone.
    pub fn mailbox(&mut self, name: &str, display: &str, address: &str) -> Result<(), HeaderError> {
        check_header_text(display)?;
        check_wire_address(address)?;
        let start = self.bytes.len();
        self.begin(name);
        let display = display.trim();
        if display.is_empty() {
            self.bytes.extend_from_slice(address.as_bytes());
        } else {
            self.phrase(display, start);
            if self.column(start) + address.len() + 3 > LINE_LEN_WANTED {
                self.bytes.extend_from_slice(b"\r\n");
            }
            self.bytes.extend_from_slice(b" <");
            self.bytes.extend_from_slice(address.as_bytes());
            self.bytes.push(b'>');
        }
        self.end(name, start);
        Ok(())
    }

    fn begin(&mut self, name: &str) {
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
    }

    fn end(&mut self, name: &str, start: usize) {
        self.bytes.extend_from_slice(b"\r\n");
        self.index.push((name.len(), start..self.bytes.len()));
    }

    /// Octets on the current line of the field that began at `start`.
    fn column(&self, start: usize) -> usize {
        let field = &self.bytes[start..];
        field.iter().rposition(|octet| *octet == b'\n').map_or(field.len(), |at| field.len() - at - 1)
    }

    /// Breaks before a blank that a word follows, so that unfolding gives the text back (RFC 5322 section 2.2.3).
    fn fold_plain(&mut self, text: &str, start: usize) {
        let bytes = text.as_bytes();
        let mut column = self.column(start);
        let mut at = 0;
        while at < bytes.len() {
            let blanks = bytes[at..].iter().take_while(|octet| **octet == b' ').count();
            let word = bytes[at + blanks..].iter().take_while(|octet| **octet != b' ').count();
            if blanks == 1 && column + 1 + word > LINE_LEN_WANTED && column > 1 {
                self.bytes.extend_from_slice(b"\r\n");
                column = 0;
            }
            self.bytes.extend_from_slice(&bytes[at..at + blanks + word]);
            column += blanks + word;
            at += blanks + word;
        }
    }

    /// A display name: atoms, a quoted string, or encoded words.
    fn phrase(&mut self, display: &str, start: usize) {
        if !is_plain(display) || display.len() > 60 {
            self.encoded_words(display, start);
        } else if display.bytes().all(|octet| is_atext(octet) || octet == b' ') {
            self.bytes.extend_from_slice(display.as_bytes());
        } else {
            self.bytes.push(b'"');
            for octet in display.bytes() {
                if octet == b'"' || octet == b'\\' {
                    self.bytes.push(b'\\');
                }
                self.bytes.push(octet);
            }
            self.bytes.push(b'"');
        }
    }

    /// The text as encoded words, each of whole characters, each line of at most 76 octets.
    fn encoded_words(&mut self, text: &str, start: usize) {
        let (charset, text) = self.words.choose(text);
        let q_len: usize = match charset {
            Charset::UTF_8 => text.bytes().map(q_octet_len).sum(),
            // RFC 1468 asks for B, and escapes in Q help nobody.
            Charset::ISO_2022_JP => usize::MAX,
            _ => octets(charset, &text).iter().copied().map(q_octet_len).sum(),
        };
        let base64 = octets(charset, &text).len().div_ceil(3) * 4 < q_len;
        let mut rest = text.as_ref();
        let mut first = true;
        while !rest.is_empty() {
            if !first {
                self.bytes.extend_from_slice(b"\r\n ");
            }
            let room = (LINE_LEN_WANTED - self.column(start).min(LINE_LEN_WANTED)).min(WORD_LEN_MAX);
            let room = room.saturating_sub(WORD_FRAME_LEN + charset.name().len());
            let taken = take_chars(charset, rest, room, base64);
            if taken == 0 {
                // The field's name took the line: begin on the next one.
                self.bytes.extend_from_slice(b"\r\n ");
                first = true;
                continue;
            }
            let (word, tail) = rest.split_at(taken);
            self.encoded_word(charset, word, base64);
            rest = tail;
            first = false;
        }
    }

    fn encoded_word(&mut self, charset: Charset, word: &str, base64: bool) {
        self.bytes.extend_from_slice(b"=?");
        self.bytes.extend_from_slice(charset.name().as_bytes());
        let word = octets(charset, word);
        if base64 {
            self.bytes.extend_from_slice(b"?B?");
            self.bytes.extend_from_slice(STANDARD.encode(&word).as_bytes());
        } else {
            self.bytes.extend_from_slice(b"?Q?");
            for octet in word.iter().copied() {
                match octet {
                    b' ' => self.bytes.push(b'_'),
                    _ if q_octet_len(octet) == 1 => self.bytes.push(octet),
                    _ => self.bytes.extend_from_slice(&[
                        b'=',
                        HEX[usize::from(octet >> 4)],
                        HEX[usize::from(octet & 15)],
                    ]),
                }
            }
        }
        self.bytes.extend_from_slice(b"?=");
    }
}

/// The octets of a text that [`Words::choose`] has made ready.
pub(crate) fn octets(charset: Charset, text: &str) -> Cow<'_, [u8]> {
    match charset {
        Charset::UTF_8 => Cow::Borrowed(text.as_bytes()),
        _ => Cow::Owned(charset.encode_with_geta(text)),
    }
}

pub(crate) const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Bytes of whole characters that fit into `room` octets of encoded text. Each word of ISO-2022-JP has its own escapes,
/// so a word's octets are counted as a whole there; the longest word is short.
fn take_chars(charset: Charset, text: &str, room: usize, base64: bool) -> usize {
    let mut taken = 0;
    let mut used = 0;
    for c in text.chars() {
        let next = taken + c.len_utf8();
        let length = match (charset, base64) {
            (Charset::UTF_8, true) => next.div_ceil(3) * 4,
            (_, true) => octets(charset, &text[..next]).len().div_ceil(3) * 4,
            (_, false) => {
                let more = octets(charset, &text[taken..next]);
                used + more.iter().copied().map(q_octet_len).sum::<usize>()
            }
        };
        if length > room {
            break;
        }
        used = length;
        taken = next;
    }
    taken
}

/// In a phrase only these stand for themselves (RFC 2047 section 5, rule 3); the same set is right everywhere.
fn q_octet_len(octet: u8) -> usize {
    if octet.is_ascii_alphanumeric() || matches!(octet, b' ' | b'!' | b'*' | b'+' | b'-' | b'/') {
        1
    } else {
        3
    }
}

fn is_atext(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet)
}

/// Printable ASCII that unfolds to itself and is not mistaken for an encoded word.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|octet| octet == b' ' || octet.is_ascii_graphic())
        && !text.contains("=?")
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && text.len() < LINE_LEN_MAX
        && text.split(' ').all(|word| word.len() <= PLAIN_WORD_LEN_MAX)
}

/// `Thu, 26 Nov 2026 10:13:00 +0000` (RFC 5322 section 3.3) of microseconds UTC.
pub(crate) fn date(time_us: i64) -> String {
    let seconds = time_us.div_euclid(1_000_000);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(bytes: &[u8]) -> mail_parser::Message<'_> {
        mail_parser::MessageParser::default().parse(bytes).unwrap()
    }

    proptest! {
        /// In every encoding: what comes back is the text with its equals, or, where the encoding lacks a character,
        /// the text itself (in UTF-8).
        #[test]
        fn a_subject_survives_in_every_encoding(number in 0usize..26, text in "([a-z ,=?_]|[À-ÿ]|[ぁ-ん]|[ｱ-ﾟ]|[一-丿]|[가-갿]|[α-ω]|€|〜|😀|[^\\p{Cc}]){1,120}") {
            let charset = Charset::all().nth(number).unwrap();
            for geta in [false, true] {
                let mut fields = Fields::new(Words { charset, geta });
                fields.unstructured("Subject", &text).unwrap();
                let wire = String::from_utf8(fields.bytes.clone()).unwrap();
                prop_assert!(wire.is_ascii());
                for line in wire.split("\r\n") {
                    prop_assert!(!line.contains("=?") || line.len() <= 76, "{line}");
                }
                fields.bytes.extend(b"\r\n");
                let expected = if text.is_ascii() && is_plain(&text) {
                    text.clone()
                } else {
                    Words { charset, geta }.choose(&text).1.into_owned()
                };
                let parsed = parse(&fields.bytes);
                prop_assert_eq!(parsed.subject().unwrap_or_default(), expected.as_str());
            }
        }

        #[test]
        fn a_subject_survives(text in "[^\\p{Cc}]{1,200}") {
            let mut fields = Fields::default();
            fields.unstructured("Subject", &text).unwrap();
            let wire = String::from_utf8(fields.bytes.clone()).unwrap();
            prop_assert!(wire.is_ascii());
            for line in wire.split("\r\n") {
                prop_assert!(line.len() <= LINE_LEN_MAX);
                prop_assert!(!line.contains("=?utf-8?") || line.len() <= 76, "{line}");
            }
            fields.bytes.extend(b"\r\n");
            let parsed = parse(&fields.bytes);
            prop_assert_eq!(parsed.subject().unwrap_or_default(), text.as_str());
        }

        #[test]
        fn a_display_name_survives(text in "[^\\p{Cc}]{1,120}") {
            prop_assume!(!text.trim().is_empty());
            let mut fields = Fields::default();
            fields.mailbox("From", &text, "a@b.example").unwrap();
            fields.bytes.extend(b"\r\n");
            let parsed = parse(&fields.bytes);
            let from = parsed.from().unwrap().first().unwrap();
            prop_assert_eq!(from.name().unwrap_or_default(), text.trim());
            prop_assert_eq!(from.address().unwrap(), "a@b.example");
        }

        #[test]
        fn control_characters_are_refused(before in "[a-z]{0,9}", control in "[\\x00-\\x08\\x0a-\\x1f\\x7f]", after in ".{0,9}") {
            let text = format!("{before}{control}{after}");
            let mut fields = Fields::default();
            prop_assert!(fields.unstructured("Subject", &text).is_err());
            prop_assert!(fields.mailbox("From", &text, "a@b.example").is_err());
            let address = format!("{text}@b.example");
            prop_assert!(fields.mailbox("From", "", &address).is_err());
        }
    }

    #[test]
    fn what_an_author_may_not_add() {
        for name in ["From", "DKIM-Signature", "bcc", "", "X Y", "X:Y", "Ü"] {
            assert!(!is_header_name(name), "{name}");
        }
        assert!(is_header_name("X-Season"));
    }

    #[test]
    fn names_and_addresses_are_split() {
        assert_eq!(split_named("a@b.example"), (String::new(), "a@b.example"));
        assert_eq!(split_named("Shop <a@b.example>"), ("Shop".into(), "a@b.example"));
        assert_eq!(
            split_named("\"Shop, \\\"the\\\" one\" <a@b.example>"),
            ("Shop, \"the\" one".into(), "a@b.example")
        );
    }

    #[test]
    fn the_date_is_utc() {
        assert_eq!(date(1_795_687_980_999_999), "Thu, 26 Nov 2026 10:13:00 +0000");
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 +0000");
    }
}
