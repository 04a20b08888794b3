//! The names that this server says in EHLO, and where from: what receivers compare with the DNS.

use std::net::IpAddr;

use crate::rules::{Rules, is_public};

/// A name said in EHLO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The name.
    pub name: String,
    /// The public addresses that it is said from, as far as sources name them; empty: not known, so those that the name
    /// leads to.
    pub addresses: Vec<IpAddr>,
}

impl Rules {
    /// The greetings of all sources that are in use, each name once. `host` is what a source without a name says.
    #[must_use]
    pub fn greetings(&self, host: &str) -> Vec<Greeting> {
        let mut greetings: Vec<Greeting> = Vec::new();
        for source in self.sources.iter().filter(|source| source.enabled) {
            let name = if source.ehlo.is_empty() { host } else { &source.ehlo };
            let known = greetings.iter().position(|known| known.name.eq_ignore_ascii_case(name));
            let at = known.unwrap_or_else(|| {
                greetings.push(Greeting { name: name.to_owned(), addresses: Vec::new() });
                greetings.len() - 1
            });
            greetings[at].addresses.extend(source.address.filter(is_public));
        }
        for greeting in &mut greetings {
            greeting.addresses.sort_unstable();
            greeting.addresses.dedup();
        }
        greetings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Providers, Source};

    #[test]
    fn each_name_stands_once_with_the_addresses_that_say_it() {
        let source = |name: &str, ehlo: &str, address: &str| Source {
            name: name.to_owned(),
            address: address.parse().ok(),
            ..Source::first(ehlo)
        };
        let mut off = source("off", "off.shop.example", "203.0.113.9");
        off.enabled = false;
        let sources = vec![
            source("a", "", "203.0.113.6"),
            source("b", "", "203.0.113.5"),
            source("c", "two.shop.example", "10.0.0.1"),
            source("d", "MAIL.shop.example", ""),
            off,
        ];
        let rules = Rules::fixed(Providers::built_in().clone(), sources);
        let found: Vec<String> = rules
            .greetings("mail.shop.example")
            .iter()
            .map(|one| format!("{} {:?}", one.name, one.addresses))
            .collect();
        assert_eq!(found, ["mail.shop.example [203.0.113.5, 203.0.113.6]", "two.shop.example []"]);
    }
}
