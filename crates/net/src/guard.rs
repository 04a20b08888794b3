//! Which addresses may be dialled. Names in a target list, an image link or a web hook are other people's, and must
//! not lead into the network that the program runs in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use crate::cidr::Range;

/// The check before each outbound connection.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allow: Vec<Range>,
    everything: bool,
}

/// An address that may not be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0} is not a public address, and net.allow does not name it")]
pub struct Refused(pub IpAddr);

impl Guard {
    /// Public addresses, and those in `allow`.
    pub fn new(allow: Vec<Range>) -> Guard {
        Guard { allow, everything: false }
    }

    /// Every address: only for a target that the operator configured, such as the relay.
    pub fn exempt() -> Guard {
        Guard { allow: Vec::new(), everything: true }
    }

    /// Whether the address may be dialled.
    pub fn check(&self, address: IpAddr) -> Result<(), Refused> {
        let meant = embedded(address);
        let allowed = self.everything
            || self.allow.iter().any(|range| range.contains(address) || range.contains(meant))
            || is_public(meant);
        if allowed { Ok(()) } else { Err(Refused(address)) }
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped (RFC 4291), compatible, NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let tail = || IpAddr::V4(Ipv4Addr::from_bits(v6.to_bits() as u32));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => tail(),
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => tail(),
        [0x2002, high, low, ..] => IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))),
        _ => address,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// The IANA special-purpose registry (RFC 6890), except that the documentation ranges are refused as well.
fn is_public_v4(v4: Ipv4Addr) -> bool {
    let special = match v4.octets() {
        // This network, 10/8, loopback, multicast and reserved up to broadcast.
        [0 | 10 | 127 | 224..=255, ..] => true,
        // Shared address space of carriers (RFC 6598), link-local, private, benchmarks (RFC 2544).
        [100, 64..=127, ..] | [169, 254, ..] | [172, 16..=31, ..] | [192, 168, ..] | [198, 18..=19, ..] => {
            true
        }
        // Protocol assignments, documentation, the former 6to4 relay.
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => true,
        _ => false,
    };
    !special
}

/// Only global unicast (2000::/3), without what is set apart in it.
fn is_public_v6(v6: Ipv6Addr) -> bool {
    match v6.segments() {
        // Teredo and other protocol assignments (2001::/23), documentation (RFC 3849, RFC 9637).
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(guard: &Guard, address: &str) -> bool {
        guard.check(address.parse().expect(address)).is_ok()
    }

    #[test]
    fn only_public_addresses_pass() {
        let guard = Guard::default();
        for address in [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "2a00:1450::1",
            "2001:4860::1",
            "64:ff9b::808:808",
        ] {
            assert!(passes(&guard, address), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "3fff::1",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
        ] {
            assert!(!passes(&guard, address), "{address}");
        }
    }

    #[test]
    fn ranges_open_what_they_name_and_no_more() {
        let guard =
            Guard::new(vec!["127.0.0.0/8".parse().expect("valid"), "fd00::/8".parse().expect("valid")]);
        assert!(
            passes(&guard, "127.9.9.9") && passes(&guard, "::ffff:127.0.0.1") && passes(&guard, "fd12::1")
        );
        assert!(!passes(&guard, "10.0.0.1") && !passes(&guard, "::1"));
        assert!(passes(&Guard::exempt(), "10.0.0.1") && passes(&Guard::exempt(), "::1"));
    }
}
