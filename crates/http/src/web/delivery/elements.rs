//! The elements of a target as lines of a form: read from a target, changed by the form, and written back.
//!
//! Every line carries its element whole, as JSON in a hidden field, and beside it what can be chosen of it. So an element
//! that the form cannot make, such as a filter of a pushed folder, stays as it is until somebody removes it.

use delivery::definition::{Target, TargetItem};
use serde_json::json;

use super::super::{form::Form, segment_form, segments, texts};

/// What an element can be, in the order of the choice.
pub const KINDS: [&str; 7] = ["list", "segment", "service", "recipients_of", "recipient", "file", "filter"];
/// The two sides of a target.
pub const SIDES: [&str; 2] = ["include", "exclude"];

/// A line of the form.
pub struct Row {
    /// Its place; `remove:N` names it.
    pub index: usize,
    /// `include` or `exclude`.
    pub side: &'static str,
    /// One of [`KINDS`].
    pub kind: &'static str,
    /// What people call it.
    pub name: String,
    /// The element, as JSON.
    pub item: String,
    /// Everybody outside it.
    pub not: bool,
    /// Of another delivery's recipients: what they did.
    pub who: String,
    /// Of a file: its rows become recipients.
    pub import: bool,
    /// Recipients that it takes by itself, when they were counted.
    pub count: Option<i64>,
    /// The first of them.
    pub first: Vec<String>,
    /// Why they could not be counted.
    pub problem: String,
}

impl Row {
    fn of(index: usize, side: &'static str, item: &TargetItem) -> Row {
        let (kind, name) = named(item);
        Row {
            index,
            side,
            kind,
            name,
            item: serde_json::to_string(item).unwrap_or_default(),
            not: item.not == Some(true),
            who: item.who.clone().unwrap_or_else(|| "all".to_owned()),
            import: item.import != Some(false),
            count: None,
            first: Vec::new(),
            problem: String::new(),
        }
    }
}

/// The kind of an element, and what people call it.
pub fn named(item: &TargetItem) -> (&'static str, String) {
    let kinds = [
        ("list", &item.list),
        ("segment", &item.segment),
        ("service", &item.service),
        ("recipients_of", &item.recipients_of),
        ("recipient", &item.recipient),
        ("file", &item.file),
    ];
    match kinds.into_iter().find_map(|(kind, name)| Some((kind, name.clone()?))) {
        Some(found) => found,
        None => ("filter", item.filter.as_ref().map(segments::summary).unwrap_or_default()),
    }
}

/// The lines of a target: what is included, then what is excluded.
pub fn rows(target: &Target) -> Vec<Row> {
    let include = target.include.iter().map(|item| ("include", item));
    let exclude = target.exclude.iter().map(|item| ("exclude", item));
    include.chain(exclude).enumerate().map(|(index, (side, item))| Row::of(index, side, item)).collect()
}

/// Puts the elements that a form sent into a target: its lines, without the one that a button removes, and the new one.
///
/// # Errors
/// A new element that is not complete, in words.
pub fn apply(target: &mut Target, form: &Form) -> Result<(), String> {
    let removed = form.get("do").strip_prefix("remove:").and_then(|index| index.parse::<usize>().ok());
    target.include.clear();
    target.exclude.clear();
    let sent = |name| form.all(name).into_iter().map(str::to_owned).collect::<Vec<String>>();
    let (sides, outside, who, import) = (sent("side"), sent("outside"), sent("who"), sent("import"));
    for (index, text) in form.all("item").into_iter().enumerate() {
        let Ok(mut item) = serde_json::from_str::<TargetItem>(text) else { continue };
        if removed == Some(index) {
            continue;
        }
        let of = |all: &[String]| all.get(index).cloned().unwrap_or_default();
        item.not = (of(&outside) == "out").then_some(true);
        if item.recipients_of.is_some() {
            item.who = Some(of(&who)).filter(|who| who != "all" && !who.is_empty());
        }
        if item.file.is_some() {
            item.import = Some(of(&import) != "no");
        }
        side(target, &of(&sides)).push(item);
    }
    if let Some(item) = added(form)? {
        side(target, form.get("new_side")).push(item);
    }
    Ok(())
}

fn side<'a>(target: &'a mut Target, name: &str) -> &'a mut Vec<TargetItem> {
    if name == "exclude" { &mut target.exclude } else { &mut target.include }
}

/// The element that the form's last line describes. A name that was filled in counts whatever button was pressed; with
/// *Add* a missing one is refused.
fn added(form: &Form) -> Result<Option<TargetItem>, String> {
    let kind = form.get("new_kind");
    let said = |name: &str| Some(form.get(name).to_owned()).filter(|text| !text.is_empty());
    let mut item = TargetItem::default();
    let complete = match kind {
        "list" => set(&mut item.list, said("new_list")),
        "segment" => set(&mut item.segment, said("new_segment")),
        "service" => set(&mut item.service, said("new_service")),
        "recipient" => set(&mut item.recipient, said("new_recipient")),
        "recipients_of" => {
            item.who = said("new_who").filter(|who| who != "all");
            set(&mut item.recipients_of, said("new_recipients_of"))
        }
        "file" => {
            item.import = Some(form.get("new_import") != "no");
            set(&mut item.file, said("new_file"))
        }
        "filter" => set(&mut item.filter, condition(form)),
        _ => false,
    };
    if complete {
        item.not = (form.get("new_outside") == "out").then_some(true);
        return Ok(Some(item));
    }
    if form.get("do") == "add" { Err(texts::pick("target-add-missing", kind)) } else { Ok(None) }
}

fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    *place = value;
    place.is_some()
}

/// One condition; more of them are a segment's business.
fn condition(form: &Form) -> Option<serde_json::Value> {
    let op = form.get("new_op");
    let needs_value = !matches!(op, "is_empty" | "is_set");
    if form.get("new_field").is_empty() || (needs_value && form.get("new_value").is_empty()) {
        return None;
    }
    let line = |depth, kind: &str, field: &str, op: &str, value: &str| segment_form::Line {
        depth,
        kind: kind.to_owned(),
        field: field.to_owned(),
        op: op.to_owned(),
        value: value.to_owned(),
        ..segment_form::Line::default()
    };
    let lines =
        [line(0, "group", "and", "", ""), line(1, "cond", form.get("new_field"), op, form.get("new_value"))];
    let group = segment_form::filter_of(&lines);
    group["and"].get(0).cloned().or(Some(json!({"and": []})))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(target: &Target) -> Vec<(&'static str, String)> {
        let mut fields = Vec::new();
        for row in rows(target) {
            fields.push(("item", row.item));
            fields.push(("side", row.side.to_owned()));
            fields.push(("outside", if row.not { "out" } else { "in" }.to_owned()));
            fields.push(("who", row.who));
            fields.push(("import", if row.import { "yes" } else { "no" }.to_owned()));
        }
        fields
    }

    fn form(fields: &[(&'static str, String)]) -> Form {
        Form::of(&fields.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>())
    }

    fn target() -> Target {
        let filter = json!({"or": [{"in_list": "a"}, {"field": "city", "op": "is_set"}]});
        Target {
            include: vec![
                TargetItem::list("newsletter"),
                TargetItem { service: Some("weekly".into()), not: Some(true), ..TargetItem::default() },
                TargetItem { filter: Some(filter), ..TargetItem::default() },
                TargetItem { file: Some("extra.csv".into()), import: Some(false), ..TargetItem::default() },
            ],
            exclude: vec![TargetItem {
                recipients_of: Some("September".into()),
                who: Some("clicked".into()),
                ..TargetItem::default()
            }],
            ..Target::default()
        }
    }

    #[test]
    fn a_target_comes_back_as_it_was() {
        let mut read = Target::default();
        apply(&mut read, &form(&sent(&target()))).unwrap();
        assert_eq!(read, target());
    }

    #[test]
    fn a_line_is_removed_and_one_is_added() {
        let mut fields = sent(&target());
        fields.push(("do", "remove:1".to_owned()));
        let mut read = Target::default();
        apply(&mut read, &form(&fields)).unwrap();
        assert_eq!(read.include.len(), 3);
        assert!(read.include.iter().all(|item| item.service.is_none()));

        let mut fields = sent(&target());
        for (name, value) in [
            ("new_side", "exclude"),
            ("new_outside", "out"),
            ("new_kind", "filter"),
            ("new_field", "country"),
            ("new_op", "eq"),
            ("new_value", "JP"),
        ] {
            fields.push((name, value.to_owned()));
        }
        apply(&mut read, &form(&fields)).unwrap();
        let added = read.exclude.last().unwrap();
        assert_eq!(added.filter, Some(json!({"field": "country", "op": "eq", "value": "JP"})));
        assert_eq!(added.not, Some(true));
    }

    #[test]
    fn add_without_a_name_is_refused_and_save_is_not() {
        for kind in KINDS {
            let asked = |action: &'static str| Form::of(&[("new_kind", kind), ("do", action)]);
            let mut read = Target::default();
            assert!(apply(&mut read, &asked("save")).is_ok(), "{kind}");
            assert!(read.include.is_empty());
            let why = apply(&mut read, &asked("add")).unwrap_err();
            assert!(why.ends_with('.'), "{kind}: {why}");
        }
    }
}
