//! Rule `urls`: links are complete http(s), mailto or tel addresses.

use super::{Phase, Rule, is_template, shortened};
use crate::{Facts, Finding, Level};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfPersonalisation,
    order: 30,
    level: Level::Warning,
    summary: "links are complete http(s), mailto or tel addresses.",
    why: "A mail client has no page that a relative address could be relative to, and opens few schemes.",
    hint: "Write the whole address, beginning with https://.",
    check,
    breaks: |facts| facts.links[0].url = "shop.example/autumn".into(),
};

const NAME: &str = "urls";

/// Schemes that a mail client opens.
const SCHEMES: [&str; 5] = ["http", "https", "mailto", "tel", "sms"];
/// Findings of this rule that a journal lists before it says how many more there are.
const LISTED_MAX: usize = 20;

fn check(facts: &Facts) -> Vec<Finding> {
    let faulty: Vec<_> =
        facts.links.iter().filter_map(|link| Some((link, fault(link.url.trim())?))).collect();
    let mut findings: Vec<_> = faulty
        .iter()
        .take(LISTED_MAX)
        .map(|(link, fault)| {
            Finding::new(NAME, Level::Warning, format!("the link {:?} {fault}", shortened(&link.url)))
                .in_part(&link.part)
                .at(link.line, link.column)
        })
        .collect();
    if faulty.len() > LISTED_MAX {
        let text = format!("{} more links have such a fault", faulty.len() - LISTED_MAX);
        findings.push(Finding::new(NAME, Level::Warning, text));
    }
    findings
}

fn fault(url: &str) -> Option<&'static str> {
    if is_template(url) || url.starts_with('#') || url.contains("*|") {
        return None;
    }
    if url.is_empty() {
        return Some("leads nowhere");
    }
    match url::Url::parse(url) {
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            Some("is not a complete address, so a mail client cannot find it: begin it with https://")
        }
        Err(_) => Some("is not a valid address"),
        Ok(parsed) if !SCHEMES.contains(&parsed.scheme()) => {
            Some("has a scheme that mail clients do not open")
        }
        Ok(_) if url.contains(' ') => Some("contains a blank: write it as %20"),
        Ok(_) => None,
    }
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
        for url in [
            "https://a.example/a?b=c&d=e",
            "mailto:a@b.example",
            "{{ unsubscribe_url }}",
            "#top",
            "*|UNSUB|*",
        ] {
            assert_eq!(with(url), [], "{url}");
        }
    }

    #[test]
    fn fails() {
        for url in ["", "shop.example/a", "/a", "javascript:alert(1)", "https://", "https://shop.example/a b"]
        {
            let findings = with(url);
            assert_eq!(findings.len(), 1, "{url}");
            assert_eq!((findings[0].line, findings[0].column), (Some(3), Some(5)));
        }
    }
}
