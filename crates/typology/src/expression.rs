//! A condition over the facts: minijinja expressions without loops, includes or anything that reaches outside.
//!
//! What it costs is bounded twice: by fuel (a step of the evaluation, or 64 bytes that it makes, is a unit) and by time,
//! because a filter over many links is one step. Nothing but the facts can be named: no clock, no file, no function.

use std::time::{Duration, Instant};

use minijinja::value::{Serde, Value};
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use thiserror::Error;

use crate::Facts;
use crate::reference::is_fact;

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
    /// It is too long.
    #[error("it is longer than {SOURCE_LEN_MAX} bytes")]
    TooLong,
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
        let environment = environment();
        let expression =
            environment.compile_expression(source).map_err(|error| ExpressionError::Syntax(words(&error)))?;
        let mut names: Vec<String> = expression.undeclared_variables(true).into_iter().collect();
        names.sort();
        match names.into_iter().find(|name| !is_fact(name)) {
            Some(name) => Err(ExpressionError::UnknownFact(name)),
            None => Ok(Expression { source: source.to_owned() }),
        }
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
    let environment = environment();
    let template =
        environment.template_from_str(text).map_err(|error| ExpressionError::Syntax(words(&error)))?;
    let started = Instant::now();
    let rendered = template.render(facts.clone()).map_err(|error| failure(&error))?;
    if started.elapsed() > TIME_MAX { Err(ExpressionError::TooSlow) } else { Ok(rendered) }
}

/// Filters and tests of the language, and no functions: what could make a list out of nothing is not there.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    for name in ["range", "debug", "dict", "namespace"] {
        environment.remove_global(name);
    }
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
        ErrorKind::UndefinedError => {
            ExpressionError::Failed("a fact that it names is not known".to_owned())
        }
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
