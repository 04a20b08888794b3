//! Are the lines of a message short enough for 7bit and 8bit? The analysis asks, and keeps the answer in the flags.

use std::borrow::Cow;

use crate::charset::Charset;
use crate::limits::LINE_LEN_PLAIN_MAX;
use crate::plan::part_names;
use crate::slots::{PartName, Piece, Slots};
use crate::snapshot::Snapshot;
use crate::variant::{BodyEncoding, FLAGS_LONG_LINES, TransferChoice, Variant};

/// Octets of a link's path and token, rounded up.
const LINK_LEN: usize = 80;
/// A line of so many bytes of UTF-8 is short in every encoding: ISO-2022-JP needs 9 octets for 4 at most, where each
/// letter changes the set.
const SHORT: usize = LINE_LEN_PLAIN_MAX * 4 / 9;

impl Snapshot {
    /// The flags of a message row: the variant's number, and [`FLAGS_LONG_LINES`] when a line of a body that the variant
    /// would write in 7bit or 8bit is too long for that. A missing variant is the first, as everywhere.
    pub fn flags(&self, slots: &Slots, variant: u8) -> i64 {
        let known = self.variants.get(usize::from(variant));
        let number = if known.is_some() { i64::from(variant) } else { 0 };
        let Some(variant) = known.or(self.variants.first()) else { return number };
        let long = part_names(self, variant).into_iter().any(|name| self.is_long(name, slots, variant));
        number | if long { FLAGS_LONG_LINES } else { 0 }
    }

    fn is_long(&self, name: PartName, slots: &Slots, variant: &Variant) -> bool {
        let encoding = match name {
            PartName::Html => variant.html,
            PartName::Text => variant.text,
            _ => return false,
        };
        let Some(part) = self.part(name).filter(|_| is_plain(encoding)) else { return false };
        let mut line = String::new();
        for piece in slots.part(name).unwrap_or(&part.usual) {
            let text = match piece {
                Piece::Static(number) => {
                    part.segments.get(*number as usize).map_or(Cow::Borrowed(""), |text| Cow::Borrowed(text))
                }
                Piece::Literal(text) => Cow::Borrowed(text.as_str()),
                Piece::Link(_) => Cow::Owned("x".repeat(self.public_url.len() + LINK_LEN)),
            };
            for (number, piece) in text.split(['\n', '\r']).enumerate() {
                if number > 0 {
                    if is_line_long(encoding.charset, &line) {
                        return true;
                    }
                    line.clear();
                }
                line.push_str(piece);
            }
        }
        is_line_long(encoding.charset, &line)
    }
}

fn is_plain(encoding: BodyEncoding) -> bool {
    match encoding.transfer {
        TransferChoice::SevenBit | TransferChoice::EightBit => true,
        TransferChoice::Auto => encoding.charset == Charset::ISO_2022_JP,
        TransferChoice::QuotedPrintable | TransferChoice::Base64 => false,
    }
}

fn is_line_long(charset: Charset, line: &str) -> bool {
    line.len() > SHORT && charset.encode_with_geta(line).len() > LINE_LEN_PLAIN_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Part;
    use crate::variant::Structure;

    #[test]
    fn a_long_line_is_seen_over_pieces() {
        let jis = Variant::new(Structure::Alternative, Charset::ISO_2022_JP);
        let part = Part::new(PartName::Html, vec!["あ".repeat(200), "\n".into()], vec![]);
        let snapshot = Snapshot { parts: vec![part], variants: vec![jis], ..Snapshot::default() };
        let slots = |literal: &str| Slots {
            parts: vec![(
                PartName::Html,
                vec![Piece::Static(0), Piece::Literal(literal.into()), Piece::Static(1)],
            )],
        };
        assert_eq!(snapshot.flags(&slots("short"), 0), 0);
        assert_eq!(snapshot.flags(&slots("short"), 9), 0);
        assert_eq!(snapshot.flags(&slots(&"い".repeat(300)), 0), FLAGS_LONG_LINES);
        let plain = Snapshot { variants: Variant::standard(Charset::UTF_8), ..snapshot };
        assert_eq!(plain.flags(&slots(&"い".repeat(900)), 2), 2);
    }
}
