//! A typology as the rules see it: which run, in what order, and how serious they are.
//!
//! Two are shipped: `default`, in which receivers' demands are warnings, and `bulk`, which makes errors of them when the
//! target holds enough addresses of a receiver that refuses such mail. A typology of a user's is one of the two, changed
//! rule by rule, with rules of their own.

use serde::{Deserialize, Serialize};

use crate::custom::{CustomRule, in_scope};
use crate::rules::{Phase, Rule, all};
use crate::{Facts, Finding, Level, Nature, Receiver};

/// Messages to one receiver from which its demands on bulk senders hold. Gmail writes "close to 5,000" a day and
/// Microsoft 5,000; Yahoo gives no number.
pub const BULK_MESSAGES: i64 = 5_000;

/// What to do about a fact that could not be had.
const UNKNOWN_HINT: &str = "Analyse again in a while; nothing is known to be wrong.";

/// Names of the shipped typologies.
pub const SHIPPED: [&str; 2] = ["default", "bulk"];

/// Time in which something is in effect: from `from_us` until before `until_us`, µs UTC; absent: no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Span {
    /// First moment.
    pub from_us: Option<i64>,
    /// First moment after.
    pub until_us: Option<i64>,
}

impl Span {
    /// Is `at_us` within?
    pub fn contains(&self, at_us: i64) -> bool {
        self.from_us.is_none_or(|from| from <= at_us) && self.until_us.is_none_or(|until| at_us < until)
    }
}

/// How serious receivers' demands are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// Warnings.
    #[default]
    Default,
    /// Errors, from [`BULK_MESSAGES`] to that receiver on.
    Bulk,
}

/// What a typology changes about one shipped rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Name of the shipped rule.
    pub rule: String,
    /// It runs.
    #[serde(default = "yes")]
    pub active: bool,
    /// Level of the rule's most serious findings; the milder ones are at most that serious. Absent: the rule's own.
    #[serde(default)]
    pub level: Option<Level>,
    /// Order in its phase; absent: the rule's own.
    #[serde(default)]
    pub order: Option<u32>,
    /// Deliveries that the rule runs for: an expression over the facts; empty: all.
    #[serde(default)]
    pub scope: String,
    /// When the choice is in effect; outside, the rule is as shipped.
    #[serde(default)]
    pub effective: Span,
}

fn yes() -> bool {
    true
}

/// The control rules of a typology.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// The shipped typology that it begins with.
    pub base: Base,
    /// Changes to shipped rules.
    pub choices: Vec<Choice>,
    /// Rules of one's own.
    pub custom: Vec<CustomRule>,
}

impl Selection {
    /// A shipped typology, by name.
    pub fn shipped(name: &str) -> Option<Selection> {
        let base = match name {
            "default" => Base::Default,
            "bulk" => Base::Bulk,
            _ => return None,
        };
        Some(Selection { base, ..Selection::default() })
    }

    /// Refuses choices about rules that do not exist, rules that take a shipped rule's name or each other's, and rules
    /// that cannot be read or that loop.
    ///
    /// # Errors
    /// What is wrong, in words for the one who wrote it.
    pub fn check(&self) -> Result<(), String> {
        for choice in &self.choices {
            if !all().iter().any(|rule| rule.name == choice.rule) {
                return Err(format!("there is no shipped rule {:?}", choice.rule));
            }
            if !choice.scope.trim().is_empty() {
                crate::Expression::parse(&choice.scope)
                    .map_err(|error| format!("rule {:?}: scope: {error}", choice.rule))?;
            }
        }
        let mut names: Vec<&str> = all().iter().map(|rule| rule.name).collect();
        for rule in &self.custom {
            if rule.name.trim().is_empty() {
                return Err("a rule has no name".to_owned());
            }
            if names.contains(&rule.name.as_str()) {
                return Err(format!("there are two rules {:?}", rule.name));
            }
            names.push(&rule.name);
            rule.check().map_err(|(field, error)| format!("rule {:?}: {field}: {error}", rule.name))?;
        }
        Ok(())
    }

    fn choice(&self, rule: &str, now_us: i64) -> Option<&Choice> {
        self.choices.iter().find(|choice| choice.rule == rule && choice.effective.contains(now_us))
    }
}

/// One rule of a selection, to be run.
enum Chosen<'a> {
    Shipped(&'static Rule, Option<&'a Choice>),
    Custom(&'a CustomRule),
}

impl Chosen<'_> {
    fn place(&self) -> (u32, &str) {
        match self {
            Chosen::Shipped(rule, choice) => {
                (choice.and_then(|choice| choice.order).unwrap_or(rule.order), rule.name)
            }
            Chosen::Custom(rule) => (rule.order, &rule.name),
        }
    }
}

/// Runs the rules of one phase, by order and name. `now_us` decides which are in effect.
pub fn run(phase: Phase, facts: &Facts, selection: &Selection, now_us: i64) -> Vec<Finding> {
    let shipped = all().into_iter().filter(|rule| rule.phase == phase);
    let mut chosen: Vec<Chosen<'_>> = shipped
        .map(|rule| Chosen::Shipped(rule, selection.choice(rule.name, now_us)))
        .filter(|chosen| !matches!(chosen, Chosen::Shipped(_, Some(choice)) if !choice.active))
        .collect();
    let custom = selection.custom.iter();
    chosen.extend(
        custom.filter(|rule| rule.phase == phase && rule.effective.contains(now_us)).map(Chosen::Custom),
    );
    chosen.sort_by(|a, b| a.place().cmp(&b.place()));
    let mut findings = Vec::new();
    for one in chosen {
        match one {
            Chosen::Custom(rule) => findings.extend(rule.run(facts)),
            Chosen::Shipped(rule, choice) => {
                findings.extend(shipped_findings(rule, choice, facts, selection))
            }
        }
    }
    findings
}

fn shipped_findings(
    rule: &Rule,
    choice: Option<&Choice>,
    facts: &Facts,
    selection: &Selection,
) -> Vec<Finding> {
    match choice.map_or(Ok(true), |choice| in_scope(&choice.scope, facts)) {
        Ok(true) => {}
        Ok(false) => return Vec::new(),
        Err(error) => {
            let text = format!("whether the rule {:?} is for this delivery: {error}", rule.name);
            return vec![Finding::unknown(rule.name, text)];
        }
    }
    let mut findings = (rule.check)(facts);
    for finding in &mut findings {
        if selection.base == Base::Bulk {
            raise(finding, facts);
        }
        if let Some(level) = choice.and_then(|choice| choice.level) {
            finding.level = leveled(finding, rule, level);
        }
        if finding.hint.is_none() {
            let hint = if finding.nature == Nature::Unknown { UNKNOWN_HINT } else { rule.hint };
            finding.hint = Some(hint.to_owned());
        }
    }
    findings
}

/// The level that a typology gives a rule is its most serious findings'; what is not known stays a warning.
fn leveled(finding: &Finding, rule: &Rule, level: Level) -> Level {
    match finding.nature {
        Nature::Unknown => finding.level.min(level),
        _ if finding.level >= rule.level => level,
        _ => finding.level.min(level),
    }
}

/// What a receiver refuses is an error, once the target holds enough of its addresses.
fn raise(finding: &mut Finding, facts: &Facts) {
    let Nature::RefusedBy(receivers) = finding.nature else { return };
    let refusing: Vec<(Receiver, i64)> = receivers
        .iter()
        .map(|receiver| (*receiver, messages_to(*receiver, facts)))
        .filter(|(_, messages)| *messages >= BULK_MESSAGES)
        .collect();
    if refusing.is_empty() {
        return;
    }
    finding.level = Level::Error;
    let named: Vec<String> = refusing
        .iter()
        .map(|(receiver, messages)| format!("{} ({messages} messages)", receiver.label()))
        .collect();
    finding.text = format!("{}; refused by {}", finding.text, named.join(", "));
}

fn messages_to(receiver: Receiver, facts: &Facts) -> i64 {
    let of = facts.providers.iter().filter(|fact| fact.provider == receiver.provider());
    of.map(|fact| fact.messages).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    fn bulk() -> Selection {
        Selection::shipped("bulk").unwrap()
    }

    fn broken(name: &str) -> Facts {
        let mut facts = example();
        let rules = all();
        (rules.iter().find(|rule| rule.name == name).unwrap().breaks)(&mut facts);
        facts
    }

    fn levels(phase: Phase, facts: &Facts, selection: &Selection) -> Vec<(String, Level)> {
        run(phase, facts, selection, 0).into_iter().map(|finding| (finding.rule, finding.level)).collect()
    }

    fn choice(rule: &str) -> Choice {
        Choice {
            rule: rule.into(),
            active: true,
            level: None,
            order: None,
            scope: String::new(),
            effective: Span::default(),
        }
    }

    const AFTER: Phase = Phase::AfterTargeting;

    #[test]
    fn the_example_passes_both_shipped_typologies() {
        for name in SHIPPED {
            let selection = Selection::shipped(name).unwrap();
            for phase in Phase::ALL {
                assert_eq!(run(phase, &example(), &selection, 0), [], "{name}");
            }
        }
        assert_eq!(Selection::shipped("other"), None);
    }

    #[test]
    fn bulk_makes_errors_of_what_receivers_refuse() {
        let facts = broken("spf");
        assert_eq!(levels(AFTER, &facts, &Selection::default()), [("spf".to_owned(), Level::Warning)]);
        let found = run(AFTER, &facts, &bulk(), 0);
        assert_eq!(found[0].level, Level::Error);
        // 9,800 and 5,100 messages; Yahoo's 2,300 are below the line.
        assert!(
            found[0].text.ends_with("refused by Gmail (9800 messages), Microsoft (5100 messages)"),
            "{}",
            found[0].text
        );
        assert!(found[0].hint.is_some());
        let mut few = facts;
        few.providers.iter_mut().for_each(|fact| fact.messages = BULK_MESSAGES - 1);
        assert_eq!(levels(AFTER, &few, &bulk()), [("spf".to_owned(), Level::Warning)]);
    }

    #[test]
    fn what_is_not_known_stays_a_warning() {
        let mut facts = example();
        if let Some(found) = &mut facts.lookups.authentication {
            found.spf = crate::CheckFact::default();
        }
        let strict =
            Selection { choices: vec![Choice { level: Some(Level::Error), ..choice("spf") }], ..bulk() };
        assert_eq!(levels(AFTER, &facts, &strict), [("spf".to_owned(), Level::Warning)]);
    }

    #[test]
    fn a_choice_changes_level_order_scope_and_dates() {
        let facts = broken("unsubscription_link");
        let with = |choice: Choice| {
            let selection = Selection { choices: vec![choice], ..Selection::default() };
            levels(Phase::StartOfPersonalisation, &facts, &selection)
        };
        let name = || "unsubscription_link".to_owned();
        assert_eq!(with(choice("unsubscription_link")), [(name(), Level::Warning)]);
        let error = Choice { level: Some(Level::Error), ..choice("unsubscription_link") };
        assert_eq!(with(error.clone()), [(name(), Level::Error)]);
        assert_eq!(with(Choice { active: false, ..error.clone() }), []);
        assert_eq!(with(Choice { scope: "delivery.code == 'x'".into(), ..error.clone() }), []);
        let later = Span { from_us: Some(1), until_us: None };
        assert_eq!(with(Choice { effective: later, ..error }), [(name(), Level::Warning)]);
        let milder = Choice { level: Some(Level::Info), ..choice("unsubscription_link") };
        assert_eq!(with(milder), [(name(), Level::Info)]);
    }

    #[test]
    fn rules_of_ones_own_run_in_their_place() {
        let mut facts = broken("target_empty");
        facts.sender.domain_known = Some(false);
        let own = CustomRule {
            name: "own".into(),
            phase: AFTER,
            order: 15,
            level: Level::Info,
            condition: "messages > 0".into(),
            message: "nobody".into(),
            hint: String::new(),
            scope: String::new(),
            effective: Span::default(),
        };
        let selection = Selection {
            custom: vec![own.clone()],
            choices: vec![Choice { order: Some(1), ..choice("sender_domain") }],
            ..Selection::default()
        };
        assert_eq!(selection.check(), Ok(()));
        let names: Vec<String> = run(AFTER, &facts, &selection, 0).into_iter().map(|f| f.rule).collect();
        assert_eq!(names, ["sender_domain", "target_empty", "own"]);
        let gone = Selection {
            custom: vec![CustomRule { effective: Span { from_us: None, until_us: Some(5) }, ..own.clone() }],
            ..Selection::default()
        };
        assert_eq!(run(AFTER, &example(), &gone, 5), []);
        let double =
            Selection { custom: vec![CustomRule { name: "spf".into(), ..own }], ..Selection::default() };
        assert!(double.check().unwrap_err().contains("two rules"));
        let unknown = Selection { choices: vec![choice("spff")], ..Selection::default() };
        assert!(unknown.check().unwrap_err().contains("no shipped rule"));
    }

    #[test]
    fn a_selection_is_kept_as_json() {
        let selection = Selection { choices: vec![choice("spf")], ..bulk() };
        let json = serde_json::to_string(&selection).unwrap();
        assert_eq!(serde_json::from_str::<Selection>(&json).unwrap(), selection);
        let facts = serde_json::to_string(&example()).unwrap();
        assert_eq!(serde_json::from_str::<Facts>(&facts).unwrap(), example());
        assert_eq!(serde_json::from_str::<Facts>("{}").unwrap(), Facts::default());
    }
}
