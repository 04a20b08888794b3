//! The rules that are in force for one delivery.

use typology::{Base, Choice, CustomRule, DeliveryFact, Facts, Level, Phase, Selection, SenderFact, Span};

use super::{
    CapacityRule, ControlRule, NewRule, ORDER_DEFAULT, PressureRule, RuleDefinition, Typology, TypologyRule,
    Whom,
};
use super::{by_name, rows};
use crate::Deliveries;
use crate::definition::Definition;
use crate::folder::Refusal;
use crate::types::{Error, Result};

/// A rule's number and name with what it does.
#[derive(Debug, Clone)]
pub(crate) struct Named<T> {
    pub id: i64,
    pub name: String,
    pub rule: T,
}

/// The rules in force that decide who is in the target, each kind in its order.
#[derive(Debug, Clone, Default)]
pub(crate) struct InForce {
    /// Weight of the delivery in pressure rules.
    pub weight: i64,
    pub filtering: Vec<Named<Whom>>,
    pub pressure: Vec<Named<PressureRule>>,
    pub capacity: Vec<Named<CapacityRule>>,
}

impl Deliveries {
    /// The rules of a delivery's typology that are in force when its sending starts at `start_us`. `facts` decide on scopes.
    pub(crate) async fn in_force(
        &self,
        definition: &Definition,
        facts: &Facts,
        start_us: i64,
    ) -> Result<InForce> {
        let (typology, rules) = self.typology_of(definition).await?;
        let mut force = InForce { weight: weight_of(definition, &typology), ..InForce::default() };
        for TypologyRule { id, rule, .. } in rules {
            let dates = Span { from_us: rule.from_us, until_us: rule.until_us };
            if matches!(rule.definition, RuleDefinition::Control(_))
                || !rule.active
                || !dates.contains(start_us)
            {
                continue;
            }
            let fits = typology::in_scope(&rule.scope, facts);
            if !fits.map_err(|problem| unscoped(&rule.name, &problem))? {
                continue;
            }
            let name = rule.name;
            match rule.definition {
                RuleDefinition::Control(_) => {}
                RuleDefinition::Filtering(rule) => force.filtering.push(Named { id, name, rule }),
                RuleDefinition::Pressure(rule) => force.pressure.push(Named { id, name, rule }),
                RuleDefinition::Capacity(rule) => force.capacity.push(Named { id, name, rule }),
            }
        }
        Ok(force)
    }

    /// The control rules of a delivery's typology.
    pub(crate) async fn selection_of(&self, definition: &Definition) -> Result<Selection> {
        let (typology, rules) = self.typology_of(definition).await?;
        let mut selection = Selection {
            base: if typology.base == "bulk" { Base::Bulk } else { Base::Default },
            ..Selection::default()
        };
        for TypologyRule { rule, .. } in &rules {
            match &rule.definition {
                RuleDefinition::Control(control) if rule.active && control.native.is_empty() => {
                    selection.custom.push(custom_rule(rule, control));
                }
                RuleDefinition::Control(control) if rule.active => {
                    selection.choices.push(choice(rule, control))
                }
                _ => {}
            }
        }
        Ok(selection)
    }

    async fn typology_of(&self, definition: &Definition) -> Result<(Typology, Vec<TypologyRule>)> {
        let name = definition.validation.typology.trim().to_owned();
        self.store
            .read(move |tx| {
                let typology = by_name(tx, &name)?;
                let rules = rows::rules(tx, Some(typology.id), None)?;
                Ok::<_, Error>((typology, rules))
            })
            .await
    }
}

impl InForce {
    /// The name of a rule in force.
    pub fn name_of(&self, id: i64) -> Option<&str> {
        let filtering = self.filtering.iter().map(|rule| (rule.id, &rule.name));
        let pressure = self.pressure.iter().map(|rule| (rule.id, &rule.name));
        let capacity = self.capacity.iter().map(|rule| (rule.id, &rule.name));
        let found = filtering.chain(pressure).chain(capacity).find(|(rule, _)| *rule == id);
        found.map(|(_, name)| name.as_str())
    }
}

fn unscoped(name: &str, problem: &typology::ExpressionError) -> Error {
    Refusal::new("validation.typology", format!("has the rule {name:?}, whose scope is wrong: {problem}"))
        .into()
}

fn weight_of(definition: &Definition, typology: &Typology) -> i64 {
    definition.validation.weight.map_or(typology.weight, i64::from)
}

fn choice(rule: &NewRule, control: &ControlRule) -> Choice {
    Choice {
        rule: control.native.clone(),
        active: !control.off,
        level: control.level,
        // A shipped rule stands where it stands unless the place was chosen.
        order: u32::try_from(rule.order).ok().filter(|_| rule.order != ORDER_DEFAULT),
        scope: rule.scope.clone(),
        effective: Span { from_us: rule.from_us, until_us: rule.until_us },
    }
}

/// A rule of one's own in the form that the room `typology` runs.
pub(super) fn custom_rule(rule: &NewRule, control: &ControlRule) -> CustomRule {
    CustomRule {
        name: rule.name.trim().to_owned(),
        phase: control.phase.unwrap_or(Phase::AfterTargeting),
        order: u32::try_from(rule.order).unwrap_or_default(),
        level: control.level.unwrap_or(Level::Warning),
        condition: control.condition.clone(),
        message: control.message.clone(),
        hint: control.hint.clone(),
        scope: rule.scope.clone(),
        effective: Span { from_us: rule.from_us, until_us: rule.until_us },
    }
}

/// What is known of a delivery from its definition alone: for rules that ask which others count.
pub(crate) fn facts_of(definition: &Definition) -> Facts {
    let (parameters, tracking) = (&definition.parameters, &definition.tracking);
    Facts {
        delivery: DeliveryFact {
            label: definition.label.clone(),
            code: definition.code.clone(),
            template: definition.template.clone(),
            priority: parameters.priority.clone(),
            format: parameters.format.clone(),
            encoding: parameters.encoding.clone(),
            precedence: parameters.precedence.clone(),
            tracks_opens: tracking.opens,
            tracks_clicks: tracking.clicks,
            bcc: parameters.bcc,
            proof: false,
            waves: definition.waves.is_some(),
            ab: definition.ab.is_some(),
            typology: definition.validation.typology.clone(),
        },
        subject: definition.subject.clone(),
        sender: SenderFact {
            name: definition.sender.name.clone(),
            address: definition.sender.address.clone(),
            reply_to: definition.sender.reply_to.clone(),
            error_address: definition.sender.error_address.clone(),
            ..SenderFact::default()
        },
        ..Facts::default()
    }
}
