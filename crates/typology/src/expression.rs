//! A condition over the facts: minijinja expressions without loops, includes or anything that reaches outside.
//!
//! What it costs is bounded: by fuel (a step of the evaluation, an element that a filter looks at, or 64 bytes that it
//! makes is a unit); by what can be written, since nothing but facts can be named, no function makes a list out of
//! nothing, and only numbers are multiplied; and by a time that is looked at afterwards, in case a bound has a hole.

use std::time::{Duration, Instant};

use minijinja::value::{Serde, Value};
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use thiserror::Error;

use crate::products::multiplies_numbers_only;
use crate::reference::{FactDoc, fact_of};
use crate::{Facts, Phase};

/// Work that one evaluation may do. A rule over every link of the largest content (1,000) needs about 20,000.
pub const FUEL: u64 = 100_000;
/// Time that one evaluation may take; a thousand times what an ordinary one needs.
pub const TIME_MAX: Duration = Duration::from_millis(250);
/// Longest expression, and longest message of a rule, in bytes.
pub const SOURCE_LEN_MAX: usize = 4_096;
/// Depth of brackets: an evaluation thread's stack is small.
const NESTING_MAX: usize = 40;

/// Why an expression gives no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExpressionError {
    /// It cannot be read.
    #[error("the expression cannot be read: {0}")]
    Syntax(String),
    /// It names what is no fact.
    #[error("there is no fact {0:?}; the manual lists them under Rules")]
    UnknownFact(String),
    /// It multiplies something else than numbers.
    #[error(
        "on both sides of * there is a number, or a fact that is one; anything else could be made endless"
    )]
    Product,
    /// The message has more than values in it.
    #[error("a message is text with {{{{ facts }}}} in it: it has no {{% %}}, and each {{{{ has its }}}}")]
    Statement,
    /// It is too long.
    #[error("it is longer than {SOURCE_LEN_MAX} bytes")]
    TooLong,
    /// It names a fact that is known only later.
    #[error("it names a fact that is not known before the phase {:?}", .0.title())]
    TooEarly(Phase),
    /// It does not end in time.
    #[error("the evaluation takes too long: a rule looks at the facts once and does not loop")]
    TooSlow,
    /// It fails on these facts: a fact is not known, or has another type.
    #[error("it cannot be judged: {0}")]
    Failed(String),
}

/// A condition that was read and names facts only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    source: String,
    /// The facts that it names.
    facts: Vec<&'static FactDoc>,
    /// Their names as they are written: `lookups.helo.check.state` for the fact `lookups.helo.check`.
    names: Vec<String>,
}

impl Expression {
    /// Reads a condition.
    ///
    /// # Errors
    /// [`ExpressionError::Syntax`], [`ExpressionError::UnknownFact`], [`ExpressionError::TooLong`].
    pub fn parse(source: &str) -> Result<Expression, ExpressionError> {
        let source = source.trim();
        bounded(source)?;
        if source.is_empty() {
            return Err(ExpressionError::Syntax("it is empty".to_owned()));
        }
        if !multiplies_numbers_only(source) {
            return Err(ExpressionError::Product);
        }
        let environment = environment();
        let expression =
            environment.compile_expression(source).map_err(|error| ExpressionError::Syntax(words(&error)))?;
        let mut names: Vec<String> = expression.undeclared_variables(true).into_iter().collect();
        names.sort();
        let mut facts = Vec::with_capacity(names.len());
        for name in &names {
            match fact_of(name) {
                Some(fact) => facts.push(fact),
                None => return Err(ExpressionError::UnknownFact(name.clone())),
            }
        }
        Ok(Expression { source: source.to_owned(), facts, names })
    }

    /// The phase from which on everything that it names is known.
    pub fn known_from(&self) -> Phase {
        self.facts.iter().map(|fact| fact.known_from).max().unwrap_or(Phase::StartOfTargeting)
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Does it hold?
    ///
    /// # Errors
    /// [`ExpressionError::Failed`] when a fact is not known; [`ExpressionError::TooSlow`].
    pub fn holds(&self, facts: &Facts) -> Result<bool, ExpressionError> {
        self.holds_of(&facts.to_value())
    }

    pub(crate) fn holds_of(&self, facts: &Value) -> Result<bool, ExpressionError> {
        if let Some(name) = self.names.iter().find(|name| self.needs(name) && is_unknown(facts, name)) {
            return Err(ExpressionError::Failed(format!("the fact {name} is not known")));
        }
        let environment = environment();
        let compiled = environment
            .compile_expression(&self.source)
            .map_err(|error| ExpressionError::Syntax(words(&error)))?;
        let started = Instant::now();
        let value = compiled.eval(facts.clone()).map_err(|error| failure(&error))?;
        if started.elapsed() > TIME_MAX {
            return Err(ExpressionError::TooSlow);
        }
        if value.is_undefined() {
            return Err(ExpressionError::Failed("a fact that it names is not known".to_owned()));
        }
        Ok(value.is_true())
    }

    /// It names the fact without asking whether it is known: minijinja would compare `none < 5` without a word.
    fn needs(&self, name: &str) -> bool {
        !self.source.contains(&format!("{name} is "))
    }
}

impl Facts {
    /// The facts under the names that expressions use.
    pub fn to_value(&self) -> Value {
        Value::from(Serde(self))
    }
}

/// Evaluates a text with `{{ fact }}` in it: the message of a rule.
pub(crate) fn render(text: &str, facts: &Value) -> Result<String, ExpressionError> {
    bounded(text)?;
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (value, behind) = after.split_once("}}").ok_or(ExpressionError::Statement)?;
        if before.contains("{%") {
            return Err(ExpressionError::Statement);
        }
        Expression::parse(value.trim_matches('-'))?;
        rest = behind;
    }
    if rest.contains("{%") {
        return Err(ExpressionError::Statement);
    }
    let environment = environment();
    let template =
        environment.template_from_str(text).map_err(|error| ExpressionError::Syntax(words(&error)))?;
    let started = Instant::now();
    let rendered = template.render(facts.clone()).map_err(|error| failure(&error))?;
    if started.elapsed() > TIME_MAX { Err(ExpressionError::TooSlow) } else { Ok(rendered) }
}

/// Is the fact `none`, or in a group that is?
fn is_unknown(facts: &Value, name: &str) -> bool {
    let mut value = facts.clone();
    for part in name.split('.') {
        match value.get_attr(part) {
            Ok(found) if !found.is_undefined() && !found.is_none() => value = found,
            _ => return true,
        }
    }
    false
}

/// The language's functions, all of them: `range` makes a list out of nothing.
const FUNCTIONS: [&str; 6] = ["range", "dict", "debug", "namespace", "cycler", "joiner"];
/// Filters that make more than they were given, or that write for a part of a message.
const FILTERS: [&str; 17] = [
    "safe",
    "escape",
    "e",
    "replace",
    "batch",
    "slice",
    "indent",
    "groupby",
    "zip",
    "chain",
    "pprint",
    "format",
    "tojson",
    "urlencode",
    "items",
    "dictsort",
    "attr",
];

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    FUNCTIONS.iter().for_each(|name| environment.remove_global(name));
    FILTERS.iter().for_each(|name| environment.remove_filter(name));
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(NESTING_MAX);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment
}

fn bounded(source: &str) -> Result<(), ExpressionError> {
    let (mut depth, mut deepest) = (0_usize, 0);
    for octet in source.bytes() {
        match octet {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    match () {
        () if source.len() > SOURCE_LEN_MAX => Err(ExpressionError::TooLong),
        () if deepest > NESTING_MAX => {
            Err(ExpressionError::Syntax(format!("more than {NESTING_MAX} brackets are open at once")))
        }
        () => Ok(()),
    }
}

fn failure(error: &minijinja::Error) -> ExpressionError {
    let mut root = error;
    while let Some(cause) =
        std::error::Error::source(root).and_then(|cause| cause.downcast_ref::<minijinja::Error>())
    {
        root = cause;
    }
    match root.kind() {
        ErrorKind::OutOfFuel => ExpressionError::TooSlow,
        ErrorKind::UndefinedError => ExpressionError::Failed("a fact that it names is not known".to_owned()),
        _ => ExpressionError::Failed(words(root)),
    }
}

/// The error in one line, without the place that minijinja adds.
fn words(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    fn holds(source: &str) -> Result<bool, ExpressionError> {
        Expression::parse(source)?.holds(&example())
    }

    #[test]
    fn conditions_are_about_facts() {
        for source in [
            "messages < 20000",
            "subject|length <= 60 and '!!' not in subject",
            "links|rejectattr('has_text')|list|length == 0",
            "'@shop.example' in sender.address and delivery.code != ''",
            "providers|map(attribute='messages')|sum == messages",
            "lookups.authentication.spf.state == 'pass'",
            "prediction.end_us - prediction.start_us < 86400 * 1000000",
            "archive_problem is none",
            "delivery.proof or subject is not startingwith('Proof')",
        ] {
            assert_eq!(holds(source), Ok(true), "{source}");
        }
        assert_eq!(holds("messages > 20000"), Ok(false));
        assert_eq!(Expression::parse(" size.html < 9 ").unwrap().known_from(), Phase::EndOfAnalysis);
    }

    #[test]
    fn what_is_no_fact_is_named() {
        for (source, name) in [
            ("mesages > 5", "mesages"),
            ("sender.adress != ''", "sender.adress"),
            ("range(5)|sum == 10", "range"),
            ("subject == now()", "now"),
        ] {
            assert_eq!(Expression::parse(source), Err(ExpressionError::UnknownFact(name.into())), "{source}");
        }
        for source in ["", "messages >", "{{ messages }}", &"(".repeat(50)] {
            assert!(matches!(Expression::parse(source), Err(ExpressionError::Syntax(_))), "{source}");
        }
        assert_eq!(Expression::parse(&"1+".repeat(5_000)), Err(ExpressionError::TooLong));
    }

    #[test]
    fn what_is_not_known_is_not_judged() {
        let condition = Expression::parse("messages < 5").unwrap();
        let judged = condition.holds(&Facts::default());
        assert_eq!(judged, Err(ExpressionError::Failed("the fact messages is not known".into())));
        let tested = Expression::parse("messages is none or messages < 5").unwrap();
        assert_eq!(tested.holds(&Facts::default()), Ok(true));
        let deep = Expression::parse("size.html < 5").unwrap();
        assert!(matches!(deep.holds(&Facts::default()), Err(ExpressionError::Failed(_))));
    }

    #[test]
    fn what_does_not_end_is_stopped() {
        for source in [
            "('x' * 100000000)|length > 5",
            "5 in ([1] * 100000000)",
            "([1] * 100000000) == ([1] * 100000000)",
            "range(100000000)|sum > 5",
            "links|batch(100000000, 1)|list|length > 5",
            "subject|replace('', 'xxxxxxxxxxxxxxxx')|replace('', 'xxxxxxxxxxxxxxxx') != ''",
            "links|slice(1000000000)|list|length > 5",
            "9 ** 9 ** 9 ** 9 > 5",
        ] {
            let started = Instant::now();
            let judged = Expression::parse(source).and_then(|condition| condition.holds(&example()));
            assert!(judged.is_err(), "{source}: {judged:?}");
            assert!(started.elapsed() < Duration::from_secs(2), "{source}");
        }
        let mut facts = example();
        facts.links = vec![facts.links[0].clone(); 1_000];
        let slow = "links|map(attribute='url')|join('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')|list|join('xxxxxxxxxxxxxxxxxxxxx')\
                    |list|join('xxxxxxxxxxxxxxxxxxxxx')|list|join('xxxxxxxxxxxxxxxxxxxxx')|length > 5";
        assert_eq!(Expression::parse(slow).unwrap().holds(&facts), Err(ExpressionError::TooSlow));
    }

    #[test]
    fn the_largest_content_is_judged() {
        let mut facts = example();
        facts.links = vec![facts.links[0].clone(); 1_000];
        let condition = "links|selectattr('part', 'eq', 'html')|map(attribute='url')|unique|list|length == 1";
        assert_eq!(Expression::parse(condition).unwrap().holds(&facts), Ok(true));
    }
}
