//! The hosts that a message links to: what a list of bad links is compared with.

use std::collections::BTreeSet;

use crate::slots::{Piece, Slots};
use crate::snapshot::Snapshot;

/// Ends of an authority in text, HTML and CSS.
const ENDS: &[char] =
    &['/', '?', '#', '"', '\'', '<', '>', '(', ')', '[', ']', '{', '}', ',', ';', '\\', '`', '|'];

impl Snapshot {
    /// Hosts, lower case, of all links that every message has: where tracked ones lead, those that stand in the text as they
    /// are, images, and the host that serves links and pages of ours.
    #[must_use]
    pub fn link_hosts(&self) -> BTreeSet<String> {
        let mut hosts = BTreeSet::new();
        self.links.iter().for_each(|link| collect(&link.url, &mut hosts));
        collect(&self.public_url, &mut hosts);
        self.parts.iter().flat_map(|part| &part.segments).for_each(|text| collect(text, &mut hosts));
        hosts
    }
}

impl Slots {
    /// Hosts, lower case, of the links in this recipient's own text.
    #[must_use]
    pub fn link_hosts(&self) -> BTreeSet<String> {
        let mut hosts = BTreeSet::new();
        for piece in self.parts.iter().flat_map(|(_, pieces)| pieces) {
            if let Piece::Literal(text) = piece {
                collect(text, &mut hosts);
            }
        }
        hosts
    }
}

/// Adds the hosts of the http and https URLs in a text.
fn collect(text: &str, hosts: &mut BTreeSet<String>) {
    for (at, sign) in text.match_indices("://") {
        let scheme = text[..at].rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            continue;
        }
        let rest = &text[at + sign.len()..];
        let end = rest.find(|c: char| c.is_whitespace() || ENDS.contains(&c)).unwrap_or(rest.len());
        let authority = &rest[..end];
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = host.split_once(':').map_or(host, |(host, _)| host).trim_end_matches('.');
        if !host.is_empty() {
            hosts.insert(host.to_lowercase());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Part;
    use crate::{Link, LinkMode, PartName};

    fn of(text: &str) -> Vec<String> {
        let mut hosts = BTreeSet::new();
        collect(text, &mut hosts);
        hosts.into_iter().collect()
    }

    #[test]
    fn hosts_are_found_in_html_text_and_styles() {
        assert_eq!(of("<a href=\"https://Shop.example/a?b=http%3A//no\">x</a>"), ["shop.example"]);
        assert_eq!(of("See http://a.example. Or (https://b.example:8443)"), ["a.example", "b.example"]);
        assert_eq!(of("background:url('HTTPS://cdn.example/x.png')"), ["cdn.example"]);
        assert_eq!(of("https://user@evil.example@real.example/"), ["real.example"]);
        assert!(of("mailto:a@shop.example ftp://files.example https:///x").is_empty());
    }

    #[test]
    fn a_message_links_by_its_table_its_text_and_its_recipients_own() {
        let html =
            Part::new(PartName::Html, vec!["<img src=\"https://cdn.example/a.png\">".into()], Vec::new());
        let link = Link {
            url: "https://shop.example/{p1}".into(),
            label: String::new(),
            category: String::new(),
            kind: LinkMode::default(),
        };
        let snapshot = Snapshot {
            parts: vec![html],
            links: vec![link],
            public_url: "https://t.shop.example".into(),
            ..Snapshot::default()
        };
        let hosts: Vec<String> = snapshot.link_hosts().into_iter().collect();
        assert_eq!(hosts, ["cdn.example", "shop.example", "t.shop.example"]);
        let own = Piece::Literal("<a href=https://own.example>".into());
        let slots = Slots { parts: vec![(PartName::Html, vec![Piece::Static(0), own])] };
        assert_eq!(slots.link_hosts().into_iter().collect::<Vec<_>>(), ["own.example"]);
    }
}
