//! What a typology or a rule may say; each refusal names the key.

use typology::Phase;

use super::force::custom_rule;
use super::{
    CapacityRule, ControlRule, DESCRIPTION_LEN_MAX, NAME_LEN_MAX, NewRule, NewTypology, ORDER_MAX,
    PressureRule, RuleDefinition, WEIGHT_MAX, Whom,
};
use crate::folder::Refusal;
use crate::{capacity, pressure};

/// Largest limit of a pressure rule, and quantity of a capacity line.
const NUMBER_MAX: i64 = 1_000_000_000;
/// Segments with a limit of their own.
const LIMITS_MAX: usize = 20;

type Checked = Result<(), Refusal>;

pub(super) fn typology(new: &NewTypology) -> Checked {
    name(&new.name)?;
    long("description", &new.description)?;
    one_of("base", &new.base, &["default", "bulk"])?;
    if !new.pool.is_empty() && !routes::is_pool_name(&new.pool) {
        return Err(Refusal::new("pool", crate::pools::NAME_RULE));
    }
    within("weight", new.weight, 1, WEIGHT_MAX)
}

pub(super) fn rule(new: &NewRule) -> Checked {
    name(&new.name)?;
    long("description", &new.description)?;
    within("order", new.order, 0, ORDER_MAX)?;
    if !matches!(new.definition, RuleDefinition::Control(_)) {
        expression("scope", &new.scope)?;
    }
    if let (Some(from), Some(until)) = (new.from_us, new.until_us)
        && from >= until
    {
        return Err(Refusal::new("until", "is not after the start of the rule's validity"));
    }
    match &new.definition {
        RuleDefinition::Control(control) => check_control(new, control),
        RuleDefinition::Filtering(whom) => filtering(whom),
        RuleDefinition::Pressure(pressure) => check_pressure(pressure),
        RuleDefinition::Capacity(capacity) => check_capacity(capacity),
    }
}

fn check_control(new: &NewRule, control: &ControlRule) -> Checked {
    match (control.native.is_empty(), control.condition.trim().is_empty()) {
        (false, true) => {
            if !typology::all().iter().any(|rule| rule.name == control.native) {
                let text = format!("names {:?}, which is no shipped rule", control.native);
                return Err(Refusal::new("definition.native", text));
            }
            match new.scope.trim() {
                "" => Ok(()),
                scope => typology::Expression::parse(scope)
                    .map(drop)
                    .map_err(|problem| Refusal::new("scope", problem.to_string())),
            }
        }
        (true, false) => {
            if control.message.trim().is_empty() {
                let text = "is missing: say what is wrong when the condition does not hold";
                return Err(Refusal::new("definition.message", text));
            }
            long("definition.hint", &control.hint)?;
            if typology::all().iter().any(|rule| rule.name == new.name.trim()) {
                return Err(Refusal::new("name", "is that of a shipped rule"));
            }
            custom_rule(new, control)
                .check()
                .map_err(|(field, problem)| Refusal::new(&format!("definition.{field}"), problem.to_string()))
        }
        _ => Err(Refusal::new("definition", "has not exactly one of native, condition")),
    }
}

fn filtering(whom: &Whom) -> Checked {
    match (&whom.segment, &whom.filter) {
        (Some(_), None) | (None, Some(_)) => Ok(()),
        _ => Err(Refusal::new("definition", "has not exactly one of segment, filter")),
    }
}

fn check_pressure(rule: &PressureRule) -> Checked {
    within("definition.limit", rule.limit, 0, NUMBER_MAX)?;
    if rule.limits.len() > LIMITS_MAX {
        return Err(Refusal::new("definition.limits", format!("has more than {LIMITS_MAX} elements")));
    }
    for limit in &rule.limits {
        within("definition.limits", limit.limit, 0, NUMBER_MAX)?;
        filtering(&limit.whom()).map_err(|_| {
            Refusal::new("definition.limits", "has an element with not exactly one of segment, filter")
        })?;
    }
    one_of("definition.measure", &rule.measure, &["messages", "weight"])?;
    expression("definition.deliveries", &rule.deliveries)?;
    pressure::Window::check(rule)
}

fn check_capacity(rule: &CapacityRule) -> Checked {
    one_of("definition.keep", &rule.keep, &["random", "first"])?;
    if (rule.keep == "first") == rule.sort.is_empty() {
        return Err(Refusal::new("definition.sort", "is needed with keep = first, and with that alone"));
    }
    for line in &rule.lines {
        within("definition.lines", line.quantity, 0, NUMBER_MAX)?;
    }
    capacity::Lines::of(rule).map(drop)
}

fn name(name: &str) -> Checked {
    let name = name.trim();
    if name.is_empty() {
        return Err(Refusal::new("name", "is missing"));
    }
    if name.chars().count() > NAME_LEN_MAX || name.chars().any(char::is_control) {
        return Err(Refusal::new(
            "name",
            format!("is longer than {NAME_LEN_MAX} characters, or has a line break"),
        ));
    }
    Ok(())
}

fn long(field: &str, text: &str) -> Checked {
    match text.chars().count() > DESCRIPTION_LEN_MAX {
        true => Err(Refusal::new(field, format!("is longer than {DESCRIPTION_LEN_MAX} characters"))),
        false => Ok(()),
    }
}

fn within(field: &str, value: i64, least: i64, most: i64) -> Checked {
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(Refusal::new(field, format!("is not between {least} and {most}"))),
    }
}

fn one_of(field: &str, value: &str, words: &[&str]) -> Checked {
    match words.contains(&value) {
        true => Ok(()),
        false => Err(Refusal::new(field, format!("is none of {}", words.join(", ")))),
    }
}

/// An expression over what is known before the target is computed.
fn expression(field: &str, text: &str) -> Checked {
    if text.trim().is_empty() {
        return Ok(());
    }
    let parsed =
        typology::Expression::parse(text).map_err(|problem| Refusal::new(field, problem.to_string()))?;
    match parsed.known_from() {
        Phase::StartOfTargeting => Ok(()),
        _ => Err(Refusal::new(field, "names a fact that is not known yet when the target is computed")),
    }
}
