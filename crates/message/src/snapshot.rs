//! The snapshot: a delivery frozen into one immutable blob, named by its hash.
//!
//! Bytes: the line `mailwright snapshot N`, then JSON. JSON because the blob is read once per delivery and node,
//! because a field that a later version adds can be absent, and because a person can look at it in need.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::charset::Charset;
use crate::compose::ComposeError;
use crate::header::{HeaderError, check_header_text, is_header_name};
use crate::limits::{
    ATTACHMENTS_MAX, CHARSET_PLACES_MAX, HEADERS_MAX, IMAGES_MAX, LINK_URL_LEN_MAX, LINKS_MAX, PART_SIZE_MAX,
    SEGMENTS_MAX, VARIANTS_MAX,
};
use crate::links::Links;
use crate::slots::{PartName, Piece, Slots};
use crate::token::{Token, TokenKeys};
use crate::variant::{Asset, Link, MirrorMode, Variant};

/// The latest format that this version knows. Every earlier one of the last 12 months can be read. A snapshot is
/// written in the lowest one that can say it: 3 when the HTML names its encoding, else 2.
pub const SNAPSHOT_FORMAT: u16 = 3;
const SNAPSHOT_FORMAT_PLAIN: u16 = 2;
/// The earliest format that can be read. It knew no variants, links and assets: they have their defaults.
const SNAPSHOT_FORMAT_FIRST: u16 = 1;
const MAGIC: &str = "mailwright snapshot ";

/// Everything that is the same for all recipients of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The delivery's number.
    pub delivery: i64,
    /// True for a proof or a preview: its tokens act on nobody.
    pub inert: bool,
    /// Stands before the subject: `Proof #3: `, or nothing.
    pub subject_prefix: String,
    /// The parts with their static text, each at most once. From address and subject must be there, and one body.
    pub parts: Vec<Part>,
    /// Base of the links that we serve, without a slash at its end: `https://t.shop.example`.
    pub public_url: String,
    /// Domain of the signed return paths.
    pub bounce_domain: String,
    /// Domain on the right of the Message-ID: the sending domain.
    pub message_id_domain: String,
    /// Writes List-Unsubscribe and List-Unsubscribe-Post (RFC 8058).
    pub list_unsubscribe: bool,
    /// Value of Feedback-ID (`campaign:customer:type:sender`), or empty: no such header.
    pub feedback_id: String,
    /// Headers that the author added and that are the same for all, in order.
    pub headers: Vec<(String, String)>,
    /// Value of Precedence (`bulk`, `list`), or empty: no such header.
    #[serde(default)]
    pub precedence: String,
    /// Names of the headers whose text is a part of its own, [`PartName::Header`] of that number. A message whose text
    /// is empty has no such header.
    #[serde(default)]
    pub header_names: Vec<String>,
    /// The ways in which messages are built, never empty; [`Variant::standard`] always stands first.
    #[serde(default = "standard_variants")]
    pub variants: Vec<Variant>,
    /// The tracked links, by the number of [`crate::LinkKind::Tracked`].
    #[serde(default)]
    pub links: Vec<Link>,
    /// Images of the HTML, by the number of [`crate::LinkKind::Image`].
    #[serde(default)]
    pub images: Vec<Asset>,
    /// Attachments. Its file name is the part [`PartName::Attachment`] of its number; a recipient whose name is empty
    /// does not get it.
    #[serde(default)]
    pub attachments: Vec<Asset>,
    /// When messages have a mirror page.
    #[serde(default)]
    pub mirror: MirrorMode,
    /// Where the HTML names its own encoding, in the order of the text. Of an earlier format: none, the author's name
    /// stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charset_places: Vec<CharsetPlace>,
}

/// A place in the HTML's static text where the author named an encoding (`<meta charset="utf-8">`): the name alone.
/// Each body has the name of the encoding that it is written in there; some mail programs believe it rather than the
/// header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CharsetPlace {
    /// Number of the segment.
    pub segment: u32,
    /// Octet in the segment where the name begins.
    pub start: u32,
    /// Octet behind it.
    pub end: u32,
}

fn standard_variants() -> Vec<Variant> {
    Variant::standard(Charset::UTF_8)
}

impl Default for Snapshot {
    /// Without any part: for `..Snapshot::default()`, not to be sent.
    fn default() -> Snapshot {
        Snapshot {
            delivery: 0,
            inert: false,
            subject_prefix: String::new(),
            parts: Vec::new(),
            public_url: String::new(),
            bounce_domain: String::new(),
            message_id_domain: String::new(),
            list_unsubscribe: false,
            feedback_id: String::new(),
            headers: Vec::new(),
            precedence: String::new(),
            header_names: Vec::new(),
            variants: standard_variants(),
            links: Vec::new(),
            images: Vec::new(),
            attachments: Vec::new(),
            mirror: MirrorMode::default(),
            charset_places: Vec::new(),
        }
    }
}

/// One part's static text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Which part.
    pub name: PartName,
    /// Static segments, numbered from 0; UTF-8, line ends LF.
    pub segments: Vec<String>,
    /// The pieces of a message whose slots do not name this part. Empty for a part where every recipient has its own.
    pub usual: Vec<Piece>,
    /// How a body in UTF-8 is encoded where its variant leaves it open; without meaning for a header.
    pub transfer: Transfer,
}

impl Part {
    /// A part whose transfer encoding follows from its text.
    pub fn new(name: PartName, segments: Vec<String>, usual: Vec<Piece>) -> Part {
        Part { name, transfer: Transfer::for_text(&segments), segments, usual }
    }
}

/// Content-Transfer-Encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transfer {
    /// Readable where the text is mostly ASCII; segments are encoded once per delivery.
    QuotedPrintable,
    /// Shorter where most of the text is not ASCII.
    Base64,
}

impl Transfer {
    /// The shorter one for this text: quoted-printable makes 3 octets of each octet above 127, base64 4 of 3.
    pub fn for_text(segments: &[String]) -> Transfer {
        Transfer::for_octets(segments)
    }

    /// The same for text in any encoding.
    pub(crate) fn for_octets<T: AsRef<[u8]>>(segments: impl IntoIterator<Item = T>) -> Transfer {
        let (mut total, mut above) = (0usize, 0usize);
        for segment in segments {
            total += segment.as_ref().len();
            above += segment.as_ref().iter().filter(|octet| !octet.is_ascii()).count();
        }
        // total + 2 * above > total * 4 / 3, without fractions.
        if above * 6 > total { Transfer::Base64 } else { Transfer::QuotedPrintable }
    }
}

/// A snapshot that cannot be read or composed from.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Not a snapshot.
    #[error("not a snapshot")]
    NotASnapshot,
    /// Written by a later version.
    #[error("snapshot format {0} is not known to this version")]
    Format(u16),
    /// The line is right, the JSON is not.
    #[error("damaged snapshot: {0}")]
    Damaged(#[from] serde_json::Error),
    /// A part or a limit does not hold.
    #[error("snapshot refused: {0}")]
    Refused(&'static str),
    /// An image or attachment that is not there, or whose bytes are not those of its hash.
    #[error("the file {0} is missing or damaged")]
    Asset(String),
    /// A header of the author's cannot be written.
    #[error("header {name}: {error}")]
    Header {
        /// The header's name as given.
        name: String,
        /// Why.
        error: HeaderError,
    },
}

impl Snapshot {
    /// The part of this name.
    pub fn part(&self, name: PartName) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// A part's text for one message, links in place, line ends LF: what a mirror page or a preview shows. Images are
    /// URLs. An inert token's links act on nobody. Empty when there is no such part.
    ///
    /// # Errors
    /// When the slots do not belong to this snapshot.
    pub fn part_text(
        &self,
        name: PartName,
        slots: &Slots,
        token: Token,
        keys: &TokenKeys,
    ) -> Result<String, ComposeError> {
        let Some(part) = self.part(name) else { return Ok(String::new()) };
        let image_urls: Vec<String> = self.images.iter().map(|image| image.url(&self.public_url)).collect();
        let links = Links::new(self, token, Some(keys)).on_page(slots);
        let mut text = String::new();
        for piece in slots.part(name).unwrap_or(&part.usual) {
            match piece {
                Piece::Static(number) => {
                    let segment = self.segment(part, *number as usize, Charset::UTF_8);
                    text.push_str(&segment.ok_or(ComposeError::Segment { part: name, number: *number })?);
                }
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Link(kind) => text.push_str(&links.url(*kind, &image_urls)),
            }
        }
        Ok(text)
    }

    /// A static segment as it is written in this encoding: its name stands where the author named one, unless the
    /// author's name means the same.
    pub(crate) fn segment<'a>(
        &self,
        part: &'a Part,
        number: usize,
        charset: Charset,
    ) -> Option<Cow<'a, str>> {
        let text = part.segments.get(number)?;
        if part.name != PartName::Html || self.charset_places.is_empty() {
            return Some(Cow::Borrowed(text));
        }
        let mut written = String::new();
        let mut at = 0;
        for place in self.charset_places.iter().filter(|place| place.segment as usize == number) {
            let (start, end) = (place.start as usize, place.end as usize);
            let (Some(before), Some(name)) = (text.get(at..start), text.get(start..end)) else { continue };
            if Charset::parse(name) != Some(charset) {
                written.push_str(before);
                written.push_str(charset.name());
                at = end;
            }
        }
        if at == 0 {
            return Some(Cow::Borrowed(text));
        }
        written.push_str(&text[at..]);
        Some(Cow::Owned(written))
    }

    /// The immutable blob.
    pub fn to_bytes(&self) -> Vec<u8> {
        let format = if self.charset_places.is_empty() { SNAPSHOT_FORMAT_PLAIN } else { SNAPSHOT_FORMAT };
        let mut bytes = format!("{MAGIC}{format}\n").into_bytes();
        serde_json::to_writer(&mut bytes, self)
            .expect("a snapshot has string keys only, and a Vec takes all bytes");
        bytes
    }

    /// Reads a blob of this or an earlier format.
    ///
    /// # Errors
    /// When it is no snapshot, of a later format, damaged, or does not pass [`Snapshot::check`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
        let rest = bytes.strip_prefix(MAGIC.as_bytes()).ok_or(SnapshotError::NotASnapshot)?;
        let line_end =
            rest.iter().take(6).position(|octet| *octet == b'\n').ok_or(SnapshotError::NotASnapshot)?;
        let format =
            std::str::from_utf8(&rest[..line_end]).ok().and_then(|number| number.parse::<u16>().ok());
        match format {
            Some(SNAPSHOT_FORMAT_FIRST..=SNAPSHOT_FORMAT) => {}
            Some(other) => return Err(SnapshotError::Format(other)),
            None => return Err(SnapshotError::NotASnapshot),
        }
        let snapshot: Snapshot = serde_json::from_slice(&rest[line_end + 1..])?;
        snapshot.check()?;
        Ok(snapshot)
    }

    /// BLAKE3 of the blob, as 64 hex digits: the snapshot's name.
    pub fn hash(&self) -> String {
        Snapshot::hash_of(&self.to_bytes())
    }

    /// The name of a blob.
    pub fn hash_of(bytes: &[u8]) -> String {
        blake3::hash(bytes).to_hex().to_string()
    }

    /// Checks what compose relies on.
    ///
    /// # Errors
    /// [`SnapshotError::Refused`] with the reason, or the header that cannot be written.
    pub fn check(&self) -> Result<(), SnapshotError> {
        let refuse = |reason| Err(SnapshotError::Refused(reason));
        for (i, part) in self.parts.iter().enumerate() {
            if self.parts[..i].iter().any(|other| other.name == part.name) {
                return refuse("a part stands twice");
            }
            if part.segments.len() > SEGMENTS_MAX {
                return refuse("a part has too many segments");
            }
            if part.segments.iter().map(String::len).sum::<usize>() > PART_SIZE_MAX {
                return refuse("a part is too large");
            }
            let count = part.segments.len();
            if part.usual.iter().any(|piece| matches!(piece, Piece::Static(n) if *n as usize >= count)) {
                return refuse("a piece names a segment that is not there");
            }
        }
        for name in [PartName::FromAddress, PartName::Subject] {
            if self.part(name).is_none() {
                return refuse("no sender address or no subject");
            }
        }
        if self.part(PartName::Html).is_none() && self.part(PartName::Text).is_none() {
            return refuse("no body");
        }
        // These stand in headers as they are, without folding or encoding.
        let graphic = |text: &str| {
            text.len() <= 500 && text.bytes().all(|octet| octet.is_ascii_graphic() && !b"<>".contains(&octet))
        };
        if ![&self.public_url, &self.bounce_domain, &self.message_id_domain]
            .into_iter()
            .all(|text| graphic(text))
        {
            return refuse("a domain or the public URL has characters that no URL has");
        }
        self.check_lists()?;
        for name in &self.header_names {
            if !is_header_name(name) {
                return Err(SnapshotError::Header { name: name.clone(), error: HeaderError::Name });
            }
        }
        for (name, value) in &self.headers {
            let error =
                if is_header_name(name) { check_header_text(value).err() } else { Some(HeaderError::Name) };
            if let Some(error) = error {
                return Err(SnapshotError::Header { name: name.clone(), error });
            }
        }
        Ok(())
    }

    /// Checks what later formats added.
    fn check_lists(&self) -> Result<(), SnapshotError> {
        let refuse = |reason| Err(SnapshotError::Refused(reason));
        if self.headers.len() + self.header_names.len() > HEADERS_MAX {
            return refuse("too many headers");
        }
        if !["", "bulk", "list", "junk"].contains(&self.precedence.as_str()) {
            return refuse("Precedence is bulk, list, or nothing");
        }
        if !(1..=VARIANTS_MAX).contains(&self.variants.len()) {
            return refuse("no variant, or too many");
        }
        if self.links.len() > LINKS_MAX || self.links.iter().any(|link| link.url.len() > LINK_URL_LEN_MAX) {
            return refuse("too many links, or one too long");
        }
        if self.images.len() > IMAGES_MAX || self.attachments.len() > ATTACHMENTS_MAX {
            return refuse("too many images or attachments");
        }
        for asset in self.images.iter().chain(&self.attachments) {
            if !asset.is_sound() {
                return refuse("an image or attachment without a hash or a type");
            }
        }
        for part in &self.parts {
            let known = match part.name {
                PartName::Header(n) => usize::from(n) < self.header_names.len(),
                PartName::Attachment(n) => usize::from(n) < self.attachments.len(),
                // A message's own, in its slots.
                PartName::Code(_) => false,
                _ => true,
            };
            if !known {
                return refuse("a header or attachment that is not there");
            }
        }
        self.check_charset_places().map_err(SnapshotError::Refused)
    }
}

impl Snapshot {
    /// Each place lies in its segment, behind the one before.
    fn check_charset_places(&self) -> Result<(), &'static str> {
        const WRONG: &str = "an encoding's name that is not in the HTML";
        if self.charset_places.len() > CHARSET_PLACES_MAX {
            return Err("too many names of encodings");
        }
        let mut before = (0, 0);
        for place in &self.charset_places {
            let segments = self.part(PartName::Html).map(|part| part.segments.as_slice()).unwrap_or_default();
            let text = segments.get(place.segment as usize).ok_or(WRONG)?;
            let name = text.get(place.start as usize..place.end as usize).ok_or(WRONG)?;
            if name.is_empty() || (place.segment, place.start) < before {
                return Err(WRONG);
            }
            before = (place.segment, place.end);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn constant(name: PartName, text: &str) -> Part {
        Part {
            name,
            segments: vec![text.into()],
            usual: vec![Piece::Static(0)],
            transfer: Transfer::QuotedPrintable,
        }
    }

    fn snapshot() -> Snapshot {
        Snapshot {
            delivery: 7,
            inert: false,
            subject_prefix: String::new(),
            parts: vec![
                constant(PartName::FromAddress, "news@shop.example"),
                constant(PartName::Subject, "Hello"),
                constant(PartName::Text, "Hello\n"),
            ],
            public_url: "https://t.shop.example".into(),
            bounce_domain: "bounce.shop.example".into(),
            message_id_domain: "shop.example".into(),
            list_unsubscribe: true,
            feedback_id: "7:shop".into(),
            headers: vec![("X-Season".into(), "autumn".into())],
            ..Snapshot::default()
        }
    }

    #[test]
    fn the_blob_reads_back_and_names_itself() {
        let bytes = snapshot().to_bytes();
        assert_eq!(Snapshot::from_bytes(&bytes).unwrap(), snapshot());
        assert_eq!(snapshot().hash(), Snapshot::hash_of(&bytes));
        assert_eq!(snapshot().hash().len(), 64);
    }

    #[test]
    fn other_bytes_are_refused() {
        assert!(matches!(Snapshot::from_bytes(b"{}"), Err(SnapshotError::NotASnapshot)));
        assert!(matches!(
            Snapshot::from_bytes(b"mailwright snapshot 99\n{}"),
            Err(SnapshotError::Format(99))
        ));
        assert!(matches!(
            Snapshot::from_bytes(b"mailwright snapshot x\n{}"),
            Err(SnapshotError::NotASnapshot)
        ));
        assert!(matches!(Snapshot::from_bytes(b"mailwright snapshot 1\n{"), Err(SnapshotError::Damaged(_))));
    }

    #[test]
    fn what_compose_relies_on_is_checked() {
        let refused = |change: fn(&mut Snapshot)| {
            let mut changed = snapshot();
            change(&mut changed);
            changed.check().is_err()
        };
        assert!(!refused(|_| ()));
        assert!(refused(|s| s.parts.retain(|part| part.name != PartName::Text)));
        assert!(refused(|s| s.parts.retain(|part| part.name != PartName::Subject)));
        assert!(refused(|s| s.parts.push(s.parts[0].clone())));
        assert!(refused(|s| s.parts[0].usual.push(Piece::Static(1))));
        assert!(refused(|s| s.headers[0].1 = "a\r\nBcc: x@y.example".into()));
        assert!(refused(|s| s.headers[0].0 = "X Y".into()));
        assert!(refused(|s| s.headers[0].0 = "From".into()));
        assert!(refused(|s| s.public_url.push_str(">\r\nBcc: x@y.example")));
        assert!(refused(|s| s.message_id_domain.push('\n')));
    }

    #[test]
    fn the_shorter_encoding_is_taken() {
        assert_eq!(Transfer::for_text(&["Bonjour à tous".into()]), Transfer::QuotedPrintable);
        assert_eq!(Transfer::for_text(&["お知らせです".into()]), Transfer::Base64);
    }
}
