//! The filter as SQL: a condition over a table `recipient` under the alias `r`. Names of columns and operators come
//! from this file, everything of the filter's author is a bound parameter.
//!
//! No condition is ever NULL, so `NOT` means the same in SQL as in Rust.

use store::{Dialect, Value as Bind};

use super::evaluate::{Side, lower, spans};
use super::moment::{Span, text_of};
use super::{Condition, Filter, NUMBER_LEN_MAX, Op, Scalar, Subject, Value};

/// The condition for `WHERE`, its parameters appended to `binds`. `now_us` is what relative times count from.
pub(crate) fn compile(filter: &Filter, dialect: Dialect, now_us: i64, binds: &mut Vec<Bind>) -> String {
    Compiler { dialect, now_us, binds }.filter(filter)
}

/// A field, time, flag or attribute as two expressions over `r`: its text, and its number or NULL where the text is none.
pub(crate) fn value_columns(subject: &Subject, dialect: Dialect, binds: &mut Vec<Bind>) -> (String, String) {
    let mut compiler = Compiler { dialect, now_us: 0, binds };
    let text = match subject {
        Subject::Field(name) => compiler.field(name),
        Subject::Attribute(name) => compiler.attribute(name),
        Subject::Time(name) => return (format!("CAST(r.{name} AS TEXT)"), format!("r.{name}")),
        Subject::Denylisted => return ("CAST(r.denylisted AS TEXT)".to_owned(), "r.denylisted".to_owned()),
    };
    let number = compiler.number(&text);
    (text, number)
}

struct Compiler<'a> {
    dialect: Dialect,
    now_us: i64,
    binds: &'a mut Vec<Bind>,
}

impl Compiler<'_> {
    fn bind(&mut self, value: impl Into<Bind>) -> String {
        self.binds.push(value.into());
        format!("${}", self.binds.len())
    }

    fn filter(&mut self, filter: &Filter) -> String {
        match filter {
            Filter::And(parts) => self.joined(parts, " AND ", "TRUE"),
            Filter::Or(parts) => self.joined(parts, " OR ", "FALSE"),
            Filter::Not(part) => format!("NOT {}", self.filter(part)),
            Filter::InList(name) => {
                let name = self.bind(name.as_str());
                format!(
                    "EXISTS (SELECT 1 FROM list_member m WHERE m.list = (SELECT l.id FROM list l WHERE l.name = {name}) \
                     AND m.recipient = r.id)"
                )
            }
            // `Audience::resolve` leaves none.
            Filter::InSegment(_) => "FALSE".to_owned(),
            Filter::Condition(condition) => self.condition(condition),
        }
    }

    fn joined(&mut self, parts: &[Filter], operator: &str, empty: &str) -> String {
        if parts.is_empty() {
            return empty.to_owned();
        }
        let parts: Vec<String> = parts.iter().map(|part| self.filter(part)).collect();
        format!("({})", parts.join(operator))
    }

    fn condition(&mut self, condition: &Condition) -> String {
        match &condition.subject {
            Subject::Time(name) => self.time(name, condition),
            Subject::Denylisted => {
                let wanted = condition.value == Value::Scalar(Scalar::Flag(true));
                let operator = if wanted == (condition.op == Op::Eq) { "<>" } else { "=" };
                format!("(r.denylisted {operator} 0)")
            }
            Subject::Field(name) => self.text(&self.field(name), condition),
            Subject::Attribute(name) => {
                let text = self.attribute(name);
                self.text(&text, condition)
            }
        }
    }

    fn field(&self, name: &str) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("r.{name}"),
            Dialect::Postgres => format!("(r.{name} COLLATE \"C\")"),
        }
    }

    fn attribute(&mut self, name: &str) -> String {
        let name = self.bind(name);
        match self.dialect {
            Dialect::Sqlite => format!("coalesce(r.attributes ->> {name}, '')"),
            Dialect::Postgres => {
                format!("(coalesce(r.attributes ->> CAST({name} AS TEXT), '') COLLATE \"C\")")
            }
        }
    }

    fn time(&mut self, column: &str, condition: &Condition) -> String {
        let Some((side, span)) = spans(condition.op, &condition.value, self.now_us) else {
            return "FALSE".to_owned();
        };
        let (start, end) = (span.start, span.end);
        self.sided(&format!("r.{column}"), side, start, end)
    }

    fn sided(&mut self, what: &str, side: Side, start: impl Into<Bind>, end: impl Into<Bind>) -> String {
        match side {
            Side::Before => format!("({what} < {})", self.bind(start)),
            Side::After => format!("({what} >= {})", self.bind(end)),
            Side::Within | Side::Outside => {
                let not = if side == Side::Outside { "NOT " } else { "" };
                format!("{not}({what} >= {} AND {what} < {})", self.bind(start), self.bind(end))
            }
        }
    }

    fn text(&mut self, text: &str, condition: &Condition) -> String {
        if let Some((side, span)) = spans(condition.op, &condition.value, self.now_us) {
            return self.date(text, side, span);
        }
        match (condition.op, &condition.value) {
            (Op::IsEmpty, _) => format!("({text} = '')"),
            (Op::IsSet, _) => format!("({text} <> '')"),
            (Op::In, Value::Many(all)) => self.choices(text, all),
            (Op::Eq, Value::Scalar(value)) => self.choices(text, std::slice::from_ref(value)),
            (Op::Ne, Value::Scalar(value)) => {
                format!("NOT {}", self.choices(text, std::slice::from_ref(value)))
            }
            (op @ (Op::Contains | Op::StartsWith | Op::EndsWith), Value::Scalar(value)) => {
                self.part(text, op, value)
            }
            (op, Value::Scalar(value)) => self.ordered(text, op, value),
            _ => never(text),
        }
    }

    /// Equal to one of the values.
    fn choices(&mut self, text: &str, all: &[Scalar]) -> String {
        let (mut texts, mut numbers) = (Vec::new(), Vec::new());
        for value in all {
            match value.number() {
                Some(number) => numbers.push(format!("CAST({} AS DOUBLE PRECISION)", self.bind(number))),
                None => texts.push(self.bind(lower(value.text()))),
            }
        }
        let mut parts = Vec::new();
        if !texts.is_empty() {
            parts.push(format!("lower({text}) IN ({})", texts.join(", ")));
        }
        if !numbers.is_empty() {
            parts.push(format!("coalesce({} IN ({}), FALSE)", self.number(text), numbers.join(", ")));
        }
        if parts.is_empty() { never(text) } else { format!("({})", parts.join(" OR ")) }
    }

    fn part(&mut self, text: &str, op: Op, value: &Scalar) -> String {
        let part = self.bind(lower(value.text()));
        let part = format!("CAST({part} AS TEXT)");
        match (op, self.dialect) {
            (Op::Contains, Dialect::Sqlite) => format!("(instr(lower({text}), {part}) > 0)"),
            (Op::Contains, Dialect::Postgres) => format!("(strpos(lower({text}), {part}) > 0)"),
            (Op::StartsWith, _) => format!("(substr(lower({text}), 1, length({part})) = {part})"),
            (_, Dialect::Sqlite) => format!("(substr(lower({text}), -length({part})) = {part})"),
            (_, Dialect::Postgres) => format!("(right(lower({text}), length({part})) = {part})"),
        }
    }

    fn ordered(&mut self, text: &str, op: Op, value: &Scalar) -> String {
        let operator = match op {
            Op::Lt => "<",
            Op::Le => "<=",
            Op::Gt => ">",
            _ => ">=",
        };
        match value.number() {
            Some(number) => {
                let number = self.bind(number);
                format!(
                    "coalesce({} {operator} CAST({number} AS DOUBLE PRECISION), FALSE)",
                    self.number(text)
                )
            }
            None => format!("({text} <> '' AND lower({text}) {operator} {})", self.bind(lower(value.text()))),
        }
    }

    fn number(&self, text: &str) -> String {
        number_sql(text, self.dialect)
    }

    fn date(&mut self, text: &str, side: Side, span: Span) -> String {
        const DAY: &str = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]";
        const TIME: &str = "[T ][0-9][0-9]:[0-9][0-9]:[0-9][0-9]";
        let (is_day, has_time) = match self.dialect {
            Dialect::Sqlite => (format!("{text} GLOB '{DAY}*'"), format!("{text} GLOB '{DAY}{TIME}*'")),
            Dialect::Postgres => (format!("{text} ~ '^{DAY}'"), format!("{text} ~ '^{DAY}{TIME}'")),
        };
        // Not a date: the empty text, which lies before everything.
        let date = format!(
            "CASE WHEN {has_time} THEN substr({text}, 1, 10) || 'T' || substr({text}, 12, 8) \
             WHEN {is_day} THEN substr({text}, 1, 10) || 'T00:00:00' ELSE '' END"
        );
        let compared = self.sided(&format!("({date})"), side, text_of(span.start), text_of(span.end));
        if side == Side::Before { format!("({is_day} AND {compared})") } else { compared }
    }
}

/// The text as a number, or NULL: the rule of `super::number`.
pub(crate) fn number_sql(text: &str, dialect: Dialect) -> String {
    let is_number = match dialect {
        Dialect::Sqlite => format!(
            "({text} GLOB '[0-9]*' OR {text} GLOB '-[0-9]*') AND {text} GLOB '*[0-9]' AND {text} NOT GLOB '?*-*' \
             AND {text} NOT GLOB '*[^0-9.-]*' AND {text} NOT GLOB '*.*.*' AND {text} NOT GLOB '0[0-9]*' \
             AND {text} NOT GLOB '-0[0-9]*' AND length({text}) - ({text} GLOB '-*') <= {NUMBER_LEN_MAX}"
        ),
        Dialect::Postgres => format!(
            "{text} ~ '^-?(0|[1-9][0-9]*)([.][0-9]+)?$' AND length(ltrim({text}, '-')) <= {NUMBER_LEN_MAX}"
        ),
    };
    format!("CASE WHEN {is_number} THEN CAST({text} AS DOUBLE PRECISION) END")
}

/// False, as no text is NULL. It names the text because PostgreSQL refuses a parameter that stands nowhere.
fn never(text: &str) -> String {
    format!("({text} IS NULL)")
}
