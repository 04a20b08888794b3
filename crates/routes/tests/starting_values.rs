//! The shipped table beside the starting values in common use among large senders (2026): a slip of a finger in the table is
//! noticed here, and so is an entry that no host falls under.

#![allow(clippy::unwrap_used)] // a test may panic

use routes::{Providers, Rate, TlsPolicy};

/// A mail host as the provider has them, the provider, connections, messages a connection, whether TLS is demanded, and
/// failures in a row before the path rests.
type Row = (&'static str, &'static str, u32, u32, bool, u32);

const VALUES: [Row; 16] = [
    ("gmail-smtp-in.l.google.com", "google", 5, 50, true, 5),
    ("aspmx.l.google.com", "google", 5, 50, true, 5),
    ("mta5.am0.yahoodns.net", "yahoo", 10, 20, false, 3),
    ("outlook-com.olc.protection.outlook.com", "outlook", 5, 50, false, 3),
    ("shop-example.mail.protection.outlook.com", "office365", 5, 50, false, 3),
    ("shop-example.a-v1.mx.microsoft", "office365", 5, 50, false, 3),
    ("mx01.mail.icloud.com", "apple", 10, 5, false, 3),
    ("mx1h1.comcast.net", "comcast", 25, 1_000, true, 24),
    ("eu-smtp-inbound-1.mimecast.com", "mimecast", 10, 100, false, 3),
    ("smtp-in.orange.fr", "orange", 2, 100, true, 3),
    ("mx00.emig.gmx.net", "gmx", 4, 20, true, 5),
    ("mta6.mail.djm.yahoo.co.jp", "yahoo_jp", 2, 20, false, 3),
    ("d1234.ess.barracudanetworks.com", "barracuda", 10, 15, true, 3),
    ("mx1.netvigator.com", "netvigator", 5, 10, true, 3),
    ("mx.kpnmail.nl", "kpn", 10, 10, true, 3),
    ("mx3.qq.com", "qq", 4, 8, true, 3),
];

fn texts(rates: &[Rate]) -> Vec<String> {
    rates.iter().map(ToString::to_string).collect()
}

#[test]
fn providers_start_with_the_values_in_common_use() {
    let providers = Providers::built_in();
    for (host, name, connections, messages, demands_tls, failures) in VALUES {
        let site = providers.site("customer.example", &[host]);
        assert_eq!(site.name, name, "{host}");
        let rules = site.rules;
        assert_eq!((rules.connections, rules.messages_per_connection), (connections, messages), "{name}");
        assert_eq!(rules.tls == TlsPolicy::Required, demands_tls, "{name}: {:?}", rules.tls);
        assert_eq!(rules.failures_before_rest, failures, "{name}");
    }
    let netease = providers.site("163.com", &["163mx01.mxmail.netease.com"]);
    assert_eq!((netease.rules.connections, netease.rules.messages_per_connection), (4, 7));
    assert_eq!(texts(&providers.rules_of("yahoo_jp").message_rates), ["10/s"]);
    assert_eq!(texts(&providers.rules_of("google").message_rates), ["100/s"]);
    assert_eq!(providers.rules_of("comcast").idle_s, 30);
}

#[test]
fn everybody_else_starts_carefully() {
    let known = Providers::built_in().default_rules();
    assert_eq!((known.connections, known.messages_per_connection), (10, 100));
    assert_eq!(texts(&known.connection_rates), ["100/min"]);
    assert_eq!(texts(&known.message_rates), ["100/s"]);
    assert_eq!((known.tls, known.clear_after_broken_tls), (TlsPolicy::Opportunistic, true));
    // RFC 5321 section 4.5.3.2: what others shorten, they pay for with duplicates.
    assert_eq!((known.command_timeout_s, known.dot_timeout_s), (300, 600));
    let unknown = Providers::built_in().unknown_rules();
    assert_eq!((unknown.connections, unknown.messages_per_connection), (2, 20));
    assert_eq!(texts(&unknown.message_rates), ["2/s"]);
}

/// Every host of a domain has to fit: one that is elsewhere makes it a site of its own.
#[test]
fn a_domain_that_mixes_providers_is_neither() {
    let providers = Providers::built_in();
    let mixed = providers.site("shop.example", &["aspmx.l.google.com", "mx.other.example"]);
    assert!(!mixed.known && mixed.name != "google", "{}", mixed.name);
    // A name that only ends alike is nobody's.
    assert!(!providers.site("shop.example", &["mx.evilgoogle.com"]).known);
    assert!(!providers.site("shop.example", &["google.com.evil.example"]).known);
}
