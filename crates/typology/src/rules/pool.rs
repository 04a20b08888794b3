//! Rule `pool`: some source is in the pool that the delivery goes from.

use super::{Phase, Rule};
use crate::{Facts, Finding, Level, PoolChoice, PoolFact};

/// See the head of this file.
pub(super) static RULE: Rule = Rule {
    name: NAME,
    phase: Phase::StartOfTargeting,
    order: 40,
    level: Level::Warning,
    summary: "some source is in the pool that the delivery goes from.",
    why: "Messages leave only from the sources of the delivery's pool. Without one they stay pending, for a pool may be \
          filled later, and another address than the one that was wanted is worse than a delay.",
    hint: "Choose another pool in the parameters of the delivery or in its typology, or put a source into this one under \
           Sources.",
    check,
    breaks: |facts| {
        facts.pool = Some(PoolFact {
            name: "news".into(),
            chosen_by: PoolChoice::Typology,
            sources: 0,
            disabled: 0,
            known: vec!["default".into()],
        });
    },
};

const NAME: &str = "pool";

/// Names that a finding lists.
const NAMES_MAX: usize = 8;

fn check(facts: &Facts) -> Vec<Finding> {
    let Some(pool) = facts.pool.as_ref().filter(|pool| pool.sources == 0) else { return Vec::new() };
    let by = match pool.chosen_by {
        PoolChoice::Delivery => "",
        PoolChoice::Typology => ", which the typology names",
        PoolChoice::Nobody => ", which is taken when nothing is chosen",
    };
    let name = &pool.name;
    let text = match pool.disabled {
        0 => format!("no source is in the pool {name}{by}: the messages stay pending until one is"),
        _ => format!(
            "the sources of the pool {name}{by} are switched off: the messages stay pending until one is on"
        ),
    };
    let known: Vec<&str> = pool.known.iter().take(NAMES_MAX).map(String::as_str).collect();
    let text = match known.is_empty() {
        true => text,
        false => format!("{text}; there are the pools {}", known.join(", ")),
    };
    vec![Finding::new(NAME, Level::Warning, text).in_part("parameters")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pool: PoolFact) -> Vec<String> {
        let facts = Facts { pool: Some(pool), ..Facts::default() };
        check(&facts).into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn passes() {
        assert_eq!(check(&Facts::default()), [], "over a relay there are no pools");
        assert!(said(PoolFact { name: "news".into(), sources: 1, ..PoolFact::default() }).is_empty());
    }

    #[test]
    fn fails() {
        let empty = PoolFact { name: "news".into(), known: vec!["cold".into()], ..PoolFact::default() };
        let text = said(empty.clone()).remove(0);
        assert!(text.contains("no source is in the pool news") && text.ends_with("pools cold"), "{text}");
        let named = said(PoolFact { chosen_by: PoolChoice::Typology, ..empty.clone() }).remove(0);
        assert!(named.contains("which the typology names"), "{named}");
        let off = said(PoolFact { disabled: 2, ..empty }).remove(0);
        assert!(off.contains("switched off"), "{off}");
    }
}
