//! The facts that a rule may name, documented: the source of the manual's list.

use crate::Facts;

/// A documented fact.
#[derive(Debug, Clone, Copy)]
pub struct FactDoc {
    /// Its name, dotted; `[]` stands for each element of a list.
    pub name: &'static str,
    /// `text`, `number`, `true or false`, `list`, `group`, or `state`.
    pub kind: &'static str,
    /// What it is.
    pub text: &'static str,
}

/// Every fact.
pub const FACTS: &[FactDoc] = &[];

/// Is this a name that an expression may use? `links` and `sender.address` are; a name of an element's field is not
/// looked at, because minijinja does not tell it.
pub(crate) fn is_fact(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    let known = serde_json::to_value(sample()).unwrap_or_default();
    known.get(first).is_some()
}

/// Facts in which everything is filled in.
pub(crate) fn sample() -> Facts {
    Facts::default()
}
