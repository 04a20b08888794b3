//! The addresses that mail leaves from: their reverse names, and the name that is said in EHLO.

use std::net::IpAddr;

use net::Resolver;
use routes::Reverse;
use typology::{CheckFact, Checked, HeloFact, SourceFact};

/// Addresses whose reverse names are asked for.
const SOURCES_MAX: usize = 8;

/// The addresses that mail leaves from: those that are configured, else those of the name that is said in EHLO.
/// `Err`: why they are not known.
pub(crate) async fn addresses(
    dns: &dyn Resolver,
    configured: &[IpAddr],
    ehlo: &str,
) -> Result<Vec<IpAddr>, String> {
    if !configured.is_empty() {
        return Ok(configured.iter().take(SOURCES_MAX).copied().collect());
    }
    if !is_full_name(ehlo) {
        return Ok(Vec::new());
    }
    match dns.addresses(ehlo).await {
        Ok(found) => Ok(found.into_iter().take(SOURCES_MAX).collect()),
        Err(error) if error.is_negative() => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    }
}

/// The reverse name of each address, confirmed by the name's own addresses.
pub(crate) async fn reverse(dns: &dyn Resolver, sources: &[IpAddr]) -> Vec<SourceFact> {
    let mut facts = Vec::with_capacity(sources.len());
    for address in sources.iter().take(SOURCES_MAX) {
        facts.push(SourceFact { address: address.to_string(), reverse: reverse_of(dns, *address).await });
    }
    facts
}

async fn reverse_of(dns: &dyn Resolver, address: IpAddr) -> CheckFact {
    match routes::reverse(dns, address).await {
        Reverse::Back { name, .. } => CheckFact::new(Checked::Pass, name),
        Reverse::Elsewhere { names } => {
            CheckFact::new(Checked::Fail, names.into_iter().next().unwrap_or_default())
        }
        Reverse::Nameless => CheckFact::new(Checked::Missing, ""),
        Reverse::Unknown { reason, .. } => CheckFact::new(Checked::Unknown, reason),
    }
}

/// Whether the name said in EHLO leads to an address that mail leaves from.
pub(crate) async fn helo(dns: &dyn Resolver, name: &str, configured: &[IpAddr]) -> HeloFact {
    let check = if !is_full_name(name) {
        CheckFact::new(Checked::Fail, "it is no full host name")
    } else {
        match dns.addresses(name).await {
            Err(error) if error.is_negative() => CheckFact::new(Checked::Missing, "the name has no address"),
            Err(error) => CheckFact::new(Checked::Unknown, error.to_string()),
            Ok(found)
                if configured.is_empty() || found.iter().any(|address| configured.contains(address)) =>
            {
                let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
                CheckFact::new(Checked::Pass, shown.join(", "))
            }
            Ok(_) => CheckFact::new(Checked::Fail, "the name leads to an address that no mail leaves from"),
        }
    };
    HeloFact { name: name.to_owned(), check }
}

/// A host name with a dot that is no address.
fn is_full_name(name: &str) -> bool {
    name.contains('.')
        && name.parse::<IpAddr>().is_err()
        && address::Domain::parse(name).is_ok()
        && !name.ends_with(".localdomain")
}

#[cfg(test)]
mod tests {
    use super::*;
    use net::{RecordKind, StaticResolver};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_reverse_name_must_lead_back() {
        let dns = StaticResolver::new();
        dns.ptr(ip("203.0.113.5"), "out.shop.example");
        dns.a("out.shop.example", &["203.0.113.5"]);
        dns.ptr(ip("203.0.113.6"), "host-6.provider.example");
        dns.ptr(ip("203.0.113.7"), "dark.example");
        dns.fails("dark.example", RecordKind::A);
        let sources = ["203.0.113.5", "203.0.113.6", "203.0.113.7", "203.0.113.8"].map(ip);
        let states: Vec<_> = reverse(&dns, &sources).await.iter().map(|fact| fact.reverse.state).collect();
        assert_eq!(states, [Checked::Pass, Checked::Fail, Checked::Unknown, Checked::Missing]);
    }

    #[tokio::test]
    async fn the_greeting_is_a_name_that_leads_here() {
        let dns = StaticResolver::new();
        dns.a("out.shop.example", &["203.0.113.5"]);
        dns.fails("dark.example", RecordKind::Aaaa);
        let state = async |name: &str, sources: &[IpAddr]| helo(&dns, name, sources).await.check.state;
        assert_eq!(state("out.shop.example", &[]).await, Checked::Pass);
        assert_eq!(state("out.shop.example", &[ip("203.0.113.5")]).await, Checked::Pass);
        assert_eq!(state("out.shop.example", &[ip("203.0.113.9")]).await, Checked::Fail);
        assert_eq!(state("localhost", &[]).await, Checked::Fail);
        assert_eq!(state("203.0.113.5", &[]).await, Checked::Fail);
        assert_eq!(state("none.example", &[]).await, Checked::Missing);
        assert_eq!(state("dark.example", &[]).await, Checked::Unknown);
    }

    #[tokio::test]
    async fn sources_are_configured_or_those_of_the_greeting() {
        let dns = StaticResolver::new();
        dns.a("out.shop.example", &["203.0.113.5"]);
        dns.fails("dark.example", RecordKind::A);
        assert_eq!(addresses(&dns, &[], "out.shop.example").await, Ok(vec![ip("203.0.113.5")]));
        assert_eq!(addresses(&dns, &[ip("203.0.113.9")], "x").await, Ok(vec![ip("203.0.113.9")]));
        assert_eq!(addresses(&dns, &[], "none.example").await, Ok(Vec::new()));
        assert!(addresses(&dns, &[], "dark.example").await.is_err());
    }
}
