//! Ranges of addresses, as settings write them: `127.0.0.0/8`, `fd00::/8`, or one address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

/// A CIDR range (RFC 4632).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    base: IpAddr,
    prefix: u8,
}

/// Why a text is no range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RangeError {
    /// Neither an address nor address, slash and number.
    #[error("{0:?} is not an address range such as 127.0.0.0/8")]
    Form(String),
    /// More bits than the address has.
    #[error("the prefix of {0:?} is longer than the address")]
    Prefix(String),
    /// Bits after the prefix are set: most likely a slip.
    #[error("{0:?} has bits set after its prefix")]
    HostBits(String),
}

impl Range {
    /// Whether the address is in the range. An IPv4 address is never in an IPv6 range.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                masked(base.to_bits().into(), 32, self.prefix)
                    == masked(address.to_bits().into(), 32, self.prefix)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                masked(base.to_bits(), 128, self.prefix) == masked(address.to_bits(), 128, self.prefix)
            }
            _ => false,
        }
    }
}

/// The first `prefix` of `width` bits.
fn masked(bits: u128, width: u32, prefix: u8) -> u128 {
    bits.checked_shr(width.saturating_sub(u32::from(prefix))).unwrap_or(0)
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Range, RangeError> {
        let form = || RangeError::Form(text.to_owned());
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| form())?;
        let (width, bits) = match base {
            IpAddr::V4(v4) => (32, u128::from(v4.to_bits())),
            IpAddr::V6(v6) => (128, v6.to_bits()),
        };
        let prefix: u8 = match prefix {
            Some(digits) if digits.bytes().all(|octet| octet.is_ascii_digit()) => {
                digits.parse().map_err(|_| form())?
            }
            Some(_) => return Err(form()),
            None => width,
        };
        if prefix > width {
            return Err(RangeError::Prefix(text.to_owned()));
        }
        let host_bits = u32::from(width - prefix);
        let restored = masked(bits, u32::from(width), prefix).checked_shl(host_bits).unwrap_or(0);
        if restored != bits {
            return Err(RangeError::HostBits(text.to_owned()));
        }
        Ok(Range { base, prefix })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(range: &str, address: &str) -> bool {
        range.parse::<Range>().expect(range).contains(address.parse().expect(address))
    }

    #[test]
    fn ranges_hold_their_addresses() {
        assert!(holds("127.0.0.0/8", "127.255.0.1") && !holds("127.0.0.0/8", "128.0.0.1"));
        assert!(holds("10.1.2.3", "10.1.2.3") && !holds("10.1.2.3", "10.1.2.4"));
        assert!(holds("10.1.2.2/31", "10.1.2.3") && !holds("10.1.2.2/31", "10.1.2.4"));
        assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("::/0", "2001:db8::1") && !holds("::/0", "192.0.2.1"));
        assert!(holds("fd00::/8", "fdff::1") && !holds("fd00::/8", "fe00::1"));
        assert_eq!("fd00::/8".parse::<Range>().expect("valid").to_string(), "fd00::/8");
    }

    #[test]
    fn slips_are_refused() {
        use RangeError::*;
        for text in
            ["", "x", "127.0.0/8", "127.0.0.0/", "127.0.0.0/+8", "127.0.0.0/999", "127.0.0.0/8/8", " ::1"]
        {
            assert_eq!(text.parse::<Range>(), Err(Form(text.to_owned())), "{text:?}");
        }
        assert_eq!("127.0.0.0/33".parse::<Range>(), Err(Prefix("127.0.0.0/33".to_owned())));
        assert_eq!("::/129".parse::<Range>(), Err(Prefix("::/129".to_owned())));
        assert_eq!("127.0.0.1/8".parse::<Range>(), Err(HostBits("127.0.0.1/8".to_owned())));
        assert_eq!("fd00::1/8".parse::<Range>(), Err(HostBits("fd00::1/8".to_owned())));
    }
}
