//! Writes a picture of black and white as PNG (ISO/IEC 15948), one bit a pixel. What repeats in a code is whole rows, so
//! that is all its compression looks for: a picture has some hundred octets, and needs no library.

use crate::bits::Bits;

/// Longest and shortest repetition (RFC 1951, 3.2.5).
const REPEAT_MAX: usize = 258;
const REPEAT_MIN: usize = 3;

/// The picture; `is_dark` is asked for each pixel, `x` and `y` from 0.
pub(crate) fn black_and_white(
    width: usize,
    height: usize,
    is_dark: impl Fn(usize, usize) -> bool,
) -> Vec<u8> {
    let mut header = Vec::with_capacity(13);
    header.extend((width as u32).to_be_bytes());
    header.extend((height as u32).to_be_bytes());
    // One bit a pixel, grey, and the only methods there are for compression, filter and interlace.
    header.extend([1, 0, 0, 0, 0]);
    // Each row begins with its filter: none.
    let row_len = width.div_ceil(8) + 1;
    let mut rows = Vec::with_capacity(row_len * height);
    for y in 0..height {
        rows.push(0);
        for first in (0..width).step_by(8) {
            let bit = |offset: usize| {
                let x = first + offset;
                u8::from(x < width && !is_dark(x, y)) << (7 - offset)
            };
            rows.push((0..8).map(bit).sum());
        }
    }
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut out, b"IHDR", &header);
    chunk(&mut out, b"IDAT", &zlib(&rows, row_len));
    chunk(&mut out, b"IEND", &[]);
    out
}

fn chunk(out: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    out.extend((data.len() as u32).to_be_bytes());
    let start = out.len();
    out.extend(name);
    out.extend(data);
    let crc = crc32(&out[start..]);
    out.extend(crc.to_be_bytes());
}

/// RFC 1950 around one block of fixed codes (RFC 1951, 3.2.6), where a row that is the one before is a repetition.
fn zlib(rows: &[u8], row_len: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push(0b011, 3);
    let mut repeated = 0;
    let mut before: Option<&[u8]> = None;
    for row in rows.chunks(row_len) {
        if before == Some(row) {
            repeated += row_len;
        } else {
            repeat(&mut bits, repeated, row_len);
            repeated = 0;
            row.iter().for_each(|octet| symbol(&mut bits, usize::from(*octet)));
        }
        before = Some(row);
    }
    repeat(&mut bits, repeated, row_len);
    symbol(&mut bits, 256);
    let mut out = vec![0x78, 0x01];
    out.extend(bits.finish());
    out.extend(adler32(rows).to_be_bytes());
    out
}

/// The last `distance` octets again and again, `length` in all: a multiple of the distance, which is 3 or more.
fn repeat(bits: &mut Bits, mut length: usize, distance: usize) {
    while length > 0 {
        // What is left over must not be too short for a repetition of its own.
        let most = if length > REPEAT_MAX && length - REPEAT_MAX < REPEAT_MIN {
            REPEAT_MAX - REPEAT_MIN
        } else {
            REPEAT_MAX
        };
        let some = length.min(most);
        length -= some;
        let (code, extra, count) = match some {
            REPEAT_MAX => (28, 0, 0),
            _ => graded(some - REPEAT_MIN, 2),
        };
        symbol(bits, 257 + code);
        bits.push(extra, count);
        let (code, extra, count) = graded(distance - 1, 1);
        huffman(bits, code as u32, 5);
        bits.push(extra, count);
    }
}

/// A length or distance as code, extra bits and their number: `1 << steps` codes for each number of extra bits.
fn graded(value: usize, steps: u32) -> (usize, u32, u32) {
    let log = value.checked_ilog2().unwrap_or(0);
    if log <= steps {
        return (value, 0, 0);
    }
    let count = log - steps;
    let code = ((count as usize) << steps) + (value >> count);
    (code, (value & ((1 << count) - 1)) as u32, count)
}

/// A symbol in the fixed code of literals and lengths.
fn symbol(bits: &mut Bits, symbol: usize) {
    let number = symbol as u32;
    match symbol {
        0..=143 => huffman(bits, 0x30 + number, 8),
        144..=255 => huffman(bits, 0x190 + number - 144, 9),
        256..=279 => huffman(bits, number - 256, 7),
        _ => huffman(bits, 0xC0 + number - 280, 8),
    }
}

/// Codes have their highest bit first.
fn huffman(bits: &mut Bits, code: u32, count: u32) {
    bits.push(code.reverse_bits() >> (32 - count), count);
}

fn adler32(data: &[u8]) -> u32 {
    const MOD: u32 = 65_521;
    let (mut a, mut b) = (1u32, 0u32);
    for octet in data {
        a = (a + u32::from(*octet)) % MOD;
        b = (b + a) % MOD;
    }
    b << 16 | a
}

fn crc32(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for octet in data {
        crc ^= u32::from(*octet);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn check_sums_are_the_known_ones() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
    }

    /// The rows as another's library unpacks them, which checks their sum too.
    fn rows(png: &[u8]) -> Vec<u8> {
        let at = png.windows(4).position(|window| window == b"IDAT").unwrap();
        let length = u32::from_be_bytes(png[at - 4..at].try_into().unwrap()) as usize;
        let mut out = Vec::new();
        flate2::read::ZlibDecoder::new(&png[at + 4..at + 4 + length]).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn a_picture_has_its_size_and_its_bits() {
        let png = black_and_white(10, 2, |x, y| (x + y) % 2 == 0);
        assert_eq!(png[16..24], [0, 0, 0, 10, 0, 0, 0, 2]);
        assert_eq!(rows(&png), [0, 0b0101_0101, 0b0100_0000, 0, 0b1010_1010, 0b1000_0000]);
        // IEND's sum is the same in every PNG.
        assert!(png.ends_with(b"\0\0\0\0IEND\xAE\x42\x60\x82"));
    }

    #[test]
    fn rows_that_repeat_come_back_and_take_no_room() {
        for width in (9..2_100).step_by(37) {
            for scale in [1, 2, 3, 7, 60, 400] {
                let is_dark = |x: usize, y: usize| (x * 7 + y / scale * 13) % 5 < 2;
                let png = black_and_white(width, 3 * scale, is_dark);
                let expected: Vec<u8> = (0..3 * scale)
                    .flat_map(|y| {
                        let octet = move |first: usize| {
                            (0..8).fold(0, |bits, offset| {
                                bits << 1 | u8::from(first + offset < width && !is_dark(first + offset, y))
                            })
                        };
                        std::iter::once(0).chain((0..width).step_by(8).map(octet))
                    })
                    .collect();
                assert!(rows(&png) == expected, "{width} {scale}");
            }
        }
        assert!(black_and_white(2_000, 400, |x, _| x % 3 == 0).len() < 1_500);
    }
}
