//! Quoted-printable with joints (RFC 2045 section 6.7).
//!
//! A static segment is encoded once, from column 0, and copied into many messages at whatever column the text
//! before it ends. What makes that right: the segment knows its `lead`, the octets before its first line break,
//! and a joint writes a soft break first when column + lead would not fit. Every piece escapes a blank at its end
//! (the next piece may begin with a line break), and a full stop or `From ` at its start (a soft break may come
//! before it). So no line ends in a blank, none begins with a dot, and the relaxed DKIM form of a joint is the
//! joint of the relaxed forms.

use crate::header::HEX;

/// Octets on a line before the soft break's `=` (RFC 2045: 76 with it).
const COLUMN_MAX: usize = 75;
/// Soft line break.
const SOFT_BREAK: &[u8] = b"=\r\n";

/// A static segment in its encoded form.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    wire: Vec<u8>,
    /// The DKIM relaxed form, where it differs.
    canonical: Option<Vec<u8>>,
    /// Octets before the first break, or all.
    lead: usize,
    /// Column after the last break; none when there is no break.
    tail: Option<usize>,
}

impl Segment {
    /// Of octets in the part's character encoding; CR LF, CR and LF are line ends.
    pub fn new(text: &[u8]) -> Segment {
        let mut wire = Vec::with_capacity(text.len() + text.len() / 20 + 8);
        let mut column = 0;
        encode(&mut wire, text, &mut column);
        let first_break = wire.windows(2).position(|pair| pair == b"\r\n");
        // A soft break's `=` needs no room of its own: column 75 leaves it the 76th.
        let lead = match first_break {
            Some(at) if at > 0 && wire[at - 1] == b'=' => at - 1,
            Some(at) => at,
            None => wire.len(),
        };
        let canonical = relaxed(&wire);
        Segment {
            canonical: (canonical != wire).then_some(canonical),
            lead,
            tail: first_break.map(|_| column),
            wire,
        }
    }

    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    pub fn canonical(&self) -> &[u8] {
        self.canonical.as_deref().unwrap_or(&self.wire)
    }

    /// True when a soft break must come before this segment; `column` becomes the column after it.
    pub fn join(&self, column: &mut usize) -> bool {
        let needs_break = *column + self.lead > COLUMN_MAX;
        let before = if needs_break { 0 } else { *column };
        *column = self.tail.unwrap_or(before + self.lead);
        needs_break
    }
}

/// What a joint writes when the next segment does not fit.
pub(crate) const JOINT: &[u8] = SOFT_BREAK;

/// Encodes from `column` on. CR LF and a lone CR are line ends as LF is.
pub(crate) fn encode(out: &mut Vec<u8>, bytes: &[u8], column: &mut usize) {
    let mut at = 0;
    while at < bytes.len() {
        let octet = bytes[at];
        if octet == b'\n' || octet == b'\r' {
            out.extend_from_slice(b"\r\n");
            *column = 0;
            at += if bytes[at..].starts_with(b"\r\n") { 2 } else { 1 };
            continue;
        }
        // The usual case in one go: a run of letters that fits on the line.
        let plain = bytes[at..].iter().take_while(|octet| PLAIN[usize::from(**octet)]).count();
        if plain > 0 && (*column > 0 || !is_line_start_special(&bytes[at..])) {
            let room = COLUMN_MAX.saturating_sub(*column).min(plain);
            if room == 0 {
                out.extend_from_slice(SOFT_BREAK);
                *column = 0;
                continue;
            }
            out.extend_from_slice(&bytes[at..at + room]);
            *column += room;
            at += room;
            continue;
        }
        one_octet(out, bytes, at, column);
        at += 1;
    }
}

fn one_octet(out: &mut Vec<u8>, bytes: &[u8], at: usize, column: &mut usize) {
    let octet = bytes[at];
    let escaped = match octet {
        b' ' | b'\t' => matches!(bytes.get(at + 1), None | Some(b'\n' | b'\r')),
        b'.' | b'F' => *column == 0 && is_line_start_special(&bytes[at..]),
        _ => !PLAIN[usize::from(octet)],
    };
    let length = if escaped { 3 } else { 1 };
    if *column + length > COLUMN_MAX {
        out.extend_from_slice(SOFT_BREAK);
        *column = 0;
        return one_octet(out, bytes, at, column);
    }
    if escaped {
        out.extend_from_slice(&[b'=', HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 15)]]);
    } else {
        out.push(octet);
    }
    *column += length;
}

/// A dot (SMTP would double it) or `From ` (mailboxes would quote it); also a piece that could become `From ` with
/// the next one.
fn is_line_start_special(rest: &[u8]) -> bool {
    const FROM: &[u8] = b"From ";
    rest.first() == Some(&b'.') || rest.starts_with(FROM) || (!rest.is_empty() && FROM.starts_with(rest))
}

/// Octets that always stand for themselves: printable ASCII without `=`, and without blanks.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 33;
    while octet < 127 {
        table[octet] = octet != b'=' as usize;
        octet += 1;
    }
    table
};

/// The relaxed body form (RFC 6376 section 3.4.4) of text whose lines do not end in blanks: runs of blanks are one.
pub(crate) fn relaxed(wire: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(wire.len());
    relaxed_into(&mut out, wire);
    out
}

pub(crate) fn relaxed_into(out: &mut Vec<u8>, wire: &[u8]) {
    let mut rest = wire;
    while let Some(at) = rest.iter().position(|octet| matches!(octet, b' ' | b'\t')) {
        out.extend_from_slice(&rest[..at]);
        out.push(b' ');
        let blanks = rest[at..].iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
        rest = &rest[at + blanks..];
    }
    out.extend_from_slice(rest);
}

/// The relaxed body form of lines that may end in blanks (7bit and 8bit bodies): those blanks go.
pub(crate) fn relaxed_lines(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        let (line, end) = match line.strip_suffix(b"\r\n") {
            Some(line) => (line, &b"\r\n"[..]),
            None => (line, &b""[..]),
        };
        let blanks = line.iter().rev().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
        relaxed_into(&mut out, &line[..line.len() - blanks]);
        out.extend_from_slice(end);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An independent decoder, as RFC 2045 tells it.
    fn decode(wire: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = wire;
        while let Some((&octet, tail)) = rest.split_first() {
            rest = tail;
            if octet != b'=' {
                out.push(octet);
            } else if let Some(tail) = rest.strip_prefix(b"\r\n") {
                rest = tail;
            } else {
                let hex = std::str::from_utf8(&rest[..2]).unwrap();
                out.push(u8::from_str_radix(hex, 16).unwrap());
                rest = &rest[2..];
            }
        }
        out
    }

    fn check_lines(wire: &[u8]) {
        assert!(wire.is_ascii());
        for line in wire.split(|octet| *octet == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            assert!(line.len() <= 76, "{}", String::from_utf8_lossy(line));
            assert!(!line.ends_with(b" ") && !line.ends_with(b"\t"));
            assert!(!line.starts_with(b".") && !line.starts_with(b"From "));
        }
    }

    proptest! {
        #[test]
        fn pieces_joined_decode_to_the_text(pieces in proptest::collection::vec(("([a-zé=.F \t\n]|From |\\.){0,120}", any::<bool>()), 0..12)) {
            let mut wire = Vec::new();
            let mut column = 0;
            let mut text = String::new();
            let mut canonical = Vec::new();
            for (piece, is_static) in &pieces {
                text.push_str(piece);
                let start = wire.len();
                if *is_static {
                    let segment = Segment::new(piece.as_bytes());
                    if !piece.is_empty() && segment.join(&mut column) {
                        wire.extend_from_slice(JOINT);
                        canonical.extend_from_slice(JOINT);
                    }
                    wire.extend_from_slice(segment.wire());
                    canonical.extend_from_slice(segment.canonical());
                } else {
                    encode(&mut wire, piece.as_bytes(), &mut column);
                    relaxed_into(&mut canonical, &wire[start..]);
                }
                let line_start = wire.iter().rposition(|octet| *octet == b'\n').map_or(0, |at| at + 1);
                prop_assert_eq!(column, wire.len() - line_start);
            }
            check_lines(&wire);
            prop_assert_eq!(String::from_utf8(decode(&wire)).unwrap(), text.replace('\n', "\r\n"));
            prop_assert_eq!(relaxed(&wire), canonical);
        }
    }

    #[test]
    fn line_ends_of_all_kinds_are_one() {
        let mut wire = Vec::new();
        encode(&mut wire, b"a\r\nb\rc\nd", &mut 0);
        assert_eq!(wire, b"a\r\nb\r\nc\r\nd");
    }
}
