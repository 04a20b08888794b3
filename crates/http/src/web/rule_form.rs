//! A rule of a typology as the fields of a form, and back.

use delivery::{
    NewRule, RuleDefinition, RuleKind,
    typologies::{CapacityLine, CapacityRule, ControlRule, LimitFor, ORDER_DEFAULT, PressureRule, Whom},
};
use typology::{Level, Phase};

use super::{form::Form, format, reader, segments, texts};

/// Empty lines that a table of a rule offers.
const SPARE_LINES: usize = 2;

/// What a rule asks of recipients, as one choice.
pub struct WhomChoice {
    /// Name of the segment; empty: everybody, or a filter.
    pub segment: String,
    /// The filter as JSON; empty: none. It is kept as it is.
    pub filter: String,
    /// The filter in words.
    pub words: String,
}

impl WhomChoice {
    fn of(segment: Option<&String>, filter: Option<&serde_json::Value>) -> WhomChoice {
        WhomChoice {
            segment: segment.cloned().unwrap_or_default(),
            filter: filter.map(ToString::to_string).unwrap_or_default(),
            words: filter.map(segments::summary).unwrap_or_default(),
        }
    }

    /// What the choice `name` with its hidden filter says.
    fn read(choice: &str, filter: &str) -> Whom {
        match choice {
            "" => Whom::default(),
            "filter" => Whom { filter: serde_json::from_str(filter).ok(), ..Whom::default() },
            name => Whom { segment: name.strip_prefix("segment:").map(str::to_owned), ..Whom::default() },
        }
    }
}

/// A limit for some recipients.
pub struct LimitRow {
    /// Whom.
    pub whom: WhomChoice,
    /// How much; empty in a free line.
    pub limit: String,
}

/// A stretch of a capacity rule.
pub struct LineRow {
    /// Start, for a date field.
    pub start: String,
    /// Duration.
    pub duration: String,
    /// Messages; empty in a free line.
    pub quantity: String,
    /// It comes again after this.
    pub every: String,
    /// So often in all.
    pub times: String,
}

/// A rule as a form shows it.
pub struct Sheet {
    /// Its number; 0: a new one.
    pub id: i64,
    /// What can be written of it.
    pub rule: NewRule,
    /// Start of its validity, in the reader's zone.
    pub from: String,
    /// End of it.
    pub until: String,
    /// The parts of the kinds; those of other kinds stand at their defaults.
    pub control: ControlRule,
    /// As `level` of a control rule; empty: its own.
    pub level: &'static str,
    /// As `phase` of a control rule.
    pub phase: &'static str,
    /// Of a filtering rule: whom; of a pressure rule: to whom it is applied.
    pub whom: WhomChoice,
    /// Of a pressure rule.
    pub pressure: PressureRule,
    /// Its limits for some.
    pub limits: Vec<LimitRow>,
    /// Of a capacity rule.
    pub capacity: CapacityRule,
    /// Its lines.
    pub lines: Vec<LineRow>,
    /// The order of `sort`.
    pub descending: bool,
}

impl Sheet {
    /// A new rule of a kind.
    pub fn fresh(kind: RuleKind, typologies: Vec<String>, native: &str) -> Sheet {
        let zone = if reader::zone_name().is_empty() { "UTC".to_owned() } else { reader::zone_name() };
        let definition = match kind {
            RuleKind::Control => {
                RuleDefinition::Control(ControlRule { native: native.to_owned(), ..ControlRule::default() })
            }
            RuleKind::Filtering => RuleDefinition::Filtering(Whom::default()),
            RuleKind::Pressure => {
                RuleDefinition::Pressure(PressureRule { time_zone: zone, ..PressureRule::default() })
            }
            RuleKind::Capacity => {
                RuleDefinition::Capacity(CapacityRule { time_zone: zone, ..CapacityRule::default() })
            }
        };
        let name = if native.is_empty() {
            String::new()
        } else {
            texts::text_ss("rule-of-native", native, &typologies.join(", "))
        };
        Sheet::of(
            0,
            NewRule {
                name,
                description: String::new(),
                typologies,
                order: ORDER_DEFAULT,
                active: true,
                scope: String::new(),
                from_us: None,
                until_us: None,
                definition,
            },
        )
    }

    /// A rule as it is.
    pub fn of(id: i64, rule: NewRule) -> Sheet {
        let (mut control, mut pressure, mut capacity) =
            (ControlRule::default(), PressureRule::default(), CapacityRule::default());
        let mut whom = Whom::default();
        match &rule.definition {
            RuleDefinition::Control(own) => control = own.clone(),
            RuleDefinition::Filtering(own) => whom = own.clone(),
            RuleDefinition::Pressure(own) => (whom, pressure) = (own.recipients.clone(), own.clone()),
            RuleDefinition::Capacity(own) => capacity = own.clone(),
        }
        Sheet {
            id,
            from: rule.from_us.map(format::local_input).unwrap_or_default(),
            until: rule.until_us.map(format::local_input).unwrap_or_default(),
            level: if control.off { "off" } else { control.level.map_or("", Level::as_str) },
            phase: control.phase.unwrap_or(Phase::AfterTargeting).as_str(),
            whom: WhomChoice::of(whom.segment.as_ref(), whom.filter.as_ref()),
            limits: limit_rows(&pressure),
            lines: line_rows(&capacity),
            descending: capacity.sort.starts_with('-'),
            control,
            pressure,
            capacity,
            rule,
        }
    }

    /// Its kind.
    pub fn kind(&self) -> &'static str {
        self.rule.definition.kind().as_str()
    }

    /// What a form sent.
    ///
    /// # Errors
    /// A number or a date that is none, in words.
    pub fn sent(form: &Form) -> Result<NewRule, String> {
        let said = |name: &str| form.get(name).to_owned();
        let definition = match form.get("kind") {
            "filtering" => {
                RuleDefinition::Filtering(WhomChoice::read(form.get("whom"), form.get("whom_filter")))
            }
            "pressure" => RuleDefinition::Pressure(pressure(form)?),
            "capacity" => RuleDefinition::Capacity(capacity(form)?),
            _ => RuleDefinition::Control(control(form)),
        };
        Ok(NewRule {
            name: said("name"),
            description: said("description"),
            typologies: form.all("typologies").into_iter().map(str::to_owned).collect(),
            order: form.number("order", &texts::text("rule-field-order"))?,
            active: form.has("active"),
            scope: said("scope"),
            from_us: moment(form, "from")?,
            until_us: moment(form, "until")?,
            definition,
        })
    }
}

fn moment(form: &Form, name: &str) -> Result<Option<i64>, String> {
    match form.get(name) {
        "" => Ok(None),
        text => match format::from_local_input(text) {
            Some(at) => Ok(Some(at)),
            None => Err(texts::text_s("rule-no-date", &texts::pick("rule-field", name))),
        },
    }
}

fn control(form: &Form) -> ControlRule {
    let said = |name: &str| form.get(name).to_owned();
    if form.get("way") == "native" {
        return ControlRule {
            native: said("native"),
            off: form.get("native_level") == "off",
            level: Level::parse(form.get("native_level")),
            ..ControlRule::default()
        };
    }
    ControlRule {
        level: Level::parse(form.get("level")),
        phase: Phase::parse(form.get("phase")),
        condition: said("condition"),
        message: said("message"),
        hint: said("hint"),
        ..ControlRule::default()
    }
}

fn pressure(form: &Form) -> Result<PressureRule, String> {
    let said = |name: &str| form.get(name).to_owned();
    let rows = form.all("limit_for").into_iter().zip(form.all("limit_filter")).zip(form.all("limit_is"));
    let mut limits = Vec::new();
    for ((choice, filter), limit) in rows.filter(|((choice, _), _)| !choice.is_empty()) {
        let whom = WhomChoice::read(choice, filter);
        let limit = limit
            .trim()
            .parse()
            .map_err(|_| texts::text_s("fault-number", &texts::text("rule-field-limits")))?;
        limits.push(LimitFor { segment: whom.segment, filter: whom.filter, limit });
    }
    Ok(PressureRule {
        limit: form.number("limit", &texts::text("rule-field-limit"))?,
        limits,
        measure: said("measure"),
        period: said("period"),
        grouping: said("grouping"),
        time_zone: said("time_zone"),
        planned: form.has("planned"),
        recipients: WhomChoice::read(form.get("whom"), form.get("whom_filter")),
        deliveries: said("deliveries"),
        household: said("household"),
    })
}

fn capacity(form: &Form) -> Result<CapacityRule, String> {
    let said = |name: &str| form.get(name).to_owned();
    let columns = ["line_start", "line_duration", "line_quantity", "line_every", "line_times"];
    let [starts, durations, quantities, every, times] = columns.map(|name| form.all(name));
    let number = |text: &str, label: &str| -> Result<i64, String> {
        text.trim().parse().map_err(|_| texts::text_s("fault-number", label))
    };
    let (quantity_label, times_label) = (texts::text("rule-line-quantity"), texts::text("rule-line-times"));
    let mut lines = Vec::new();
    for (index, start) in starts.into_iter().enumerate().filter(|(_, start)| !start.trim().is_empty()) {
        let of = |all: &[&str]| all.get(index).map_or_else(String::new, |text| text.trim().to_owned());
        let count = of(&times);
        lines.push(CapacityLine {
            start: start.trim().to_owned(),
            duration: of(&durations),
            quantity: number(&of(&quantities), &quantity_label)?,
            every: of(&every),
            times: if count.is_empty() {
                1
            } else {
                u32::try_from(number(&count, &times_label)?).unwrap_or(1)
            },
        });
    }
    let is_first = form.get("keep") == "first";
    let sign = if form.get("sort_order") == "descending" { "-" } else { "" };
    Ok(CapacityRule {
        lines,
        time_zone: said("time_zone"),
        exclude: form.get("over") == "exclude",
        keep: if is_first { "first".to_owned() } else { "random".to_owned() },
        sort: if is_first { format!("{sign}{}", form.get("sort")) } else { String::new() },
    })
}

fn limit_rows(pressure: &PressureRule) -> Vec<LimitRow> {
    let own = pressure.limits.iter().map(|limit| LimitRow {
        whom: WhomChoice::of(limit.segment.as_ref(), limit.filter.as_ref()),
        limit: limit.limit.to_string(),
    });
    let spare = (0..SPARE_LINES).map(|_| LimitRow { whom: WhomChoice::of(None, None), limit: String::new() });
    own.chain(spare).collect()
}

fn line_rows(capacity: &CapacityRule) -> Vec<LineRow> {
    let own = capacity.lines.iter().map(|line| LineRow {
        start: line.start.clone(),
        duration: line.duration.clone(),
        quantity: line.quantity.to_string(),
        every: line.every.clone(),
        times: if line.times > 1 { line.times.to_string() } else { String::new() },
    });
    let empty = String::new;
    let spare = (0..SPARE_LINES).map(|_| LineRow {
        start: empty(),
        duration: empty(),
        quantity: empty(),
        every: empty(),
        times: empty(),
    });
    own.chain(spare).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The fields that the page of this rule would send.
    fn fields(sheet: &Sheet) -> Vec<(String, String)> {
        let choice = |whom: &WhomChoice| match (whom.segment.as_str(), whom.filter.as_str()) {
            ("", "") => String::new(),
            ("", _) => "filter".to_owned(),
            (name, _) => format!("segment:{name}"),
        };
        let rule = &sheet.rule;
        let mut fields = vec![
            ("kind", sheet.kind().to_owned()),
            ("name", rule.name.clone()),
            ("order", rule.order.to_string()),
            ("active", if rule.active { "1" } else { "" }.to_owned()),
            ("scope", rule.scope.clone()),
            ("from", sheet.from.clone()),
            ("until", sheet.until.clone()),
            ("way", if sheet.control.native.is_empty() { "own" } else { "native" }.to_owned()),
            ("native", sheet.control.native.clone()),
            ("native_level", sheet.level.to_owned()),
            ("level", sheet.level.to_owned()),
            ("phase", sheet.phase.to_owned()),
            ("condition", sheet.control.condition.clone()),
            ("message", sheet.control.message.clone()),
            ("whom", choice(&sheet.whom)),
            ("whom_filter", sheet.whom.filter.clone()),
            ("limit", sheet.pressure.limit.to_string()),
            ("measure", sheet.pressure.measure.clone()),
            ("period", sheet.pressure.period.clone()),
            ("grouping", sheet.pressure.grouping.clone()),
            ("planned", if sheet.pressure.planned { "1" } else { "" }.to_owned()),
            ("household", sheet.pressure.household.clone()),
            ("over", if sheet.capacity.exclude { "exclude" } else { "warn" }.to_owned()),
            ("keep", sheet.capacity.keep.clone()),
            ("sort", sheet.capacity.sort.trim_start_matches('-').to_owned()),
            ("sort_order", if sheet.descending { "descending" } else { "ascending" }.to_owned()),
            (
                "time_zone",
                if sheet.kind() == "capacity" {
                    &sheet.capacity.time_zone
                } else {
                    &sheet.pressure.time_zone
                }
                .clone(),
            ),
        ];
        for row in &sheet.limits {
            fields.push(("limit_for", choice(&row.whom)));
            fields.push(("limit_filter", row.whom.filter.clone()));
            fields.push(("limit_is", row.limit.clone()));
        }
        for row in &sheet.lines {
            fields.push(("line_start", row.start.clone()));
            fields.push(("line_duration", row.duration.clone()));
            fields.push(("line_quantity", row.quantity.clone()));
            fields.push(("line_every", row.every.clone()));
            fields.push(("line_times", row.times.clone()));
        }
        let names = rule.typologies.iter().map(|name| ("typologies", name.clone()));
        fields.into_iter().chain(names).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn comes_back(definition: RuleDefinition) {
        let rule = NewRule {
            name: "r".into(),
            typologies: vec!["default".into(), "news".into()],
            order: 7,
            active: false,
            scope: "delivery.priority == 'low'".into(),
            from_us: Some(1_795_687_920_000_000),
            definition,
            ..Sheet::fresh(RuleKind::Control, Vec::new(), "").rule
        };
        let sent = fields(&Sheet::of(3, rule.clone()));
        let form = Form::of(&sent.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>());
        assert_eq!(Sheet::sent(&form), Ok(rule));
    }

    #[test]
    fn rules_of_every_kind_come_back_as_they_were() {
        comes_back(RuleDefinition::Control(ControlRule {
            native: "one_click".into(),
            level: Some(Level::Error),
            ..ControlRule::default()
        }));
        comes_back(RuleDefinition::Control(ControlRule {
            condition: "messages < 100".into(),
            message: "{{ messages }} are many".into(),
            level: Some(Level::Info),
            phase: Some(Phase::EndOfAnalysis),
            ..ControlRule::default()
        }));
        comes_back(RuleDefinition::Filtering(Whom { segment: Some("gold".into()), filter: None }));
        comes_back(RuleDefinition::Filtering(Whom { segment: None, filter: Some(json!({"in_list": "a"})) }));
        comes_back(RuleDefinition::Pressure(PressureRule {
            limits: vec![LimitFor { segment: Some("gold".into()), filter: None, limit: 9 }],
            grouping: "week".into(),
            planned: true,
            household: "customer".into(),
            ..PressureRule::default()
        }));
        comes_back(RuleDefinition::Capacity(CapacityRule {
            lines: vec![CapacityLine {
                start: "2026-12-01T08:00".into(),
                duration: "8h".into(),
                quantity: 1_000,
                every: "1d".into(),
                times: 5,
            }],
            exclude: true,
            keep: "first".into(),
            sort: "-points".into(),
            ..CapacityRule::default()
        }));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let bad = Form::of(&[("kind", "pressure"), ("limit", "few")]);
        assert!(Sheet::sent(&bad).is_err());
        let bad = Form::of(&[("kind", "control"), ("from", "tomorrow")]);
        assert!(Sheet::sent(&bad).is_err());
    }
}
