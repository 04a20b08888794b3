//! What a file is, by its first bytes: never by its name or by what the uploader says it is.

use crate::problem::Problem;

/// What the bytes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sniffed {
    pub content_type: &'static str,
    /// Pixels; 0 for what is no image.
    pub width: u32,
    pub height: u32,
}

/// Image types that mail programs show, and the endings of their names.
const IMAGES: [(&str, &[&str]); 4] = [
    ("image/png", &["png"]),
    ("image/jpeg", &["jpg", "jpeg", "jpe"]),
    ("image/gif", &["gif"]),
    ("image/webp", &["webp"]),
];
/// Other image types, which mail programs do not show, or some only.
const OTHER_IMAGES: [&str; 9] = ["svg", "bmp", "tif", "tiff", "ico", "avif", "heic", "heif", "jxl"];
/// Files that receivers refuse or that harm whoever opens them.
const DANGEROUS: [&str; 22] = [
    "exe", "com", "scr", "bat", "cmd", "pif", "msi", "dll", "cpl", "js", "jse", "vbs", "vbe", "wsf", "wsh",
    "ps1", "jar", "lnk", "hta", "reg", "iso", "chm",
];
/// Types of attachments, by the endings of their names; the first bytes must not contradict.
const OTHERS: [(&str, &str, &[u8]); 15] = [
    ("pdf", "application/pdf", b"%PDF-"),
    ("zip", "application/zip", b"PK"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", b"PK"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"PK"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation", b"PK"),
    ("odt", "application/vnd.oasis.opendocument.text", b"PK"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet", b"PK"),
    ("pkpass", "application/vnd.apple.pkpass", b"PK"),
    ("doc", "application/msword", b"\xD0\xCF\x11\xE0"),
    ("xls", "application/vnd.ms-excel", b"\xD0\xCF\x11\xE0"),
    ("ics", "text/calendar", b"BEGIN:VCALENDAR"),
    ("vcf", "text/vcard", b"BEGIN:VCARD"),
    ("csv", "text/csv", b""),
    ("txt", "text/plain", b""),
    ("mp3", "audio/mpeg", b""),
];

/// The last ending of a file's name, lower case.
pub(crate) fn ending(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    last.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default()
}

/// The ending that a public address of this type has.
pub(crate) fn ending_of(content_type: &str) -> &'static str {
    let image = IMAGES.iter().find(|(known, _)| *known == content_type).map(|(_, endings)| endings[0]);
    let other = || OTHERS.iter().find(|(_, known, _)| *known == content_type).map(|(ending, ..)| *ending);
    image.or_else(other).unwrap_or("bin")
}

/// Says what a file is.
///
/// # Errors
/// A file that lies about its type, an image that no mail program shows, a damaged image, a program.
pub(crate) fn sniff(name: &str, bytes: &[u8]) -> Result<Sniffed, Problem> {
    let refuse = |message: String, hint: &str| Problem::new("assets", message).hint(hint);
    let ending = ending(name);
    if bytes.is_empty() {
        return Err(refuse(format!("{name} is empty"), ""));
    }
    if DANGEROUS.contains(&ending.as_str()) || bytes.starts_with(b"MZ") || bytes.starts_with(b"\x7fELF") {
        return Err(refuse(format!("{name} is a program"), "receivers refuse messages that bring programs"));
    }
    let named = IMAGES.iter().find(|(_, endings)| endings.contains(&ending.as_str())).map(|(kind, _)| *kind);
    if let Some(content_type) = image_type(bytes) {
        if named.is_some_and(|named| named != content_type) || (named.is_none() && is_known_other(&ending)) {
            let right = ending_of(content_type);
            return Err(refuse(
                format!("{name} holds an image of type {content_type}"),
                &format!("give the file the ending .{right}"),
            ));
        }
        let Some((width, height)) = dimensions(content_type, bytes) else {
            return Err(refuse(format!("{name} is damaged: no {content_type} can be read from it"), ""));
        };
        return Ok(Sniffed { content_type, width, height });
    }
    if named.is_some() {
        return Err(refuse(
            format!("{name} is no image: its first bytes are those of {}", describe(bytes)),
            "save it again as PNG or JPEG",
        ));
    }
    if OTHER_IMAGES.contains(&ending.as_str()) {
        return Err(refuse(
            format!("{name}: mail programs do not show images of this type"),
            "save it as PNG, JPEG or GIF",
        ));
    }
    other(name, &ending, bytes)
}

fn other(name: &str, ending: &str, bytes: &[u8]) -> Result<Sniffed, Problem> {
    let plain = |content_type| Ok(Sniffed { content_type, width: 0, height: 0 });
    match OTHERS.iter().find(|(known, ..)| *known == ending) {
        Some((_, content_type, magic)) if bytes.starts_with(magic) => plain(content_type),
        Some(_) => Err(Problem::new(
            "assets",
            format!("{name} is not what its name says: its first bytes are those of {}", describe(bytes)),
        )),
        None if bytes.starts_with(b"%PDF-") => plain("application/pdf"),
        None => plain("application/octet-stream"),
    }
}

fn is_known_other(ending: &str) -> bool {
    OTHERS.iter().any(|(known, ..)| *known == ending)
}

/// The image type that the first bytes belong to.
pub(crate) fn image_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] => Some("image/png"),
        [0xFF, 0xD8, 0xFF, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

/// Width and height in pixels, both at least 1.
fn dimensions(content_type: &str, bytes: &[u8]) -> Option<(u32, u32)> {
    let size = match content_type {
        "image/png" => png(bytes),
        "image/jpeg" => jpeg(bytes),
        "image/gif" => Some((le16(bytes, 6)?, le16(bytes, 8)?)),
        _ => webp(bytes),
    };
    size.filter(|(width, height)| *width > 0 && *height > 0)
}

fn png(bytes: &[u8]) -> Option<(u32, u32)> {
    (bytes.get(12..16)? == b"IHDR").then_some((be32(bytes, 16)?, be32(bytes, 20)?))
}

/// Walks the segments to the frame header (ITU T.81, B.2.2).
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        if *bytes.get(at)? != 0xFF {
            return None;
        }
        let marker = *bytes.get(at + 1)?;
        match marker {
            // Fill bytes, and markers without a length.
            0xFF => at += 1,
            0x01 | 0xD0..=0xD8 => at += 2,
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                return Some((be16(bytes, at + 7)?, be16(bytes, at + 5)?));
            }
            // The image data begins without a frame header.
            0xD9 | 0xDA => return None,
            _ => at += 2 + (be16(bytes, at + 2)?.max(2) as usize),
        }
    }
}

/// RFC 9649.
fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    match bytes.get(12..16)? {
        b"VP8 " => {
            let starts = bytes.get(23..26)? == [0x9D, 0x01, 0x2A];
            starts.then_some((le16(bytes, 26)? & 0x3FFF, le16(bytes, 28)? & 0x3FFF))
        }
        b"VP8L" => {
            let bits = u32::from_le_bytes(bytes.get(21..25)?.try_into().ok()?);
            (*bytes.get(20)? == 0x2F).then_some(((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
        }
        b"VP8X" => Some((le24(bytes, 24)? + 1, le24(bytes, 27)? + 1)),
        _ => None,
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn le16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn le24(bytes: &[u8], at: usize) -> Option<u32> {
    let three = bytes.get(at..at + 3)?;
    Some(u32::from_le_bytes([three[0], three[1], three[2], 0]))
}

/// For a finding: what else the file is.
fn describe(bytes: &[u8]) -> &'static str {
    let start = bytes.trim_ascii_start();
    let begins =
        |text: &str| start.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes()));
    match bytes {
        _ if image_type(bytes).is_some() => "an image",
        [b'P', b'K', ..] => "a zip archive or an office file",
        [b'%', b'P', b'D', b'F', ..] => "a PDF file",
        [b'B', b'M', ..] => "a BMP image",
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => "a TIFF image",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "a HEIC or AVIF image or a film",
        _ if begins("<svg") || begins("<?xml") => "an SVG drawing",
        _ if begins("<!doctype") || begins("<html") => "a web page",
        _ if std::str::from_utf8(bytes).is_ok() => "a text",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn png_of(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes
    }

    fn seen(name: &str, bytes: &[u8]) -> (&'static str, u32, u32) {
        let sniffed = sniff(name, bytes).unwrap();
        (sniffed.content_type, sniffed.width, sniffed.height)
    }

    #[test]
    fn images_by_their_first_bytes() {
        assert_eq!(seen("a.PNG", &png_of(600, 20)), ("image/png", 600, 20));
        assert_eq!(seen("a", &png_of(600, 20)), ("image/png", 600, 20));
        assert_eq!(seen("x.gif", b"GIF89a\x10\0\x20\0"), ("image/gif", 16, 32));
        let jpeg = b"\xFF\xD8\xFF\xE0\0\x04ab\xFF\xFF\xC2\0\x11\x08\0\x30\0\x40";
        assert_eq!(seen("x.jpeg", jpeg), ("image/jpeg", 64, 48));
        let webp = b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0\x1f\0\0\x0f\0\0";
        assert_eq!(seen("x.webp", webp), ("image/webp", 32, 16));
        let lossless = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2F\x1f\xC0\x03\0";
        assert_eq!(seen("x.webp", lossless), ("image/webp", 32, 16));
    }

    #[test]
    fn a_lie_is_named() {
        let problem = |name: &str, bytes: &[u8]| sniff(name, bytes).unwrap_err().to_string();
        assert!(problem("logo.png", b"<html>").contains("those of a web page"));
        assert!(problem("logo.jpg", &png_of(1, 1)).contains("the ending .png"));
        assert!(problem("terms.pdf", &png_of(1, 1)).contains("the ending .png"));
        assert!(problem("logo.png", b"\x89PNG\r\n\x1a\n").contains("damaged"));
        assert!(problem("logo.png", &png_of(0, 1)).contains("damaged"));
        assert!(problem("logo.svg", b"<svg/>").contains("do not show"));
        assert!(problem("terms.pdf", b"<html>").contains("not what its name says"));
        assert!(problem("a.txt", b"MZ\x90").contains("a program"));
        assert!(problem("a.js", b"alert(1)").contains("a program"));
        assert!(problem("a.png", b"").contains("empty"));
    }

    #[test]
    fn attachments_have_the_type_of_their_ending() {
        assert_eq!(seen("terms.pdf", b"%PDF-1.7").0, "application/pdf");
        assert_eq!(seen("terms", b"%PDF-1.7").0, "application/pdf");
        assert_eq!(seen("a.unknown", b"\x01\x02").0, "application/octet-stream");
        assert_eq!(
            (ending_of("image/jpeg"), ending_of("application/pdf"), ending_of("x/y")),
            ("jpg", "pdf", "bin")
        );
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut bytes: Vec<u8> = (0..=255).collect();
        for start in [&b"\xFF\xD8\xFF"[..], b"GIF89a", b"RIFF\0\0\0\0WEBPVP8X", b"RIFF\0\0\0\0WEBPVP8 "] {
            bytes.splice(0..start.len(), start.iter().copied());
            for end in 0..bytes.len() {
                let _ = sniff("x.png", &bytes[..end]);
                let _ = sniff("x", &bytes[..end]);
            }
        }
    }
}
