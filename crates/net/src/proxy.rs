//! The HAProxy PROXY protocol, version 2, as its sender: a connection that goes by a proxy of ours tells it first where it
//! wants to go and from which of the proxy's addresses.
//!
//! The header is the protocol's of section 2.2 of its specification. A proxy for sending reads it the other way round from
//! one for receiving: *source* is the address that it dials from, *destination* whom it dials.

use std::net::{IpAddr, SocketAddr};

/// Octets that begin a header of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const VERSION_AND_COMMAND: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// The header for a connection from `source` (its port is the proxy's choice, so 0) to `destination`. An address of the
/// other family than the destination's is written as "any".
pub fn header(source: Option<IpAddr>, destination: SocketAddr) -> Vec<u8> {
    let mut header = Vec::with_capacity(52);
    header.extend_from_slice(&SIGNATURE);
    header.push(VERSION_AND_COMMAND);
    match destination.ip() {
        IpAddr::V4(to) => {
            let from = match source {
                Some(IpAddr::V4(from)) => from.octets(),
                _ => [0; 4],
            };
            header.extend_from_slice(&[TCP_OVER_IPV4, 0, 12]);
            header.extend_from_slice(&from);
            header.extend_from_slice(&to.octets());
        }
        IpAddr::V6(to) => {
            let from = match source {
                Some(IpAddr::V6(from)) => from.octets(),
                _ => [0; 16],
            };
            header.extend_from_slice(&[TCP_OVER_IPV6, 0, 36]);
            header.extend_from_slice(&from);
            header.extend_from_slice(&to.octets());
        }
    }
    header.extend_from_slice(&[0, 0]);
    header.extend_from_slice(&destination.port().to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    #[test]
    fn headers_are_as_the_specification_lays_them_out() {
        let v4 =
            header(Some("192.0.2.7".parse().expect("valid")), "198.51.100.25:25".parse().expect("valid"));
        assert_eq!(hex(&v4), "0d0a0d0a000d0a515549540a2111000cc0000207c633641900000019");
        let v6 = header(
            Some("2001:db8::7".parse().expect("valid")),
            "[2001:db8::25]:2525".parse().expect("valid"),
        );
        assert_eq!(
            hex(&v6),
            "0d0a0d0a000d0a515549540a2121002420010db800000000000000000000000720010db8000000000000000000000025000009dd"
        );
    }

    #[test]
    fn without_a_source_of_that_family_the_proxy_chooses() {
        let to: SocketAddr = "198.51.100.25:25".parse().expect("valid");
        let chosen = header(None, to);
        assert_eq!(chosen[16..20], [0; 4]);
        assert_eq!(header(Some("2001:db8::7".parse().expect("valid")), to), chosen);
    }
}
