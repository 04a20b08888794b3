//! How receivers will judge the sender: SPF, DKIM, DMARC and alignment for the From domain, by live DNS.

use std::net::IpAddr;

use net::{Mx, Resolver};
use routes::{Spf, registrable, spf_policies, spf_says};
use typology::{AuthenticationFact, CheckFact, Checked};

/// What is asked about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// Domain of the From address, in IDNA ASCII.
    pub domain: String,
    /// Domain of the return path.
    pub return_path: String,
    /// The domain that signs; empty: none.
    pub signing: String,
    /// Name and value of the RSA key's record.
    pub key: Option<(String, String)>,
    /// Mail leaves through a relay, from addresses that nobody knows here.
    pub relay: bool,
}

/// Asks everything at once. `sources` are the addresses that mail leaves from; `Err`: why they are not known.
pub(crate) async fn judge(
    dns: &dyn Resolver,
    asked: Asked,
    sources: &Result<Vec<IpAddr>, String>,
) -> AuthenticationFact {
    let (spf, dkim, policy, mail) = tokio::join!(
        spf_of(dns, &asked, sources),
        dkim_of(dns, &asked),
        policy_of(dns, &asked.domain),
        mail_of(dns, &asked.domain),
    );
    let (dmarc, strict) = policy;
    AuthenticationFact {
        spf_aligned: aligned(&asked.domain, &asked.return_path, strict.spf),
        dkim_aligned: !asked.signing.is_empty() && aligned(&asked.domain, &asked.signing, strict.dkim),
        domain: asked.domain,
        spf,
        spf_domain: asked.return_path,
        dkim,
        dkim_domain: asked.signing,
        dmarc,
        mail,
    }
}

/// RFC 7489 section 3.1: the same domain, or, unless the policy is strict, the same organisation's.
fn aligned(from: &str, other: &str, strict: bool) -> bool {
    let same = from.eq_ignore_ascii_case(other);
    same || (!strict && registrable(from).eq_ignore_ascii_case(registrable(other)))
}

async fn spf_of(dns: &dyn Resolver, asked: &Asked, sources: &Result<Vec<IpAddr>, String>) -> CheckFact {
    if asked.relay {
        // Whom the policy lets send is the relay's business; that there is one can be told.
        return match spf_policies(dns, &asked.return_path).await {
            Ok(found) if found.is_empty() => CheckFact::new(Checked::Missing, ""),
            Ok(found) => CheckFact::new(Checked::Pass, found.join(" ")),
            Err(reason) => CheckFact::new(Checked::Unknown, reason),
        };
    }
    let sources = match sources {
        Ok(sources) => sources,
        Err(reason) => return CheckFact::new(Checked::Unknown, reason.clone()),
    };
    let mut passed = CheckFact::new(Checked::Unknown, "the addresses that mail leaves from are not known");
    for address in sources {
        match spf_says(dns, &asked.return_path, *address).await {
            Spf::Pass => passed = CheckFact::new(Checked::Pass, address.to_string()),
            Spf::Fail(found) | Spf::Broken(found) => {
                return CheckFact::new(Checked::Fail, format!("{found} ({address})"));
            }
            Spf::Missing => return CheckFact::new(Checked::Missing, ""),
            Spf::Unknown(reason) => return CheckFact::new(Checked::Unknown, reason),
        }
    }
    if sources.is_empty() && spf_policies(dns, &asked.return_path).await.is_ok_and(|found| found.is_empty()) {
        return CheckFact::new(Checked::Missing, "");
    }
    passed
}

async fn dkim_of(dns: &dyn Resolver, asked: &Asked) -> CheckFact {
    let Some((name, value)) = &asked.key else { return CheckFact::new(Checked::Missing, "") };
    let ours = tag(value, "p");
    match dns.txt(name).await {
        Err(error) if error.is_negative() => CheckFact::new(Checked::Missing, name.clone()),
        Err(error) => CheckFact::new(Checked::Unknown, error.to_string()),
        Ok(found) if found.iter().any(|text| tag(text, "p").is_some() && tag(text, "p") == ours) => {
            CheckFact::new(Checked::Pass, name.clone())
        }
        Ok(_) => CheckFact::new(Checked::Fail, name.clone()),
    }
}

/// Whether the policy asks for the very same domain.
#[derive(Debug, Clone, Copy, Default)]
struct Strict {
    spf: bool,
    dkim: bool,
}

/// The policy of the domain, else of its organisation (RFC 7489 section 6.6.3).
async fn policy_of(dns: &dyn Resolver, domain: &str) -> (CheckFact, Strict) {
    let organisation = registrable(domain);
    let names = [Some(domain), Some(organisation).filter(|name| *name != domain)];
    for name in names.into_iter().flatten() {
        let found = match dns.txt(&format!("_dmarc.{name}")).await {
            Ok(found) => found,
            Err(error) if error.is_negative() => continue,
            Err(error) => return (CheckFact::new(Checked::Unknown, error.to_string()), Strict::default()),
        };
        let is_policy = |text: &&String| tag(text, "v").is_some_and(|version| version == "DMARC1");
        let policies: Vec<&String> = found.iter().filter(is_policy).collect();
        return match policies.as_slice() {
            [] => continue,
            [policy] if tag(policy, "p").is_none() => {
                (CheckFact::new(Checked::Fail, "it has no p= tag"), Strict::default())
            }
            [policy] => {
                let strict =
                    |name: &str| tag(policy, name).is_some_and(|mode| mode.eq_ignore_ascii_case("s"));
                let strict = Strict { spf: strict("aspf"), dkim: strict("adkim") };
                (CheckFact::new(Checked::Pass, (*policy).clone()), strict)
            }
            _ => (CheckFact::new(Checked::Fail, "there are several, so none counts"), Strict::default()),
        };
    }
    (CheckFact::new(Checked::Missing, ""), Strict::default())
}

/// RFC 5321 section 5.1: an MX, else an address; RFC 7505: a null MX takes nothing.
async fn mail_of(dns: &dyn Resolver, domain: &str) -> CheckFact {
    match dns.mx(domain).await {
        Ok(hosts) => match hosts.iter().find(|mx: &&Mx| !mx.host.is_empty()) {
            Some(mx) => CheckFact::new(Checked::Pass, mx.host.clone()),
            None => CheckFact::new(Checked::Fail, "it says so with a null MX"),
        },
        Err(error) if error.is_negative() => match dns.addresses(domain).await {
            Ok(_) => CheckFact::new(Checked::Pass, domain),
            Err(error) if error.is_negative() => {
                CheckFact::new(Checked::Missing, "it has neither MX nor address")
            }
            Err(error) => CheckFact::new(Checked::Unknown, error.to_string()),
        },
        Err(error) => CheckFact::new(Checked::Unknown, error.to_string()),
    }
}

/// The value of a tag in a tag list (RFC 6376 section 3.2), blanks removed: a key is often published with some in it.
fn tag(list: &str, name: &str) -> Option<String> {
    list.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key.trim() == name).then(|| value.chars().filter(|c| !c.is_ascii_whitespace()).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use net::{RecordKind, StaticResolver};

    fn asked() -> Asked {
        Asked {
            domain: "news.shop.example".into(),
            return_path: "bounce.shop.example".into(),
            signing: "shop.example".into(),
            key: Some(("mw1._domainkey.shop.example".into(), "v=DKIM1; k=rsa; p=QUJD".into())),
            relay: false,
        }
    }

    fn published() -> StaticResolver {
        let dns = StaticResolver::new();
        dns.txt("bounce.shop.example", &["v=spf1 ip4:203.0.113.5 -all"]);
        dns.txt("mw1._domainkey.shop.example", &["v=DKIM1; k=rsa; p=QU JD"]);
        dns.txt("_dmarc.shop.example", &["v=DMARC1; p=none"]);
        dns.mx("news.shop.example", &[(10, "mx.shop.example")]);
        dns
    }

    async fn judged(dns: &StaticResolver, asked: Asked) -> AuthenticationFact {
        judge(dns, asked, &Ok(vec!["203.0.113.5".parse().unwrap()])).await
    }

    fn states(fact: &AuthenticationFact) -> [Checked; 4] {
        [fact.spf.state, fact.dkim.state, fact.dmarc.state, fact.mail.state]
    }

    use Checked::{Fail, Missing, Pass, Unknown};

    #[tokio::test]
    async fn what_is_published_right_passes() {
        let fact = judged(&published(), asked()).await;
        assert_eq!(states(&fact), [Pass; 4]);
        assert!(fact.spf_aligned && fact.dkim_aligned);
        let nothing = judged(&StaticResolver::new(), asked()).await;
        assert_eq!(states(&nothing), [Missing; 4]);
    }

    #[tokio::test]
    async fn strict_policies_want_the_same_domain() {
        let dns = published();
        dns.txt("_dmarc.news.shop.example", &["v=DMARC1; p=reject; adkim=s; aspf=S"]);
        let fact = judged(&dns, asked()).await;
        assert!(!fact.spf_aligned && !fact.dkim_aligned);
        assert!(aligned("shop.co.jp", "a.shop.co.jp", false) && !aligned("shop.co.jp", "other.co.jp", false));
    }

    #[tokio::test]
    async fn silence_is_no_absence_and_a_wrong_record_is_neither() {
        let dns = published();
        dns.fails("bounce.shop.example", RecordKind::Txt);
        dns.txt("mw1._domainkey.shop.example", &["v=DKIM1; p=XXXX"]);
        dns.txt("_dmarc.shop.example", &["v=DMARC1; p=none", "v=DMARC1; p=reject"]);
        dns.mx("news.shop.example", &[(0, ".")]);
        assert_eq!(states(&judged(&dns, asked()).await), [Unknown, Fail, Fail, Fail]);
        let unsigned = Asked { signing: String::new(), key: None, ..asked() };
        assert!(!judged(&dns, unsigned).await.dkim_aligned);
    }

    #[tokio::test]
    async fn through_a_relay_a_policy_is_enough() {
        let dns = published();
        dns.txt("bounce.shop.example", &["v=spf1 include:relay.example -all"]);
        let fact = judge(&dns, Asked { relay: true, ..asked() }, &Err("a relay".into())).await;
        assert_eq!(fact.spf.state, Pass);
        let fact = judge(&dns, asked(), &Err("not known".into())).await;
        assert_eq!((fact.spf.state, fact.spf.found.as_str()), (Unknown, "not known"));
    }
}
