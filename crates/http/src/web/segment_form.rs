//! A segment's filter as lines of a form, and back.
//!
//! The tree is laid out in the order of reading, each line with its depth: groups (`and`, `or`, perhaps inverted) and
//! conditions. A form without scripts can carry that: every line sends its depth, kind, field, comparison and value.

use serde_json::{Map, Value as Json, json};

use super::form::Form;

/// Deepest group that the form offers; JSON may nest deeper.
pub const DEPTH_MAX: usize = 5;
/// The field of a line that asks for membership of a list.
pub const IN_LIST: &str = "in_list";
/// The field of a line that asks whether another segment takes somebody.
pub const IN_SEGMENT: &str = "in_segment";

/// A line of the form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Its place.
    pub index: usize,
    /// How deep it stands; the root is 0.
    pub depth: usize,
    /// `group` or `cond`.
    pub kind: String,
    /// Field, or `and`/`or` of a group.
    pub field: String,
    /// Comparison, or `not` of an inverted group.
    pub op: String,
    /// Value as typed.
    pub value: String,
    /// The field's name when the form does not know it.
    pub unknown: String,
}

impl Line {
    fn group(depth: usize, join: &str, inverted: bool) -> Line {
        Line {
            depth,
            kind: "group".into(),
            field: join.into(),
            op: if inverted { "not".into() } else { String::new() },
            ..Line::default()
        }
    }

    fn condition(depth: usize) -> Line {
        Line { depth, kind: "cond".into(), field: "email".into(), op: "contains".into(), ..Line::default() }
    }
}

/// The lines of an empty form: one group with one condition.
pub fn fresh() -> Vec<Line> {
    numbered(vec![Line::group(0, "and", false), Line::condition(1)])
}

/// The lines of a filter.
pub fn lines_of(filter: &Json) -> Vec<Line> {
    let mut lines = Vec::new();
    let (inner, _) = without_not(filter);
    if join_of(inner).is_some() {
        lay(filter, 0, &mut lines);
    } else {
        lines.push(Line::group(0, "and", false));
        lay(filter, 1, &mut lines);
    }
    numbered(lines)
}

fn join_of(filter: &Json) -> Option<(&'static str, &Vec<Json>)> {
    ["and", "or"].into_iter().find_map(|join| Some((join, filter.get(join)?.as_array()?)))
}

fn without_not(filter: &Json) -> (&Json, bool) {
    match filter.get("not") {
        Some(inner) => {
            let (inner, inverted) = without_not(inner);
            (inner, !inverted)
        }
        None => (filter, false),
    }
}

fn lay(filter: &Json, depth: usize, lines: &mut Vec<Line>) {
    let (inner, inverted) = without_not(filter);
    if let Some((join, parts)) = join_of(inner) {
        lines.push(Line::group(depth, join, inverted));
        for part in parts {
            lay(part, depth + 1, lines);
        }
        return;
    }
    let named = [IN_LIST, IN_SEGMENT].into_iter().find_map(|key| Some((key, inner.get(key)?)));
    if let Some((key, name)) = named {
        let op = if inverted { "ne" } else { "eq" };
        lines.push(Line { field: key.into(), op: op.into(), value: plain(name), ..Line::condition(depth) });
        return;
    }
    let depth = if inverted {
        lines.push(Line::group(depth, "and", true));
        depth + 1
    } else {
        depth
    };
    lines.push(Line {
        field: inner.get("field").map(plain).unwrap_or_default(),
        op: inner.get("op").map(plain).unwrap_or_default(),
        value: inner.get("value").map(plain).unwrap_or_default(),
        ..Line::condition(depth)
    });
}

fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Array(all) => all.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// The lines that a form sent. Depths that cannot be are drawn in.
pub fn sent(form: &Form) -> Vec<Line> {
    let texts = |name| form.all(name).into_iter().map(str::to_owned).collect::<Vec<String>>();
    let (depths, kinds) = (texts("depth"), texts("kind"));
    let (fields, ops, values) = (texts("field"), texts("op"), texts("value"));
    let mut lines: Vec<Line> = Vec::with_capacity(depths.len());
    for (at, kind) in kinds.into_iter().enumerate() {
        let of = |all: &[String]| all.get(at).cloned().unwrap_or_default();
        let wanted = of(&depths).parse().unwrap_or(1_usize);
        let deepest = lines.last().map_or(0, |line| line.depth + usize::from(line.kind == "group"));
        let depth = if at == 0 { 0 } else { wanted.clamp(1, deepest.max(1)) };
        let value = of(&values).trim().to_owned();
        lines.push(Line { depth, kind, field: of(&fields), op: of(&ops), value, ..Line::default() });
    }
    if lines.first().is_none_or(|line| line.kind != "group") { fresh() } else { numbered(lines) }
}

/// Does what a button asks: `add:2`, `group:0`, `remove:3`.
pub fn change(mut lines: Vec<Line>, action: &str) -> Vec<Line> {
    let Some((what, at)) =
        action.split_once(':').and_then(|(what, at)| Some((what, at.parse::<usize>().ok()?)))
    else {
        return lines;
    };
    let Some(depth) = lines.get(at).map(|line| line.depth) else { return lines };
    let end = (at + 1..lines.len()).find(|next| lines[*next].depth <= depth).unwrap_or(lines.len());
    match what {
        "add" => lines.insert(end, Line::condition(depth + 1)),
        "group" if depth < DEPTH_MAX => {
            lines.insert(end, Line::condition(depth + 2));
            lines.insert(end, Line::group(depth + 1, "or", false));
        }
        "remove" if at > 0 => drop(lines.drain(at..end)),
        _ => {}
    }
    numbered(lines)
}

/// The filter that the lines say.
pub fn filter_of(lines: &[Line]) -> Json {
    let Some(first) = lines.first() else { return json!({"and": []}) };
    build(lines, first, 0).0
}

/// The filter of the line at `at`, and the place behind it.
fn build(lines: &[Line], line: &Line, at: usize) -> (Json, usize) {
    if line.kind != "group" {
        return (condition(line), at + 1);
    }
    let mut parts = Vec::new();
    let mut next = at + 1;
    while let Some(child) = lines.get(next).filter(|child| child.depth > line.depth) {
        let (part, behind) = build(lines, child, next);
        parts.push(part);
        next = behind;
    }
    let join = if line.field == "or" { "or" } else { "and" };
    let group = json!({ join: parts });
    (if line.op == "not" { json!({"not": group}) } else { group }, next)
}

fn condition(line: &Line) -> Json {
    if let Some(key) = [IN_LIST, IN_SEGMENT].into_iter().find(|key| *key == line.field) {
        let inside = json!({ key: line.value });
        return if line.op == "ne" { json!({"not": inside}) } else { inside };
    }
    let mut out = Map::new();
    out.insert("field".into(), json!(line.field));
    out.insert("op".into(), json!(line.op));
    match line.op.as_str() {
        "is_empty" | "is_set" => {}
        "in" => {
            let all: Vec<&str> =
                line.value.split(',').map(str::trim).filter(|value| !value.is_empty()).collect();
            out.insert("value".into(), json!(all));
        }
        _ if line.field == "denylisted" && matches!(line.value.as_str(), "true" | "false") => {
            out.insert("value".into(), json!(line.value == "true"));
        }
        _ => drop(out.insert("value".into(), json!(line.value))),
    }
    Json::Object(out)
}

fn numbered(mut lines: Vec<Line>) -> Vec<Line> {
    for (index, line) in lines.iter_mut().enumerate() {
        line.index = index;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_comes_back_as_it_was() {
        for filter in [
            json!({"and": [{"field": "country", "op": "in", "value": ["DE", "AT"]}, {"not": {"in_list": "competitors"}}]}),
            json!({"not": {"or": [{"field": "city", "op": "is_empty"}, {"and": [{"in_list": "a"}]}]}}),
            json!({"and": [{"in_segment": "gold"}, {"not": {"in_segment": "silver"}}]}),
            json!({"or": []}),
            json!({"and": [{"field": "denylisted", "op": "eq", "value": true}]}),
        ] {
            assert_eq!(filter_of(&lines_of(&filter)), filter);
        }
    }

    #[test]
    fn a_lone_condition_stands_in_a_group() {
        let filter = json!({"field": "city", "op": "eq", "value": "Kyoto"});
        assert_eq!(filter_of(&lines_of(&filter)), json!({"and": [filter]}));
    }

    #[test]
    fn buttons_change_the_tree() {
        let lines = change(fresh(), "add:0");
        assert_eq!(lines.len(), 3);
        let lines = change(lines, "group:0");
        assert_eq!(lines.iter().map(|line| line.depth).collect::<Vec<_>>(), [0, 1, 1, 1, 2]);
        assert_eq!(filter_of(&lines)["and"].as_array().map(Vec::len), Some(3));
        let lines = change(lines, "remove:3");
        assert_eq!(lines.len(), 3);
        assert_eq!(change(lines.clone(), "remove:0"), lines, "the root stays");
        assert_eq!(change(lines.clone(), "add:99"), lines);
    }
}
