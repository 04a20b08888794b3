//! Writes a picture of black and white as PNG (ISO/IEC 15948): one bit a pixel, stored without compression. A code's
//! picture is a few kilobytes that way, and needs no library.

/// Octets of a stored block (RFC 1951, 3.2.4).
const STORED_MAX: usize = 0xFFFF;

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
    let mut rows = Vec::with_capacity((width.div_ceil(8) + 1) * height);
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
    chunk(&mut out, b"IDAT", &zlib(&rows));
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

/// RFC 1950 around stored blocks.
fn zlib(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let blocks = data.chunks(STORED_MAX);
    let last = blocks.len().saturating_sub(1);
    for (number, block) in blocks.enumerate() {
        let length = block.len() as u16;
        out.push(u8::from(number == last));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.extend(adler32(data).to_be_bytes());
    out
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
    use super::*;

    #[test]
    fn check_sums_are_the_known_ones() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
    }

    #[test]
    fn a_picture_has_its_size_and_its_bits() {
        let png = black_and_white(10, 2, |x, y| (x + y) % 2 == 0);
        assert_eq!(png[16..24], [0, 0, 0, 10, 0, 0, 0, 2]);
        let idat = png.windows(4).position(|window| window == b"IDAT").unwrap() + 4;
        assert_eq!(png[idat + 7..idat + 13], [0, 0b0101_0101, 0b0100_0000, 0, 0b1010_1010, 0b1000_0000]);
        // IEND's sum is the same in every PNG.
        assert!(png.ends_with(b"\0\0\0\0IEND\xAE\x42\x60\x82"));
        // More than one stored block.
        assert!(black_and_white(2_000, 400, |_, _| true).len() > 100_000);
    }
}
