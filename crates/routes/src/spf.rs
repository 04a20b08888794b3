//! Whether a domain's SPF lets an address send (RFC 7208): what receivers will say, asked before they are.
//!
//! Macros are not expanded: a policy that needs them is *unknown*. The sender's name plays no role without them.

use std::net::IpAddr;

use net::{DnsError, Resolver};

/// Look-ups that a policy may cause (RFC 7208 section 4.6.4); receivers give up beyond.
const LOOKUPS_MAX: u32 = 10;
/// Addresses of an MX or A mechanism that are looked at, and hosts of an MX (section 4.6.4).
const HOSTS_MAX: usize = 10;

/// What receivers will say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spf {
    /// The address may send.
    Pass,
    /// It may not: the policy.
    Fail(String),
    /// What is wrong with the policy: receivers do as if it failed (permerror, section 2.6.7).
    Broken(String),
    /// There is no policy.
    Missing,
    /// Nobody answers, or the policy is beyond what is evaluated here.
    Unknown(String),
}

/// Asks whether `address` may send for `domain`.
pub async fn spf_says(dns: &dyn Resolver, domain: &str, address: IpAddr) -> Spf {
    let mut evaluation = Evaluation { dns, address, lookups: 0 };
    match evaluation.policy_of(domain.to_owned(), 0).await {
        Ok(Some(Matched { qualifier: b'+', .. })) => Spf::Pass,
        Ok(Some(Matched { policy, .. })) => Spf::Fail(policy),
        Ok(None) => Spf::Missing,
        Err(Trouble::Broken(text)) => Spf::Broken(text),
        Err(Trouble::Unknown(text)) => Spf::Unknown(text),
    }
}

/// The SPF policies under a name; more than one make all of them invalid (section 4.5).
///
/// # Errors
/// In words, when nobody answers.
pub async fn spf_policies(dns: &dyn Resolver, domain: &str) -> Result<Vec<String>, String> {
    match dns.txt(domain).await {
        Ok(texts) => Ok(texts.into_iter().filter(|text| is_policy(text)).collect()),
        Err(error) if error.is_negative() => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    }
}

fn is_policy(text: &str) -> bool {
    let mut words = text.split(' ');
    words.next().is_some_and(|version| version.eq_ignore_ascii_case("v=spf1"))
}

/// The first mechanism that fits.
struct Matched {
    qualifier: u8,
    policy: String,
}

enum Trouble {
    /// The policy is wrong (permerror): receivers do as if it failed.
    Broken(String),
    /// Temporary, or not evaluated here.
    Unknown(String),
}

struct Evaluation<'a> {
    dns: &'a dyn Resolver,
    address: IpAddr,
    lookups: u32,
}

impl Evaluation<'_> {
    /// What the domain's policy says; `None`: it has none. Boxed, because policies include others.
    fn policy_of(
        &mut self,
        domain: String,
        depth: u32,
    ) -> net::Pending<'_, Result<Option<Matched>, Trouble>> {
        Box::pin(async move {
            let found = spf_policies(self.dns, &domain).await.map_err(Trouble::Unknown)?;
            let policy = match found.as_slice() {
                [] => return Ok(None),
                [policy] => policy.clone(),
                _ => {
                    return Err(Trouble::Broken(format!(
                        "{domain} has {} SPF records, so none counts",
                        found.len()
                    )));
                }
            };
            let mut redirect = None;
            for term in policy.split_ascii_whitespace().skip(1) {
                let lower = term.to_ascii_lowercase();
                if let Some(target) = lower.strip_prefix("redirect=") {
                    redirect = Some(plain(target)?.to_owned());
                    continue;
                }
                if is_modifier(&lower) {
                    continue;
                }
                let (qualifier, mechanism) = match lower.as_bytes().first() {
                    Some(sign @ (b'+' | b'-' | b'~' | b'?')) => (*sign, &lower[1..]),
                    _ => (b'+', lower.as_str()),
                };
                if self.fits(mechanism, &domain, depth).await? {
                    return Ok(Some(Matched { qualifier, policy }));
                }
            }
            match redirect {
                Some(target) => {
                    self.count(depth)?;
                    let there = self.policy_of(target.clone(), depth + 1).await?;
                    let missing = || {
                        Trouble::Broken(format!("{domain} redirects to {target}, which has no SPF record"))
                    };
                    there.ok_or_else(missing).map(Some)
                }
                // Nothing fits: neutral (section 4.7), which is no pass.
                None => Ok(Some(Matched { qualifier: b'?', policy })),
            }
        })
    }

    async fn fits(&mut self, mechanism: &str, domain: &str, depth: u32) -> Result<bool, Trouble> {
        let end = mechanism.find([':', '/']).unwrap_or(mechanism.len());
        let (name, rest) = mechanism.split_at(end);
        match name {
            "all" => Ok(true),
            "ip4" | "ip6" => network(rest.trim_start_matches(':'), self.address),
            "include" => {
                self.count(depth)?;
                let target = plain(rest.trim_start_matches(':'))?.to_owned();
                match self.policy_of(target.clone(), depth + 1).await? {
                    Some(matched) => Ok(matched.qualifier == b'+'),
                    None => {
                        Err(Trouble::Broken(format!("{domain} includes {target}, which has no SPF record")))
                    }
                }
            }
            "a" => {
                self.count(depth)?;
                let (host, lengths) = host_of(rest, domain)?;
                self.has_address(&host, lengths).await
            }
            "mx" => {
                self.count(depth)?;
                let (host, lengths) = host_of(rest, domain)?;
                let hosts = negative_is_empty(self.dns.mx(&host).await)?;
                for mx in hosts.into_iter().take(HOSTS_MAX) {
                    if !mx.host.is_empty() && self.has_address(&mx.host, lengths).await? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            "exists" => {
                self.count(depth)?;
                let name = plain(rest.trim_start_matches(':'))?;
                Ok(!negative_is_empty(self.dns.a(name).await)?.is_empty())
            }
            "ptr" => {
                Err(Trouble::Unknown(format!("the SPF record of {domain} asks for reverse names (ptr)")))
            }
            other => Err(Trouble::Broken(format!("the SPF record of {domain} has {other:?} in it"))),
        }
    }

    async fn has_address(&self, host: &str, (v4, v6): (u8, u8)) -> Result<bool, Trouble> {
        let found = match self.address {
            IpAddr::V4(_) => self.dns.a(host).await,
            IpAddr::V6(_) => self.dns.aaaa(host).await,
        };
        let length = if self.address.is_ipv4() { v4 } else { v6 };
        let found = negative_is_empty(found)?;
        Ok(found.into_iter().take(HOSTS_MAX).any(|address| same_network(address, self.address, length)))
    }

    fn count(&mut self, depth: u32) -> Result<(), Trouble> {
        self.lookups += 1;
        if self.lookups > LOOKUPS_MAX || depth >= LOOKUPS_MAX {
            let text = format!("the SPF policy needs more than {LOOKUPS_MAX} look-ups, so it counts as none");
            return Err(Trouble::Broken(text));
        }
        Ok(())
    }
}

/// `name=value` (section 6): `exp=` and modifiers that are not known are left out.
fn is_modifier(term: &str) -> bool {
    term.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.'))
    })
}

fn plain(name: &str) -> Result<&str, Trouble> {
    match name {
        "" => Err(Trouble::Broken("an SPF term names no domain".to_owned())),
        name if name.contains('%') => Err(Trouble::Unknown("the SPF record has macros".to_owned())),
        name => Ok(name.trim_end_matches('.')),
    }
}

/// `:host/24//64` after `a` or `mx`: the host, else the domain itself, and the lengths for both kinds.
fn host_of(rest: &str, domain: &str) -> Result<(String, (u8, u8)), Trouble> {
    let (host, lengths) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = match host.strip_prefix(':') {
        Some(host) => plain(host)?.to_owned(),
        None => domain.to_owned(),
    };
    let (v4, v6) = lengths.split_once("//").unwrap_or((lengths, ""));
    let length = |text: &str, max: u8| match text.trim_start_matches('/') {
        "" => Ok(max),
        text => text.parse().ok().filter(|length| *length <= max).ok_or_else(|| bad_network(rest)),
    };
    Ok((host, (length(v4, 32)?, length(v6, 128)?)))
}

fn bad_network(text: &str) -> Trouble {
    Trouble::Broken(format!("the SPF record has {text:?}, which is no network"))
}

fn network(text: &str, address: IpAddr) -> Result<bool, Trouble> {
    let (base, length) = text.split_once('/').unwrap_or((text, ""));
    let base: IpAddr = base.parse().map_err(|_| bad_network(text))?;
    let max = if base.is_ipv4() { 32 } else { 128 };
    let length = if length.is_empty() { Ok(max) } else { length.parse::<u8>() };
    match length {
        Ok(length) if length <= max => Ok(same_network(base, address, length)),
        _ => Err(bad_network(text)),
    }
}

fn same_network(base: IpAddr, address: IpAddr, length: u8) -> bool {
    let (base, address, bits) = match (base, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        _ => return false,
    };
    let apart = u32::from(bits - length.min(bits));
    (base ^ address).checked_shr(apart).unwrap_or(0) == 0
}

fn negative_is_empty<T>(answer: Result<Vec<T>, DnsError>) -> Result<Vec<T>, Trouble> {
    match answer {
        Err(error) if error.is_negative() => Ok(Vec::new()),
        other => other.map_err(|error| Trouble::Unknown(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use net::{RecordKind, StaticResolver};

    async fn judged(policy: &str) -> Spf {
        let dns = StaticResolver::new();
        dns.txt("shop.example", &["another text", policy]);
        dns.txt("inside.example", &["v=spf1 ip4:203.0.113.0/24 -all"]);
        dns.txt("outside.example", &["v=spf1 ip4:192.0.2.0/24 -all"]);
        dns.txt("loop.example", &["v=spf1 include:loop.example -all"]);
        dns.txt("two.example", &["v=spf1 -all", "v=spf1 +all"]);
        dns.a("out.shop.example", &["203.0.113.5"]);
        dns.a("near.example", &["203.0.113.77"]);
        dns.mx("shop.example", &[(10, "out.shop.example")]);
        dns.fails("dark.example", RecordKind::Txt);
        spf_says(&dns, "shop.example", "203.0.113.5".parse().unwrap()).await
    }

    #[tokio::test]
    async fn what_lets_the_address_send() {
        for policy in [
            "v=spf1 ip4:203.0.113.5 -all",
            "V=SPF1 ip4:192.0.2.1 IP4:203.0.113.0/24 ~all",
            "v=spf1 a:out.shop.example ~all",
            "v=spf1 mx -all",
            "v=spf1 include:outside.example include:inside.example -all",
            "v=spf1 a:near.example/24//64 -all",
            "v=spf1 redirect=inside.example",
            "v=spf1 exists:near.example -all",
            "v=spf1 exp=why.example +all",
            "v=spf1 -ip6:2001:db8::/32 all",
        ] {
            assert_eq!(judged(policy).await, Spf::Pass, "{policy}");
        }
    }

    #[tokio::test]
    async fn what_does_not() {
        for policy in [
            "v=spf1 -all",
            "v=spf1 -ip4:203.0.113.5 +all",
            "v=spf1 ip4:192.0.2.0/24",
            "v=spf1 a:near.example ~all",
            "v=spf1 include:outside.example ?all",
        ] {
            assert_eq!(judged(policy).await, Spf::Fail(policy.to_owned()));
        }
        for policy in [
            "v=spf1 include:loop.example +all",
            "v=spf1 include:none.example +all",
            "v=spf1 include:two.example +all",
            "v=spf1 ip4:203.0.113.0/33 +all",
            "v=spf1 ip4:x +all",
            "v=spf1 pass",
            "v=spf1 redirect=none.example",
            "v=spf1 include: +all",
        ] {
            assert!(matches!(judged(policy).await, Spf::Broken(_)), "{policy}: {:?}", judged(policy).await);
        }
    }

    #[tokio::test]
    async fn what_nobody_can_tell() {
        assert_eq!(judged("no policy").await, Spf::Missing);
        for policy in
            ["v=spf1 include:dark.example +all", "v=spf1 exists:%{i}.a.example -all", "v=spf1 ptr -all"]
        {
            assert!(matches!(judged(policy).await, Spf::Unknown(_)), "{policy}");
        }
    }
}
