//! JSON -> [`Filter`]. Each fault is said with its place in the tree, and no tree gets past the limits.

use serde_json::{Map, Value as Json};

use super::{Condition, Duration, Filter, FilterError, Moment, Op, Scalar, Subject, Value};
use crate::limits::{
    FILTER_DEPTH_MAX, FILTER_NODES_MAX, FILTER_TEXT_LEN_MAX, FILTER_VALUES_MAX, NAME_LEN_MAX,
};

type Result<T> = std::result::Result<T, FilterError>;

impl Filter {
    /// Reads a filter tree.
    ///
    /// # Errors
    /// The first fault, with its path: an unknown operator or key, a value that does not fit, or a tree beyond
    /// [`FILTER_DEPTH_MAX`], [`FILTER_NODES_MAX`] or [`FILTER_VALUES_MAX`].
    pub fn parse(json: &Json) -> Result<Filter> {
        Parser { nodes: 0, values: 0 }.filter(json, "$", 1)
    }

    /// Reads a filter tree from its text.
    pub fn parse_text(text: &str) -> Result<Filter> {
        match serde_json::from_str(text) {
            Ok(json) => Filter::parse(&json),
            Err(e) => Err(fault("$", format!("not JSON: {e}"))),
        }
    }
}

fn fault(path: &str, message: impl Into<String>) -> FilterError {
    FilterError { path: path.to_owned(), message: message.into() }
}

struct Parser {
    nodes: usize,
    /// Values of all `in` together: they are bound parameters, which a statement can have so many of.
    values: usize,
}

impl Parser {
    fn filter(&mut self, json: &Json, path: &str, depth: usize) -> Result<Filter> {
        self.nodes += 1;
        if depth > FILTER_DEPTH_MAX {
            return Err(fault(path, format!("nested deeper than {FILTER_DEPTH_MAX} levels")));
        }
        if self.nodes > FILTER_NODES_MAX {
            return Err(fault(path, format!("more than {FILTER_NODES_MAX} conditions")));
        }
        let Json::Object(map) = json else {
            return Err(fault(
                path,
                "a filter is an object: and, or, not, in_list, in_segment, or field with op",
            ));
        };
        if map.contains_key("field") {
            return condition(self, map, path).map(Filter::Condition);
        }
        let mut keys = map.iter();
        let (Some((key, value)), None) = (keys.next(), keys.next()) else {
            return Err(fault(
                path,
                "an object needs exactly one of and, or, not, in_list, in_segment, or field with op",
            ));
        };
        let at = format!("{path}.{key}");
        match key.as_str() {
            "and" => self.many(value, &at, depth).map(Filter::And),
            "or" => self.many(value, &at, depth).map(Filter::Or),
            "not" => Ok(Filter::Not(Box::new(self.filter(value, &at, depth + 1)?))),
            "in_list" => name(value, &at, "list").map(Filter::InList),
            "in_segment" => name(value, &at, "segment").map(Filter::InSegment),
            _ => Err(fault(
                path,
                format!("{key:?} is not known; use and, or, not, in_list, in_segment, or field with op"),
            )),
        }
    }

    fn many(&mut self, json: &Json, path: &str, depth: usize) -> Result<Vec<Filter>> {
        let Json::Array(parts) = json else { return Err(fault(path, "must be a list of filters")) };
        parts
            .iter()
            .enumerate()
            .map(|(i, part)| self.filter(part, &format!("{path}[{i}]"), depth + 1))
            .collect()
    }

    fn choices(&mut self, json: Option<&Json>, path: &str) -> Result<Value> {
        let Some(Json::Array(all)) = json else {
            return Err(fault(path, "in needs a list of texts or numbers"));
        };
        self.values += all.len();
        if self.values > FILTER_VALUES_MAX {
            return Err(fault(path, format!("more than {FILTER_VALUES_MAX} values")));
        }
        let all = all.iter().enumerate().map(|(i, value)| scalar(Some(value), &format!("{path}[{i}]")));
        Ok(Value::Many(all.collect::<Result<_>>()?))
    }
}

fn name(json: &Json, path: &str, what: &str) -> Result<String> {
    match json.as_str().map(str::trim) {
        Some(name) if !name.is_empty() && name.chars().count() <= NAME_LEN_MAX => Ok(name.to_owned()),
        _ => Err(fault(path, format!("must be the name of a {what}"))),
    }
}

fn condition(parser: &mut Parser, map: &Map<String, Json>, path: &str) -> Result<Condition> {
    if let Some(key) = map.keys().find(|key| !matches!(key.as_str(), "field" | "op" | "value")) {
        return Err(fault(path, format!("{key:?} is not known here; a condition has field, op and value")));
    }
    let subject = subject(&map["field"], &format!("{path}.field"))?;
    let op_path = format!("{path}.op");
    let Some(name) = map.get("op").and_then(Json::as_str) else {
        return Err(fault(&op_path, "op is missing"));
    };
    let Some((op, _)) = Op::ALL.iter().find(|(_, known)| *known == name) else {
        let known = Op::ALL.map(|(_, name)| name).join(", ");
        return Err(fault(&op_path, format!("{name:?} is not an operator; use {known}")));
    };
    allowed(&subject, *op, &op_path)?;
    let value = value(parser, *op, map.get("value"), &format!("{path}.value"))?;
    if subject == Subject::Denylisted && !matches!(value, Value::None | Value::Scalar(Scalar::Flag(_))) {
        return Err(fault(&format!("{path}.value"), "must be true or false"));
    }
    Ok(Condition { subject, op: *op, value })
}

fn subject(json: &Json, path: &str) -> Result<Subject> {
    let Some(name) = json.as_str().map(str::trim) else {
        return Err(fault(path, "must be the name of a field"));
    };
    if let Some(builtin) = Subject::builtin(name) {
        return Ok(builtin);
    }
    let name = name.strip_prefix("attributes.").unwrap_or(name);
    crate::attribute_name(name).map(Subject::Attribute).map_err(|e| fault(path, e.to_string()))
}

fn allowed(subject: &Subject, op: Op, path: &str) -> Result<()> {
    let fits = match subject {
        Subject::Denylisted => matches!(op, Op::Eq | Op::Ne),
        Subject::Time(_) => {
            matches!(op, Op::Before | Op::After | Op::WithinLast | Op::NotWithinLast | Op::WithinNext)
        }
        Subject::Field(_) | Subject::Attribute(_) => true,
    };
    if fits {
        return Ok(());
    }
    let use_ = match subject {
        Subject::Denylisted => "eq or ne",
        _ => "before, after, within_last, not_within_last or within_next",
    };
    Err(fault(path, format!("{} does not fit {}; use {use_}", op.name(), subject.name())))
}

fn value(parser: &mut Parser, op: Op, json: Option<&Json>, path: &str) -> Result<Value> {
    match op {
        Op::IsEmpty | Op::IsSet => match json {
            None | Some(Json::Null) => Ok(Value::None),
            Some(_) => Err(fault(path, format!("{} takes no value", op.name()))),
        },
        Op::In => parser.choices(json, path),
        Op::Before | Op::After => {
            let json = json.ok_or_else(|| fault(path, "is missing"))?;
            Moment::parse(json).map(Value::Moment).map_err(|e| fault(path, e))
        }
        Op::WithinLast | Op::NotWithinLast | Op::WithinNext => {
            let text = match json {
                Some(Json::String(text)) => text.clone(),
                Some(Json::Number(days)) => days.to_string(),
                _ => return Err(fault(path, "a duration is a number and s, m, h, d or y, as in \"30d\"")),
            };
            Duration::parse(&text).map(Value::Duration).map_err(|e| fault(path, e))
        }
        Op::Contains | Op::StartsWith | Op::EndsWith => match scalar(json, path)? {
            scalar if scalar.text().is_empty() => Err(fault(path, "must not be empty")),
            scalar => Ok(Value::Scalar(scalar)),
        },
        Op::Eq | Op::Ne | Op::Lt | Op::Le | Op::Gt | Op::Ge => scalar(json, path).map(Value::Scalar),
    }
}

fn scalar(json: Option<&Json>, path: &str) -> Result<Scalar> {
    match json {
        None => Err(fault(path, "is missing")),
        Some(Json::Bool(flag)) => Ok(Scalar::Flag(*flag)),
        Some(Json::Number(number)) => {
            let text = number.to_string();
            match super::number(&text) {
                Some(_) => Ok(Scalar::Number(text)),
                None => Err(fault(path, "a number has at most 15 digits and no exponent")),
            }
        }
        Some(Json::String(text)) if text.len() > FILTER_TEXT_LEN_MAX => {
            Err(fault(path, format!("longer than {FILTER_TEXT_LEN_MAX} bytes")))
        }
        Some(Json::String(text)) if text.contains('\0') => Err(fault(path, "contains U+0000")),
        Some(Json::String(text)) => Ok(Scalar::Text(text.clone())),
        Some(_) => Err(fault(path, "must be a text, a number, true or false")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_and_writes_the_same() {
        let json = json!({"and": [
            {"or": [{"field": "country", "op": "in", "value": ["DE", 5]}, {"field": "points", "op": "ge", "value": 10.5}]},
            {"not": {"field": "city", "op": "is_empty"}},
            {"field": "last_order", "op": "before", "value": {"ago": "30d"}},
            {"field": "created_at", "op": "within_last", "value": "1y"},
            {"field": "attributes.created_at", "op": "eq", "value": "x"},
            {"field": "denylisted", "op": "eq", "value": false},
            {"in_list": "newsletter"},
            {"not": {"in_segment": "gold customers"}},
        ]});
        assert_eq!(Filter::parse(&json).unwrap().to_json(), json);
    }

    #[test]
    fn faults_name_their_place() {
        for (json, path, part) in [
            (json!([]), "$", "object"),
            (json!({"nand": []}), "$", "nand"),
            (json!({"and": [], "or": []}), "$", "exactly one"),
            (json!({"and": {}}), "$.and", "list"),
            (
                json!({"and": [{"not": {"field": "city", "op": "like", "value": "x"}}]}),
                "$.and[0].not.op",
                "like",
            ),
            (json!({"field": "city"}), "$.op", "missing"),
            (json!({"field": "city", "op": "eq"}), "$.value", "missing"),
            (json!({"field": "city", "op": "eq", "value": {}}), "$.value", "text"),
            (json!({"field": "city", "op": "eq", "value": 1e30}), "$.value", "digits"),
            (json!({"field": "city", "op": "in", "value": ["a", []]}), "$.value[1]", "text"),
            (json!({"field": "city", "op": "contains", "value": ""}), "$.value", "empty"),
            (json!({"field": "created_at", "op": "eq", "value": "2026-10-01"}), "$.op", "within_last"),
            (json!({"field": "denylisted", "op": "eq", "value": "yes"}), "$.value", "true or false"),
            (json!({"field": "x", "op": "within_last", "value": "3 weeks"}), "$.value", "weeks"),
            (json!({"field": "x", "op": "is_set", "value": 1}), "$.value", "no value"),
            (json!({"field": "x", "op": "eq", "value": 1, "and": []}), "$", "and"),
            (json!({"field": "--", "op": "is_set"}), "$.field", "letter"),
            (json!({"in_list": ""}), "$.in_list", "name"),
            (json!({"in_segment": 3}), "$.in_segment", "segment"),
        ] {
            let error = Filter::parse(&json).unwrap_err();
            assert_eq!(error.path, path, "{json}: {error}");
            assert!(error.message.contains(part), "{json}: {error}");
        }
    }

    #[test]
    fn trees_are_bounded() {
        let leaf = json!({"field": "city", "op": "is_set"});
        let deep = |levels: usize| (1..levels).fold(leaf.clone(), |inner, _| json!({"not": inner}));
        assert!(Filter::parse(&deep(FILTER_DEPTH_MAX)).is_ok());
        assert!(Filter::parse(&deep(FILTER_DEPTH_MAX + 1)).unwrap_err().message.contains("12"));
        let wide = |n: usize| json!({"or": vec![leaf.clone(); n - 1]});
        assert!(Filter::parse(&wide(FILTER_NODES_MAX)).is_ok());
        assert!(Filter::parse(&wide(FILTER_NODES_MAX + 1)).unwrap_err().message.contains("200"));
        let many = |n: usize| json!({"field": "city", "op": "in", "value": vec!["x"; n]});
        assert!(Filter::parse(&many(FILTER_VALUES_MAX)).is_ok());
        assert!(Filter::parse(&many(FILTER_VALUES_MAX + 1)).unwrap_err().message.contains("1000"));
    }
}
