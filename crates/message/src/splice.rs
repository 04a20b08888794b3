//! Splicing: static segments and literals become the body on the wire, and its DKIM form beside it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::quoted_printable::{JOINT, Segment, encode, relaxed_into};

/// Octets of text on one base64 line of 76.
const BASE64_LINE_TEXT: usize = 57;

/// A body under construction.
#[derive(Clone, Default)]
pub(crate) struct Splice {
    /// What goes on the wire.
    pub wire: Vec<u8>,
    /// The relaxed form of what is not hashed yet; empty when nobody signs.
    pub canonical: Vec<u8>,
    /// Octets on the current line of quoted-printable text.
    pub column: usize,
    /// Whether the canonical form is wanted.
    pub signing: bool,
}

impl Splice {
    /// MIME syntax: no run of blanks, no blank at a line's end.
    pub fn syntax(&mut self, bytes: &[u8]) {
        self.wire.extend_from_slice(bytes);
        if self.signing {
            self.canonical.extend_from_slice(bytes);
        }
        self.column = 0;
    }

    pub fn segment(&mut self, segment: &Segment) {
        if segment.wire().is_empty() {
            return;
        }
        let needs_break = segment.join(&mut self.column);
        if needs_break {
            self.wire.extend_from_slice(JOINT);
        }
        self.wire.extend_from_slice(segment.wire());
        if self.signing {
            if needs_break {
                self.canonical.extend_from_slice(JOINT);
            }
            self.canonical.extend_from_slice(segment.canonical());
        }
    }

    pub fn literal(&mut self, text: &str) {
        let start = self.wire.len();
        encode(&mut self.wire, text, &mut self.column);
        if self.signing {
            relaxed_into(&mut self.canonical, &self.wire[start..]);
        }
    }

    /// A whole base64 part, its text with CRLF line ends; no line end after the last line.
    pub fn base64(&mut self, text: &[u8]) {
        let start = self.wire.len();
        let mut line = [0; 76];
        for (number, chunk) in text.chunks(BASE64_LINE_TEXT).enumerate() {
            if number > 0 {
                self.wire.extend_from_slice(b"\r\n");
            }
            let length = STANDARD.encode_slice(chunk, &mut line).expect("57 octets fill a line of 76");
            self.wire.extend_from_slice(&line[..length]);
        }
        if self.signing {
            self.canonical.extend_from_slice(&self.wire[start..]);
        }
        self.column = self.wire.len() - start;
    }

    /// Ends the last line, where the text did not.
    pub fn end_line(&mut self) {
        if !self.wire.ends_with(b"\r\n") {
            self.syntax(b"\r\n");
        }
    }
}

/// Line ends as CRLF, for base64 text.
pub(crate) fn push_crlf(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|octet| matches!(octet, b'\n' | b'\r')) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(b"\r\n");
        let length = if rest[at..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[at + length..];
    }
    out.extend_from_slice(rest);
}
