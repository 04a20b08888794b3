//! PostgreSQL's binary `numeric`: base-10,000 digits with a weight. Sums of bigints come in it, so it is read;
//! it is written for segments that compare an attribute as a number.

use bytes::{BufMut, BytesMut};
use std::fmt::Write;

const NEGATIVE: u16 = 0x4000;
const POSITIVE: u16 = 0x0000;
/// Scale bits of the display scale field.
const SCALE_MAX: usize = 0x3fff;

/// Writes a decimal number as Rust prints integers and finite doubles (`-12.5`, never with an exponent).
pub(super) fn put(decimal: &str, out: &mut BytesMut) {
    let (sign, digits) = match decimal.strip_prefix('-') {
        Some(rest) => (NEGATIVE, rest),
        None => (POSITIVE, decimal),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = &fraction[..fraction.len().min(SCALE_MAX)];
    // Groups of four are aligned to the decimal point.
    let padded = format!("{}{whole}", "0".repeat((4 - whole.len() % 4) % 4));
    let padded_fraction = format!("{fraction}{}", "0".repeat((4 - fraction.len() % 4) % 4));
    let groups: Vec<i16> = [padded.as_bytes(), padded_fraction.as_bytes()]
        .iter()
        .flat_map(|part| part.chunks(4))
        .map(|group| group.iter().fold(0i16, |sum, digit| sum * 10 + i16::from(digit - b'0')))
        .collect();
    out.put_i16(i16::try_from(groups.len()).unwrap_or(i16::MAX));
    out.put_i16(i16::try_from(padded.len() / 4).unwrap_or(i16::MAX) - 1);
    out.put_u16(sign);
    out.put_u16(u16::try_from(fraction.len()).unwrap_or(0));
    for group in groups {
        out.put_i16(group);
    }
}

/// The decimal text of a binary numeric; a fraction of zeros is left out, so that whole numbers parse as integers.
pub(super) fn text(raw: &[u8]) -> Result<String, String> {
    let field = |at: usize| {
        let octets = raw.get(at * 2..at * 2 + 2).ok_or("a numeric is cut short")?;
        Ok::<u16, String>(u16::from_be_bytes([octets[0], octets[1]]))
    };
    let (count, weight, sign) = (field(0)?, field(1)? as i16, field(2)?);
    if sign != NEGATIVE && sign != POSITIVE {
        return Err("a numeric is not a finite number".into());
    }
    let mut out = String::new();
    if sign == NEGATIVE {
        out.push('-');
    }
    let digit = |place: i32| {
        let at = i32::from(weight) - place;
        if (0..i32::from(count)).contains(&at) { field(4 + at as usize) } else { Ok(0) }
    };
    out.push_str(&digit(i32::from(weight).max(0))?.to_string());
    for place in (0..i32::from(weight).max(0)).rev() {
        write!(out, "{:04}", digit(place)?).map_err(|e| e.to_string())?;
    }
    let mut fraction = String::new();
    let last = i32::from(weight) - i32::from(count) + 1;
    for place in (last..0).rev() {
        write!(fraction, "{:04}", digit(place)?).map_err(|e| e.to_string())?;
    }
    let fraction = fraction.trim_end_matches('0');
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round(decimal: &str) -> String {
        let mut out = BytesMut::new();
        put(decimal, &mut out);
        text(&out).unwrap()
    }

    #[test]
    fn known_numbers() {
        for number in ["0", "1", "9999", "10000", "123456789012", "-5", "0.5", "-12.0001", "1000000"] {
            assert_eq!(round(number), number);
        }
        assert!(text(&[0, 1]).is_err());
        assert!(text(&[0, 0, 0, 0, 0xc0, 0, 0, 0]).is_err(), "NaN");
    }

    proptest! {
        #[test]
        fn integers_and_doubles_survive(int: i64, real in -1e15f64..1e15) {
            prop_assert_eq!(round(&int.to_string()).parse::<i64>().unwrap(), int);
            prop_assert_eq!(round(&real.to_string()).parse::<f64>().unwrap(), real);
        }
    }
}
