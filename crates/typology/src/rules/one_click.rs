//! Rule `one_click`: the one-click unsubscription can be answered (RFC 8058).

use super::{Phase, Rule};
use crate::{Facts, Finding, Level, Receiver};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::AfterTargeting,
    order: 39,
    level: Level::Warning,
    summary: "the address of the one-click unsubscription begins with https:// and is reachable from outside.",
    why: "Every message has the headers List-Unsubscribe and List-Unsubscribe-Post. Gmail and Yahoo ask bulk senders \
          for them since June 2024, and RFC 8058 asks for an https address: with another one they show no button.",
    hint: "Set public_url to the https address under which recipients reach this server.",
    check,
    breaks: |facts| facts.public_url = "http://127.0.0.1:8025".into(),
};

const NAME: &str = "one_click";

fn check(facts: &Facts) -> Vec<Finding> {
    if facts.public_url.is_empty() {
        return Vec::new();
    }
    let fault = match url::Url::parse(&facts.public_url) {
        Err(_) => "is no address",
        Ok(url) if url.scheme() != "https" => "does not begin with https://",
        Ok(url) if is_local(&url) => "leads to this machine only",
        Ok(_) => return Vec::new(),
    };
    let text = format!(
        "mail agents cannot show their button to unsubscribe: public_url ({}) {fault}",
        facts.public_url
    );
    vec![Finding::new(NAME, Level::Warning, text).refused_by(&[Receiver::Google, Receiver::Yahoo])]
}

fn is_local(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback() || address.is_private(),
        Some(url::Host::Ipv6(address)) => address.is_loopback() || address.is_unique_local(),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(public_url: &str) -> Vec<Finding> {
        check(&Facts { public_url: public_url.into(), ..Facts::default() })
    }

    #[test]
    fn passes() {
        assert_eq!(with("https://mail.shop.example"), []);
        assert_eq!(with(""), []);
    }

    #[test]
    fn fails() {
        for url in
            ["http://mail.shop.example", "https://localhost:8025", "https://10.0.0.1", "https://[::1]", "x"]
        {
            assert_eq!(with(url).len(), 1, "{url}");
        }
    }
}
