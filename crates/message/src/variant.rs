//! Variants: the ways in which one delivery's messages are built. The analysis chooses one for each recipient and
//! keeps its number in the message row's flags.

use serde::{Deserialize, Serialize};

use crate::charset::Charset;
use crate::token::ASSET_PATH;

/// Bits of the flags that hold the variant's number.
pub const FLAGS_VARIANT: i64 = 0xff;
/// Set in the flags when a line of the message is too long for 7bit or 8bit ([`crate::LINE_LEN_PLAIN_MAX`]): its bodies
/// are written in base64 where the variant asks for one of those.
pub const FLAGS_LONG_LINES: i64 = 1 << 8;

/// The variant that always stands first: text and HTML as alternatives.
pub const VARIANT_ALTERNATIVE: u8 = 0;
/// The second: text only.
pub const VARIANT_TEXT: u8 = 1;
/// The third: HTML only.
pub const VARIANT_HTML: u8 = 2;

/// One way to build messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Variant {
    /// Which bodies there are.
    pub structure: Structure,
    /// multipart/related even without an inline image. Without meaning where no HTML stands.
    pub related: bool,
    /// Whether images go along.
    pub images: ImageMode,
    /// The carrier whose format this is: a character that its encoding lacks becomes U+3013.
    pub carrier: Option<Carrier>,
    /// The AMP part stands between text and HTML, where the snapshot has one.
    pub amp: bool,
    /// Encoding of the header texts and file names.
    pub subject: Charset,
    /// How the HTML body is written.
    pub html: BodyEncoding,
    /// How the text body is written.
    pub text: BodyEncoding,
}

impl Variant {
    /// A plain variant: images as the author chose them, everything in `charset`, transfer encodings by content, no AMP
    /// (few receivers take it, each after a registration: a domain's rule asks for it).
    pub fn new(structure: Structure, charset: Charset) -> Variant {
        let body = BodyEncoding { charset, transfer: TransferChoice::Auto };
        Variant {
            structure,
            related: false,
            images: ImageMode::AsChosen,
            carrier: None,
            amp: false,
            subject: charset,
            html: body,
            text: body,
        }
    }

    /// The three that always stand first: [`VARIANT_ALTERNATIVE`], [`VARIANT_TEXT`], [`VARIANT_HTML`].
    pub fn standard(charset: Charset) -> Vec<Variant> {
        [Structure::Alternative, Structure::Text, Structure::Html]
            .into_iter()
            .map(|structure| Variant::new(structure, charset))
            .collect()
    }
}

/// Which bodies a message has. A body that the delivery does not have is left out, or the other one taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Structure {
    /// Text and HTML (and AMP): multipart/alternative.
    Alternative,
    /// Text alone.
    Text,
    /// HTML alone.
    Html,
}

/// Which images go along in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageMode {
    /// Those that the author chose ([`Asset::inline`]); the others are URLs.
    AsChosen,
    /// All of the snapshot's images.
    Inline,
}

/// A Japanese carrier with an HTML format of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// Deco-mail.
    Docomo,
    /// Decore Mail.
    SoftBank,
    /// Decoration Mail.
    Au,
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct BodyEncoding {
    /// Its character encoding; where a message has a character that it lacks, that body is written in UTF-8 (a
    /// carrier's format has U+3013 in its place).
    pub charset: Charset,
    /// Its transfer encoding.
    pub transfer: TransferChoice,
}

/// Content-Transfer-Encoding that a variant asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferChoice {
    /// By content: quoted-printable or base64, whichever is shorter; 7bit for ISO-2022-JP.
    #[default]
    Auto,
    /// 7bit; base64 where that is not possible.
    SevenBit,
    /// 8bit; base64 where that is not possible.
    EightBit,
    /// quoted-printable.
    QuotedPrintable,
    /// base64.
    Base64,
}

/// A link of the delivery, the target of `/l/TOKEN/n`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Where it leads. `{p1}` to `{p9}` stand for the values that the message's link carries as `p1` to `p9`.
    pub url: String,
    /// Name in reports.
    pub label: String,
    /// Group in reports; may be empty.
    pub category: String,
    /// What a click on it means.
    pub kind: LinkMode,
}

/// What a click on a link means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkMode {
    /// A click.
    #[default]
    Tracked,
    /// Not rewritten, listed only.
    Untracked,
    /// A click that leads to an opt-out page of the author's.
    OptOut,
    /// A click that leads to the mirror page.
    Mirror,
}

/// An image or an attachment, the same bytes for all recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// BLAKE3 of the bytes, 64 hex digits.
    pub hash: String,
    /// MIME type, `image/png`.
    pub content_type: String,
    /// File name as uploaded; an attachment's name in the message comes from its part.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// An image that goes along in the message (`cid:`) instead of being a URL.
    pub inline: bool,
}

impl Asset {
    /// True when hash and type can stand in a URL and in a header.
    pub(crate) fn is_sound(&self) -> bool {
        let token = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&octet))
        };
        let hex = |octet: u8| octet.is_ascii_digit() || (b'a'..=b'f').contains(&octet);
        self.hash.len() == 64
            && self.hash.bytes().all(hex)
            && self.content_type.len() <= 127
            && self.content_type.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
    }

    /// True when these are the bytes of this hash and size.
    pub(crate) fn is_of(&self, bytes: &[u8]) -> bool {
        bytes.len() as u64 == self.size && blake3::hash(bytes).to_hex().as_str() == self.hash
    }

    /// Where it is served: `PUBLIC_URL/a/HASH.png`.
    pub fn url(&self, public_url: &str) -> String {
        format!("{public_url}{ASSET_PATH}{}.{}", self.hash, self.extension())
    }

    /// Extension of its URL, by its type.
    pub fn extension(&self) -> &'static str {
        match self.content_type.as_str() {
            "image/png" => "png",
            "image/jpeg" => "jpg",
            "image/gif" => "gif",
            "image/webp" => "webp",
            "image/svg+xml" => "svg",
            "application/pdf" => "pdf",
            _ => "bin",
        }
    }
}

/// When a message has a mirror page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MirrorMode {
    /// When a mirror link stands in the content.
    #[default]
    WhenLinked,
    /// Always.
    Always,
    /// Never, even where a link stands.
    Never,
    /// Without a public link: operators open it from the log.
    ByMessage,
}
