//! Where a domain's mail goes: RFC 5321 section 5.1, RFC 7505.

use std::collections::HashSet;

use super::{DnsError, MAIL_HOSTS_MAX, Mx, RecordKind, Resolver, exchangers};

/// A host that takes a domain's mail.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailHost {
    /// The lower, the earlier it is tried.
    pub preference: u16,
    /// Lower-case host name without the root dot.
    pub name: String,
}

/// What DNS says about a domain's mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailHosts {
    /// At least one host, by preference and then by name. The names tell domains of one site apart from others.
    Hosts {
        /// The hosts.
        hosts: Vec<MailHost>,
        /// That these are the hosts is proven by DNSSEC: the ground that DANE stands on (RFC 7672 section 2.2.1).
        secure: bool,
    },
    /// The domain says that it takes no mail (RFC 7505): fails at once, with 556 5.1.10.
    NullMx,
    /// The domain does not exist: fails at once, with 5.1.2.
    NoSuchDomain,
    /// The domain exists, and has neither MX nor address: fails at once, with 5.1.2.
    NoHost,
    /// Not known now; to be asked again. Never a reason to try the domain's own address.
    Defer(String),
}

impl MailHosts {
    /// The hosts in the order in which they are tried: by preference, and at random within one (RFC 5321 section 5.1,
    /// to spread the load). `pick(n)` gives a random number below `n`. Empty unless [`MailHosts::Hosts`].
    pub fn in_order(&self, mut pick: impl FnMut(usize) -> usize) -> Vec<MailHost> {
        let MailHosts::Hosts { hosts, .. } = self else { return Vec::new() };
        let mut order = hosts.clone();
        for group in order.chunk_by_mut(|a, b| a.preference == b.preference) {
            for last in (1..group.len()).rev() {
                group.swap(last, pick(last + 1).min(last));
            }
        }
        order
    }
}

/// Asks where the mail of a domain (in its ASCII form) goes.
pub async fn mail_hosts(resolver: &dyn Resolver, domain: &str) -> MailHosts {
    match resolver.lookup(domain, RecordKind::Mx).await {
        Ok(found) => of_exchangers(exchangers(&found), found.secure),
        Err(DnsError::NoSuchName { .. }) => MailHosts::NoSuchDomain,
        Err(DnsError::NoRecord { .. }) => of_address(resolver, domain).await,
        Err(DnsError::Defer(why)) => MailHosts::Defer(why),
    }
}

fn of_exchangers(mut exchangers: Vec<Mx>, secure: bool) -> MailHosts {
    // A null MX beside others is a fault of the zone (RFC 7505 section 3); the others stand.
    exchangers.retain(|mx| !mx.host.is_empty());
    if exchangers.is_empty() {
        return MailHosts::NullMx;
    }
    exchangers.sort();
    // A host under two preferences is tried once, at the better one.
    let mut seen = HashSet::new();
    exchangers.retain(|mx| seen.insert(mx.host.clone()));
    exchangers.truncate(MAIL_HOSTS_MAX);
    let hosts = exchangers.into_iter().map(|mx| MailHost { preference: mx.preference, name: mx.host });
    MailHosts::Hosts { hosts: hosts.collect(), secure }
}

/// Only a domain that surely has no MX is its own mail host, if it has an address. A proven address proves the absence of
/// an MX too: in a signed zone an absence that is not proven is deferred by the resolver.
async fn of_address(resolver: &dyn Resolver, domain: &str) -> MailHosts {
    match resolver.proven_addresses(domain).await {
        Ok((_, secure)) => MailHosts::Hosts {
            hosts: vec![MailHost { preference: 0, name: super::canonical(domain) }],
            secure,
        },
        Err(DnsError::Defer(why)) => MailHosts::Defer(why),
        Err(_) => MailHosts::NoHost,
    }
}

#[cfg(test)]
mod tests {
    use super::super::StaticResolver;
    use super::*;

    fn names(hosts: &[MailHost]) -> Vec<&str> {
        hosts.iter().map(|host| host.name.as_str()).collect()
    }

    #[tokio::test]
    async fn rfc_5321_5_1_exchangers_are_sorted_and_a_repeated_host_counts_once() {
        let resolver = StaticResolver::new();
        resolver
            .mx("a.example", &[(20, "c.example."), (10, "B.example"), (10, "a.example"), (30, "b.example")]);
        let MailHosts::Hosts { hosts, secure } = mail_hosts(&resolver, "A.Example").await else {
            panic!("has hosts")
        };
        assert!(!secure);
        assert_eq!(names(&hosts), ["a.example", "b.example", "c.example"]);
    }

    #[tokio::test]
    async fn rfc_5321_5_1_an_address_is_used_only_where_there_is_surely_no_exchanger() {
        let resolver = StaticResolver::new();
        resolver.a("plain.example", &["192.0.2.1"]);
        resolver.aaaa("six.example", &["2001:db8::1"]);
        resolver.a("dark.example", &["192.0.2.1"]);
        resolver.fails("dark.example", RecordKind::Mx);
        resolver.exists("empty.example");
        resolver.exists("half.example");
        resolver.fails("half.example", RecordKind::A);
        for domain in ["plain.example", "six.example"] {
            let hosts = vec![MailHost { preference: 0, name: domain.to_owned() }];
            assert_eq!(mail_hosts(&resolver, domain).await, MailHosts::Hosts { hosts, secure: false });
        }
        assert!(matches!(mail_hosts(&resolver, "dark.example").await, MailHosts::Defer(_)));
        assert!(matches!(mail_hosts(&resolver, "half.example").await, MailHosts::Defer(_)));
        assert_eq!(mail_hosts(&resolver, "empty.example").await, MailHosts::NoHost);
        assert_eq!(mail_hosts(&resolver, "gone.example").await, MailHosts::NoSuchDomain);
    }

    #[tokio::test]
    async fn rfc_7505_3_a_null_mx_says_no_and_beside_others_says_nothing() {
        let resolver = StaticResolver::new();
        resolver.mx("null.example", &[(0, ".")]);
        resolver.a("null.example", &["192.0.2.1"]);
        resolver.mx("odd.example", &[(0, "."), (10, "mx.odd.example")]);
        assert_eq!(mail_hosts(&resolver, "null.example").await, MailHosts::NullMx);
        let MailHosts::Hosts { hosts, secure } = mail_hosts(&resolver, "odd.example").await else {
            panic!("has hosts")
        };
        assert!(!secure);
        assert_eq!(names(&hosts), ["mx.odd.example"]);
    }

    #[tokio::test]
    async fn rfc_7672_2_2_1_hosts_are_proven_as_far_as_their_answer_is() {
        let resolver = StaticResolver::new();
        resolver.mx("signed.example", &[(10, "mx.plain.example")]);
        resolver.secure("signed.example");
        resolver.a("bare.example", &["192.0.2.1"]);
        resolver.secure("bare.example");
        for domain in ["signed.example", "bare.example"] {
            assert!(matches!(mail_hosts(&resolver, domain).await, MailHosts::Hosts { secure: true, .. }));
        }
    }

    #[tokio::test]
    async fn the_number_of_hosts_is_bounded() {
        let resolver = StaticResolver::new();
        let names: Vec<String> = (0..MAIL_HOSTS_MAX + 5).map(|n| format!("mx{n:02}.example")).collect();
        let exchangers: Vec<(u16, &str)> = names.iter().map(|name| (10, name.as_str())).collect();
        resolver.mx("many.example", &exchangers);
        let MailHosts::Hosts { hosts, .. } = mail_hosts(&resolver, "many.example").await else {
            panic!("has hosts")
        };
        assert_eq!(hosts.len(), MAIL_HOSTS_MAX);
    }

    #[test]
    fn rfc_5321_5_1_order_is_random_within_a_preference_only() {
        let host = |preference, name: &str| MailHost { preference, name: name.to_owned() };
        let hosts = vec![host(1, "a"), host(1, "b"), host(1, "c"), host(2, "d")];
        let hosts = MailHosts::Hosts { hosts, secure: false };
        let last = hosts.in_order(|bound| bound - 1);
        assert_eq!(names(&last), ["a", "b", "c", "d"]);
        let first = hosts.in_order(|_| 0);
        assert_eq!(names(&first), ["b", "c", "a", "d"]);
        assert!(MailHosts::NullMx.in_order(|_| 0).is_empty());
    }
}
