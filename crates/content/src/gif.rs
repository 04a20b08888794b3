//! Writes a picture of black and white as GIF (GIF89a, CompuServe 1990), for the Japanese carriers, whose handsets show
//! no PNG.

use crate::bits::Bits;

/// Bits of a pixel: the least that the format's compression takes.
const PIXEL_BITS: u32 = 2;
const CLEAR: u16 = 1 << PIXEL_BITS;
const END: u16 = CLEAR + 1;
/// Codes that a table holds.
const CODES_MAX: u16 = 4_096;
/// Octets of a block of data.
const BLOCK_MAX: usize = 255;

/// The picture; `is_dark` is asked for each pixel, `x` and `y` from 0.
pub(crate) fn black_and_white(
    width: usize,
    height: usize,
    is_dark: impl Fn(usize, usize) -> bool,
) -> Vec<u8> {
    let side = |pixels: usize| (pixels as u16).to_le_bytes();
    let mut out = b"GIF89a".to_vec();
    out.extend(side(width));
    out.extend(side(height));
    // A table of two colours for all, white first; no background, square pixels.
    out.extend([0x80, 0, 0, 0xFF, 0xFF, 0xFF, 0, 0, 0]);
    out.push(b',');
    out.extend([0; 4]);
    out.extend(side(width));
    out.extend(side(height));
    out.extend([0, PIXEL_BITS as u8]);
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let data = compressed(pixels.map(|(x, y)| u16::from(is_dark(x, y))));
    for block in data.chunks(BLOCK_MAX) {
        out.push(block.len() as u8);
        out.extend(block);
    }
    out.extend([0, b';']);
    out
}

/// LZW: a code stands for the longest run of pixels that was met before, and learns one that is longer by a pixel.
fn compressed(mut pixels: impl Iterator<Item = u16>) -> Vec<u8> {
    let mut bits = Bits::default();
    let mut table = vec![[0u16; 2]; usize::from(CODES_MAX)];
    let (mut next, mut size) = (END + 1, PIXEL_BITS + 1);
    bits.push(u32::from(CLEAR), size);
    if let Some(mut run) = pixels.next() {
        for pixel in pixels {
            let longer = &mut table[usize::from(run)][usize::from(pixel)];
            if *longer != 0 {
                run = *longer;
                continue;
            }
            bits.push(u32::from(run), size);
            run = pixel;
            if next == CODES_MAX {
                bits.push(u32::from(CLEAR), size);
                table.fill([0; 2]);
                (next, size) = (END + 1, PIXEL_BITS + 1);
                continue;
            }
            // The reader knows this code one step later, and takes longer codes from then on.
            size += u32::from(next == 1 << size);
            *longer = next;
            next += 1;
        }
        bits.push(u32::from(run), size);
        size += u32::from(next == 1 << size && size < 12);
    }
    bits.push(u32::from(END), size);
    bits.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader written from the format's description: the pixels, row by row.
    fn pixels(gif: &[u8]) -> Vec<u8> {
        assert!(gif.starts_with(b"GIF89a") && gif.ends_with(&[0, b';']));
        assert_eq!(gif[13..19], [255, 255, 255, 0, 0, 0]);
        let mut data = Vec::<u8>::new();
        let mut at = 30;
        while gif[at] > 0 {
            let length = usize::from(gif[at]);
            data.extend(&gif[at + 1..at + 1 + length]);
            at += length + 1;
        }
        let bit = |at: usize| usize::from(data[at / 8] >> (at % 8) & 1);
        let (mut table, mut out) = (Vec::<Vec<u8>>::new(), Vec::new());
        let (mut at, mut size, mut before) = (0, 3, Vec::<u8>::new());
        loop {
            let code = (0..size).map(|n| bit(at + n) << n).sum::<usize>();
            at += size;
            match code {
                5 => return out,
                4 => {
                    table = (0..6).map(|n| vec![n as u8]).collect();
                    (size, before) = (3, Vec::new());
                    continue;
                }
                _ => {}
            }
            let run = table.get(code).cloned().unwrap_or_else(|| {
                assert_eq!(code, table.len());
                [before.as_slice(), &before[..1]].concat()
            });
            if !before.is_empty() && table.len() < 4_096 {
                table.push([before.as_slice(), &run[..1]].concat());
            }
            if table.len() == 1 << size && size < 12 {
                size += 1;
            }
            out.extend(&run);
            before = run;
        }
    }

    #[test]
    fn every_pixel_comes_back() {
        for (width, height) in [(1, 1), (2, 1), (3, 3), (29, 29), (333, 60), (740, 740)] {
            for kind in 0..4usize {
                let is_dark = |x: usize, y: usize| match kind {
                    0 => false,
                    1 => (x + y) % 3 < 2,
                    2 => (x / 4 * 31 + y / 4 * 17) % 7 < 3,
                    // Nothing repeats: the table fills again and again.
                    _ => blake3::hash(&(x * 1_000 + y).to_le_bytes()).as_bytes()[0] < 128,
                };
                let gif = black_and_white(width, height, is_dark);
                let side = |at: usize| usize::from(u16::from_le_bytes([gif[at], gif[at + 1]]));
                assert_eq!((side(6), side(8), side(24), side(26)), (width, height, width, height));
                let expected: Vec<u8> =
                    (0..height).flat_map(|y| (0..width).map(move |x| u8::from(is_dark(x, y)))).collect();
                assert!(pixels(&gif) == expected, "{width}x{height} {kind}");
            }
        }
    }
}
