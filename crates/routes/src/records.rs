//! The DNS records that a sending domain needs, as text for a DNS form and as zone lines.

use std::net::IpAddr;

use serde::Serialize;

use message::{KeyKind, txt_strings};

use crate::dkim::PublicKey;
use crate::greetings::Greeting;
use crate::limits::SPF_ADDRESSES_MAX;
use crate::rotation::KeyStage;

/// What the records depend on beside the keys.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// This server's public host name (`mta.ehlo`): where bounces are taken, and `a:` of SPF when no source
    /// address is known.
    pub host: String,
    /// Public source addresses mail leaves from, when they are known.
    pub addresses: Vec<IpAddr>,
    /// The names said in EHLO with the addresses that say them; empty: `host` says it from `addresses`.
    pub greetings: Vec<Greeting>,
    /// Host of the relay when mail leaves through one; SPF then names it instead.
    pub relay_host: Option<String>,
    /// `feedback.domain`; none: `bounce.` + the sending domain.
    pub bounce_domain: Option<String>,
    /// Where receivers may send DMARC reports; none: the record asks for none.
    pub dmarc_reports: Option<String>,
}

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The RSA signing key.
    DkimRsa,
    /// The Ed25519 signing key.
    DkimEd25519,
    /// Who may send for the sending domain.
    Spf,
    /// Where bounces come back to.
    BounceMx,
    /// Who may send for the bounce domain; this is the SPF that receivers look at.
    BounceSpf,
    /// What receivers shall do with mail that fails both.
    Dmarc,
}

/// One record to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DnsRecord {
    /// Full name without a final dot.
    pub name: String,
    /// `TXT` or `MX`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The value; `10 host` for MX. A TXT longer than 255 octets is split by the DNS form or by `zone_line`.
    pub value: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Of a signing key: where that is in its life. `Active` for all other records.
    pub stage: KeyStage,
}

/// The answer of `domain add` and `domain records`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DomainRecords {
    /// The sending domain, IDNA ASCII.
    pub domain: String,
    /// Selector of the RSA key.
    pub selector: String,
    /// What to publish.
    pub records: Vec<DnsRecord>,
}

impl Facts {
    /// The domain of return paths for mail of `domain`.
    #[must_use]
    pub fn bounce_domain(&self, domain: &str) -> String {
        self.bounce_domain.clone().unwrap_or_else(|| format!("bounce.{domain}"))
    }

    /// Who says which name in EHLO.
    pub(crate) fn greeters(&self) -> Vec<Greeting> {
        if self.greetings.is_empty() {
            return vec![Greeting { name: self.host.clone(), addresses: self.addresses.clone() }];
        }
        self.greetings.clone()
    }

    /// The SPF mechanisms that allow this server.
    pub(crate) fn spf_mechanisms(&self) -> Vec<String> {
        if let Some(relay) = &self.relay_host {
            return vec![format!("a:{relay}")];
        }
        if self.addresses.is_empty() {
            return vec![format!("a:{}", self.host)];
        }
        let mechanism = |address: &IpAddr| match address {
            IpAddr::V4(v4) => format!("ip4:{v4}"),
            IpAddr::V6(v6) => format!("ip6:{v6}"),
        };
        self.addresses.iter().take(SPF_ADDRESSES_MAX).map(mechanism).collect()
    }

    /// `~all`, not `-all`: with DMARC in place a hard fail only makes receivers drop forwarded mail before
    /// they look at its DKIM signature.
    fn spf(&self) -> String {
        format!("v=spf1 {} ~all", self.spf_mechanisms().join(" "))
    }
}

impl DnsRecord {
    /// The record as a line of a zone file, TXT split into strings of at most 255 octets (RFC 1035 3.3).
    #[must_use]
    pub fn zone_line(&self) -> String {
        if self.kind != "TXT" {
            return format!("{}. IN {} {}.", self.name, self.kind, self.value);
        }
        let strings: Vec<String> = txt_strings(&self.value).iter().map(|s| format!("\"{s}\"")).collect();
        format!("{}. IN TXT {}", self.name, strings.join(" "))
    }
}

/// All records of `domain`, in the order in which they are best published.
#[must_use]
pub(crate) fn records_of(domain: &str, keys: &[PublicKey], facts: &Facts) -> Vec<DnsRecord> {
    let bounce = facts.bounce_domain(domain);
    let txt = |name: String, value: String, purpose| DnsRecord {
        name,
        kind: "TXT",
        value,
        purpose,
        stage: KeyStage::Active,
    };
    let mut records: Vec<DnsRecord> = keys
        .iter()
        .map(|key| {
            let purpose = match key.kind {
                KeyKind::Rsa => Purpose::DkimRsa,
                KeyKind::Ed25519 => Purpose::DkimEd25519,
            };
            let name = format!("{}._domainkey.{domain}", key.selector);
            DnsRecord { stage: key.stage, ..txt(name, key.txt.clone(), purpose) }
        })
        .collect();
    records.push(txt(domain.to_owned(), facts.spf(), Purpose::Spf));
    records.push(DnsRecord {
        name: bounce.clone(),
        kind: "MX",
        value: format!("10 {}", facts.host),
        purpose: Purpose::BounceMx,
        stage: KeyStage::Active,
    });
    records.push(txt(bounce, facts.spf(), Purpose::BounceSpf));
    records.push(txt(format!("_dmarc.{domain}"), dmarc(facts), Purpose::Dmarc));
    records
}

/// `p=none` is what Gmail, Yahoo and Microsoft ask for; a stricter policy is the owner's decision.
fn dmarc(facts: &Facts) -> String {
    match &facts.dmarc_reports {
        Some(address) => format!("v=DMARC1; p=none; rua=mailto:{address}"),
        None => "v=DMARC1; p=none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts { host: "mail.shop.example".into(), ..Facts::default() }
    }

    fn keys() -> Vec<PublicKey> {
        let key = |selector: &str, kind: KeyKind, public: &str| PublicKey {
            selector: selector.into(),
            kind,
            txt: format!("v=DKIM1; k={}; p={public}", kind.as_str()),
            stage: KeyStage::Active,
        };
        vec![key("mw1", KeyKind::Rsa, &"A".repeat(392)), key("mw1e", KeyKind::Ed25519, "QUJD")]
    }

    #[test]
    fn lists_what_the_contract_names() {
        let records = records_of("shop.example", &keys(), &facts());
        let lines: Vec<String> =
            records.iter().skip(1).map(|r| format!("{} {} {}", r.name, r.kind, r.value)).collect();
        assert_eq!(
            lines,
            [
                "mw1e._domainkey.shop.example TXT v=DKIM1; k=ed25519; p=QUJD",
                "shop.example TXT v=spf1 a:mail.shop.example ~all",
                "bounce.shop.example MX 10 mail.shop.example",
                "bounce.shop.example TXT v=spf1 a:mail.shop.example ~all",
                "_dmarc.shop.example TXT v=DMARC1; p=none",
            ]
        );
        assert_eq!(records[0].name, "mw1._domainkey.shop.example");
    }

    #[test]
    fn spf_names_addresses_or_the_relay() {
        let mut facts = facts();
        facts.addresses = vec!["203.0.113.5".parse().expect("ip"), "2001:db8::5".parse().expect("ip")];
        assert_eq!(facts.spf(), "v=spf1 ip4:203.0.113.5 ip6:2001:db8::5 ~all");
        facts.relay_host = Some("smtp.relay.example".into());
        assert_eq!(facts.spf(), "v=spf1 a:smtp.relay.example ~all");
    }

    #[test]
    fn a_long_txt_is_split_in_a_zone_line() {
        let records = records_of("shop.example", &keys(), &facts());
        let line = records[0].zone_line();
        let strings: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        assert_eq!(strings.len(), 2);
        assert!(strings.iter().all(|s| s.len() <= 255));
        assert_eq!(strings.concat(), records[0].value);
        assert_eq!(records[3].zone_line(), "bounce.shop.example. IN MX 10 mail.shop.example.");
    }
}
