//! QR and bar codes that go along with one message: images of its recipient's own, drawn by the analysis.
//!
//! Their bytes stand in the slots ([`PartName::Code`]) as the data URL that a page shows, so that nothing is drawn
//! again later: a drawing library that changes cannot change a message.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::base64_lines;
use crate::body::head_bytes;
use crate::compose::ComposeError;
use crate::header::Words;
use crate::limits::CODES_MAX;
use crate::plan::{code_id, file_head};
use crate::slots::{PartName, Piece, Slots};
use crate::snapshot::Snapshot;
use crate::splice::Splice;
use crate::variant::Asset;

/// Types that a code is drawn in, with the extension of the file's name and the first octets of such a file. GIF is
/// for the Japanese carriers, whose handsets show no PNG.
const TYPES: [(&str, &str, &[u8]); 2] =
    [("image/png", "png", b"\x89PNG\r\n\x1a\n"), ("image/gif", "gif", b"GIF8")];

/// What stands in the slots for the image of a code: `data:image/png;base64,…`. Nothing when it is neither PNG nor GIF.
#[must_use]
pub fn code_data(image: &[u8]) -> Option<String> {
    let (kind, ..) = TYPES.iter().find(|(_, _, magic)| image.starts_with(magic))?;
    Some(format!("data:{kind};base64,{}", STANDARD.encode(image)))
}

/// The image behind what stands in the slots, and its type with its extension.
fn image_of(data: &str) -> Option<(&'static str, &'static str, Vec<u8>)> {
    let (kind, text) = data.strip_prefix("data:")?.split_once(";base64,")?;
    let (kind, extension, magic) = TYPES.iter().find(|(known, ..)| *known == kind)?;
    let image = STANDARD.decode(text).ok().filter(|image| image.starts_with(magic))?;
    Some((kind, extension, image))
}

impl Slots {
    /// The image of the code of this number, as [`code_data`] wrote it.
    #[must_use]
    pub fn code(&self, number: u8) -> Option<&str> {
        match self.part(PartName::Code(number)) {
            Some([Piece::Literal(data)]) => Some(data),
            _ => None,
        }
    }

    /// The images of all codes that go along, by their numbers.
    pub fn codes(&self) -> impl Iterator<Item = (u8, &str)> {
        (0..CODES_MAX).filter_map(|number| Some((number, self.code(number)?)))
    }
}

/// Writes each code as a part of the multipart/related of this boundary.
pub(crate) fn write(
    splice: &mut Splice,
    slots: &Slots,
    snapshot: &Snapshot,
    (message, boundary, words): (i64, &str, Words),
) -> Result<(), ComposeError> {
    for (number, data) in slots.codes() {
        let (kind, extension, image) = image_of(data).ok_or(ComposeError::Code(number))?;
        let asset = Asset {
            hash: String::new(),
            content_type: kind.to_owned(),
            name: format!("code{number}.{extension}"),
            size: image.len() as u64,
            inline: true,
        };
        let mut head = file_head(&asset, &asset.name, "inline", words);
        head.insert(2, ("Content-ID", format!("<{}>", code_id(snapshot, message, number))));
        splice.syntax(format!("\r\n--{boundary}\r\n").as_bytes());
        splice.head(&head_bytes(&head));
        let mut wire = Vec::new();
        base64_lines::encode(&mut wire, &image);
        splice.syntax(&wire);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_go_along() {
        let png = b"\x89PNG\r\n\x1a\n and more";
        let data = code_data(png).unwrap();
        assert_eq!(image_of(&data), Some(("image/png", "png", png.to_vec())));
        assert!(code_data(b"GIF89a").unwrap().starts_with("data:image/gif;base64,"));
        assert_eq!(code_data(b"<svg>"), None);
        for wrong in [
            "",
            "data:image/png;base64,",
            "data:image/gif;base64,iVBORw0KGgo=",
            "data:image/svg+xml;base64,iVBORw0KGgo=",
            "data:image/png\r\nBcc: x;base64,iVBORw0KGgo=",
            "data:image/png;base64,iVBORw0KGgo=\r\n",
            "iVBORw0KGgo=",
        ] {
            assert_eq!(image_of(wrong), None, "{wrong}");
        }
    }
}
