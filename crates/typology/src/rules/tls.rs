//! Rule `tls`: messages leave over TLS where the receiver has it.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level, Receiver};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::AfterTargeting,
    order: 38,
    level: Level::Warning,
    summary: "messages leave over TLS.",
    why: "Gmail takes mail of bulk senders over TLS only (4.7.29). This program offers it to every receiver; a relay \
          can be configured without.",
    hint: "Take tls=none out of mta.relay.",
    check,
    breaks: |facts| facts.tls = Some(false),
};

const NAME: &str = "tls";

fn check(facts: &Facts) -> Vec<Finding> {
    if facts.tls != Some(false) {
        return Vec::new();
    }
    let text = "messages go to the relay without TLS, readable on the way";
    vec![Finding::new(NAME, Level::Warning, text).refused_by(&[Receiver::Google])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes() {
        assert_eq!(check(&Facts { tls: Some(true), ..Facts::default() }), []);
        assert_eq!(check(&Facts::default()), []);
    }

    #[test]
    fn fails() {
        assert_eq!(check(&Facts { tls: Some(false), ..Facts::default() }).len(), 1);
    }
}
