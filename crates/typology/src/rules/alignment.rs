//! Rule `alignment`: the return path's or the signature's domain is that of the From address (RFC 7489 section 3.1).

use super::{Phase, Rule, authentication};
use crate::{Facts, Finding, Level, Receiver};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::AfterTargeting,
    order: 34,
    level: Level::Warning,
    summary: "the domain of the return path or of the DKIM signature belongs to the From domain.",
    why: "SPF and DKIM that pass for another domain say nothing of the address that people see; DMARC then fails. \
          Gmail, Yahoo and Microsoft ask bulk senders for one of the two.",
    hint: "Send from a domain that is under Domains, or leave the bounce domain to its default.",
    check,
    breaks: |facts| {
        if let Some(found) = &mut facts.lookups.authentication {
            (found.spf_aligned, found.dkim_aligned) = (false, false);
        }
    },
};

const NAME: &str = "alignment";

fn check(facts: &Facts) -> Vec<Finding> {
    authentication(facts, |found| {
        if found.spf_aligned || found.dkim_aligned {
            return None;
        }
        let signed = match found.dkim_domain.as_str() {
            "" => "messages are not signed".to_owned(),
            domain => format!("the signature is of {domain}"),
        };
        let text = format!(
            "nothing vouches for the From domain {}: the return path is at {}, and {signed}",
            found.domain, found.spf_domain
        );
        Some(Finding::new(NAME, Level::Warning, text).refused_by(Receiver::ALL))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(spf_aligned: bool, dkim_aligned: bool) -> Vec<Finding> {
        let mut facts = crate::example();
        if let Some(found) = &mut facts.lookups.authentication {
            (found.spf_aligned, found.dkim_aligned) = (spf_aligned, dkim_aligned);
        }
        check(&facts)
    }

    #[test]
    fn passes() {
        assert_eq!(with(true, false), []);
        assert_eq!(with(false, true), []);
        assert_eq!(check(&Facts::default()), []);
    }

    #[test]
    fn fails() {
        assert_eq!(with(false, false).len(), 1);
    }
}
