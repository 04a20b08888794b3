//! What a target may say.

use super::one_of;
use crate::definition::{ControlGroup, Definition, TargetItem};
use crate::exclusions::control_size;
use crate::folder::Refusal;
use crate::target::WHO;
use crate::typologies::{NAME_LEN_MAX, WEIGHT_MAX};

/// Most elements that a target may include or exclude: the SQL stays readable, and bound.
pub const TARGET_ITEMS_MAX: usize = 100;

pub(super) fn check(definition: &Definition) -> Result<(), Refusal> {
    let target = &definition.target;
    for (field, items) in [("target.include", &target.include), ("target.exclude", &target.exclude)] {
        if items.len() > TARGET_ITEMS_MAX {
            return Err(Refusal::new(field, format!("has more than {TARGET_ITEMS_MAX} elements")));
        }
        for item in items {
            check_item(item, field)?;
        }
    }
    if target.keep_same_recipient && target.exclude_duplicates {
        return Err(Refusal::new("target.keep_same_recipient", "needs exclude_duplicates = false"));
    }
    check_control_group(&target.control_group)?;
    check_validation(definition)
}

fn check_item(item: &TargetItem, field: &str) -> Result<(), Refusal> {
    let set = [
        item.list.is_some(),
        item.segment.is_some(),
        item.filter.is_some(),
        item.recipient.is_some(),
        item.service.is_some(),
        item.recipients_of.is_some(),
        item.file.is_some(),
    ];
    if set.iter().filter(|set| **set).count() != 1 {
        return Err(Refusal::new(
            field,
            "has an element that names not exactly one of list, segment, filter, service, recipients_of, recipient, file",
        ));
    }
    match (&item.who, item.recipients_of.is_some()) {
        (Some(_), false) => {
            return Err(Refusal::new(field, "has an element with `who`, which goes with `recipients_of`"));
        }
        (Some(who), true) => one_of(field, who, &WHO)?,
        (None, _) => {}
    }
    match (item.import, &item.file) {
        (Some(_), None) => Err(Refusal::new(field, "has an element with `import`, which goes with `file`")),
        (Some(false), Some(_)) if field == "target.exclude" || item.not == Some(true) => {
            let text = "has a file that is not imported and yet leaves somebody out; set import = true";
            Err(Refusal::new(field, text))
        }
        (_, Some(file)) => super::file_name(field, file),
        _ => Ok(()),
    }
}

fn check_control_group(group: &ControlGroup) -> Result<(), Refusal> {
    const FIELD: &str = "target.control_group";
    let size = control_size(group)?;
    one_of(FIELD, &group.method, &["random", "first"])?;
    if !group.list.is_empty() && !size.is_zero() {
        return Err(Refusal::new(
            FIELD,
            "has a list and a size; a list's members are the group, whatever their number",
        ));
    }
    if (group.method == "first") == group.sort.trim_start_matches('-').is_empty() {
        return Err(Refusal::new(
            FIELD,
            "needs `sort`, the field that is sorted by, with method = \"first\" and with that alone",
        ));
    }
    Ok(())
}

fn check_validation(definition: &Definition) -> Result<(), Refusal> {
    let validation = &definition.validation;
    let name = validation.typology.trim();
    if name.is_empty() || name.chars().count() > NAME_LEN_MAX {
        return Err(Refusal::new("validation.typology", "names no typology"));
    }
    match validation.weight {
        Some(weight) if !(1..=WEIGHT_MAX).contains(&i64::from(weight)) => {
            Err(Refusal::new("validation.weight", format!("is not between 1 and {WEIGHT_MAX}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Target;

    fn refused(change: impl FnOnce(&mut Target)) -> String {
        let mut definition = Definition::new("October");
        change(&mut definition.target);
        definition.check().unwrap_err().to_string()
    }

    fn item(change: impl FnOnce(&mut TargetItem)) -> TargetItem {
        let mut item = TargetItem::default();
        change(&mut item);
        item
    }

    #[test]
    fn an_element_names_one_source() {
        assert!(refused(|t| t.include.push(TargetItem::default())).contains("not exactly one"));
        let two = item(|i| (i.list, i.service) = (Some("a".into()), Some("b".into())));
        assert!(refused(|t| t.include.push(two)).contains("not exactly one"));
        let who = item(|i| (i.list, i.who) = (Some("a".into()), Some("clicked".into())));
        assert!(refused(|t| t.include.push(who)).contains("recipients_of"));
        let slept = item(|i| (i.recipients_of, i.who) = (Some("a".into()), Some("slept".into())));
        assert!(refused(|t| t.exclude.push(slept)).contains("not_clicked"));
        let file = item(|i| (i.file, i.import) = (Some("x.csv".into()), Some(false)));
        assert!(refused(|t| t.exclude.push(file)).contains("import = true"));
        let away = item(|i| i.file = Some("../x.csv".into()));
        assert!(refused(|t| t.include.push(away)).contains("no file name"));
    }

    #[test]
    fn a_control_group_is_at_most_everybody_and_says_how() {
        assert!(refused(|t| t.control_group.size = "101%".into()).contains("up to 100%"));
        assert!(refused(|t| t.control_group.size = "some".into()).contains("percentage"));
        assert!(refused(|t| t.control_group.method = "first".into()).contains("sort"));
        assert!(refused(|t| t.control_group.sort = "city".into()).contains("sort"));
        let both = |t: &mut Target| (t.control_group.list, t.control_group.size) = ("a".into(), "5%".into());
        assert!(refused(both).contains("list and a size"));
    }

    #[test]
    fn several_messages_for_one_recipient_need_duplicates() {
        assert!(refused(|t| t.keep_same_recipient = true).contains("exclude_duplicates"));
    }
}
