//! Dot-stuffing (RFC 5321 section 4.5.2) at the speed of a copy.

/// Octets looked at in one go: the comparison below becomes a handful of vector instructions for each block.
const BLOCK: usize = 256;

/// Appends `message` to `out` with each dot at the beginning of a line doubled, then the terminating line. The message
/// has CRLF line ends already; a missing last one is added.
pub fn push_stuffed(out: &mut Vec<u8>, message: &[u8]) {
    out.reserve(message.len() + 8);
    if message.first() == Some(&b'.') {
        out.push(b'.');
    }
    let mut from = 0;
    for (at, end) in blocks(message.len()) {
        if has_leading_dot(&message[at..end]) {
            for dot in at + 1..end {
                if message[dot] == b'.' && message[dot - 1] == b'\n' {
                    out.extend_from_slice(&message[from..dot]);
                    out.push(b'.');
                    from = dot;
                }
            }
        }
    }
    out.extend_from_slice(&message[from..]);
    out.extend_from_slice(end_of(message));
}

/// The lines that end a message: its last one's end, where that is missing, and the terminating line.
pub(crate) fn end_of(message: &[u8]) -> &'static [u8] {
    let ended = message.is_empty() || message.ends_with(b"\r\n");
    if ended { b".\r\n" } else { b"\r\n.\r\n" }
}

/// Whether a message goes out as it is, because no line of it begins with a dot.
pub(crate) fn needs_no_stuffing(message: &[u8]) -> bool {
    message.first() != Some(&b'.')
        && blocks(message.len()).all(|(at, end)| !has_leading_dot(&message[at..end]))
}

/// Blocks of a message of this length. Each begins one octet before the first one not compared yet, so that no pair falls
/// between two blocks.
fn blocks(length: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..length.saturating_sub(1)).step_by(BLOCK - 1).map(move |at| (at, (at + BLOCK).min(length)))
}

/// Without an early exit, so that it is vectorised.
fn has_leading_dot(block: &[u8]) -> bool {
    let pairs = block.iter().zip(&block[1..]);
    pairs.fold(false, |found, (before, octet)| found | ((*before == b'\n') & (*octet == b'.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stuffed(message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        push_stuffed(&mut out, message);
        out
    }

    /// What a server does: lines to the one that is a lone dot, a leading dot taken off each.
    fn received(wire: &[u8]) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        for line in wire.split_inclusive(|octet| *octet == b'\n') {
            if line == b".\r\n" {
                return Some(message);
            }
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        None
    }

    #[test]
    fn dots_at_line_starts_are_doubled() {
        assert_eq!(stuffed(b""), b".\r\n");
        assert_eq!(stuffed(b"a"), b"a\r\n.\r\n");
        assert_eq!(stuffed(b".a\r\n.\r\n..\r\na.b.\r\n"), b"..a\r\n..\r\n...\r\na.b.\r\n.\r\n");
        assert_eq!(stuffed(b"a\n.\r\nb\r\n"), b"a\n..\r\nb\r\n.\r\n", "after a bare LF too: no smuggling");
    }

    proptest! {
        #[test]
        fn what_is_sent_arrives(line in "[a.]{0,6}", lines in proptest::collection::vec("[.ab]{0,90}", 0..20)) {
            let message = format!("{}\r\n{line}", lines.join("\r\n"));
            let wire = stuffed(message.as_bytes());
            let as_it_is = needs_no_stuffing(message.as_bytes());
            let expected = if message.ends_with("\r\n") { message } else { message + "\r\n" };
            prop_assert_eq!(as_it_is, wire.len() == expected.len() + 3);
            prop_assert_eq!(received(&wire), Some(expected.into_bytes()));
        }
    }
}
