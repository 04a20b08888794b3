//! The filter of a segment: a tree of conditions over a recipient's fields, attributes and lists.
//!
//! One tree has three readings that must agree, row for row: SQL on SQLite, SQL on PostgreSQL ([`compile`]) and
//! [`Filter::matches`] ([`evaluate`]). So each comparison is defined so narrowly that all three can do it alike:
//!
//! - **Text** is compared without regard to ASCII case, in the byte order of UTF-8 (`lower` knows no more than ASCII on
//!   SQLite, and a collation would order differently on each machine).
//! - **Numbers**: a text is a number when it is `-?(0|[1-9][0-9]*)(\.[0-9]+)?` with at most 15 digits and point, so that a
//!   double holds it exactly enough. Where value and field are both numbers they compare as numbers; `007` and a card
//!   number of 16 digits are text. Against a number, `lt`, `le`, `gt` and `ge` match no text.
//! - **Dates**: an attribute is a date when it starts `YYYY-MM-DD`, and has a time when `Thh:mm:ss` (or a blank
//!   for the T) follows; a zone after that is not looked at: times are taken as UTC. See [`Moment`].
//! - **Empty** and absent are the same. An empty field satisfies `is_empty`, `ne`, `not_within_last` and an `eq` or `in` with an empty text, nothing else.
//!
//! ```json
//! {"and": [
//!   {"field": "country", "op": "in", "value": ["DE", "AT"]},
//!   {"field": "points", "op": "ge", "value": 1000},
//!   {"field": "last_order", "op": "not_within_last", "value": "90d"},
//!   {"not": {"in_list": "competitors"}},
//!   {"in_segment": "gold customers"}
//! ]}
//! ```

mod compile;
mod evaluate;
mod moment;
mod names;
mod parse;

use serde_json::{Map, Value as Json, json};

pub(crate) use compile::{compile, value_columns};
pub use moment::{Duration, Moment};
pub use names::Named;

/// A filter tree that passed every limit: the only way to make one is [`Filter::parse`].
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of them; an empty list is everyone.
    And(Vec<Filter>),
    /// At least one of them; an empty list is nobody.
    Or(Vec<Filter>),
    /// Those it does not match.
    Not(Box<Filter>),
    /// A comparison.
    Condition(Condition),
    /// The members of the list with this name.
    InList(String),
    /// Those whom the saved segment with this name takes. [`crate::Audience::resolve`] puts its filter in this place; until then
    /// nobody is.
    InSegment(String),
}

/// One comparison of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// What is compared.
    pub subject: Subject,
    /// How.
    pub op: Op,
    /// With what; [`Value::None`] for `is_empty` and `is_set`.
    pub value: Value,
}

/// What a condition looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A text column: `email`, `domain`, or one of [`crate::FIELDS`].
    Field(&'static str),
    /// `created_at` or `updated_at`.
    Time(&'static str),
    /// The denylist flag, `true` or `false`.
    Denylisted,
    /// An attribute; written as its name, or as `attributes.NAME` where a field has the same name.
    Attribute(String),
}

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the documentation; the module's head has the rules")]
pub enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Contains,
    StartsWith,
    EndsWith,
    In,
    IsEmpty,
    IsSet,
    Before,
    After,
    WithinLast,
    NotWithinLast,
    WithinNext,
}

impl Op {
    /// Every operator with its name in JSON.
    pub const ALL: [(Op, &'static str); 17] = [
        (Op::Eq, "eq"),
        (Op::Ne, "ne"),
        (Op::Lt, "lt"),
        (Op::Le, "le"),
        (Op::Gt, "gt"),
        (Op::Ge, "ge"),
        (Op::Contains, "contains"),
        (Op::StartsWith, "starts_with"),
        (Op::EndsWith, "ends_with"),
        (Op::In, "in"),
        (Op::IsEmpty, "is_empty"),
        (Op::IsSet, "is_set"),
        (Op::Before, "before"),
        (Op::After, "after"),
        (Op::WithinLast, "within_last"),
        (Op::NotWithinLast, "not_within_last"),
        (Op::WithinNext, "within_next"),
    ];

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        Op::ALL.iter().find(|(op, _)| *op == self).map_or("", |(_, name)| name)
    }
}

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing (`is_empty`, `is_set`).
    None,
    /// One text or number.
    Scalar(Scalar),
    /// The choices of `in`.
    Many(Vec<Scalar>),
    /// A point in time (`before`, `after`).
    Moment(Moment),
    /// A span of time (`within_last` and its like).
    Duration(Duration),
}

/// A text as it was written, or a number.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A JSON text; also a number when it looks like one.
    Text(String),
    /// A JSON number, in its plain decimal form.
    Number(String),
    /// A JSON boolean: compares as the text `true` or `false`.
    Flag(bool),
}

impl Scalar {
    /// The text that is compared with.
    pub(crate) fn text(&self) -> &str {
        match self {
            Scalar::Text(text) | Scalar::Number(text) => text,
            Scalar::Flag(true) => "true",
            Scalar::Flag(false) => "false",
        }
    }

    /// The number, when it is one by the rule of the module's head.
    pub(crate) fn number(&self) -> Option<f64> {
        number(self.text())
    }

    fn to_json(&self) -> Json {
        match self {
            Scalar::Text(text) => json!(text),
            Scalar::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
            Scalar::Flag(flag) => json!(flag),
        }
    }
}

/// The number that a text is, or `None`; see the module's head.
pub(crate) fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || digits.len() > NUMBER_LEN_MAX {
        return None;
    }
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole)
        || fraction.is_some_and(|f| !all_digits(f))
        || (whole.len() > 1 && whole.starts_with('0'))
    {
        return None;
    }
    text.parse().ok()
}

/// Digits and point of the longest text that counts as a number.
pub(crate) const NUMBER_LEN_MAX: usize = 15;

/// What is wrong with a filter, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct FilterError {
    /// The place in the tree, such as `$.and[1].not.value`.
    pub path: String,
    /// What is wrong, for the person who wrote it.
    pub message: String,
}

impl Filter {
    /// The JSON form; `Filter::parse` of it gives the same filter.
    pub fn to_json(&self) -> Json {
        match self {
            Filter::And(parts) => json!({"and": parts.iter().map(Filter::to_json).collect::<Vec<_>>()}),
            Filter::Or(parts) => json!({"or": parts.iter().map(Filter::to_json).collect::<Vec<_>>()}),
            Filter::Not(part) => json!({"not": part.to_json()}),
            Filter::InList(name) => json!({"in_list": name}),
            Filter::InSegment(name) => json!({"in_segment": name}),
            Filter::Condition(condition) => condition.to_json(),
        }
    }
}

impl Condition {
    fn to_json(&self) -> Json {
        let mut map = Map::new();
        map.insert("field".to_owned(), json!(self.subject.name()));
        map.insert("op".to_owned(), json!(self.op.name()));
        let value = match &self.value {
            Value::None => None,
            Value::Scalar(scalar) => Some(scalar.to_json()),
            Value::Many(all) => Some(all.iter().map(Scalar::to_json).collect()),
            Value::Moment(moment) => Some(moment.to_json()),
            Value::Duration(duration) => Some(json!(duration.to_string())),
        };
        if let Some(value) = value {
            map.insert("value".to_owned(), value);
        }
        Json::Object(map)
    }
}

impl Subject {
    /// The name in JSON.
    pub fn name(&self) -> String {
        match self {
            Subject::Field(name) | Subject::Time(name) => (*name).to_owned(),
            Subject::Denylisted => "denylisted".to_owned(),
            Subject::Attribute(name) if Subject::builtin(name).is_some() => format!("attributes.{name}"),
            Subject::Attribute(name) => name.clone(),
        }
    }

    /// The field, time or flag with this name.
    pub(crate) fn builtin(name: &str) -> Option<Subject> {
        match name {
            "email" => Some(Subject::Field("email")),
            "domain" => Some(Subject::Field("domain")),
            "timezone" => Some(Subject::Field("time_zone")),
            "created_at" => Some(Subject::Time("created_at")),
            "updated_at" => Some(Subject::Time("updated_at")),
            "denylisted" => Some(Subject::Denylisted),
            name => crate::FIELDS.iter().find(|field| **field == name).map(|field| Subject::Field(field)),
        }
    }
}

impl serde::Serialize for Filter {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Filter {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Filter, D::Error> {
        let json = Json::deserialize(deserializer)?;
        Filter::parse(&json).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_narrow() {
        for (text, expected) in [
            ("0", 0.0),
            ("-1.50", -1.5),
            ("900", 900.0),
            ("0.25", 0.25),
            ("123456789012345", 123_456_789_012_345.0),
        ] {
            assert_eq!(number(text), Some(expected), "{text}");
        }
        for text in
            ["", "-", "007", "1.", ".5", "1e3", "+1", " 1", "1.2.3", "--1", "1234567890123456", "٣", "NaN"]
        {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
