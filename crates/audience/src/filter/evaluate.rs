//! The filter read by Rust: what the two SQL forms are tested against, and what a single recipient is asked.

use super::moment::{Span, date_text, last, next};
use super::{Condition, Filter, Op, Scalar, Subject, Value, number};
use crate::recipient::Recipient;

impl Filter {
    /// Whether this recipient is in the segment. `now_us` is what relative times count from; `in_list` answers for the
    /// lists by name. A segment that is named is not looked up: resolve the filter before.
    pub fn matches(&self, recipient: &Recipient, now_us: i64, in_list: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Filter::And(parts) => parts.iter().all(|part| part.matches(recipient, now_us, in_list)),
            Filter::Or(parts) => parts.iter().any(|part| part.matches(recipient, now_us, in_list)),
            Filter::Not(part) => !part.matches(recipient, now_us, in_list),
            Filter::InList(name) => in_list(name),
            Filter::InSegment(_) => false,
            Filter::Condition(condition) => condition.matches(recipient, now_us),
        }
    }
}

impl Condition {
    fn matches(&self, recipient: &Recipient, now_us: i64) -> bool {
        match &self.subject {
            Subject::Time(name) => {
                let at = if *name == "created_at" { recipient.created_at } else { recipient.updated_at };
                match spans(self.op, &self.value, now_us) {
                    Some((Side::Before, span)) => at < span.start,
                    Some((Side::After, span)) => at >= span.end,
                    Some((Side::Within, span)) => at >= span.start && at < span.end,
                    Some((Side::Outside, span)) => !(at >= span.start && at < span.end),
                    None => false,
                }
            }
            Subject::Denylisted => {
                let same = self.value == Value::Scalar(Scalar::Flag(recipient.denylisted));
                same == (self.op == Op::Eq)
            }
            Subject::Field(name) => self.matches_text(field(recipient, name), now_us),
            Subject::Attribute(name) => {
                self.matches_text(recipient.attributes.get(name).map_or("", String::as_str), now_us)
            }
        }
    }

    fn matches_text(&self, text: &str, now_us: i64) -> bool {
        if let Some((side, span)) = spans(self.op, &self.value, now_us) {
            return matches_date(text, side, span);
        }
        match (&self.op, &self.value) {
            (Op::IsEmpty, _) => text.is_empty(),
            (Op::IsSet, _) => !text.is_empty(),
            (Op::In, Value::Many(all)) => all.iter().any(|value| equal(text, value)),
            (Op::Eq, Value::Scalar(value)) => equal(text, value),
            (Op::Ne, Value::Scalar(value)) => !equal(text, value),
            (Op::Contains, Value::Scalar(value)) => lower(text).contains(&lower(value.text())),
            (Op::StartsWith, Value::Scalar(value)) => lower(text).starts_with(&lower(value.text())),
            (Op::EndsWith, Value::Scalar(value)) => lower(text).ends_with(&lower(value.text())),
            (op, Value::Scalar(value)) => ordered(*op, text, value),
            _ => false,
        }
    }
}

/// How a time lies to a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
    Within,
    Outside,
}

/// The span that a time operator compares with, or `None` for other operators.
pub(super) fn spans(op: Op, value: &Value, now_us: i64) -> Option<(Side, Span)> {
    match (op, value) {
        (Op::Before, Value::Moment(moment)) => Some((Side::Before, moment.span(now_us))),
        (Op::After, Value::Moment(moment)) => Some((Side::After, moment.span(now_us))),
        (Op::WithinLast, Value::Duration(duration)) => Some((Side::Within, last(*duration, now_us))),
        (Op::NotWithinLast, Value::Duration(duration)) => Some((Side::Outside, last(*duration, now_us))),
        (Op::WithinNext, Value::Duration(duration)) => Some((Side::Within, next(*duration, now_us))),
        _ => None,
    }
}

fn matches_date(text: &str, side: Side, span: Span) -> bool {
    let Some(date) = date_text(text) else { return side == Side::Outside };
    let (start, end) = (super::moment::text_of(span.start), super::moment::text_of(span.end));
    match side {
        Side::Before => date < start,
        Side::After => date >= end,
        Side::Within => date >= start && date < end,
        Side::Outside => !(date >= start && date < end),
    }
}

/// A field by its column.
fn field<'r>(recipient: &'r Recipient, name: &str) -> &'r str {
    match name {
        "email" => &recipient.email,
        "domain" => &recipient.domain,
        name => crate::FIELDS.iter().position(|field| *field == name).map_or("", |i| recipient.field(i)),
    }
}

pub(super) fn lower(text: &str) -> String {
    text.to_ascii_lowercase()
}

fn equal(text: &str, value: &Scalar) -> bool {
    match value.number() {
        // A text that is no number cannot equal one: it would be that number's text.
        Some(wanted) => number(text) == Some(wanted),
        None => text.eq_ignore_ascii_case(value.text()),
    }
}

fn ordered(op: Op, text: &str, value: &Scalar) -> bool {
    let ordering = match value.number() {
        Some(wanted) => number(text).and_then(|found| found.partial_cmp(&wanted)),
        None if text.is_empty() => None,
        None => Some(lower(text).cmp(&lower(value.text()))),
    };
    let Some(ordering) = ordering else { return false };
    match op {
        Op::Lt => ordering.is_lt(),
        Op::Le => ordering.is_le(),
        Op::Gt => ordering.is_gt(),
        Op::Ge => ordering.is_ge(),
        _ => false,
    }
}
