//! Rule `link_shorteners`: links lead to their site, and not through a public shortener.

use super::{Phase, Rule, shortened};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfPersonalisation,
    order: 31,
    level: Level::Warning,
    summary: "links do not go through a public link shortener.",
    why: "Spammers hide behind shorteners, so block lists name the shorteners' own domains: a message with such a link \
          shares the reputation of everybody who used it.",
    hint: "Link the page itself; clicks are counted by this program's own links.",
    check,
    breaks: |facts| facts.links[0].url = "https://bit.ly/3abcdef".into(),
};

const NAME: &str = "link_shorteners";

/// Public services whose purpose is to hide where a link leads. Shorteners that one company uses for its own pages
/// (youtu.be, amzn.to) are not among them: where they lead is known.
const SHORTENERS: [&str; 28] = [
    "adf.ly",
    "bit.do",
    "bit.ly",
    "bitly.com",
    "bl.ink",
    "buff.ly",
    "clck.ru",
    "cutt.ly",
    "dlvr.it",
    "goo.gl",
    "is.gd",
    "j.mp",
    "kutt.it",
    "ow.ly",
    "rb.gy",
    "rebrand.ly",
    "s.id",
    "short.io",
    "shorturl.at",
    "snip.ly",
    "t.co",
    "t.ly",
    "t2m.io",
    "tiny.cc",
    "tinyurl.com",
    "v.gd",
    "x.co",
    "zpr.io",
];
/// Links that a journal lists.
const LISTED_MAX: usize = 10;

fn check(facts: &Facts) -> Vec<Finding> {
    let hidden = facts.links.iter().filter(|link| is_short(&link.url));
    hidden
        .take(LISTED_MAX)
        .map(|link| {
            let text = format!("the link {:?} goes through a public shortener", shortened(&link.url));
            Finding::new(NAME, Level::Warning, text).in_part(&link.part).at(link.line, link.column)
        })
        .collect()
}

fn is_short(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url.trim()) else { return false };
    let host = url.host_str().unwrap_or_default();
    SHORTENERS.contains(&host.strip_prefix("www.").unwrap_or(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LinkFact;

    fn with(url: &str) -> Vec<Finding> {
        let link = LinkFact { part: "html".into(), url: url.into(), has_text: true, line: 3, column: 5 };
        check(&Facts { links: vec![link], ..Facts::default() })
    }

    #[test]
    fn passes() {
        for url in
            ["https://shop.example/bit.ly", "https://orbit.ly/a", "{{ unsubscribe_url }}", "mailto:a@bit.ly"]
        {
            assert_eq!(with(url), [], "{url}");
        }
    }

    #[test]
    fn fails() {
        for url in ["https://bit.ly/a", "http://www.TinyURL.com/a?b={{ c }}"] {
            assert_eq!(with(url)[0].line, Some(3), "{url}");
        }
    }
}
