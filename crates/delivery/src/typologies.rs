//! Typologies: which rules a delivery must pass, beside the control rules that are shipped as code.
//!
//! A typology starts from a shipped set of control rules (`default` or `bulk`) and has rules of its own, which may
//! belong to several typologies. Kinds: *control* (a shipped rule set otherwise, or an expression), *filtering* (a
//! segment is left out), *pressure* (nobody gets more than so much in a time), *capacity* (no more messages than
//! somebody can take).
//!
//! A rule is in force for a delivery when it is active, its typology is the delivery's, the contact date lies within its
//! dates, and its scope, an expression over the facts (`typology::FACTS`), holds. Rules of one kind apply in the order of
//! `order`, then of their names.

mod check;
mod force;
mod rows;

use serde::{Deserialize, Serialize};
use store::{Lane, Tx, binds};

pub(crate) use force::{InForce, Named, facts_of};

use crate::Deliveries;
use crate::folder::Refusal;
use crate::types::{Error, Result};

/// Rules that one typology may have.
pub const RULES_MAX: usize = 200;
/// Longest name of a typology or a rule, in characters.
pub const NAME_LEN_MAX: usize = 200;
/// Longest description, in characters.
pub const DESCRIPTION_LEN_MAX: usize = 2_000;
/// Where a rule stands among those of its kind unless it says otherwise.
pub const ORDER_DEFAULT: i64 = 50;
/// Largest place in the order.
pub const ORDER_MAX: i64 = 1_000;
/// Weight of a delivery in pressure rules unless it or its typology says otherwise.
pub const WEIGHT_DEFAULT: i64 = 5;
/// Heaviest delivery.
pub const WEIGHT_MAX: i64 = 1_000;

/// A set of rules that deliveries name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Typology {
    /// Number.
    pub id: i64,
    /// What `validation.typology` names; unique.
    pub name: String,
    /// For operators.
    pub description: String,
    /// The shipped control rules that it starts from: `default` or `bulk`.
    pub base: String,
    /// Weight of its deliveries in pressure rules, 1 to [`WEIGHT_MAX`].
    pub weight: i64,
    /// The pool of sources of its deliveries that choose none; empty: `default`.
    pub pool: String,
    /// It came with the program: it can be given rules, not another name, and not be deleted.
    pub shipped: bool,
    /// Rules that it has.
    pub rules: i64,
    /// Microseconds UTC.
    pub created_at: i64,
    /// Microseconds UTC.
    pub updated_at: i64,
}

/// What can be written of a typology.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTypology {
    /// Unique name.
    pub name: String,
    /// For operators.
    #[serde(default)]
    pub description: String,
    /// `default` or `bulk`.
    #[serde(default = "default_base")]
    pub base: String,
    /// 1 to [`WEIGHT_MAX`].
    #[serde(default = "default_weight")]
    pub weight: i64,
    /// A pool of sources, which need not have one yet; empty: it names none.
    #[serde(default)]
    pub pool: String,
}

fn default_base() -> String {
    "default".into()
}

fn default_weight() -> i64 {
    WEIGHT_DEFAULT
}

/// A rule that was made here.
#[derive(Debug, Clone, PartialEq)]
pub struct TypologyRule {
    /// Number.
    pub id: i64,
    /// What can be written of it.
    pub rule: NewRule,
    /// Microseconds UTC.
    pub created_at: i64,
    /// Microseconds UTC.
    pub updated_at: i64,
}

/// What can be written of a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRule {
    /// Unique name: the journal and the exclusion report name it.
    pub name: String,
    /// For operators.
    #[serde(default)]
    pub description: String,
    /// Names of the typologies that it belongs to; none: it is kept, and applied to nothing.
    #[serde(default)]
    pub typologies: Vec<String>,
    /// Lower is applied first, 0 to [`ORDER_MAX`].
    #[serde(default = "default_order")]
    pub order: i64,
    /// A rule that is not active is kept, and applied to nothing.
    #[serde(default = "yes")]
    pub active: bool,
    /// Expression over the facts (`delivery.priority == 'low'`); empty: every delivery.
    #[serde(default)]
    pub scope: String,
    /// In force for contact dates from here on (µs); absent: since ever.
    #[serde(default)]
    pub from_us: Option<i64>,
    /// … and before this (µs); absent: for good.
    #[serde(default)]
    pub until_us: Option<i64>,
    /// What it does.
    pub definition: RuleDefinition,
}

fn default_order() -> i64 {
    ORDER_DEFAULT
}

fn yes() -> bool {
    true
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RuleDefinition {
    /// A shipped control rule set otherwise, or an expression of one's own.
    Control(ControlRule),
    /// Who fits is left out, with the reason `rule`.
    Filtering(Whom),
    /// Who had so much already is left out, with the reason `pressure`.
    Pressure(PressureRule),
    /// What is over the capacity is left out, with the reason `capacity`, or warned of.
    Capacity(CapacityRule),
}

/// The kinds of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "see RuleDefinition")]
pub enum RuleKind {
    Control,
    Filtering,
    Pressure,
    Capacity,
}

impl RuleKind {
    /// The name in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            RuleKind::Control => "control",
            RuleKind::Filtering => "filtering",
            RuleKind::Pressure => "pressure",
            RuleKind::Capacity => "capacity",
        }
    }
}

impl RuleDefinition {
    /// Its kind.
    pub fn kind(&self) -> RuleKind {
        match self {
            RuleDefinition::Control(_) => RuleKind::Control,
            RuleDefinition::Filtering(_) => RuleKind::Filtering,
            RuleDefinition::Pressure(_) => RuleKind::Pressure,
            RuleDefinition::Capacity(_) => RuleKind::Capacity,
        }
    }
}

/// Either `native` (a shipped rule, set otherwise) or `condition`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlRule {
    /// Name of a shipped rule that is set otherwise for the typology.
    pub native: String,
    /// With `native`: do not run it.
    pub off: bool,
    /// With `native`: the level of its findings instead of its own. With `condition`: the level of the finding;
    /// absent: warning.
    pub level: Option<typology::Level>,
    /// With `condition`: when it runs; absent: when the target is known.
    pub phase: Option<typology::Phase>,
    /// What must hold: an expression over the facts of the analysis.
    pub condition: String,
    /// With `condition`: what the finding says when it does not hold; may name facts, `{{ messages }}`.
    pub message: String,
    /// With `condition`: what to do about it.
    pub hint: String,
}

/// Recipients: a saved segment, or a filter. Both absent: everybody, where that makes sense.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Whom {
    /// Name of a segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// A filter tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<serde_json::Value>,
}

/// At most so many messages, or so much weight, in a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PressureRule {
    /// At most so many messages (or so much weight) in the time, this delivery's included. 0: nobody gets anything.
    pub limit: i64,
    /// Other limits for some; the first that fits counts.
    pub limits: Vec<LimitFor>,
    /// `messages`, or `weight`: each message counts as the weight of its delivery.
    pub measure: String,
    /// The time counted, back from the end of the contact date's day: `15d`. `0d` with a grouping: that unit alone.
    pub period: String,
    /// The time is widened to whole units: empty, `day`, `week` (from Monday), `month`, `quarter` or `year`.
    pub grouping: String,
    /// IANA zone in which days, weeks and months begin.
    pub time_zone: String,
    /// Count also what is planned in the time, which then reaches as far forward as back: deliveries of greater weight,
    /// and of the same weight with an earlier contact date.
    pub planned: bool,
    /// Whom it is applied to; absent: everybody.
    pub recipients: Whom,
    /// Which deliveries are counted: an expression over `delivery`, `sender` and `subject`; empty: all.
    pub deliveries: String,
    /// Field or attribute: recipients in whom it is the same, and not empty, are counted together. Empty: each alone.
    pub household: String,
}

impl Default for PressureRule {
    fn default() -> Self {
        PressureRule {
            limit: 3,
            limits: Vec::new(),
            measure: "messages".into(),
            period: "15d".into(),
            grouping: String::new(),
            time_zone: "UTC".into(),
            planned: false,
            recipients: Whom::default(),
            deliveries: String::new(),
            household: String::new(),
        }
    }
}

/// Another limit for some recipients.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitFor {
    /// Name of a segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// A filter tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<serde_json::Value>,
    /// Their limit.
    pub limit: i64,
}

/// No more messages than somebody can take, in stretches of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CapacityRule {
    /// When there is how much. Outside every line the rule says nothing.
    pub lines: Vec<CapacityLine>,
    /// IANA zone of the lines' starts.
    pub time_zone: String,
    /// Leave out what is over the capacity; `false`: a warning says how much it is.
    pub exclude: bool,
    /// Who is kept: `random`, or `first` after a sort.
    pub keep: String,
    /// With `first`: the field that is sorted by, `-` before it turns the order round.
    pub sort: String,
}

impl Default for CapacityRule {
    fn default() -> Self {
        CapacityRule {
            lines: Vec::new(),
            time_zone: "UTC".into(),
            exclude: false,
            keep: "random".into(),
            sort: String::new(),
        }
    }
}

/// A stretch of time with a number of messages; several at once with `every` and `times`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapacityLine {
    /// `2026-12-01T08:00`, in the rule's zone.
    pub start: String,
    /// How long: `8h`.
    pub duration: String,
    /// Messages.
    pub quantity: i64,
    /// The line comes again after this: `1d`, `7d`. Empty: once.
    #[serde(default)]
    pub every: String,
    /// How often it comes in all.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

impl NewRule {
    /// The condition of a control rule in the form that can be tried; `None`: it is no such rule.
    pub fn condition(&self) -> Option<typology::CustomRule> {
        match &self.definition {
            RuleDefinition::Control(control) if control.native.is_empty() => {
                Some(force::custom_rule(self, control))
            }
            _ => None,
        }
    }
}

/// Which rules a list shows.
#[derive(Debug, Clone, Default)]
pub struct RuleFilter {
    /// Of this typology only.
    pub typology: Option<i64>,
    /// Of this kind only.
    pub kind: Option<RuleKind>,
}

impl Deliveries {
    /// All typologies in the order of their names.
    pub async fn typologies(&self) -> Result<Vec<Typology>> {
        self.store.read(|tx| rows::typologies(tx, "ORDER BY t.name", &[])).await
    }

    /// A typology by number.
    pub async fn typology(&self, id: i64) -> Result<Option<Typology>> {
        self.store.read(move |tx| Ok(rows::typologies(tx, "WHERE t.id = $1", &binds![id])?.pop())).await
    }

    /// Makes a typology.
    ///
    /// # Errors
    /// A value outside its range, or a name that there is already.
    pub async fn create_typology(&self, new: NewTypology) -> Result<Typology> {
        check::typology(&new)?;
        let now_us = self.now_us();
        self.store.write(Lane::Urgent, move |tx| rows::insert_typology(tx, &new, now_us)).await
    }

    /// Changes a typology. A shipped one keeps its name and base.
    ///
    /// # Errors
    /// As [`Deliveries::create_typology`]; [`Error::NoSuch`].
    pub async fn update_typology(&self, id: i64, new: NewTypology) -> Result<Typology> {
        check::typology(&new)?;
        let now_us = self.now_us();
        self.store.write(Lane::Urgent, move |tx| rows::update_typology(tx, id, &new, now_us)).await
    }

    /// Deletes a typology; its rules stay. False: there is none.
    ///
    /// # Errors
    /// It is shipped, or deliveries that can still be analysed name it.
    pub async fn delete_typology(&self, id: i64) -> Result<bool> {
        self.store.write(Lane::Urgent, move |tx| rows::delete_typology(tx, id)).await
    }

    /// Rules by kind, order and name.
    pub async fn typology_rules(&self, filter: RuleFilter) -> Result<Vec<TypologyRule>> {
        let all = self.store.read(move |tx| rows::rules(tx, filter.typology, None)).await?;
        Ok(all
            .into_iter()
            .filter(|found| filter.kind.is_none_or(|kind| found.rule.definition.kind() == kind))
            .collect())
    }

    /// A rule by number.
    pub async fn typology_rule(&self, id: i64) -> Result<Option<TypologyRule>> {
        self.store.read(move |tx| Ok(rows::rules(tx, None, Some(id))?.pop())).await
    }

    /// Makes a rule.
    ///
    /// # Errors
    /// A value outside its range, an expression that cannot be read or does not end, a segment or typology that does not
    /// exist, a name that there is already: the refusal names the key.
    pub async fn create_rule(&self, new: NewRule) -> Result<TypologyRule> {
        self.check_rule(&new).await?;
        let now_us = self.now_us();
        self.store.write(Lane::Urgent, move |tx| rows::insert_rule(tx, &new, now_us)).await
    }

    /// Changes a rule. Deliveries that were analysed keep what that found.
    ///
    /// # Errors
    /// As [`Deliveries::create_rule`]; [`Error::NoSuch`].
    pub async fn update_rule(&self, id: i64, new: NewRule) -> Result<TypologyRule> {
        self.check_rule(&new).await?;
        let now_us = self.now_us();
        self.store.write(Lane::Urgent, move |tx| rows::update_rule(tx, id, &new, now_us)).await
    }

    /// Deletes a rule. False: there is none.
    pub async fn delete_rule(&self, id: i64) -> Result<bool> {
        self.store.write(Lane::Urgent, move |tx| rows::delete_rule(tx, id)).await
    }

    async fn check_rule(&self, new: &NewRule) -> Result<()> {
        check::rule(new)?;
        match &new.definition {
            RuleDefinition::Filtering(whom) => self.whom("definition", whom).await.map(drop),
            RuleDefinition::Pressure(pressure) => {
                self.whom("definition.recipients", &pressure.recipients).await?;
                for limit in &pressure.limits {
                    self.whom("definition.limits", &limit.whom()).await?;
                }
                if !pressure.household.is_empty() {
                    self.rooms
                        .audience
                        .values_of(&pressure.household)
                        .map_err(|error| Refusal::new("definition.household", error.to_string()))?;
                }
                Ok(())
            }
            RuleDefinition::Capacity(capacity) if !capacity.sort.is_empty() => {
                let field = capacity.sort.trim_start_matches('-');
                let known = self.rooms.audience.values_of(field).map(drop);
                Ok(known.map_err(|error| Refusal::new("definition.sort", error.to_string()))?)
            }
            _ => Ok(()),
        }
    }

    /// The recipients that a rule names; `None`: everybody.
    pub(crate) async fn whom(&self, field: &str, whom: &Whom) -> Result<Option<store::Relation>> {
        let item = crate::definition::TargetItem {
            segment: whom.segment.clone(),
            filter: whom.filter.clone(),
            ..Default::default()
        };
        match (&whom.segment, &whom.filter) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => {
                Err(Refusal::new(field, "names a segment and a filter; name one of them").into())
            }
            _ => self.relation(field, &item).await.map(Some),
        }
    }
}

impl LimitFor {
    pub(crate) fn whom(&self) -> Whom {
        Whom { segment: self.segment.clone(), filter: self.filter.clone() }
    }
}

/// The typology that a delivery names.
pub(crate) fn by_name(tx: &mut Tx<'_>, name: &str) -> Result<Typology> {
    let found = rows::typologies(tx, "WHERE t.name = $1", &binds![name])?.pop();
    found.ok_or_else(|| {
        Error::from(Refusal::new(
            "validation.typology",
            format!("there is no typology named {name:?}; choose another one, or make it"),
        ))
    })
}
