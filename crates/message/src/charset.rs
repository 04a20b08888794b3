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
    /// ISO 8859-7 of 1987: half of the readers do not know what was added in 2003, the euro among it.
    Greek1987,
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
    entry("utf-8", "Unicode", &["utf8", "unicode"], e::UTF_8, Limit::None),
    entry("ISO-8859-1", "Western European", &["latin1", "latin-1"], e::WINDOWS_1252, Limit::NoC1),
    entry("ISO-8859-2", "Central European", &["latin2", "latin-2"], e::ISO_8859_2, Limit::None),
    entry("ISO-8859-5", "Cyrillic", &[], e::ISO_8859_5, Limit::None),
    entry("ISO-8859-7", "Greek", &[], e::ISO_8859_7, Limit::Greek1987),
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

    /// The text with each character that has an equal in this encoding replaced by it: the wave dash of Unicode by the
    /// one that Japanese encodings have, half-width katakana where there are none, Vietnamese letters by their parts.
    pub fn replace(self, text: &str) -> Cow<'_, str> {
        if self == Charset::UTF_8 || text.is_ascii() {
            return Cow::Borrowed(text);
        }
        let text = match self.name() {
            "ISO-2022-JP" => full_width(text),
            "windows-1258" => vietnamese(text),
            _ => Cow::Borrowed(text),
        };
        if !text.contains(|c| self.equal(c).is_some()) {
            return text;
        }
        Cow::Owned(text.chars().map(|c| self.equal(c).unwrap_or(c)).collect())
    }

    /// What stands for a character that this encoding lacks, or that it would write as something else.
    fn equal(self, character: char) -> Option<char> {
        let (_, equal) = *EQUALS.iter().find(|(from, _)| *from == character)?;
        // Encoders write yen and overline as backslash and tilde in Shift_JIS, leave ASCII for them in ISO-2022-JP, and
        // write minus as the full-width one without saying so.
        let misread = matches!(character, '\u{a5}' | '\u{203e}' | '\u{2212}') && self.is_japanese();
        let lacks = misread || self.octets(character.encode_utf8(&mut [0; 4])).is_err();
        (lacks && self.octets(equal.encode_utf8(&mut [0; 4])).is_ok()).then_some(equal)
    }

    fn is_japanese(self) -> bool {
        matches!(self.name(), "Shift_JIS" | "ISO-2022-JP" | "EUC-JP")
    }

    /// The first character that this encoding lacks and that has no equal in it.
    pub fn unmappable(self, text: &str) -> Option<char> {
        // ISO-2022-JP shifts with these three.
        if self == Charset::UTF_8 || (text.is_ascii() && !text.contains(['\u{e}', '\u{f}', '\u{1b}'])) {
            return None;
        }
        self.encode(text).err()
    }

    /// The octets of a text, characters with an equal replaced. Begins and ends in the ASCII state, so that encoded
    /// pieces can be put together ([`Charset::join`]).
    ///
    /// # Errors
    /// The first character that cannot be written.
    pub fn encode(self, text: &str) -> Result<Vec<u8>, char> {
        let text = self.replace(text);
        self.octets(&text).map_err(|()| {
            let lacks = |c: &char| self.octets(c.encode_utf8(&mut [0; 4])).is_err();
            text.chars().find(lacks).unwrap_or(char::REPLACEMENT_CHARACTER)
        })
    }

    /// Appends an encoded piece to others. Where Japanese meets Japanese the two escapes between them go, because
    /// readers that follow the WHATWG standard show U+FFFD for an escape right after another.
    pub fn join(self, out: &mut Vec<u8>, piece: &[u8]) {
        match piece.strip_prefix(b"\x1b$B") {
            Some(rest) if self == Charset::ISO_2022_JP && out.ends_with(b"\x1b(B") => {
                out.truncate(out.len() - 3);
                out.extend_from_slice(rest);
            }
            _ => out.extend_from_slice(piece),
        }
    }

    /// As [`Charset::encode`], with [`GETA`] for what cannot be written.
    pub fn encode_with_geta(self, text: &str) -> Vec<u8> {
        self.encode(text).or_else(|_| self.octets(&self.with_geta(text))).unwrap_or_default()
    }

    /// The text as a reader of this encoding sees it: replaced, and [`GETA`] for what cannot be written.
    pub fn with_geta(self, text: &str) -> String {
        let lacks = |c: char| self.octets(c.encode_utf8(&mut [0; 4])).is_err();
        let geta = if lacks(GETA) { '?' } else { GETA };
        self.replace(text).chars().map(|c| if lacks(c) { geta } else { c }).collect()
    }

    /// The octets of a text that is replaced already.
    fn octets(self, text: &str) -> Result<Vec<u8>, ()> {
        let entry = self.entry();
        if self == Charset::UTF_8 {
            return Ok(text.as_bytes().to_vec());
        }
        let mut encoder = entry.encoding.new_encoder();
        let mut out = Vec::with_capacity(text.len() + text.len() / 2 + 16);
        let mut rest = text;
        loop {
            let (result, read) = encoder.encode_from_utf8_to_vec_without_replacement(rest, &mut out, true);
            rest = &rest[read..];
            match result {
                EncoderResult::InputEmpty => break,
                EncoderResult::OutputFull => out.reserve(rest.len() * 2 + 64),
                EncoderResult::Unmappable(_) => return Err(()),
            }
        }
        if entry.limit.allows(&out) { Ok(out) } else { Err(()) }
    }
}

impl Limit {
    fn allows(self, octets: &[u8]) -> bool {
        match self {
            Limit::None => true,
            Limit::NoC1 => !octets.iter().any(|octet| (0x80..0xa0).contains(octet)),
            Limit::Greek1987 => !octets.iter().any(|octet| matches!(octet, 0xa4 | 0xa5 | 0xaa)),
            Limit::Gb2312 => pairs(octets, |row, cell| match row {
                0xa1 | 0xa3 | 0xb0..=0xd6 | 0xd8..=0xf7 => true,
                0xa2 => matches!(cell, 0xb1..=0xe2 | 0xe5..=0xee | 0xf1..=0xfc),
                0xa4 => cell <= 0xf3,
                0xa5 => cell <= 0xf6,
                0xa6 => matches!(cell, 0xa1..=0xb8 | 0xc1..=0xd8),
                0xa7 => matches!(cell, 0xa1..=0xc1 | 0xd1..=0xf1),
                0xa8 => matches!(cell, 0xa1..=0xba | 0xc5..=0xe9),
                0xa9 => matches!(cell, 0xa4..=0xef),
                0xd7 => cell <= 0xf9,
                _ => false,
            }),
            Limit::KsX1001 => pairs(octets, |row, _| (0xa1..=0xfd).contains(&row)),
        }
    }
}

/// True when all octets above ASCII are pairs of such octets, each pair allowed.
fn pairs(octets: &[u8], allowed: impl Fn(u8, u8) -> bool) -> bool {
    let mut rest = octets;
    loop {
        match rest {
            [] => return true,
            [octet, tail @ ..] if octet.is_ascii() => rest = tail,
            [row, cell @ 0xa1..=0xff, tail @ ..] if allowed(*row, *cell) => rest = tail,
            _ => return false,
        }
    }
}

/// Characters and those that stand for them in encodings that lack them. The East Asian sets have one dash, one
/// wave and full-width signs where Unicode has several.
const EQUALS: [(char, char); 13] = [
    ('\u{301c}', '\u{ff5e}'), // wave dash
    ('\u{2014}', '\u{2015}'), // em dash, horizontal bar
    ('\u{2015}', '\u{2014}'),
    ('\u{2016}', '\u{2225}'), // double vertical line, parallel to
    ('\u{2212}', '\u{ff0d}'), // minus
    ('\u{a2}', '\u{ffe0}'),   // cent
    ('\u{a3}', '\u{ffe1}'),   // pound
    ('\u{a5}', '\u{ffe5}'),   // yen
    ('\u{a6}', '\u{ffe4}'),   // broken bar
    ('\u{ac}', '\u{ffe2}'),   // not
    ('\u{203e}', '\u{ffe3}'), // overline
    ('\u{ff5e}', '\u{301c}'),
    // A space that came with pasted text; it alone should not change a whole mailing's encoding.
    ('\u{a0}', ' '),
];

/// Half-width katakana and marks, U+FF61 to U+FF9F, in full width.
const FULL_WIDTH: [char; 63] = [
    '。', '「', '」', '、', '・', 'ヲ', 'ァ', 'ィ', 'ゥ', 'ェ', 'ォ', 'ャ', 'ュ', 'ョ', 'ッ', 'ー', 'ア',
    'イ', 'ウ', 'エ', 'オ', 'カ', 'キ', 'ク', 'ケ', 'コ', 'サ', 'シ', 'ス', 'セ', 'ソ', 'タ', 'チ', 'ツ',
    'テ', 'ト', 'ナ', 'ニ', 'ヌ', 'ネ', 'ノ', 'ハ', 'ヒ', 'フ', 'ヘ', 'ホ', 'マ', 'ミ', 'ム', 'メ', 'モ',
    'ヤ', 'ユ', 'ヨ', 'ラ', 'リ', 'ル', 'レ', 'ロ', 'ワ', 'ン', '゛', '゜',
];

/// Full-width katakana, a letter and its voicing mark as one (as NFKC has it).
fn full_width(text: &str) -> Cow<'_, str> {
    let half = |c: char| ('\u{ff61}'..='\u{ff9f}').contains(&c);
    if !text.contains(half) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if !half(c) {
            out.push(c);
            continue;
        }
        let wide = FULL_WIDTH[(c as usize) - 0xff61];
        let voiced = chars.peek().and_then(|mark| voiced(wide, *mark));
        if voiced.is_some() {
            chars.next();
        }
        out.push(voiced.unwrap_or(wide));
    }
    Cow::Owned(out)
}

/// A letter with the half-width voicing mark that follows it.
fn voiced(letter: char, mark: char) -> Option<char> {
    // Katakana stand in Unicode as letter, voiced, half-voiced.
    let after = |n: u32| char::from_u32(letter as u32 + n);
    match (letter, mark) {
        ('ウ', '\u{ff9e}') => Some('ヴ'),
        ('カ'..='チ' | 'ツ'..='ト' | 'ハ'..='ホ', '\u{ff9e}') => after(1),
        ('ハ'..='ホ', '\u{ff9f}') => after(2),
        _ => None,
    }
}

/// Vietnamese letters without their tone, and below each with the five tones. Code page 1258 has letters and tones
/// apart.
const TONELESS: &str = "AĂÂEÊIOÔƠUƯYaăâeêioôơuưy";
const TONES: [(char, &str); 5] = [
    ('\u{300}', "ÀẰẦÈỀÌÒỒỜÙỪỲàằầèềìòồờùừỳ"),
    ('\u{309}', "ẢẲẨẺỂỈỎỔỞỦỬỶảẳẩẻểỉỏổởủửỷ"),
    ('\u{303}', "ÃẴẪẼỄĨÕỖỠŨỮỸãẵẫẽễĩõỗỡũữỹ"),
    ('\u{301}', "ÁẮẤÉẾÍÓỐỚÚỨÝáắấéếíóốớúứý"),
    ('\u{323}', "ẠẶẬẸỆỊỌỘỢỤỰỴạặậẹệịọộợụựỵ"),
];

fn vietnamese(text: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        let parts = TONES.iter().find_map(|(tone, letters)| {
            let at = letters.chars().position(|letter| letter == c)?;
            Some((TONELESS.chars().nth(at)?, *tone))
        });
        // Some letters with a tone, À and É among them, stand in the code page themselves.
        match parts.filter(|_| encoding_rs::WINDOWS_1258.encode(c.encode_utf8(&mut [0; 4])).2) {
            Some((letter, tone)) => out.extend([letter, tone]),
            None => out.push(c),
        }
    }
    if out == text { Cow::Borrowed(text) } else { Cow::Owned(out) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(charset: Charset, octets: &[u8]) -> String {
        charset.entry().encoding.decode_without_bom_handling(octets).0.into_owned()
    }

    #[test]
    fn names_lead_to_themselves() {
        for charset in Charset::all() {
            assert_eq!(Charset::parse(charset.name()), Some(charset));
            assert_eq!(Charset::parse(&charset.name().to_uppercase()), Some(charset));
        }
        assert_eq!(Charset::parse("sjis"), Some(Charset::SHIFT_JIS));
        assert_eq!(Charset::parse("iso-2022-jp"), Some(Charset::ISO_2022_JP));
        assert_eq!(Charset::parse("latin1"), Some(Charset::ISO_8859_1));
        assert_eq!(Charset::parse("ebcdic"), None);
        assert_eq!(serde_json::to_string(&Charset::SHIFT_JIS).unwrap(), "\"Shift_JIS\"");
        assert!(serde_json::from_str::<Charset>("\"ebcdic\"").is_err());
    }

    #[test]
    fn what_an_encoding_lacks_is_replaced_or_named() {
        let jis = Charset::ISO_2022_JP;
        assert_eq!(jis.replace("〜—‖¢£¬−"), "～―∥￠￡￢－");
        assert_eq!(jis.replace("ﾊﾟｿｺﾝ ｶﾞｲﾄﾞ ｳﾞ ﾞ"), "パソコン ガイド ヴ ゛");
        assert_eq!(Charset::SHIFT_JIS.replace("ﾊﾟ¥"), "ﾊﾟ￥", "Shift_JIS has half-width katakana");
        for charset in [jis, Charset::SHIFT_JIS] {
            assert_eq!(decoded(charset, &charset.encode("10〜20¥").unwrap()), "10～20￥");
            for missing in ['é', '€', '😀', '\u{20bb7}'] {
                assert_eq!(charset.unmappable(&format!("日本{missing}")), Some(missing));
                let shown = decoded(charset, &charset.encode_with_geta(&format!("日{missing}本")));
                assert_eq!(shown, "日〓本");
            }
            assert_eq!(charset.unmappable("①㈱髙﨑Ⅲ㍻"), None);
        }
        assert_eq!(Charset::ISO_8859_1.unmappable("Bücher für 5 €"), Some('€'));
        assert_eq!(Charset::parse("iso-8859-15").unwrap().unmappable("5 €"), None);
        assert_eq!(Charset::parse("gb2312").unwrap().unmappable("繁體"), Some('體'));
        assert_eq!(Charset::parse("gb2312").unwrap().unmappable("简体中文，《书》—"), None);
        assert_eq!(Charset::parse("euc-kr").unwrap().unmappable("한국어 똠"), Some('똠'));
    }

    #[test]
    fn vietnamese_is_taken_apart() {
        let charset = Charset::parse("windows-1258").unwrap();
        let text = "Tiếng Việt, Đường";
        assert_eq!(charset.unmappable(text), None);
        assert_eq!(charset.replace(text), "Ti\u{ea}\u{301}ng Vi\u{ea}\u{323}t, Đ\u{1b0}\u{1a1}\u{300}ng");
        assert_eq!(charset.replace("é"), "é");
    }

    #[test]
    fn japanese_begins_and_ends_in_ascii() {
        let octets = Charset::ISO_2022_JP.encode("日本").unwrap();
        assert!(octets.starts_with(b"\x1b$B") && octets.ends_with(b"\x1b(B"));
        assert_eq!(Charset::ISO_2022_JP.unmappable("a\u{1b}b"), Some('\u{1b}'));
    }

    proptest! {
        /// What is encoded is read as what `replace` says, never as `&#8364;`.
        #[test]
        fn what_is_written_is_read(number in 0..ENTRIES.len() as u8, text in "([a-z]|[À-ÿ]|[ぁ-ん]|[ァ-ヶ]|[一-丿]|[ｱ-ﾟ]|[가-갿]|[ก-ฮ]|[а-я]|[α-ω]|[א-ת]|€|〜|\n|\\PC){0,40}") {
            let charset = Charset(number);
            if let Ok(octets) = charset.encode(&text) {
                prop_assert_eq!(decoded(charset, &octets), charset.replace(&text).into_owned());
                prop_assert_eq!(charset.unmappable(&text), None);
            } else {
                let missing = charset.unmappable(&text).unwrap();
                prop_assert!(charset.replace(&text).contains(missing));
            }
            prop_assert_eq!(decoded(charset, &charset.encode_with_geta(&text)), charset.with_geta(&text));
        }

        /// Pieces that are encoded apart can be put together.
        #[test]
        fn pieces_can_be_joined(number in 0..ENTRIES.len() as u8, pieces in proptest::collection::vec("[a-zぁ-ん가-갿α-ω]{0,9}", 0..6)) {
            let charset = Charset(number);
            let mut encoded = Vec::new();
            pieces.iter().for_each(|piece| charset.join(&mut encoded, &charset.encode_with_geta(piece)));
            let all: String = pieces.concat();
            prop_assert_eq!(decoded(charset, &encoded), charset.with_geta(&all));
        }
    }
}
