//! Slots: what is one recipient's own in a message, as decided by the analysis.
//!
//! Encoded form (kept in the message row, so it is compact): format octet, then per part its number, the count
//! of pieces and the pieces. A number is a LEB128 varint; a piece is `n << 2 | tag`, tag 0 static segment n, tag 1
//! literal of n bytes (which follow), tag 2 link kind n.
//!
//! Format 2 added parts and kinds of links, format 3 codes. Slots are written in the lowest format that can say them,
//! so that a node of the version before can send what it knows.

use serde::{Deserialize, Serialize};

use crate::limits::{CODES_MAX, PIECES_MAX, SLOTS_SIZE_MAX};

/// The latest format: slots with codes.
const FORMAT: u8 = 3;
/// Slots without.
const FORMAT_PLAIN: u8 = 2;
const FORMAT_FIRST: u8 = 1;

/// A piece of a part's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// The snapshot's static segment of this number, in this part.
    Static(u32),
    /// Text of this recipient, already escaped for its part; UTF-8, line ends LF.
    Literal(String),
    /// A link of this message; its token is made at compose.
    Link(LinkKind),
}

/// Links that every message can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// The unsubscribe page.
    Unsubscribe,
    /// The message as a web page.
    Mirror,
    /// The pixel that tells of an opened message.
    Open,
    /// The redirect of the snapshot's link of this number.
    Tracked(u16),
    /// The snapshot's image of this number: its URL, or its `cid:` in a variant that carries it along.
    Image(u16),
    /// The message's own code of this number ([`PartName::Code`]): its `cid:`, or on a page its data.
    Code(u8),
}

/// Kinds of links from this number on are codes: images and tracked links end below it.
const CODE_LINK_NUMBER: u64 = 6 + 2 * u16::MAX as u64;

impl LinkKind {
    /// True when all messages of a variant have the same URL.
    pub(crate) fn is_constant(self) -> bool {
        matches!(self, LinkKind::Image(_))
    }

    /// The number in encoded slots.
    fn number(self) -> u64 {
        match self {
            LinkKind::Unsubscribe => 0,
            LinkKind::Mirror => 1,
            LinkKind::Open => 2,
            LinkKind::Tracked(n) => 4 + 2 * u64::from(n),
            LinkKind::Image(n) => 5 + 2 * u64::from(n),
            LinkKind::Code(n) => CODE_LINK_NUMBER + u64::from(n),
        }
    }

    fn from_number(number: u64) -> Option<LinkKind> {
        let nth = || u16::try_from((number - 4) / 2).ok();
        if let Some(code) = number.checked_sub(CODE_LINK_NUMBER) {
            return u8::try_from(code).ok().filter(|code| *code < CODES_MAX).map(LinkKind::Code);
        }
        match number {
            0 => Some(LinkKind::Unsubscribe),
            1 => Some(LinkKind::Mirror),
            2 => Some(LinkKind::Open),
            3 => None,
            _ if number.is_multiple_of(2) => nth().map(LinkKind::Tracked),
            _ => nth().map(LinkKind::Image),
        }
    }
}

/// A part of a message that has text of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartName {
    /// The HTML body.
    Html,
    /// The plain text body.
    Text,
    /// The subject, without a proof's prefix.
    Subject,
    /// The sender's display name; may be empty.
    FromName,
    /// The sender's address, as it stands on the wire (`address::Mailbox::smtp`).
    FromAddress,
    /// `address` or `Name <address>`, the address as it stands on the wire; empty: no Reply-To.
    ReplyTo,
    /// The envelope sender, as it stands on the wire; empty: a signed return path per message.
    ErrorAddress,
    /// The AMP body (`text/x-amp-html`).
    Amp,
    /// The text of the added header of this number ([`Snapshot::header_names`](crate::Snapshot::header_names)).
    Header(u8),
    /// The file name of the attachment of this number; empty: this recipient does not get it.
    Attachment(u8),
    /// The image of the message's code of this number, below [`CODES_MAX`]: one literal that
    /// [`code_data`](crate::code_data) wrote. It stands in slots alone, since no two recipients need have the same.
    Code(u8),
}

/// Numbers of header parts in encoded slots begin here.
const HEADER_NUMBER: u8 = 64;
/// Numbers of attachment parts in encoded slots begin here.
const ATTACHMENT_NUMBER: u8 = 128;
/// Numbers of code parts in encoded slots begin here.
const CODE_NUMBER: u8 = 192;

impl PartName {
    /// The parts that stand once, in the order of their numbers.
    pub const ALL: [PartName; 8] = [
        PartName::Html,
        PartName::Text,
        PartName::Subject,
        PartName::FromName,
        PartName::FromAddress,
        PartName::ReplyTo,
        PartName::ErrorAddress,
        PartName::Amp,
    ];

    /// The word shown to people and used in JSON: `html`, `text`, `subject`, `from_name`, ….
    pub fn as_str(self) -> &'static str {
        match self {
            PartName::Html => "html",
            PartName::Text => "text",
            PartName::Subject => "subject",
            PartName::FromName => "from_name",
            PartName::FromAddress => "from_address",
            PartName::ReplyTo => "reply_to",
            PartName::ErrorAddress => "error_address",
            PartName::Amp => "amp",
            PartName::Header(_) => "headers",
            PartName::Attachment(_) => "attachments",
            PartName::Code(_) => "codes",
        }
    }

    /// True for the parts that stand in a header or in the envelope; a file name stands in one too.
    pub fn is_header(self) -> bool {
        !matches!(self, PartName::Html | PartName::Text | PartName::Amp | PartName::Code(_))
    }

    fn number(self) -> u8 {
        match self {
            PartName::Html => 0,
            PartName::Text => 1,
            PartName::Subject => 2,
            PartName::FromName => 3,
            PartName::FromAddress => 4,
            PartName::ReplyTo => 5,
            PartName::ErrorAddress => 6,
            PartName::Amp => 7,
            // Snapshot::check keeps both below 64.
            PartName::Header(n) => HEADER_NUMBER | n & 63,
            PartName::Attachment(n) => ATTACHMENT_NUMBER | n & 63,
            PartName::Code(n) => CODE_NUMBER | n & 63,
        }
    }

    fn from_number(number: u8) -> Option<PartName> {
        match number {
            HEADER_NUMBER..ATTACHMENT_NUMBER => Some(PartName::Header(number - HEADER_NUMBER)),
            ATTACHMENT_NUMBER..CODE_NUMBER => Some(PartName::Attachment(number - ATTACHMENT_NUMBER)),
            CODE_NUMBER.. => Some(number - CODE_NUMBER).filter(|code| *code < CODES_MAX).map(PartName::Code),
            _ => PartName::ALL.get(usize::from(number)).copied(),
        }
    }
}

/// One recipient's pieces. A part that is not named here is the same for everybody: its pieces are the
/// snapshot's [`Part::usual`](crate::Part::usual).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slots {
    /// Pieces per part, each part at most once.
    pub parts: Vec<(PartName, Vec<Piece>)>,
}

/// Encoded slots that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlotsError {
    /// Written by a later version.
    #[error("slots of format {0} are not known to this version")]
    Format(u8),
    /// Cut off, or not slots at all.
    #[error("damaged slots")]
    Damaged,
    /// More than [`SLOTS_SIZE_MAX`] bytes or [`PIECES_MAX`] pieces.
    #[error("slots too large")]
    TooLarge,
}

impl Slots {
    /// The pieces of a part, if this recipient has its own.
    pub fn part(&self, name: PartName) -> Option<&[Piece]> {
        self.parts.iter().find(|(part, _)| *part == name).map(|(_, pieces)| pieces.as_slice())
    }

    /// Octets of this recipient's own text, to size buffers.
    pub(crate) fn text_len(&self) -> usize {
        let pieces = self.parts.iter().flat_map(|(_, pieces)| pieces);
        pieces
            .map(|piece| match piece {
                Piece::Static(_) => 0,
                Piece::Literal(text) => text.len() * 2,
                Piece::Link(_) => 128,
            })
            .sum()
    }

    /// The compact form kept in the message row. Two equal slots give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        let has_codes = self.parts.iter().any(|(name, pieces)| {
            matches!(name, PartName::Code(_))
                || pieces.iter().any(|piece| matches!(piece, Piece::Link(LinkKind::Code(_))))
        });
        out.push(if has_codes { FORMAT } else { FORMAT_PLAIN });
        for (name, pieces) in &self.parts {
            out.push(name.number());
            put_varint(&mut out, pieces.len() as u64);
            for piece in pieces {
                match piece {
                    Piece::Static(n) => put_varint(&mut out, u64::from(*n) << 2),
                    Piece::Literal(text) => {
                        put_varint(&mut out, (text.len() as u64) << 2 | 1);
                        out.extend_from_slice(text.as_bytes());
                    }
                    Piece::Link(kind) => put_varint(&mut out, kind.number() << 2 | 2),
                }
            }
        }
        out
    }

    /// Reads what [`Slots::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`SlotsError`] for anything else; never panics on hostile bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Slots, SlotsError> {
        if bytes.len() > SLOTS_SIZE_MAX {
            return Err(SlotsError::TooLarge);
        }
        let (&format, mut rest) = bytes.split_first().ok_or(SlotsError::Damaged)?;
        if !(FORMAT_FIRST..=FORMAT).contains(&format) {
            return Err(SlotsError::Format(format));
        }
        let mut parts: Vec<(PartName, Vec<Piece>)> = Vec::new();
        while let Some((&number, tail)) = rest.split_first() {
            rest = tail;
            let name = PartName::from_number(number).ok_or(SlotsError::Damaged)?;
            if parts.iter().any(|(part, _)| *part == name) {
                return Err(SlotsError::Damaged);
            }
            let count = take_varint(&mut rest)? as usize;
            // A piece takes an octet at least, so a count above the rest is damage, not a reason to allocate.
            if count > rest.len() || count > PIECES_MAX {
                return Err(SlotsError::Damaged);
            }
            let mut pieces = Vec::with_capacity(count);
            for _ in 0..count {
                pieces.push(take_piece(&mut rest)?);
            }
            parts.push((name, pieces));
        }
        Ok(Slots { parts })
    }
}

fn take_piece(rest: &mut &[u8]) -> Result<Piece, SlotsError> {
    let head = take_varint(rest)?;
    let n = head >> 2;
    match head & 3 {
        0 => u32::try_from(n).map(Piece::Static).map_err(|_| SlotsError::Damaged),
        1 => {
            let length = usize::try_from(n).map_err(|_| SlotsError::Damaged)?;
            let (text, tail) = rest.split_at_checked(length).ok_or(SlotsError::Damaged)?;
            *rest = tail;
            let text = std::str::from_utf8(text).map_err(|_| SlotsError::Damaged)?;
            Ok(Piece::Literal(text.to_owned()))
        }
        2 => LinkKind::from_number(n).map(Piece::Link).ok_or(SlotsError::Damaged),
        _ => Err(SlotsError::Damaged),
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(rest: &mut &[u8]) -> Result<u64, SlotsError> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let (&octet, tail) = rest.split_first().ok_or(SlotsError::Damaged)?;
        *rest = tail;
        value |= u64::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(SlotsError::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece() -> impl Strategy<Value = Piece> {
        prop_oneof![
            any::<u32>().prop_map(Piece::Static),
            ".{0,40}".prop_map(Piece::Literal),
            Just(Piece::Link(LinkKind::Unsubscribe)),
            Just(Piece::Link(LinkKind::Mirror)),
            Just(Piece::Link(LinkKind::Open)),
            any::<u16>().prop_map(|n| Piece::Link(LinkKind::Tracked(n))),
            any::<u16>().prop_map(|n| Piece::Link(LinkKind::Image(n))),
            (0..CODES_MAX).prop_map(|n| Piece::Link(LinkKind::Code(n))),
        ]
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(html in proptest::collection::vec(piece(), 0..40), subject in proptest::collection::vec(piece(), 0..4), n in 0u8..64, code in 0..CODES_MAX) {
            let parts = vec![
                (PartName::Html, html),
                (PartName::Subject, subject.clone()),
                (PartName::Amp, subject.clone()),
                (PartName::Header(n), subject.clone()),
                (PartName::Attachment(n), subject.clone()),
                (PartName::Code(code), subject),
            ];
            let slots = Slots { parts };
            prop_assert_eq!(Slots::from_bytes(&slots.to_bytes()).unwrap(), slots);
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Slots::from_bytes(&bytes);
            let mut known = vec![FORMAT];
            known.extend(bytes);
            let _ = Slots::from_bytes(&known);
        }
    }

    #[test]
    fn a_later_format_is_named() {
        assert_eq!(Slots::from_bytes(&[9]), Err(SlotsError::Format(9)));
        assert_eq!(Slots::from_bytes(&[]), Err(SlotsError::Damaged));
        assert_eq!(Slots::from_bytes(&vec![1; SLOTS_SIZE_MAX + 1]), Err(SlotsError::TooLarge));
    }

    #[test]
    fn slots_without_codes_are_of_the_format_before() {
        let of = |piece| Slots { parts: vec![(PartName::Html, vec![piece])] };
        assert_eq!(of(Piece::Link(LinkKind::Image(u16::MAX))).to_bytes()[0], 2);
        assert_eq!(of(Piece::Link(LinkKind::Code(0))).to_bytes()[0], 3);
        let image = Slots { parts: vec![(PartName::Code(9), vec![Piece::Literal("x".into())])] };
        assert_eq!(image.to_bytes()[0], 3);
        let beyond = [3, CODE_NUMBER + CODES_MAX, 0];
        assert_eq!(Slots::from_bytes(&beyond), Err(SlotsError::Damaged));
    }

    #[test]
    fn a_part_cannot_stand_twice() {
        let twice = Slots { parts: vec![(PartName::Text, vec![]), (PartName::Text, vec![])] };
        assert_eq!(Slots::from_bytes(&twice.to_bytes()), Err(SlotsError::Damaged));
    }
}
