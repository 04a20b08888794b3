//! The part of a host name that somebody registered, near enough for grouping MX hosts.
//!
//! The public suffix list is not used: it is 250 KB that must be kept fresh, and the grouping here only
//! decides which hosts share connection limits. A suffix missing below makes the group too wide by at most
//! one country's second level, which the list of second-level words prevents for those in wide use.

/// Second-level labels under which country registries sell names (`co.jp`, `com.br`, `ne.jp` …).
const SECOND_LEVEL: &[&str] = &[
    "ac", "ad", "asn", "co", "com", "ed", "edu", "gen", "go", "gob", "gov", "gouv", "gr", "gv", "id", "lg",
    "ltd", "me", "mil", "ne", "net", "nom", "or", "org", "plc", "res", "sch", "web",
];

/// `mx1.mail.shop.co.jp` -> `shop.co.jp`. The input is lower-case ASCII without a final dot; a name with
/// fewer labels is returned whole.
#[must_use]
pub fn registrable(host: &str) -> &str {
    let mut dots = host.rmatch_indices('.').map(|(at, _)| at);
    let Some(top_dot) = dots.next() else { return host };
    let Some(second_dot) = dots.next() else { return host };
    let top = &host[top_dot + 1..];
    let second = &host[second_dot + 1..top_dot];
    if top.len() == 2 && SECOND_LEVEL.contains(&second) {
        return match dots.next() {
            Some(third_dot) => &host[third_dot + 1..],
            None => host,
        };
    }
    &host[second_dot + 1..]
}

#[cfg(test)]
mod tests {
    use super::registrable;

    #[test]
    fn takes_two_labels_or_three_under_country_registries() {
        for (host, expected) in [
            ("mx1.mail.shop.example", "shop.example"),
            ("shop.example", "shop.example"),
            ("localhost", "localhost"),
            ("mx.shop.co.jp", "shop.co.jp"),
            ("a.b.mail.docomo.ne.jp", "docomo.ne.jp"),
            ("mx.gmx.net", "gmx.net"),
            ("mail.co.de", "mail.co.de"),
            ("ne.jp", "ne.jp"),
        ] {
            assert_eq!(registrable(host), expected, "{host}");
        }
    }
}
