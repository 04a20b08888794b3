//! The fields of a receiver's rules, as the form has them.

use routes::{Rate, SiteRules};
use serde_json::Value;

use super::{
    super::{said::said, texts},
    refused::Refused,
};

/// How a field is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A whole number.
    Number,
    /// A number with a fraction.
    Fraction,
    /// Rates like `100/min`, separated by commas or spaces; `none` is no limit.
    Rates,
    /// Yes or no.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Masks of names, separated by spaces or lines.
    Masks,
    /// Words.
    Text,
}

/// One of them.
#[derive(Debug)]
pub struct Field {
    /// Its name in the table.
    pub name: &'static str,
    /// The part of the form.
    pub group: &'static str,
    /// How it is filled in.
    pub shape: Shape,
}

const fn field(group: &'static str, name: &'static str, shape: Shape) -> Field {
    Field { name, group, shape }
}

/// All of them, in the order of the form.
pub const FIELDS: &[Field] = &[
    field("limits", "connections", Shape::Number),
    field("limits", "connections_all", Shape::Number),
    field("limits", "messages_per_connection", Shape::Number),
    field("limits", "message_rates", Shape::Rates),
    field("limits", "connection_rates", Shape::Rates),
    field("limits", "speed", Shape::Choice(&["slow", "normal", "fast", "very_fast", "boost"])),
    field("limits", "shared", Shape::Flag),
    field("security", "tls", Shape::Choice(&["none", "opportunistic", "required"])),
    field("security", "clear_after_broken_tls", Shape::Flag),
    field("push-back", "adaptive", Shape::Flag),
    field("push-back", "failures_before_rest", Shape::Number),
    field("push-back", "breaker_messages", Shape::Number),
    field("push-back", "breaker_percent", Shape::Number),
    field("push-back", "breaker_s", Shape::Number),
    field("times", "connect_timeout_s", Shape::Number),
    field("times", "command_timeout_s", Shape::Number),
    field("times", "data_timeout_s", Shape::Number),
    field("times", "dot_timeout_s", Shape::Number),
    field("times", "idle_s", Shape::Number),
    field("times", "per_connection_second", Shape::Fraction),
    field("who", "label", Shape::Text),
    field("who", "mx", Shape::Masks),
    field("who", "domains", Shape::Masks),
];

impl Field {
    /// What was typed, as JSON; nothing typed is null.
    ///
    /// # Errors
    /// The field, and why it cannot be read.
    pub(super) fn read(&self, text: &str) -> Result<Value, Refused> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Value::Null);
        }
        let label = || texts::pick("limit-field", self.name);
        let refused = || Refused::new(self.name, texts::text_s("fault-number", &label()));
        Ok(match self.shape {
            Shape::Number => Value::from(text.parse::<u32>().map_err(|_| refused())?),
            Shape::Fraction => Value::from(text.parse::<f64>().map_err(|_| refused())?),
            Shape::Rates if text == "none" => Value::Array(Vec::new()),
            Shape::Rates => {
                let rates: Result<Vec<Rate>, String> = split(text).map(str::parse).collect();
                let named = |reason: String| {
                    let why = texts::text_ss("refused-at", &label(), &said("refused", &reason));
                    Refused::new(self.name, why)
                };
                Value::from(rates.map_err(named)?.iter().map(ToString::to_string).collect::<Vec<_>>())
            }
            Shape::Masks => Value::from(split(text).collect::<Vec<_>>()),
            Shape::Flag => Value::from(text == "yes"),
            Shape::Choice(_) | Shape::Text => Value::from(text),
        })
    }

    /// The words of a choice.
    pub fn choices(&self) -> &'static [&'static str] {
        match self.shape {
            Shape::Choice(words) => words,
            Shape::Flag => &["yes", "no"],
            _ => &[],
        }
    }

    /// A choice in words.
    pub fn word(&self, choice: &str) -> String {
        match (self.shape, self.name) {
            (Shape::Flag, _) => texts::pick("yes-no", choice),
            (_, "tls") => texts::pick("tls-policy", choice),
            _ => texts::pick("limit-speed", choice),
        }
    }

    /// Whether it wants several lines.
    pub fn is_long(&self) -> bool {
        self.shape == Shape::Masks
    }
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\n', '\t']).map(str::trim).filter(|word| !word.is_empty())
}

/// A value of an override as the form has it; null is empty.
pub fn typed(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(typed).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// A field's value that holds, in words.
pub fn shown(rules: &SiteRules, name: &str) -> String {
    let Ok(all) = serde_json::to_value(rules) else { return String::new() };
    let Some(field) = FIELDS.iter().find(|field| field.name == name) else { return String::new() };
    let value = typed(&all[name]);
    match field.shape {
        Shape::Flag | Shape::Choice(_) => field.word(&value),
        Shape::Number if value.is_empty() => texts::text("limits-no-rate"),
        Shape::Rates if value == "none" => texts::text("limits-no-rate"),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_rules_is_in_the_form() {
        let rules = serde_json::to_value(SiteRules::default()).unwrap();
        for name in rules.as_object().unwrap().keys() {
            assert!(FIELDS.iter().any(|field| field.name == name), "{name}");
        }
    }

    #[test]
    fn every_field_has_its_words() {
        for field in FIELDS {
            let named =
                |prefix: &str, name: &str| texts::exists(&format!("{prefix}-{}", name.replace('_', "-")));
            assert!(named("limit-field", field.name) && named("limit-hint", field.name), "{}", field.name);
            assert!(named("limit-group", field.group), "{}", field.group);
            for word in field.choices() {
                let prefixes = ["yes-no", "tls-policy", "limit-speed"];
                assert!(prefixes.iter().any(|prefix| named(prefix, word)), "{} {word}", field.name);
            }
        }
    }

    #[test]
    fn what_is_shown_can_be_typed_again() {
        let change = serde_json::json!({
            "connections": 3, "message_rates": ["100/min", "20000/d"], "connection_rates": [], "shared": true,
            "tls": "required", "mx": ["*.a.example", "b?.example"], "per_connection_second": 2.5,
        });
        serde_json::from_value::<routes::RuleOverride>(change.clone()).unwrap();
        for (name, value) in change.as_object().unwrap() {
            let field = FIELDS.iter().find(|field| field.name == name).unwrap();
            assert_eq!(field.read(&typed(value)).unwrap(), *value, "{name}");
        }
    }
}
