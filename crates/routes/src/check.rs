//! Compares what is published with what should be: the Check button and `mailwright dns check`.
//!
//! A look-up that failed is *unknown*, never *missing*: telling somebody to add a record that is there makes
//! two of them, and two SPF records are worse than none.

use net::{DnsError, Mx, Resolver};
use serde::Serialize;

use crate::limits::SPF_ADDRESSES_MAX;
use crate::records::{DnsRecord, Facts, Purpose};
use crate::registrable::registrable;
use crate::rotation::KeyStage;
use crate::spf::{Spf, spf_policies, spf_says};
use crate::sts::TransportPolicies;
use crate::surroundings::{self, Surrounding};

/// How a published record compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordState {
    /// Published, and good.
    Present,
    /// Not published.
    Missing,
    /// Something else is published.
    Different,
    /// DNS did not answer.
    Unknown,
}

/// One record and how it compares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What should be published.
    pub record: DnsRecord,
    /// How it compares.
    pub state: RecordState,
    /// What was found that bears on it.
    pub found: Vec<String>,
    /// What to do, as a sentence; empty when nothing is to be done.
    pub advice: String,
}

/// The records of one domain, compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DomainCheck {
    /// The sending domain.
    pub domain: String,
    /// Each record, in the order of `records`.
    pub records: Vec<Checked>,
    /// What receivers look at beside the records.
    pub surroundings: Vec<Surrounding>,
}

impl DomainCheck {
    /// Whether mail that this server signs for the domain will pass: an RSA key, the bounce domain's SPF and
    /// DMARC are there, and what receivers hold against mail is as it should be (alignment, the greeting, reverse names,
    /// replies). The Ed25519 key is extra.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let needed = [Purpose::DkimRsa, Purpose::BounceSpf, Purpose::BounceMx, Purpose::Dmarc];
        self.records
            .iter()
            .filter(|c| needed.contains(&c.record.purpose) && c.record.stage == KeyStage::Active)
            .all(|c| c.state == RecordState::Present)
            && self.surroundings.iter().all(|s| !s.needed || s.state == RecordState::Present)
    }

    /// Whether every record is as proposed, and nothing around it speaks against mail.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.records.iter().all(|c| c.state == RecordState::Present)
            && self.surroundings.iter().all(|s| !s.needed || s.state == RecordState::Present)
    }
}

/// The verdict on one record before it is put beside it.
struct Verdict {
    state: RecordState,
    found: Vec<String>,
    advice: String,
}

impl Verdict {
    fn present(found: Vec<String>) -> Verdict {
        Verdict { state: RecordState::Present, found, advice: String::new() }
    }

    fn different(found: Vec<String>, advice: String) -> Verdict {
        Verdict { state: RecordState::Different, found, advice }
    }

    fn missing(record: &DnsRecord) -> Verdict {
        let advice = format!("Add this {} record at {}.", record.kind, record.name);
        Verdict { state: RecordState::Missing, found: Vec::new(), advice }
    }

    fn unknown(name: &str, reason: &str) -> Verdict {
        let advice = format!("DNS did not answer for {name} ({reason}). Try again in a minute.");
        Verdict { state: RecordState::Unknown, found: Vec::new(), advice }
    }
}

/// Looks each record up, one after the other; the caller bounds the time.
pub(crate) async fn compare(
    dns: &dyn Resolver,
    domain: &str,
    records: Vec<DnsRecord>,
    facts: &Facts,
    web: Option<&TransportPolicies>,
) -> DomainCheck {
    let mut checked = Vec::with_capacity(records.len());
    for record in records {
        let verdict = match record.purpose {
            Purpose::DkimRsa | Purpose::DkimEd25519 => dkim(dns, &record).await,
            Purpose::Spf | Purpose::BounceSpf => spf(dns, &record, facts).await,
            Purpose::BounceMx => bounce_mx(dns, &record).await,
            Purpose::Dmarc => dmarc(dns, &record, domain).await,
        };
        let Verdict { state, found, advice } = verdict;
        checked.push(Checked { record, state, found, advice });
    }
    let surroundings = surroundings::look(dns, domain, facts, web).await;
    DomainCheck { domain: domain.to_owned(), records: checked, surroundings }
}

/// Whether a signing key stands in DNS as it should, alone; `None`: DNS did not answer.
pub(crate) async fn dkim_is_published(dns: &dyn Resolver, name: &str, txt: &str) -> Option<bool> {
    let found = found_or_none(dns.txt(name).await).ok()?;
    let keys: Vec<Option<String>> = found.iter().map(|txt| tag(txt, "p")).filter(Option::is_some).collect();
    Some(keys == [tag(txt, "p")])
}

async fn dkim(dns: &dyn Resolver, record: &DnsRecord) -> Verdict {
    let found = match found_or_none(dns.txt(&record.name).await) {
        Ok(found) => found,
        Err(reason) => return Verdict::unknown(&record.name, &reason),
    };
    let ours = tag(&record.value, "p");
    match found.iter().filter(|txt| tag(txt, "p").is_some()).count() {
        0 if found.is_empty() => Verdict::missing(record),
        0 => Verdict::different(found, "This is no DKIM key: replace it by the value shown.".to_owned()),
        1 if found.iter().any(|txt| tag(txt, "p") == ours) => Verdict::present(found),
        1 => Verdict::different(found, "Another key is published under this name: replace it by the value shown. A DNS form that cuts at 255 characters also causes this.".to_owned()),
        _ => Verdict::different(found, "Several keys are published under this name: leave only the value shown.".to_owned()),
    }
}

async fn spf(dns: &dyn Resolver, record: &DnsRecord, facts: &Facts) -> Verdict {
    let policies = match spf_policies(dns, &record.name).await {
        Ok(found) => found,
        Err(reason) => return Verdict::unknown(&record.name, &reason),
    };
    match policies.as_slice() {
        [] => Verdict::missing(record),
        [policy] => {
            let said = spf_of_all(dns, &record.name, policy, facts).await;
            spf_verdict(said, policies, facts)
        }
        _ => Verdict::different(
            policies,
            "Several SPF records make all of them invalid (RFC 7208 section 4.5): join them into one."
                .to_owned(),
        ),
    }
}

/// What the policy, all that it includes followed, says of every address that mail leaves from. Where none is known (a name
/// that leads nowhere yet), whether it names the name.
async fn spf_of_all(dns: &dyn Resolver, domain: &str, policy: &str, facts: &Facts) -> Spf {
    let named = facts.spf_mechanisms().iter().all(|mechanism| names(policy, mechanism));
    let host = facts.relay_host.as_ref().unwrap_or(&facts.host);
    let addresses = match &facts.relay_host {
        None if !facts.addresses.is_empty() => facts.addresses.clone(),
        _ => match found_or_none(dns.addresses(host).await) {
            Ok(addresses) => addresses,
            Err(_) if named => Vec::new(),
            Err(reason) => return Spf::Unknown(reason),
        },
    };
    let mut said = if named { Spf::Pass } else { Spf::Fail(policy.to_owned()) };
    for address in addresses.into_iter().take(SPF_ADDRESSES_MAX) {
        said = spf_says(dns, domain, address).await;
        if said != Spf::Pass {
            break;
        }
    }
    match said {
        // Beyond what can be told here (macros, or silence behind a term that does not matter), and it names us.
        Spf::Unknown(_) if named => Spf::Pass,
        said => said,
    }
}

fn spf_verdict(said: Spf, policies: Vec<String>, facts: &Facts) -> Verdict {
    let ours = facts.spf_mechanisms().join(" ");
    match said {
        Spf::Pass => Verdict::present(policies),
        Spf::Fail(_) | Spf::Missing => {
            let advice = format!(
                "Keep this record and add `{ours}` before its `all` term: neither it nor what it includes covers this \
                 server. A second SPF record beside it would make both invalid."
            );
            Verdict::different(policies, advice)
        }
        Spf::Broken(why) => {
            let advice = format!(
                "Receivers count this record as failed, because {why}. Mend that, and have it name `{ours}`."
            );
            Verdict::different(policies, advice)
        }
        Spf::Unknown(why) => Verdict {
            state: RecordState::Unknown,
            found: policies,
            advice: format!("Whether it covers this server cannot be told: {why}."),
        },
    }
}

async fn bounce_mx(dns: &dyn Resolver, record: &DnsRecord) -> Verdict {
    let hosts = match found_or_none(dns.mx(&record.name).await) {
        Ok(hosts) => hosts,
        Err(reason) => return Verdict::unknown(&record.name, &reason),
    };
    if hosts.is_empty() {
        return Verdict::missing(record);
    }
    let ours = record.value.split_whitespace().last().unwrap_or_default();
    let found: Vec<String> =
        hosts.iter().map(|Mx { preference, host }| format!("{preference} {host}")).collect();
    if hosts.iter().all(|mx| same_name(&mx.host, ours)) {
        return Verdict::present(found);
    }
    let advice = format!("Bounces go to another host: leave only {ours}, or they are not seen here.");
    Verdict::different(found, advice)
}

/// DMARC of a domain without its own record is that of its organisation's domain (RFC 7489 section 6.6.3), so that is asked
/// before the record is called missing; what lies between and above says nothing.
async fn dmarc(dns: &dyn Resolver, record: &DnsRecord, domain: &str) -> Verdict {
    for at in [domain, registrable(domain)] {
        let name = format!("_dmarc.{at}");
        let found = match found_or_none(dns.txt(&name).await) {
            Ok(found) => found,
            Err(reason) => return Verdict::unknown(&name, &reason),
        };
        let policies: Vec<String> = found.into_iter().filter(|txt| is_dmarc(txt)).collect();
        match policies.as_slice() {
            [] => {}
            [policy] if tag(policy, "p").is_some() => {
                let shown = if at == domain { policy.clone() } else { format!("{name}: {policy}") };
                return Verdict::present(vec![shown]);
            }
            [_] => {
                return Verdict::different(
                    policies,
                    "The record has no `p=` tag: add one, `p=none` will do.".to_owned(),
                );
            }
            _ => {
                let advice = "Several DMARC records count as none (RFC 7489 section 6.6.3): leave only one.";
                return Verdict::different(policies, advice.to_owned());
            }
        }
    }
    Verdict::missing(record)
}

/// A name without such a record is an empty answer; silence stays an error, in its own words.
pub(crate) fn found_or_none<T>(answer: Result<Vec<T>, DnsError>) -> Result<Vec<T>, String> {
    match answer {
        Err(error) if error.is_negative() => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
        Ok(found) => Ok(found),
    }
}

pub(crate) fn is_dmarc(txt: &str) -> bool {
    tag(txt, "v").is_some_and(|v| v.eq_ignore_ascii_case("DMARC1"))
}

/// The value of a tag in a tag list, blanks removed (a key is often published with blanks in it).
pub(crate) fn tag(list: &str, name: &str) -> Option<String> {
    list.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key.trim() == name).then(|| value.chars().filter(|c| !c.is_ascii_whitespace()).collect())
    })
}

/// Whether an SPF policy has a mechanism as a word.
fn names(policy: &str, mechanism: &str) -> bool {
    let terms = policy.split_ascii_whitespace().skip(1);
    terms.map(|term| term.strip_prefix('+').unwrap_or(term)).any(|term| term.eq_ignore_ascii_case(mechanism))
}

fn same_name(one: &str, other: &str) -> bool {
    one.strip_suffix('.').unwrap_or(one).eq_ignore_ascii_case(other.strip_suffix('.').unwrap_or(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::PublicKey;
    use crate::records::records_of;
    use message::KeyKind;
    use net::{RecordKind, StaticResolver};

    fn facts() -> Facts {
        Facts {
            host: "mail.shop.example".into(),
            addresses: vec!["203.0.113.5".parse().expect("ip")],
            ..Facts::default()
        }
    }

    fn records() -> Vec<DnsRecord> {
        let key = PublicKey {
            selector: "mw1".into(),
            kind: KeyKind::Rsa,
            txt: "v=DKIM1; k=rsa; p=QUJD".into(),
            stage: KeyStage::Active,
        };
        records_of("shop.example", &[key], &facts())
    }

    fn published() -> StaticResolver {
        let dns = StaticResolver::new();
        for record in records() {
            if record.kind == "TXT" {
                dns.txt(&record.name, &[&record.value, "another text"]);
            } else {
                dns.mx(&record.name, &[(10, "MAIL.shop.example.")]);
            }
        }
        dns
    }

    async fn states(dns: &StaticResolver) -> Vec<RecordState> {
        let check = compare(dns, "shop.example", records(), &facts(), None).await;
        check.records.iter().map(|c| c.state).collect()
    }

    use RecordState::{Different, Missing, Present, Unknown};

    #[tokio::test]
    async fn all_present_all_missing() {
        assert_eq!(states(&published()).await, [Present; 5]);
        let none = compare(&StaticResolver::new(), "shop.example", records(), &facts(), None).await;
        assert!(none.records.iter().all(|c| c.state == Missing && !c.advice.is_empty()));
        assert!(!none.is_ready());
    }

    #[tokio::test]
    async fn differences_are_told_from_absence_and_from_silence() {
        let dns = published();
        dns.txt("mw1._domainkey.shop.example", &["v=DKIM1; k=rsa; p=QU JD"]);
        assert_eq!(states(&dns).await[0], Present, "blanks in a key do not count");
        dns.txt("mw1._domainkey.shop.example", &["v=DKIM1; p=XXXX"]);
        dns.txt("shop.example", &["v=spf1 include:_spf.other.example ~all", "x"]);
        dns.mx("bounce.shop.example", &[(10, "mx.other.example")]);
        dns.txt("bounce.shop.example", &["v=spf1 ip4:203.0.113.0/24 -all"]);
        dns.fails("_dmarc.shop.example", RecordKind::Txt);
        assert_eq!(states(&dns).await, [Different, Different, Different, Present, Unknown]);
        let check = compare(&dns, "shop.example", records(), &facts(), None).await;
        assert!(check.records[1].advice.contains("ip4:203.0.113.5"), "{}", check.records[1].advice);
    }

    #[tokio::test]
    async fn rfc_7208_4_5_two_spf_records_are_a_difference() {
        let dns = published();
        dns.txt("shop.example", &["v=spf1 ip4:203.0.113.5 ~all", "v=spf1 -all"]);
        assert_eq!(states(&dns).await[1], Different);
    }

    #[tokio::test]
    async fn rfc_7489_6_6_3_dmarc_is_inherited() {
        let dns = StaticResolver::new();
        dns.txt("_dmarc.shop.example", &["v=DMARC1; p=reject"]);
        let records: Vec<DnsRecord> = records_of("news.shop.example", &[], &facts())
            .into_iter()
            .filter(|r| r.purpose == Purpose::Dmarc)
            .collect();
        let check = compare(&dns, "news.shop.example", records, &facts(), None).await;
        assert_eq!(check.records[0].state, Present);
        assert!(check.records[0].found[0].starts_with("_dmarc.shop.example:"));
        // What a registry or a domain between says is nobody's policy.
        dns.txt("_dmarc.co.uk", &["v=DMARC1; p=none"]);
        dns.txt("_dmarc.news.shop.co.uk", &["v=DMARC1; p=none"]);
        let wanted = records_of("a.news.shop.co.uk", &[], &facts());
        let check = compare(&dns, "a.news.shop.co.uk", wanted, &facts(), None).await;
        let dmarc = check.records.iter().find(|one| one.record.purpose == Purpose::Dmarc);
        assert_eq!(dmarc.map(|one| one.state), Some(Missing));
    }

    async fn spf(policy: &str, facts: &Facts) -> Checked {
        let dns = published();
        dns.txt("shop.example", &[policy]);
        dns.txt("_spf.wide.example", &["v=spf1 include:_spf2.wide.example -all"]);
        dns.txt("_spf2.wide.example", &["v=spf1 ip4:203.0.113.0/24 -all"]);
        dns.txt("_spf.far.example", &["v=spf1 ip4:192.0.2.0/24 -all"]);
        dns.a("relay.example", &["203.0.113.9"]);
        dns.fails("_spf.dark.example", RecordKind::Txt);
        for n in 0..11 {
            dns.txt(&format!("l{n}.example"), &[&format!("v=spf1 include:l{}.example -all", n + 1)]);
        }
        let wanted = records_of("shop.example", &[], facts);
        let mut check = compare(&dns, "shop.example", wanted, facts, None).await;
        check.records.remove(0)
    }

    #[tokio::test]
    async fn rfc_7208_4_6_4_includes_are_followed_as_receivers_do() {
        let facts = facts();
        for policy in [
            "v=spf1 include:_spf.far.example include:_spf.wide.example ~all",
            "v=spf1 redirect=_spf.wide.example",
            "v=spf1 ip4:203.0.113.5 include:_spf.dark.example ~all",
        ] {
            assert_eq!(spf(policy, &facts).await.state, Present, "{policy}");
        }
        let far = spf("v=spf1 include:_spf.far.example ~all", &facts).await;
        assert!(far.state == Different && far.advice.contains("add `ip4:203.0.113.5`"), "{far:?}");
        let silent = spf("v=spf1 include:_spf.dark.example ~all", &facts).await;
        assert!(silent.state == Unknown && !silent.found.is_empty(), "{silent:?}");
        // Section 4.6.4: beyond ten look-ups nothing counts, also what stands behind them.
        let deep = spf("v=spf1 include:l0.example ip4:203.0.113.5 ~all", &facts).await;
        assert!(deep.state == Different && deep.advice.contains("look-ups"), "{deep:?}");
        // Two addresses, one of which is not covered.
        let more = Facts {
            addresses: vec!["203.0.113.5".parse().expect("ip"), "198.51.100.5".parse().expect("ip")],
            ..facts.clone()
        };
        assert_eq!(spf("v=spf1 include:_spf.wide.example ~all", &more).await.state, Different);
        // Through a relay, and with a name that leads nowhere yet.
        let relayed = Facts { relay_host: Some("relay.example".into()), ..facts.clone() };
        assert_eq!(spf("v=spf1 include:_spf.wide.example ~all", &relayed).await.state, Present);
        assert_eq!(spf("v=spf1 include:_spf.far.example ~all", &relayed).await.state, Different);
        let new = Facts { host: "new.example".into(), addresses: Vec::new(), ..facts };
        assert_eq!(spf("v=spf1 a:new.example ~all", &new).await.state, Present);
        assert_eq!(spf("v=spf1 include:_spf.wide.example ~all", &new).await.state, Different);
    }
}
