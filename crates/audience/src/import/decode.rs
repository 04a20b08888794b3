//! Bytes of a file in any encoding -> UTF-8, chunk by chunk. A sequence that means nothing in the encoding becomes U+FFFD and its place
//! is kept, so that the row it stands in can be rejected and no other.

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 64 * 1_024;
/// U+FFFD in UTF-8.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// The encoding that an import names: WHATWG labels (`utf-8`, `shift_jis`, `latin1`, `windows-1252`, `euc-jp` …) with `_` for
/// `-` allowed. None named is UTF-8; a byte order mark goes before any name.
pub(super) fn encoding(name: Option<&str>) -> Option<&'static Encoding> {
    let name = name.unwrap_or_default().trim();
    match name.to_ascii_lowercase().as_str() {
        "" | "auto" | "utf-8-sig" | "utf_8_sig" | "utf-8-bom" => return Some(UTF_8),
        "latin-1" | "latin_1" => return Encoding::for_label(b"latin1"),
        "cp932" => return Encoding::for_label(b"shift_jis"),
        _ => {}
    }
    Encoding::for_label(name.as_bytes())
        .or_else(|| Encoding::for_label(name.replace('_', "-").as_bytes()))
        .filter(|encoding| *encoding != encoding_rs::REPLACEMENT)
}

/// A reader's text, one chunk in memory.
pub(super) struct Decoded<R> {
    reader: R,
    decoder: Decoder,
    raw: Vec<u8>,
    raw_at: usize,
    raw_end: usize,
    text: Vec<u8>,
    text_end: usize,
    malformed: Vec<usize>,
    bytes_read: u64,
    source_ended: bool,
    ended: bool,
}

impl<R: Read> Decoded<R> {
    pub fn new(reader: R, encoding: &'static Encoding) -> Decoded<R> {
        Decoded {
            reader,
            decoder: encoding.new_decoder(),
            raw: vec![0; CHUNK_BYTES],
            raw_at: 0,
            raw_end: 0,
            text: vec![0; CHUNK_BYTES * 3],
            text_end: 0,
            malformed: Vec::new(),
            bytes_read: 0,
            source_ended: false,
            ended: false,
        }
    }

    /// Puts the next chunk in place of the last. False: there is no more.
    pub fn fill(&mut self) -> io::Result<bool> {
        self.text_end = 0;
        self.malformed.clear();
        let room_end = self.text.len() - REPLACEMENT.len();
        while !self.ended && self.text_end + 8 < room_end {
            if self.raw_at == self.raw_end && !self.source_ended {
                self.read()?;
            }
            let from = &self.raw[self.raw_at..self.raw_end];
            let to = &mut self.text[self.text_end..room_end];
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(from, to, self.source_ended);
            self.raw_at += read;
            self.text_end += written;
            match result {
                DecoderResult::InputEmpty => {
                    self.ended = self.source_ended;
                    if self.text_end > 0 {
                        break;
                    }
                }
                DecoderResult::OutputFull => break,
                DecoderResult::Malformed(..) => {
                    self.malformed.push(self.text_end);
                    self.text[self.text_end..self.text_end + REPLACEMENT.len()].copy_from_slice(REPLACEMENT);
                    self.text_end += REPLACEMENT.len();
                }
            }
        }
        Ok(self.text_end > 0)
    }

    fn read(&mut self) -> io::Result<()> {
        self.raw_at = 0;
        self.raw_end = 0;
        self.raw_end = loop {
            match self.reader.read(&mut self.raw) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.bytes_read += self.raw_end as u64;
        self.source_ended = self.raw_end == 0;
        Ok(())
    }

    /// The chunk.
    pub fn text(&self) -> &[u8] {
        &self.text[..self.text_end]
    }

    /// Where in the chunk something malformed was replaced, in order.
    pub fn malformed(&self) -> &[usize] {
        &self.malformed
    }

    /// Bytes taken from the reader so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The encoding in use; a byte order mark may have changed it.
    pub fn encoding_name(&self) -> &'static str {
        self.decoder.encoding().name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that gives one byte at a time: every sequence is cut everywhere.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(1);
            to[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn all(bytes: &[u8], name: Option<&str>) -> (String, usize) {
        let mut decoded = Decoded::new(Drip(bytes), encoding(name).unwrap());
        let (mut text, mut malformed) = (Vec::new(), 0);
        while decoded.fill().unwrap() {
            text.extend_from_slice(decoded.text());
            malformed += decoded.malformed().len();
        }
        (String::from_utf8(text).unwrap(), malformed)
    }

    #[test]
    fn every_encoding_is_read() {
        assert_eq!(all("\u{feff}é東".as_bytes(), None), ("é東".into(), 0));
        assert_eq!(all(b"\x8d\x82\x96\xd8,\\", Some("shift_jis")), ("高木,\\".into(), 0));
        assert_eq!(all(b"Zo\xeb", Some("latin-1")), ("Zoë".into(), 0));
        assert_eq!(all(b"Zo\xeb \x80", Some("windows-1252")), ("Zoë €".into(), 0));
        assert_eq!(all(b"\xff\xfea\0\xe9\0", None), ("aé".into(), 0), "a byte order mark decides");
        assert!(encoding(Some("klingon")).is_none());
    }

    #[test]
    fn malformed_sequences_are_counted_where_they_stand() {
        assert_eq!(all(b"a\xffb\xe9c", None), ("a\u{fffd}b\u{fffd}c".into(), 2));
        assert_eq!(all(b"a\x8d", Some("shift_jis")), ("a\u{fffd}".into(), 1));
        let garbage = vec![0xff; CHUNK_BYTES * 2];
        assert_eq!(all(&garbage, None).1, garbage.len());
    }
}
