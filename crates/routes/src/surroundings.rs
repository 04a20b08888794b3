//! What receivers look at beside the records of a domain: alignment, the names of this server, and how well the domain
//! itself receives.

use std::net::IpAddr;
use std::time::Duration;

use net::{Resolver, StsMode, StsPolicy};
use serde::Serialize;

use crate::check::{RecordState, found_or_none, is_dmarc, tag};
use crate::greetings::Greeting;
use crate::limits::SPF_ADDRESSES_MAX;
use crate::records::Facts;
use crate::registrable::registrable;
use crate::reverse::{Reverse, reverse};
use crate::sts::TransportPolicies;

/// Time to fetch the domain's own MTA-STS policy: less than whoever checks waits for all of it.
const POLICY_TIME: Duration = Duration::from_secs(8);

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Whether DMARC takes the signature and the return path as the sender's.
    Alignment,
    /// Whether the name said in EHLO leads to this server.
    Helo,
    /// Whether each source address has a name that leads back to it.
    Ptr,
    /// Whether the domain can receive replies.
    Replies,
    /// Whether the domain asks for TLS from those who write to it (RFC 8461).
    MtaSts,
    /// Whether it wants to hear of failed TLS (RFC 8460).
    TlsRpt,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Surrounding {
    /// What.
    pub topic: Topic,
    /// The name or address that was asked about.
    pub about: String,
    /// How it is.
    pub state: RecordState,
    /// Whether receivers hold its absence against mail; otherwise it only helps.
    pub needed: bool,
    /// What was found that bears on it.
    pub found: Vec<String>,
    /// What to do, as a sentence; empty when nothing is to be done.
    pub advice: String,
}

impl Surrounding {
    fn new(topic: Topic, about: &str, state: RecordState, found: Vec<String>, advice: String) -> Surrounding {
        let needed = !matches!(topic, Topic::MtaSts | Topic::TlsRpt);
        Surrounding { topic, about: about.to_owned(), state, needed, found, advice }
    }

    fn unknown(topic: Topic, about: &str, reason: &str) -> Surrounding {
        let advice = format!("DNS did not answer for {about} ({reason}). Try again in a minute.");
        Surrounding::new(topic, about, RecordState::Unknown, Vec::new(), advice)
    }
}

/// Looks at all of it, one after the other; the caller bounds the time.
pub(crate) async fn look(
    dns: &dyn Resolver,
    domain: &str,
    facts: &Facts,
    web: Option<&TransportPolicies>,
) -> Vec<Surrounding> {
    let mut found = vec![alignment(dns, domain, facts).await];
    // Through a relay the relay's names are what receivers see.
    if facts.relay_host.is_none() {
        for greeting in facts.greeters() {
            found.extend(greeted(dns, &greeting).await);
        }
    }
    found.push(replies(dns, domain).await);
    found.push(mta_sts(dns, domain, web).await);
    found.push(tls_rpt(dns, domain).await);
    found
}

/// The signature is that of the domain itself, so it is aligned; the return path is aligned unless the policy is strict and
/// the return path has a domain of its own (RFC 7489 section 3.1).
async fn alignment(dns: &dyn Resolver, domain: &str, facts: &Facts) -> Surrounding {
    let bounce = facts.bounce_domain(domain);
    let mut policy = None;
    for name in [domain, registrable(domain)] {
        match found_or_none(dns.txt(&format!("_dmarc.{name}")).await) {
            Ok(found) => policy = found.into_iter().find(|txt| is_dmarc(txt)),
            Err(reason) => return Surrounding::unknown(Topic::Alignment, &format!("_dmarc.{name}"), &reason),
        }
        if policy.is_some() {
            break;
        }
    }
    let strict = |name| {
        policy.as_deref().and_then(|p| tag(p, name)).is_some_and(|mode| mode.eq_ignore_ascii_case("s"))
    };
    let spf = bounce == domain || (!strict("aspf") && registrable(&bounce) == registrable(domain));
    let how = |aligned: bool| if aligned { "aligned" } else { "not aligned" };
    let found = vec![format!("DKIM {domain}: aligned"), format!("SPF {bounce}: {}", how(spf))];
    let (state, advice) = match (spf, strict("adkim")) {
        (true, false) => (RecordState::Present, String::new()),
        (true, true) => (
            RecordState::Present,
            format!(
                "The policy says adkim=s: addresses at subdomains of {domain} need a sending domain of their own."
            ),
        ),
        (false, _) => (
            RecordState::Different,
            format!(
                "The return path {bounce} does not count for {domain}, so only the signature carries DMARC. Use a \
                 return path below {}, or take aspf=s out of the policy.",
                registrable(domain)
            ),
        ),
    };
    Surrounding::new(Topic::Alignment, domain, state, found, advice)
}

/// Whether the name said in EHLO leads to where it is said, and whether each of those addresses has a name. Where no source
/// names its address, those that the name leads to are this server's.
async fn greeted(dns: &dyn Resolver, greeting: &Greeting) -> Vec<Surrounding> {
    let host = &greeting.name;
    let addresses = match found_or_none(dns.addresses(host).await) {
        Ok(addresses) => addresses,
        Err(reason) => {
            let mut found = vec![Surrounding::unknown(Topic::Helo, host, &reason)];
            for address in &greeting.addresses {
                found.push(named(dns, *address, host).await);
            }
            return found;
        }
    };
    let mut found = vec![helo(greeting, &addresses)];
    let own = if greeting.addresses.is_empty() { &addresses } else { &greeting.addresses };
    for address in own.iter().take(SPF_ADDRESSES_MAX) {
        found.push(named(dns, *address, host).await);
    }
    found
}

fn helo(greeting: &Greeting, addresses: &[IpAddr]) -> Surrounding {
    let host = &greeting.name;
    let found: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if addresses.is_empty() {
        let advice = format!("The name said in EHLO leads nowhere: give {host} the address of this server.");
        return Surrounding::new(Topic::Helo, host, RecordState::Missing, found, advice);
    }
    let strangers: Vec<String> =
        greeting.addresses.iter().filter(|own| !addresses.contains(own)).map(ToString::to_string).collect();
    if strangers.is_empty() {
        return Surrounding::new(Topic::Helo, host, RecordState::Present, found, String::new());
    }
    let advice = if strangers.len() == greeting.addresses.len() {
        format!("{host} leads to none of the addresses that mail leaves from.")
    } else {
        format!("{host} is also said from {}, which it does not lead to.", strangers.join(", "))
    };
    Surrounding::new(Topic::Helo, host, RecordState::Different, found, advice)
}

/// A name in reverse DNS that leads back to the address is what Gmail, Yahoo and Microsoft ask of everybody.
async fn named(dns: &dyn Resolver, address: IpAddr, greeting: &str) -> Surrounding {
    let about = address.to_string();
    let (state, names, advice) = match reverse(dns, address).await {
        Reverse::Unknown { about, reason } => return Surrounding::unknown(Topic::Ptr, &about, &reason),
        Reverse::Back { names, .. } => (RecordState::Present, names, String::new()),
        Reverse::Nameless => (
            RecordState::Missing,
            Vec::new(),
            format!("{about} has no name in reverse DNS: ask your provider to give it the name {greeting}."),
        ),
        Reverse::Elsewhere { names } => {
            let advice = format!(
                "The name of {about} does not lead back to it: give {} that address.",
                names.join(", ")
            );
            (RecordState::Different, names, advice)
        }
    };
    Surrounding::new(Topic::Ptr, &about, state, names, advice)
}

/// Some receivers refuse senders whose domain could not be answered.
async fn replies(dns: &dyn Resolver, domain: &str) -> Surrounding {
    let hosts = match found_or_none(dns.mx(domain).await) {
        Ok(hosts) => hosts,
        Err(reason) => return Surrounding::unknown(Topic::Replies, domain, &reason),
    };
    let found: Vec<String> = hosts.iter().map(|mx| format!("{} {}", mx.preference, mx.host)).collect();
    let null = hosts.iter().any(|mx| mx.host.trim_end_matches('.').is_empty());
    if !hosts.is_empty() && !null {
        return Surrounding::new(Topic::Replies, domain, RecordState::Present, found, String::new());
    }
    if hosts.is_empty() {
        match found_or_none(dns.addresses(domain).await) {
            Ok(addresses) if !addresses.is_empty() => {
                let found = addresses.iter().map(ToString::to_string).collect();
                return Surrounding::new(Topic::Replies, domain, RecordState::Present, found, String::new());
            }
            Ok(_) => {}
            Err(reason) => return Surrounding::unknown(Topic::Replies, domain, &reason),
        }
    }
    let advice = format!(
        "{domain} takes no mail, and some receivers refuse senders that cannot be answered: give it an MX."
    );
    let state = if null { RecordState::Different } else { RecordState::Missing };
    Surrounding::new(Topic::Replies, domain, state, found, advice)
}

async fn mta_sts(dns: &dyn Resolver, domain: &str, web: Option<&TransportPolicies>) -> Surrounding {
    let name = net::sts_name(domain);
    let found = match found_or_none(dns.txt(&name).await) {
        Ok(found) => found,
        Err(reason) => return Surrounding::unknown(Topic::MtaSts, &name, &reason),
    };
    let (state, advice) = match net::sts_id(&found) {
        Some(_) => match web {
            Some(web) => policy_of(dns, domain, web).await,
            None => (RecordState::Present, String::new()),
        },
        None if found.is_empty() => (
            RecordState::Missing,
            format!(
                "Optional: a policy at https://mta-sts.{domain}/.well-known/mta-sts.txt keeps mail to {domain} encrypted."
            ),
        ),
        None => (RecordState::Different, "This is no record of MTA-STS: `v=STSv1; id=…`, once.".to_owned()),
    };
    Surrounding::new(Topic::MtaSts, &name, state, found, advice)
}

/// The record says that there is a policy: whether senders can fetch it, and whether it names the hosts that take the
/// domain's mail (RFC 8461 sections 3.3 and 4.1).
async fn policy_of(dns: &dyn Resolver, domain: &str, web: &TransportPolicies) -> (RecordState, String) {
    let policy = match tokio::time::timeout(POLICY_TIME, web.published(domain)).await {
        Ok(Ok(policy)) => policy,
        Ok(Err(error)) => {
            let advice = format!(
                "There is a record, and no policy at https://mta-sts.{domain}/.well-known/mta-sts.txt: {error}."
            );
            return (RecordState::Different, advice);
        }
        Err(_) => {
            let advice = format!("mta-sts.{domain} gave no answer within {} s.", POLICY_TIME.as_secs());
            return (RecordState::Unknown, advice);
        }
    };
    let hosts: Vec<String> = match net::mail_hosts(dns, domain).await {
        net::MailHosts::Hosts { hosts, .. } => hosts.into_iter().map(|host| host.name).collect(),
        net::MailHosts::Defer(reason) => {
            return (RecordState::Unknown, format!("{reason}. Try again in a minute."));
        }
        // A domain that takes no mail is told so where its replies are looked at.
        _ => Vec::new(),
    };
    covered(&policy, &hosts)
}

fn covered(policy: &StsPolicy, hosts: &[String]) -> (RecordState, String) {
    let left_out: Vec<&str> = hosts.iter().map(String::as_str).filter(|host| !policy.allows(host)).collect();
    if policy.mode == StsMode::None || left_out.is_empty() {
        return (RecordState::Present, String::new());
    }
    let then = match policy.mode {
        StsMode::Enforce => "senders do not deliver to",
        _ => "senders would not deliver to, once its mode is `enforce`,",
    };
    (
        RecordState::Different,
        format!("The policy does not name {0}, which {then}: add `mx: {0}`.", left_out.join(", ")),
    )
}

async fn tls_rpt(dns: &dyn Resolver, domain: &str) -> Surrounding {
    let name = net::tls_rpt_name(domain);
    let found = match found_or_none(dns.txt(&name).await) {
        Ok(found) => found,
        Err(reason) => return Surrounding::unknown(Topic::TlsRpt, &name, &reason),
    };
    let (state, advice) = match (net::report_addresses(&found).is_empty(), found.is_empty()) {
        (false, _) => (RecordState::Present, String::new()),
        (true, true) => (
            RecordState::Missing,
            format!(
                "Optional: `v=TLSRPTv1; rua=mailto:tls@{domain}` here, and others tell you when TLS to {domain} fails."
            ),
        ),
        (true, false) => (
            RecordState::Different,
            "This record names nobody to report to: `v=TLSRPTv1; rua=mailto:…`.".to_owned(),
        ),
    };
    Surrounding::new(Topic::TlsRpt, &name, state, found, advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use RecordState::{Different, Missing, Present, Unknown};
    use net::{RecordKind, StaticResolver};

    fn own() -> IpAddr {
        "203.0.113.5".parse().expect("an address")
    }

    fn facts() -> Facts {
        Facts { host: "mail.shop.example".into(), addresses: vec![own()], ..Facts::default() }
    }

    fn published() -> StaticResolver {
        let dns = StaticResolver::new();
        dns.txt("_dmarc.shop.example", &["v=DMARC1; p=none"]);
        dns.a("mail.shop.example", &["203.0.113.5"]);
        dns.ptr(own(), "mail.shop.example");
        dns.mx("shop.example", &[(10, "mail.shop.example")]);
        dns.txt("_mta-sts.shop.example", &["v=STSv1; id=20261126;"]);
        dns.txt("_smtp._tls.shop.example", &["v=TLSRPTv1; rua=mailto:tls@shop.example"]);
        dns
    }

    async fn state_of(dns: &StaticResolver, facts: &Facts, topic: Topic) -> RecordState {
        let all = look(dns, "shop.example", facts, None).await;
        all.into_iter().find(|one| one.topic == topic).expect("was looked at").state
    }

    #[tokio::test]
    async fn all_is_well_or_nothing_is_there() {
        let good = look(&published(), "shop.example", &facts(), None).await;
        assert_eq!(good.len(), 6);
        assert!(good.iter().all(|one| one.state == Present && one.advice.is_empty()), "{good:?}");
        let bad = look(&StaticResolver::new(), "shop.example", &facts(), None).await;
        for one in bad.iter().filter(|one| one.topic != Topic::Alignment) {
            assert!(one.state == Missing && !one.advice.is_empty(), "{one:?}");
        }
        assert!(bad.iter().filter(|one| !one.needed).all(|one| one.advice.starts_with("Optional")));
    }

    #[tokio::test]
    async fn rfc_7489_3_1_a_return_path_elsewhere_or_a_strict_policy_is_not_aligned() {
        let dns = published();
        let elsewhere = Facts { bounce_domain: Some("bounce.sender.example".into()), ..facts() };
        assert_eq!(state_of(&dns, &elsewhere, Topic::Alignment).await, Different);
        dns.txt("_dmarc.shop.example", &["v=DMARC1; p=reject; aspf=s"]);
        assert_eq!(state_of(&dns, &facts(), Topic::Alignment).await, Different);
        dns.txt("_dmarc.shop.example", &["v=DMARC1; p=reject; adkim=s"]);
        assert_eq!(state_of(&dns, &facts(), Topic::Alignment).await, Present);
        dns.fails("_dmarc.shop.example", RecordKind::Txt);
        assert_eq!(state_of(&dns, &facts(), Topic::Alignment).await, Unknown);
    }

    #[tokio::test]
    async fn names_have_to_lead_back() {
        let dns = published();
        dns.a("mail.shop.example", &["203.0.113.9"]);
        assert_eq!(state_of(&dns, &facts(), Topic::Ptr).await, Different);
        assert_eq!(state_of(&dns, &facts(), Topic::Helo).await, Different);
        dns.fails("mail.shop.example", RecordKind::A);
        dns.fails("mail.shop.example", RecordKind::Aaaa);
        assert_eq!(state_of(&dns, &facts(), Topic::Ptr).await, Unknown);
        // A relay's names are its own business.
        let relayed = Facts { relay_host: Some("relay.example".into()), ..facts() };
        let topics: Vec<Topic> =
            look(&dns, "shop.example", &relayed, None).await.into_iter().map(|one| one.topic).collect();
        assert!(!topics.contains(&Topic::Ptr) && !topics.contains(&Topic::Helo));
    }

    #[tokio::test]
    async fn every_source_s_greeting_is_looked_at() {
        let dns = published();
        let says = |name: &str, addresses: &[&str]| Greeting {
            name: name.into(),
            addresses: addresses.iter().map(|text| text.parse().expect("an address")).collect(),
        };
        let seen = async |greetings: &[Greeting]| {
            let facts = Facts { greetings: greetings.to_vec(), ..facts() };
            let all = look(&dns, "shop.example", &facts, None).await;
            let of = |one: &Surrounding| matches!(one.topic, Topic::Helo | Topic::Ptr);
            all.into_iter().filter(of).map(|one| (one.about, one.state)).collect::<Vec<_>>()
        };
        let known = |about: &str, state| (about.to_owned(), state);
        // As after a first start: no source names an address, so the name's own are looked at.
        let own = seen(&[says("mail.shop.example", &[])]).await;
        assert_eq!(own, [known("mail.shop.example", Present), known("203.0.113.5", Present)]);
        dns.a("two.shop.example", &["203.0.113.6"]);
        let both = seen(&[
            says("mail.shop.example", &["203.0.113.5"]),
            says("two.shop.example", &["203.0.113.6", "203.0.113.7"]),
        ])
        .await;
        assert_eq!(
            both,
            [
                known("mail.shop.example", Present),
                known("203.0.113.5", Present),
                known("two.shop.example", Different),
                known("203.0.113.6", Missing),
                known("203.0.113.7", Missing),
            ]
        );
    }

    #[tokio::test]
    async fn a_domain_that_takes_no_mail_is_told() {
        let dns = published();
        dns.mx("shop.example", &[(0, ".")]);
        assert_eq!(state_of(&dns, &facts(), Topic::Replies).await, Different);
        dns.mx("shop.example", &[]);
        dns.a("shop.example", &["203.0.113.5"]);
        assert_eq!(state_of(&dns, &facts(), Topic::Replies).await, Present);
    }

    #[test]
    fn rfc_8461_4_1_every_mail_host_is_to_be_named() {
        let policy = |mode| StsPolicy { mode, mx: vec!["*.shop.example".into()], max_age_s: 86_400 };
        let hosts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(covered(&policy(StsMode::Enforce), &hosts(&["mx.shop.example"])).0, Present);
        let (state, advice) =
            covered(&policy(StsMode::Enforce), &hosts(&["mx.shop.example", "mx.other.example"]));
        assert!(state == Different && advice.contains("`mx: mx.other.example`"), "{advice}");
        let (state, advice) = covered(&policy(StsMode::Testing), &hosts(&["a.mx.shop.example"]));
        assert!(state == Different && advice.contains("once"), "{advice}");
        assert_eq!(covered(&policy(StsMode::None), &hosts(&["mx.other.example"])).0, Present);
    }

    #[tokio::test]
    async fn a_policy_is_fetched_as_senders_fetch_it() {
        use crate::sts::tests::{ENFORCE, Web, ok, room};
        store::testing::sqlite(|store| async move {
            let (_dir, _routes) = room(&store).await;
            let web = Web::start(testkit::Quality::Good).await;
            let policies = web.policies(&store);
            web.resolver.txt("_mta-sts.receiver.example", &["v=STSv1; id=1;"]);
            web.resolver.mx("receiver.example", &[(10, "mx.receiver.example")]);
            let dns: &dyn Resolver = &*web.resolver;
            let seen = async || mta_sts(dns, "receiver.example", Some(&policies)).await;
            assert_eq!((seen().await.state, seen().await.advice.as_str()), (Present, ""));
            web.says(&ok("text/plain"), &ENFORCE.replace("mx: mx.", "mx: mail."));
            assert!(seen().await.advice.contains("does not name mx.receiver.example"), "{:?}", seen().await);
            for (head, words) in [(ok("text/html"), "text/plain"), ("HTTP/1.1 404 No\r\n".to_owned(), "404")]
            {
                web.says(&head, ENFORCE);
                let seen = seen().await;
                assert!(seen.state == Different && seen.advice.contains(words), "{seen:?}");
            }
            web.says(&ok("text/plain"), ENFORCE);
            web.resolver.fails("receiver.example", RecordKind::Mx);
            assert_eq!(seen().await.state, Unknown);
        })
        .await;
    }
}
