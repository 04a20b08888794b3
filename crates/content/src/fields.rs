//! One recipient's fields, as templates see them: looked up by name, nothing built ahead.

use std::sync::{Arc, OnceLock};

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};

use crate::marks::without_marks;
use crate::template::BUILT_IN_NAMES;

/// The names of the columns that every recipient has, and of attributes that some recipient has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Columns {
    names: Vec<String>,
    attributes: Vec<String>,
}

impl Columns {
    /// `names` in the order of the values given to [`Fields::new`]; an attribute out of `attributes` that a recipient
    /// lacks is empty rather than unknown.
    ///
    /// A column of a built-in name does not hide what is built in: it loses its name here.
    pub fn new(names: Vec<String>, attributes: Vec<String>) -> Arc<Columns> {
        let own = |name: String| if BUILT_IN_NAMES.contains(&name.as_str()) { String::new() } else { name };
        Arc::new(Columns { names: names.into_iter().map(own).collect(), attributes })
    }

    /// True for a column, an attribute or a built-in name.
    pub fn knows(&self, name: &str) -> bool {
        self.names.iter().chain(&self.attributes).any(|known| known == name) || BUILT_IN_NAMES.contains(&name)
    }
}

/// A value of a column. Empty text and null are the same to a template: both are empty, and `default` fills them.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum FieldValue {
    /// No value.
    #[default]
    Null,
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A number.
    Real(f64),
    /// Yes or no.
    Bool(bool),
}

impl From<&str> for FieldValue {
    fn from(text: &str) -> FieldValue {
        FieldValue::Text(text.to_owned())
    }
}

impl From<String> for FieldValue {
    fn from(text: String) -> FieldValue {
        FieldValue::Text(text)
    }
}

impl From<Option<String>> for FieldValue {
    fn from(text: Option<String>) -> FieldValue {
        text.map_or(FieldValue::Null, FieldValue::Text)
    }
}

impl From<i64> for FieldValue {
    fn from(number: i64) -> FieldValue {
        FieldValue::Int(number)
    }
}

/// One recipient's fields.
#[derive(Debug, Clone)]
pub struct Fields {
    row: Arc<Row>,
}

#[derive(Debug)]
struct Row {
    columns: Arc<Columns>,
    values: Vec<FieldValue>,
    attributes_json: String,
    /// Read when the first name is asked for that is no column: most templates ask for none.
    attributes: OnceLock<serde_json::Map<String, serde_json::Value>>,
}

impl Fields {
    /// `values` in the order of the columns' names; `attributes_json` is a JSON object, or empty.
    pub fn new(
        columns: &Arc<Columns>,
        values: Vec<FieldValue>,
        attributes_json: impl Into<String>,
    ) -> Fields {
        Fields {
            row: Arc::new(Row {
                columns: Arc::clone(columns),
                values,
                attributes_json: attributes_json.into(),
                attributes: OnceLock::new(),
            }),
        }
    }

    /// From pairs, for samples and tests. A name given here is known.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Fields {
        let (names, values): (Vec<String>, Vec<FieldValue>) =
            pairs.into_iter().map(|(name, value)| (name.to_owned(), FieldValue::from(value))).unzip();
        Fields::new(&Columns::new(names, Vec::new()), values, "")
    }

    pub(crate) fn as_value(&self) -> Value {
        Value::from_dyn_object(Arc::clone(&self.row))
    }
}

impl Row {
    fn attribute(&self, name: &str) -> Option<Value> {
        let attributes =
            self.attributes.get_or_init(|| serde_json::from_str(&self.attributes_json).unwrap_or_default());
        match attributes.get(name) {
            Some(value) => Some(json_value(value)),
            None if self.columns.attributes.iter().any(|known| known == name) => Some(Value::from("")),
            None => None,
        }
    }
}

fn json_value(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::from(""),
        serde_json::Value::Bool(flag) => Value::from(*flag),
        serde_json::Value::String(text) => Value::from(&*without_marks(text)),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => Value::from(whole),
            None => Value::from(number.as_f64().unwrap_or_default()),
        },
        serde_json::Value::Array(items) => Value::from(items.iter().map(json_value).collect::<Vec<_>>()),
        serde_json::Value::Object(map) => {
            Value::from_pairs(map.iter().map(|(key, value)| (key.as_str(), json_value(value))))
        }
    }
}

impl Object for Row {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let Some(at) = self.columns.names.iter().position(|name| name == key) else {
            return if BUILT_IN_NAMES.contains(&key) { None } else { self.attribute(key) };
        };
        Some(match self.values.get(at) {
            Some(FieldValue::Text(text)) => Value::from(&*without_marks(text)),
            Some(FieldValue::Int(number)) => Value::from(*number),
            Some(FieldValue::Real(number)) => Value::from(*number),
            Some(FieldValue::Bool(flag)) => Value::from(*flag),
            Some(FieldValue::Null) | None => Value::from(""),
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}
