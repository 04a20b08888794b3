//! Splicing: static segments and literals become the body on the wire, and its DKIM hash beside it.

use aws_lc_rs::digest::{Context, SHA256};

use crate::base64_lines;
use crate::quoted_printable::{JOINT, Segment, encode, relaxed_into, relaxed_lines};

/// A body under construction.
pub(crate) struct Splice {
    /// What goes on the wire.
    pub wire: Vec<u8>,
    /// The relaxed body's hash; none when nobody signs.
    pub hash: Option<BodyHash>,
    /// Octets on the current line of quoted-printable text.
    column: usize,
    /// The relaxed form of a literal, kept to be used again.
    scratch: Vec<u8>,
}

/// How far a body was, to go back to.
pub(crate) struct Mark {
    length: usize,
    hash: Option<BodyHash>,
    column: usize,
}

/// SHA-256 of a relaxed body: empty lines at its end do not count, and it ends with one CRLF (RFC 6376 section 3.4.4).
#[derive(Clone)]
pub(crate) struct BodyHash {
    context: Context,
    /// Line ends that count only when text follows.
    held: usize,
    /// Whether any text was seen.
    begun: bool,
}

impl BodyHash {
    pub fn new() -> BodyHash {
        BodyHash { context: Context::new(&SHA256), held: 0, begun: false }
    }

    /// Takes relaxed text; a CRLF is never cut in two.
    fn update(&mut self, relaxed: &[u8]) {
        let ends = relaxed.iter().rev().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
        let text = &relaxed[..relaxed.len() - ends];
        if !text.is_empty() {
            while self.held > 0 {
                let line_ends = b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";
                let some = self.held.min(line_ends.len());
                self.context.update(&line_ends[..some]);
                self.held -= some;
            }
            self.context.update(text);
            self.begun = true;
        }
        self.held += ends;
    }

    /// Takes whole lines as they stand.
    pub fn lines(&mut self, text: &[u8]) {
        self.update(&relaxed_lines(text));
    }

    pub fn finish(mut self) -> [u8; 32] {
        if self.begun {
            self.context.update(b"\r\n");
        }
        self.context.finish().as_ref().try_into().expect("SHA-256 has 32 octets")
    }
}

impl Splice {
    pub fn new(signing: bool) -> Splice {
        Splice::over(Vec::new(), signing)
    }

    /// The same into a buffer that was in use before.
    pub fn over(mut wire: Vec<u8>, signing: bool) -> Splice {
        wire.clear();
        Splice { wire, hash: signing.then(BodyHash::new), column: 0, scratch: Vec::new() }
    }

    /// Goes on from a beginning that was prepared.
    pub fn resume(&mut self, beginning: &Splice) {
        self.wire.extend_from_slice(&beginning.wire);
        if self.hash.is_some() {
            self.hash.clone_from(&beginning.hash);
        }
        self.column = beginning.column;
    }

    pub fn mark(&self) -> Mark {
        Mark { length: self.wire.len(), hash: self.hash.clone(), column: self.column }
    }

    pub fn back_to(&mut self, mark: Mark) {
        self.wire.truncate(mark.length);
        self.hash = mark.hash;
        self.column = mark.column;
    }

    /// MIME syntax, or whole lines of base64: no run of blanks, no blank at a line's end.
    pub fn syntax(&mut self, bytes: &[u8]) {
        self.wire.extend_from_slice(bytes);
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        self.column = 0;
    }

    /// A field of a part's head, where runs of blanks may stand.
    pub fn head(&mut self, bytes: &[u8]) {
        self.wire.extend_from_slice(bytes);
        if let Some(hash) = &mut self.hash {
            hash.update(&relaxed_lines(bytes));
        }
        self.column = 0;
    }

    /// A static segment in quoted-printable.
    pub fn segment(&mut self, segment: &Segment) {
        if segment.wire().is_empty() {
            return;
        }
        let needs_break = segment.join(&mut self.column);
        if needs_break {
            self.wire.extend_from_slice(JOINT);
        }
        self.wire.extend_from_slice(segment.wire());
        if let Some(hash) = &mut self.hash {
            if needs_break {
                hash.update(JOINT);
            }
            hash.update(segment.canonical());
        }
    }

    /// Text of one message in quoted-printable.
    pub fn literal(&mut self, text: &[u8]) {
        let start = self.wire.len();
        encode(&mut self.wire, text, &mut self.column);
        if let Some(hash) = &mut self.hash {
            self.scratch.clear();
            relaxed_into(&mut self.scratch, &self.wire[start..]);
            hash.update(&self.scratch);
        }
    }

    /// A whole base64 part, its text with CRLF line ends; no line end after the last line.
    pub fn base64(&mut self, text: &[u8]) {
        let start = self.wire.len();
        base64_lines::encode(&mut self.wire, text);
        if let Some(hash) = &mut self.hash {
            hash.update(&self.wire[start..]);
        }
        self.column = 0;
    }

    /// A whole 7bit or 8bit part, with CRLF line ends.
    pub fn plain(&mut self, text: &[u8]) {
        self.wire.extend_from_slice(text);
        if let Some(hash) = &mut self.hash {
            hash.update(&relaxed_lines(text));
        }
        self.column = 0;
    }

    /// Ends the last line, where the text did not.
    pub fn end_line(&mut self) {
        if !self.wire.ends_with(b"\r\n") {
            self.syntax(b"\r\n");
        }
    }
}

/// Line ends as CRLF.
pub(crate) fn push_crlf(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|octet| matches!(octet, b'\n' | b'\r')) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(b"\r\n");
        let length = if rest[at..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[at + length..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However the text is cut, the hash is that of the whole, with one line end at its end.
        #[test]
        fn pieces_hash_as_the_whole(pieces in proptest::collection::vec("(a|bc|\r\n){0,4}", 0..12)) {
            let mut hash = BodyHash::new();
            pieces.iter().for_each(|piece| hash.update(piece.as_bytes()));
            let whole: String = pieces.concat();
            let text = whole.trim_end_matches("\r\n");
            let expected = if text.is_empty() { String::new() } else { format!("{text}\r\n") };
            let digest = aws_lc_rs::digest::digest(&SHA256, expected.as_bytes());
            prop_assert_eq!(&hash.finish()[..], digest.as_ref());
        }
    }
}
