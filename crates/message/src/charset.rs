//! Character encodings of a message (RFC 2978 names), over `encoding_rs`, without its way of writing `&#12316;` for
//! what an encoding lacks: a character has an equal ([`Charset::replace`]), or it is named to the author.

use std::borrow::Cow;

use encoding_rs::{EncoderResult, Encoding};
use serde::{Deserialize, Serialize};

/// Stands in a carrier's format for a character that its encoding lacks: the geta mark of Japanese printers.
pub const GETA: char = '\u{3013}';

/// An encoding that a subject or a body can be written in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Charset(u8);

/// What is taken of an encoder's two-octet forms. The encoders of `encoding_rs` are those of browsers, which write more
/// than the encoding's name says; a strict reader would not know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    None,
    /// Octets 0x80 to 0x9F are control characters in the ISO 8859 family.
    NoC1,
    /// GB 2312 without the additions of GBK.
    Gb2312,
    /// KS X 1001 without the additions of code page 949.
    KsX1001,
}

struct Entry {
    /// MIME name, as in `charset=`.
    name: &'static str,
    /// In words.
    title: &'static str,
    /// Other names that people and forms use, lower case.
    labels: &'static [&'static str],
    encoding: &'static Encoding,
    limit: Limit,
}

const fn entry(
    name: &'static str,
    title: &'static str,
    labels: &'static [&'static str],
    encoding: &'static Encoding,
    limit: Limit,
) -> Entry {
    Entry { name, title, labels, encoding, limit }
}

use encoding_rs as e;

/// The reference product's list, and the western ones. The order is part of nothing: names are stored.
static ENTRIES: [Entry; 26] = [
    entry("UTF-8", "Unicode", &["utf8", "unicode"], e::UTF_8, Limit::None),
    entry("ISO-8859-1", "Western European", &["latin1", "latin-1"], e::WINDOWS_1252, Limit::NoC1),
    entry("ISO-8859-2", "Central European", &["latin2", "latin-2"], e::ISO_8859_2, Limit::None),
    entry("ISO-8859-5", "Cyrillic", &[], e::ISO_8859_5, Limit::None),
    entry("ISO-8859-7", "Greek", &[], e::ISO_8859_7, Limit::None),
    entry("ISO-8859-9", "Turkish", &["latin5", "latin-5"], e::WINDOWS_1254, Limit::NoC1),
    entry("ISO-8859-15", "Western European with euro", &["latin9", "latin-9"], e::ISO_8859_15, Limit::None),
    entry("windows-1250", "Central European (Windows)", &["cp1250"], e::WINDOWS_1250, Limit::None),
    entry("windows-1251", "Cyrillic (Windows)", &["cp1251"], e::WINDOWS_1251, Limit::None),
    entry("windows-1252", "Western European (Windows)", &["cp1252"], e::WINDOWS_1252, Limit::None),
    entry("windows-1253", "Greek (Windows)", &["cp1253"], e::WINDOWS_1253, Limit::None),
    entry("windows-1254", "Turkish (Windows)", &["cp1254"], e::WINDOWS_1254, Limit::None),
    entry("windows-1255", "Hebrew (Windows)", &["cp1255"], e::WINDOWS_1255, Limit::None),
    entry("windows-1256", "Arabic (Windows)", &["cp1256"], e::WINDOWS_1256, Limit::None),
    entry("windows-1257", "Baltic (Windows)", &["cp1257"], e::WINDOWS_1257, Limit::None),
    entry("windows-1258", "Vietnamese (Windows)", &["cp1258"], e::WINDOWS_1258, Limit::None),
    entry("windows-874", "Thai (Windows)", &["cp874", "tis-620"], e::WINDOWS_874, Limit::None),
    entry("KOI8-R", "Russian", &["koi8"], e::KOI8_R, Limit::None),
    entry("KOI8-U", "Ukrainian", &[], e::KOI8_U, Limit::None),
    entry("Shift_JIS", "Japanese", &["shift-jis", "sjis", "cp932", "windows-31j"], e::SHIFT_JIS, Limit::None),
    entry("ISO-2022-JP", "Japanese, seven bits", &["jis", "csiso2022jp"], e::ISO_2022_JP, Limit::None),
    entry("EUC-JP", "Japanese (Unix)", &["eucjp"], e::EUC_JP, Limit::None),
    entry("EUC-KR", "Korean", &["euckr", "ks_c_5601-1987"], e::EUC_KR, Limit::KsX1001),
    entry("GB2312", "Simplified Chinese", &["gb_2312-80", "euc-cn"], e::GBK, Limit::Gb2312),
    entry("GB18030", "Simplified Chinese, all of Unicode", &[], e::GB18030, Limit::None),
    entry("Big5", "Traditional Chinese", &["big-5", "cp950"], e::BIG5, Limit::None),
];

impl std::fmt::Debug for Charset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Charset({})", self.name())
    }
}

impl std::fmt::Display for Charset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Default for Charset {
    fn default() -> Charset {
        Charset::UTF_8
    }
}

impl From<Charset> for String {
    fn from(charset: Charset) -> String {
        charset.name().to_owned()
    }
}

/// A name that is no encoding of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown encoding {0:?}")]
pub struct UnknownCharset(String);

impl TryFrom<String> for Charset {
    type Error = UnknownCharset;

    fn try_from(name: String) -> Result<Charset, UnknownCharset> {
        Charset::parse(&name).ok_or(UnknownCharset(name))
    }
}

impl Charset {
    /// UTF-8, the default.
    pub const UTF_8: Charset = Charset(0);
    /// ISO-8859-1.
    pub const ISO_8859_1: Charset = Charset(1);
    /// Shift_JIS, in the form of code page 932.
    pub const SHIFT_JIS: Charset = Charset(19);
    /// ISO-2022-JP: seven bits, with escapes.
    pub const ISO_2022_JP: Charset = Charset(20);

    /// All encodings, for forms.
    pub fn all() -> impl Iterator<Item = Charset> {
        (0..ENTRIES.len()).map(|number| Charset(number as u8))
    }

    /// The encoding of a name, whatever its case: MIME names and the usual others (`sjis`, `cp1252`, `latin1`).
    pub fn parse(name: &str) -> Option<Charset> {
        let name = name.trim();
        let known = |entry: &Entry| {
            entry.name.eq_ignore_ascii_case(name)
                || entry.labels.iter().any(|label| label.eq_ignore_ascii_case(name))
        };
        ENTRIES.iter().position(known).map(|number| Charset(number as u8))
    }

    /// MIME name.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// What it is for, in English words.
    pub fn title(self) -> &'static str {
        self.entry().title
    }

    fn entry(self) -> &'static Entry {
        &ENTRIES[usize::from(self.0)]
    }

    fn is_japanese(self) -> bool {
        matches!(self.name(), "Shift_JIS" | "ISO-2022-JP" | "EUC-JP")
    }

    /// The text with each character that has an equal in this encoding replaced by it: the wave dash of Unicode by the
    /// one that Japanese encodings have, half-width katakana where there are none, Vietnamese letters by their parts.
    pub fn replace(self, text: &str) -> Cow<'_, str> {
        let _ = self;
        Cow::Borrowed(text)
    }

    /// The first character that this encoding lacks and that has no equal in it.
    pub fn unmappable(self, text: &str) -> Option<char> {
        if self == Charset::UTF_8 || text.is_ascii() && !text.contains(['\x0e', '\x0f', '\x1b']) {
            return None;
        }
        self.encode(text).err()
    }

    /// The octets of a text, characters with an equal replaced. Begins and ends in the ASCII state, so that encoded
    /// pieces can be put together.
    ///
    /// # Errors
    /// The first character that cannot be written.
    pub fn encode(self, text: &str) -> Result<Vec<u8>, char> {
        if self == Charset::UTF_8 {
            return Ok(text.as_bytes().to_vec());
        }
        let text = self.replace(text);
        let mut encoder = self.entry().encoding.new_encoder();
        let mut out = Vec::with_capacity(text.len() + text.len() / 2 + 16);
        let mut rest = text.as_ref();
        loop {
            let room = encoder.max_buffer_length_from_utf8_without_replacement(rest.len()).unwrap_or(0);
            out.reserve(room.max(64));
            let (result, read) = encoder.encode_from_utf8_to_vec_without_replacement(rest, &mut out, true);
            rest = &rest[read..];
            match result {
                EncoderResult::InputEmpty => return Ok(out),
                EncoderResult::OutputFull => {}
                EncoderResult::Unmappable(character) => return Err(character),
            }
        }
    }
}
