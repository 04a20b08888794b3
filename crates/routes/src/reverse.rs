//! Reverse names: whether an address has a name that leads back to it, as receivers ask before they take mail.

use std::net::IpAddr;

use net::Resolver;

use crate::check::found_or_none;

/// Names of one address that are followed: as many as a receiver may look at for SPF (RFC 7208 section 4.6.4).
const NAMES_MAX: usize = 10;

/// How the names of an address stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reverse {
    /// One of its names leads back to it.
    Back {
        /// That one.
        name: String,
        /// All that it has.
        names: Vec<String>,
    },
    /// It has names, and none leads back.
    Elsewhere {
        /// All that it has; one at least.
        names: Vec<String>,
    },
    /// It has no name.
    Nameless,
    /// DNS did not answer, so that none of the others can be said.
    Unknown {
        /// What was asked about: the address, or one of its names.
        about: String,
        /// Why there is no answer, in words.
        reason: String,
    },
}

/// Asks for the names of an address, and for the addresses of those names until one leads back. The caller bounds the time.
pub async fn reverse(dns: &dyn Resolver, address: IpAddr) -> Reverse {
    let names = match found_or_none(dns.ptr(address).await) {
        Ok(names) if names.is_empty() => return Reverse::Nameless,
        Ok(names) => names,
        Err(reason) => return Reverse::Unknown { about: address.to_string(), reason },
    };
    let mut silent = None;
    for name in names.iter().take(NAMES_MAX) {
        match found_or_none(dns.addresses(name).await) {
            Ok(back) if back.contains(&address) => return Reverse::Back { name: name.clone(), names },
            Ok(_) => {}
            Err(reason) => silent = Some(Reverse::Unknown { about: name.clone(), reason }),
        }
    }
    // The name that was silent might have been the one.
    silent.unwrap_or(Reverse::Elsewhere { names })
}

#[cfg(test)]
mod tests {
    use super::*;
    use net::{RecordKind, StaticResolver};

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[tokio::test]
    async fn a_name_must_lead_back_and_silence_is_not_its_absence() {
        let dns = StaticResolver::new();
        dns.ptr(ip("203.0.113.5"), "out.shop.example");
        dns.a("out.shop.example", &["203.0.113.4", "203.0.113.5"]);
        dns.ptr(ip("203.0.113.6"), "host-6.provider.example");
        dns.ptr(ip("203.0.113.7"), "dark.example");
        dns.fails("dark.example", RecordKind::A);
        let asked = async |address: &str| reverse(&dns, ip(address)).await;
        let names = vec!["out.shop.example".to_owned()];
        assert_eq!(asked("203.0.113.5").await, Reverse::Back { name: names[0].clone(), names });
        let names = vec!["host-6.provider.example".to_owned()];
        assert_eq!(asked("203.0.113.6").await, Reverse::Elsewhere { names });
        assert_eq!(asked("203.0.113.8").await, Reverse::Nameless);
        let silent = asked("203.0.113.7").await;
        assert!(matches!(&silent, Reverse::Unknown { about, .. } if about == "dark.example"), "{silent:?}");
    }
}
