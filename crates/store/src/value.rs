//! The values that pass between rooms and databases, the same for both dialects.

/// One bound parameter or one stored value. Booleans are `Int` 0/1, times `Int` microseconds UTC.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL NULL, of whatever type the place asks for.
    Null,
    /// Any integer, boolean or time.
    Int(i64),
    /// A double.
    Real(f64),
    /// Text, also for `@JSON` columns.
    Text(String),
    /// Octets.
    Blob(Vec<u8>),
    /// PostgreSQL: `bigint[]` or `int[]` for `unnest` and `= ANY($n)`. SQLite: bound as JSON text for `json_each($n)`.
    IntArray(Vec<i64>),
    /// PostgreSQL: `text[]` or `jsonb[]`. SQLite: bound as JSON text for `json_each($n)`.
    TextArray(Vec<Option<String>>),
    /// PostgreSQL: `bytea[]`. SQLite has no form for it and refuses.
    BlobArray(Vec<Option<Vec<u8>>>),
}

impl Value {
    /// The JSON text that stands for an array parameter on SQLite.
    pub(crate) fn json_array(&self) -> Option<String> {
        match self {
            Value::IntArray(items) => {
                let mut out = String::with_capacity(items.len() * 8 + 2);
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    out.push_str(&item.to_string());
                }
                out.push(']');
                Some(out)
            }
            Value::TextArray(items) => {
                let mut out = String::from("[");
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    match item {
                        Some(text) => json_string(text, &mut out),
                        None => out.push_str("null"),
                    }
                }
                out.push(']');
                Some(out)
            }
            _ => None,
        }
    }
}

/// RFC 8259 section 7: quote, reverse solidus and control characters are escaped.
fn json_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

macro_rules! value_from {
    ($($type:ty => |$v:ident| $to:expr;)*) => {
        $(impl From<$type> for Value {
            fn from($v: $type) -> Value {
                $to
            }
        })*
    };
}

value_from! {
    i64 => |v| Value::Int(v);
    i32 => |v| Value::Int(v.into());
    i16 => |v| Value::Int(v.into());
    u32 => |v| Value::Int(v.into());
    u16 => |v| Value::Int(v.into());
    u8 => |v| Value::Int(v.into());
    // Counts beyond i64 cannot occur in memory; the largest value stands for them.
    usize => |v| Value::Int(i64::try_from(v).unwrap_or(i64::MAX));
    u64 => |v| Value::Int(i64::try_from(v).unwrap_or(i64::MAX));
    bool => |v| Value::Int(v.into());
    f64 => |v| Value::Real(v);
    &str => |v| Value::Text(v.to_string());
    String => |v| Value::Text(v);
    &String => |v| Value::Text(v.clone());
    std::borrow::Cow<'_, str> => |v| Value::Text(v.into_owned());
    Vec<u8> => |v| Value::Blob(v);
    &[u8] => |v| Value::Blob(v.to_vec());
    &Vec<u8> => |v| Value::Blob(v.clone());
    Vec<i64> => |v| Value::IntArray(v);
    Vec<String> => |v| Value::TextArray(v.into_iter().map(Some).collect());
    Vec<Option<String>> => |v| Value::TextArray(v);
    Vec<Vec<u8>> => |v| Value::BlobArray(v.into_iter().map(Some).collect());
    Vec<Option<Vec<u8>>> => |v| Value::BlobArray(v);
    &Value => |v| v.clone();
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(v: [u8; N]) -> Value {
        Value::Blob(v.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(v: &[u8; N]) -> Value {
        Value::Blob(v.to_vec())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(v: Option<T>) -> Value {
        v.map_or(Value::Null, Into::into)
    }
}

/// The parameters of one statement: `binds![id, name, None::<i64>]` is a `Vec<Value>`.
#[macro_export]
macro_rules! binds {
    ($($value:expr),* $(,)?) => {
        ::std::vec![$($crate::Value::from($value)),*]
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_become_json_for_sqlite() {
        assert_eq!(Value::IntArray(vec![1, -2]).json_array().as_deref(), Some("[1,-2]"));
        let texts = Value::TextArray(vec![Some("a\"\\\n".into()), None]);
        assert_eq!(texts.json_array().as_deref(), Some("[\"a\\\"\\\\\\u000a\",null]"));
        assert_eq!(Value::BlobArray(vec![]).json_array(), None);
    }

    #[test]
    fn options_become_nulls() {
        assert_eq!(binds![Some(3i64), None::<&str>, true], vec![Value::Int(3), Value::Null, Value::Int(1)]);
    }
}
