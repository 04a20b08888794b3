//! base64 in lines of 76 (RFC 2045 section 6.8).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Octets of text on one line.
const LINE_TEXT: usize = 57;
/// Characters of one line.
const LINE_LEN: usize = 76;
/// Lines encoded in one go: the encoder is fast on long runs, and the buffer stays in the nearest cache.
const BLOCK_LINES: usize = 64;

/// Appends the text as whole lines; no line end after the last one.
pub(crate) fn encode(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(encoded_len(text.len()));
    let mut block = [0; BLOCK_LINES * LINE_LEN];
    for (number, chunk) in text.chunks(BLOCK_LINES * LINE_TEXT).enumerate() {
        let length = STANDARD.encode_slice(chunk, &mut block).expect("57 octets fill a line of 76");
        for (line, letters) in block[..length].chunks(LINE_LEN).enumerate() {
            if number + line > 0 {
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(letters);
        }
    }
}

/// Octets that [`encode`] appends.
pub(crate) fn encoded_len(text: usize) -> usize {
    let lines = text.div_ceil(LINE_TEXT);
    text.div_ceil(3) * 4 + lines.saturating_sub(1) * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_their_length_is_known() {
        for length in [0, 1, 2, 3, 56, 57, 58, 113, 114, 115, 1000, 3647, 3648, 3649, 9000] {
            let text: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
            let mut out = Vec::new();
            encode(&mut out, &text);
            assert_eq!(out.len(), encoded_len(length), "{length}");
            let wire = String::from_utf8(out).unwrap();
            assert!(wire.split("\r\n").all(|line| line.len() <= LINE_LEN));
            assert_eq!(STANDARD.decode(wire.replace("\r\n", "")).unwrap(), text);
        }
    }
}
