//! Control rules of one's own: a condition over the facts that must hold, and what to say when it does not.

use serde::{Deserialize, Serialize};

use crate::expression::{Expression, ExpressionError, render};
use crate::{Facts, Finding, Level, Phase, Span};

/// A control rule that a user wrote. The JSON of a stored rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomRule {
    /// Its name, shown with its findings: unique in its typology, and of no shipped rule.
    pub name: String,
    /// When it runs.
    pub phase: Phase,
    /// Lower runs first.
    #[serde(default = "default_order")]
    pub order: u32,
    /// How serious it is when the condition does not hold.
    pub level: Level,
    /// What must hold: an expression over the facts.
    pub condition: String,
    /// What to say when it does not: a text with `{{ fact }}`.
    pub message: String,
    /// How to mend it; may be empty.
    #[serde(default)]
    pub hint: String,
    /// Deliveries that it is for: an expression over the facts; empty: all.
    #[serde(default)]
    pub scope: String,
    /// When it is in effect.
    #[serde(default)]
    pub effective: Span,
}

/// SPEC: rules have the order 50 unless they are given one.
pub const fn default_order() -> u32 {
    50
}

/// What a rule says of the facts of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "text", rename_all = "snake_case")]
pub enum Tried {
    /// The condition holds: nothing to say.
    Passed,
    /// It does not hold; the message.
    Found(String),
    /// The delivery is outside the rule's scope.
    OutOfScope,
    /// It could not be judged, and why.
    Unknown(String),
}

impl CustomRule {
    /// Refuses a rule that cannot be read, names what is no fact, or loops.
    ///
    /// # Errors
    /// The field (`condition`, `scope` or `message`), and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, ExpressionError)> {
        let value = crate::example().to_value();
        let judged = |source: &str| {
            let expression = Expression::parse(source)?;
            if expression.known_from() > self.phase {
                return Err(ExpressionError::TooEarly(expression.known_from()));
            }
            match expression.holds_of(&value) {
                Err(ExpressionError::TooSlow) => Err(ExpressionError::TooSlow),
                // On other facts than the example's it may well be judged.
                _ => Ok(()),
            }
        };
        judged(&self.condition).map_err(|error| ("condition", error))?;
        if !self.scope.trim().is_empty() {
            judged(&self.scope).map_err(|error| ("scope", error))?;
        }
        match render(&self.message, &value) {
            // On other facts than the example's it may well be written.
            Ok(_) | Err(ExpressionError::Failed(_)) => Ok(()),
            Err(error) => Err(("message", error)),
        }
    }

    /// What it says of these facts, whatever its phase: of an analysis under way, or of one that is past.
    pub fn try_on(&self, facts: &Facts) -> Tried {
        let value = facts.to_value();
        match in_scope(&self.scope, facts) {
            Ok(true) => {}
            Ok(false) => return Tried::OutOfScope,
            Err(error) => return Tried::Unknown(error.to_string()),
        }
        let holds = Expression::parse(&self.condition).and_then(|condition| condition.holds_of(&value));
        match holds {
            Ok(true) => Tried::Passed,
            // A message that fails says at least that the rule did not hold.
            Ok(false) => Tried::Found(render(&self.message, &value).unwrap_or_else(|_| self.message.clone())),
            Err(error) => Tried::Unknown(error.to_string()),
        }
    }

    pub(crate) fn run(&self, facts: &Facts) -> Option<Finding> {
        let mut finding = match self.try_on(facts) {
            Tried::Passed | Tried::OutOfScope => return None,
            Tried::Found(text) => Finding::new(&self.name, self.level, text),
            Tried::Unknown(reason) => {
                Finding::unknown(&self.name, format!("the rule {:?}: {reason}", self.name))
            }
        };
        finding.hint = Some(self.hint.trim()).filter(|hint| !hint.is_empty()).map(str::to_owned);
        Some(finding)
    }
}

/// Is the delivery one that the scope is for? An empty scope is for all.
///
/// # Errors
/// The scope cannot be read or judged.
pub fn in_scope(scope: &str, facts: &Facts) -> Result<bool, ExpressionError> {
    if scope.trim().is_empty() { Ok(true) } else { Expression::parse(scope)?.holds(facts) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    fn rule(condition: &str, message: &str) -> CustomRule {
        CustomRule {
            name: "small".into(),
            phase: Phase::AfterTargeting,
            order: default_order(),
            level: Level::Error,
            condition: condition.into(),
            message: message.into(),
            hint: "Ask Anna.".into(),
            scope: String::new(),
            effective: Span::default(),
        }
    }

    #[test]
    fn a_rule_says_its_message_when_its_condition_does_not_hold() {
        let small = rule("messages <= 10000", "{{ messages }} messages are more than 10000");
        assert_eq!(small.check(), Ok(()));
        let found = small.run(&example()).unwrap();
        assert_eq!((found.level, found.text.as_str()), (Level::Error, "19420 messages are more than 10000"));
        assert_eq!(found.hint.as_deref(), Some("Ask Anna."));
        assert_eq!(rule("messages > 10000", "").run(&example()), None);
    }

    #[test]
    fn a_rule_that_cannot_be_judged_warns() {
        let found = rule("messages <= 10000", "too many").run(&Facts::default()).unwrap();
        assert_eq!((found.level, found.nature), (Level::Warning, crate::Nature::Unknown));
        assert!(found.text.contains("messages is not known"), "{}", found.text);
    }

    #[test]
    fn a_scope_narrows_a_rule() {
        let mut scoped = rule("messages <= 10000", "too many");
        scoped.scope = "delivery.code == 'other'".into();
        assert_eq!(scoped.try_on(&example()), Tried::OutOfScope);
        scoped.scope = "delivery.code == 'news-10'".into();
        assert_eq!(scoped.try_on(&example()), Tried::Found("too many".into()));
        scoped.scope = "delivery.coda == 1".into();
        assert_eq!(scoped.check().unwrap_err().0, "scope");
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let refused = |rule: CustomRule| rule.check().unwrap_err();
        assert_eq!(refused(rule("messages <=", "")).0, "condition");
        assert_eq!(
            refused(rule("size.html < 5", "")),
            ("condition", ExpressionError::TooEarly(Phase::EndOfAnalysis))
        );
        let loops = "{% for a in links %}{% for b in links %}.{% endfor %}{% endfor %}";
        assert_eq!(refused(rule("messages < 5", loops)), ("message", ExpressionError::Statement));
        assert_eq!(refused(rule("('x' * 100000000) != ''", "")), ("condition", ExpressionError::Product));
        assert_eq!(refused(rule("messages < 5", "{{ mess")), ("message", ExpressionError::Statement));
        assert_eq!(refused(rule("messages < 5", "{{ mess }}")).0, "message");
    }
}
