//! Ports that stay free until the program they are for has started.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::limits::PORT_TRIES_MAX;

/// First port that is given out: below it are the well-known ones, and those of programs that a machine runs.
const FIRST: u16 = 15_000;
/// First port that the kernel gives to connections where nobody changed it (`net.ipv4.ip_local_port_range`).
const OUTGOING_FIRST: u16 = 32_768;

/// A port of 127.0.0.1 on which nobody listens, for a program that starts later, or starts again after it was killed.
///
/// Port 0 will not do for that: what the kernel gives then is of the range from which it also serves connections, and
/// one of the thousands that a story makes may have it by the time the program wants it.
///
/// # Panics
/// When none of the ports that were tried is free.
#[must_use]
pub fn port_to_keep() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = OUTGOING_FIRST - FIRST;
    // Test processes that run at the same time begin far from each other.
    let begin = (std::process::id().wrapping_mul(617) % u32::from(span)) as u16;
    for _ in 0..PORT_TRIES_MAX {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % span;
        let port = FIRST + ((u32::from(begin) + u32::from(step)) % u32::from(span)) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_given_once_and_is_none_of_the_kernels() {
        let mut ports: Vec<u16> = (0..200).map(|_| port_to_keep()).collect();
        assert!(ports.iter().all(|port| (FIRST..OUTGOING_FIRST).contains(port)), "{ports:?}");
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 200);
    }
}
