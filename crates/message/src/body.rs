//! One body part in one encoding: its static text encoded once, spliced with a message's own text.

use crate::charset::Charset;
use crate::compose::ComposeError;
use crate::limits::LINE_LEN_PLAIN_MAX;
use crate::links::Links;
use crate::quoted_printable::Segment;
use crate::slots::{PartName, Piece, Slots};
use crate::snapshot::{Part, Snapshot, Transfer};
use crate::splice::{Splice, push_crlf};
use crate::variant::{BodyEncoding, TransferChoice};

/// Fields of a part's head.
pub(crate) type Head = Vec<(&'static str, String)>;

/// How a body is written on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    QuotedPrintable,
    Base64,
    SevenBit,
    EightBit,
}

impl Form {
    fn as_str(self) -> &'static str {
        match self {
            Form::QuotedPrintable => "quoted-printable",
            Form::Base64 => "base64",
            Form::SevenBit => "7bit",
            Form::EightBit => "8bit",
        }
    }
}

/// What makes a body another one: variants that agree in these share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BodyKey {
    pub name: PartName,
    pub encoding: BodyEncoding,
    /// A character that the encoding lacks becomes U+3013.
    pub geta: bool,
    /// URL of each image of the snapshot.
    pub images: std::sync::Arc<[String]>,
}

/// A body part's static text in its encoded form.
pub(crate) struct Body {
    pub key: BodyKey,
    pub usual: Vec<Piece>,
    form: Form,
    /// None: the encoding lacks a character of this segment.
    segments: Vec<Option<Encoded>>,
    /// Octets of all segments, to size the buffers.
    pub size: usize,
}

enum Encoded {
    Quoted(Segment),
    /// With CRLF line ends; made ready for the wire when the part is complete.
    Octets(Vec<u8>),
}

/// The encoding lacks a character of this message.
struct Lacks;

/// How a body went.
pub(crate) enum Written {
    /// It stands, in this form.
    As(Form),
    /// The encoding lacks a character: what was written so far is to be taken back, and the part written in UTF-8.
    Lacks,
}

impl Body {
    pub fn new(key: BodyKey, part: &Part, snapshot: &Snapshot) -> Body {
        let encoded: Vec<Option<Vec<u8>>> = (0..part.segments.len())
            .map(|number| {
                let text = snapshot.segment(part, number, key.encoding.charset).unwrap_or_default();
                encode(&key, &text).map(|octets| octets.into_owned()).ok()
            })
            .collect();
        let form = form(key.encoding, part, &encoded);
        let segments: Vec<Option<Encoded>> = encoded
            .into_iter()
            .map(|octets| {
                octets.map(|octets| match form {
                    Form::QuotedPrintable if key.encoding.charset != Charset::ISO_2022_JP => {
                        Encoded::Quoted(Segment::new(&octets))
                    }
                    _ => Encoded::Octets(with_crlf(&octets)),
                })
            })
            .collect();
        let size = segments
            .iter()
            .flatten()
            .map(|segment| match segment {
                Encoded::Quoted(segment) => segment.wire().len() + 3,
                Encoded::Octets(octets) => octets.len() * 3 / 2,
            })
            .sum();
        Body { usual: part.usual.clone(), key, form, segments, size }
    }

    /// True when every message has the same text here.
    pub fn is_constant(&self) -> bool {
        !self.usual.is_empty()
            && self.usual.iter().all(|piece| !matches!(piece, Piece::Link(kind) if !kind.is_constant()))
    }

    /// True when form and head are the same for every message: UTF-8 has all characters, and these two forms all texts.
    pub fn is_sure(&self) -> bool {
        self.key.encoding.charset == Charset::UTF_8
            && matches!(self.form, Form::QuotedPrintable | Form::Base64)
    }

    /// The first segment, when the body can be begun with it before its other pieces are known.
    pub fn opening(&self) -> Option<&Segment> {
        match self.segments.first() {
            Some(Some(Encoded::Quoted(segment))) if self.is_sure() => Some(segment),
            _ => None,
        }
    }

    pub fn head(&self, form: Form) -> Head {
        let subtype = match self.key.name {
            PartName::Html => "html",
            PartName::Amp => "x-amp-html",
            _ => "plain",
        };
        let charset = self.key.encoding.charset.name();
        vec![
            ("Content-Type", format!("text/{subtype}; charset={charset}")),
            ("Content-Transfer-Encoding", form.as_str().to_owned()),
        ]
    }

    /// Form of a sure body.
    pub fn sure_head(&self) -> Head {
        self.head(self.form)
    }

    /// The pieces of this part in a message.
    pub fn pieces<'a>(&'a self, slots: &'a Slots) -> Result<&'a [Piece], ComposeError> {
        match slots.part(self.key.name) {
            Some(pieces) => Ok(pieces),
            None if self.usual.is_empty() => Err(ComposeError::NoPieces(self.key.name)),
            None => Ok(&self.usual),
        }
    }

    /// Writes head and text. `alone`: the head stands among the message's own fields instead.
    pub fn write(
        &self,
        splice: &mut Splice,
        pieces: &[Piece],
        links: &Links<'_>,
        long_lines: bool,
        alone: bool,
    ) -> Result<Written, ComposeError> {
        // ISO-2022-JP is put together first, because its pieces lose escapes where they meet.
        if self.form == Form::QuotedPrintable && self.key.encoding.charset != Charset::ISO_2022_JP {
            if !alone {
                splice.head(&head_bytes(&self.head(self.form)));
            }
            return self.write_quoted(splice, pieces, links);
        }
        let mut text = Vec::with_capacity(self.size);
        match self.gather(&mut text, pieces, links)? {
            Ok(()) => {}
            Err(Lacks) => return Ok(Written::Lacks),
        }
        let form = match self.form {
            Form::SevenBit | Form::EightBit if long_lines || !is_plain(&text, self.form) => Form::Base64,
            form => form,
        };
        if !alone {
            splice.head(&head_bytes(&self.head(form)));
        }
        match form {
            Form::Base64 => splice.base64(&text),
            Form::QuotedPrintable => splice.literal(&text),
            _ => splice.plain(&text),
        }
        Ok(Written::As(form))
    }

    /// Splices pieces in quoted-printable.
    pub fn write_quoted(
        &self,
        splice: &mut Splice,
        pieces: &[Piece],
        links: &Links<'_>,
    ) -> Result<Written, ComposeError> {
        for piece in pieces {
            let text = match piece {
                Piece::Static(number) => match self.segment(*number)? {
                    Some(Encoded::Quoted(segment)) => {
                        splice.segment(segment);
                        continue;
                    }
                    _ => return Ok(Written::Lacks),
                },
                Piece::Literal(text) => std::borrow::Cow::Borrowed(text.as_str()),
                Piece::Link(kind) => links.url(*kind, &self.key.images),
            };
            match encode(&self.key, &text) {
                Ok(octets) => splice.literal(&octets),
                Err(Lacks) => return Ok(Written::Lacks),
            }
        }
        Ok(Written::As(Form::QuotedPrintable))
    }

    /// The whole text in its encoding, with CRLF line ends.
    fn gather(
        &self,
        out: &mut Vec<u8>,
        pieces: &[Piece],
        links: &Links<'_>,
    ) -> Result<Result<(), Lacks>, ComposeError> {
        let charset = self.key.encoding.charset;
        for piece in pieces {
            let text = match piece {
                Piece::Static(number) => match self.segment(*number)? {
                    Some(Encoded::Octets(octets)) => {
                        charset.join(out, octets);
                        continue;
                    }
                    _ => return Ok(Err(Lacks)),
                },
                Piece::Literal(text) => std::borrow::Cow::Borrowed(text.as_str()),
                Piece::Link(kind) => links.url(*kind, &self.key.images),
            };
            match encode(&self.key, &text) {
                Ok(octets) if charset == Charset::ISO_2022_JP => charset.join(out, &with_crlf(&octets)),
                Ok(octets) => push_crlf(out, &octets),
                Err(Lacks) => return Ok(Err(Lacks)),
            }
        }
        Ok(Ok(()))
    }

    fn segment(&self, number: u32) -> Result<Option<&Encoded>, ComposeError> {
        let missing = ComposeError::Segment { part: self.key.name, number };
        self.segments.get(number as usize).map(Option::as_ref).ok_or(missing)
    }
}

/// A head as it stands in a multipart, its empty line with it.
pub(crate) fn head_bytes(head: &Head) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    for (name, value) in head {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn encode<'a>(key: &BodyKey, text: &'a str) -> Result<std::borrow::Cow<'a, [u8]>, Lacks> {
    let charset = key.encoding.charset;
    if charset == Charset::UTF_8 {
        return Ok(std::borrow::Cow::Borrowed(text.as_bytes()));
    }
    match charset.encode(text) {
        Ok(octets) => Ok(std::borrow::Cow::Owned(octets)),
        Err(_) if key.geta => Ok(std::borrow::Cow::Owned(charset.encode_with_geta(text))),
        Err(_) => Err(Lacks),
    }
}

/// The form that an encoding and the static text ask for.
fn form(encoding: BodyEncoding, part: &Part, encoded: &[Option<Vec<u8>>]) -> Form {
    match encoding.transfer {
        TransferChoice::SevenBit => Form::SevenBit,
        TransferChoice::EightBit => Form::EightBit,
        TransferChoice::QuotedPrintable => Form::QuotedPrintable,
        TransferChoice::Base64 => Form::Base64,
        TransferChoice::Auto if encoding.charset == Charset::UTF_8 => match part.transfer {
            Transfer::QuotedPrintable => Form::QuotedPrintable,
            Transfer::Base64 => Form::Base64,
        },
        TransferChoice::Auto if encoding.charset == Charset::ISO_2022_JP => Form::SevenBit,
        TransferChoice::Auto => match Transfer::for_octets(encoded.iter().flatten()) {
            Transfer::QuotedPrintable => Form::QuotedPrintable,
            Transfer::Base64 => Form::Base64,
        },
    }
}

fn with_crlf(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    push_crlf(&mut out, octets);
    out
}

/// True when a whole text with CRLF line ends may go as it is: lines not too long, no NUL, seven bits where that is
/// asked for, and no line that could be taken for a boundary (ours all begin with `=_`).
fn is_plain(text: &[u8], form: Form) -> bool {
    !text.contains(&0)
        && (form == Form::EightBit || text.is_ascii())
        && text
            .split(|octet| *octet == b'\n')
            .all(|line| line.len() <= LINE_LEN_PLAIN_MAX && !line.starts_with(b"--=_"))
}
