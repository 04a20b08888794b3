//! Where the DNS says what a mail host's certificate must be (RFC 7672 sections 2.2.2 and 2.2.3).
//!
//! A mail host should not be an alias, and some are. Where the whole way to its addresses is proven, the records stand
//! under the name at its end, or, failing that, under the host's own; where only the alias itself is proven, under the
//! host's own alone.

use super::{DnsError, RecordKind, Records, Resolver, Tlsa, canonical};

/// What a mail host's certificate must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTlsa {
    /// The name that the records stand under (the TLSA base domain): it is said in the handshake, and is what a
    /// certificate below an anchor has to be made out to (RFC 7672 sections 3.2.2 and 8.1).
    pub base: String,
    /// All of them, usable or not; at least one.
    pub records: Vec<Tlsa>,
}

/// Asks for the records of a host that is proven to be one. `None`: nothing that is proven.
///
/// # Errors
/// `Defer`: not known, which must not be read as nothing (section 2.1.1). The host is not to be spoken to then.
pub async fn mail_host_tlsa(
    resolver: &dyn Resolver,
    host: &str,
    port: u16,
) -> Result<Option<HostTlsa>, DnsError> {
    for base in bases(resolver, host).await? {
        let (records, secure) = resolver.tlsa(&base, port).await?;
        if secure && !records.is_empty() {
            return Ok(Some(HostTlsa { base, records }));
        }
    }
    Ok(None)
}

/// The names that are looked under, in this order. None for a host whose addresses are not proven: its name servers may
/// not even understand the question (section 2.2.2).
async fn bases(resolver: &dyn Resolver, host: &str) -> Result<Vec<String>, DnsError> {
    let own = canonical(host);
    let (v4, v6) =
        tokio::join!(resolver.lookup(host, RecordKind::A), resolver.lookup(host, RecordKind::Aaaa));
    let found: Vec<Records> = match (v4, v6) {
        (Ok(v4), Ok(v6)) => vec![v4, v6],
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => vec![one],
        (Err(error), Err(other)) => {
            let deferred = [error, other].into_iter().find(|error| !error.is_negative());
            // Without an address there is nobody to speak to.
            return deferred.map_or(Ok(Vec::new()), Err);
        }
    };
    let secure = found.iter().all(|records| records.secure);
    let mut ends: Vec<&str> = found.iter().filter_map(|records| records.alias.as_deref()).collect();
    ends.dedup();
    match (secure, ends.as_slice()) {
        (true, []) => Ok(vec![own]),
        (true, [end]) => Ok(vec![(*end).to_owned(), own]),
        // The two kinds of addresses lead to different names, so neither is the host's.
        (true, _) => Ok(vec![own]),
        (false, []) => Ok(Vec::new()),
        (false, _) => match resolver.lookup(host, RecordKind::Cname).await {
            Ok(alias) if alias.secure => Ok(vec![own]),
            Ok(_) => Ok(Vec::new()),
            Err(error) if error.is_negative() => Ok(Vec::new()),
            Err(error) => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::StaticResolver;
    use super::*;

    const HOST: &str = "mx.shop.example";
    const END: &str = "real.host.example";

    fn record(octet: u8) -> Tlsa {
        Tlsa { usage: 3, selector: 1, matching: 1, data: vec![octet; 32] }
    }

    /// The host is an alias; all of it is proven.
    fn aliased() -> StaticResolver {
        let dns = StaticResolver::new();
        dns.alias(HOST, END);
        dns.a(END, &["192.0.2.1"]);
        for name in [HOST, END, "_25._tcp.mx.shop.example", "_25._tcp.real.host.example"] {
            dns.secure(name);
        }
        dns
    }

    async fn found(dns: &StaticResolver) -> Option<(String, u8)> {
        let found = mail_host_tlsa(dns, HOST, 25).await.expect("known")?;
        Some((found.base, found.records[0].data[0]))
    }

    #[tokio::test]
    async fn rfc_7672_2_2_2_the_end_of_a_proven_alias_goes_before_the_host() {
        let dns = aliased();
        assert_eq!(found(&dns).await, None);
        dns.tlsa(HOST, 25, &[record(1)]);
        assert_eq!(found(&dns).await, Some((HOST.to_owned(), 1)));
        dns.tlsa(END, 25, &[record(2)]);
        assert_eq!(found(&dns).await, Some((END.to_owned(), 2)));
        // Records that nobody vouches for are passed over.
        dns.unproven("_25._tcp.real.host.example");
        assert_eq!(found(&dns).await, Some((HOST.to_owned(), 1)));
        dns.fails("_25._tcp.real.host.example", RecordKind::Tlsa);
        assert!(mail_host_tlsa(&dns, HOST, 25).await.is_err(), "not known is not nothing");
    }

    #[tokio::test]
    async fn rfc_7672_2_2_2_an_alias_out_of_a_signed_zone_counts_under_its_own_name() {
        let dns = aliased();
        dns.unproven(END);
        dns.tlsa(HOST, 25, &[record(1)]);
        dns.tlsa(END, 25, &[record(2)]);
        assert_eq!(found(&dns).await, Some((HOST.to_owned(), 1)));
        dns.unproven(HOST);
        assert_eq!(found(&dns).await, None);
    }

    #[tokio::test]
    async fn a_host_that_is_no_alias_counts_when_all_its_addresses_are_proven() {
        let dns = StaticResolver::new();
        dns.a(HOST, &["192.0.2.1"]);
        dns.secure("_25._tcp.mx.shop.example");
        dns.tlsa(HOST, 25, &[record(1)]);
        assert_eq!(found(&dns).await, None);
        dns.secure(HOST);
        assert_eq!(found(&dns).await, Some((HOST.to_owned(), 1)));
        dns.fails(HOST, RecordKind::A);
        assert!(mail_host_tlsa(&dns, HOST, 25).await.is_err(), "its address may be had a moment later");
        assert_eq!(mail_host_tlsa(&dns, "none.example", 25).await, Ok(None));
    }
}
