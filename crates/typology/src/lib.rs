//! Typology: the control rules that a delivery must pass. Facts in, findings out; no I/O.
//!
//! Owns the list of rules, one per file under `rules/`, with its documentation, a passing and a failing
//! example that are its tests, and a hint how to mend what it finds.
//!
//! Invariants
//! - A rule reads [`Facts`] and nothing else: no clock, network or database. A fact that could not be had is
//!   `None`, and a rule that needs it says so with a warning instead of guessing.
//! - Rules run in their phase, then by order, then by name: a journal reads the same each time.
//! - Errors forbid Confirm, warnings do not. Which is which is the rule's own, stated in its file.
//!
//! Neighbours: `delivery` gathers the facts before each phase and keeps the findings in its journal; `http`
//! shows a finding beside the source line that it names.

mod custom;
mod example;
mod expression;
mod facts;
mod finding;
mod lookups;
mod products;
mod reference;
mod rules;
mod selection;

pub use custom::{CustomRule, Tried, default_order, in_scope};
pub use example::example;
pub use expression::{Expression, ExpressionError, FUEL, SOURCE_LEN_MAX, TIME_MAX};
pub use facts::{
    DeliveryFact, ExcludedFact, Facts, HeaderFact, ImageFact, LinkFact, MobileFact, MobileProblem, PartFact,
    PoolChoice, PoolFact, PredictionFact, ProofFact, ProviderFact, ScheduleFact, SenderFact, SizeFact,
};
pub use finding::{Finding, Level, Nature, Receiver};
pub use lookups::{AuthenticationFact, CheckFact, Checked, HeloFact, Lookups, SourceFact, TargetFact};
pub use reference::{FACTS, FactDoc, chapter};
pub use rules::spam_words::suspicious;
pub use rules::{Phase, Rule, all};
pub use selection::{BULK_MESSAGES, Base, Choice, SHIPPED, Selection, Span, run};
