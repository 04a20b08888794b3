//! Who is meant: receivers that count by address, domain or link often say which one.

use super::verdict::Blame;
use crate::reply::Reply;

/// The IP address, domain or host that the reply names as the one to blame; None when it names none, or when what is to
/// blame has no such name. Of several the first in brackets, else the first.
pub fn blamed_name(reply: &Reply, blames: Blame) -> Option<String> {
    let text = reply.text();
    let is_named: fn(&str) -> bool = match blames {
        Blame::Source => is_ip,
        Blame::Domain | Blame::Url => is_domain,
        Blame::Recipient | Blame::Content | Blame::Configuration | Blame::None => return None,
    };
    let in_brackets = text.split('[').skip(1).filter_map(|rest| rest.split([']', ' ', ',', ';']).next());
    // A link to the receiver's own explanation names nobody, and an address names its owner.
    let words = text
        .split_whitespace()
        .filter(|word| !word.contains("://") && !word.contains('@'))
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    in_brackets.chain(words).find(|word| is_named(word)).map(str::to_ascii_lowercase)
}

fn is_ip(word: &str) -> bool {
    word.parse::<std::net::IpAddr>().is_ok()
}

fn is_domain(word: &str) -> bool {
    let mut labels = word.rsplit('.');
    let last = labels.next().unwrap_or_default();
    last.len() >= 2
        && last.bytes().all(|octet| octet.is_ascii_alphabetic())
        && word.contains('.')
        && labels.all(|label| {
            !label.is_empty() && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_replies() {
        let named = |text: &str, blames: Blame| blamed_name(&Reply::from_text(text).expect(text), blames);
        let dkim = "421 4.7.28 unusual rate originating from your DKIM domain [News.Shop.example 35]. See https://r.example/x";
        assert_eq!(named(dkim, Blame::Domain).as_deref(), Some("news.shop.example"));
        assert_eq!(named(dkim, Blame::Source), None);
        let listed = "554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using bl.example";
        assert_eq!(named(listed, Blame::Source).as_deref(), Some("192.0.2.7"));
        assert_eq!(named(listed, Blame::Recipient), None);
        assert_eq!(named("550 rejected: 2001:db8::1.", Blame::Source).as_deref(), Some("2001:db8::1"));
        assert_eq!(named("550 <a@x.example> has no part in it", Blame::Domain), None);
        assert_eq!(named("550 5.7.1 no. 5.7.1", Blame::Domain), None);
    }
}
