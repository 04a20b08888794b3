//! Rule `insecure_links`: links to the web begin with https.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfPersonalisation,
    order: 32,
    level: Level::Info,
    summary: "links begin with https:// and not with http://.",
    why: "Browsers warn of pages without TLS, and what a reader sends there can be read on the way.",
    hint: "Write https://, if the site has it.",
    check,
    breaks: |facts| facts.links[0].url = "http://shop.example/autumn".into(),
};

const NAME: &str = "insecure_links";

fn check(facts: &Facts) -> Vec<Finding> {
    let plain = |url: &str| url.trim().get(..7).is_some_and(|start| start.eq_ignore_ascii_case("http://"));
    let found: Vec<_> = facts.links.iter().filter(|link| plain(&link.url)).collect();
    let Some(first) = found.first() else { return Vec::new() };
    let text = match found.len() {
        1 => "a link begins with http://, without encryption".to_owned(),
        n => format!("{n} links begin with http://, without encryption; the first is here"),
    };
    vec![Finding::new(NAME, Level::Info, text).in_part(&first.part).at(first.line, first.column)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LinkFact;

    fn with(urls: &[&str]) -> Vec<Finding> {
        let link = |url: &&str| LinkFact { part: "html".into(), url: (*url).into(), ..LinkFact::default() };
        check(&Facts { links: urls.iter().map(link).collect(), ..Facts::default() })
    }

    #[test]
    fn passes() {
        assert_eq!(with(&["https://a.example", "mailto:a@b.example", "é", "{{ url }}"]), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with(&["https://a.example", "HTTP://a.example", "http://b.example"]).len(), 1);
    }
}
